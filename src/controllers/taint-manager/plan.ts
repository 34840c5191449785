import { type AnyBinding, APPLIED_PLACEMENT, type Cluster, type Placement, type TargetCluster } from "#apis/karmada";
import { parseTime, tolerates } from "#machinery";

interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
  readonly timeAdded?: string | null;
}

export const PRODUCER = "TaintManager";
export const REASON = "TaintUntolerated";

export function noExecuteTaints(cluster: Cluster): readonly Taint[] {
  return ((cluster.spec?.taints ?? []) as readonly Taint[]).filter(({ effect }) => effect === "NoExecute");
}

/** When a binding must leave a cluster: now, at a time, or never. */
export type Deadline =
  | { readonly type: "now" }
  | { readonly type: "never" }
  | { readonly type: "at"; readonly atMs: number };

/** Judges by the placement that was applied last; a record that cannot be read gives way to the placement itself. */
export function evictionDeadline(binding: AnyBinding, taints: readonly Taint[], nowMs: number): Deadline {
  const tolerations = appliedPlacement(binding)?.clusterTolerations ?? [];
  let atMs = Number.POSITIVE_INFINITY;
  for (const taint of taints) {
    const match = tolerations.find((toleration) => tolerates(toleration, taint));
    if (match === undefined) return { type: "now" };
    if (match.tolerationSeconds === undefined) continue;
    const addedMs = parseTime(taint.timeAdded);
    if (match.tolerationSeconds <= 0) return { type: "now" };
    if (addedMs !== undefined) atMs = Math.min(atMs, addedMs + match.tolerationSeconds * 1000);
  }
  if (atMs === Number.POSITIVE_INFINITY) return { type: "never" };
  return atMs <= nowMs ? { type: "now" } : { type: "at", atMs };
}

const placements = new WeakMap<AnyBinding, Placement | undefined>();

function appliedPlacement(binding: AnyBinding): Placement | undefined {
  if (placements.has(binding)) return placements.get(binding);
  let placement = binding.spec.placement as Placement | undefined;
  try {
    const read: unknown = JSON.parse(binding.metadata.annotations?.[APPLIED_PLACEMENT] ?? "");
    if (typeof read === "object" && read !== null && !Array.isArray(read)) placement = read as Placement;
  } catch {
    // The placement of the spec is what the record would be made from.
  }
  placements.set(binding, placement);
  return placement;
}

const isReady = (cluster: Cluster) =>
  cluster.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;

/**
 * Takes back evictions whose reason is gone while nothing has replaced the copy: the cluster is well again, and the
 * scheduler found no other. Deleting the copy only to create it anew in the same place would help nobody.
 */
export function withoutMootEvictions<T extends AnyBinding>(
  binding: T,
  clusterOf: (name: string) => Cluster | undefined,
  nowMs: number,
): T {
  const { spec, status } = binding;
  const tasks = spec.gracefulEvictionTasks ?? [];
  const targets = spec.clusters ?? [];
  const scheduled = status?.conditions?.find(({ type }) => type === "Scheduled");
  if (scheduled?.status !== "False") return binding;
  const moot = tasks.filter(({ producer, reason, fromCluster }) => {
    if (producer !== PRODUCER || reason !== REASON) return false;
    const cluster = clusterOf(fromCluster);
    if (cluster === undefined || !isReady(cluster) || cluster.metadata.deletionTimestamp !== undefined) return false;
    return (
      evictionDeadline(binding, noExecuteTaints(cluster), nowMs).type === "never" ||
      noExecuteTaints(cluster).length === 0
    );
  });
  if (moot.length === 0) return binding;
  const back: TargetCluster[] = moot
    .filter(({ fromCluster }) => !targets.some(({ name }) => name === fromCluster))
    .map(({ fromCluster, replicas }) => ({ name: fromCluster, ...(replicas === undefined ? {} : { replicas }) }));
  const { gracefulEvictionTasks: _tasks, ...rest } = spec;
  const kept = tasks.filter((task) => !moot.includes(task));
  return {
    ...binding,
    spec: {
      ...rest,
      clusters: [...targets, ...back].sort((a, b) => (a.name < b.name ? -1 : 1)),
      ...(kept.length === 0 ? {} : { gracefulEvictionTasks: kept }),
    },
  };
}
