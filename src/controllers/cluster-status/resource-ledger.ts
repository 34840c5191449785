import type { Node, Pod } from "#apis/kubernetes";
import type { ResourceModel } from "#apis/karmada";
import { countModels } from "#estimator";
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  keyOf,
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

function change(into: Amounts, by: Amounts, sign: 1 | -1): void {
  for (const [name, quantity] of by) {
    const present = into.get(name) ?? { ...zeroQuantity, format: quantity.format };
    into.set(name, sign === 1 ? addQuantities(present, quantity) : subtractQuantities(present, quantity));
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

interface HeldPod {
  readonly node: string;
  readonly request: Amounts;
}

/** Running sums over a member's nodes and pods: each event costs its own object, and an account costs nodes only for models. */
export class ResourceLedger {
  readonly #nodes = new Map<string, { readonly allocatable: Amounts; readonly isReady: boolean }>();
  readonly #pods = new Map<string, HeldPod>();
  readonly #usedByNode = new Map<string, Amounts>();
  readonly #allocatable: Amounts = new Map();
  readonly #allocated: Amounts = new Map();
  readonly #allocating: Amounts = new Map();
  #ready = 0;

  putNode(node: Node): void {
    this.removeNode(node);
    const allocatable: Amounts = new Map();
    for (const [name, text] of Object.entries((node.status?.allocatable ?? {}) as Readonly<Record<string, string>>)) {
      const quantity = parseQuantity(text);
      if (quantity !== undefined) allocatable.set(name, quantity);
    }
    const isReady = node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
    this.#nodes.set(node.metadata.name ?? "", { allocatable, isReady });
    change(this.#allocatable, allocatable, 1);
    if (isReady) this.#ready++;
  }

  removeNode(node: Node): void {
    const present = this.#nodes.get(node.metadata.name ?? "");
    if (present === undefined) return;
    this.#nodes.delete(node.metadata.name ?? "");
    change(this.#allocatable, present.allocatable, -1);
    if (present.isReady) this.#ready--;
  }

  putPod(pod: Pod): void {
    const key = keyOf(pod);
    const node = pod.spec?.nodeName ?? "";
    const isOver = node !== "" && (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed");
    const present = this.#pods.get(key);
    if (present !== undefined && present.node === node && !isOver) return;
    this.removePod(pod);
    if (isOver) return;
    const request = requestOf(pod);
    this.#pods.set(key, { node, request });
    change(node === "" ? this.#allocating : this.#allocated, request, 1);
    if (node === "") return;
    let used = this.#usedByNode.get(node);
    if (used === undefined) this.#usedByNode.set(node, (used = new Map()));
    change(used, request, 1);
  }

  removePod(pod: Pod): void {
    const key = keyOf(pod);
    const present = this.#pods.get(key);
    if (present === undefined) return;
    this.#pods.delete(key);
    change(present.node === "" ? this.#allocating : this.#allocated, present.request, -1);
    if (present.node !== "") change(this.#usedByNode.get(present.node) ?? new Map(), present.request, -1);
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
          .filter(([, quantity]) => quantity.nano > 0n)
          .map(([resource, quantity]) => [resource, formatQuantity(quantity)]),
      );
      if (Object.keys(texts).length > 0) summary[name] = texts;
    }
    if (models.length > 0) {
      const free = [...this.#nodes].map(([name, { allocatable }]) => {
        const used = this.#usedByNode.get(name);
        return Object.fromEntries(
          [...allocatable].map(([resource, quantity]) => [
            resource,
            formatQuantity(subtractQuantities(quantity, used?.get(resource) ?? zeroQuantity)),
          ]),
        );
      });
      try {
        summary["allocatableModelings"] = countModels(
          models,
          free.filter((node) => node["pods"] === undefined || !node["pods"].startsWith("-")),
        );
      } catch {
        // Models that cannot be counted are left out; admission refuses them where they come from.
      }
    }
    const total = this.#nodes.size;
    return {
      nodeSummary: {
        ...(total === 0 ? {} : { totalNum: total }),
        ...(this.#ready === 0 ? {} : { readyNum: this.#ready }),
      },
      resourceSummary: summary,
    };
  }
}
