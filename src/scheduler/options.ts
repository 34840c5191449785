import type { AnyBinding } from "#apis/karmada";
import type { Backoff } from "#base";
import type { EstimatorPool } from "#estimator";
import type { DecisionLog } from "./decision-log.ts";
import type { Gates } from "./facts.ts";
import type { PluginHost, SchedulerPlugin } from "./plugins/plugin.ts";
import type { Estimator } from "./algorithm.ts";

export interface SchedulerOptions {
  /** Which bindings are ours; also the source of events (wire). */
  readonly schedulerName: string;
  /** Value of `--plugins`. */
  readonly plugins: string;
  readonly enableEmptyWorkloadPropagation: boolean;
  /** Whether bindings that no policy claims stay as they are, or follow cluster events as upstream's do. */
  readonly unclaimedBindings: "freeze" | "follow";
  /** Passes whose results are being written at a time; decisions themselves never overlap. */
  readonly concurrentWrites: number;
  /** Wait after a failure where priorities do not order the queue (gate `PriorityBasedScheduling` off). */
  readonly plainBackoff: Backoff;
}

export interface SchedulerDeps {
  readonly gates: Gates;
  /** Keeps why; without it nobody is told. */
  readonly decisions?: DecisionLog;
  /** Estimators that answer at once. */
  readonly estimators?: readonly Estimator[];
  /** Accurate estimators of the members, in process or over the network. */
  readonly estimatorPool?: EstimatorPool;
  /** Plugins linked into the program. */
  readonly extraPlugins?: readonly SchedulerPlugin[];
  /** Plugins of users' modules, run apart. */
  readonly pluginHosts?: readonly PluginHost[];
  /** Takes, once the scheduler runs, how new bindings are placed as they are created. */
  readonly placesNew?: (place: PlaceNew) => void;
}

/** Where a binding goes that is about to be created; `undefined` where that is for the queue to decide. */
export type PlaceNew = (binding: AnyBinding) => FirstPlacement | undefined;

/** A placement a binding is born with. Whoever asked for it creates the binding and says what came of it. */
export interface FirstPlacement {
  /** As it is to be created. */
  readonly binding: AnyBinding;
  /** What its status says then; it is written after where it cannot be in the same write. */
  readonly statusPatch: Readonly<Record<string, unknown>>;
  created(binding: AnyBinding): Promise<void>;
  failed(): void;
}
