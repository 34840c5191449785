import type { Cluster, Component, ReplicaRequirements, TargetCluster } from "#apis/karmada";
import { type AssumedWorkload, estimateReplicas, estimateSets } from "#estimator";
import { overflowOrder } from "#apis/karmada";
import { assignReplicas } from "./assign.ts";
import { byName, type Candidate } from "./candidates.ts";
import type { TermRecorder } from "./decision.ts";
import { noClusterFit, ScheduleError, schedulerError, wrapped } from "./errors.ts";
import { type SchedulingInput, targetNamed, usesSets } from "./facts.ts";
import type { SchedulerPlugin } from "./plugins/plugin.ts";
import { selectClusters } from "./select.ts";

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

/** A stopwatch and where its readings go. */
export interface StepMeasure {
  /** Milliseconds from any fixed point. */
  nowMs(): number;
  took(step: Step, durationMs: number, result: StepResult): void;
  /** Told of every single call of a plugin; left out in most passes, since telling takes longer than most plugins do. */
  ran?(plugin: string, step: "Filter" | "Score", durationMs: number, result: StepResult): void;
}

/** `Unschedulable`: a filter refused. */
export type StepResult = "Success" | "Unschedulable" | "Error";

function measured<T>({ measure }: AlgorithmOptions, step: Step, run: () => T): T {
  if (measure === undefined) return run();
  const startedMs = measure.nowMs();
  let result: StepResult = "Error";
  try {
    const answer = run();
    result = "Success";
    return answer;
  } catch (error) {
    if (error instanceof ScheduleError && error.reason === "NoClusterFit") result = "Unschedulable";
    throw error;
  } finally {
    measure.took(step, measure.nowMs() - startedMs, result);
  }
}

export const UNLIMITED = 2147483647;

/** A plugin's failure is the pass's failure, by the plugin's name; the queue goes on. */
function failureOf(plugin: SchedulerPlugin | undefined, error: unknown): ScheduleError {
  if (error instanceof ScheduleError) return error;
  return schedulerError(
    `plugin ${JSON.stringify(plugin?.name)} failed: ${error instanceof Error ? error.message : String(error)}`,
  );
}

function verdictOf(plugin: SchedulerPlugin, input: SchedulingInput, cluster: Cluster): string | undefined {
  const reason: unknown = plugin.filter?.(input, cluster);
  if (reason === undefined || (typeof reason === "string" && reason !== "")) return reason;
  throw schedulerError(
    `plugin ${JSON.stringify(plugin.name)} must answer a reason or nothing when it filters, not ${describe(reason)}`,
  );
}

