import {
  type AnyBinding,
  type Cluster,
  type ClusterAffinity,
  type Placement,
  inlineOf,
  matchesAffinity,
  overflowOf,
  termNamed,
} from "#apis/karmada";
import { exponentialBuckets, type Metrics } from "#base";
import type { AssumedWorkloads } from "./assumed.ts";
import type { Fleet } from "./fleet.ts";
import type { OwnBirths, OwnPatches, OwnResults, UntoldPasses } from "./own-results.ts";
import type { StepMeasure } from "./algorithm.ts";
import type { SchedulerPlugin } from "./plugins/plugin.ts";

/** What the queue remembers of a key; an event puts a new record in its place. */
export interface QueueRecord {
  /** How often it was taken since the last event. */
  attempts: number;
  /** When it was last put into the active queue. */
  insertedMs: number;
  /** When it was last taken. */
  takenMs: number;
  /** Where it waits, when it is not active. `nofit` waits for an event only. */
  parked: "backoff" | "unschedulable" | "nofit" | undefined;
  readonly priority: number;
  /** Whether nothing but the start of the scheduler has queued it. */
  readonly isOfStart: boolean;
}

export interface SchedulerMetrics {
  attempt(result: "scheduled" | "error", isScaling: boolean, seconds: number): void;
  incoming(event: "BindingAdd" | "BindingUpdate" | "ClusterChanged" | "ScheduleAttemptFailure"): void;
  /** For one pass. */
  measure(): StepMeasure;
  pending(counts: Readonly<Record<"active" | "backoff" | "unschedulable", number>>): void;
}

const PASS_SECONDS = exponentialBuckets(0.001, 2, 15);
const POINT_SECONDS = exponentialBuckets(0.0001, 2, 12);
const PLUGIN_SECONDS = exponentialBuckets(0.00001, 1.5, 20);
/** Single calls of plugins are timed in one pass of so many. */
const TIMED_PASSES = 100;

/** Measurements by upstream's names (wire). */
export function schedulerMetrics(metrics: Metrics): SchedulerMetrics {
  const labels = ["result", "schedule_type"];
  const attempts = metrics.counter(
    "karmada_scheduler_schedule_attempts_total",
    "Number of attempts to schedule a binding",
    labels,
  );
  const seconds = metrics.histogram(
    "karmada_scheduler_e2e_scheduling_duration_seconds",
    "Time of one scheduling pass, writes included",
    labels,
    PASS_SECONDS,
  );
  const incoming = metrics.counter(
    "karmada_scheduler_queue_incoming_bindings_total",
    "Bindings queued, by what queued them",
    ["event"],
  );
  const steps = metrics.histogram(
    "karmada_scheduler_scheduling_algorithm_duration_seconds",
    "Time of the scheduling algorithm by step",
    ["schedule_step"],
    PASS_SECONDS,
  );
  const points = metrics.histogram(
    "karmada_scheduler_framework_extension_point_duration_seconds",
    "Time of all plugins of one extension point",
    ["extension_point", "result"],
    POINT_SECONDS,
  );
  const plugins = metrics.histogram(
    "karmada_scheduler_plugin_execution_duration_seconds",
    `Time of one call of a plugin, measured in one pass of ${TIMED_PASSES}`,
    ["plugin", "extension_point", "result"],
    PLUGIN_SECONDS,
  );
  const coarse: StepMeasure = {
    nowMs: () => performance.now(),
    took(step, durationMs, result) {
      steps.observe(durationMs / 1000, { schedule_step: step });
      if (step === "Filter" || step === "Score") points.observe(durationMs / 1000, { extension_point: step, result });
    },
  };
  const detailed: StepMeasure = {
    ...coarse,
    ran: (plugin, step, durationMs, result) =>
      plugins.observe(durationMs / 1000, { plugin, extension_point: step, result }),
  };
  let passes = 0;
  const pending = metrics.gauge("scheduler_pending_bindings", "Bindings waiting, by queue", ["queue"]);
  return {
    attempt(result, isScaling, took) {
      const of = { result, schedule_type: isScaling ? "ScaleSchedule" : "ReconcileSchedule" };
      attempts.add(1, of);
      seconds.observe(took, of);
    },
    incoming: (event) => incoming.add(1, { event }),
    measure: () => (passes++ % TIMED_PASSES === 0 ? detailed : coarse),
    pending(counts) {
      for (const [queue, count] of Object.entries(counts)) pending.set(count, { queue });
    },
  };
}

/** Everything a running scheduler remembers between passes. */
export interface SchedulerState {
  readonly plugins: readonly SchedulerPlugin[];
  readonly records: Map<string, QueueRecord>;
  /** Bindings whose rebalance was asked for in the very second they were last placed in. */
  readonly sameSecondTriggers: Set<string>;
  readonly affinities: AffinityClasses;
  readonly assumed: AssumedWorkloads;
  readonly results: OwnResults;
  readonly patches: OwnPatches;
  readonly births: OwnBirths;
  readonly untold: UntoldPasses;
  readonly fleet: Fleet;
  readonly metrics: SchedulerMetrics;
}

const ANY = "any";
const UNSEEN = "unseen";
const texts = new WeakMap<object, string>();

function textOf(value: object): string {
  let text = texts.get(value);
  if (text === undefined) texts.set(value, (text = JSON.stringify(value)));
  return text;
}

/** The clusters a binding is concerned with, as a text: bindings with equal texts are concerned with the same ones. */
export function affinityClass(binding: AnyBinding): string | undefined {
  const placement: Placement | undefined = binding.spec.placement;
  if (placement === undefined) return undefined;
  const terms = placement.clusterAffinities ?? [];
  const [first] = terms;
  if (first !== undefined) {
    if ((binding.status?.schedulerObservedGeneration ?? 0) !== (binding.metadata.generation ?? 0)) return UNSEEN;
    return `term:${textOf(termNamed(placement, binding.status?.schedulerObservingAffinityName) ?? first)}`;
  }
  return placement.clusterAffinity === undefined ? ANY : `one:${textOf(placement.clusterAffinity)}`;
}

/** The affinity classes bindings have: a cluster's change is matched once a class, not once a binding. */
export class AffinityClasses {
  readonly #affinities = new Map<string, readonly ClusterAffinity[] | undefined>([
    [ANY, undefined],
    [UNSEEN, undefined],
  ]);

  add(binding: AnyBinding): void {
    const key = affinityClass(binding);
    const placement = binding.spec.placement;
    if (key === undefined || placement === undefined || this.#affinities.has(key)) return;
    if (placement.clusterAffinity !== undefined && !(placement.clusterAffinities ?? []).length)
      this.#affinities.set(key, [placement.clusterAffinity]);
    else {
      const term =
        termNamed(placement, binding.status?.schedulerObservingAffinityName) ?? placement.clusterAffinities?.[0];
      if (term !== undefined) this.#affinities.set(key, [inlineOf(term), ...(overflowOf(term) ?? [])]);
    }
  }

  /** Classes concerned with any of these states of a cluster. */
  concerned(states: readonly Cluster[]): readonly string[] {
    const found: string[] = [];
    for (const [key, affinities] of this.#affinities)
      if (
        affinities === undefined ||
        states.some((cluster) => affinities.some((affinity) => matchesAffinity(affinity, cluster)))
      )
        found.push(key);
    return found;
  }

  /** Forgets a class nobody has any more. */
  delete(key: string): void {
    if (key !== ANY && key !== UNSEEN) this.#affinities.delete(key);
  }
}
