import {
  addQuantities,
  compareQuantities,
  getPath,
  type KubeObject,
  parseQuantity,
  type Quantity,
  type ResourceKind,
  zeroQuantity,
} from "#machinery";
import type { Json } from "./pod-defaults.ts";

type Amounts = Readonly<Record<string, string>>;

const ONE = parseQuantity("1") as Quantity;
/** Kinds of the core group that quotas count by their plain name. */
const PLAIN = new Set([
  "pods",
  "services",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "resourcequotas",
  "replicationcontrollers",
]);

/** What one object counts for in a ResourceQuota. Without an object: what its kind can count for at least. */
export function usageOf(kind: ResourceKind, object: KubeObject | undefined): ReadonlyMap<string, Quantity> {
  const used = new Map<string, Quantity>();
  const isCore = kind.group === "";
  used.set(isCore ? `count/${kind.resource}` : `count/${kind.resource}.${kind.group}`, ONE);
  if (isCore && kind.resource !== "pods" && PLAIN.has(kind.resource)) used.set(kind.resource, ONE);
  if (isCore && kind.resource === "persistentvolumeclaims")
    used.set(
      "requests.storage",
      parseQuantity(String(getPath(object, "spec", "resources", "requests", "storage") ?? "0")) ?? zeroQuantity,
    );
  if (isCore && kind.resource === "services") {
    const type = getPath(object, "spec", "type");
    const ports = (getPath(object, "spec", "ports") as readonly unknown[] | undefined) ?? [];
    used.set(
      "services.nodeports",
      type === "NodePort" || type === "LoadBalancer" ? (parseQuantity(ports.length) ?? zeroQuantity) : zeroQuantity,
    );
    used.set("services.loadbalancers", type === "LoadBalancer" ? ONE : zeroQuantity);
  }
  if (isCore && kind.resource === "pods") addPod(used, object);
  return used;
}

/** A pod that has ended counts as an object, but no longer for what it ran with. */
function addPod(used: Map<string, Quantity>, pod: KubeObject | undefined): void {
  const phase = getPath(pod, "status", "phase");
  if (phase === "Succeeded" || phase === "Failed") return;
  used.set("pods", ONE);
  for (const part of ["requests", "limits"] as const)
    for (const [name, amount] of podAmounts(pod, part)) {
      used.set(`${part}.${name}`, amount);
      if (part === "requests") used.set(name, amount);
    }
}

/** The sum over containers, or the largest init container where that is more. */
function podAmounts(pod: KubeObject | undefined, part: "requests" | "limits"): ReadonlyMap<string, Quantity> {
  const total = new Map<string, Quantity>();
  const amounts = (container: Json) =>
    Object.entries((getPath(container, "resources", part) ?? {}) as Amounts).map(
      ([name, text]) => [name, parseQuantity(text) ?? zeroQuantity] as const,
    );
  for (const container of (getPath(pod, "spec", "containers") as readonly Json[] | undefined) ?? [])
    for (const [name, amount] of amounts(container))
      total.set(name, addQuantities(total.get(name) ?? zeroQuantity, amount));
  for (const container of (getPath(pod, "spec", "initContainers") as readonly Json[] | undefined) ?? [])
    for (const [name, amount] of amounts(container))
      if (compareQuantities(amount, total.get(name) ?? zeroQuantity) > 0) total.set(name, amount);
  return total;
}
