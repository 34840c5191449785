import { deepEqual } from "#base";
import {
  addQuantities,
  compareQuantities,
  forbidden,
  formatQuantity,
  getPath,
  type KubeObject,
  parseQuantity,
  type Quantity,
  setPath,
  zeroQuantity,
} from "#machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";
import type { ApiServer } from "../server.ts";
import { systemUser } from "../definition.ts";
import { defaultIngressClass, defaultStorageClass } from "./default-classes.ts";
import type { Json } from "./pod-defaults.ts";
import { limitRanger } from "./limit-ranger.ts";
import { podSecurity } from "./pod-security-admission.ts";
import { usageOf } from "./quota.ts";

type Change = AdmissionRequest & { readonly object: KubeObject };
type List = readonly Json[];

const isPodCreate = ({ definition, operation, subresource }: AdmissionRequest) =>
  operation === "CREATE" &&
  subresource === undefined &&
  definition.kind.group === "" &&
  definition.kind.resource === "pods";

const listOf = (value: unknown, ...path: readonly string[]): List =>
  (getPath(value, ...path) as List | undefined) ?? [];

/** All objects of a resource in a namespace, or in all; none where the resource is not served. */
async function stored(
  server: ApiServer,
  group: string,
  resource: string,
  namespace?: string,
): Promise<readonly KubeObject[]> {
  const definition = server.registry.find(group, "v1", resource);
  if (definition === undefined) return [];
  const store = server.store(definition);
  await store.load();
  return [...store.range(namespace)].map(([, { object }]) => object);
}

/** The plugins kube-apiserver turns on by default, as far as stored kinds need them, in its order. */
export function systemAdmission(server: ApiServer): readonly AdmissionPlugin[] {
  const classes = (group: string, resource: string) => stored(server, group, resource);
  return [
    namespaceLifecycle,
    limitRanger((namespace) => stored(server, "", "limitranges", namespace)),
    taintNodesByCondition,
    podSecurity(server),
    priority(server),
    defaultTolerations,
    defaultStorageClass(classes),
    claimResize(server),
    runtimeClass(server),
    defaultIngressClass(classes),
    quota(server),
  ];
}

const UNDELETABLE = new Set(["default", "kube-system", "kube-public"]);

const namespaceLifecycle: AdmissionPlugin = {
  name: "NamespaceLifecycle",
  handles: ({ operation, definition, name }) =>
    operation === "DELETE" &&
    definition.kind.group === "" &&
    definition.kind.resource === "namespaces" &&
    UNDELETABLE.has(name),
  validate({ definition, name }) {
    throw forbidden(definition.kind, name, "this namespace may not be deleted");
  },
};

