import type { Cluster } from "#apis/karmada";
import type { Client, Informer } from "#client";
import type { MemberAccess } from "#member";

export interface ClusterApiDeps {
  /** The control plane, and its cache of Clusters. */
  readonly plane: Client;
  readonly clusters: Informer<Cluster>;
  /** Which management cluster this is, the same after a restart. */
  readonly management: string;
  /** Opens a member from the text of a kubeconfig. Throws what is wrong with it. */
  readonly open: (kubeconfig: string) => MemberAccess & { close(): Promise<void> };
}
