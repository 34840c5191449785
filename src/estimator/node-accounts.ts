import { isNodeClass, type Node, type Pod, standsFor, type Taint } from "#apis/kubernetes";
import { amountOf, type Demand, isNodeResource } from "./amounts.ts";

/** Nodes that are alike, with what is free on each of them. A real node is a class of one. */
export interface NodeClass {
  readonly name: string;
  readonly count: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  readonly isUnschedulable: boolean;
  readonly free: Demand;
  /** Free pod slots of each. */
  readonly pods: number;
}

interface Requested {
  readonly amounts: Map<string, number>;
  pods: number;
}

interface AssignedPod {
  readonly nodeName: string;
  readonly demand: Demand;
  /** Pods it stands for, where its node stands for several, too. */
  readonly count: number;
}

type Requests = Readonly<Record<string, string>> | undefined;

function add(total: Map<string, number>, requests: Requests): void {
  for (const [name, quantity] of Object.entries(requests ?? {})) {
    if (isNodeResource(name)) total.set(name, (total.get(name) ?? 0) + amountOf(name, quantity));
  }
}

/** What a pod takes of its node: the larger of its containers' sum and any init container, plus overhead. */
export function podDemand(pod: Pod): Demand {
  const total = new Map<string, number>();
  for (const container of pod.spec?.containers ?? []) add(total, container.resources?.requests);
  for (const container of pod.spec?.initContainers ?? [])
    for (const [name, quantity] of Object.entries(container.resources?.requests ?? {}))
      if (isNodeResource(name)) total.set(name, Math.max(total.get(name) ?? 0, amountOf(name, quantity)));
  add(total, pod.spec?.overhead as Requests);
  return total;
}

const isFinished = (pod: Pod) => pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
const keyOfPod = ({ metadata }: Pod) => `${metadata.namespace ?? ""}/${metadata.name ?? ""}`;

/** Nodes of one cluster and what runs on them, kept current by single changes: a pod's change costs its own requests. */
export class NodeAccounts {
  readonly #nodes = new Map<string, Node>();
  readonly #requested = new Map<string, Requested>();
  readonly #pods = new Map<string, AssignedPod>();
  /** Pods that stand for several. */
  readonly #groups = new Map<string, Pod>();
  #classes: readonly NodeClass[] | undefined;

  setNode(node: Node): void {
    const name = node.metadata.name ?? "";
    const before = this.#nodes.get(name);
    this.#nodes.set(name, node);
    this.#classes = undefined;
    // What pods stand for counts on such nodes only: on others a pod is a pod, whatever its owner writes on it.
    if (!isNodeClass(node) || (before !== undefined && isNodeClass(before))) return;
    for (const pod of [...this.#groups.values()]) if (pod.spec?.nodeName === name) this.setPod(pod);
  }

  removeNode(name: string): void {
    if (this.#nodes.delete(name)) this.#classes = undefined;
  }

  /** Takes note of a pod; finished and unassigned ones count for nothing. */
  setPod(pod: Pod): void {
    const key = keyOfPod(pod);
    const nodeName = pod.spec?.nodeName ?? "";
    const before = this.#pods.get(key);
    if (nodeName === "" || isFinished(pod)) {
      if (before !== undefined) this.#withdraw(key, before);
      return;
    }
    const demand = podDemand(pod);
    const declared = standsFor(pod);
    const node = declared > 1 ? this.#nodes.get(nodeName) : undefined;
    const count = node !== undefined && isNodeClass(node) ? declared : 1;
    if (before !== undefined) {
      if (before.nodeName === nodeName && before.count === count && sameDemand(before.demand, demand)) return;
      this.#withdraw(key, before);
    }
    if (declared > 1) this.#groups.set(key, pod);
    this.#pods.set(key, { nodeName, demand, count });
    this.#count(nodeName, demand, count);
  }

  removePod(pod: Pod): void {
    const before = this.#pods.get(keyOfPod(pod));
    if (before !== undefined) this.#withdraw(keyOfPod(pod), before);
  }

  /** What is free where, round-robin over zones in order of appearance, by name within a zone. */
  classes(): readonly NodeClass[] {
    this.#classes ??= this.#summarise();
    return this.#classes;
  }

  #withdraw(key: string, { nodeName, demand, count }: AssignedPod): void {
    this.#pods.delete(key);
    this.#groups.delete(key);
    this.#count(nodeName, demand, -count);
  }

  #count(nodeName: string, demand: Demand, pods: number): void {
    let requested = this.#requested.get(nodeName);
    if (requested === undefined) this.#requested.set(nodeName, (requested = { amounts: new Map(), pods: 0 }));
    requested.pods += pods;
    for (const [name, amount] of demand)
      requested.amounts.set(name, (requested.amounts.get(name) ?? 0) + pods * amount);
    if (requested.pods === 0) this.#requested.delete(nodeName);
    this.#classes = undefined;
  }

  #summarise(): readonly NodeClass[] {
    const zones = new Map<string, NodeClass[]>();
    for (const name of [...this.#nodes.keys()].sort()) {
      const node = this.#nodes.get(name) as Node;
      const labels = node.metadata.labels ?? {};
      const zone = `${labels["topology.kubernetes.io/region"] ?? ""}\u0000${labels["topology.kubernetes.io/zone"] ?? ""}`;
      const members = zones.get(zone);
      const described = this.#describe(name, node);
      if (members === undefined) zones.set(zone, [described]);
      else members.push(described);
    }
    const lists = [...zones.values()];
    if (lists.length <= 1) return lists[0] ?? [];
    const ordered: NodeClass[] = [];
    for (let at = 0; ordered.length < this.#nodes.size; at++)
      for (const list of lists) {
        const member = list[at];
        if (member !== undefined) ordered.push(member);
      }
    return ordered;
  }

  #describe(name: string, node: Node): NodeClass {
    const requested = this.#requested.get(name);
    const count = standsFor(node);
    // Pods of a class are spread evenly over its nodes.
    const usedOfEach = (used: number | undefined) => Math.ceil((used ?? 0) / count);
    const free = new Map<string, number>();
    const allocatable = node.status?.allocatable ?? {};
    for (const [resource, quantity] of Object.entries(allocatable))
      if (isNodeResource(resource))
        free.set(resource, Math.max(0, amountOf(resource, quantity) - usedOfEach(requested?.amounts.get(resource))));
    return {
      name,
      count,
      labels: node.metadata.labels ?? {},
      taints: node.spec?.taints ?? [],
      isUnschedulable: node.spec?.unschedulable === true,
      free,
      pods: Math.max(0, amountOf("pods", allocatable["pods"]) - usedOfEach(requested?.pods)),
    };
  }
}

function sameDemand(left: Demand, right: Demand): boolean {
  if (left.size !== right.size) return false;
  for (const [name, amount] of left) if (right.get(name) !== amount) return false;
  return true;
}

/** What is free on each node. */
export function summariseNodes(nodes: readonly Node[], pods: readonly Pod[]): readonly NodeClass[] {
  const accounts = new NodeAccounts();
  for (const node of nodes) accounts.setNode(node);
  for (const pod of pods) accounts.setPod(pod);
  return accounts.classes();
}
