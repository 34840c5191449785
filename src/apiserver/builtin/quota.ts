import { getPath, type KubeObject, parseQuantity, type Quantity, type ResourceKind, zeroQuantity } from "#machinery";
import { podAmounts } from "./pod-amounts.ts";
import type { Json } from "./pod-defaults.ts";

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
  if (isCore && kind.resource === "persistentvolumeclaims") addClaim(used, object);
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

/** A claim counts for itself and for its class. */
function addClaim(used: Map<string, Quantity>, claim: KubeObject | undefined): void {
  const storage = parseQuantity(String(getPath(claim, "spec", "resources", "requests", "storage") ?? "0"));
  used.set("requests.storage", storage ?? zeroQuantity);
  const name = getPath(claim, "spec", "storageClassName");
  if (typeof name !== "string" || name === "") return;
  used.set(`${name}.storageclass.storage.k8s.io/requests.storage`, storage ?? zeroQuantity);
  used.set(`${name}.storageclass.storage.k8s.io/persistentvolumeclaims`, ONE);
}

/** A pod that has ended counts as an object, but no longer for what it ran with. */
function addPod(used: Map<string, Quantity>, pod: KubeObject | undefined): void {
  const phase = getPath(pod, "status", "phase");
  if (phase === "Succeeded" || phase === "Failed") return;
  used.set("pods", ONE);
  for (const part of ["requests", "limits"] as const)
    for (const [name, amount] of podAmounts((getPath(pod, "spec") ?? {}) as Json, part)) {
      used.set(`${part}.${name}`, amount);
      if (part === "requests") used.set(name, amount);
    }
}
