import { Lease } from "#apis/kubernetes";
import { Cluster, CLUSTER_NAMESPACE } from "#apis/karmada";
import { sleep } from "#base";
import { formatTime, isConflict, isNotFound } from "#machinery";
import type { ClusterContext } from "./context.ts";
import { type Heartbeat, type Judgement, judgeHeartbeat } from "./plan.ts";

const RETRY_MS = 20;
const RETRY_LIMIT_MS = 100;

/** Looks at every cluster once a period until `signal` aborts: pull clusters nothing was heard of turn Unknown. */
export async function monitor(context: ClusterContext): Promise<void> {
  const { clock, options, signal } = context;
  const heartbeats = new Map<string, Heartbeat>();
  for (;;) {
    await sleep(clock, options.clusterMonitorPeriodMs, signal);
    if (signal.aborted) return;
    const clusters = context.cache(Cluster).list();
    const names = new Set(clusters.map(({ metadata }) => metadata.name ?? ""));
    for (const name of [...heartbeats.keys()]) if (!names.has(name)) heartbeats.delete(name);
    await Promise.all(clusters.map((cluster) => look(cluster, heartbeats, context)));
  }
}

async function look(cluster: Cluster, heartbeats: Map<string, Heartbeat>, context: ClusterContext): Promise<void> {
  const name = cluster.metadata.name ?? "";
  // How long a cluster has been unhealthy is nobody's event; the reconcile adds what is due by now.
  if (context.options.failoverEvictionTimeoutMs > 0) context.enqueue({ name });
  if (cluster.spec?.syncMode !== "Pull" || cluster.metadata.deletionTimestamp !== undefined) return;
  const nowMs = context.clock.monotonicMs();
  const renewTime = context.cache(Lease).get(`${CLUSTER_NAMESPACE}/${name}`)?.spec?.renewTime ?? undefined;
  const judgement = judgeHeartbeat(
    cluster,
    renewTime,
    heartbeats.get(name),
    nowMs,
    context.clock.now(),
    context.options,
  );
  heartbeats.set(name, judgement.heartbeat);
  // A cluster that is late but not too late counts for the brake on evictions already.
  context.deps.members?.report(
    name,
    nowMs - judgement.heartbeat.seenMs < context.options.clusterMonitorGracePeriodMs / 2,
  );
  if (judgement.condition === undefined) return;
  try {
    await turnUnknown(cluster, judgement.condition, context);
  } catch (error) {
    context.log.warn("could not note that a cluster is silent", { cluster: name, error });
  }
}

async function turnUnknown(
  known: Cluster,
  condition: NonNullable<Judgement["condition"]>,
  context: ClusterContext,
): Promise<void> {
  const endMs = context.clock.monotonicMs() + RETRY_LIMIT_MS;
  let latest: Cluster | undefined = known;
  for (;;) {
    try {
      const conditions: readonly { readonly type: string }[] = latest.status?.conditions ?? [];
      const written = { ...condition, lastTransitionTime: formatTime(context.clock.now()) };
      await context.client.updateStatus(Cluster, {
        ...latest,
        status: {
          ...latest.status,
          conditions: conditions.some(({ type }) => type === "Ready")
            ? conditions.map((present) => (present.type === "Ready" ? written : present))
            : [...conditions, written],
        },
      } as unknown as Cluster);
      context.log.info("cluster stopped reporting", { cluster: known.metadata.name ?? "", reason: condition.reason });
      return;
    } catch (error) {
      if (isNotFound(error)) return;
      // Somebody posted a status: it is heard of at the next look.
      if (isConflict(error)) return;
      if (context.clock.monotonicMs() >= endMs) throw error;
      await sleep(context.clock, RETRY_MS, context.signal);
      latest = await context.client.find(Cluster, { name: known.metadata.name ?? "" });
      if (latest === undefined) return;
    }
  }
}
