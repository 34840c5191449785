import type { Cluster, Component, ReplicaRequirements } from "#apis/karmada";
import { parseQuantity, zeroQuantity } from "#machinery";
import { amountOf } from "./models.ts";

/** A workload that was placed but does not show in the cluster's figures yet. */
export interface AssumedWorkload {
  readonly namespace?: string;
  readonly components?: readonly Component[];
}

export interface GeneralOptions {
  /** Gate `CustomizedClusterResourceModeling`; default on. */
  readonly usesModels?: boolean;
  readonly assumed?: readonly AssumedWorkload[];
}

/** More than any cluster holds: what "no limit known" means on the wire. */
export const UNLIMITED = 2147483647;
const PODS_PER_NODE = 110;

type Amounts = Readonly<Record<string, string | number>>;

/** A request in one unit per resource, without zeros. */
type Demand = ReadonlyMap<string, number>;

function demandOf(requirements: Pick<ReplicaRequirements, "resourceRequest"> | undefined, factor = 1): Demand {
  const demand = new Map<string, number>();
  for (const [name, quantity] of Object.entries(requirements?.resourceRequest ?? {})) {
    const amount = amountOf(name, quantity) * factor;
    if (amount > 0) demand.set(name, amount);
  }
  return demand;
}

interface Summary {
  readonly allocatable: Amounts;
  free(name: string): number;
  readonly pods: number;
}

/** What is free, after what was allocated, is being allocated, and was assumed. */
function summaryOf(cluster: Cluster, assumed: readonly AssumedWorkload[]): Summary | undefined {
  const summary = cluster.status?.resourceSummary;
  if (summary === undefined) return undefined;
  const allocatable = (summary.allocatable ?? {}) as Amounts;
  const allocated = (summary.allocated ?? {}) as Amounts;
  const allocating = (summary.allocating ?? {}) as Amounts;
  const taken = new Map<string, number>();
  let assumedPods = 0;
  for (const { components = [] } of assumed)
    for (const { replicas, replicaRequirements } of components) {
      assumedPods += replicas;
      for (const [name, amount] of demandOf(replicaRequirements as ReplicaRequirements | undefined, replicas)) taken.set(name, (taken.get(name) ?? 0) + amount);
    }
  const free = (name: string): number => {
    const exact = (from: Amounts) => parseQuantity(from[name] ?? 0) ?? zeroQuantity;
    const nano = exact(allocatable).nano - exact(allocated).nano - exact(allocating).nano;
    const unit = name === "cpu" ? 1_000_000n : 1_000_000_000n;
    const whole = nano <= 0n ? 0 : Number((nano + unit - 1n) / unit);
    return whole - (taken.get(name) ?? 0);
  };
  return { allocatable, free, pods: free("pods") - assumedPods };
}

/** Replicas with the given requirements that a cluster has room for, from its summary and models. */
export function estimateReplicas(cluster: Cluster, requirements: ReplicaRequirements | undefined, options: GeneralOptions = {}): number {
  const { usesModels = true, assumed = [] } = options;
  const summary = summaryOf(cluster, assumed);
  if (summary === undefined || summary.pods <= 0) return 0;
  if (requirements === undefined) return clamp(summary.pods);
  const demand = demandOf(requirements);
  if (usesModels) {
    const byModels = packModels(cluster, [{ replicas: 1, demand }], assumed, summary.pods);
    if (byModels !== undefined) return clamp(Math.min(summary.pods, byModels));
  }
  let most = summary.pods;
  for (const [name, amount] of demand) {
    if (summary.allocatable[name] === undefined) return 0;
    const free = summary.free(name);
    if (free <= 0) return 0;
    most = Math.min(most, Math.floor(free / amount));
  }
  return clamp(most);
}

