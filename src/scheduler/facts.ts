import type {
  AnyBinding,
  Cluster,
  Placement,
  ResourceBinding,
  ResourceBindingSpec,
  ResourceBindingStatus,
  TargetCluster,
} from "#apis/karmada";

/** The gates the algorithm reads, as a set of names that are on. */
export type Gates = ReadonlySet<string>;

/** One binding to be placed, and everything a decision may look at. */
export interface SchedulingInput {
  readonly spec: ResourceBindingSpec;
  readonly status: ResourceBindingStatus | undefined;
  readonly placement: Placement;
  /** The affinity term tried now. */
  readonly observedAffinityName: string | undefined;
  readonly clusters: readonly Cluster[];
  readonly gates: Gates;
  /** The present time, for tolerations that expire; without it none does. */
  readonly nowMs?: number;
  /** Other bindings of the same namespace, for workload affinity. */
  readonly peers?: readonly ResourceBinding[];
  readonly self?: AnyBinding;
}

export const isWorkload = (spec: ResourceBindingSpec): boolean =>
  (spec.replicas ?? 0) > 0 || spec.replicaRequirements !== undefined || (spec.components?.length ?? 0) > 0;

/** `Duplicated`, or how a Divided workload is divided. */
export type Strategy = "Duplicated" | "Static" | "Dynamic" | "Aggregated" | "Unsupported";

export function strategyOf(placement: Placement): Strategy {
  const scheduling = placement.replicaScheduling;
  if (scheduling === undefined) return "Duplicated";
  const type = scheduling.replicaSchedulingType ?? "Divided";
  if (type === "Duplicated") return "Duplicated";
  if (scheduling.replicaDivisionPreference === "Aggregated") return "Aggregated";
  if (scheduling.replicaDivisionPreference === "Weighted")
    return scheduling.weightPreference?.dynamicWeight ? "Dynamic" : "Static";
  return "Unsupported";
}

/** A trigger later than the last schedule: everything is placed anew. */
export function isRescheduleTriggered(spec: ResourceBindingSpec, status: ResourceBindingStatus | undefined): boolean {
  const triggered = spec.rescheduleTriggeredAt;
  const last = status?.lastScheduledTime;
  return (
    triggered !== undefined &&
    last !== undefined &&
    triggered !== null &&
    last !== null &&
    Date.parse(triggered) > Date.parse(last)
  );
}

/** Lists longer than this are looked up by an index made once a list: lists are immutable. */
const INDEXED_ABOVE = 8;
const targetIndexes = new WeakMap<readonly TargetCluster[], ReadonlyMap<string, TargetCluster>>();

/** The binding's present entry for a cluster. */
export function targetNamed(spec: ResourceBindingSpec, name: string): TargetCluster | undefined {
  const { clusters } = spec;
  if (clusters === undefined || clusters === null) return undefined;
  if (clusters.length <= INDEXED_ABOVE) return clusters.find((target) => target.name === name);
  let index = targetIndexes.get(clusters);
  if (index === undefined)
    targetIndexes.set(clusters, (index = new Map(clusters.map((target) => [target.name, target]))));
  return index.get(name);
}

export const assignedReplicas = (targets: readonly TargetCluster[] | undefined): number =>
  (targets ?? []).reduce((sum, { replicas = 0 }) => sum + replicas, 0);

/** Set scheduling: whole component sets go to exactly one cluster. */
export function usesSets(spec: ResourceBindingSpec, placement: Placement, gates: Gates): boolean {
  if (!gates.has("MultiplePodTemplatesScheduling") || (spec.components?.length ?? 0) === 0) return false;
  return (placement.spreadConstraints ?? []).some(
    ({ spreadByField, minGroups, maxGroups }) => spreadByField === "cluster" && minGroups === 1 && maxGroups === 1,
  );
}
