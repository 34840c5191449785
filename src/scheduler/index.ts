/**
 * Scheduler: which clusters, and how many replicas in each.
 *
 * `planPass` decides about one binding: filter, score, select by spread constraints, assign replicas, and everything that
 * is to be written and said. Plugins bear upstream's names. The core is pure; `schedulerController` runs it on events.
 */
export { assignReplicas } from "./assign.ts";
export type { Candidate } from "./candidates.ts";
export { divideByWeight, type Weight } from "./divide.ts";
export { ScheduleError } from "./errors.ts";
export { type Gates, type SchedulingInput, usesSets } from "./facts.ts";
export { isPlacementChanged, type PassEvent, type PassInput, type PassPlan, placementText, planPass } from "./pass.ts";
export { builtinPlugins, choosePlugins } from "./plugins/index.ts";
export { definePlugin, type SchedulerPlugin } from "./plugins/plugin.ts";
export { type AlgorithmOptions, type Decision, type DecisionRecorder, type Estimator, schedule, scoreCluster } from "./schedule.ts";
export { type SchedulerDeps, schedulerController, type SchedulerOptions } from "./controller.ts";
export { type DecisionLog, createDecisionLog } from "./decision-log.ts";
export { selectClusters } from "./select.ts";
export { backoffMs, bindingEnqueues, clusterStatesToMatch, concernsCluster, isHandled } from "./triggers.ts";
