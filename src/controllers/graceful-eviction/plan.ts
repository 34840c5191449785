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

/**
 * A member that runs some replicas, but fewer than it was just given, is healthy only by yesterday's standards: its report
 * is older than the schedule. One that reports none at all may be told so by an override.
 */
function isBehind(reported: ReportedReplicas | undefined, wanted: number): boolean {
  const { replicas = 0, availableReplicas } = reported ?? {};
  return replicas > 0 && availableReplicas !== undefined && availableReplicas < wanted;
}

/** Whether what was scheduled anew runs: every target is healthy and the scheduler has seen this generation. */
function isReplaced({ metadata, spec, status }: AnyBinding): boolean {
  if ((status?.schedulerObservedGeneration ?? 0) !== (metadata.generation ?? 0)) return false;
  return (spec.clusters ?? []).every(({ name, replicas = 0 }) =>
    status?.aggregatedStatus?.some(
      (item) =>
        item.clusterName === name &&
        item.health === "Healthy" &&
        !isBehind(item.status as ReportedReplicas | undefined, replicas),
    ),
  );
}

/** Judges each task by itself: suppressed, told to finish, timed out, or replaced by a healthy copy. */
export function planEvictions(binding: AnyBinding, nowMs: number, timeoutMs: number): EvictionPlan {
  const kept: GracefulEvictionTask[] = [];
  const finished: GracefulEvictionTask[] = [];
  let isChanged = false;
  let recheckMs: number | undefined;
  const replaced = isReplaced(binding);
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
