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
  const sum = weights.reduce((all, { weight }) => all + weight, 0);
  if (sum <= 0) return [];
  const isDescending = uid !== "" && (fnv1a32(uid) & 1) === 1;
  const ordered = [...weights].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0) * (isDescending ? -1 : 1));
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
  while (left > 0) {
    let best = -1;
    let bestAverage = -1;
    for (const [at, { weight }] of ordered.entries()) {
      const average = weight / (2 * (given[at] as number) + 1);
      if (average > bestAverage || (average === bestAverage && (given[at] as number) < (given[best] as number))) {
        best = at;
        bestAverage = average;
      }
    }
    given[best] = (given[best] as number) + 1;
    left--;
  }
  return ordered
    .map(({ name }, at) => ({ name, replicas: given[at] as number }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
