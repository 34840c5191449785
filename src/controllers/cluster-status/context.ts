import type { Cluster } from "#apis/karmada";
import type { ControllerContext } from "#controller-runtime";
import type { Member, MemberPool } from "#member";

export interface ClusterStatusDeps {
  readonly members: MemberPool;
  /** Opens the member a Cluster object names; throws when its credentials or address are no use. */
  readonly connect: (cluster: Cluster) => Promise<Member>;
  readonly gates: ReadonlySet<string>;
  /** In an agent: the cluster it runs in. Only that one is looked after, push or pull. */
  readonly own?: string;
}

export interface ClusterStatusOptions {
  readonly clusterStatusUpdateFrequencyMs: number;
  readonly clusterFailureThresholdMs: number;
  readonly clusterSuccessThresholdMs: number;
  readonly enableClusterResourceModeling: boolean;
  /** How long the first lists of a member's nodes and pods may take. */
  readonly clusterCacheSyncTimeoutMs: number;
  readonly clusterLeaseDurationMs: number;
  /** Share of the duration after which the Lease is renewed. */
  readonly clusterLeaseRenewIntervalFraction: number;
}

export type ClusterStatusContext = ControllerContext<ClusterStatusDeps, ClusterStatusOptions>;
