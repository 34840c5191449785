import type { Clock, Logger, Random } from "#base";
import type { Pki } from "#certs";
import type { Turns } from "#controller-runtime";
import { garbageCollector } from "#controllers/garbage-collector";
import { namespaceLifecycle } from "#controllers/namespace-lifecycle";
import { clusterRoleAggregation } from "#controllers/cluster-role-aggregation";
import { rootCaPublisher } from "#controllers/root-ca-publisher";
import { serviceAccount } from "#controllers/service-account";
import type { KubeObject } from "#machinery";
import { type NodeClass, type SimulatedMember, startSimulatedMember } from "#simulator";
import type { Backend } from "#store";

export interface MemberOptions {
  readonly name: string;
  readonly nodes: readonly NodeClass[];
  readonly isSummarised?: boolean;
  readonly region?: string;
  readonly zone?: string;
  /** What signs its service accounts' tokens, and the authority its pods are told of. */
  readonly pki: Pick<Pki, "serviceAccount"> & { readonly authority: Pick<Pki["authority"], "certificate"> };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly backend?: Backend;
  readonly podReadyMs?: number;
  readonly turns?: Turns;
}

/** A simulated member as others use it, wherever it runs: in this thread or in one of its own. */
export interface RunningMember
  extends Pick<
    SimulatedMember,
    "name" | "transport" | "faults" | "setFaults" | "setNodesReady" | "setQuotaFull" | "stop"
  > {
  readonly api: Pick<SimulatedMember["api"], "transport">;
}

/** A simulated member with the controllers every Kubernetes cluster has. */
export function startMember(options: MemberOptions): Promise<SimulatedMember> {
  const { pki, podReadyMs, ...rest } = options;
  return startSimulatedMember({
    ...rest,
    serviceAccountKeys: pki.serviceAccount,
    ...(podReadyMs === undefined ? {} : { kubelet: { podReadyMs } }),
    systemControllers: ({ api, kinds }) =>
      [
        { definition: garbageCollector, deps: { kinds } },
        { definition: namespaceLifecycle, deps: { kinds } },
        { definition: clusterRoleAggregation, deps: {} },
        { definition: rootCaPublisher, deps: { authority: () => pki.authority.certificate } },
        {
          definition: serviceAccount,
          deps: {
            sign: (account: KubeObject, secretName: string) => api.tokens.signForSecret(account, secretName),
            authority: pki.authority.certificate,
          },
        },
      ] as never,
  });
}
