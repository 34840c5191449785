/** Argo workflows and Volcano jobs. */
import { formatTime, getPath, type KubeObject, setPath } from "#machinery";
import { dependenciesOf, replicasAt, requirementsOf } from "../native/pod-template.ts";
import { list, namespaceOf, number, reported, statusOf } from "../parts.ts";
import type { AggregatedItem, Dependency, Json, KindRules } from "../rules.ts";
import { compact, component, reflectPicked, sumOf } from "./gather.ts";

const workflow: KindRules = {
  replicas: (object) => {
    const { affinity, nodeSelector, tolerations } = (getPath(object, "spec") ?? {}) as Json;
    return {
      replica: replicasAt(object, "parallelism", 1),
      requirements: requirementsOf({ spec: compact({ affinity, nodeSelector, tolerations }) }),
    };
  },
  revise: (object, count) => setPath(object, ["spec", "parallelism"], count),
  retain: (desired, observed) => {
    const suspend = getPath(observed, "spec", "suspend");
    const status = statusOf(observed);
    const suspended = suspend === undefined ? desired : setPath(desired, ["spec", "suspend"], suspend);
    return status === undefined ? suspended : ({ ...suspended, status } as KubeObject);
  },
  health: (object) => !["", "Error", "Failed"].includes(String(statusOf(object)?.["phase"] ?? "")),
  dependencies: (object): readonly Dependency[] => {
    const namespace = namespaceOf(object);
    const { volumes, imagePullSecrets, serviceAccountName } = (getPath(object, "spec") ?? {}) as Json;
    const named = (kind: string, name: unknown): readonly Dependency[] =>
      typeof name === "string" && name !== "" ? [{ apiVersion: "v1", kind, namespace, name }] : [];
    const all = [
      ...dependenciesOf({ spec: { volumes, imagePullSecrets, serviceAccountName } }, namespace),
      ...named("ServiceAccount", getPath(object, "spec", "executor", "serviceAccountName")),
      ...list(getPath(object, "spec", "volumeClaimTemplates")).flatMap((claim) =>
        named("PersistentVolumeClaim", getPath(claim, "metadata", "name")),
      ),
    ];
    return [...new Map(all.map((entry) => [`${entry.kind}/${entry.name}`, entry])).values()];
  },
};

const JOB_SUMS = ["minAvailable", "pending", "running", "succeeded", "failed", "terminating", "unknown", "retryCount"];
const FATAL = ["Failed", "Aborted", "Aborting", "Terminated", "Terminating"];
const JOB_HEALTHY = [
  "Running",
  "Completed",
  "Pending",
  "Aborting",
  "Aborted",
  "Restarting",
  "Completing",
  "Terminating",
  "Terminated",
];

/** A duration such as `1h2m3.5s`, in seconds. */
function secondsOf(text: unknown): number {
  const UNITS: Readonly<Record<string, number>> = { h: 3600, m: 60, s: 1, ms: 0.001 };
  let seconds = 0;
  for (const [, amount, unit] of String(text ?? "").matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g))
    seconds += Number(amount) * (UNITS[unit as string] as number);
  return seconds;
}

function jobConditions(items: readonly AggregatedItem[]): readonly Json[] {
  const fatal = items.find(({ status }) =>
    list(status?.["conditions"]).some(({ status: state }) => FATAL.includes(String(state))),
  );
  if (fatal !== undefined) return list(fatal.status?.["conditions"]);
  const latest = new Map<unknown, Json>();
  for (const { status } of items)
    for (const condition of list(status?.["conditions"])) {
      const before = latest.get(condition["status"]);
      const isLater =
        before === undefined ||
        String(condition["lastTransitionTime"] ?? "") > String(before["lastTransitionTime"] ?? "");
      if (isLater) latest.set(condition["status"], condition);
    }
  return [...latest.values()];
}

function jobState(object: KubeObject, items: readonly AggregatedItem[], nowMs: number): Json | undefined {
  const phaseOf = ({ status }: AggregatedItem) => String(getPath(status, "state", "phase") ?? "");
  const failed = items.filter((item) => ["Failed", "Aborted"].includes(phaseOf(item)));
  const isDone = items.every((item) => phaseOf(item) === "Completed");
  if (failed.length === 0 && !isDone) return undefined;
  const state = isDone
    ? { phase: "Completed", reason: "Completed", message: "Job completed successfully" }
    : {
        phase: "Failed",
        reason: "VolcanoJobFailed",
        message: `Job failed in clusters: ${failed.map(({ clusterName }) => clusterName).join(",")}`,
      };
  const before = (statusOf(object)?.["state"] ?? {}) as Json;
  const isSame = before["phase"] === state.phase && before["reason"] === state.reason;
  return { ...state, lastTransitionTime: (isSame ? before["lastTransitionTime"] : undefined) ?? formatTime(nowMs) };
}

function aggregateJob(
  object: KubeObject,
  items: readonly AggregatedItem[] | undefined = [],
  nowMs = Date.now(),
): Json | undefined {
  const [only] = items;
  if (only === undefined) return undefined;
  if (items.length === 1) return only.status ?? undefined;
  const taskStatusCount: Record<string, { readonly phase: Record<string, number> }> = {};
  let controlledResources: Json = {};
  let runningDuration: unknown;
  for (const { status } of reported(items)) {
    for (const [task, count] of Object.entries((status?.["taskStatusCount"] ?? {}) as Json)) {
      const phases = (taskStatusCount[task] ??= { phase: {} }).phase;
      for (const [phase, value] of Object.entries((getPath(count, "phase") ?? {}) as Json))
        phases[phase] = (phases[phase] ?? 0) + number(value);
    }
    controlledResources = { ...controlledResources, ...((status?.["controlledResources"] ?? {}) as Json) };
    if (secondsOf(status?.["runningDuration"]) > secondsOf(runningDuration))
      runningDuration = status?.["runningDuration"];
  }
  return compact(
    {
      ...Object.fromEntries(JOB_SUMS.map((field) => [field, sumOf(items, field)])),
      version: Math.max(0, ...reported(items).map(({ status }) => number(status?.["version"]))),
      runningDuration,
      taskStatusCount,
      controlledResources,
      state: jobState(object, items, nowMs),
      conditions: jobConditions(items),
    },
    0,
    "",
    "0s",
  );
}

const volcanoJob: KindRules = {
  components: (object) =>
    list(getPath(object, "spec", "tasks")).map((task, at) => {
      const wanted = Number(task["minAvailable"] ?? 1);
      return component(String(task["name"] || `task-${at}`), Number.isFinite(wanted) ? wanted : 1, task["template"]);
    }),
  aggregate: aggregateJob,
  reflect: reflectPicked([
    ...JOB_SUMS,
    "version",
    "runningDuration",
    "taskStatusCount",
    "controlledResources",
    "state",
    "conditions",
  ]),
  health: (object) => JOB_HEALTHY.includes(String(getPath(object, "status", "state", "phase"))),
};

export const batchKinds: Readonly<Record<string, KindRules>> = {
  "argoproj.io/v1alpha1/Workflow": workflow,
  "batch.volcano.sh/v1alpha1/Job": volcanoJob,
};
