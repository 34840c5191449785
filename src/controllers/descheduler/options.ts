import type { EstimatorPool } from "#estimator";

export interface DeschedulerOptions {
  /** `--descheduling-interval`. */
  readonly deschedulingIntervalMs: number;
  /** `--unschedulable-threshold`: how long a pod must have been without a node. */
  readonly unschedulableThresholdMs: number;
}

export interface DeschedulerDeps {
  readonly estimators: EstimatorPool;
}