function describe(value: unknown): string {
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

/** The clusters that pass every filter. Throws `NoClusterFit` when none does. */
export function feasibleClusters(
  input: SchedulingInput,
  { plugins, record, measure }: AlgorithmOptions,
): readonly Cluster[] {
  const feasible: Cluster[] = [];
  const reasons = new Map<string, number>();
  const filters = plugins.filter(({ filter }) => filter !== undefined);
  const ran = measure?.ran === undefined ? undefined : measure;
  let current: SchedulerPlugin | undefined;
  try {
    for (const cluster of input.clusters) {
      if (cluster.metadata.deletionTimestamp !== undefined) continue;
      let reason: string | undefined;
      for (const plugin of filters) {
        current = plugin;
        const startedMs = ran === undefined ? 0 : ran.nowMs();
        reason = verdictOf(plugin, input, cluster);
        ran?.ran?.(plugin.name, "Filter", ran.nowMs() - startedMs, reason === undefined ? "Success" : "Unschedulable");
        if (reason === undefined) continue;
        record?.refused(cluster.metadata.name ?? "", plugin.name, reason);
        break;
      }
      if (reason === undefined) feasible.push(cluster);
      else reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
  } catch (error) {
    throw failureOf(current, error);
  }
  if (feasible.length > 0) return feasible;
  const parts = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  throw noClusterFit(
    `0/${input.clusters.length} clusters are available: ${parts.length === 0 ? "no cluster exists" : parts.join(", ")}.`,
  );
}

const SCORE_MAX = 100;

/** The sum of all scores of each cluster in turn. */
export function scoreClusters(
  input: SchedulingInput,
  clusters: readonly Cluster[],
  { plugins, record, measure }: AlgorithmOptions,
): readonly number[] {
  const totals = clusters.map(() => 0);
  const ran = measure?.ran === undefined ? undefined : measure;
  let current: SchedulerPlugin | undefined;
  try {
    for (const plugin of plugins) {
      if (plugin.score === undefined) continue;
      current = plugin;
      for (let at = 0; at < clusters.length; at++) {
        const cluster = clusters[at] as Cluster;
        const startedMs = ran === undefined ? 0 : ran.nowMs();
        const score: unknown = plugin.score(input, cluster);
        ran?.ran?.(plugin.name, "Score", ran.nowMs() - startedMs, "Success");
        if (typeof score !== "number" || !(score >= 0 && score <= SCORE_MAX))
          throw schedulerError(
            `plugin ${JSON.stringify(plugin.name)} must score from 0 to ${SCORE_MAX}, not ${describe(score)}`,
          );
        record?.scored(cluster.metadata.name ?? "", plugin.name, score);
        totals[at] = (totals[at] as number) + score;
      }
    }
  } catch (error) {
    throw failureOf(current, error);
  }
  return totals;
}

/** Room of each cluster in turn, the least of all estimators that know. */
function estimate(input: SchedulingInput, clusters: readonly Cluster[], options: AlgorithmOptions): readonly number[] {
  const { spec, placement, gates } = input;
  const components = spec.components ?? [];
  if ((spec.replicas ?? 0) === 0 && components.length === 0) return clusters.map(() => UNLIMITED);
  const bySets = usesSets(spec, placement, gates);
  const usesModels = gates.has("CustomizedClusterResourceModeling");
  const { assumed, record } = options;
  const unoccupied = { usesModels };
  const result = clusters.map((cluster) => {
    const own = assumed?.get(cluster.metadata.name ?? "");
    const general = own === undefined ? unoccupied : { usesModels, assumed: own };
    return bySets
      ? estimateSets(cluster, components, general)
      : estimateReplicas(cluster, spec.replicaRequirements, general);
  });
  record?.estimated("general-estimator", named(clusters, result));
  for (const estimator of options.estimators ?? []) {
    let answers: ReadonlyMap<string, number>;
    try {
      answers = bySets ? estimator.sets(clusters, components) : estimator.replicas(clusters, spec.replicaRequirements);
    } catch (error) {
      record?.estimated(estimator.name, error instanceof Error ? error.message : String(error));
      continue;
    }
    record?.estimated(estimator.name, answers);
    for (const [at, cluster] of clusters.entries()) {
      const answer = answers.get(cluster.metadata.name ?? "");
      // −1 and what is no number mean "does not know"; other negative answers are nothing.
      if (answer !== undefined && answer !== -1 && answer < (result[at] as number)) result[at] = Math.max(0, answer);
    }
  }
  return result.map((room) => (room === UNLIMITED ? (spec.replicas ?? 0) : room));
}

const named = (clusters: readonly Cluster[], values: readonly number[]): ReadonlyMap<string, number> =>
  new Map(clusters.map(({ metadata }, at) => [metadata.name ?? "", values[at] as number]));

/** One run of the algorithm for one affinity: filter, score, select, assign. Throws `ScheduleError`. */
export function schedule(given: SchedulingInput, options: AlgorithmOptions): readonly TargetCluster[] {
  const input = { ...given, clusters: byName(given.clusters) };
  const { spec, placement, gates } = input;
  const feasible = measured(options, "Filter", () => feasibleClusters(input, options));
  const scores = measured(options, "Score", () => scoreClusters(input, feasible, options));
  const room = estimate(input, feasible, options);
  const candidates = feasible.map((cluster, at): Candidate => {
    const name = cluster.metadata.name ?? "";
    const allocatable = room[at] as number;
    return {
      cluster,
      name,
      order: at,
      score: scores[at] ?? 0,
      allocatable,
      available: allocatable + (targetNamed(spec, name)?.replicas ?? 0),
      overflowOrder:
        placement.clusterAffinity === undefined ? overflowOrder(placement, input.observedAffinityName, cluster) : 0,
    };
  });
  options.record?.candidates(candidates);
  const bySets = usesSets(spec, placement, gates);
  let selected: readonly Candidate[];
  try {
    const selection = measured(options, "Select", () =>
      selectClusters(candidates, { placement, spec, need: bySets ? 1 : (spec.replicas ?? 0) }),
    );
    selected = selection.selected;
    options.record?.selected(selected, selection.regions);
  } catch (error) {
    throw wrapped("failed to select clusters: ", error);
  }
  let targets: readonly TargetCluster[];
  try {
    targets = measured(options, "AssignReplicas", () =>
      assignReplicas(selected, {
        spec,
        status: input.status,
        placement,
        observedAffinityName: input.observedAffinityName,
        copiesComponents: bySets,
        ...(options.record === undefined ? {} : { record: options.record }),
      }),
    );
  } catch (error) {
    throw wrapped("failed to assign replicas: ", error);
  }
  if (!options.propagatesEmptyWorkloads) return targets;
  const present = new Set(targets.map(({ name }) => name));
  return [...targets, ...selected.filter(({ name }) => !present.has(name)).map(({ name }) => ({ name, replicas: 0 }))];
}
