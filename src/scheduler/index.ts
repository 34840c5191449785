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
export {
  decisionKey,
  isPlacementChanged,
  type PassEvent,
  type PassInput,
  type PassPlan,
  planPass,
} from "./pass.ts";
export { placementText } from "./placement-text.ts";
export { builtinPlugins, choosePlugins } from "./plugins/index.ts";
export { definePlugin, type HostedPlugin, type PluginHost, type SchedulerPlugin } from "./plugins/plugin.ts";
export type { AlgorithmOptions, Estimator, Step, StepMeasure } from "./algorithm.ts";
export { schedule } from "./schedule.ts";
export { scoreClusters } from "./filter-score.ts";
export type { DecidedCandidate, Decision, Division, ScheduleCause, TermDecision } from "./decision.ts";
export { schedulerController } from "./controller.ts";
export type { PlaceNew, SchedulerDeps, SchedulerOptions } from "./options.ts";
export { type DecisionLog, createDecisionLog } from "./decision-log.ts";
export { selectClusters } from "./select.ts";
export {
  backoffMs,
  bindingEnqueues,
  clusterStatesToMatch,
  concernsCluster,
  hasRoomGrown,
  isHandled,
} from "./triggers.ts";
export {
  type FleetChanges,
  type FleetSnapshot,
  type Move,
  type SimulatedBinding,
  simulateSchedule,
  simulateWithPlugins,
  type Simulation,
  type SimulationOptions,
} from "./simulate.ts";
export { describeDecision, explainLive, explainSchedule, type LiveParts } from "./explain.ts";
export { defineUserPlugin, PLUGIN_API_VERSION, type PluginQuestion, type UserPlugin } from "./plugin-host/api.ts";
export { type PluginHostOptions, startPluginHost } from "./plugin-host/host.ts";
export { type AssembledScheduler, assembleScheduler, type SchedulerSetup } from "./assemble.ts";
