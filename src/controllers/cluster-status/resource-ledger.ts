import { isNodeClass, type Node, type Pod, standsFor } from "#apis/kubernetes";
import type { ResourceModel } from "#apis/karmada";
import { gradeByModels, type ModelGrader } from "#estimator";
import { deepEqual } from "#base";
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  keyOf,
  multiplyQuantity,
  parseQuantity,
  type Quantity,
  subtractQuantities,
  zeroQuantity,
} from "#machinery";

type Amounts = Map<string, Quantity>;

/** What a cluster's status says of its nodes and resources. */
export interface ResourceAccount {
  readonly nodeSummary: { readonly totalNum?: number; readonly readyNum?: number };
  readonly resourceSummary: Readonly<Record<string, unknown>>;
}

function change(into: Amounts, by: Amounts, times: number): void {
  for (const [name, one] of by) {
    const quantity = times === 1 || times === -1 ? one : multiplyQuantity(one, Math.abs(times));
    const present = into.get(name) ?? { ...zeroQuantity, format: quantity.format };
    into.set(name, times > 0 ? addQuantities(present, quantity) : subtractQuantities(present, quantity));
  }
}

const requests = new WeakMap<object, Amounts>();
const ONE: Quantity = { nano: 1_000_000_000n, format: "DecimalSI" };

/** A pod's requests: containers together, or one init container where that is more, plus overhead, and one pod. */
function requestOf(pod: Pod): Amounts {
  const spec = pod.spec ?? { containers: [] };
  const known = requests.get(spec);
  if (known !== undefined) return known;
  const total: Amounts = new Map();
  const read = (resources: Readonly<Record<string, string>> | undefined): Amounts => {
    const amounts: Amounts = new Map();
    for (const [name, text] of Object.entries(resources ?? {})) {
      const quantity = parseQuantity(text);
      if (quantity !== undefined) amounts.set(name, quantity);
    }
    return amounts;
  };
  for (const container of spec.containers ?? [])
    change(total, read(container.resources?.requests as Readonly<Record<string, string>> | undefined), 1);
  for (const container of spec.initContainers ?? [])
    for (const [name, quantity] of read(
      container.resources?.requests as Readonly<Record<string, string>> | undefined,
    )) {
      const present = total.get(name);
      if (present === undefined || compareQuantities(quantity, present) > 0) total.set(name, quantity);
    }
  change(total, read(spec.overhead as Readonly<Record<string, string>> | undefined), 1);
  total.set("pods", ONE);
  requests.set(spec, total);
  return total;
}

/** Resources a cluster's summary speaks of: native ones, huge pages, attachable volumes, and names with a domain. */
const isSummed = (name: string) =>
  name === "cpu" ||
  name === "memory" ||
  name === "ephemeral-storage" ||
  name === "pods" ||
  name.includes("/") ||
  name.startsWith("hugepages-") ||
  name.startsWith("attachable-volumes-");

const textOf = (node: Node) => `${standsFor(node)} ${JSON.stringify(node.status?.allocatable ?? {})}`;

interface HeldNode {
  readonly allocatable: Amounts;
  readonly isReady: boolean;
  /** Nodes it stands for. */
  readonly count: number;
  readonly isClass: boolean;
  /** Where the node stands among the models; -1 below all of them, absent until it was judged. */
  position?: number;
}

interface HeldPod {
  readonly node: string;
  /** Moves when a pod is resized in place. */
  readonly generation: number | undefined;
  readonly request: Amounts;
  /** Pods it stands for, where its node stands for several, too. */
  readonly count: number;
}

/** Running sums over a member's nodes and pods: each event costs its own object, and an account costs nodes only for models. */
export class ResourceLedger {
  readonly #nodes = new Map<string, HeldNode>();
  /** Nodes whose free resources changed since models were counted. */
  readonly #dirty = new Set<string>();
  readonly #allocatableOf = new Map<string, string>();
  #models: readonly ResourceModel[] = [];
  #grader: ModelGrader | undefined;
  #counts: number[] = [];
  readonly #pods = new Map<string, HeldPod>();
  /** Pods that stand for several. */
  readonly #groups = new Map<string, Pod>();
  readonly #usedByNode = new Map<string, Amounts>();
  readonly #allocatable: Amounts = new Map();
  readonly #allocated: Amounts = new Map();
  readonly #allocating: Amounts = new Map();
  #total = 0;
  #ready = 0;

