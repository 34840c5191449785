/** OpenKruise: workloads that stand beside Kubernetes' own. */
import { getPath, type KubeObject, setPath } from "#machinery";
import {
  dependenciesOf,
  replicasAt,
  requirementsOf,
  workloadDependencies,
  workloadReplicas,
} from "../native/pod-template.ts";
import { DAEMON_SET_COUNTERS, list, namespaceOf, number, reported, statusOf, templateOf } from "../parts.ts";
import type { AggregatedItem, Dependency, Json, KindRules } from "../rules.ts";
import { gatherCounters, reflectFields, reflectPicked, sumOf } from "./gather.ts";

const reviseAt =
  (field: string): NonNullable<KindRules["revise"]> =>
  (object, count) =>
    setPath(object, ["spec", field], count);

const rolledOut: NonNullable<KindRules["health"]> = (object) => {
  const status = statusOf(object);
  if (status === undefined) return false;
  const wanted = getPath(object, "spec", "replicas");
  if (number(status["observedGeneration"]) !== (object.metadata.generation ?? 0)) return false;
  if (typeof wanted === "number" && number(status["updatedReplicas"]) < wanted) return false;
  return number(status["availableReplicas"]) >= number(status["updatedReplicas"]);
};

const CLONE_SET = [
  "replicas",
  "updatedReplicas",
  "readyReplicas",
  "availableReplicas",
  "updatedReadyReplicas",
  "expectedUpdatedReplicas",
];
const STATEFUL_SET = [
  "replicas",
  "readyReplicas",
  "currentReplicas",
  "updatedReplicas",
  "availableReplicas",
  "updatedReadyReplicas",
];
const UNITED = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"];
const SIDECAR_SET = ["matchedPods", "updatedPods", "readyPods"];

const lastPerType = (items: Parameters<NonNullable<KindRules["aggregate"]>>[1]) => {
  const byType = new Map<unknown, unknown>();
  for (const { status } of reported(items))
    for (const condition of list(status?.["conditions"])) byType.set(condition["type"], condition);
  return [...byType.values()];
};

const BROADCAST = ["active", "succeeded", "failed", "desired"];

