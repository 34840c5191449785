/** Kubeflow: training jobs and notebooks. */
import { formatTime, getPath, type KubeObject, parseTime } from "#machinery";
import { requirementsOf } from "../native/pod-template.ts";
import { isMap, list, namespaceOf, number, reported, statusOf, templateOf } from "../parts.ts";
import type { AggregatedItem, Json, KindRules } from "../rules.ts";
import { compact, component, datedConditions, dependenciesOfAll, hasCondition, sumOf, timeOf } from "./gather.ts";

type Items = readonly AggregatedItem[];
const COUNTS = ["active", "succeeded", "failed"];

/** Pods by role, summed over clusters; what is zero is left out. */
function summedReplicas(items: Items, roles: readonly string[]): Json {
  return compact(
    Object.fromEntries(
      roles.map((role) => [
        role,
        compact(
          Object.fromEntries(
            COUNTS.map((count) => [
              count,
              reported(items).reduce(
                (sum, { status }) => sum + number(getPath(status, "replicaStatuses", role, count)),
                0,
              ),
            ]),
          ),
          0,
        ),
      ]),
    ),
  );
}

const clustersWith = (items: Items, type: string) =>
  items.filter(({ status }) => hasCondition(status ?? undefined, type)).map(({ clusterName }) => clusterName);

const roleSpec = (object: KubeObject, field: string, role: string) =>
  getPath(object, "spec", field, role) as Json | undefined;

/** Rules all training jobs share: components and dependencies by role, and health. */
function trainingJob(
  field: string,
  roles: readonly (readonly [role: string, name: string])[],
): Pick<Required<KindRules>, "components" | "dependencies" | "health"> {
  return {
    components: (object) =>
      roles.flatMap(([role, name]) => {
        const spec = roleSpec(object, field, role);
        if (!isMap(spec)) return [];
        return [component(name, typeof spec["replicas"] === "number" ? spec["replicas"] : 1, spec["template"])];
      }),
    dependencies: (object) =>
      dependenciesOfAll(
        roles.map(([role]) => roleSpec(object, field, role)?.["template"]),
        namespaceOf(object),
      ),
    health: (object) => statusOf(object)?.["conditions"] !== undefined && !hasCondition(statusOf(object), "Failed"),
  };
}

function aggregatePyTorch(_object: KubeObject, items: Items = [], nowMs = Date.now()): Json {
  if (items.length === 0) return {};
  const startTime = timeOf(items, "startTime", "earliest");
  const completionTime = timeOf(items, "completionTime", "latest");
  const failed = clustersWith(items, "Failed");
  const isDone = clustersWith(items, "Succeeded").length === items.length;
  const running = reported(items)
    .flatMap(({ status }) => list(status?.["conditions"]))
    .filter(({ type }) => type === "Running")
    .at(-1);
  const at = (time: unknown) => compact({ lastUpdateTime: time, lastTransitionTime: time });
  const conditions: Json[] = [];
  if (clustersWith(items, "Created").length > 0)
    conditions.push({
      type: "Created",
      status: "True",
      reason: "PyTorchJobCreated",
      message: "PyTorchJob is created.",
      ...at(startTime),
    });
  if (running !== undefined)
    conditions.push({
      type: "Running",
      status: failed.length > 0 || isDone ? "False" : "True",
      reason: "PyTorchJobRunning",
      message: "PyTorchJob is running.",
      ...compact({ lastUpdateTime: running["lastUpdateTime"], lastTransitionTime: running["lastTransitionTime"] }),
    });
  const finishedAt = completionTime ?? timeOf(items, "lastReconcileTime", "latest") ?? formatTime(nowMs);
  if (failed.length > 0)
    conditions.push({
      type: "Failed",
      status: "True",
      reason: "PyTorchJobFailed",
      message: `PyTorchJob executed failed in member clusters: ${failed.join(", ")}`,
      ...at(finishedAt),
    });
  else if (isDone)
    conditions.push({
      type: "Succeeded",
      status: "True",
      reason: "PyTorchJobSucceeded",
      message: "PyTorchJob is successfully completed.",
      ...at(finishedAt),
    });
  return compact({
    replicaStatuses: summedReplicas(items, ["Master", "Worker"]),
    startTime,
    lastReconcileTime: timeOf(items, "lastReconcileTime", "latest"),
    completionTime: failed.length === 0 && isDone ? completionTime : undefined,
    conditions,
  });
}

function aggregateTensorFlow(object: KubeObject, items: Items = [], nowMs = Date.now()): Json | undefined {
  if (items.length === 0) return undefined;
  const failed = clustersWith(items, "Failed");
  const isDone = clustersWith(items, "Succeeded").length === items.length;
  const conditions: Json[] = [];
  if (failed.length > 0)
    conditions.push({
      type: "Failed",
      status: "True",
      reason: "TFJobFailed",
      message: `TFJob executed failed in member clusters: ${failed.join(", ")}`,
    });
  if (isDone)
    conditions.push({
      type: "Succeeded",
      status: "True",
      reason: "Completed",
      message: "TFJob completed successfully",
    });
  return compact({
    replicaStatuses: summedReplicas(items, ["PS", "Worker", "Chief", "Master", "Evaluator"]),
    startTime: timeOf(items, "startTime", "earliest"),
    lastReconcileTime: timeOf(items, "lastReconcileTime", "latest"),
    completionTime: isDone && failed.length === 0 ? timeOf(items, "completionTime", "latest") : undefined,
    conditions: datedConditions(object, conditions, nowMs),
  });
}

