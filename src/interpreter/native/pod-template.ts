import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  getPath,
  type KubeObject,
  parseQuantity,
  type Quantity,
  zeroQuantity,
} from "#machinery";
import { list, namespaceOf, templateOf } from "../parts.ts";
import type { Dependency, Json, KindRules } from "../rules.ts";

function isCounted(name: string): boolean {
  if (["cpu", "memory", "ephemeral-storage", "pods"].includes(name)) return true;
  if (name.startsWith("hugepages-") || name.startsWith("attachable-volumes-")) return true;
  return name.includes("/") && !name.startsWith("requests.");
}

type Amounts = Map<string, Quantity>;

function requestsOf(container: Json): Amounts {
  const requests = (getPath(container, "resources", "requests") ?? {}) as Readonly<Record<string, string>>;
  const limits = (getPath(container, "resources", "limits") ?? {}) as Readonly<Record<string, string>>;
  const amounts: Amounts = new Map();
  for (const [name, text] of Object.entries({ ...limits, ...requests })) {
    const quantity = parseQuantity(text);
    if (quantity !== undefined && isCounted(name)) amounts.set(name, quantity);
  }
  return amounts;
}

/** What one replica needs: resources and a claim on nodes; `undefined` when it needs nothing special. */
export function requirementsOf(template: unknown): Json | undefined {
  const spec = (getPath(template, "spec") ?? {}) as Json;
  const total: Amounts = new Map();
  const add = (amounts: Amounts) => {
    for (const [name, quantity] of amounts)
      total.set(name, addQuantities(total.get(name) ?? { ...zeroQuantity, format: quantity.format }, quantity));
  };
  for (const container of list(spec["containers"])) add(requestsOf(container));
  for (const container of list(spec["initContainers"]))
    for (const [name, quantity] of requestsOf(container)) {
      const present = total.get(name);
      if (present === undefined || compareQuantities(quantity, present) > 0) total.set(name, quantity);
    }
  const overhead: Amounts = new Map();
  for (const [name, text] of Object.entries((spec["overhead"] ?? {}) as Readonly<Record<string, string>>)) {
    const quantity = parseQuantity(text);
    if (quantity !== undefined && isCounted(name)) overhead.set(name, quantity);
  }
  add(overhead);
  const resourceRequest: Record<string, string> = {};
  for (const [name, quantity] of total) {
    if (quantity.nano === 0n) continue;
    const isBinary = name === "memory" || name === "ephemeral-storage" || name.startsWith("hugepages-");
    resourceRequest[name] = formatQuantity({ nano: quantity.nano, format: isBinary ? "BinarySI" : "DecimalSI" });
  }
  const nodeSelector = spec["nodeSelector"] as Json | undefined;
  const tolerations = list(spec["tolerations"]);
  const affinity = spec["affinity"];
  const hardNodeAffinity = getPath(affinity, "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution");
  const hasClaim =
    nodeSelector !== undefined || (affinity !== undefined && affinity !== null) || tolerations.length > 0;
  const nodeClaim = {
    ...(hardNodeAffinity === undefined ? {} : { hardNodeAffinity }),
    ...(nodeSelector === undefined ? {} : { nodeSelector }),
    ...(tolerations.length === 0 ? {} : { tolerations }),
  };
  if (!hasClaim && Object.keys(resourceRequest).length === 0) return undefined;
  return {
    ...(hasClaim ? { nodeClaim } : {}),
    ...(Object.keys(resourceRequest).length === 0 ? {} : { resourceRequest }),
  };
}

/** Config maps, secrets, the service account and claims a pod template refers to. */
export function dependenciesOf(template: unknown, namespace: string): readonly Dependency[] {
  const spec = (getPath(template, "spec") ?? {}) as Json;
  const found = new Map<string, Dependency>();
  const need = (kind: string, name: unknown) => {
    if (typeof name === "string" && name !== "")
      found.set(`${kind}/${name}`, { apiVersion: "v1", kind, ...(namespace === "" ? {} : { namespace }), name });
  };
  for (const containers of ["containers", "initContainers", "ephemeralContainers"])
    for (const container of list(spec[containers])) {
      for (const from of list(container["envFrom"])) {
        need("ConfigMap", getPath(from, "configMapRef", "name"));
        need("Secret", getPath(from, "secretRef", "name"));
      }
      for (const variable of list(container["env"])) {
        need("ConfigMap", getPath(variable, "valueFrom", "configMapKeyRef", "name"));
        need("Secret", getPath(variable, "valueFrom", "secretKeyRef", "name"));
      }
    }
  for (const reference of list(spec["imagePullSecrets"])) need("Secret", reference["name"]);
  for (const volume of list(spec["volumes"])) {
    need("ConfigMap", getPath(volume, "configMap", "name"));
    need("Secret", getPath(volume, "secret", "secretName"));
    for (const source of list(getPath(volume, "projected", "sources"))) {
      need("ConfigMap", getPath(source, "configMap", "name"));
      need("Secret", getPath(source, "secret", "name"));
    }
    need("Secret", getPath(volume, "azureFile", "secretName"));
    for (const kind of ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"])
      need("Secret", getPath(volume, kind, "secretRef", "name"));
    need("Secret", getPath(volume, "csi", "nodePublishSecretRef", "name"));
    need("PersistentVolumeClaim", getPath(volume, "persistentVolumeClaim", "claimName"));
  }
  const account = spec["serviceAccountName"];
  if (account !== "default") need("ServiceAccount", account);
  return [...found.values()];
}

/** A number of replicas as an object's `spec` has it; `fallback` where it has none. Throws what is no number. */
export function replicasAt(object: KubeObject, field: "replicas" | "parallelism", fallback: number): number {
  const value = getPath(object, "spec", field) ?? fallback;
  if (typeof value !== "number") throw new Error(`spec.${field}: ${JSON.stringify(value)} is not a number`);
  return value;
}

/** Replicas of a workload whose pods are made from `spec.template`. */
export const workloadReplicas: NonNullable<KindRules["replicas"]> = (object) => ({
  replica: replicasAt(object, "replicas", 0),
  requirements: requirementsOf(templateOf(object)),
});

/** What the pods made from `spec.template` need. */
export const workloadDependencies: NonNullable<KindRules["dependencies"]> = (object) =>
  dependenciesOf(templateOf(object), namespaceOf(object));
