/** Spark applications. */
import { getPath } from "#machinery";
import { number, reported } from "../parts.ts";
import type { Json, KindRules } from "../rules.ts";
import { compact, reflectPicked, sumOf, timeOf } from "./gather.ts";
import { bytesText, javaBytes } from "./memory.ts";

const MEMORY_LEAST = 384 * 1024 ** 2;
const STATE_RANKS: readonly (readonly string[])[] = [
  ["UNKNOWN", ""],
  ["SUBMITTED", "PENDING_RERUN"],
  ["COMPLETED"],
  ["SUSPENDING", "SUSPENDED"],
  ["RUNNING", "RESUMING", "SUCCEEDING"],
  ["INVALIDATING"],
  ["FAILING", "FAILED", "SUBMISSION_FAILED"],
];
/** The weight of a state; one nobody knows weighs nothing. */
const rankOf = (state: unknown) =>
  Math.max(
    0,
    STATE_RANKS.findIndex((states) => states.includes(String(state))),
  );

function bytesOf(value: unknown, field: string): number {
  const bytes = javaBytes(String(value));
  if (bytes === undefined) throw new Error(`${field}: ${JSON.stringify(value)} is no size such as 512m or 2g`);
  return bytes;
}

function memoryOf(spec: Json, pod: Json, field: string): number {
  const memory = bytesOf(pod["memory"] ?? "1g", `${field}.memory`);
  if (pod["memoryOverhead"] !== undefined) return memory + bytesOf(pod["memoryOverhead"], `${field}.memoryOverhead`);
  const given = Number(spec["memoryOverheadFactor"] ?? Number.NaN);
  const factor = Number.isFinite(given) ? given : ["Java", "Scala"].includes(String(spec["type"])) ? 0.1 : 0.4;
  return memory + Math.max(memory * factor, MEMORY_LEAST);
}

function requirements(spec: Json, name: "driver" | "executor"): Json {
  const pod = (spec[name] ?? {}) as Json;
  const gpu = (pod["gpu"] ?? {}) as Json;
  return compact({
    resourceRequest: {
      cpu: String(pod["cores"] ?? 1),
      memory: bytesText(memoryOf(spec, pod, `spec.${name}`)),
      ...(number(gpu["quantity"]) > 0 && typeof gpu["name"] === "string"
        ? { [gpu["name"]]: String(gpu["quantity"]) }
        : {}),
    },
    nodeClaim: compact({
      nodeSelector: pod["nodeSelector"],
      tolerations: pod["tolerations"],
      hardNodeAffinity: getPath(pod, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"),
    }),
    priorityClassName: pod["priorityClassName"] === "" ? undefined : pod["priorityClassName"],
  });
}

function executors(spec: Json): number {
  const instances = getPath(spec, "executor", "instances");
  const wanted = typeof instances === "number" ? instances : 1;
  const dynamic = (spec["dynamicAllocation"] ?? {}) as Json;
  if (dynamic["enabled"] !== true) return wanted;
  const least = (field: string) => (typeof dynamic[field] === "number" ? number(dynamic[field]) : 1);
  return Math.max(wanted, least("initialExecutors"), least("minExecutors"));
}

const application: KindRules = {
  components: (object) => {
    const spec = (getPath(object, "spec") ?? {}) as Json;
    return [
      { name: "driver", replicas: 1, replicaRequirements: requirements(spec, "driver") },
      { name: "executor", replicas: executors(spec), replicaRequirements: requirements(spec, "executor") },
    ];
  },
  aggregate: (_object, items) => {
    if (items?.length === 1) return items[0]?.status ?? {};
    let worst: unknown;
    let executorState: Json = {};
    for (const { status } of reported(items)) {
      const state = status?.["applicationState"];
      if (
        state !== undefined &&
        (worst === undefined || rankOf(getPath(state, "state")) > rankOf(getPath(worst, "state")))
      )
        worst = state;
      executorState = { ...executorState, ...((status?.["executorState"] ?? {}) as Json) };
    }
    return compact({
      applicationState: worst,
      executionAttempts: sumOf(items, "executionAttempts"),
      submissionAttempts: sumOf(items, "submissionAttempts"),
      lastSubmissionAttemptTime: timeOf(items, "lastSubmissionAttemptTime", "latest"),
      terminationTime: timeOf(items, "terminationTime", "latest"),
      executorState,
    });
  },
  reflect: reflectPicked([
    "applicationState",
    "driverInfo",
    "executorState",
    "sparkApplicationId",
    "lastSubmissionAttemptTime",
    "submissionAttempts",
    "executionAttempts",
    "submissionID",
    "terminationTime",
  ]),
  health: (object) => {
    const state = getPath(object, "status", "applicationState", "state");
    return typeof state === "string" && state !== "FAILED";
  },
};

export const sparkKinds: Readonly<Record<string, KindRules>> = {
  "sparkoperator.k8s.io/v1beta2/SparkApplication": application,
};
