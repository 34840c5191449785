/** Flink deployments. */
import {
  compareQuantities,
  formatQuantity,
  getPath,
  type KubeObject,
  parseQuantity,
  type Quantity,
  setPath,
} from "#machinery";
import { namespaceOf, reported, statusOf } from "../parts.ts";
import type { AggregatedItem, Json, KindRules } from "../rules.ts";
import { compact, reflectPicked } from "./gather.ts";
import { flinkMemory } from "./memory.ts";

const FIELDS = [
  "clusterInfo",
  "error",
  "jobManagerDeploymentStatus",
  "jobStatus",
  "lifecycleState",
  "observedGeneration",
  "reconciliationStatus",
  "taskManager",
];
const NOTHING: Json = { error: "", jobManagerDeploymentStatus: "", lifecycleState: "", observedGeneration: 0 };

interface Amounts {
  readonly cpu?: Quantity | undefined;
  readonly memory?: Quantity | undefined;
}

function amountsOf(object: KubeObject, part: "jobManager" | "taskManager"): Amounts {
  const { cpu, memory } = (getPath(object, "spec", part, "resource") ?? {}) as Json;
  return {
    cpu: cpu === undefined ? undefined : parseQuantity(String(cpu)),
    memory: memory === undefined ? undefined : flinkMemory(String(memory)),
  };
}

const larger = (a: Quantity | undefined, b: Quantity | undefined) =>
  a === undefined || (b !== undefined && compareQuantities(b, a) > 0) ? b : a;

/** What pods need: amounts, and the claim all of them share. */
function requirements(object: KubeObject, { cpu, memory }: Amounts): Json {
  const { nodeSelector, tolerations, priorityClassName } = (getPath(object, "spec", "podTemplate", "spec") ??
    {}) as Json;
  return compact({
    resourceRequest: compact({
      cpu: cpu === undefined ? undefined : formatQuantity({ ...cpu, format: "DecimalSI" }),
      memory: memory === undefined ? undefined : formatQuantity(memory),
    }),
    nodeClaim: compact({ nodeSelector, tolerations }),
    priorityClassName,
  });
}

const count = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);
const jobManagers = (object: KubeObject) => count(getPath(object, "spec", "jobManager", "replicas")) ?? 1;

function taskManagers(object: KubeObject): number {
  const given = count(getPath(object, "spec", "taskManager", "replicas"));
  if (given !== undefined) return given;
  const parallelism = count(getPath(object, "spec", "job", "parallelism"));
  const slots = Number(getPath(object, "spec", "flinkConfiguration", "taskmanager.numberOfTaskSlots") ?? Number.NaN);
  return parallelism !== undefined && slots > 0 ? Math.ceil(parallelism / slots) : 1;
}

const RUNS = ["RUNNING", "FINISHED", "FAILED", "CANCELED", "SUSPENDED", "CANCELLING", "FAILING", "RESTARTING"];
const STARTS = ["CREATED", "INITIALIZING", "RECONCILING"];
const PULL_ERRORS = ["ErrImagePull", "ImagePullBackOff", "CrashLoopBackOff"];

const deployment: KindRules = {
  replicas: (object) => {
    const job = amountsOf(object, "jobManager");
    const task = amountsOf(object, "taskManager");
    const most = { cpu: larger(job.cpu, task.cpu), memory: larger(job.memory, task.memory) };
    return {
      replica: jobManagers(object) + taskManagers(object),
      requirements: { ...requirements(object, most), namespace: namespaceOf(object) },
    };
  },
  components: (object) => [
    {
      name: "jobmanager",
      replicas: jobManagers(object),
      replicaRequirements: requirements(object, amountsOf(object, "jobManager")),
    },
    {
      name: "taskmanager",
      replicas: taskManagers(object),
      replicaRequirements: requirements(object, amountsOf(object, "taskManager")),
    },
  ],
  aggregate: (object, items: readonly AggregatedItem[] | undefined) => {
    const last = reported(items).at(-1)?.status;
    const kept = Object.fromEntries(
      Object.entries(statusOf(object) ?? {}).filter(([field]) => !FIELDS.includes(field)),
    );
    return {
      ...kept,
      ...(last === undefined ? NOTHING : compact(Object.fromEntries(FIELDS.map((field) => [field, last?.[field]])))),
    };
  },
  reflect: reflectPicked(FIELDS),
  // Where a job starts from is its member's to say: admission there finds the checkpoint a failover left.
  keep: (desired, observed) => {
    const start = getPath(observed, "spec", "job", "initialSavepointPath");
    return start === undefined ||
      getPath(desired, "spec", "job") === undefined ||
      getPath(desired, "spec", "job", "initialSavepointPath") !== undefined
      ? desired
      : setPath(desired, ["spec", "job", "initialSavepointPath"], start);
  },
  health: (object) => {
    const status = statusOf(object) ?? {};
    const state = getPath(status, "jobStatus", "state");
    if (state === undefined || state === "")
      return status["jobManagerDeploymentStatus"] === "READY" && status["lifecycleState"] === "STABLE";
    if (RUNS.includes(String(state))) return true;
    const error = String(status["error"] ?? "");
    return STARTS.includes(String(state)) && PULL_ERRORS.some((text) => error.includes(text));
  },
};

export const flinkKinds: Readonly<Record<string, KindRules>> = {
  "flink.apache.org/v1beta1/FlinkDeployment": deployment,
};
