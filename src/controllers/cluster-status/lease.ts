import { Lease } from "#apis/kubernetes";
import { type Cluster, CLUSTER_NAMESPACE } from "#apis/karmada";
import { sleep } from "#base";
import { formatMicroTime, isAlreadyExists, isConflict, isNotFound } from "#machinery";
import type { ClusterStatusContext } from "./context.ts";

const FIRST_RETRY_MS = 200;
const RETRY_MAX_MS = 7_000;
const RENEW_TRIES = 5;
/** Renewals of many agents must not stay in step. */
const JITTER = 0.04;

/** Renews the Lease of a pull cluster until `signal` aborts, whether or not the member is healthy. */
export async function keepLease(cluster: Cluster, context: ClusterStatusContext, signal: AbortSignal): Promise<void> {
  const { clusterLeaseDurationMs, clusterLeaseRenewIntervalFraction } = context.options;
  const everyMs = clusterLeaseDurationMs * clusterLeaseRenewIntervalFraction;
  let retryMs = FIRST_RETRY_MS;
  let known: Lease | undefined;
  while (!signal.aborted) {
    try {
      known = await renew(cluster, known, context);
      retryMs = FIRST_RETRY_MS;
      await sleep(context.clock, everyMs * (1 + context.random.next() * JITTER), signal);
    } catch (error) {
      known = undefined;
      context.log.debug("lease could not be renewed", { cluster: cluster.metadata.name ?? "", error });
      await sleep(context.clock, retryMs, signal);
      retryMs = Math.min(RETRY_MAX_MS, retryMs * 2);
    }
  }
}

async function renew(cluster: Cluster, known: Lease | undefined, context: ClusterStatusContext): Promise<Lease> {
  const { client, clock, options } = context;
  const name = cluster.metadata.name ?? "";
  const at = { namespace: CLUSTER_NAMESPACE, name };
  const filled = (lease: Lease): Lease => ({
    ...lease,
    metadata: {
      ...lease.metadata,
      ownerReferences: lease.metadata.ownerReferences ?? [
        { apiVersion: "cluster.karmada.io/v1alpha1", kind: "Cluster", name, uid: cluster.metadata.uid ?? "" },
      ],
    },
    spec: {
      ...lease.spec,
      holderIdentity: name,
      leaseDurationSeconds: options.clusterLeaseDurationMs / 1000,
      renewTime: formatMicroTime(clock.now()),
    },
  });
  let lease = known;
  for (let tries = 1; ; tries++) {
    try {
      lease ??= await client.find(Lease, at);
      if (lease === undefined)
        return await client.create(
          Lease,
          filled({ apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: at }),
        );
      return await client.update(Lease, filled(lease));
    } catch (error) {
      const isStale = isConflict(error) || isAlreadyExists(error) || isNotFound(error);
      if (!isStale || tries >= RENEW_TRIES) throw error;
      lease = undefined;
    }
  }
}