const NOT_READY = { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" };

/** A new node takes no pods until it is known to be well. Simulated nodes, which this process registers itself, are. */
const taintNodesByCondition: AdmissionPlugin = {
  name: "TaintNodesByCondition",
  handles: ({ operation, subresource, definition, user }) =>
    operation === "CREATE" &&
    subresource === undefined &&
    definition.kind.group === "" &&
    definition.kind.resource === "nodes" &&
    user !== systemUser,
  mutate({ object }) {
    const taints = listOf(object, "spec", "taints");
    return taints.some(({ key, effect }) => key === NOT_READY.key && effect === NOT_READY.effect)
      ? object
      : setPath(object, ["spec", "taints"], [...taints, NOT_READY]);
  },
};

/** A pod's priority is its class's; without a class, that of the class marked as global default, else 0. */
function priority(server: ApiServer): AdmissionPlugin {
  return {
    name: "Priority",
    handles: isPodCreate,
    async mutate({ object, definition, name }: Change) {
      const classes = await stored(server, "scheduling.k8s.io", "priorityclasses");
      const wanted = getPath(object, "spec", "priorityClassName");
      const chosen = wanted
        ? classes.find(({ metadata }) => metadata.name === wanted)
        : classes
            .filter((candidate) => getPath(candidate, "globalDefault") === true)
            .sort((left, right) => Number(getPath(left, "value")) - Number(getPath(right, "value")))[0];
      if (wanted && chosen === undefined)
        throw forbidden(definition.kind, name, `no PriorityClass with name ${wanted} was found`);
      const value = Number(getPath(chosen, "value") ?? 0);
      const given = getPath(object, "spec", "priority");
      if (given !== undefined && given !== value)
        throw forbidden(
          definition.kind,
          name,
          `the integer value of priority (${given}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
        );
      const preemptionPolicy = getPath(chosen, "preemptionPolicy") ?? "PreemptLowerPriority";
      const preempts = getPath(object, "spec", "preemptionPolicy");
      if (preempts !== undefined && preempts !== preemptionPolicy)
        throw forbidden(
          definition.kind,
          name,
          `the string value of PreemptionPolicy (${String(preempts)}) must not be provided in pod spec; priority admission controller computed ${String(preemptionPolicy)} from the given PriorityClass name`,
        );
      const spec = getPath(object, "spec") as Json;
      const givenPolicy = spec["preemptionPolicy"];
      if (givenPolicy !== undefined && givenPolicy !== preemptionPolicy)
        throw forbidden(
          definition.kind,
          name,
          `the string value of PreemptionPolicy (${String(givenPolicy)}) must not be provided in pod spec; priority admission controller computed ${String(preemptionPolicy)} from the given PriorityClass name`,
        );
      return {
        ...object,
        spec: {
          preemptionPolicy,
          ...spec,
          priority: value,
          ...(chosen === undefined ? {} : { priorityClassName: chosen.metadata.name }),
        },
      } as KubeObject;
    },
  };
}

/** A claim grows only where the class that made its volume says that volumes may. */
function claimResize(server: ApiServer): AdmissionPlugin {
  const sizeOf = (claim: KubeObject | undefined) =>
    parseQuantity(String(getPath(claim, "spec", "resources", "requests", "storage") ?? "0")) ?? zeroQuantity;
  return {
    name: "PersistentVolumeClaimResize",
    handles: ({ operation, subresource, definition, object, oldObject }) =>
      operation === "UPDATE" &&
      subresource === undefined &&
      definition.kind.group === "" &&
      definition.kind.resource === "persistentvolumeclaims" &&
      compareQuantities(sizeOf(object), sizeOf(oldObject)) > 0,
    async validate({ oldObject, definition, name }) {
      if (getPath(oldObject, "status", "phase") !== "Bound")
        throw forbidden(definition.kind, name, "only bound persistent volume claims can be expanded");
      const wanted = getPath(oldObject, "spec", "storageClassName");
      const classes = await stored(server, "storage.k8s.io", "storageclasses");
      const found = classes.find(({ metadata }) => metadata.name === wanted);
      if (getPath(found, "allowVolumeExpansion") !== true)
        throw forbidden(
          definition.kind,
          name,
          "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        );
    },
  };
}

/** What a pod's runtime needs beside its containers, and where it runs, is said by its class. */
function runtimeClass(server: ApiServer): AdmissionPlugin {
  return {
    name: "RuntimeClass",
    handles: isPodCreate,
    async mutate({ object, definition, name }: Change) {
      const spec = getPath(object, "spec") as Json;
      const wanted = spec["runtimeClassName"];
      const refuse = (why: string) => forbidden(definition.kind, name, `pod rejected: ${why}`);
      if (wanted === undefined) {
        if (!empty((spec["overhead"] ?? {}) as object))
          throw refuse("Pod Overhead set without corresponding RuntimeClass defined Overhead");
        return object;
      }
      const classes = await stored(server, "node.k8s.io", "runtimeclasses");
      const found = classes.find(({ metadata }) => metadata.name === wanted);
      if (found === undefined) throw refuse(`RuntimeClass ${JSON.stringify(wanted)} not found`);
      const overhead = getPath(found, "overhead", "podFixed") as Amounts | undefined;
      if (spec["overhead"] !== undefined && !deepEqual(spec["overhead"], overhead ?? {}))
        throw refuse("Pod's Overhead doesn't match RuntimeClass's defined Overhead");
      const selector = (getPath(found, "scheduling", "nodeSelector") ?? {}) as Amounts;
      const own = (spec["nodeSelector"] ?? {}) as Amounts;
      for (const [key, value] of Object.entries(selector))
        if (own[key] !== undefined && own[key] !== value)
          throw refuse(
            `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own[key]}`,
          );
      const tolerations = listOf(found, "scheduling", "tolerations");
      const present = listOf(object, "spec", "tolerations");
      const missing = tolerations.filter((toleration) => !present.some((other) => deepEqual(other, toleration)));
      return {
        ...object,
        spec: {
          ...spec,
          ...(overhead === undefined ? {} : { overhead }),
          ...(empty(selector) ? {} : { nodeSelector: { ...own, ...selector } }),
          ...(missing.length === 0 ? {} : { tolerations: [...present, ...missing] }),
        },
      } as KubeObject;
    },
  };
}

const TOLERATED = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/** Pods stay five minutes on a node that is gone, unless they say otherwise. */
const defaultTolerations: AdmissionPlugin = {
  name: "DefaultTolerationSeconds",
  handles: ({ definition, operation, subresource }) =>
    (operation === "CREATE" || operation === "UPDATE") &&
    subresource === undefined &&
    definition.kind.group === "" &&
    definition.kind.resource === "pods",
  mutate({ object }: Change) {
    const present = listOf(object, "spec", "tolerations");
    const isCovered = (taint: string) =>
      present.some(({ key, effect }) => (key === taint || !key) && (effect === "NoExecute" || !effect));
    const missing = TOLERATED.filter((taint) => !isCovered(taint)).map((key) => ({
      key,
      operator: "Exists",
      effect: "NoExecute",
      tolerationSeconds: 300,
    }));
    return missing.length === 0 ? object : setPath(object, ["spec", "tolerations"], [...present, ...missing]);
  },
};

type Amounts = Readonly<Record<string, string>>;

const empty = (value: object) => Object.keys(value).length === 0;

/** For how long an object that was let through counts although it is not stored: by then it is, or was refused. */
const RESERVED_MS = 1000;

interface Reservation {
  readonly usage: ReadonlyMap<string, Quantity>;
  readonly untilMs: number;
}

/**
 * Refuses what would exceed a ResourceQuota. Enforced is what the quota's status says, as in Kubernetes. Of objects that
 * arrive together the later ones count the earlier ones, although those are not stored yet.
 */
function quota(server: ApiServer): AdmissionPlugin {
  const reserved = new Map<string, Map<string, Reservation>>();
  const outstanding = (namespace: string, seen: ReadonlySet<string>): readonly Reservation[] => {
    const own = reserved.get(namespace);
    if (own === undefined) return [];
    for (const [uid, { untilMs }] of own) if (untilMs <= server.clock.now() || seen.has(uid)) own.delete(uid);
    if (own.size === 0) reserved.delete(namespace);
    return [...own.values()];
  };
  return {
    name: "ResourceQuota",
    handles: ({ operation, subresource, namespace }) =>
      operation === "CREATE" && subresource === undefined && namespace !== undefined,
    async validate({ object, definition, name, namespace, isDryRun }) {
      if (object === undefined || namespace === undefined) return;
      const quotas = (await stored(server, "", "resourcequotas", namespace)).filter(
        (found) => !empty((getPath(found, "status", "hard") ?? {}) as object),
      );
      if (quotas.length === 0) return;
      const asked = usageOf(definition.kind, object);
      const limited = [
        ...new Set(quotas.flatMap((found) => Object.keys(getPath(found, "status", "hard") as Amounts))),
      ].filter((resource) => asked.has(resource));
      if (limited.length === 0) return;
      const seen = new Set<string>();
      const counted = await namespaceUsage(server, namespace, limited, seen);
      // From here on nothing waits, so that the next request finds this one reserved.
      const present = new Map(counted);
      for (const { usage } of outstanding(namespace, seen))
        for (const [resource, amount] of usage)
          present.set(resource, addQuantities(present.get(resource) ?? zeroQuantity, amount));
      for (const found of quotas) {
        const hard = getPath(found, "status", "hard") as Amounts;
        const over = limited.filter((resource) => {
          if (hard[resource] === undefined) return false;
          const total = addQuantities(present.get(resource) ?? zeroQuantity, asked.get(resource) as Quantity);
          return compareQuantities(total, parseQuantity(hard[resource] as string) ?? zeroQuantity) > 0;
        });
        if (over.length === 0) continue;
        const list = (amount: (resource: string) => string) =>
          over
            .sort()
            .map((resource) => `${resource}=${amount(resource)}`)
            .join(",");
        const requested = list((resource) => formatQuantity(asked.get(resource) as Quantity));
        const used = list((resource) => formatQuantity(present.get(resource) ?? zeroQuantity));
        throw forbidden(
          definition.kind,
          name,
          `exceeded quota: ${found.metadata.name}, requested: ${requested}, used: ${used}, limited: ${list((resource) => hard[resource] as string)}`,
        );
      }
      if (isDryRun) return;
      const own = reserved.get(namespace) ?? new Map<string, Reservation>();
      reserved.set(namespace, own);
      own.set(object.metadata.uid ?? "", { usage: asked, untilMs: server.clock.now() + RESERVED_MS });
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
