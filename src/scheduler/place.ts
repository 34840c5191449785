import type { TargetCluster } from "#apis/karmada";
import type { SchedulingInput } from "./facts.ts";
import { type Fleet, fleetOf } from "./fleet.ts";

/** One run of the algorithm, as plugins see it: the binding, and the clusters by place. */
export interface Pass extends SchedulingInput {
  readonly fleet: Fleet;
  /** Where the workload is now. */
  readonly present: Present;
}

/** Where a workload is now, by place. */
export interface Present {
  isAt(place: number): boolean;
  /** Its replicas there; 0 where it is not. */
  replicasAt(place: number): number;
  readonly isNowhere: boolean;
}

const NOWHERE: Present = { isAt: () => false, replicasAt: () => 0, isNowhere: true };
const ABSENT = -1;

function presentOf(targets: readonly TargetCluster[], fleet: Fleet): Present {
  if (targets.length === 0) return NOWHERE;
  const replicas = new Float64Array(fleet.clusters.length).fill(ABSENT);
  for (const target of targets) {
    const place = fleet.placeOf(target.name);
    if (place !== undefined && replicas[place] === ABSENT) replicas[place] = Math.max(0, target.replicas ?? 0);
  }
  return {
    isAt: (place) => replicas[place] !== ABSENT,
    replicasAt: (place) => Math.max(0, replicas[place] as number),
    isNowhere: false,
  };
}

/** The input with its clusters by name. */
export function passOf(input: SchedulingInput): Pass {
  const fleet = fleetOf(input.clusters);
  return { ...input, clusters: fleet.clusters, fleet, present: presentOf(input.spec.clusters ?? [], fleet) };
}
