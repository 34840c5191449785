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
  let isOrdered = true;
  let last = -1;
  for (const { order } of weights) {
    if (order === undefined) return bySortedNames(weights);
    if (order <= last) isOrdered = false;
    last = Math.max(last, order);
  }
  if (isOrdered) return [...weights];
  // Where each place's weight stands, from 1 on.
  const standing = new Int32Array(last + 1);
  for (let at = 0; at < weights.length; at++) {
    const { order } = weights[at] as Weight;
    if (standing[order as number] !== 0) return bySortedNames(weights);
    standing[order as number] = at + 1;
  }
  const ordered: Weight[] = [];
  for (const at of standing) if (at !== 0) ordered.push(weights[at - 1] as Weight);
  return ordered;
}

/** The same by the names themselves; of a name given twice the last one holds. */
function bySortedNames(weights: readonly Weight[]): Weight[] {
  const entries = new Map(weights.map((one) => [one.name, one]));
  return [...entries.keys()].sort().map((name) => entries.get(name) as Weight);
}

/**
 * Divides `total` by highest averages (Webster): the next replica goes where `weight ÷ (2·given + 1)` is greatest; ties
 * go to fewer given, then by name, descending when the hash of `uid` is odd. The bulk is handed out in one step, so the
 * cost does not grow with `total`. Gives one entry a weight, by name; nothing when all weights are 0.
 */
export function divideByWeight(total: number, weights: readonly Weight[], uid = ""): readonly TargetCluster[] {
  let sum = 0;
  for (const { weight } of weights) sum += Math.max(0, weight);
  if (sum <= 0) return [];
  const isDescending = uid !== "" && (fnv1a32(uid) & 1) === 1;
  const ordered = byName(weights);
  if (isDescending) ordered.reverse();
  const values = Float64Array.from(ordered, ({ weight }) => weight);
  const given = new Float64Array(values.length);
  const left = total > 0 ? total - handOutBulk(total, sum, values, given) : 0;
  if (left > 0) handOut(left, values, given);
  const targets: TargetCluster[] = [];
  for (let at = 0; at < given.length; at++)
    targets.push({ name: (ordered[at] as Weight).name, replicas: given[at] as number });
  return isDescending ? targets.reverse() : targets;
}

/** How many replicas may be left to be handed out one by one. */
const SINGLES_MAX = 32;
const ROUNDS_MAX = 24;

/** About how many replicas are handed out before the best average has fallen to `threshold`. */
function countDownTo(threshold: number, weights: Float64Array): number {
  const factor = 0.5 / threshold;
  let count = 0;
  for (let at = 0; at < weights.length; at++) {
    const weight = weights[at] as number;
    if (weight > 0) count += Math.floor(weight * factor + 0.5);
  }
  return count;
}

/**
 * Hands out all replicas that come while the best average is above a threshold, and gives their number: at most `total`, and
 * few less. Those are the first ones of the sequence whatever the threshold is, since averages only fall.
 */
function handOutBulk(total: number, sum: number, weights: Float64Array, given: Float64Array): number {
  const half = weights.length / 2 + 2;
  // Rounding moves each weight's count by a half at most: too few come above the one, too many above the other.
  let few = total > half ? sum / (2 * (total - half)) : Number.POSITIVE_INFINITY;
  let many = sum / (2 * (total + half));
  if (few === Number.POSITIVE_INFINITY) {
    few = many;
    for (const weight of weights) few = Math.max(few, weight);
  }
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const middle = (few + many) / 2;
    const count = countDownTo(middle, weights);
    if (count > total) many = middle;
    else {
      few = middle;
      if (total - count <= SINGLES_MAX) break;
    }
  }
  for (let margin = 1e-15; ; margin *= 8) {
    let count = 0;
    for (let at = 0; at < weights.length; at++) {
      const weight = weights[at] as number;
      let own = Math.max(0, Math.floor((weight * 0.5) / few + 0.5));
      // Rounding may be one off at the threshold: the averages themselves decide.
      while (own > 0 && weight / (2 * own - 1) <= few) own--;
      while (weight / (2 * own + 1) > few) own++;
      given[at] = own;
      count += own;
    }
    if (!(count > total)) return count;
    few *= 1 + margin;
  }
}

/** Hands out single replicas, best average first. Entries stand in tie order; a heap keeps it cheap for large fleets. */
function handOut(replicas: number, weights: Float64Array, given: Float64Array): void {
  const count = weights.length;
  const averages = new Float64Array(count);
  const heap = new Int32Array(count);
  for (let at = 0; at < count; at++) {
    averages[at] = (weights[at] as number) / (2 * (given[at] as number) + 1);
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
    averages[best] = (weights[best] as number) / (2 * (given[best] as number) + 1);
    sift(0);
  }
}
