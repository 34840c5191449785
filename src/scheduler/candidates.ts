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
}

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
