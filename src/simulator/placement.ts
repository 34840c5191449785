import { isNodeClass, type Node, type Pod, standsFor } from "#apis/kubernetes";
import { keyOf, quantityMilliValue, quantityValue } from "#machinery";

/** Amounts in thousandths of a core, bytes, and counts. */
interface Amounts {
  cpu: number;
  memory: number;
  pods: number;
  extended: Map<string, number> | undefined;
}

interface NodeRoom {
  readonly name: string;
  node: Node;
  /** Of all nodes it stands for together. */
  total: Amounts;
  /** Of one of them: what a single pod may ask for. */
  each: Amounts;
  readonly used: Amounts;
}

/** Pods that a pod counts for on a node: several only where the node stands for its class. */
const countOn = (node: Node, pod: Pod): number => (isNodeClass(node) ? standsFor(pod) : 1);

interface Request {
  readonly cpu: number;
  readonly memory: number;
  readonly extended: readonly (readonly [string, number])[];
}

/** Feasible nodes looked at before the best of them is taken: enough to spread, few enough to stay quick. */
const CANDIDATES_MAX = 64;
const requests = new WeakMap<object, Request>();

/** What a pod asks of its node: the sum of its containers, or one init container where that is more. */
export function podRequest(pod: Pod): Request {
  const spec = pod.spec;
  if (spec === undefined) return { cpu: 0, memory: 0, extended: [] };
  // Pods of one template share their containers only by value; the cache is by identity, which still helps re-tries.
  const known = requests.get(spec);
  if (known !== undefined) return known;
  let cpu = 0;
  let memory = 0;
  const extended = new Map<string, number>();
  for (const container of spec.containers ?? []) {
    for (const [name, amount] of Object.entries(container.resources?.requests ?? {})) {
      if (name === "cpu") cpu += quantityMilliValue(amount as string);
      else if (name === "memory") memory += quantityValue(amount as string);
      else extended.set(name, (extended.get(name) ?? 0) + quantityValue(amount as string));
    }
  }
  for (const container of spec.initContainers ?? []) {
    cpu = Math.max(cpu, quantityMilliValue(container.resources?.requests?.["cpu"] as string | undefined));
    memory = Math.max(memory, quantityValue(container.resources?.requests?.["memory"] as string | undefined));
  }
  const request: Request = { cpu, memory, extended: [...extended] };
  requests.set(spec, request);
  return request;
}

function capacityOf(node: Node): Amounts {
  const allocatable = (node.status?.allocatable ?? node.status?.capacity ?? {}) as Readonly<Record<string, string>>;
  const extended = new Map<string, number>();
  for (const [name, amount] of Object.entries(allocatable))
    if (name !== "cpu" && name !== "memory" && name !== "pods") extended.set(name, quantityValue(amount));
  return {
    cpu: quantityMilliValue(allocatable["cpu"]),
    memory: quantityValue(allocatable["memory"]),
    pods: quantityValue(allocatable["pods"] ?? "110"),
    extended,
  };
}

function timesOf({ cpu, memory, pods, extended }: Amounts, count: number): Amounts {
  return {
    cpu: cpu * count,
    memory: memory * count,
    pods: pods * count,
    extended: extended && new Map([...extended].map(([name, amount]) => [name, amount * count])),
  };
}

/** Pods that any node treats alike: same requests, same demands on nodes. */
class Shape {
  readonly pod: Pod;
  readonly request: Request;
  /** Nodes that may have room; those that had none at their last look are in `refused`, with why. */
  readonly open: NodeRoom[];
  readonly refused = new Map<NodeRoom, string>();
  readonly waiting = new Map<string, Waiting>();
  cursor = 0;

  constructor(pod: Pod, request: Request, rooms: readonly NodeRoom[]) {
    this.pod = pod;
    this.request = request;
    this.open = [...rooms];
  }

  /** Takes the node at a place out of those that may have room. */
  close(at: number, why: string): void {
    const room = this.open[at] as NodeRoom;
    const last = this.open.pop() as NodeRoom;
    if (last !== room) this.open[at] = last;
    this.refused.set(room, why);
  }

