import { RETAIN_REPLICAS, TEMPLATE_GENERATION } from "#apis/karmada";
import { formatTime, getPath, type KubeObject, parseTime, setPath, withoutPath } from "#machinery";
import type { AggregatedItem, Json, KindRules } from "../rules.ts";
import {
  DAEMON_SET_COUNTERS,
  isMap,
  list,
  mapOf,
  namespaceOf,
  number,
  reported,
  statusOf,
  templateOf,
} from "../parts.ts";
import { dependenciesOf, requirementsOf, workloadDependencies, workloadReplicas } from "./pod-template.ts";

const reviseAt =
  (field: string): NonNullable<KindRules["revise"]> =>
  (object, count) => {
    const present = getPath(object, "spec", field);
    if (present === undefined) return object;
    if (typeof present !== "number" || !Number.isInteger(present))
      throw new Error(
        `.spec.${field} accessor error: ${JSON.stringify(present)} is of the type ${typeof present}, expected int64`,
      );
    return setPath(object, ["spec", field], count);
  };

/** Sums of numbers over items; what is zero is absent, as Kubernetes writes it, but for `always`. */
function sums(items: readonly AggregatedItem[], fields: readonly string[], always: readonly string[] = []): Json {
  const result: Record<string, number> = {};
  for (const field of fields) {
    const total = reported(items).reduce((sum, { status }) => sum + number(status?.[field]), 0);
    if (total !== 0 || always.includes(field)) result[field] = total;
  }
  return result;
}

/** Aggregation of the apps kinds: sums, and the generation everybody has caught up with. */
const aggregateWorkload =
  (fields: readonly string[], always: readonly string[] = []): NonNullable<KindRules["aggregate"]> =>
  (object, items = []) => {
    const generation = object.metadata.generation ?? 0;
    const current = reported(items).filter(
      ({ status }) =>
        number(status?.["observedGeneration"]) >= number(status?.["generation"]) &&
        number(status?.["resourceTemplateGeneration"]) >= generation,
    );
    const before = statusOf(object) ?? {};
    const kept = Object.fromEntries(Object.entries(before).filter(([key]) => !fields.includes(key)));
    // With nobody to observe it, a generation is not observed.
    const isObserved = items.length > 0 && current.length === items.length;
    const observed = isObserved ? { observedGeneration: generation } : {};
    return { ...kept, ...sums(items, fields, always), ...observed };
  };

/** Reflection of the apps kinds: numbers and both generations. */
const reflectWorkload =
  (fields: readonly string[], always: readonly string[] = []): NonNullable<KindRules["reflect"]> =>
  (object) => {
    const status = statusOf(object);
    if (status === undefined) return undefined;
    const text = object.metadata.annotations?.[TEMPLATE_GENERATION] ?? "";
    // A record somebody removed or spoilt must not keep the status from being collected.
    const ofTemplate = /^-?\d+$/.test(text) ? Number(text) : 0;
    const result: Record<string, number> = {};
    for (const field of fields)
      if (number(status[field]) !== 0 || always.includes(field)) result[field] = number(status[field]);
    const observed = number(status["observedGeneration"]);
    if (observed !== 0) result["observedGeneration"] = observed;
    const own = object.metadata.generation ?? 0;
    if (own !== 0) result["generation"] = own;
    if (ofTemplate !== 0) result["resourceTemplateGeneration"] = ofTemplate;
    return Object.keys(result).length === 0 ? undefined : result;
  };

const pick =
  (fields: readonly string[], always: readonly string[] = []): NonNullable<KindRules["reflect"]> =>
  (object) => {
    const status = statusOf(object);
    if (status === undefined) return undefined;
    const result: Record<string, unknown> = {};
    for (const field of fields) {
      const value = status[field];
      const isEmpty =
        value === undefined ||
        value === null ||
        value === 0 ||
        (typeof value === "object" && Object.keys(value).length === 0);
      if (!isEmpty || always.includes(field)) result[field] = value ?? 0;
    }
    return result;
  };

const isObserved = (object: KubeObject) =>
  number(getPath(object, "status", "observedGeneration")) === (object.metadata.generation ?? 0);
const rolledOut: NonNullable<KindRules["health"]> = (object) => {
  const status = statusOf(object) ?? {};
  const wanted = getPath(object, "spec", "replicas");
  if (!isObserved(object)) return false;
  if (typeof wanted === "number" && number(status["updatedReplicas"]) < wanted) return false;
  return number(status["availableReplicas"]) >= number(status["updatedReplicas"]);
};

