import type { ClusterPreferences, Placement, ResourceBindingSpec, SpreadConstraint } from "#apis/karmada";
import { type Candidate, ordered, regionOf } from "./candidates.ts";
import { ScheduleError, schedulerError } from "./errors.ts";
import { strategyOf } from "./facts.ts";

interface Bounds {
  readonly min: number;
  readonly max: number;
}

/** `maxGroups` 0 or absent means no limit (upstream reads it as none at all; see docs/decisions). */
function boundsOf(constraint: SpreadConstraint | undefined): Bounds {
  const max = constraint?.maxGroups ?? 0;
  return { min: constraint?.minGroups ?? 0, max: max <= 0 ? Number.POSITIVE_INFINITY : max };
}

function ignoresSpread(placement: Placement): boolean {
  const constraints = placement.spreadConstraints ?? [];
  if (constraints.length === 0) return true;
  const scheduling = placement.replicaScheduling;
  if (
    (scheduling?.replicaSchedulingType ?? (scheduling === undefined ? "Duplicated" : "Divided")) !== "Divided" ||
    scheduling?.replicaDivisionPreference !== "Weighted"
  )
    return false;
  const preference: ClusterPreferences | undefined = scheduling.weightPreference;
  if (preference === undefined) return true;
  return (preference.staticWeightList ?? []).length > 0 && !preference.dynamicWeight;
}

export interface SelectOptions {
  readonly placement: Placement;
  readonly spec: ResourceBindingSpec;
  /** What the chosen clusters must have room for. */
  readonly need: number;
}

/** A region with its score, for explanations. */
export interface RegionScore {
  readonly name: string;
  readonly score: number;
}

export interface Selection {
  readonly selected: readonly Candidate[];
  readonly regions?: readonly RegionScore[];
}

/** Chooses clusters by the placement's spread constraints. Throws when they cannot be met. */
export function selectClusters(candidates: readonly Candidate[], options: SelectOptions): Selection {
  const sorted = ordered(candidates);
  const { placement } = options;
  if (ignoresSpread(placement)) return { selected: sorted };
  const of = (field: string) => placement.spreadConstraints?.find(({ spreadByField }) => spreadByField === field);
  for (const { spreadByField, spreadByLabel, minGroups = 0, maxGroups = 0 } of placement.spreadConstraints ?? [])
    if (maxGroups > 0 && maxGroups < minGroups)
      throw schedulerError(
        `the spread constraint by ${spreadByField || spreadByLabel || "cluster"} asks for at least ${minGroups} and at most ${maxGroups} groups`,
      );
  const region = of("region");
  const cluster = of("cluster");
  if (region !== undefined) return selectByRegion(sorted, boundsOf(region), boundsOf(cluster), options);
  if (cluster !== undefined) return { selected: selectByCluster(sorted, boundsOf(cluster), options) };
  throw schedulerError("just support cluster and region spread constraint");
}

function selectByCluster(
  candidates: readonly Candidate[],
  bounds: Bounds,
  options: SelectOptions,
): readonly Candidate[] {
  if (candidates.length < bounds.min)
    throw schedulerError("the number of feasible clusters is less than spreadConstraint.MinGroups");
  const count = Math.min(candidates.length, bounds.max);
  const chosen = candidates.slice(0, count);
  if (strategyOf(options.placement) === "Duplicated") return chosen;
  const rest = candidates.slice(count);
  let sum = chosen.reduce((total, { available }) => total + available, 0);
  for (let at = chosen.length - 1; at >= 0 && sum < options.need; at--) {
    let best = -1;
    for (const [index, candidate] of rest.entries())
      if (best < 0 || candidate.available > (rest[best] as Candidate).available) best = index;
    if (best < 0) break;
    const mine = chosen[at] as Candidate;
    const other = rest[best] as Candidate;
    if (other.available <= mine.available) continue;
    chosen[at] = other;
    rest[best] = mine;
    sum += other.available - mine.available;
  }
  if (sum < options.need) throw schedulerError(`no enough resource when selecting ${count} clusters`);
  return chosen;
}

