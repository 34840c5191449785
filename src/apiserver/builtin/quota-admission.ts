/** ResourceQuota: refuses what would exceed a quota of its namespace, and counts what it lets in. */
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  getPath,
  type KubeObject,
  parseQuantity,
  type Quantity,
  setPath,
  subtractQuantities,
  zeroQuantity,
} from "#machinery";
import { type AdmissionPlugin, type AdmissionRequest, refusalOf } from "../admission.ts";
import { type RequestContext, type ResourceDefinition, systemUser, unheard } from "../definition.ts";
import type { ApiServer } from "../server.ts";
import { trackFields } from "../verbs/field-owners.ts";
import { listAt, valueAt } from "./checks.ts";
import type { Amounts } from "./pod-amounts.ts";
import type { Json } from "./pod-defaults.ts";
import { qosOf } from "./qos.ts";
import { usageOf } from "./quota.ts";

type Usage = ReadonlyMap<string, Quantity>;

const CONTEXT: RequestContext = { user: systemUser, warn: unheard, tracksFields: true };
/** What containers must say where a quota counts it. */
const MUST_SAY = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const OF_PODS = /^(?:cpu|memory|ephemeral-storage|pods|count\/pods|requests\..+|limits\..+|hugepages-.+)$/;

const isCore = ({ kind }: ResourceDefinition, ...resources: readonly string[]) =>
  kind.group === "" && resources.includes(kind.resource);

/** Resources among some that objects of a kind are counted as. */
function countedOf({ kind }: ResourceDefinition, names: readonly string[]): readonly string[] {
  if (kind.group === "" && kind.resource === "pods")
    return names.filter((name) => OF_PODS.test(name) && name !== "requests.storage");
  const known = usageOf(kind, undefined);
  const isClaim = kind.group === "" && kind.resource === "persistentvolumeclaims";
  return names.filter((name) => known.has(name) || (isClaim && name.includes(".storageclass.storage.k8s.io/")));
}

/** Whether an object is in one of the scopes of a quota. */
function isInScope({ scopeName, operator, values }: Json, { kind }: ResourceDefinition, object: KubeObject): boolean {
  const isOneOf = (value: unknown): boolean => {
    const listed = ((values ?? []) as readonly unknown[]).includes(value);
    switch (operator) {
      case "In":
        return value !== undefined && listed;
      case "NotIn":
        return !listed;
      case "DoesNotExist":
        return !value;
      default:
        return Boolean(value);
    }
  };
  if (kind.group === "" && kind.resource === "persistentvolumeclaims")
    return scopeName === "VolumeAttributesClass" && isOneOf(valueAt(object, "spec.volumeAttributesClassName"));
  if (kind.group !== "" || kind.resource !== "pods") return false;
  const spec = (valueAt(object, "spec") ?? {}) as Json;
  switch (scopeName) {
    case "Terminating":
      return spec["activeDeadlineSeconds"] !== undefined;
    case "NotTerminating":
      return spec["activeDeadlineSeconds"] === undefined;
    case "BestEffort":
      return qosOf(spec) === "BestEffort";
    case "NotBestEffort":
      return qosOf(spec) !== "BestEffort";
    case "PriorityClass":
      return isOneOf(spec["priorityClassName"]);
    case "CrossNamespacePodAffinity":
      return ["podAffinity", "podAntiAffinity"].some((part) =>
        affinityTerms(spec, part).some(
          (term) => term["namespaceSelector"] !== undefined || listAt(term, "namespaces").length > 0,
        ),
      );
    default:
      return false;
  }
}

const affinityTerms = (spec: Json, part: string): readonly Json[] => [
  ...listAt(spec, `affinity.${part}.requiredDuringSchedulingIgnoredDuringExecution`),
  ...listAt(spec, `affinity.${part}.preferredDuringSchedulingIgnoredDuringExecution`).map(
    (weighted) => (weighted["podAffinityTerm"] ?? {}) as Json,
  ),
];

const scopesOf = (quota: KubeObject): readonly Json[] => [
  ...((valueAt(quota, "spec.scopes") ?? []) as readonly string[]).map((scopeName) => ({
    scopeName,
    operator: "Exists",
  })),
  ...listAt(quota, "spec.scopeSelector.matchExpressions"),
];

const hardOf = (quota: KubeObject) => (getPath(quota, "status", "hard") ?? {}) as Amounts;
const usedOf = (quota: KubeObject) => (getPath(quota, "status", "used") ?? {}) as Amounts;
const amount = (text: string | undefined): Quantity => parseQuantity(text ?? "0") ?? zeroQuantity;

/** What a pod's containers leave unsaid although the quota counts it. */
function unsaid(pod: KubeObject, names: readonly string[]): string | undefined {
  const wanted = MUST_SAY.filter((name) => names.includes(name));
  const spec = (valueAt(pod, "spec") ?? {}) as Json;
  const missing = new Map<string, string[]>();
  for (const container of [...listAt(spec, "containers"), ...listAt(spec, "initContainers")])
    for (const name of wanted) {
      const [part, resource = part] = name.split(".");
      const place = part === "limits" ? "limits" : "requests";
      if (getPath(container, "resources", place, resource as string) !== undefined) continue;
      missing.set(name, [...(missing.get(name) ?? []), String(container["name"])]);
    }
  if (missing.size === 0) return undefined;
  const told = [...missing.keys()].sort().map((name) => `${name} for: ${[...new Set(missing.get(name))].join(",")}`);
  return `must specify ${told.join("; ")}`;
}

