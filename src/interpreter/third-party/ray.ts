/** Ray: clusters, jobs and services. */
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  getPath,
  type KubeObject,
  parseQuantity,
  type Quantity,
  setPath,
  withoutPath,
  zeroQuantity,
} from "#machinery";
import { requirementsOf } from "../native/pod-template.ts";
import { list, namespaceOf, number, reported, statusOf } from "../parts.ts";
import type { AggregatedItem, Dependency, Json, KindRules, Replicas } from "../rules.ts";
import { compact, component, dependenciesOfAll, hasCondition, sumOf, timeOf } from "./gather.ts";

type Items = readonly AggregatedItem[];

const headTemplate = (cluster: unknown) => getPath(cluster, "headGroupSpec", "template");
const workerGroups = (cluster: unknown) => list(getPath(cluster, "workerGroupSpecs"));

/** The pods of a cluster: its head, then each group of workers. */
function componentsOf(cluster: unknown): readonly Json[] {
  const head = headTemplate(cluster);
  return [
    ...(head === undefined ? [] : [component("ray-head", 1, head)]),
    ...workerGroups(cluster).map(({ groupName, replicas, template }, at) =>
      component(String(groupName || `worker-${at + 1}`), number(replicas), template),
    ),
  ];
}

/** Ray's operator runs containers and init containers; what ephemeral ones refer to is nothing it needs. */
const withoutEphemeral = (template: unknown) => withoutPath(template, ["spec", "ephemeralContainers"]);

function dependenciesOfCluster(
  object: KubeObject,
  cluster: unknown,
  ...more: readonly unknown[]
): readonly Dependency[] {
  const workers = workerGroups(cluster).map(({ template }) => template);
  return dependenciesOfAll([headTemplate(cluster), ...workers, ...more].map(withoutEphemeral), namespaceOf(object));
}

const conditionsOf = (items: Items) => reported(items).flatMap(({ status }) => list(status?.["conditions"]));
const first = (items: Items, field: string) =>
  reported(items).find(({ status }) => status?.[field] !== undefined)?.status?.[field];

function addedQuantities(items: Items, field: string): string {
  let sum: Quantity | undefined;
  for (const { status } of reported(items)) {
    const quantity = status?.[field] === undefined ? undefined : parseQuantity(String(status[field]));
    if (quantity !== undefined) sum = addQuantities(sum ?? { ...zeroQuantity, format: quantity.format }, quantity);
  }
  return formatQuantity(sum ?? zeroQuantity);
}

const addedNumbers = (items: Items, field: string) =>
  String(reported(items).reduce((sum, { status }) => sum + (Number(status?.[field] ?? 0) || 0), 0));

const WORKERS = [
  "readyWorkerReplicas",
  "availableWorkerReplicas",
  "maxWorkerReplicas",
  "minWorkerReplicas",
  "desiredWorkerReplicas",
];

const rayCluster: KindRules = {
  components: (object) => componentsOf(getPath(object, "spec")),
  aggregate: (_object, items = []) => {
    if (items.length === 1) return items[0]?.status ?? undefined;
    const state = reported(items).find(({ status }) => status?.["state"] !== undefined)?.status;
    return compact({
      conditions: conditionsOf(items),
      ...Object.fromEntries(WORKERS.map((field) => [field, sumOf(items, field)])),
      desiredCPU: addedQuantities(items, "desiredCPU"),
      desiredMemory: addedQuantities(items, "desiredMemory"),
      desiredGPU: addedNumbers(items, "desiredGPU"),
      desiredTPU: addedNumbers(items, "desiredTPU"),
      lastUpdateTime: timeOf(items, "lastUpdateTime", "latest"),
      endpoints: first(items, "endpoints"),
      head: first(items, "head"),
      state: state?.["state"],
      stateTransitionTimes: state?.["stateTransitionTimes"],
    });
  },
  health: (object) => {
    const status = statusOf(object);
    return (
      hasCondition(status, "HeadPodReady") &&
      hasCondition(status, "RayClusterProvisioned") &&
      !hasCondition(status, "RayClusterReplicaFailure")
    );
  },
};

const DEPLOYMENT_RANKS: Readonly<Record<string, number>> = {
  Initializing: 1,
  Waiting: 2,
  Suspending: 3,
  Suspended: 3,
  Retrying: 4,
  Complete: 5,
  Running: 6,
  ValidationFailed: 7,
  Failed: 8,
};
const JOB_RANKS: Readonly<Record<string, number>> = { PENDING: 1, SUCCEEDED: 2, RUNNING: 3, STOPPED: 4, FAILED: 5 };

/** The status with the heaviest value of a field, the first among equals. */
function heaviest(items: Items, field: string, ranks: Readonly<Record<string, number>>): Json | undefined {
  let found: Json | undefined;
  const rank = (status: Json) => ranks[String(status[field])] ?? 0;
  for (const { status } of reported(items))
    if (status?.[field] && (found === undefined || rank(status) > rank(found))) found = status;
  return found;
}