interface Region {
  readonly name: string;
  readonly members: readonly Candidate[];
  readonly weight: number;
}

function selectByRegion(
  candidates: readonly Candidate[],
  region: Bounds,
  cluster: Bounds,
  options: SelectOptions,
): Selection {
  const groups = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    const name = regionOf(candidate);
    if (name === "") continue;
    const members = groups.get(name);
    if (members === undefined) groups.set(name, [candidate]);
    else members.push(candidate);
  }
  const regions = [...groups].map(
    ([name, members]): Region => ({ name, members, weight: scoreRegion(members, region, cluster, options) }),
  );
  const scores = regions
    .map(({ name, weight }) => ({ name, score: weight }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  if (groups.size < region.min)
    throw new ScheduleError(
      "SchedulerError",
      "the number of feasible region is less than spreadConstraint.MinGroups",
      scores,
    );
  const chosen = chooseRegions(regions, region, cluster);
  if (chosen === undefined)
    throw new ScheduleError(
      "SchedulerError",
      "the number of clusters is less than the cluster spreadConstraint.MinGroups",
      scores,
    );
  const first = chosen.map(({ members }) => members[0] as Candidate);
  const taken = new Set(first);
  const names = new Set(chosen.map(({ name }) => name));
  const others = candidates.filter((candidate) => names.has(regionOf(candidate)) && !taken.has(candidate));
  const total = Math.max(0, Math.min(first.length + others.length, cluster.max) - first.length);
  const selected = [...first, ...others.slice(0, total)];
  return { selected: exchanged(selected, others.slice(total), options), regions: scores };
}

/**
 * Where the chosen clusters have no room for all replicas, a cluster with more room of the same region takes the place of
 * the last ones, as in the selection by cluster; the choice stays as it was when even that is not enough.
 */
function exchanged(
  selected: readonly Candidate[],
  unchosen: readonly Candidate[],
  { placement, need }: SelectOptions,
): readonly Candidate[] {
  const strategy = strategyOf(placement);
  let sum = selected.reduce((total, { available }) => total + available, 0);
  if (sum >= need || unchosen.length === 0 || strategy === "Duplicated" || strategy === "Static") return selected;
  const result = [...selected];
  const rest = [...unchosen];
  for (let at = result.length - 1; at >= 0 && sum < need; at--) {
    const mine = result[at] as Candidate;
    let best: number | undefined;
    for (const [index, other] of rest.entries())
      if (
        regionOf(other) === regionOf(mine) &&
        other.available > (best === undefined ? mine : (rest[best] as Candidate)).available
      )
        best = index;
    if (best === undefined) continue;
    const other = rest[best] as Candidate;
    result[at] = other;
    rest[best] = mine;
    sum += other.available - mine.available;
  }
  return sum >= need ? result : selected;
}

function scoreRegion(
  members: readonly Candidate[],
  region: Bounds,
  cluster: Bounds,
  { placement, spec, need }: SelectOptions,
): number {
  if (strategyOf(placement) === "Duplicated") {
    const fitting = members.filter(({ available }) => available >= (spec.replicas ?? 0));
    if (fitting.length === 0) return 0;
    return 1000 * fitting.length + Math.trunc(fitting.reduce((sum, { score }) => sum + score, 0) / fitting.length);
  }
  const target = Math.ceil(need / Math.max(1, region.min));
  const least = Math.max(cluster.min, region.min);
  let available = 0;
  let score = 0;
  let taken = 0;
  for (const member of members) {
    available += member.available;
    score += member.score;
    taken++;
    if (taken >= least && available >= target) break;
  }
  if (available < target)
    return 1000 * available + Math.trunc(members.reduce((sum, member) => sum + member.score, 0) / members.length);
  return 1000 * target + Math.trunc(score / taken);
}

const byWeight = (left: Region, right: Region) => right.weight - left.weight || (left.name < right.name ? -1 : 1);

/** Subsets looked at; a fleet with more choices also gets the greedy one, and the best of these. */
const SUBSETS_MAX = 20_000;

interface Subset {
  readonly set: readonly Region[];
  readonly weight: number;
  readonly size: number;
}

const sizeOf = (regions: readonly Region[]): number => regions.reduce((sum, { members }) => sum + members.length, 0);
const subsetOf = (regions: readonly Region[]): Subset => ({
  set: [...regions].sort(byWeight),
  weight: regions.reduce((sum, { weight }) => sum + weight, 0),
  size: sizeOf(regions),
});

/** All subsets that hold the bounds and need no further region, smaller regions first. */
function enumerateSubsets(sorted: readonly Region[], region: Bounds, leastClusters: number): Subset[] {
  const accepted: Subset[] = [];
  // Regions stand by size: the last ones are the largest, so this is the most that `count` more regions can add.
  const sums = [0];
  for (let at = sorted.length - 1; at >= 0; at--)
    sums.push((sums.at(-1) as number) + (sorted[at] as Region).members.length);
  const mostFrom = (from: number, count: number) => sums[Math.min(count, sorted.length - from)] as number;
  const walk = (from: number, set: readonly Region[], size: number): void => {
    if (accepted.length >= SUBSETS_MAX) return;
    if (set.length > 0 && size >= leastClusters && set.length >= region.min) {
      accepted.push(subsetOf(set));
      return;
    }
    if (set.length >= region.max) return;
    for (let at = from; at < sorted.length; at++) {
      const missing = region.min - set.length;
      const canFill = sorted.length - at >= missing && size + mostFrom(at, region.max - set.length) >= leastClusters;
      if (!canFill) return;
      const next = sorted[at] as Region;
      walk(at + 1, [...set, next], size + next.members.length);
    }
  };
  walk(0, [], 0);
  return accepted;
}

function greedySubset(regions: readonly Region[], region: Bounds, leastClusters: number): Subset | undefined {
  const heaviest = [...regions].sort(byWeight);
  for (let count = Math.max(1, region.min); count <= Math.min(heaviest.length, region.max); count++) {
    const taken = heaviest.slice(0, count);
    if (sizeOf(taken) >= leastClusters) return subsetOf(taken);
  }
  return undefined;
}

function chooseRegions(regions: readonly Region[], bounds: Bounds, cluster: Bounds): readonly Region[] | undefined {
  // Each chosen region gives at least one cluster, so there cannot be more of them than clusters are allowed.
  const region: Bounds = { min: bounds.min, max: Math.min(bounds.max, cluster.max) };
  if (region.max < region.min) return undefined;
  const sorted = [...regions].sort(
    (a, b) => a.members.length - b.members.length || b.weight - a.weight || (a.name < b.name ? -1 : 1),
  );
  let accepted: Subset[];
  if (sorted.length === region.min) accepted = sizeOf(sorted) >= cluster.min ? [subsetOf(sorted)] : [];
  else {
    accepted = enumerateSubsets(sorted, region, cluster.min);
    const greedy = accepted.length >= SUBSETS_MAX ? greedySubset(regions, region, cluster.min) : undefined;
    if (greedy !== undefined) accepted.push(greedy);
  }
  const ranked = accepted
    .map((entry, order) => ({ ...entry, order }))
    .sort((a, b) => b.weight - a.weight || b.size - a.size || a.order - b.order);
  let best = ranked[0];
  if (best === undefined) return undefined;
  for (const other of ranked) {
    // A prefix does the job with fewer regions.
    const isPrefix = other.set.length < best.set.length && other.set.every((member, at) => best?.set[at] === member);
    if (isPrefix) best = other;
  }
  return best.set;
}
