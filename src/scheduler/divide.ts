import type { TargetCluster } from "#apis/karmada";
import { fnv1a32 } from "#base";

export interface Weight {
  readonly name: string;
  readonly weight: number;
}

/**
 * Divides `total` by highest averages (Webster): the next replica goes where `weight ÷ (2·given + 1)` is greatest; ties
 * go to fewer given, then by name, descending when the hash of `uid` is odd. The bulk is handed out in one step, so the
 * cost does not grow with `total`. Gives one entry a weight, by name; nothing when all weights are 0.
 */
export function divideByWeight(total: number, weights: readonly Weight[], uid = ""): readonly TargetCluster[] {
  const sum = weights.reduce((all, { weight }) => all + Math.max(0, weight), 0);
  if (sum <= 0) return [];
  const isDescending = uid !== "" && (fnv1a32(uid) & 1) === 1;
  // Sorting bare names is what takes the time of a division over thousands of clusters: once, without a comparator.
  const byName = new Map(weights.map((entry) => [entry.name, entry]));
  const names = [...byName.keys()].sort();
  if (isDescending) names.reverse();
  const ordered = names.map((name) => byName.get(name) as Weight);
  const given = ordered.map(() => 0);
  let left = total;
  // Rounding by a slightly too large divisor gives a prefix of the sequence: what is missing is handed out one by one.
  const safe = total - ordered.length / 2 - 2;
  if (safe > 0) {
    const divisor = sum / safe;
    for (const [at, { weight }] of ordered.entries()) {
      given[at] = Math.max(0, Math.floor(weight / divisor + 0.5));
      left -= given[at] as number;
    }
  }
  if (left > 0) handOut(left, ordered, given);
  const targets = ordered.map(({ name }, at) => ({ name, replicas: given[at] as number }));
  return isDescending ? targets.reverse() : targets;
}

/** Hands out single replicas, best average first. Entries stand in tie order; a heap keeps it cheap for large fleets. */
function handOut(replicas: number, ordered: readonly Weight[], given: number[]): void {
  const averages = ordered.map(({ weight }, at) => weight / (2 * (given[at] as number) + 1));
  const isBefore = (left: number, right: number): boolean => {
    const difference = (averages[left] as number) - (averages[right] as number);
    if (difference !== 0) return difference > 0;
    return (given[left] as number) - (given[right] as number) < 0 || (given[left] === given[right] && left < right);
  };
  const heap = ordered.map((_, at) => at);
  const sift = (from: number): void => {
    for (let at = from; ; ) {
      let first = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < heap.length && isBefore(heap[child] as number, heap[first] as number)) first = child;
      if (first === at) return;
      [heap[at], heap[first]] = [heap[first] as number, heap[at] as number];
      at = first;
    }
  };
  for (let at = (heap.length >> 1) - 1; at >= 0; at--) sift(at);
  for (let left = replicas; left > 0; left--) {
    const best = heap[0] as number;
    given[best] = (given[best] as number) + 1;
    averages[best] = (ordered[best] as Weight).weight / (2 * (given[best] as number) + 1);
    sift(0);
  }
}