  putNode(node: Node): void {
    const name = node.metadata.name ?? "";
    const isReady = node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
    const present = this.#nodes.get(name);
    // A heartbeat changes neither; most updates of nodes are heartbeats.
    if (present?.isReady === isReady && this.#allocatableOf.get(name) === textOf(node)) return;
    this.removeNode(node);
    const allocatable: Amounts = new Map();
    for (const [name, text] of Object.entries((node.status?.allocatable ?? {}) as Readonly<Record<string, string>>)) {
      const quantity = parseQuantity(text);
      if (quantity !== undefined && isSummed(name)) allocatable.set(name, quantity);
    }
    const count = standsFor(node);
    const isClass = isNodeClass(node);
    this.#nodes.set(name, { allocatable, isReady, count, isClass });
    this.#allocatableOf.set(name, textOf(node));
    this.#dirty.add(name);
    change(this.#allocatable, allocatable, count);
    this.#total += count;
    if (isReady) this.#ready += count;
    // What pods stand for counts on such nodes only: on others a pod is a pod, whatever its owner writes on it.
    if (isClass) for (const pod of [...this.#groups.values()]) if (pod.spec?.nodeName === name) this.putPod(pod);
  }

  removeNode(node: Node): void {
    const present = this.#nodes.get(node.metadata.name ?? "");
    if (present === undefined) return;
    this.#nodes.delete(node.metadata.name ?? "");
    this.#dirty.delete(node.metadata.name ?? "");
    this.#allocatableOf.delete(node.metadata.name ?? "");
    this.#uncount(present);
    change(this.#allocatable, present.allocatable, -present.count);
    this.#total -= present.count;
    if (present.isReady) this.#ready -= present.count;
  }

  putPod(pod: Pod): void {
    const key = keyOf(pod);
    const node = pod.spec?.nodeName ?? "";
    const isOver = node !== "" && (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed");
    const present = this.#pods.get(key);
    const { generation } = pod.metadata;
    const declared = standsFor(pod);
    const count = declared > 1 && this.#nodes.get(node)?.isClass === true ? declared : 1;
    if (present?.node === node && present.generation === generation && present.count === count && !isOver) return;
    this.removePod(pod);
    if (isOver) return;
    const request = requestOf(pod);
    if (declared > 1) this.#groups.set(key, pod);
    this.#pods.set(key, { node, generation, request, count });
    change(node === "" ? this.#allocating : this.#allocated, request, count);
    if (node === "") return;
    let used = this.#usedByNode.get(node);
    if (used === undefined) this.#usedByNode.set(node, (used = new Map()));
    change(used, request, count);
    this.#dirty.add(node);
  }

  removePod(pod: Pod): void {
    const key = keyOf(pod);
    const present = this.#pods.get(key);
    if (present === undefined) return;
    this.#pods.delete(key);
    this.#groups.delete(key);
    change(present.node === "" ? this.#allocating : this.#allocated, present.request, -present.count);
    if (present.node === "") return;
    change(this.#usedByNode.get(present.node) ?? new Map(), present.request, -present.count);
    this.#dirty.add(present.node);
  }

  #uncount(node: HeldNode): void {
    if (node.position !== undefined && node.position >= 0)
      this.#counts[node.position] = (this.#counts[node.position] ?? 0) - node.count;
    delete node.position;
  }

  /** Counts nodes by model; only those whose free resources changed are judged anew. */
  #countModels(models: readonly ResourceModel[]): readonly { readonly grade: number; readonly count: number }[] {
    if (this.#grader === undefined || !deepEqual(models, this.#models)) {
      this.#grader = gradeByModels(models);
      this.#models = models;
      this.#counts = this.#grader.grades.map(() => 0);
      for (const [name, node] of this.#nodes) {
        delete node.position;
        this.#dirty.add(name);
      }
    }
    const { grades, positionOf } = this.#grader;
    for (const name of this.#dirty) {
      const node = this.#nodes.get(name);
      if (node === undefined) continue;
      this.#uncount(node);
      const used = this.#usedByNode.get(name);
      // Pods of a class are spread evenly over its nodes.
      const free = (resource: string): Quantity => {
        const all = used?.get(resource) ?? zeroQuantity;
        const nano = node.count === 1 ? all.nano : (all.nano + BigInt(node.count) - 1n) / BigInt(node.count);
        return subtractQuantities(node.allocatable.get(resource) ?? zeroQuantity, { ...all, nano });
      };
      // A node without free pod slots is not counted; the others are, whatever their order.
      if (free("pods").nano <= 0n) continue;
      const amounts: Record<string, string> = {};
      for (const resource of node.allocatable.keys()) amounts[resource] = formatQuantity(free(resource));
      node.position = positionOf(amounts);
      if (node.position >= 0) this.#counts[node.position] = (this.#counts[node.position] ?? 0) + node.count;
    }
    this.#dirty.clear();
    return grades.map((grade, at) => ({ grade, count: this.#counts[at] ?? 0 }));
  }

  account(models: readonly ResourceModel[]): ResourceAccount {
    const summary: Record<string, unknown> = {};
    for (const [name, amounts] of [
      ["allocatable", this.#allocatable],
      ["allocating", this.#allocating],
      ["allocated", this.#allocated],
    ] as const) {
      const texts = Object.fromEntries(
        [...amounts]
          .filter(([resource, quantity]) => quantity.nano > 0n && isSummed(resource))
          .map(([resource, quantity]) => [resource, formatQuantity(quantity)]),
      );
      if (Object.keys(texts).length > 0) summary[name] = texts;
    }
    if (models.length > 0) {
      try {
        summary["allocatableModelings"] = this.#countModels(models);
      } catch {
        // Models that cannot be counted are left out; admission refuses them where they come from.
      }
    }
    const total = this.#total;
    return {
      nodeSummary: {
        ...(total === 0 ? {} : { totalNum: total }),
        ...(this.#ready === 0 ? {} : { readyNum: this.#ready }),
      },
      resourceSummary: summary,
    };
  }
}
