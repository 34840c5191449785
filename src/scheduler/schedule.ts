import type { Cluster, Component, ReplicaRequirements, TargetCluster } from "#apis/karmada";
import { type AssumedWorkload, estimateReplicas, estimateSets } from "#estimator";
import { overflowOrder } from "#apis/karmada";
import { assignReplicas } from "./assign.ts";
import type { Candidate } from "./candidates.ts";
import { noClusterFit, wrapped } from "./errors.ts";
import { type SchedulingInput, targetNamed, usesSets } from "./facts.ts";
import type { SchedulerPlugin } from "./plugins/plugin.ts";
import { type RegionScore, selectClusters } from "./select.ts";

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
  /** Collects why; left out where nobody asks. */
  readonly record?: DecisionRecorder;
}

/** What a decision leaves behind for those who ask why. */
export interface Decision {
  readonly refused: Readonly<Record<string, { readonly plugin: string; readonly reason: string }>>;
  readonly candidates: readonly { readonly cluster: string; readonly scores: Readonly<Record<string, number>>; readonly score: number; readonly allocatable: number; readonly available: number }[];
  readonly regions?: readonly RegionScore[];
  readonly selected: readonly string[];
  readonly result?: readonly TargetCluster[];
  readonly error?: string;
}

export interface DecisionRecorder {
  refused(cluster: string, plugin: string, reason: string): void;
  scored(cluster: string, plugin: string, score: number): void;
  candidates(candidates: readonly Candidate[]): void;
  selected(candidates: readonly Candidate[], regions: readonly RegionScore[] | undefined): void;
}

export const UNLIMITED = 2147483647;

/** The clusters that pass every filter. Throws `NoClusterFit` when none does. */
export function feasibleClusters(input: SchedulingInput, { plugins, record }: AlgorithmOptions): readonly Cluster[] {
  const feasible: Cluster[] = [];
  const reasons = new Map<string, number>();
  for (const cluster of input.clusters) {
    if (cluster.metadata.deletionTimestamp !== undefined) continue;
    let reason: string | undefined;
    for (const plugin of plugins) {
      reason = plugin.filter?.(input, cluster);
      if (reason === undefined) continue;
      record?.refused(cluster.metadata.name ?? "", plugin.name, reason);
      break;
    }
    if (reason === undefined) feasible.push(cluster);
    else reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  if (feasible.length > 0) return feasible;
  const parts = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  throw noClusterFit(`0/${input.clusters.length} clusters are available: ${parts.length === 0 ? "no cluster exists" : parts.join(", ")}.`);
}

export function scoreCluster(input: SchedulingInput, cluster: Cluster, { plugins, record }: AlgorithmOptions): number {
  let total = 0;
  for (const plugin of plugins) {
    if (plugin.score === undefined) continue;
    const score = plugin.score(input, cluster);
    record?.scored(cluster.metadata.name ?? "", plugin.name, score);
    total += score;
  }
  return total;
}

/** Room by cluster, the least of all estimators that know. */
export function estimate(input: SchedulingInput, clusters: readonly Cluster[], options: AlgorithmOptions): ReadonlyMap<string, number> {
  const { spec, placement, gates } = input;
  const result = new Map<string, number>();
  const components = spec.components ?? [];
  if ((spec.replicas ?? 0) === 0 && components.length === 0) {
    for (const { metadata } of clusters) result.set(metadata.name ?? "", UNLIMITED);
    return result;
  }
  const bySets = usesSets(spec, placement, gates);
  const usesModels = gates.has("CustomizedClusterResourceModeling");
  for (const cluster of clusters) {
    const name = cluster.metadata.name ?? "";
    const general = { usesModels, assumed: options.assumed?.get(name) ?? [] };
    result.set(name, bySets ? estimateSets(cluster, components, general) : estimateReplicas(cluster, spec.replicaRequirements, general));
  }
  for (const estimator of options.estimators ?? []) {
    let answers: ReadonlyMap<string, number>;
    try {
      answers = bySets ? estimator.sets(clusters, components) : estimator.replicas(clusters, spec.replicaRequirements);
    } catch {
      continue;
    }
    for (const [name, answer] of answers) {
      const present = result.get(name);
      if (present !== undefined && answer !== -1 && answer < present) result.set(name, answer);
    }
  }
  for (const [name, value] of result) if (value === UNLIMITED) result.set(name, spec.replicas ?? 0);
  return result;
}

/** One run of the algorithm for one affinity: filter, score, select, assign. Throws `ScheduleError`. */
export function schedule(input: SchedulingInput, options: AlgorithmOptions): readonly TargetCluster[] {
  const { spec, placement, gates } = input;
  const feasible = feasibleClusters(input, options);
  const room = estimate(input, feasible, options);
  const candidates = feasible.map((cluster): Candidate => {
    const name = cluster.metadata.name ?? "";
    const allocatable = room.get(name) ?? 0;
    return {
      cluster,
      name,
      score: scoreCluster(input, cluster, options),
      allocatable,
      available: allocatable + (targetNamed(spec, name)?.replicas ?? 0),
      overflowOrder: placement.clusterAffinity === undefined ? overflowOrder(placement, input.observedAffinityName, cluster) : 0,
    };
  });
  options.record?.candidates(candidates);
  const bySets = usesSets(spec, placement, gates);
  let selected: readonly Candidate[];
  try {
    const selection = selectClusters(candidates, { placement, spec, need: bySets ? 1 : (spec.replicas ?? 0) });
    selected = selection.selected;
    options.record?.selected(selected, selection.regions);
  } catch (error) {
    throw wrapped("failed to select clusters: ", error);
  }
  let targets: readonly TargetCluster[];
  try {
    targets = assignReplicas(selected, { spec, status: input.status, placement, observedAffinityName: input.observedAffinityName, copiesComponents: bySets });
  } catch (error) {
    throw wrapped("failed to assign replicas: ", error);
  }
  if (!options.propagatesEmptyWorkloads) return targets;
  const present = new Set(targets.map(({ name }) => name));
  return [...targets, ...selected.filter(({ name }) => !present.has(name)).map(({ name }) => ({ name, replicas: 0 }))];
}
