import { formatLabelSelector, getPath, type KubeObject, type LabelSelector, parseTime } from "#machinery";
import { FORMER_CLASS } from "../builtin/checks.ts";
import { ageOf, durationText } from "./ages.ts";
import { eventCells } from "./event-cells.ts";
import { balancersOf, furtherCells, shownModes } from "./further-cells.ts";
import { autoscalerCells } from "./metric-cells.ts";
import { podCells } from "./pod-cells.ts";

type Cells = (object: KubeObject, nowMs: number) => readonly unknown[];

const at = (object: unknown, ...path: readonly (string | number)[]) => getPath(object, ...path);
const count = (object: unknown, ...path: readonly (string | number)[]) =>
  (at(object, ...path) as number | undefined) ?? 0;
const list = (object: unknown, ...path: readonly (string | number)[]) =>
  (at(object, ...path) as readonly Readonly<Record<string, unknown>>[] | undefined) ?? [];
const size = (value: unknown) => Object.keys((value ?? {}) as object).length;
const name = (object: KubeObject) => object.metadata.name ?? "";
const age = (object: KubeObject, nowMs: number) => ageOf(object.metadata.creationTimestamp, nowMs);
const containersOf = (object: KubeObject, ...path: readonly string[]) => list(object, ...path, "containers");
const names = (containers: readonly Readonly<Record<string, unknown>>[]) =>
  containers.map((container) => container["name"]).join(",");
const images = (containers: readonly Readonly<Record<string, unknown>>[]) =>
  containers.map((container) => container["image"]).join(",");
const selector = (value: unknown) => formatLabelSelector((value ?? {}) as LabelSelector) || "<none>";

const DEFAULT_CLASS = [
  "storageclass.kubernetes.io/is-default-class",
  "storageclass.beta.kubernetes.io/is-default-class",
];
const isDefaultClass = ({ metadata }: KubeObject) =>
  DEFAULT_CLASS.some((annotation) => metadata.annotations?.[annotation] === "true");

const nodeCells: Cells = (node, nowMs) => {
  const ready = list(node, "status", "conditions").find((condition) => condition["type"] === "Ready");
  const state = ready === undefined ? "Unknown" : ready["status"] === "True" ? "Ready" : "NotReady";
  const roles = Object.keys(node.metadata.labels ?? {})
    .flatMap((key) => (key.startsWith("node-role.kubernetes.io/") ? [key.slice(24)] : []))
    .sort()
    .join(",");
  const address = (type: string) =>
    list(node, "status", "addresses").find((entry) => entry["type"] === type)?.["address"] ?? "<none>";
  const info = (field: string) => String(at(node, "status", "nodeInfo", field) ?? "");
  const [kernel, architecture] = [info("kernelVersion"), info("architecture")];
  return [
    name(node),
    `${state}${at(node, "spec", "unschedulable") ? ",SchedulingDisabled" : ""}`,
    roles || "<none>",
    age(node, nowMs),
    info("kubeletVersion"),
    address("InternalIP"),
    address("ExternalIP"),
    info("osImage") || "<unknown>",
    architecture === "" ? kernel || "<unknown>" : `${kernel || "<unknown>"} (${architecture})`,
    info("containerRuntimeVersion") || "<unknown>",
  ];
};

/** Where a Service is reached from outside. */
function externalOf(service: KubeObject, type: string): string {
  // What ends the first events of a watch is a Service of no type.
  if (type === "") return "<unknown>";
  if (type === "ExternalName") return String(at(service, "spec", "externalName") ?? "");
  const addresses = [
    ...(type === "LoadBalancer" ? balancersOf(service) : []),
    ...((at(service, "spec", "externalIPs") as readonly string[] | undefined) ?? []),
  ];
  return addresses.join(",") || (type === "LoadBalancer" ? "<pending>" : "<none>");
}

const serviceCells: Cells = (service, nowMs) => {
  const type = String(at(service, "spec", "type") ?? "");
  const ports = list(service, "spec", "ports")
    .map((port) => `${port["port"]}${port["nodePort"] ? `:${port["nodePort"]}` : ""}/${port["protocol"] ?? "TCP"}`)
    .join(",");
  return [
    name(service),
    type,
    at(service, "spec", "clusterIP") || "<none>",
    externalOf(service, type),
    ports || "<none>",
    age(service, nowMs),
    selector({ matchLabels: at(service, "spec", "selector") as Record<string, string> }),
  ];
};

