/** OpenKruise: workloads that stand beside Kubernetes' own. */
import { getPath, setPath } from "#machinery";
import { dependenciesOf, workloadDependencies, workloadReplicas } from "../native/pod-template.ts";
import { DAEMON_SET_COUNTERS, list, namespaceOf, number, reported, statusOf } from "../parts.ts";
import type { Dependency, KindRules } from "../rules.ts";
import { gatherCounters, reflectFields } from "./gather.ts";

const reviseAt =
  (field: string): NonNullable<KindRules["revise"]> =>
  (object, count) =>
    setPath(object, ["spec", field], count);

const rolledOut: NonNullable<KindRules["health"]> = (object) => {
  const status = statusOf(object);
  if (status === undefined) throw new Error("attempt to index field 'status' (a nil value)");
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