/** What a request adds; what an update gives back is counted by whoever counts a namespace anew. */
function addedBy({ definition, object, oldObject, operation }: AdmissionRequest): Usage {
  const usage = usageOf(definition.kind, object);
  const before: Usage = operation === "UPDATE" ? usageOf(definition.kind, oldObject) : new Map();
  const added = new Map<string, Quantity>();
  for (const [name, value] of usage) {
    const more = subtractQuantities(value, before.get(name) ?? zeroQuantity);
    if (compareQuantities(more, zeroQuantity) > 0) added.set(name, more);
  }
  return added;
}

/** The quotas an object falls under, in the order of their names. Throws where it lacks what one of them counts. */
function quotasFor(request: AdmissionRequest, quotas: readonly KubeObject[]): readonly KubeObject[] {
  const { definition } = request;
  const object = request.object as KubeObject;
  return quotas.filter((quota) => {
    const { name } = quota.metadata;
    const counted = countedOf(definition, Object.keys(hardOf(quota)));
    if (counted.length === 0 || !scopesOf(quota).every((scope) => isInScope(scope, definition, object))) return false;
    const missing = isCore(definition, "pods") ? unsaid(object, counted) : undefined;
    if (missing !== undefined) throw refusalOf(request, `failed quota: ${name}: ${missing}`);
    const unknown = counted.filter((resource) => usedOf(quota)[resource] === undefined).sort();
    if (unknown.length > 0)
      throw refusalOf(request, `status unknown for quota: ${name}, resources: ${unknown.join(",")}`);
    return true;
  });
}

/** The quota with what is added to its use. Throws where that is more than it allows. */
function charged(request: AdmissionRequest, quota: KubeObject, added: Usage): KubeObject | undefined {
  const [hard, used] = [hardOf(quota), usedOf(quota)];
  const asked = [...added].filter(([name]) => hard[name] !== undefined);
  if (asked.length === 0) return undefined;
  const total = new Map(asked.map(([name, more]) => [name, addQuantities(amount(used[name]), more)]));
  const over = asked.filter(([name]) => compareQuantities(total.get(name) as Quantity, amount(hard[name])) > 0);
  if (over.length > 0) {
    const list = (shown: (name: string, more: Quantity) => string) =>
      over
        .toSorted(([one], [other]) => (one < other ? -1 : 1))
        .map(([name, more]) => `${name}=${shown(name, more)}`)
        .join(",");
    const requested = list((_name, more) => formatQuantity(more));
    throw refusalOf(
      request,
      `exceeded quota: ${quota.metadata.name}, requested: ${requested}, used: ${list((name) => used[name] ?? "0")}, limited: ${list((name) => hard[name] as string)}`,
    );
  }
  const next = Object.fromEntries([...total].map(([name, sum]) => [name, formatQuantity(sum)]));
  return setPath(quota, ["status", "used"], { ...used, ...next });
}

/**
 * The plugin of this name. What quotas say of their use in their status decides, as in Kubernetes, and is written anew in the
 * transaction that writes the object: of objects that arrive together the later ones find the earlier ones counted.
 */
export function resourceQuota(server: ApiServer): AdmissionPlugin {
  return {
    name: "ResourceQuota",
    handles: ({ operation, subresource, namespace, definition }) =>
      namespace !== undefined &&
      (subresource === undefined
        ? operation === "CREATE" || (operation === "UPDATE" && isCore(definition, "services", "persistentvolumeclaims"))
        : subresource === "resize" && operation === "UPDATE" && isCore(definition, "pods")),
    async validate(request) {
      if (request.object === undefined) return;
      const quotas = server.registry.find("", "v1", "resourcequotas");
      if (quotas === undefined) return;
      const store = server.store(quotas);
      await store.load();
      const all = [...store.range(request.namespace)].map(([, { object }]) => object);
      if (all.every((quota) => Object.keys(hardOf(quota)).length === 0)) return;
      const concerned = quotasFor(request, all);
      if (concerned.length === 0) return;
      const added = addedBy(request);
      for (const quota of concerned) {
        const next = charged(request, quota, added);
        if (next === undefined || request.isDryRun) continue;
        const object = await trackFields(
          server,
          quotas,
          quota,
          next,
          { fieldManager: "kube-apiserver" },
          "status",
          CONTEXT,
        );
        request.alongside?.({ kind: quotas.kind, object });
      }
    },
  };
}

/** What the objects of a namespace use of the named resources of quotas; `seen` takes the uids of those counted. */
export async function namespaceUsage(
  server: ApiServer,
  namespace: string,
  resources: readonly string[],
  seen?: Set<string>,
): Promise<ReadonlyMap<string, Quantity>> {
  const used = new Map<string, Quantity>();
  for (const definition of server.registry.all) {
    if (
      !definition.kind.namespaced ||
      definition.virtual !== undefined ||
      definition.kind.version !== definition.storage.version
    )
      continue;
    const sample = usageOf(definition.kind, undefined);
    if (
      !resources.some(
        (resource) => sample.has(resource) || (definition.kind.resource === "pods" && !resource.startsWith("count/")),
      )
    )
      continue;
    const store = server.store(definition);
    await store.load();
    for (const [, { object }] of store.range(namespace)) {
      seen?.add(object.metadata.uid ?? "");
      for (const [resource, amount] of usageOf(definition.kind, object))
        if (resources.includes(resource)) used.set(resource, addQuantities(used.get(resource) ?? zeroQuantity, amount));
    }
  }
  return used;
}
