import type { Cluster, Component, ReplicaRequirements } from "#apis/karmada";
import { parseQuantity } from "#machinery";
import { addDemand, amountOf, clampAnswer, type Demand, demandOf } from "./amounts.ts";
import { fitsOn, type NodeGroup, packSets, type Part, place } from "./packing.ts";

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

/** What models say of one demand: how often one node of each grade holds it, and what only the summary knows of it. */
interface ByGrade {
  readonly modelled: Demand;
  readonly other: Demand;
  readonly perNode: readonly number[];
}

/** Resource models by content: thousands of clusters have the same, and a demand is fitted into each of them once. */
interface Models {
  readonly grades: readonly { readonly grade: number; readonly free: Demand }[];
  /** Resources all models range over. */
  readonly modelled: ReadonlySet<string>;
  readonly byDemand: Map<Demand, ByGrade>;
}

/** What a cluster's status says, read once a revision: free amounts by resource, and how many nodes each grade has. */
interface Room {
  readonly free: Demand;
  readonly models: Models;
  /** By place in `models.grades`; absent where the cluster has no models to go by. */
  readonly counts: readonly number[] | undefined;
}

const DEMANDS_MAX = 64;
const MODELS_MAX = 256;

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

type ResourceModels = NonNullable<Cluster["spec"]["resourceModels"]>;

const modelsByContent = new Map<string, Models>();

function modelsOf(given: ResourceModels): Models {
  const text = JSON.stringify(given);
  const known = modelsByContent.get(text);
  if (known !== undefined) return known;
  const models: Models = {
    grades: [...given]
      .sort((a, b) => a.grade - b.grade)
      .map(({ grade, ranges }) => ({
        grade,
        free: new Map(ranges.map(({ name, min }) => [name, amountOf(name, min)])),
      })),
    modelled: new Set(given.flatMap(({ ranges }) => ranges.map(({ name }) => name))),
    byDemand: new Map(),
  };
  if (modelsByContent.size >= MODELS_MAX) modelsByContent.clear();
  modelsByContent.set(text, models);
  return models;
}

function countsOf(
  { grades }: Models,
  counts: NonNullable<Summary["allocatableModelings"]>,
): readonly number[] | undefined {
  if (counts.length === 0 || grades.length === 0 || counts.some(({ count }) => count < 0)) return undefined;
  const byGrade = new Map<number, number>();
  for (const { grade, count } of counts) byGrade.set(grade, (byGrade.get(grade) ?? 0) + count);
  return grades.map(({ grade }) => byGrade.get(grade) ?? 0);
}

const nodeOf = (free: Demand, count: number): NodeGroup => ({ count, free, pods: PODS_PER_NODE, index: 0 });

const virtualNodes = ({ grades }: Models, counts: readonly number[]): readonly NodeGroup[] =>
  grades.flatMap(({ free }, at) => ((counts[at] ?? 0) > 0 ? [nodeOf(free, counts[at] as number)] : []));

/** Splits a request into what the models speak of and what only the summary knows (docs/decisions/0501). */
function byGrade(models: Models, demand: Demand): ByGrade {
  const known = models.byDemand.get(demand);
  if (known !== undefined) return known;
  const modelled = new Map<string, number>();
  const other = new Map<string, number>();
  for (const [name, amount] of demand) (models.modelled.has(name) ? modelled : other).set(name, amount);
  const part: Part = { replicas: 1, demand: modelled };
  const answer = { modelled, other, perNode: models.grades.map(({ free }) => fitsOn(nodeOf(free, 1), part)) };
  if (models.byDemand.size >= DEMANDS_MAX) models.byDemand.clear();
  models.byDemand.set(demand, answer);
  return answer;
}

/** Keyed by the summary, beside the models it was read with: both are immutable parts of one cluster revision. */
const rooms = new WeakMap<Summary, { readonly models: unknown; readonly room: Room }>();
const NO_MODELS: ResourceModels = [];

function roomOf(cluster: Cluster): Room | undefined {
  const summary = cluster.status?.resourceSummary;
  if (summary === undefined || summary === null) return undefined;
  const known = rooms.get(summary);
  if (known !== undefined && known.models === cluster.spec?.resourceModels) return known.room;
  const models = modelsOf(cluster.spec?.resourceModels ?? NO_MODELS);
  const room: Room = { free: freeOf(summary), models, counts: countsOf(models, summary.allocatableModelings ?? []) };
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
  if (!usesModels || room.counts === undefined) return clampAnswer(quotient(room, taken, demand, pods));
  const { modelled, other, perNode } = byGrade(room.models, demand);
  let byModels = 0;
  if (assumed.length === 0)
    for (let at = 0; at < perNode.length; at++) byModels += (room.counts[at] as number) * (perNode[at] as number);
  else
    byModels = packSets(
      occupied(virtualNodes(room.models, room.counts), assumed),
      [{ replicas: 1, demand: modelled }],
      pods,
    );
  return clampAnswer(quotient(room, taken, other, Math.min(byModels, pods)));
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
  if (!usesModels || room.counts === undefined || bound <= 0) return clampAnswer(bound);
  const onModels = parts.map((part) => ({ ...part, demand: byGrade(room.models, part.demand).modelled }));
  return clampAnswer(packSets(occupied(virtualNodes(room.models, room.counts), assumed), onModels, bound));
}