type Ingress = Json & { readonly ports?: readonly Json[] };

function mergeIngress(items: readonly AggregatedItem[], keys: readonly string[]): readonly Ingress[] {
  const merged = new Map<string, Ingress>();
  for (const { status } of reported(items))
    for (const entry of list(getPath(status, "loadBalancer", "ingress")) as readonly Ingress[]) {
      const key = JSON.stringify(keys.map((name) => entry[name]));
      const before = merged.get(key);
      const ports = [...list(before?.ports), ...list(entry.ports)];
      const unique = [
        ...new Map(
          ports.map((port) => [JSON.stringify([port["port"], port["protocol"], port["error"]]), port]),
        ).values(),
      ].sort(
        (a, b) =>
          number(a["port"]) - number(b["port"]) ||
          text(a["protocol"]).localeCompare(text(b["protocol"])) ||
          (text(a["error"]) < text(b["error"]) ? -1 : 1),
      );
      merged.set(key, { ...entry, ...(unique.length === 0 ? {} : { ports: unique }) });
    }
  const order = (entry: Ingress) =>
    [
      entry["hostname"] ? 0 : 1,
      text(entry["hostname"]),
      text(entry["ip"]),
      entry["ipMode"] === undefined ? "\uffff" : text(entry["ipMode"]),
    ] as const;
  return [...merged.values()].sort((a, b) => {
    const left = order(a);
    const right = order(b);
    for (let at = 0; at < left.length; at++)
      if (left[at] !== right[at]) return (left[at] as string) < (right[at] as string) ? -1 : 1;
    return 0;
  });
}

const text = (value: unknown) => (typeof value === "string" ? value : "");
const hasAddress: NonNullable<KindRules["health"]> = (object) =>
  list(getPath(object, "status", "loadBalancer", "ingress")).some((entry) => entry["hostname"] || entry["ip"]);
const firstPhase = (items: readonly AggregatedItem[], order: readonly string[]) => {
  const phases = new Set(
    items.map(({ status }) => (status === undefined || status === null ? "Pending" : text(status["phase"]))),
  );
  return order.find((phase) => phases.has(phase));
};

const DEPLOYMENT = ["replicas", "readyReplicas", "updatedReplicas", "availableReplicas", "unavailableReplicas"];
const REPLICA_SET = ["replicas", "readyReplicas", "availableReplicas"];
const STATEFUL_SET = ["availableReplicas", "currentReplicas", "readyReplicas", "replicas", "updatedReplicas"];
const DAEMON_ALWAYS = ["currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"];
const BUDGET = ["currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed"];

