import type { Cluster, Component, ReplicaRequirements } from "#apis/karmada";
import { parseQuantity } from "#machinery";
import { addDemand, amountOf, clampAnswer, type Demand, demandOf } from "./amounts.ts";
import { type NodeGroup, packSets, type Part, place } from "./packing.ts";

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

const PODS_PER_NODE = 110;
const NO_ASSUMED: readonly AssumedWorkload[] = [];

type Amounts = Readonly<Record<string, string | number>>;
type Summary = NonNullable<NonNullable<Cluster["status"]>["resourceSummary"]>;

/** What a cluster's status says, read once a revision: free amounts by resource, and the virtual nodes of its models. */
interface Room {
  readonly free: Demand;
  readonly nodes: readonly NodeGroup[] | undefined;
  /** Resources all models range over. */
  readonly modelled: ReadonlySet<string>;
  /** Answers with models and nothing assumed, by demand: most workloads ask for what others asked for. */
  readonly answers: Map<Demand, number>;
}

const ANSWERS_MAX = 64;

const NANO = 1_000_000_000n;
const MICRO = 1_000_000n;

function nanoOf(quantity: string | number | undefined): bigint {
  return quantity === undefined ? 0n : (parseQuantity(quantity)?.nano ?? 0n);
}

function freeOf(summary: Summary): Demand {
  const allocatable = (summary.allocatable ?? {}) as Amounts;
  const allocated = (summary.allocated ?? {}) as Amounts;
  const allocating = (summary.allocating ?? {}) as Amounts;
  const free = new Map<string, number>();
  for (const name of Object.keys(allocatable)) {
    const nano = nanoOf(allocatable[name]) - nanoOf(allocated[name]) - nanoOf(allocating[name]);
    const unit = name === "cpu" ? MICRO : NANO;
    free.set(name, nano <= 0n ? 0 : Number((nano + unit - 1n) / unit));
  }
  return free;
}

function virtualNodes(
  models: NonNullable<Cluster["spec"]["resourceModels"]>,
  counts: NonNullable<Summary["allocatableModelings"]>,
): readonly NodeGroup[] | undefined {
  if (counts.length === 0 || models.length === 0 || counts.some(({ count }) => count < 0)) return undefined;
  const byGrade = new Map<number, number>();
  for (const { grade, count } of counts) byGrade.set(grade, (byGrade.get(grade) ?? 0) + count);
  return [...models]
    .sort((a, b) => a.grade - b.grade)
    .flatMap(({ grade, ranges }) => {
      const count = byGrade.get(grade) ?? 0;
      if (count <= 0) return [];
      return [
        {
          count,
          free: new Map(ranges.map(({ name, min }) => [name, amountOf(name, min)])),
          pods: PODS_PER_NODE,
          index: 0,
        },
      ];
    });
}

/** Keyed by the summary, beside the models it was read with: both are immutable parts of one cluster revision. */
const rooms = new WeakMap<Summary, { readonly models: unknown; readonly room: Room }>();

function roomOf(cluster: Cluster): Room | undefined {
  const summary = cluster.status?.resourceSummary;
  if (summary === undefined || summary === null) return undefined;
  const models = cluster.spec?.resourceModels ?? [];
  const known = rooms.get(summary);
  if (known !== undefined && known.models === cluster.spec?.resourceModels) return known.room;
  const nodes = virtualNodes(models, summary.allocatableModelings ?? []);
  const modelled = new Set(nodes === undefined ? [] : models.flatMap(({ ranges }) => ranges.map(({ name }) => name)));
  const room: Room = { free: freeOf(summary), nodes, modelled, answers: new Map() };
  rooms.set(summary, { models: cluster.spec?.resourceModels, room });
  return room;
}

interface Taken {
  readonly pods: number;
  readonly amounts: Demand;
}

const NOTHING_TAKEN: Taken = { pods: 0, amounts: new Map() };

function takenBy(assumed: readonly AssumedWorkload[]): Taken {
  if (assumed.length === 0) return NOTHING_TAKEN;
  const amounts = new Map<string, number>();
  let pods = 0;
  for (const { components = [] } of assumed)
    for (const { replicas, replicaRequirements } of components) {
      pods += replicas;
      addDemand(amounts, demandOf(replicaRequirements as ReplicaRequirements | undefined), replicas);
    }
  return { pods, amounts };
}

