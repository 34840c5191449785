import type { TargetCluster } from "#apis/karmada";
import { fnv1a32 } from "#base";

export interface Weight {
  readonly name: string;
  readonly weight: number;
  /** The name's place among all names, where known for all weights: spares comparing names. */
  readonly order?: number | undefined;
}

/** Each name once, by name. Sorting names is what takes the time of a division over thousands of clusters. */
function byName(weights: readonly Weight[]): Weight[] {
  const places: Weight[] = [];
  let last = -1;
  let isOrdered = true;
  for (const entry of weights) {
    const { order } = entry;
    if (order === undefined || places[order] !== undefined) {
      // Unknown places, or one name given twice: the names decide, and the last of equal ones holds.
      const entries = new Map(weights.map((one) => [one.name, one]));
      return [...entries.keys()].sort().map((name) => entries.get(name) as Weight);
    }
    if (order < last) isOrdered = false;
    last = order;
    places[order] = entry;
  }
  return isOrdered ? [...weights] : places.filter((entry) => entry !== undefined);
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
  const ordered = byName(weights);
  if (isDescending) ordered.reverse();
  const count = ordered.length;
  const given = new Float64Array(count);
  let left = total;
  // Rounding by a slightly too large divisor gives a prefix of the sequence: what is missing is handed out one by one.
  const safe = total - count / 2 - 2;
  if (safe > 0) {
    const divisor = sum / safe;
    for (let at = 0; at < count; at++) {
      const own = Math.max(0, Math.floor((ordered[at] as Weight).weight / divisor + 0.5));
      given[at] = own;
      left -= own;
    }
  }
  if (left > 0) handOut(left, ordered, given);
  const targets = ordered.map(({ name }, at) => ({ name, replicas: given[at] as number }));
  return isDescending ? targets.reverse() : targets;
}

/** Hands out single replicas, best average first. Entries stand in tie order; a heap keeps it cheap for large fleets. */
function handOut(replicas: number, ordered: readonly Weight[], given: Float64Array): void {
  const count = ordered.length;
  const averages = new Float64Array(count);
  const heap = new Int32Array(count);
  for (let at = 0; at < count; at++) {
    averages[at] = (ordered[at] as Weight).weight / (2 * (given[at] as number) + 1);
    heap[at] = at;
  }
  const isBefore = (left: number, right: number): boolean => {
    const mine = averages[left] as number;
    const theirs = averages[right] as number;
    if (mine !== theirs) return mine > theirs;
    const fewer = (given[left] as number) - (given[right] as number);
    return fewer < 0 || (fewer === 0 && left < right);
  };
  const sift = (from: number): void => {
    const item = heap[from] as number;
    let at = from;
    for (let child = 2 * at + 1; child < count; child = 2 * at + 1) {
      const other = child + 1;
      if (other < count && isBefore(heap[other] as number, heap[child] as number)) child = other;
      if (!isBefore(heap[child] as number, item)) break;
      heap[at] = heap[child] as number;
      at = child;
    }
    heap[at] = item;
  };
  for (let at = (count >> 1) - 1; at >= 0; at--) sift(at);
  for (let left = replicas; left > 0; left--) {
    const best = heap[0] as number;
    given[best] = (given[best] as number) + 1;
    averages[best] = (ordered[best] as Weight).weight / (2 * (given[best] as number) + 1);
    sift(0);
  }
}