/** The rules of each native kind, by `apiVersion/kind`. */
export const nativeKinds: Readonly<Record<string, KindRules>> = {
  "apps/v1/Deployment": {
    replicas: workloadReplicas,
    revise: reviseAt("replicas"),
    retain: (desired, observed) => {
      if (desired.metadata.labels?.[RETAIN_REPLICAS] !== "true") return desired;
      const present = getPath(observed, "spec", "replicas");
      if (typeof present !== "number") throw new Error("failed to get field spec.replicas of the observed object");
      return setPath(desired, ["spec", "replicas"], present);
    },
    aggregate: aggregateWorkload(DEPLOYMENT),
    dependencies: workloadDependencies,
    reflect: reflectWorkload(DEPLOYMENT),
    health: rolledOut,
  },
  "apps/v1/ReplicaSet": {
    replicas: workloadReplicas,
    revise: reviseAt("replicas"),
    aggregate: aggregateWorkload(REPLICA_SET, ["replicas"]),
    dependencies: workloadDependencies,
    reflect: reflectWorkload(REPLICA_SET, ["replicas"]),
    health: (object) => {
      const wanted = getPath(object, "spec", "replicas");
      return (
        isObserved(object) &&
        (typeof wanted !== "number" || number(getPath(object, "status", "availableReplicas")) >= wanted)
      );
    },
  },
  "apps/v1/StatefulSet": {
    replicas: workloadReplicas,
    revise: reviseAt("replicas"),
    aggregate: aggregateWorkload(STATEFUL_SET, ["replicas", "availableReplicas"]),
    dependencies: (object) => {
      const own = new Set(
        list(getPath(object, "spec", "volumeClaimTemplates")).map((claim) => getPath(claim, "metadata", "name")),
      );
      return dependenciesOf(templateOf(object), namespaceOf(object)).filter(
        ({ kind, name }) => kind !== "PersistentVolumeClaim" || !own.has(name),
      );
    },
    reflect: reflectWorkload(STATEFUL_SET, ["replicas", "availableReplicas"]),
    health: rolledOut,
  },
  "apps/v1/DaemonSet": {
    aggregate: aggregateWorkload(DAEMON_SET_COUNTERS, DAEMON_ALWAYS),
    dependencies: workloadDependencies,
    reflect: reflectWorkload(DAEMON_SET_COUNTERS, DAEMON_ALWAYS),
    health: (object) => {
      const status = statusOf(object) ?? {};
      return (
        isObserved(object) &&
        number(status["updatedNumberScheduled"]) >= number(status["desiredNumberScheduled"]) &&
        number(status["numberAvailable"]) >= number(status["updatedNumberScheduled"])
      );
    },
  },
  "batch/v1/Job": {
    replicas: (object) => {
      const parallelism = number(getPath(object, "spec", "parallelism"));
      const completions = getPath(object, "spec", "completions");
      return {
        replica: typeof completions === "number" ? Math.min(parallelism, completions) : parallelism,
        requirements: requirementsOf(templateOf(object)),
      };
    },
    revise: reviseAt("parallelism"),
    retain: (desired, observed) => {
      let result = desired;
      for (const path of [
        ["spec", "selector", "matchLabels"],
        ["spec", "template", "metadata", "labels"],
      ]) {
        const value = getPath(observed, ...path);
        if (value !== undefined) result = setPath(result, path, value);
      }
      return result;
    },
    aggregate: aggregateJob,
    dependencies: workloadDependencies,
    reflect: pick(["active", "succeeded", "failed", "conditions", "startTime", "completionTime"]),
  },
  "batch/v1/CronJob": {
    aggregate: (object, items = []) => {
      const active = reported(items).flatMap(({ status }) => list(status?.["active"]));
      const latest = (field: string) =>
        reported(items)
          .map(({ status }) => status?.[field])
          .filter((time): time is string => typeof time === "string")
          .sort((a, b) => (parseTime(b) ?? 0) - (parseTime(a) ?? 0))[0];
      const {
        active: _active,
        lastScheduleTime: _schedule,
        lastSuccessfulTime: _success,
        ...kept
      } = statusOf(object) ?? {};
      const schedule = latest("lastScheduleTime");
      const success = latest("lastSuccessfulTime");
      return {
        ...kept,
        ...(active.length === 0 ? {} : { active }),
        ...(schedule === undefined ? {} : { lastScheduleTime: schedule }),
        ...(success === undefined ? {} : { lastSuccessfulTime: success }),
      };
    },
    dependencies: (object) =>
      dependenciesOf(getPath(object, "spec", "jobTemplate", "spec", "template"), namespaceOf(object)),
  },
  "v1/Pod": {
    replicas: (object) => ({ replica: 1, requirements: requirementsOf(object) }),
    retain: (desired, observed) => {
      let result = desired;
      for (const field of ["nodeName", "serviceAccountName", "volumes"]) {
        const value = getPath(observed, "spec", field);
        result =
          value === undefined || value === ""
            ? withoutPath(result, ["spec", field])
            : setPath(result, ["spec", field], value);
      }
      for (const containers of ["initContainers", "containers"]) {
        const present = list(getPath(observed, "spec", containers));
        const wanted = getPath(result, "spec", containers);
        if (!Array.isArray(wanted)) continue;
        result = setPath(
          result,
          ["spec", containers],
          (wanted as readonly Json[]).map((container) => {
            const twin = isMap(container) ? present.find((other) => other["name"] === container["name"]) : undefined;
            return twin?.["volumeMounts"] === undefined
              ? container
              : { ...container, volumeMounts: twin["volumeMounts"] };
          }),
        );
      }
      return result;
    },
    aggregates: ["phase", "containerStatuses", "initContainerStatuses"],
    aggregate: (object, items) => {
      if (items === undefined) return statusOf(object);
      const phase = firstPhase(items, ["Failed", "Pending", "Running", "Succeeded"]);
      const statuses = (field: string) =>
        reported(items).flatMap(({ status }) =>
          list(status?.[field]).map(({ ready, state }) => ({
            name: "",
            image: "",
            imageID: "",
            restartCount: 0,
            lastState: {},
            ready,
            state,
          })),
        );
      const containers = statuses("containerStatuses");
      const inits = statuses("initContainerStatuses");
      return {
        ...(phase === undefined ? {} : { phase }),
        ...(containers.length === 0 ? {} : { containerStatuses: containers }),
        ...(inits.length === 0 ? {} : { initContainerStatuses: inits }),
      };
    },
    dependencies: (object) => dependenciesOf(object, namespaceOf(object)),
    health: (object) => {
      const status = statusOf(object) ?? {};
      if (status["phase"] === "Succeeded") return true;
      return (
        status["phase"] === "Running" &&
        list(status["conditions"]).some(({ type, status: state }) => type === "Ready" && state === "True")
      );
    },
  },
  "v1/Service": {
    retain: (desired, observed) => {
      let result = desired;
      const port = number(getPath(observed, "spec", "healthCheckNodePort"));
      if (port > 0) result = setPath(result, ["spec", "healthCheckNodePort"], port);
      const address = getPath(observed, "spec", "clusterIP");
      if (address) result = setPath(result, ["spec", "clusterIP"], address);
      const addresses = list(getPath(observed, "spec", "clusterIPs"));
      if (address && addresses.length > 0) result = setPath(result, ["spec", "clusterIPs"], addresses);
      return result;
    },
    aggregates: ["loadBalancer"],
    aggregate: (object, items = []) => {
      if (getPath(object, "spec", "type") !== "LoadBalancer") return statusOf(object);
      const ingress = mergeIngress(items, ["hostname", "ip", "ipMode"]);
      return { loadBalancer: ingress.length === 0 ? {} : { ingress } };
    },
    reflect: (object) =>
      getPath(object, "spec", "type") === "LoadBalancer" && statusOf(object) !== undefined
        ? { loadBalancer: statusOf(object)?.["loadBalancer"] ?? {} }
        : undefined,
    health: (object) => getPath(object, "spec", "type") !== "LoadBalancer" || hasAddress(object),
  },
  "v1/ServiceAccount": {
    retain: (desired, observed) => {
      let result = desired;
      for (const field of ["secrets", "imagePullSecrets"]) {
        const mine = list(getPath(desired, field));
        const all = [...mine];
        for (const entry of list(getPath(observed, field)))
          if (!all.some(({ name }) => name === entry["name"])) all.push(entry);
        result = setPath(result, [field], all.length === 0 ? null : all);
      }
      return result;
    },
  },
  "v1/Secret": {
    retain: (desired, observed) => {
      const data = getPath(observed, "data");
      return getPath(desired, "type") === "kubernetes.io/service-account-token" && data !== undefined
        ? setPath(desired, ["data"], data)
        : desired;
    },
  },
  "v1/PersistentVolume": {
    retain: (desired, observed) => {
      const claim = getPath(observed, "spec", "claimRef");
      return claim === undefined ? desired : setPath(desired, ["spec", "claimRef"], claim);
    },
    aggregates: ["phase"],
    aggregate: (_object, items = []) => {
      const phase = firstPhase(items, ["Failed", "Pending", "Available", "Bound", "Released"]);
      return phase === undefined ? {} : { phase };
    },
  },
  "v1/PersistentVolumeClaim": {
    retain: (desired, observed) => {
      const volume = getPath(observed, "spec", "volumeName");
      return volume ? setPath(desired, ["spec", "volumeName"], volume) : desired;
    },
    // Capacity and access modes belong to whoever binds the claim here; only the phase is summed up.
    aggregate: (object, items = []) => {
      let phase = "Bound";
      for (const { status } of reported(items)) {
        const own = text(status?.["phase"]);
        if (own !== "Bound") phase = own;
        if (own === "Lost") break;
      }
      return { ...statusOf(object), phase };
    },
    health: (object) => getPath(object, "status", "phase") === "Bound",
  },
  "networking.k8s.io/v1/Ingress": {
    aggregate: (_object, items = []) => {
      const ingress = mergeIngress(items, ["hostname", "ip"]);
      return { loadBalancer: ingress.length === 0 ? {} : { ingress } };
    },
    dependencies: (object) =>
      list(getPath(object, "spec", "tls")).flatMap((entry) => {
        const name = entry["secretName"];
        // The controller's default certificate serves an entry that names none.
        if (typeof name !== "string" || name === "") return [];
        return [{ apiVersion: "v1", kind: "Secret", namespace: namespaceOf(object), name }];
      }),
    health: hasAddress,
  },
  "policy/v1/PodDisruptionBudget": {
    aggregates: [...BUDGET, "disruptedPods"],
    aggregate: (_object, items = []) => {
      const disrupted: Record<string, unknown> = {};
      for (const { clusterName, status } of reported(items))
        for (const [pod, time] of Object.entries(mapOf(status?.["disruptedPods"])))
          disrupted[`${clusterName}/${pod}`] = time;
      return {
        ...sums(items, BUDGET, BUDGET),
        ...(Object.keys(disrupted).length === 0 ? {} : { disruptedPods: disrupted }),
      };
    },
    reflect: pick([...BUDGET, "disruptedPods"], BUDGET),
    health: (object) =>
      number(getPath(object, "status", "currentHealthy")) >= number(getPath(object, "status", "desiredHealthy")),
  },
  "autoscaling/v2/HorizontalPodAutoscaler": {
    aggregates: ["currentReplicas", "desiredReplicas"],
    aggregate: (_object, items = []) => sums(items, ["currentReplicas", "desiredReplicas"], ["desiredReplicas"]),
    reflect: pick(["currentReplicas", "desiredReplicas"], ["desiredReplicas"]),
  },
  "multicluster.x-k8s.io/v1alpha1/ServiceImport": {
    dependencies: (object) => {
      const name = `derived-${object.metadata.name}`;
      const namespace = namespaceOf(object);
      return [
        { apiVersion: "v1", kind: "Service", namespace, name },
        {
          apiVersion: "discovery.k8s.io/v1",
          kind: "EndpointSlice",
          namespace,
          labelSelector: { matchLabels: { "kubernetes.io/service-name": name } },
        },
      ];
    },
  },
};