/** The virtual nodes with assumed workloads on them, each placed once. */
function occupied(nodes: readonly NodeGroup[], assumed: readonly AssumedWorkload[]): readonly NodeGroup[] {
  let groups = nodes;
  for (const { components = [] } of assumed)
    for (const { replicas, replicaRequirements } of components)
      groups = place(groups, {
        replicas,
        demand: demandOf(replicaRequirements as ReplicaRequirements | undefined),
      }).groups;
  return groups;
}

/** How often `demand` fits into what is free; `undefined` amounts count as none. */
function quotient(room: Room, taken: Taken, demand: Demand, bound: number): number {
  let most = bound;
  for (const [name, amount] of demand) {
    const free = (room.free.get(name) ?? 0) - (taken.amounts.get(name) ?? 0);
    if (free <= 0) return 0;
    most = Math.min(most, Math.floor(free / amount));
  }
  return most;
}

/** Splits a request into what the models speak of and what only the summary knows (docs/decisions/0501). */
function split(room: Room, demand: Demand): { readonly modelled: Demand; readonly other: Demand } {
  let isWhole = true;
  for (const name of demand.keys()) if (!room.modelled.has(name)) isWhole = false;
  if (isWhole) return { modelled: demand, other: NOTHING_TAKEN.amounts };
  const modelled = new Map<string, number>();
  const other = new Map<string, number>();
  for (const [name, amount] of demand) (room.modelled.has(name) ? modelled : other).set(name, amount);
  return { modelled, other };
}

/** Replicas with the given requirements that a cluster has room for, from its summary and models. */
export function estimateReplicas(
  cluster: Cluster,
  requirements: ReplicaRequirements | undefined,
  options: GeneralOptions = {},
): number {
  const { usesModels = true, assumed = NO_ASSUMED } = options;
  const room = roomOf(cluster);
  if (room === undefined) return 0;
  const taken = takenBy(assumed);
  const pods = (room.free.get("pods") ?? 0) - taken.pods;
  if (pods <= 0) return 0;
  if (requirements === undefined || requirements === null) return clampAnswer(pods);
  const demand = demandOf(requirements);
  if (!usesModels || room.nodes === undefined) return clampAnswer(quotient(room, taken, demand, pods));
  const known = assumed.length === 0 ? room.answers.get(demand) : undefined;
  if (known !== undefined) return known;
  const { modelled, other } = split(room, demand);
  const byModels = packSets(occupied(room.nodes, assumed), [{ replicas: 1, demand: modelled }], pods);
  const answer = clampAnswer(quotient(room, taken, other, byModels));
  if (assumed.length === 0) {
    if (room.answers.size >= ANSWERS_MAX) room.answers.clear();
    room.answers.set(demand, answer);
  }
  return answer;
}

/** Whole sets of components that a cluster has room for. */
export function estimateSets(cluster: Cluster, components: readonly Component[], options: GeneralOptions = {}): number {
  const { usesModels = true, assumed = NO_ASSUMED } = options;
  const room = roomOf(cluster);
  if (room === undefined) return 0;
  const taken = takenBy(assumed);
  const pods = (room.free.get("pods") ?? 0) - taken.pods;
  if (pods <= 0) return 0;
  const podsPerSet = components.reduce((sum, { replicas }) => sum + replicas, 0);
  if (podsPerSet <= 0) return clampAnswer(pods);
  const total = new Map<string, number>();
  const parts: Part[] = [];
  for (const { replicas, replicaRequirements } of components) {
    const demand = demandOf(replicaRequirements as ReplicaRequirements | undefined);
    addDemand(total, demand, replicas);
    parts.push({ replicas, demand });
  }
  for (const [name, amount] of total) if (amount <= 0) total.delete(name);
  const byPods = Math.floor(pods / podsPerSet);
  if (total.size === 0) return clampAnswer(byPods);
  const bound = quotient(room, taken, total, byPods);
  if (!usesModels || room.nodes === undefined || bound <= 0) return clampAnswer(bound);
  const onModels = parts.map((part) => ({ ...part, demand: split(room, part.demand).modelled }));
  return clampAnswer(packSets(occupied(room.nodes, assumed), onModels, bound));
}
