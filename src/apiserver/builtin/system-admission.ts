import { deepEqual } from "#base";
import {
  compareQuantities,
  forbidden,
  getPath,
  type KubeObject,
  parseQuantity,
  setPath,
  zeroQuantity,
} from "#machinery";
import { type AdmissionPlugin, type AdmissionRequest, refusalOf } from "../admission.ts";
import type { AdmissionConfiguration } from "../admission-configuration.ts";
import type { ApiServer } from "../server.ts";
import { systemUser } from "../definition.ts";
import { defaultIngressClass, defaultStorageClass } from "./default-classes.ts";
import type { Json } from "./pod-defaults.ts";
import { limitRanger } from "./limit-ranger.ts";
import { podSecurity } from "./pod-security-admission.ts";
import { resourceQuota } from "./quota-admission.ts";

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
export function systemAdmission(
  server: ApiServer,
  { podSecurity: held }: AdmissionConfiguration = {},
): readonly AdmissionPlugin[] {
  const classes = (group: string, resource: string) => stored(server, group, resource);
  return [
    namespaceLifecycle,
    systemPriorities,
    limitRanger((namespace) => stored(server, "", "limitranges", namespace)),
    taintNodesByCondition,
    podSecurity(server, held),
    priority(server),
    defaultTolerations,
    defaultStorageClass(classes),
    claimResize(server),
    runtimeClass(server),
    defaultIngressClass(classes),
    resourceQuota(server),
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

/** Classes that the server makes itself cannot be deleted. */
const systemPriorities: AdmissionPlugin = {
  name: "PriorityClass",
  handles: ({ operation, definition, name }) =>
    operation === "DELETE" &&
    definition.kind.kind === "PriorityClass" &&
    /^system-(?:node|cluster)-critical$/.test(name),
  validate(request) {
    throw refusalOf(request, "this is a system priority class and cannot be deleted");
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
    async mutate(request: Change) {
      const { object } = request;
      const classes = await stored(server, "scheduling.k8s.io", "priorityclasses");
      const wanted = getPath(object, "spec", "priorityClassName");
      const chosen = wanted
        ? classes.find(({ metadata }) => metadata.name === wanted)
        : classes
            .filter((candidate) => getPath(candidate, "globalDefault") === true)
            .sort((left, right) => Number(getPath(left, "value")) - Number(getPath(right, "value")))[0];
      if (wanted && chosen === undefined)
        throw refusalOf(request, `no PriorityClass with name ${wanted} was found`, true);
      const value = Number(getPath(chosen, "value") ?? 0);
      const given = getPath(object, "spec", "priority");
      if (given !== undefined && given !== value)
        throw refusalOf(
          request,
          `the integer value of priority (${given}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
          true,
        );
      const preemptionPolicy = getPath(chosen, "preemptionPolicy") ?? "PreemptLowerPriority";
      const spec = getPath(object, "spec") as Json;
      const givenPolicy = spec["preemptionPolicy"];
      if (givenPolicy !== undefined && givenPolicy !== preemptionPolicy)
        throw refusalOf(
          request,
          `the string value of PreemptionPolicy (${String(givenPolicy)}) must not be provided in pod spec; priority admission controller computed ${String(preemptionPolicy)} from the given PriorityClass name`,
          true,
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
    async mutate(request: Change) {
      const { object } = request;
      const spec = getPath(object, "spec") as Json;
      const wanted = spec["runtimeClassName"];
      const refuse = (why: string) => refusalOf(request, `pod rejected: ${why}`);
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
          throw refusalOf(
            request,
            `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own[key]}`,
            true,
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