  /** Looks again at a node that had no room. */
  reopen(room: NodeRoom): void {
    if (!this.refused.has(room) || refuse(room, this.pod, this.request) !== undefined) return;
    this.refused.delete(room);
    this.open.push(room);
  }

  forget(room: NodeRoom): void {
    this.refused.delete(room);
    const at = this.open.indexOf(room);
    if (at >= 0) this.open.splice(at, 1);
  }
}

interface Waiting {
  readonly namespace: string | undefined;
  readonly name: string;
}

interface Placed {
  readonly node: string;
  readonly request: Request;
  readonly uid: string;
  readonly count: number;
}

/** Shapes remembered at a time; an older one is learnt anew. */
const SHAPES_MAX = 500;

/**
 * Nodes, what is used of them, and pods that wait for room. A node that was too full for a shape is not looked at again
 * before it has more room, so that filling a cluster looks at each node a few times and not once a pod.
 */
export class Placement {
  readonly #rooms = new Map<string, NodeRoom>();
  readonly #shapes = new Map<string, Shape>();
  readonly #placed = new Map<string, Placed>();
  readonly #waitsAs = new Map<string, Shape>();

  /** Adds or renews a node; true when pods that wait may have a chance now. */
  putNode(node: Node): boolean {
    const name = node.metadata.name ?? "";
    const present = this.#rooms.get(name);
    if (present !== undefined) {
      const isSame =
        present.node.spec === node.spec &&
        present.node.metadata.labels === node.metadata.labels &&
        standsFor(present.node) === standsFor(node) &&
        present.node.status?.allocatable === node.status?.allocatable;
      const wasReady = isReady(present.node);
      present.node = node;
      if (!isSame) {
        present.each = capacityOf(node);
        present.total = timesOf(present.each, standsFor(node));
      }
      const mayHaveRoom = !isSame || (!wasReady && isReady(node));
      if (mayHaveRoom) this.#reopen(present);
      return mayHaveRoom;
    }
    const each = capacityOf(node);
    const room: NodeRoom = {
      name,
      node,
      each,
      total: timesOf(each, standsFor(node)),
      used: { cpu: 0, memory: 0, pods: 0, extended: undefined },
    };
    for (const placed of this.#placed.values()) if (placed.node === name) add(room.used, placed.request, placed.count);
    this.#rooms.set(name, room);
    for (const shape of this.#shapes.values()) shape.open.push(room);
    return true;
  }

  removeNode(name: string): void {
    const room = this.#rooms.get(name);
    if (room === undefined) return;
    this.#rooms.delete(name);
    for (const shape of this.#shapes.values()) shape.forget(room);
  }

  #reopen(room: NodeRoom): void {
    for (const shape of this.#shapes.values()) shape.reopen(room);
  }

  /** Counts a pod on a node; harmless when it is counted already. */
  occupy(pod: Pod, node: string): void {
    const key = keyOf(pod);
    const present = this.#placed.get(key);
    const room = this.#rooms.get(node);
    const count = room === undefined ? standsFor(pod) : countOn(room.node, pod);
    if (present !== undefined) {
      if (present.uid === pod.metadata.uid && present.node === node && present.count === count) return;
      this.release(pod);
    }
    const request = podRequest(pod);
    this.#placed.set(key, { node, request, uid: pod.metadata.uid ?? "", count });
    if (room !== undefined) add(room.used, request, count);
    this.#stopWaiting(key);
  }

  /** Gives back what a pod held; the node that has more room now, if any. */
  release(pod: Pod): string | undefined {
    const key = keyOf(pod);
    this.#stopWaiting(key);
    const present = this.#placed.get(key);
    if (present === undefined) return undefined;
    this.#placed.delete(key);
    const room = this.#rooms.get(present.node);
    if (room === undefined) return undefined;
    add(room.used, present.request, -present.count);
    this.#reopen(room);
    return room.name;
  }

  #stopWaiting(key: string): void {
    this.#waitsAs.get(key)?.waiting.delete(key);
    this.#waitsAs.delete(key);
  }

  /** Remembers a pod that found no node. */
  wait(pod: Pod): void {
    const key = keyOf(pod);
    const shape = this.#shapeOf(pod);
    shape.waiting.set(key, { namespace: pod.metadata.namespace, name: pod.metadata.name ?? "" });
    this.#waitsAs.set(key, shape);
  }

  /** Pods that wait and that a node has room for now, no more than fit. */
  takeWaiting(node: string): readonly Waiting[] {
    const room = this.#rooms.get(node);
    if (room === undefined || this.#waitsAs.size === 0) return [];
    const taken: Waiting[] = [];
    for (const shape of this.#shapes.values()) {
      if (shape.waiting.size === 0 || shape.refused.has(room)) continue;
      let left = fitting(room, shape.request);
      for (const [key, waiting] of shape.waiting) {
        if (left-- <= 0) break;
        taken.push(waiting);
        this.#stopWaiting(key);
      }
    }
    return taken;
  }

  #shapeOf(pod: Pod): Shape {
    const key = shapeKey(pod);
    let shape = this.#shapes.get(key);
    if (shape === undefined) {
      shape = new Shape(pod, podRequest(pod), [...this.#rooms.values()]);
      this.#shapes.set(key, shape);
      for (const [oldest, { waiting }] of this.#shapes) {
        if (this.#shapes.size <= SHAPES_MAX) break;
        if (waiting.size === 0 && oldest !== key) this.#shapes.delete(oldest);
      }
    }
    return shape;
  }

  /** The most pods like a group's that some node has room for, where the whole group fits nowhere; 0 for none. */
  fittingPart(pod: Pod): number {
    const request = podRequest(pod);
    let most = 0;
    for (const room of this.#rooms.values())
      if (isNodeClass(room.node) && refuse(room, pod, request, 1) === undefined)
        most = Math.max(most, fitting(room, request));
    return Math.min(most, standsFor(pod));
  }

  /** Chooses a node and counts the pod on it, or says why there is none in kube-scheduler's words. */
  place(pod: Pod): { readonly node: string; readonly why?: never } | { readonly node?: never; readonly why: string } {
    const shape = this.#shapeOf(pod);
    let best: NodeRoom | undefined;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (let found = 0; found < shape.open.length && found < CANDIDATES_MAX; ) {
      const at = (shape.cursor + found) % shape.open.length;
      const room = shape.open[at] as NodeRoom;
      const why = refuse(room, pod, shape.request);
      if (why !== undefined) {
        shape.close(at, why);
        continue;
      }
      found++;
      const score = freeShare(room);
      if (score > bestScore) {
        best = room;
        bestScore = score;
      }
    }
    if (best === undefined) {
      const reasons = new Map<string, number>();
      for (const [{ node }, why] of shape.refused) reasons.set(why, (reasons.get(why) ?? 0) + standsFor(node));
      let total = 0;
      for (const { node } of this.#rooms.values()) total += standsFor(node);
      const parts = [...reasons].map(([why, nodes]) => `${nodes} ${why}`).sort();
      return {
        why: `0/${total} nodes are available${parts.length === 0 ? "" : `: ${parts.join(", ")}`}.`,
      };
    }
    shape.cursor = (shape.cursor + 1) % shape.open.length;
    this.occupy(pod, best.name);
    return { node: best.name };
  }
}

const shapeKeys = new WeakMap<object, string>();

/** Everything of a pod that decides which nodes have room for it. */
function shapeKey(pod: Pod): string {
  const { spec } = pod;
  if (spec === undefined) return "";
  let key = shapeKeys.get(spec);
  if (key === undefined) {
    const { cpu, memory, extended } = podRequest(pod);
    const { nodeSelector, tolerations, affinity } = spec;
    key = JSON.stringify([cpu, memory, extended, nodeSelector, tolerations, affinity?.nodeAffinity]);
    shapeKeys.set(spec, key);
  }
  const count = standsFor(pod);
  return count === 1 ? key : `${count} ${key}`;
}

/** How many pods of a request fit into what a node has left. */
function fitting({ total, used }: NodeRoom, request: Request): number {
  let most = Math.min(
    total.pods - used.pods,
    request.cpu > 0 ? Math.floor((total.cpu - used.cpu) / request.cpu) : Number.POSITIVE_INFINITY,
    request.memory > 0 ? Math.floor((total.memory - used.memory) / request.memory) : Number.POSITIVE_INFINITY,
  );
  for (const [name, amount] of request.extended)
    if (amount > 0)
      most = Math.min(most, Math.floor(((total.extended?.get(name) ?? 0) - (used.extended?.get(name) ?? 0)) / amount));
  return most;
}

function add(used: Amounts, request: Request, count: number): void {
  used.cpu += count * request.cpu;
  used.memory += count * request.memory;
  used.pods += count;
  for (const [name, amount] of request.extended) {
    used.extended ??= new Map();
    used.extended.set(name, (used.extended.get(name) ?? 0) + count * amount);
  }
}

function freeShare(room: NodeRoom): number {
  const cpu = room.total.cpu === 0 ? 0 : 1 - room.used.cpu / room.total.cpu;
  const memory = room.total.memory === 0 ? 0 : 1 - room.used.memory / room.total.memory;
  return cpu + memory - room.used.pods / Math.max(1, room.total.pods);
}

export function isReady(node: Node): boolean {
  return node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}

function refuse(room: NodeRoom, pod: Pod, request: Request, count = countOn(room.node, pod)): string | undefined {
  const { node, total, each, used } = room;
  if (node.spec?.unschedulable) return "node(s) were unschedulable";
  if (!isReady(node)) return "node(s) were not ready";
  for (const taint of node.spec?.taints ?? [])
    if (taint.effect !== "PreferNoSchedule" && !isTolerated(taint, pod))
      return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`;
  if (!matchesNode(pod, node)) return "node(s) didn't match Pod's node affinity/selector";
  const lacks = (amount: number, ofEach: number, inUse: number, inAll: number) =>
    amount > ofEach || inUse + count * amount > inAll;
  if (used.pods + count > total.pods) return "Too many pods";
  if (request.cpu > 0 && lacks(request.cpu, each.cpu, used.cpu, total.cpu)) return "Insufficient cpu";
  if (request.memory > 0 && lacks(request.memory, each.memory, used.memory, total.memory)) return "Insufficient memory";
  for (const [name, amount] of request.extended)
    if (lacks(amount, each.extended?.get(name) ?? 0, used.extended?.get(name) ?? 0, total.extended?.get(name) ?? 0))
      return `Insufficient ${name}`;
  return undefined;
}

function isTolerated(
  taint: { readonly key?: string; readonly value?: string; readonly effect?: string },
  pod: Pod,
): boolean {
  return (pod.spec?.tolerations ?? []).some(
    (toleration) =>
      (!toleration.effect || toleration.effect === taint.effect) &&
      (!toleration.key ? toleration.operator === "Exists" : toleration.key === taint.key) &&
      (toleration.operator === "Exists" || (toleration.value ?? "") === (taint.value ?? "")),
  );
}

function matchesNode(pod: Pod, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  for (const [key, value] of Object.entries(pod.spec?.nodeSelector ?? {})) if (labels[key] !== value) return false;
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (terms === undefined) return true;
  return terms.some((term) =>
    (term.matchExpressions ?? []).every(({ key = "", operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
        case "In":
          return value !== undefined && values.includes(value);
        case "NotIn":
          return value === undefined || !values.includes(value);
        case "Exists":
          return value !== undefined;
        case "DoesNotExist":
          return value === undefined;
        case "Gt":
          return Number(value) > Number(values[0]);
        case "Lt":
          return Number(value) < Number(values[0]);
        default:
          return false;
      }
    }),
  );
}
