import type { AnyBinding, GracefulEvictionTask } from "#apis/karmada";
import { formatTime, parseTime } from "#machinery";

export interface EvictionPlan {
  readonly kept: readonly GracefulEvictionTask[];
  readonly finished: readonly GracefulEvictionTask[];
  readonly isChanged: boolean;
  /** Until the nearest timeout of a task that is kept. */
  readonly recheckMs: number | undefined;
}

interface ReportedReplicas {
  readonly replicas?: number;
  readonly availableReplicas?: number;
}

/** What the Work of a cluster asks for at present. */
export interface Rendered {
  readonly replicas: number;
  /** Whether overrides had a part in it. */
  readonly isOverridden: boolean;
}
type RenderedIn = (cluster: string) => Rendered | undefined;

/** Kinds that always report how many replicas there are, were they none. */
const COUNTED = new Set(["apps/v1 Deployment", "apps/v1 StatefulSet", "apps/v1 ReplicaSet"]);

/**
 * A member that runs fewer replicas than it was just given is healthy only by yesterday's standards: its report is older than
 * the schedule. One that reports none at all may be told so by an override, and is old where its Work says otherwise or was
 * not made anew yet.
 */
function isBehind(
  reported: ReportedReplicas | undefined,
  wanted: number,
  rendered: () => Rendered | undefined,
): boolean {
  const { replicas = 0, availableReplicas } = reported ?? {};
  if (replicas > 0) return availableReplicas !== undefined && availableReplicas < wanted;
  if (wanted === 0) return false;
  const work = rendered();
  return work !== undefined && (work.replicas > 0 || !work.isOverridden);
}

/** Whether what was scheduled anew runs: every target is healthy and the scheduler has seen this generation. */
function isReplaced({ metadata, spec, status }: AnyBinding, renderedIn: RenderedIn): boolean {
  if ((status?.schedulerObservedGeneration ?? 0) !== (metadata.generation ?? 0)) return false;
  const isCounted = COUNTED.has(`${spec.resource.apiVersion} ${spec.resource.kind}`);
  return (spec.clusters ?? []).every(({ name, replicas = 0 }) =>
    status?.aggregatedStatus?.some(
      (item) =>
        item.clusterName === name &&
        item.health === "Healthy" &&
        !isBehind(item.status as ReportedReplicas | undefined, replicas, () =>
          isCounted ? renderedIn(name) : undefined,
        ),
    ),
  );
}

/** Judges each task by itself: suppressed, told to finish, timed out, or replaced by a healthy copy. */
export function planEvictions(
  binding: AnyBinding,
  nowMs: number,
  timeoutMs: number,
  renderedIn: RenderedIn,
): EvictionPlan {
  const kept: GracefulEvictionTask[] = [];
  const finished: GracefulEvictionTask[] = [];
  let isChanged = false;
  let recheckMs: number | undefined;
  const replaced = isReplaced(binding, renderedIn);
  for (const task of binding.spec.gracefulEvictionTasks ?? []) {
    const createdMs = parseTime(task.creationTimestamp as string | undefined);
    const graceMs = task.gracePeriodSeconds === undefined ? timeoutMs : task.gracePeriodSeconds * 1000;
    const wait = (fromMs: number) => {
      if (task.suppressDeletion === true) return;
      recheckMs = Math.min(recheckMs ?? Number.POSITIVE_INFINITY, Math.max(1, fromMs + graceMs - nowMs + 1));
    };
    if (createdMs === undefined) {
      kept.push({ ...task, creationTimestamp: formatTime(nowMs) } as GracefulEvictionTask);
      isChanged = true;
      wait(nowMs);
      continue;
    }
    const isOver =
      task.suppressDeletion === true
        ? false
        : task.suppressDeletion === false || nowMs > createdMs + graceMs || replaced;
    if (isOver) {
      finished.push(task);
      isChanged = true;
    } else {
      kept.push(task);
      wait(createdMs);
    }
  }
  return { kept, finished, isChanged, recheckMs };
}
