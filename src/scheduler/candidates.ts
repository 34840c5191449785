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
}

/** Overflow tier, then score, then room, then name. */
export function compareCandidates(left: Candidate, right: Candidate): number {
  return (
    left.overflowOrder - right.overflowOrder ||
    right.score - left.score ||
    right.available - left.available ||
    (left.name < right.name ? -1 : left.name > right.name ? 1 : 0)
  );
}
