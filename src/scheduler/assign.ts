import type { Placement, ResourceBindingSpec, ResourceBindingStatus, TargetCluster } from "#apis/karmada";
import { matchesAffinity, overflowOf, termNamed } from "#apis/karmada";
import type { Candidate } from "./candidates.ts";
import { divideByWeight, type Weight } from "./divide.ts";
import type { DivisionMode, TermRecorder } from "./decision.ts";
import { schedulerError, unschedulable, wrapped } from "./errors.ts";
import { assignedReplicas, isRescheduleTriggered, strategyOf } from "./facts.ts";

export interface AssignInput {
  readonly spec: ResourceBindingSpec;
  readonly status: ResourceBindingStatus | undefined;
  readonly placement: Placement;
  readonly observedAffinityName: string | undefined;
  /** Told how replicas were divided. */
  readonly record?: Pick<TermRecorder, "divided">;
  /** Set scheduling copies components onto its single target. */
  readonly copiesComponents?: boolean;
}

/** Replicas for each of the selected clusters. Throws when they do not fit. */
export function assignReplicas(selected: readonly Candidate[], input: AssignInput): readonly TargetCluster[] {
  const { spec, placement } = input;
  if (selected.length === 0) throw schedulerError("no clusters available to schedule");
  const components = spec.components ?? [];
  const divides = ((spec.replicas ?? 0) > 0 || spec.replicaRequirements !== undefined) && components.length <= 1;
  if (!divides) {
    const copied =
      input.copiesComponents && components.length >= 2
        ? { components: components.map(({ name, replicas }) => ({ name, replicas })) }
        : {};
    return selected.map(({ name }) => ({ name, ...copied }));
  }
  const term = placement.clusterAffinity === undefined ? termNamed(placement, input.observedAffinityName) : undefined;
  const tiers = overflowOf(term);
  const targets =
    tiers === undefined ? assignOnce(selected, spec.replicas ?? 0, input) : assignByTiers(selected, input);
  return targets.filter(({ replicas = 0 }) => replicas > 0);
}

