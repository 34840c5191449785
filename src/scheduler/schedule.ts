import { type Cluster, overflowOrder, type TargetCluster } from "#apis/karmada";
import type { AlgorithmOptions, Step, StepResult } from "./algorithm.ts";
import { assignReplicas } from "./assign.ts";
import type { Candidate } from "./candidates.ts";
import { ScheduleError, wrapped } from "./errors.ts";
import { estimateRoom } from "./estimate.ts";
import { type SchedulingInput, usesSets } from "./facts.ts";
import { feasiblePlaces, scorePlaces } from "./filter-score.ts";
import { type Pass, passOf } from "./place.ts";
import { selectClusters } from "./select.ts";

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

function candidatesOf(pass: Pass, options: AlgorithmOptions): readonly Candidate[] {
  const { placement, fleet, present } = pass;
  const places = measured(options, "Filter", () => feasiblePlaces(pass, options));
  const scores = measured(options, "Score", () => scorePlaces(pass, places, options));
  const room = estimateRoom(pass, places, options);
  const hasTerms = placement.clusterAffinity === undefined && (placement.clusterAffinities?.length ?? 0) > 0;
  const { clusters, names, regionOf } = fleet;
  const candidates: Candidate[] = [];
  for (let at = 0; at < places.length; at++) {
    const place = places[at] as number;
    const cluster = clusters[place] as Cluster;
    const allocatable = room[at] as number;
    candidates.push({
      cluster,
      name: names[place] as string,
      order: at,
      region: regionOf(place),
      score: scores[at] as number,
      allocatable,
      available: allocatable + present.replicasAt(place),
      overflowOrder: hasTerms ? overflowOrder(placement, pass.observedAffinityName, cluster) : 0,
    });
  }
  options.record?.candidates(candidates);
  return candidates;
}

/** One run of the algorithm for one affinity: filter, score, select, assign. Throws `ScheduleError`. */
export function schedule(input: SchedulingInput, options: AlgorithmOptions): readonly TargetCluster[] {
  const pass = passOf(input);
  const { spec, placement, gates } = pass;
  const candidates = candidatesOf(pass, options);
  const bySets = usesSets(spec, placement, gates);
  let selected: readonly Candidate[];
  try {
    const selection = measured(options, "Select", () =>
      selectClusters(candidates, { placement, spec, need: bySets ? 1 : (spec.replicas ?? 0) }),
    );
    selected = selection.selected;
    options.record?.selected(selected, selection.regions);
  } catch (error) {
    if (error instanceof ScheduleError) options.record?.selected([], error.regions);
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