const jobCells: Cells = (job, nowMs) => {
  const conditions = list(job, "status", "conditions")
    .filter((condition) => condition["status"] === "True")
    .map((condition) => condition["type"]);
  const state = conditions.includes("Complete")
    ? "Complete"
    : conditions.includes("Failed")
      ? "Failed"
      : job.metadata.deletionTimestamp !== undefined
        ? "Terminating"
        : conditions.includes("Suspended")
          ? "Suspended"
          : conditions.includes("FailureTarget")
            ? "FailureTarget"
            : conditions.includes("SuccessCriteriaMet")
              ? "SuccessCriteriaMet"
              : "Running";
  const completions = at(job, "spec", "completions");
  const started = parseTime(at(job, "status", "startTime") as string | undefined);
  const ended = parseTime(at(job, "status", "completionTime") as string | undefined);
  const duration = started === undefined ? "" : durationText((ended ?? nowMs) - started);
  const pods = containersOf(job, "spec", "template", "spec");
  return [
    name(job),
    state,
    completionsText(job, completions),
    duration,
    age(job, nowMs),
    names(pods),
    images(pods),
    selector(at(job, "spec", "selector")),
  ];
};

/** A Job without a number of completions runs as many pods as it may at a time; one success is enough. */
function completionsText(job: KubeObject, completions: unknown): string {
  const succeeded = count(job, "status", "succeeded");
  if (completions !== undefined) return `${succeeded}/${String(completions)}`;
  const parallelism = count(job, "spec", "parallelism");
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

const cells: Readonly<Record<string, Cells>> = {
  ...furtherCells,
  "/Pod": podCells,
  "/Node": nodeCells,
  "/Service": serviceCells,
  "/Namespace": (o, now) => [
    name(o),
    o.metadata.deletionTimestamp === undefined ? (at(o, "status", "phase") ?? "Active") : "Terminating",
    age(o, now),
  ],
  "/ConfigMap": (o, now) => [name(o), size(at(o, "data")) + size(at(o, "binaryData")), age(o, now)],
  "/Secret": (o, now) => [name(o), at(o, "type") ?? "Opaque", size(at(o, "data")), age(o, now)],
  "/Event": eventCells,
  "events.k8s.io/Event": eventCells,
  "/PersistentVolumeClaim": (o, now) => [
    name(o),
    o.metadata.deletionTimestamp === undefined ? (at(o, "status", "phase") ?? "") : "Terminating",
    at(o, "spec", "volumeName") ?? "",
    at(o, "spec", "volumeName") ? (at(o, "status", "capacity", "storage") ?? "0") : "",
    at(o, "spec", "volumeName") ? shownModes(at(o, "status", "accessModes")) : "",
    o.metadata.annotations?.[FORMER_CLASS] ?? at(o, "spec", "storageClassName") ?? "",
    at(o, "spec", "volumeAttributesClassName") ?? "<unset>",
    age(o, now),
    at(o, "spec", "volumeMode") ?? "Filesystem",
  ],
  "/ResourceQuota": (o, now) => [name(o), ...quotaCells(o), age(o, now)],
  "apps/Deployment": (o, now) => {
    const pods = containersOf(o, "spec", "template", "spec");
    return [
      name(o),
      `${count(o, "status", "readyReplicas")}/${at(o, "spec", "replicas") ?? 1}`,
      count(o, "status", "updatedReplicas"),
      count(o, "status", "availableReplicas"),
      age(o, now),
      names(pods),
      images(pods),
      selector(at(o, "spec", "selector")),
    ];
  },
  "apps/ReplicaSet": (o, now) => {
    const pods = containersOf(o, "spec", "template", "spec");
    return [
      name(o),
      count(o, "spec", "replicas"),
      count(o, "status", "replicas"),
      count(o, "status", "readyReplicas"),
      age(o, now),
      names(pods),
      images(pods),
      selector(at(o, "spec", "selector")),
    ];
  },
  "apps/StatefulSet": (o, now) => {
    const pods = containersOf(o, "spec", "template", "spec");
    return [
      name(o),
      `${count(o, "status", "readyReplicas")}/${at(o, "spec", "replicas") ?? 1}`,
      age(o, now),
      names(pods),
      images(pods),
    ];
  },
  "apps/DaemonSet": (o, now) => {
    const pods = containersOf(o, "spec", "template", "spec");
    const nodes = Object.entries((at(o, "spec", "template", "spec", "nodeSelector") ?? {}) as Record<string, string>)
      .map(([key, value]) => `${key}=${value}`)
      .join(",");
    return [
      name(o),
      count(o, "status", "desiredNumberScheduled"),
      count(o, "status", "currentNumberScheduled"),
      count(o, "status", "numberReady"),
      count(o, "status", "updatedNumberScheduled"),
      count(o, "status", "numberAvailable"),
      nodes || "<none>",
      age(o, now),
      names(pods),
      images(pods),
      selector(at(o, "spec", "selector")),
    ];
  },
  "batch/Job": jobCells,
  "batch/CronJob": (o, now) => [
    name(o),
    at(o, "spec", "schedule") ?? "",
    at(o, "spec", "timeZone") ?? "<none>",
    at(o, "spec", "suspend") === true ? "True" : "False",
    list(o, "status", "active").length,
    at(o, "status", "lastScheduleTime") ? ageOf(String(at(o, "status", "lastScheduleTime")), now) : "<none>",
    age(o, now),
    names(containersOf(o, "spec", "jobTemplate", "spec", "template", "spec")),
    images(containersOf(o, "spec", "jobTemplate", "spec", "template", "spec")),
    selector(at(o, "spec", "jobTemplate", "spec", "selector")),
  ],
  "autoscaling/HorizontalPodAutoscaler": autoscalerCells,
  "coordination.k8s.io/Lease": (o, now) => [name(o), at(o, "spec", "holderIdentity") ?? "", age(o, now)],
  "storage.k8s.io/StorageClass": (o, now) => [
    isDefaultClass(o) ? `${name(o)} (default)` : name(o),
    at(o, "provisioner") ?? "",
    at(o, "reclaimPolicy") ?? "Delete",
    at(o, "volumeBindingMode") ?? "Immediate",
    at(o, "allowVolumeExpansion") ?? false,
    age(o, now),
  ],
  "certificates.k8s.io/CertificateSigningRequest": (o, now) => {
    const seconds = at(o, "spec", "expirationSeconds") as number | undefined;
    return [
      name(o),
      age(o, now),
      at(o, "spec", "signerName") ?? "<none>",
      at(o, "spec", "username") ?? "",
      seconds === undefined ? "<none>" : durationText(seconds * 1000),
      requestCondition(o),
    ];
  },
  "flowcontrol.apiserver.k8s.io/FlowSchema": (o, now) => [
    name(o),
    at(o, "spec", "priorityLevelConfiguration", "name") ?? "<none>",
    at(o, "spec", "matchingPrecedence") ?? 0,
    at(o, "spec", "distinguisherMethod", "type") ?? "<none>",
    age(o, now),
    list(o, "status", "conditions").find((condition) => condition["type"] === "Dangling")?.["status"] ?? "?",
  ],
  "flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration": (o, now) => {
    const limited = at(o, "spec", "limited");
    const queuing = at(limited, "limitResponse", "queuing");
    return [
      name(o),
      at(o, "spec", "type") ?? "",
      at(limited, "nominalConcurrencyShares") ?? "<none>",
      at(queuing, "queues") ?? "<none>",
      at(queuing, "handSize") ?? "<none>",
      at(queuing, "queueLengthLimit") ?? "<none>",
      age(o, now),
    ];
  },
  "cluster.karmada.io/Cluster": (o, now) => [
    name(o),
    at(o, "status", "kubernetesVersion") ?? "",
    at(o, "spec", "syncMode") ?? "",
    list(o, "status", "conditions").find((condition) => condition["type"] === "Ready")?.["status"] ?? "Unknown",
    age(o, now),
    zonesOf(o),
    at(o, "spec", "region") ?? "",
    at(o, "spec", "provider") ?? "",
    at(o, "spec", "apiEndpoint") ?? "",
    at(o, "spec", "proxyURL") ?? "",
  ],
};

/** What was decided on a certificate request, and whether its certificate is there. */
function requestCondition(request: KubeObject): string {
  const types = new Set(list(request, "status", "conditions").map((condition) => condition["type"]));
  const decided = types.has("Denied") ? ["Denied"] : types.has("Approved") ? ["Approved"] : ["Pending"];
  const words = [
    ...decided,
    ...(types.has("Failed") ? ["Failed"] : []),
    ...(at(request, "status", "certificate") ? ["Issued"] : []),
  ];
  return words.join(",");
}

const zonesOf = (cluster: KubeObject) =>
  (at(cluster, "spec", "zones") as string[] | undefined)?.join(",") ?? String(at(cluster, "spec", "zone") ?? "");

function quotaCells(quota: KubeObject): readonly string[] {
  const hard = (at(quota, "status", "hard") ?? {}) as Record<string, string>;
  const used = (at(quota, "status", "used") ?? {}) as Record<string, string>;
  const text = (isLimit: boolean) =>
    Object.keys(hard)
      .filter((key) => key.startsWith("limits.") === isLimit)
      .sort()
      .map((key) => `${key}: ${used[key] ?? "0"}/${hard[key]}`)
      .join(", ");
  return [text(false), text(true)];
}

/** The cells of a kind with columns of its own; `undefined` for all others. Further columns may be missing at the end. */
export function cellsOf(
  group: string,
  kind: string,
  object: KubeObject,
  nowMs: number,
): readonly unknown[] | undefined {
  return cells[`${group}/${kind}`]?.(object, nowMs);
}
