/**
 * Controller runtime: the vocabulary of controllers.
 *
 * `defineController` describes one controller like a table; a `Manager` runs many over shared caches; a `WorkQueue` holds
 * each key once; an `EventRecorder` tells users what happened. A reconcile answers `done`, `requeueAfter` or `terminal`,
 * and a throw means retry with backoff. Controllers never import each other: they meet in API objects.
 */
export {
  type CacheIndex,
  cacheIndex,
  type Change,
  type ControllerContext,
  type ControllerDefinition,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
  terminal,
  type Wake,
  wake,
  type Wakeup,
  type Writes,
} from "./definition.ts";
export { createEventRecorder, type EventRecorder, type ObjectReference } from "./event-recorder.ts";
export { createLeaderElector, type LeaderElector, type LeaderElectionOptions } from "./leader-election.ts";
export { lead, type Led } from "./lead.ts";
export { createManager, type Manager, type ManagerOptions } from "./manager.ts";
export { Settling } from "./settling.ts";
export { PATIENT, type Turn, Turns } from "./turns.ts";
export {
  type AddOptions,
  PRIORITY_LOW,
  PRIORITY_NORMAL,
  type RetryRate,
  WorkQueue,
  type WorkQueueOptions,
} from "./work-queue.ts";