/** Whole sets of components that a cluster has room for. */
export function estimateSets(cluster: Cluster, components: readonly Component[], options: GeneralOptions = {}): number {
  const { usesModels = true, assumed = [] } = options;
  const summary = summaryOf(cluster, assumed);
  if (summary === undefined || summary.pods <= 0) return 0;
  const podsPerSet = components.reduce((sum, { replicas }) => sum + replicas, 0);
  if (podsPerSet <= 0) return clamp(summary.pods);
  let bound = Math.floor(summary.pods / podsPerSet);
  const total = new Map<string, number>();
  for (const { replicas, replicaRequirements } of components)
    for (const [name, amount] of demandOf(replicaRequirements as ReplicaRequirements | undefined, replicas)) total.set(name, (total.get(name) ?? 0) + amount);
  if (total.size === 0) return clamp(bound);
  for (const [name, amount] of total) {
    const free = summary.free(name);
    if (free <= 0) return 0;
    bound = Math.min(bound, Math.floor(free / amount));
  }
  if (usesModels) {
    const parts = components.map(({ replicas, replicaRequirements }) => ({ replicas, demand: demandOf(replicaRequirements as ReplicaRequirements | undefined) }));
    const byModels = packModels(cluster, parts, assumed, bound);
    if (byModels !== undefined) bound = Math.min(bound, byModels);
  }
  return clamp(bound);
}

const clamp = (value: number) => Math.max(0, Math.min(UNLIMITED, value));

interface Part {
  readonly replicas: number;
  readonly demand: Demand;
}

/** Virtual nodes that are alike: their room, and how many there are. */
interface NodeGroup {
  count: number;
  readonly free: Map<string, number>;
  pods: number;
}

/** Sets that fit on the nodes the models describe; `undefined` when the models are no use. */
function packModels(cluster: Cluster, parts: readonly Part[], assumed: readonly AssumedWorkload[], bound: number): number | undefined {
  const counts = cluster.status?.resourceSummary?.allocatableModelings ?? [];
  const models = cluster.spec?.resourceModels ?? [];
  if (counts.length === 0 || models.length === 0 || counts.some(({ count }) => count < 0)) return undefined;
  let groups: NodeGroup[] = [];
  for (const model of [...models].sort((a, b) => a.grade - b.grade)) {
    const count = counts.filter(({ grade }) => grade === model.grade).reduce((sum, entry) => sum + entry.count, 0);
    if (count > 0) groups.push({ count, free: new Map(model.ranges.map(({ name, min }) => [name, amountOf(name, min)])), pods: PODS_PER_NODE });
  }
  for (const { components = [] } of assumed)
    for (const { replicas, replicaRequirements } of components) groups = place(groups, demandOf(replicaRequirements as ReplicaRequirements | undefined), replicas).groups;
  const [only] = parts;
  if (parts.length === 1 && only !== undefined && only.replicas === 1) {
    let sum = 0;
    for (const group of groups) sum += group.count * fitsOn(group, only.demand);
    return Math.min(bound, sum);
  }
  let sets = 0;
  while (sets < bound) {
    for (const { replicas, demand } of parts) {
      const placed = place(groups, demand, replicas);
      if (placed.left > 0) return sets;
      groups = placed.groups;
    }
    sets++;
  }
  return sets;
}

function fitsOn(group: NodeGroup, demand: Demand): number {
  let most = group.pods;
  for (const [name, amount] of demand) most = Math.min(most, Math.floor((group.free.get(name) ?? 0) / amount));
  return Math.max(0, most);
}

/** Fills nodes in order, whole groups of equal nodes at once; at most one node of a group is left partly used. */
function place(groups: readonly NodeGroup[], demand: Demand, replicas: number): { readonly groups: NodeGroup[]; readonly left: number } {
  const result: NodeGroup[] = [];
  let left = replicas;
  const used = (group: NodeGroup, count: number, perNode: number): NodeGroup => ({
    count,
    free: new Map([...group.free].map(([name, free]) => [name, free - (demand.get(name) ?? 0) * perNode])),
    pods: group.pods - perNode,
  });
  for (const group of groups) {
    const perNode = left > 0 ? fitsOn(group, demand) : 0;
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