const rayJob: KindRules = {
  components: (object) => componentsOf(getPath(object, "spec", "rayClusterSpec")),
  aggregate: (_object, items = []) => {
    if (items.length === 1) return items[0]?.status ?? undefined;
    const deployment = heaviest(items, "jobDeploymentStatus", DEPLOYMENT_RANKS);
    return compact(
      {
        jobDeploymentStatus: deployment?.["jobDeploymentStatus"],
        reason: deployment?.["reason"],
        message: deployment?.["message"],
        jobStatus: heaviest(items, "jobStatus", JOB_RANKS)?.["jobStatus"],
      },
      "",
    );
  },
  health: (object) => {
    const { jobDeploymentStatus, jobStatus } = statusOf(object) ?? {};
    return jobDeploymentStatus === "Running" || (jobDeploymentStatus === "Complete" && jobStatus === "SUCCEEDED");
  },
  dependencies: (object) =>
    dependenciesOfCluster(
      object,
      getPath(object, "spec", "rayClusterSpec"),
      getPath(object, "spec", "submitterPodTemplate"),
    ),
};

/** Pods of a service, each as large as the largest of its groups needs in CPU and memory. */
function serviceReplicas(object: KubeObject): Replicas {
  const cluster = getPath(object, "spec", "rayClusterConfig");
  const head = headTemplate(cluster);
  if (head === undefined) return { replica: 0, requirements: undefined };
  const groups = workerGroups(cluster);
  const requirements = requirementsOf(head);
  const request: Record<string, string> = { ...((requirements?.["resourceRequest"] ?? {}) as Record<string, string>) };
  for (const { template } of groups)
    for (const name of ["cpu", "memory"]) {
      const text = getPath(template === undefined ? undefined : requirementsOf(template), "resourceRequest", name);
      const wanted = typeof text === "string" ? parseQuantity(text) : undefined;
      const present = request[name] === undefined ? undefined : parseQuantity(request[name]);
      if (wanted !== undefined && (present === undefined || compareQuantities(wanted, present) > 0))
        request[name] = String(text);
    }
  const merged = compact({ ...requirements, resourceRequest: request });
  return {
    replica: 1 + groups.reduce((sum, { replicas }) => sum + number(replicas), 0),
    requirements: Object.keys(merged).length === 0 ? undefined : merged,
  };
}

/** Divides workers over groups by what they have now; no group ever gets less than none. */
function dividedWorkers(workers: number, present: readonly number[]): readonly number[] {
  const total = present.reduce((sum, count) => sum + count, 0);
  const share = Math.floor(workers / present.length);
  const excess = workers % present.length;
  let left = workers;
  return present.map((count, at) => {
    const isLast = at === present.length - 1;
    const wanted = total === 0 ? share + (at < excess ? 1 : 0) : Math.floor((workers * count) / total + 0.5);
    const given = isLast ? left : Math.min(wanted, left);
    left -= given;
    return given;
  });
}

const APPLICATION_RANKS: Readonly<Record<string, number>> = {
  RUNNING: 1,
  NOT_STARTED: 2,
  DEPLOYING: 3,
  DELETING: 4,
  UNHEALTHY: 5,
  DEPLOY_FAILED: 6,
};

function activeStatus(items: Items): Json | undefined {
  const active = first(items, "activeServiceStatus") as Json | undefined;
  if (active === undefined) return undefined;
  const merged: Record<string, unknown> = {};
  const rank = (application: unknown) => APPLICATION_RANKS[String(getPath(application, "status"))] ?? 0;
  for (const { status } of reported(items)) {
    const applications = (getPath(status, "activeServiceStatus", "applicationStatuses") ?? {}) as Json;
    for (const [name, application] of Object.entries(applications))
      if (merged[name] === undefined || rank(application) > rank(merged[name])) merged[name] = application;
  }
  return compact({ ...active, applicationStatuses: merged });
}

const rayService: KindRules = {
  replicas: serviceReplicas,
  revise: (object, count) => {
    const path = ["spec", "rayClusterConfig", "workerGroupSpecs"];
    const groups = list(getPath(object, ...path));
    if (groups.length === 0) return object;
    const divided = dividedWorkers(
      Math.max(0, count - 1),
      groups.map(({ replicas }) => number(replicas)),
    );
    return setPath(
      object,
      path,
      groups.map((group, at) => ({ ...group, replicas: divided[at] })),
    );
  },
  aggregate: (_object, items = []) => {
    if (items.length === 1) return items[0]?.status ?? undefined;
    return compact({
      conditions: conditionsOf(items),
      numServeEndpoints: sumOf(items, "numServeEndpoints"),
      lastUpdateTime: timeOf(items, "lastUpdateTime", "latest"),
      observedGeneration: Math.max(0, ...reported(items).map(({ status }) => number(status?.["observedGeneration"]))),
      serviceStatus: reported(items).some(({ status }) => status?.["serviceStatus"] === "") ? "" : "Running",
      activeServiceStatus: activeStatus(items),
      pendingServiceStatus: first(items, "pendingServiceStatus"),
    });
  },
  health: (object) => hasCondition(statusOf(object), "Ready"),
  dependencies: (object) => dependenciesOfCluster(object, getPath(object, "spec", "rayClusterConfig")),
};

export const rayKinds: Readonly<Record<string, KindRules>> = {
  "ray.io/v1/RayCluster": rayCluster,
  "ray.io/v1/RayJob": rayJob,
  "ray.io/v1/RayService": rayService,
};