function conditionOf(item: AggregatedItem, type: string): boolean {
  return list(item.status?.["conditions"]).some(
    (condition) => condition["type"] === type && condition["status"] === "True",
  );
}

function aggregateJob(object: KubeObject, items: readonly AggregatedItem[] = [], nowMs = Date.now()): Json | undefined {
  const before = statusOf(object) ?? {};
  const isFinished = list(before["conditions"]).some(
    ({ type, status }) => (type === "Complete" || type === "Failed") && status === "True",
  );
  if (isFinished) return statusOf(object);
  const times = (field: string) =>
    items
      .map(({ status }) => status?.[field])
      .filter((time): time is string => typeof time === "string")
      .sort((a, b) => (parseTime(a) ?? 0) - (parseTime(b) ?? 0));
  const now = formatTime(nowMs);
  const conditions: Json[] = [];
  const add = (type: string, reason: string, message: string) => {
    const known = list(before["conditions"]).find(
      (present) => present["type"] === type && present["status"] === "True" && present["reason"] === reason,
    );
    conditions.push({
      type,
      status: "True",
      lastProbeTime: known?.["lastProbeTime"] ?? now,
      lastTransitionTime: known?.["lastTransitionTime"] ?? now,
      reason,
      message,
    });
  };
  const ended = (item: AggregatedItem) =>
    list(item.status?.["conditions"]).find(
      ({ type, status }) => (type === "Complete" || type === "Failed") && status === "True",
    )?.["type"];
  const failed = items.filter((item) => ended(item) === "Failed").map(({ clusterName }) => clusterName);
  if (failed.length > 0) add("Failed", "JobFailed", `Job executed failed in member clusters ${failed.join(",")}`);
  if (items.length > 0 && items.every((item) => ended(item) === "Complete")) {
    add("Complete", "Completed", "Job completed");
    if (items.every((item) => conditionOf(item, "SuccessCriteriaMet")))
      add("SuccessCriteriaMet", "CompletionsReached", "All member clusters have met success criteria");
  }
  const starts = times("startTime");
  const completions = times("completionTime");
  const startTime = before["startTime"] ?? (items.length > 0 && starts.length === items.length ? starts[0] : undefined);
  const completionTime =
    items.length > 0 && completions.length === items.length ? completions[completions.length - 1] : undefined;
  const {
    active: _a,
    succeeded: _s,
    failed: _f,
    conditions: _c,
    startTime: _st,
    completionTime: _ct,
    ...kept
  } = before;
  const status = {
    ...kept,
    ...sums(items, ["active", "succeeded", "failed"]),
    ...(startTime === undefined ? {} : { startTime }),
    ...(completionTime === undefined ? {} : { completionTime }),
    ...(conditions.length === 0 ? {} : { conditions }),
  };
  return Object.keys(status).length === 0 ? statusOf(object) : status;
}
