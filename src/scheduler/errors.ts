/** Why a pass gave no result. The reason is that of the `Scheduled` condition (wire). */
export class ScheduleError extends Error {
  readonly reason: "NoClusterFit" | "Unschedulable" | "SchedulerError" | "QuotaExceeded";
  /** Scores of regions that were looked at before the selection failed. */
  readonly regions: readonly { readonly name: string; readonly score: number }[] | undefined;
  constructor(reason: ScheduleError["reason"], message: string, regions?: ScheduleError["regions"]) {
    super(message);
    this.regions = regions;
    this.name = "ScheduleError";
    this.reason = reason;
  }
}

export const noClusterFit = (message: string) => new ScheduleError("NoClusterFit", message);
export const unschedulable = (message: string) => new ScheduleError("Unschedulable", message);
export const schedulerError = (message: string) => new ScheduleError("SchedulerError", message);

/** The same error with words in front. */
export function wrapped(prefix: string, error: unknown): ScheduleError {
  if (error instanceof ScheduleError) return new ScheduleError(error.reason, `${prefix}${error.message}`);
  return schedulerError(`${prefix}${error instanceof Error ? error.message : String(error)}`);
}