function aggregateMpi(object: KubeObject, items: Items = []): Json | undefined {
  const [only] = items;
  if (only === undefined) return statusOf(object);
  if (items.length === 1) return only.status ?? undefined;
  const replicaStatuses: Record<string, Record<string, number>> = {};
  const latest = new Map<unknown, Json>();
  const timeOfCondition = (condition: Json) =>
    parseTime(String(condition["lastUpdateTime"] ?? condition["lastTransitionTime"] ?? "")) ?? 0;
  for (const { status } of reported(items)) {
    for (const [role, counts] of Object.entries((status?.["replicaStatuses"] ?? {}) as Json)) {
      const sums = (replicaStatuses[role] ??= { active: 0, succeeded: 0, failed: 0 });
      for (const count of COUNTS) sums[count] = (sums[count] ?? 0) + number(getPath(counts, count));
    }
    for (const condition of list(status?.["conditions"])) {
      const before = latest.get(condition["type"]);
      if (before === undefined || timeOfCondition(condition) > timeOfCondition(before))
        latest.set(condition["type"], condition);
    }
  }
  return compact({
    replicaStatuses,
    startTime: timeOf(items, "startTime", "earliest"),
    completionTime: timeOf(items, "completionTime", "latest"),
    lastReconcileTime: timeOf(items, "lastReconcileTime", "latest"),
    conditions: [...latest.values()],
  });
}

const mpiJob: KindRules = {
  components: (object) =>
    Object.entries((getPath(object, "spec", "mpiReplicaSpecs") ?? {}) as Readonly<Record<string, Json>>)
      .filter(([, spec]) => isMap(spec) && spec["template"] !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([role, spec]) => {
        const fallback = role.toLowerCase() === "worker" ? 0 : 1;
        return component(role, typeof spec["replicas"] === "number" ? spec["replicas"] : fallback, spec["template"]);
      }),
  aggregate: aggregateMpi,
  reflect: (object) => {
    const status = statusOf(object) ?? {};
    const roles = Object.entries((status["replicaStatuses"] ?? {}) as Readonly<Record<string, Json>>).filter(
      ([, counts]) => isMap(counts),
    );
    return compact({
      replicaStatuses: compact(
        Object.fromEntries(
          roles.map(([role, { active, succeeded, failed, selector }]) => [
            role,
            compact({ active, succeeded, failed, selector }),
          ]),
        ),
      ),
      conditions: status["conditions"],
      startTime: status["startTime"],
      completionTime: status["completionTime"],
      lastReconcileTime: status["lastReconcileTime"],
    });
  },
  health: (object) => list(statusOf(object)?.["conditions"]).length > 0 && !hasCondition(statusOf(object), "Failed"),
};

const BAD_ENDS = ["Error", "OOMKilled", "ContainerCannotRun"];

function aggregateNotebook(object: KubeObject, items: Items = [], nowMs = Date.now()): Json {
  if (items.length === 1) return items[0]?.status ?? {};
  const failed: string[] = [];
  let containerState: Json | undefined;
  for (const { clusterName, status } of items) {
    const state = (status?.["containerState"] ?? {}) as Json;
    const startedAt = getPath(state, "running", "startedAt");
    if (state["running"] === undefined) {
      failed.push(clusterName);
      const isKnown = state["waiting"] !== undefined || state["terminated"] !== undefined;
      containerState = isKnown ? state : { waiting: { reason: "Unschedulable" } };
    } else if (failed.length === 0) {
      const before = getPath(containerState, "running", "startedAt");
      if (before === undefined || String(startedAt) > String(before)) containerState = state;
    }
  }
  const conditions: Json[] = [];
  if (failed.length > 0)
    conditions.push({
      type: "Failed",
      status: "True",
      reason: "NotebookFailed",
      message: `Notebook executed failed in member clusters: ${failed.join(", ")}`,
    });
  else if (items.length > 0)
    conditions.push({ type: "Ready", status: "True", reason: "Ready", message: "All notebooks are ready" });
  return compact({
    readyReplicas: sumOf(items, "readyReplicas"),
    containerState,
    conditions: datedConditions(object, conditions, nowMs),
  });
}

const notebook: KindRules = {
  replicas: (object) => ({ replica: 1, requirements: requirementsOf(templateOf(object)) }),
  aggregate: aggregateNotebook,
  reflect: (object) => {
    const status = statusOf(object);
    if (status === undefined) return {};
    return compact({
      readyReplicas: number(status["readyReplicas"]),
      containerState: status["containerState"],
      conditions: status["conditions"],
    });
  },
  health: (object) => {
    const { running, waiting, terminated } = (statusOf(object)?.["containerState"] ?? {}) as Readonly<
      Record<string, Json | undefined>
    >;
    if (running !== undefined) return true;
    if (waiting !== undefined) return isMap(waiting) && waiting["reason"] === "ContainerCreating";
    return isMap(terminated) && terminated["exitCode"] === 0 && !BAD_ENDS.includes(String(terminated["reason"] ?? ""));
  },
};

export const kubeflowKinds: Readonly<Record<string, KindRules>> = {
  "kubeflow.org/v1/PyTorchJob": {
    ...trainingJob("pytorchReplicaSpecs", [
      ["Master", "master"],
      ["Worker", "worker"],
    ]),
    aggregate: aggregatePyTorch,
  },
  "kubeflow.org/v1/TFJob": {
    ...trainingJob("tfReplicaSpecs", [
      ["PS", "ps"],
      ["Worker", "worker"],
      ["Chief", "chief"],
      ["Master", "master"],
      ["Evaluator", "evaluator"],
    ]),
    aggregate: aggregateTensorFlow,
  },
  "kubeflow.org/v2beta1/MPIJob": mpiJob,
  "kubeflow.org/v1/Notebook": notebook,
};
