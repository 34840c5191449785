import { type AnyBinding, type Cluster, evicted, type TargetCluster } from "#apis/karmada";
import { formatTime, parseTime } from "#machinery";

/** On a policy: how long a cluster must have been well before workloads that left it come back; a duration. */
export const FAIL_BACK_AFTER = "failover.flotilla.io/fail-back-after";
/** On a binding: clusters it was evicted from and may come back to. */
export const LEFT_CLUSTERS = "failover.flotilla.io/left-clusters";

export const PRODUCER = "fail-back";
export const REASON = "FailBack";

export function leftClusters(binding: AnyBinding): readonly string[] {
  return (binding.metadata.annotations?.[LEFT_CLUSTERS] ?? "").split(",").filter(Boolean);
}

/** What to do about a binding that left clusters. */
export type FailBackPlan =
  | { readonly kind: "nothing" }
  /** Note these clusters as left. */
  | { readonly kind: "note"; readonly clusters: readonly string[] }
  | { readonly kind: "wait"; readonly ms: number }
  /** These clusters are well; the others stay noted. */
  | { readonly kind: "return"; readonly to: readonly string[]; readonly rest: readonly string[] };

/** Milliseconds until a cluster has been well for long enough; `undefined` while it is not well. */
function wellInMs(cluster: Cluster, afterMs: number, nowMs: number): number | undefined {
  const ready = cluster.status?.conditions?.find(({ type }) => type === "Ready");
  const sinceMs = parseTime(ready?.lastTransitionTime);
  const isTainted = (cluster.spec?.taints ?? []).length > 0;
  if (ready?.status !== "True" || sinceMs === undefined || isTainted) return undefined;
  return cluster.metadata.deletionTimestamp === undefined ? Math.max(0, sinceMs + afterMs - nowMs) : undefined;
}

export function planFailBack(
  binding: AnyBinding,
  clusterOf: (name: string) => Cluster | undefined,
  afterMs: number,
  nowMs: number,
): FailBackPlan {
  const noted = leftClusters(binding);
  const tasks = binding.spec.gracefulEvictionTasks ?? [];
  const evictedFrom = tasks.filter(({ producer }) => producer === "TaintManager").map(({ fromCluster }) => fromCluster);
  const left = [...new Set([...noted, ...evictedFrom])].filter((name) => clusterOf(name) !== undefined).sort();
  if (left.join() !== noted.join()) return { kind: "note", clusters: left };
  // One move at a time: what is on its way arrives first.
  if (left.length === 0 || tasks.length > 0) return { kind: "nothing" };
  const waits = left.map((name) => wellInMs(clusterOf(name) as Cluster, afterMs, nowMs));
  const to = left.filter((_name, at) => waits[at] === 0);
  if (to.length > 0) return { kind: "return", to, rest: left.filter((name) => !to.includes(name)) };
  const next = waits.filter((ms): ms is number => ms !== undefined);
  return next.length === 0 ? { kind: "nothing" } : { kind: "wait", ms: Math.min(...next) };
}

/**
 * The binding on its way back: a fresh schedule is asked for, and clusters that it would leave are given up gracefully.
 * `predicted` is what that schedule gives; where it does not lead back, only the note is dropped.
 */
export function returned<T extends AnyBinding>(
  binding: T,
  to: readonly string[],
  rest: readonly string[],
  predicted: readonly TargetCluster[] | undefined,
  nowMs: number,
): { readonly binding: T; readonly isReturning: boolean } {
  const { [LEFT_CLUSTERS]: _noted, ...annotations } = binding.metadata.annotations ?? {};
  const noted = rest.length === 0 ? annotations : { ...annotations, [LEFT_CLUSTERS]: rest.join(",") };
  let next: T = { ...binding, metadata: { ...binding.metadata, annotations: noted } };
  const isReturning = predicted?.some(({ name }) => to.includes(name)) ?? false;
  if (predicted === undefined || !isReturning) return { binding: next, isReturning: false };
  for (const { name } of binding.spec.clusters ?? [])
    if (!predicted.some((target) => target.name === name))
      next = evicted(next, name, { producer: PRODUCER, reason: REASON, purgeMode: "Gracefully" });
  return {
    binding: { ...next, spec: { ...next.spec, rescheduleTriggeredAt: formatTime(nowMs) } },
    isReturning: true,
  };
}
