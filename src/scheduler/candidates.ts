import type { Cluster } from "#apis/karmada";

/** A cluster that may be used, with what speaks for it. */
export interface Candidate {
  readonly cluster: Cluster;
  readonly name: string;
  readonly score: number;
  /** Replicas that fit beside what runs there. */
  readonly allocatable: number;
  /** `allocatable` and the workload's own replicas there. */
  readonly available: number;
  readonly overflowOrder: number;
  /** Its place among all clusters by name, where known: comparing it is cheaper than comparing names. */
  readonly order?: number;
  /** The cluster's region, where it has been read already; empty for none. */
  readonly region?: string;
}

/** The region of a candidate's cluster; empty for none. */
export const regionOf = ({ region, cluster }: Candidate): string => region ?? cluster.spec?.region ?? "";

/** Overflow tier, then score, then room, then name. */
export function compareCandidates(left: Candidate, right: Candidate): number {
  return (
    left.overflowOrder - right.overflowOrder ||
    right.score - left.score ||
    right.available - left.available ||
    (left.order !== undefined && right.order !== undefined
      ? left.order - right.order
      : left.name < right.name
        ? -1
        : left.name > right.name
          ? 1
          : 0)
  );
}

/** Short lists are sorted by comparing. */
const COMPARED_MAX = 64;
/** Room and place make one number each that sorts as they do: 32 bits of room above 20 of place. */
const ROOM_LIMIT = 2 ** 32;
const PLACE_LIMIT = 2 ** 20;

const isNumberable = ({ available, order, score }: Candidate, at: number): boolean =>
  order === at && Number.isInteger(score) && Number.isInteger(available) && available >= 0 && available < ROOM_LIMIT;

/** Candidates in the order of `compareCandidates`. Long lists in which each stands at its place are sorted as numbers. */
export function ordered(candidates: readonly Candidate[]): readonly Candidate[] {
  if (candidates.length <= COMPARED_MAX || candidates.length > PLACE_LIMIT || !candidates.every(isNumberable))
    return [...candidates].sort(compareCandidates);
  const groups = new Map<number, Candidate[]>();
  for (const candidate of candidates) {
    // Scores are sums of 0..100 over few plugins; equal tiers and scores make one group.
    const rank = candidate.overflowOrder * ROOM_LIMIT - candidate.score;
    const group = groups.get(rank);
    if (group === undefined) groups.set(rank, [candidate]);
    else group.push(candidate);
  }
  const result: Candidate[] = [];
  for (const rank of [...groups.keys()].sort((a, b) => a - b)) {
    const group = groups.get(rank) as readonly Candidate[];
    const keys = new Float64Array(group.length);
    for (let at = 0; at < keys.length; at++) {
      const { available, order } = group[at] as Candidate;
      keys[at] = (ROOM_LIMIT - 1 - available) * PLACE_LIMIT + (order as number);
    }
    for (const key of keys.sort()) result.push(candidates[key % PLACE_LIMIT] as Candidate);
  }
  return result;
}

const nameOf = (cluster: Cluster): string => cluster.metadata.name ?? "";
const sorted = new WeakMap<readonly Cluster[], readonly Cluster[]>();

/** The clusters by name; a list is looked at once. */
export function byName(clusters: readonly Cluster[]): readonly Cluster[] {
  let result = sorted.get(clusters);
  if (result === undefined) {
    const isSorted = clusters.every((cluster, at) => at === 0 || nameOf(clusters[at - 1] as Cluster) < nameOf(cluster));
    result = isSorted ? clusters : [...clusters].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
    sorted.set(clusters, result);
  }
  return result;
}
