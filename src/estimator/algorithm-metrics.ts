import { exponentialBuckets, type Metrics } from "#base";

/** Questions an estimator is asked, by upstream's names (wire). */
type EstimateType = "MaxAvailableReplicas" | "MaxAvailableComponentSets" | "GetUnschedulableReplicas";
/** Parts of an answer, by upstream's names (wire). */
type EstimateStep = "Total" | "GetObjectFromCache" | "GetWorkloadUnschedulablePods";

/** Told how long a step of an answer took. */
type StepTimer = (type: EstimateType, step: EstimateStep, result: "success" | "error", durationMs: number) => void;

/** The histogram of estimates by step; server and estimator share it. */
export function algorithmTimer(metrics: Metrics): StepTimer {
  const seconds = metrics.histogram(
    "karmada_scheduler_estimator_estimating_algorithm_duration_seconds",
    "Time of one estimate, or of a step of it",
    ["result", "type", "step"],
    exponentialBuckets(0.001, 2, 10),
  );
  return (type, step, result, durationMs) => seconds.observe(durationMs / 1000, { result, type, step });
}

/** Runs a step and tells how long it took. */
export function timedStep<T>(timer: StepTimer | undefined, type: EstimateType, step: EstimateStep, run: () => T): T {
  if (timer === undefined) return run();
  const startedMs = performance.now();
  let result: "success" | "error" = "error";
  try {
    const answer = run();
    result = "success";
    return answer;
  } finally {
    timer(type, step, result, performance.now() - startedMs);
  }
}