function assignByTiers(selected: readonly Candidate[], input: AssignInput): readonly TargetCluster[] {
  let remaining = input.spec.replicas ?? 0;
  const orders = [...new Set(selected.map(({ overflowOrder }) => overflowOrder))].sort((a, b) => a - b);
  const targets: TargetCluster[] = [];
  for (const order of orders) {
    if (remaining === 0) break;
    const tier = selected.filter(({ overflowOrder }) => overflowOrder === order);
    const count = Math.min(remaining, sum(tier.map(({ available }) => available)));
    targets.push(...assignOnce(tier, count, input));
    remaining -= count;
  }
  if (remaining > 0) throw unschedulable("Clusters available replicas are not enough to schedule.");
  return targets;
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

function assignOnce(candidates: readonly Candidate[], replicas: number, input: AssignInput): readonly TargetCluster[] {
  const { placement, spec } = input;
  const strategy = strategyOf(placement);
  switch (strategy) {
    case "Duplicated":
      input.record?.divided("duplicated", replicas, []);
      return candidates.map(({ name }) => ({ name, replicas }));
    case "Static":
      return divideStatic(candidates, replicas, input);
    case "Dynamic":
    case "Aggregated":
      return divideDynamic(candidates, replicas, strategy, input);
    case "Unsupported": {
      const { replicaSchedulingType = "Divided", replicaDivisionPreference = "" } = placement.replicaScheduling ?? {};
      throw schedulerError(
        `unsupported replica scheduling strategy, replicaSchedulingType: ${replicaSchedulingType}, replicaDivisionPreference: ${replicaDivisionPreference}, please try another scheduling strategy`,
      );
    }
  }
  throw schedulerError(`no strategy for ${spec.resource.kind}`);
}

function divideStatic(
  candidates: readonly Candidate[],
  replicas: number,
  { placement, spec, record }: AssignInput,
): readonly TargetCluster[] {
  const list = placement.replicaScheduling?.weightPreference?.staticWeightList ?? [];
  let weights: Weight[] = candidates
    .map(({ name, cluster, order }) => ({
      name,
      order,
      weight: Math.max(
        0,
        ...list.filter(({ targetCluster }) => matchesAffinity(targetCluster, cluster)).map(({ weight }) => weight),
      ),
    }))
    .filter(({ weight }) => weight > 0);
  if (weights.length === 0) weights = candidates.map(({ name, order }) => ({ name, order, weight: 1 }));
  record?.divided("static", replicas, weights);
  return divideByWeight(replicas, weights, spec.resource.uid ?? "");
}

interface Capacity {
  readonly name: string;
  readonly capacity: number;
  readonly order?: number | undefined;
}

/** Present targets that are candidates. */
function present(spec: ResourceBindingSpec, candidates: readonly Candidate[]): readonly TargetCluster[] {
  const targets = spec.clusters ?? [];
  if (targets.length === 0) return targets;
  const names = new Set(candidates.map(({ name }) => name));
  return targets.filter(({ name }) => names.has(name));
}

function divideDynamic(
  candidates: readonly Candidate[],
  replicas: number,
  strategy: "Dynamic" | "Aggregated",
  { spec, status, record }: AssignInput,
): readonly TargetCluster[] {
  const previous = present(spec, candidates);
  const assigned = assignedReplicas(previous);
  const previousReplicas = new Map(previous.map(({ name, replicas: count = 0 }) => [name, count]));
  const previousOf = (name: string) => previousReplicas.get(name) ?? 0;
  const uid = spec.resource.uid ?? "";
  const divide = (mode: DivisionMode, count: number, list: readonly Capacity[]): readonly TargetCluster[] => {
    const prefersPresent = mode === "scale-up";
    let available = 0;
    for (const { capacity } of list) available += capacity;
    if (available < count) throw unschedulable(`Clusters available replicas ${available} are not enough to schedule.`);
    let used = list;
    if (strategy === "Aggregated") {
      const ordered =
        prefersPresent && previous.length > 0
          ? [...list.filter(({ name }) => previousOf(name) > 0), ...list.filter(({ name }) => previousOf(name) <= 0)]
          : list;
      let filled = 0;
      let length = 0;
      while (filled < count) filled += (ordered[length++] as Capacity).capacity;
      used = ordered.slice(0, length);
    }
    const weights = used.map(({ name, capacity, order }) => ({ name, weight: capacity, order }));
    record?.divided(mode, count, weights);
    return divideByWeight(count, weights, uid);
  };
  // Only filling up from the front asks for an order; a division by weights over the whole list does not.
  const descending = (list: Capacity[]) =>
    strategy === "Aggregated" ? list.sort((a, b) => b.capacity - a.capacity) : list;
  if (isRescheduleTriggered(spec, status)) {
    try {
      return divide(
        "fresh",
        replicas,
        descending(
          candidates.map(({ name, allocatable, order }) => ({ name, order, capacity: allocatable + previousOf(name) })),
        ),
      );
    } catch (error) {
      throw wrapped("failed to do fresh scale: ", error);
    }
  }
  if (assigned === replicas) {
    record?.divided("steady", replicas, []);
    return previous;
  }
  if (assigned > replicas) {
    try {
      return divide(
        "scale-down",
        replicas,
        descending(previous.map(({ name, replicas: capacity = 0 }) => ({ name, capacity }))),
      );
    } catch (error) {
      throw wrapped("failed to scale down: ", error);
    }
  }
  try {
    const extra = divide(
      "scale-up",
      replicas - assigned,
      descending(candidates.map(({ name, allocatable, order }) => ({ name, order, capacity: allocatable }))),
    );
    if (previous.length === 0) return extra;
    const divided = extra.map(({ name, replicas: added = 0 }) => ({ name, replicas: added + previousOf(name) }));
    const touched = new Set(divided.map(({ name }) => name));
    const rest = previous.filter(({ name }) => !touched.has(name));
    return [...divided, ...rest];
  } catch (error) {
    throw wrapped("failed to scale up: ", error);
  }
}
