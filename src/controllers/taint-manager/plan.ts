import {
  type AnyBinding,
  APPLIED_PLACEMENT,
  type Cluster,
  type GracefulEvictionTask,
  type Placement,
} from "#apis/karmada";
import { parseTime, tolerates } from "#machinery";

interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
  readonly timeAdded?: string | null;
}

export function noExecuteTaints(cluster: Cluster): readonly Taint[] {
  return ((cluster.spec?.taints ?? []) as readonly Taint[]).filter(({ effect }) => effect === "NoExecute");
}

/** When a binding must leave a cluster: now, at a time, or never. */
export type Deadline =
  | { readonly type: "now" }
  | { readonly type: "never" }
  | { readonly type: "at"; readonly atMs: number };

/** Judges by the placement that was applied; without one it is time at once. */
export function evictionDeadline(binding: AnyBinding, taints: readonly Taint[], nowMs: number): Deadline {
  let placement: Placement;
  try {
    placement = JSON.parse(binding.metadata.annotations?.[APPLIED_PLACEMENT] ?? "") as Placement;
  } catch {
    return { type: "now" };
  }
  const tolerations = placement.clusterTolerations ?? [];
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

export interface EvictionReason {
  readonly producer: string;
  readonly reason: string;
  readonly purgeMode: string;
}

/** The binding without the cluster and with a task that lets it go; the same binding when it is not there. */
export function evicted<T extends AnyBinding>(binding: T, cluster: string, why: EvictionReason): T {
  const target = (binding.spec.clusters ?? []).find(({ name }) => name === cluster);
  if (target === undefined) return binding;
  const tasks = binding.spec.gracefulEvictionTasks ?? [];
  const clusters = (binding.spec.clusters ?? []).filter(({ name }) => name !== cluster);
  const task = {
    fromCluster: cluster,
    purgeMode: why.purgeMode,
    ...((target.replicas ?? 0) > 0 ? { replicas: target.replicas } : {}),
    reason: why.reason,
    producer: why.producer,
  } as GracefulEvictionTask;
  const isListed = tasks.some(({ fromCluster }) => fromCluster === cluster);
  const { clusters: _clusters, ...spec } = binding.spec;
  return {
    ...binding,
    spec: {
      ...spec,
      ...(clusters.length === 0 ? {} : { clusters }),
      gracefulEvictionTasks: isListed ? tasks : [...tasks, task],
    },
  };
}