function aggregateBroadcastJob(object: KubeObject, items: readonly AggregatedItem[] = []): Json {
  let phase = "";
  let finished: unknown;
  let completed = 0;
  const failed: string[] = [];
  for (const { clusterName, status } of items) {
    if (typeof status?.["phase"] === "string" && status["phase"] !== "") phase = status["phase"];
    // An item that says nothing of its own counts as what the one before it was.
    finished =
      list(status?.["conditions"]).find(
        ({ type, status: state }) => (type === "Complete" || type === "Failed") && state === "True",
      )?.["type"] ?? finished;
    if (finished === "Failed") failed.push(clusterName);
    if (finished === "Complete") completed++;
  }
  const conditions: Json[] = [];
  if (failed.length > 0)
    conditions.push({
      type: "Failed",
      status: "True",
      reason: "JobFailed",
      message: `Job executed failed in member clusters: ${failed.join(", ")}`,
    });
  if (items.length > 0 && completed === items.length)
    conditions.push({ type: "Completed", status: "True", reason: "Completed", message: "Job completed" });
  const { conditions: _conditions, ...kept } = statusOf(object) ?? {};
  return {
    ...kept,
    ...Object.fromEntries(BROADCAST.map((field) => [field, sumOf(items, field)])),
    phase,
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

export const kruiseKinds: Readonly<Record<string, KindRules>> = {
  "apps.kruise.io/v1alpha1/CloneSet": {
    replicas: workloadReplicas,
    revise: reviseAt("replicas"),
    aggregate: gatherCounters(CLONE_SET, ["updateRevision", "currentRevision", "labelSelector"], {
      updateRevision: undefined,
      currentRevision: undefined,
      labelSelector: undefined,
    }),
    reflect: reflectFields([...CLONE_SET, "updateRevision", "currentRevision", "labelSelector", "observedGeneration"]),
    health: rolledOut,
    dependencies: workloadDependencies,
  },
  "apps.kruise.io/v1beta1/StatefulSet": {
    replicas: workloadReplicas,
    revise: reviseAt("replicas"),
    aggregate: gatherCounters(STATEFUL_SET, ["updateRevision", "currentRevision"]),
    reflect: reflectFields([...STATEFUL_SET, "updateRevision", "currentRevision", "observedGeneration"]),
    health: rolledOut,
    dependencies: workloadDependencies,
  },
  "apps.kruise.io/v1alpha1/UnitedDeployment": {
    replicas: workloadReplicas,
    revise: reviseAt("replicas"),
    aggregate: (object, items) => {
      const conditions = lastPerType(items);
      const { conditions: _before, ...sums } = gatherCounters(UNITED)(object, items) as Record<string, unknown>;
      return conditions.length === 0 ? sums : { ...sums, conditions };
    },
    reflect: reflectFields([...UNITED, "conditions", "observedGeneration"]),
    health: (object) => statusOf(object) !== undefined && getPath(object, "spec") !== undefined && rolledOut(object),
    dependencies: workloadDependencies,
  },
  "apps.kruise.io/v1alpha1/DaemonSet": {
    aggregate: gatherCounters(DAEMON_SET_COUNTERS, ["daemonSetHash"], { daemonSetHash: 0 }),
    reflect: reflectFields([...DAEMON_SET_COUNTERS, "daemonSetHash", "observedGeneration"]),
    health: (object) => {
      const status = statusOf(object) ?? {};
      return (
        number(status["observedGeneration"]) === (object.metadata.generation ?? 0) &&
        number(status["updatedNumberScheduled"]) >= number(status["desiredNumberScheduled"]) &&
        number(status["numberAvailable"]) >= number(status["updatedNumberScheduled"])
      );
    },
    dependencies: workloadDependencies,
  },
  "apps.kruise.io/v1alpha1/BroadcastJob": {
    replicas: (object) => ({
      replica: replicasAt(object, "parallelism", 1),
      requirements: requirementsOf(templateOf(object)),
    }),
    revise: reviseAt("parallelism"),
    retain: (desired, observed) => {
      const labels = getPath(observed, "spec", "template", "metadata", "labels");
      return labels === undefined ? desired : setPath(desired, ["spec", "template", "metadata", "labels"], labels);
    },
    aggregate: aggregateBroadcastJob,
    reflect: reflectPicked([...BROADCAST, "conditions", "startTime", "completionTime", "phase"]),
    health: (object) => {
      const status = statusOf(object);
      const count = (field: string) => number(status?.[field]);
      return count("desired") !== 0 && count("failed") === 0 && (count("succeeded") !== 0 || count("active") !== 0);
    },
    dependencies: workloadDependencies,
  },
  "apps.kruise.io/v1alpha1/AdvancedCronJob": {
    aggregate: (object, items) => {
      const result: Record<string, unknown> = { ...statusOf(object) };
      const active = reported(items).flatMap(({ status }) => list(status?.["active"]));
      if (active.length > 0) result["active"] = active;
      else delete result["active"];
      for (const { status } of reported(items))
        for (const field of ["type", "lastScheduleTime"])
          if (status?.[field] !== undefined) result[field] = status[field];
      return result;
    },
    dependencies: (object) => {
      const template =
        getPath(object, "spec", "template", "broadcastJobTemplate") === undefined
          ? "jobTemplate"
          : "broadcastJobTemplate";
      return dependenciesOf(getPath(object, "spec", "template", template, "spec", "template"), namespaceOf(object));
    },
  },
  "apps.kruise.io/v1alpha1/SidecarSet": {
    replicas: () => ({ replica: 0, requirements: undefined }),
    retain: (desired) => desired,
    aggregate: (_object, items) =>
      Object.fromEntries(
        SIDECAR_SET.map((field) => [
          field,
          reported(items).reduce((sum, { status }) => sum + number(status?.[field]), 0),
        ]),
      ),
    reflect: (object) =>
      statusOf(object) === undefined
        ? {}
        : Object.fromEntries(SIDECAR_SET.map((field) => [field, number(statusOf(object)?.[field])])),
    health: (object) => {
      const status = statusOf(object);
      return (
        status !== undefined &&
        (number(status["matchedPods"]) === 0 || number(status["updatedPods"]) === number(status["matchedPods"]))
      );
    },
    dependencies: (object): readonly Dependency[] =>
      dependenciesOf(
        {
          spec: {
            containers: getPath(object, "spec", "containers"),
            volumes: list(getPath(object, "spec", "volumes")).map(({ configMap, secret, projected }) => ({
              configMap,
              secret,
              projected,
            })),
          },
        },
        namespaceOf(object),
      ),
  },
};
