import type { Cluster, Component, ReplicaRequirements } from "#apis/karmada";
import type { AssumedWorkload } from "#estimator";
import type { TermRecorder } from "./decision.ts";
import type { SchedulerPlugin } from "./plugins/plugin.ts";

/** Answers how much fits; −1 or absence means: it does not know. A throw drops the estimator for the pass. */
export interface Estimator {
  readonly name: string;
  replicas(clusters: readonly Cluster[], requirements: ReplicaRequirements | undefined): ReadonlyMap<string, number>;
  sets(clusters: readonly Cluster[], components: readonly Component[]): ReadonlyMap<string, number>;
}

export interface AlgorithmOptions {
  readonly plugins: readonly SchedulerPlugin[];
  readonly estimators?: readonly Estimator[];
  readonly propagatesEmptyWorkloads?: boolean;
  /** Workloads placed a moment ago, by cluster. */
  readonly assumed?: ReadonlyMap<string, readonly AssumedWorkload[]>;
  /** Told how long each step took; left out where nobody measures. */
  readonly measure?: StepMeasure;
  /** Collects why; left out where nobody asks. */
  readonly record?: TermRecorder;
}

export type Step = "Filter" | "Score" | "Select" | "AssignReplicas";

/** What a plugin is called for, by upstream's names (wire). */
export type PluginPoint = "Filter" | "Score" | "ScoreExtensionNormalize";

/** A stopwatch and where its readings go. */
export interface StepMeasure {
  /** Milliseconds from any fixed point. */
  nowMs(): number;
  took(step: Step, durationMs: number, result: StepResult): void;
  /** Told of every single call of a plugin; left out in most passes, since telling takes longer than most plugins do. */
  ran?(plugin: string, point: PluginPoint, durationMs: number, result: StepResult): void;
}

/** `Unschedulable`: a filter refused. */
export type StepResult = "Success" | "Unschedulable" | "Error";
