import type { Demand } from "./amounts.ts";

/** Nodes that are alike: their room, and how many there are. */
export interface NodeGroup {
  readonly count: number;
  readonly free: Demand;
  readonly pods: number;
  /** Where it stands among groups that are alike but for what may run on them; groups of one index are alike. */
  readonly index: number;
}

/** One component of a set: replicas that are alike. `usable` says by group index where they may run. */
export interface Part {
  readonly replicas: number;
  readonly demand: Demand;
  readonly usable?: (index: number) => boolean;
}

/** Replicas of a part that one node of a group holds. */
export function fitsOn(group: NodeGroup, part: Part): number {
  if (part.usable !== undefined && !part.usable(group.index)) return 0;
  let most = group.pods;
  for (const [name, amount] of part.demand) {
    if (most <= 0) return 0;
    most = Math.min(most, Math.floor((group.free.get(name) ?? 0) / amount));
  }
  return Math.max(0, most);
}

/** Replicas of a part that all groups hold together. Asked of every cluster for every binding: no iterators inside. */
export function fitsOnAll(groups: readonly NodeGroup[], part: Part): number {
  const names = [...part.demand.keys()];
  const amounts = [...part.demand.values()];
  let sum = 0;
  for (const group of groups) {
    if (part.usable !== undefined && !part.usable(group.index)) continue;
    let most = group.pods;
    for (let at = 0; at < names.length && most > 0; at++)
      most = Math.min(most, Math.floor((group.free.get(names[at] as string) ?? 0) / (amounts[at] as number)));
    if (most > 0) sum += group.count * most;
  }
  return sum;
}

interface Placed {
  readonly groups: readonly NodeGroup[];
  /** Replicas that found no place. */
  readonly left: number;
}

/** Fills nodes in order, whole groups of equal nodes at once; at most one node of a group is left partly used. */
export function place(groups: readonly NodeGroup[], part: Part): Placed {
  const result: NodeGroup[] = [];
  let left = part.replicas;
  const used = (group: NodeGroup, count: number, perNode: number): NodeGroup => {
    const free = new Map(group.free);
    for (const [name, amount] of part.demand) free.set(name, (free.get(name) ?? 0) - amount * perNode);
    return { count, free, pods: group.pods - perNode, index: group.index };
  };
  for (const group of groups) {
    const perNode = left > 0 ? fitsOn(group, part) : 0;
    if (perNode === 0) {
      result.push(group);
      continue;
    }
    const full = Math.min(group.count, Math.floor(left / perNode));
    if (full > 0) result.push(used(group, full, perNode));
    left -= full * perNode;
    let rest = group.count - full;
    if (rest > 0 && left > 0) {
      result.push(used(group, 1, left));
      left = 0;
      rest--;
    }
    if (rest > 0) result.push({ ...group, count: rest });
  }
  return { groups: result, left };
}

function sameRoom(left: NodeGroup, right: NodeGroup): boolean {
  if (left.index !== right.index || left.pods !== right.pods || left.free.size !== right.free.size) return false;
  for (const [name, amount] of left.free) if (right.free.get(name) !== amount) return false;
  return true;
}

/** Drops nodes on which nothing fits any more and joins neighbours that are alike. */
function tidy(groups: readonly NodeGroup[], parts: readonly Part[]): NodeGroup[] {
  const result: NodeGroup[] = [];
  for (const group of groups) {
    if (!parts.some((part) => fitsOn(group, part) > 0)) continue;
    const last = result.at(-1);
    if (last !== undefined && sameRoom(last, group))
      result[result.length - 1] = { ...last, count: last.count + group.count };
    else result.push(group);
  }
  return result;
}

/** All that decides what happens next, but for the size of the largest group. */
function signature(groups: readonly NodeGroup[], largest: number): string {
  let text = "";
  for (const [at, { count, free, pods, index }] of groups.entries()) {
    text += `${index}:${at === largest ? "*" : count}:${pods}`;
    for (const [name, amount] of free) text += `,${name}=${amount}`;
    text += ";";
  }
  return text;
}

interface Seen {
  readonly sets: number;
  readonly count: number;
}

/** States remembered while looking for a repetition. */
const SEEN_MAX = 1_024;
/** Sets that are packed before it pays to look for a repetition. */
const SETS_BEFORE_SEARCH = 4;

/**
 * Whole sets that fit, placed one after another, first fit, each part in order; never more than `bound`.
 *
 * Equal nodes are filled the same way one after another, so the state of the nodes repeats with a smaller group of
 * untouched ones: all repetitions but the last are taken in one step, and the cost does not grow with the nodes.
 */
export function packSets(nodes: readonly NodeGroup[], parts: readonly Part[], bound: number): number {
  const wanted = parts.filter(({ replicas }) => replicas > 0);
  const [only] = wanted;
  if (only === undefined) return bound;
  if (wanted.length === 1 && only.replicas === 1) return Math.min(bound, fitsOnAll(nodes, only));
  let groups = tidy(nodes, wanted);
  let sets = 0;
  let seen = new Map<string, Seen>();
  while (sets < bound) {
    let after: readonly NodeGroup[] = groups;
    for (const part of wanted) {
      const placed = place(after, part);
      if (placed.left > 0) return sets;
      after = placed.groups;
    }
    sets++;
    groups = tidy(after, wanted);
    if (sets < SETS_BEFORE_SEARCH) continue;
    let largest = 0;
    for (const [at, { count }] of groups.entries()) if (count > (groups[largest]?.count ?? 0)) largest = at;
    const group = groups[largest];
    if (group === undefined) continue;
    const key = signature(groups, largest);
    const before = seen.get(key);
    const consumed = before === undefined ? 0 : before.count - group.count;
    if (before === undefined || consumed <= 0) {
      if (seen.size >= SEEN_MAX) seen = new Map();
      seen.set(key, { sets, count: group.count });
      continue;
    }
    const gained = sets - before.sets;
    const times = Math.max(0, Math.min(Math.floor(group.count / consumed) - 1, Math.floor((bound - sets) / gained)));
    if (times > 0) {
      sets += times * gained;
      groups[largest] = { ...group, count: group.count - times * consumed };
    }
    seen = new Map();
  }
  return sets;
}
