import {
  compileLabelSelector,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  getPath,
  type KubeObject,
  type LabelSelector,
  setPath,
  withLabels,
} from "#machinery";
import { deepEqual } from "#base";
import { crdStrategy } from "../custom-resources/crd-strategy.ts";
import type { Strategy } from "../definition.ts";
import { validateLabels } from "../metadata.ts";
import { defaultPodSpec, type Json } from "./pod-defaults.ts";
import { podSpecErrors, podUpdateErrors } from "./pod-validation.ts";
import { networkRules } from "./network-rules.ts";
import { bindingErrors, policyStrategies, readBinding, secretTypeErrors } from "./policy-strategies.ts";
import { serviceStrategy } from "./service-strategy.ts";
import { storageRules } from "./storage-rules.ts";
import { workloadRules } from "./workload-rules.ts";

/** Per-kind behaviour of built-in kinds, where Kubernetes has one beyond the schema. */
export function strategyOf(group: string, kind: string): Strategy {
  const key = group === "" ? kind : `${group}/${kind}`;
  const own = strategies[key] ?? policyStrategies[key] ?? {};
  const rules = workloadRules[key] ?? networkRules[key] ?? storageRules[key];
  return rules === undefined ? own : together(own, rules);
}

/** A kind's own behaviour first, then the rules that stand in a file by topic. */
function together(first: Strategy, second: Strategy): Strategy {
  const chain = <A extends readonly unknown[]>(
    name: "applyDefaults" | "prepareForCreate" | "prepareForUpdate",
  ): object => {
    const [one, two] = [first[name], second[name]] as unknown as (
      | ((object: KubeObject, ...rest: A) => KubeObject)
      | undefined
    )[];
    return one === undefined || two === undefined
      ? {}
      : { [name]: (object: KubeObject, ...rest: A) => two(one(object, ...rest), ...rest) };
  };
  const add = (name: "validate" | "validateUpdate"): object => {
    const [one, two] = [first[name], second[name]] as unknown as (
      | ((...objects: readonly KubeObject[]) => readonly FieldError[])
      | undefined
    )[];
    return one === undefined || two === undefined
      ? {}
      : { [name]: (...objects: readonly KubeObject[]) => [...one(...objects), ...two(...objects)] };
  };
  return {
    ...first,
    ...second,
    ...chain("applyDefaults"),
    ...chain("prepareForCreate"),
    ...chain("prepareForUpdate"),
    ...add("validate"),
    ...add("validateUpdate"),
  };
}

type Fill = (spec: Json, object: KubeObject) => Json;

const specOf = (object: KubeObject): Json => ((object as { spec?: Json }).spec ?? {}) as Json;

/** Defaults of `spec`: `fill` gives the members that are missing. */
const withSpec =
  (fill: Fill) =>
  (object: KubeObject): KubeObject => {
    const spec = specOf(object);
    const filled = fill(spec, object);
    return filled === spec ? object : ({ ...object, spec: filled } as KubeObject);
  };

/** Adds members that are absent; gives the value itself when none was. */
function fill(value: Json, defaults: Json): Json {
  let result: Record<string, unknown> | undefined;
  for (const [key, fallback] of Object.entries(defaults))
    if (value[key] === undefined && fallback !== undefined) (result ??= { ...value })[key] = fallback;
  return result ?? value;
}

/** The value with a member set; the value itself where it is set already. */
const withMember = (value: Json, name: string, member: unknown): Json =>
  value[name] === member ? value : { ...value, [name]: member };

const fillTemplate = (spec: Json, restartPolicy?: string): Json => {
  const template = (spec["template"] ?? {}) as Json;
  const podSpec = defaultPodSpec((template["spec"] ?? {}) as Json, restartPolicy);
  return podSpec === template["spec"] ? spec : { ...spec, template: { ...template, spec: podSpec } };
};

/** `kind` is the word in the text of an empty selector; templates of these kinds always restart. */
function selectorErrors(object: KubeObject, kind = "deployment"): FieldError[] {
  const spec = specOf(object);
  const selector = spec["selector"] as
    | { matchLabels?: Record<string, string>; matchExpressions?: unknown[] }
    | undefined;
  const errors: FieldError[] = [];
  const labels = getPath(spec, "template", "metadata", "labels") as Record<string, string> | undefined;
  errors.push(...validateLabels(labels, "spec.template.metadata.labels"));
  if (selector === undefined)
    return [
      fieldRequired("spec.selector"),
      ...(labels === undefined
        ? [fieldInvalid("spec.template.metadata.labels", null, "`selector` does not match template `labels`")]
        : []),
    ];
  if (Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions ?? []).length === 0)
    errors.push(fieldInvalid("spec.selector", selector, `empty selector is invalid for ${kind}`));
  else if (compileLabelSelector(selector as LabelSelector)?.(labels) === false)
    errors.push(
      fieldInvalid("spec.template.metadata.labels", labels ?? {}, "`selector` does not match template `labels`"),
    );
  const policy = getPath(spec, "template", "spec", "restartPolicy");
  if (policy !== undefined && policy !== "Always")
    errors.push(fieldNotSupported("spec.template.spec.restartPolicy", policy, ["Always"]));
  return errors;
}

function immutable(object: KubeObject, old: KubeObject, ...paths: readonly string[][]): FieldError[] {
  return paths
    .filter((path) => !deepEqual(getPath(object, ...path), getPath(old, ...path)))
    .map((path) => fieldInvalid(path.join("."), getPath(object, ...path), "field is immutable"));
}

function notNegative(object: KubeObject, ...paths: readonly string[][]): FieldError[] {
  return paths.flatMap((path) => {
    const value = getPath(object, ...path);
    return typeof value === "number" && value < 0
      ? [fieldInvalid(path.join("."), value, "must be greater than or equal to 0")]
      : [];
  });
}

const templateErrors = (object: KubeObject) =>
  podSpecErrors(getPath(object, "spec", "template", "spec") as Json | undefined, "spec.template.spec");

function scheduleErrors(object: KubeObject): FieldError[] {
  const schedule = getPath(object, "spec", "schedule");
  if (!schedule) return [fieldRequired("spec.schedule")];
  const parts = String(schedule).trim().split(/\s+/);
  if (String(schedule).startsWith("@") || /^(CRON_)?TZ=/.test(String(schedule)) || parts.length === 5) return [];
  return [
    fieldInvalid("spec.schedule", schedule, `expected exactly 5 fields, found ${parts.length}: [${parts.join(" ")}]`),
  ];
}

/** Pods of a Job must be able to end. */
const endsErrors = (policy: unknown, path: string): FieldError[] =>
  policy === "OnFailure" || policy === "Never" ? [] : [fieldRequired(path, 'valid values: "OnFailure", "Never"')];

function cronTemplateErrors(object: KubeObject): FieldError[] {
  const path = "spec.jobTemplate.spec.template.spec";
  const template = getPath(object, ...path.split(".")) as Json | undefined;
  const policy = template?.["restartPolicy"];
  return [...podSpecErrors(template, path), ...endsErrors(policy, `${path}.restartPolicy`)];
}

function rolloutErrors(spec: Json): FieldError[] {
  const { type, rollingUpdate } = (spec["strategy"] ?? {}) as {
    readonly type?: unknown;
    readonly rollingUpdate?: Json;
  };
  const errors: FieldError[] = [];
  if (type === "Recreate" && rollingUpdate !== undefined)
    errors.push(
      fieldForbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"),
    );
  const isNone = (value: unknown) => value === 0 || /^0+%?$/.test(String(value));
  if (type === "RollingUpdate" && isNone(rollingUpdate?.["maxUnavailable"]) && isNone(rollingUpdate?.["maxSurge"]))
    errors.push(
      fieldInvalid(
        "spec.strategy.rollingUpdate.maxUnavailable",
        rollingUpdate?.["maxUnavailable"],
        "may not be 0 when `maxSurge` is 0",
      ),
    );
  const deadline = spec["progressDeadlineSeconds"];
  if (typeof deadline === "number" && deadline >= 0 && deadline <= Number(spec["minReadySeconds"] ?? 0))
    errors.push(fieldInvalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"));
  return errors;
}

const strategies: Readonly<Record<string, Strategy>> = {
  "apps/Deployment": {
    applyDefaults: withSpec((spec) => {
      const filled = fill(spec, { replicas: 1, strategy: {}, revisionHistoryLimit: 10, progressDeadlineSeconds: 600 });
      const typed = fill(filled["strategy"] as Json, { type: "RollingUpdate" });
      const rolling = (typed["rollingUpdate"] ?? {}) as Json;
      const strategy =
        typed["type"] === "RollingUpdate"
          ? withMember(typed, "rollingUpdate", fill(rolling, { maxUnavailable: "25%", maxSurge: "25%" }))
          : typed;
      return fillTemplate(withMember(filled, "strategy", strategy));
    }),
    validate: (object) => [
      ...selectorErrors(object),
      ...templateErrors(object),
      ...rolloutErrors(specOf(object)),
      ...notNegative(object, ["spec", "replicas"], ["spec", "minReadySeconds"], ["spec", "revisionHistoryLimit"]),
    ],
    validateUpdate: (object, old) => immutable(object, old, ["spec", "selector"]),
  },
  "apps/ReplicaSet": {
    emptyStatus: { replicas: 0 },
    applyDefaults: withSpec((spec) => fillTemplate(fill(spec, { replicas: 1 }))),
    validate: (object) => [
      ...selectorErrors(object),
      ...templateErrors(object),
      ...notNegative(object, ["spec", "replicas"]),
    ],
    validateUpdate: (object, old) => immutable(object, old, ["spec", "selector"]),
    fields: (object) => ({ "status.replicas": String(getPath(object, "status", "replicas") ?? 0) }),
  },
  "apps/StatefulSet": {
    emptyStatus: { replicas: 0, availableReplicas: 0 },
    applyDefaults: withSpec((spec) => {
      const update = (spec["updateStrategy"] ?? {}) as Json;
      const type = update["type"] ?? "RollingUpdate";
      const filled =
        type === "RollingUpdate"
          ? { ...update, type, rollingUpdate: fill((update["rollingUpdate"] ?? {}) as Json, { partition: 0 }) }
          : { ...update, type };
      const claims = (spec["volumeClaimTemplates"] as readonly Json[] | undefined)?.map((claim) => ({
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        ...claim,
        spec: fill((claim["spec"] ?? {}) as Json, { volumeMode: "Filesystem" }),
        status: { phase: "Pending" },
      }));
      return fillTemplate({
        ...fill(spec, {
          replicas: 1,
          podManagementPolicy: "OrderedReady",
          revisionHistoryLimit: 10,
          persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
        }),
        updateStrategy: filled,
        ...(claims === undefined ? {} : { volumeClaimTemplates: claims }),
      });
    }),
    validate: (object) => [
      ...selectorErrors(object, "statefulset"),
      ...podSpecErrors(
        getPath(object, "spec", "template", "spec") as Json | undefined,
        "spec.template.spec",
        ((getPath(object, "spec", "volumeClaimTemplates") ?? []) as readonly KubeObject[]).map(
          ({ metadata }) => metadata?.name,
        ),
      ),
      ...notNegative(object, ["spec", "replicas"]),
    ],
    validateUpdate: (object, old) => {
      const allowed = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
        "revisionHistoryLimit",
      ];
      const strip = (value: KubeObject) =>
        Object.fromEntries(Object.entries(specOf(value)).filter(([key]) => !allowed.includes(key)));
      return deepEqual(strip(object), strip(old))
        ? []
        : [
            fieldForbidden(
              "spec",
              `updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden`,
            ),
          ];
    },
  },
  "apps/DaemonSet": {
    emptyStatus: { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 },
    applyDefaults: withSpec((spec) => {
      const update = (spec["updateStrategy"] ?? {}) as Json;
      const type = update["type"] ?? "RollingUpdate";
      const filled =
        type === "RollingUpdate"
          ? {
              ...update,
              type,
              rollingUpdate: fill((update["rollingUpdate"] ?? {}) as Json, { maxUnavailable: 1, maxSurge: 0 }),
            }
          : { ...update, type };
      return fillTemplate({ ...fill(spec, { revisionHistoryLimit: 10 }), updateStrategy: filled });
    }),
    validate: (object) => [...selectorErrors(object, "daemonset"), ...templateErrors(object)],
    validateUpdate: (object, old) => immutable(object, old, ["spec", "selector"]),
  },
  "batch/Job": {
    dependentsByDefault: "Orphan",
    prepareForCreate: (object) => {
      const spec = specOf(object);
      if (spec["manualSelector"] === true) return object;
      const uid = object.metadata.uid ?? "";
      const name = object.metadata.name ?? "";
      const labels = {
        ...(getPath(spec, "template", "metadata", "labels") as Json | undefined),
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
      };
      const selected = setPath(object, ["spec", "selector"], {
        matchLabels: { "batch.kubernetes.io/controller-uid": uid },
      });
      return setPath(selected, ["spec", "template", "metadata", "labels"], labels);
    },
    applyDefaults: withSpec((spec) => {
      const isBare = spec["completions"] === undefined && spec["parallelism"] === undefined;
      return fillTemplate(
        fill(spec, {
          ...(isBare ? { completions: 1 } : {}),
          parallelism: 1,
          completionMode: "NonIndexed",
          suspend: false,
          podReplacementPolicy: spec["podFailurePolicy"] === undefined ? "TerminatingOrFailed" : "Failed",
        }),
      );
    }),
    validate: (object) => {
      const policy = getPath(object, "spec", "template", "spec", "restartPolicy");
      return [
        ...templateErrors(object),
        ...notNegative(
          object,
          ["spec", "parallelism"],
          ["spec", "completions"],
          ["spec", "backoffLimit"],
          ["spec", "ttlSecondsAfterFinished"],
        ),
        ...endsErrors(policy, "spec.template.spec.restartPolicy"),
      ];
    },
    validateUpdate: (object, old) =>
      immutable(
        object,
        old,
        ["spec", "completions"],
        ["spec", "selector"],
        ["spec", "template"],
        ["spec", "completionMode"],
      ),
    fields: (object) => ({ "status.successful": String(getPath(object, "status", "succeeded") ?? 0) }),
  },
  "batch/CronJob": {
    applyDefaults: withSpec((spec) => {
      const template = (spec["jobTemplate"] ?? {}) as Json;
      const jobSpec = (template["spec"] ?? {}) as Json;
      const filled = fillTemplate(jobSpec);
      const defaulted = fill(spec, {
        concurrencyPolicy: "Allow",
        suspend: false,
        successfulJobsHistoryLimit: 3,
        failedJobsHistoryLimit: 1,
      });
      return filled === jobSpec ? defaulted : { ...defaulted, jobTemplate: { ...template, spec: filled } };
    }),
    validate: (object) => [...scheduleErrors(object), ...cronTemplateErrors(object)],
  },
  Pod: {
    prepareForCreate: (object) =>
      ({ ...object, status: { phase: "Pending", qosClass: qosOf(specOf(object)) } }) as KubeObject,
    applyDefaults: withSpec((spec) => fill(defaultPodSpec(spec), { enableServiceLinks: true })),
    validate: (object) => podSpecErrors(specOf(object), "spec"),
    validateUpdate: podUpdateErrors,
    fields: (object) => ({
      "spec.nodeName": String(getPath(object, "spec", "nodeName") ?? ""),
      "spec.restartPolicy": String(getPath(object, "spec", "restartPolicy") ?? ""),
      "spec.schedulerName": String(getPath(object, "spec", "schedulerName") ?? ""),
      "spec.serviceAccountName": String(getPath(object, "spec", "serviceAccountName") ?? ""),
      "spec.hostNetwork": String(getPath(object, "spec", "hostNetwork") ?? false),
      "status.phase": String(getPath(object, "status", "phase") ?? ""),
      "status.podIP": String(getPath(object, "status", "podIP") ?? ""),
      "status.nominatedNodeName": String(getPath(object, "status", "nominatedNodeName") ?? ""),
    }),
    gracePeriodSeconds: (object, asked) => {
      const phase = getPath(object, "status", "phase");
      if (!getPath(object, "spec", "nodeName") || phase === "Failed" || phase === "Succeeded") return 0;
      return asked ?? (getPath(object, "spec", "terminationGracePeriodSeconds") as number | undefined) ?? 30;
    },
  },
  Namespace: {
    applyDefaults: (object) => withLabels(object, { "kubernetes.io/metadata.name": object.metadata.name || undefined }),
    prepareForCreate: (object) =>
      ({
        ...withLabels(object, { "kubernetes.io/metadata.name": object.metadata.name ?? "" }),
        spec: { finalizers: ["kubernetes"] },
        status: { phase: "Active" },
      }) as unknown as KubeObject,
    prepareForUpdate: (object, old) => {
      const finalizers = getPath(object, "spec", "finalizers") ?? getPath(old, "spec", "finalizers");
      return {
        ...withLabels(object, { "kubernetes.io/metadata.name": object.metadata.name ?? "" }),
        spec: { finalizers },
      } as unknown as KubeObject;
    },
    prepareForDelete: (object) => setPath(object, ["status", "phase"], "Terminating"),
    fields: (object) => ({
      "status.phase": String(getPath(object, "status", "phase") ?? ""),
      name: object.metadata.name ?? "",
    }),
  },
  "events.k8s.io/Event": {
    createsOnUpdate: true,
    fields: (object) => ({
      reason: String(getPath(object, "reason") ?? ""),
      type: String(getPath(object, "type") ?? ""),
      reportingController: String(getPath(object, "reportingController") ?? ""),
      "regarding.kind": String(getPath(object, "regarding", "kind") ?? ""),
      "regarding.namespace": String(getPath(object, "regarding", "namespace") ?? ""),
      "regarding.name": String(getPath(object, "regarding", "name") ?? ""),
      "regarding.uid": String(getPath(object, "regarding", "uid") ?? ""),
      "regarding.apiVersion": String(getPath(object, "regarding", "apiVersion") ?? ""),
      "regarding.resourceVersion": String(getPath(object, "regarding", "resourceVersion") ?? ""),
      "regarding.fieldPath": String(getPath(object, "regarding", "fieldPath") ?? ""),
    }),
  },
  Endpoints: { createsOnUpdate: true },
  LimitRange: { createsOnUpdate: true },
  ReplicationController: { dependentsByDefault: "Orphan", emptyStatus: { replicas: 0 } },
  PodTemplate: { createsOnUpdate: true },
  Node: {
    keepsStatusOnCreate: true,
    fields: (object) => ({ "spec.unschedulable": String(getPath(object, "spec", "unschedulable") ?? false) }),
  },
  Service: serviceStrategy,
  Secret: {
    applyDefaults: (object) => {
      const { stringData, ...rest } = object as KubeObject & {
        stringData?: Record<string, string>;
        data?: Record<string, string>;
        type?: string;
      };
      const typed = rest.type === undefined ? { ...rest, type: "Opaque" } : rest;
      if (stringData === undefined) return typed;
      const data = { ...rest.data };
      for (const [key, value] of Object.entries(stringData)) data[key] = Buffer.from(value).toString("base64");
      return { ...typed, data } as KubeObject;
    },
    validate: (object) => {
      const { data = {} } = object as { data?: Record<string, string> };
      return [
        ...secretTypeErrors(object),
        ...Object.entries(data).flatMap(([key, value]) => [
          ...(/^[-._a-zA-Z0-9]+$/.test(key)
            ? []
            : [
                fieldInvalid(
                  `data[${key}]`,
                  key,
                  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
                ),
              ]),
          ...(typeof value === "string" && /^[A-Za-z0-9+/]*={0,2}$/.test(value)
            ? []
            : [fieldInvalid(`data[${key}]`, "<redacted>", "must be base64")]),
        ]),
      ];
    },
    validateUpdate: (object, old) => [
      ...immutable(object, old, ["type"]),
      ...(getPath(old, "immutable") === true
        ? [
            ...(getPath(object, "immutable") === true
              ? []
              : [fieldForbidden("immutable", "field is immutable when `immutable` is set")]),
            ...(deepEqual(getPath(object, "data"), getPath(old, "data"))
              ? []
              : [fieldForbidden("data", "field is immutable when `immutable` is set")]),
          ]
        : []),
    ],
    fields: (object) => ({ type: String(getPath(object, "type") ?? "") }),
  },
  ConfigMap: {
    validate: (object) =>
      ["data", "binaryData"].flatMap((part) =>
        Object.keys((getPath(object, part) ?? {}) as object).flatMap((key) =>
          /^[-._a-zA-Z0-9]+$/.test(key)
            ? []
            : [
                fieldInvalid(
                  `${part}[${key}]`,
                  key,
                  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
                ),
              ],
        ),
      ),
    validateUpdate: (object, old) =>
      getPath(old, "immutable") === true
        ? [
            ...(getPath(object, "immutable") === true
              ? []
              : [fieldForbidden("immutable", "field is immutable when `immutable` is set")]),
            ...(deepEqual(getPath(object, "data"), getPath(old, "data"))
              ? []
              : [fieldForbidden("data", "field is immutable when `immutable` is set")]),
          ]
        : [],
  },
  PersistentVolume: {
    applyDefaults: withSpec((spec) =>
      fill(spec, { volumeMode: "Filesystem", persistentVolumeReclaimPolicy: "Retain" }),
    ),
    prepareForCreate: (object) => ({ ...object, status: { phase: "Pending" } }) as KubeObject,
  },
  Event: {
    createsOnUpdate: true,
    fields: (object) => ({
      reason: String(getPath(object, "reason") ?? ""),
      type: String(getPath(object, "type") ?? ""),
      reportingComponent: String(getPath(object, "reportingComponent") ?? ""),
      source: String(getPath(object, "source", "component") ?? ""),
      "involvedObject.kind": String(getPath(object, "involvedObject", "kind") ?? ""),
      "involvedObject.namespace": String(getPath(object, "involvedObject", "namespace") ?? ""),
      "involvedObject.name": String(getPath(object, "involvedObject", "name") ?? ""),
      "involvedObject.uid": String(getPath(object, "involvedObject", "uid") ?? ""),
      "involvedObject.apiVersion": String(getPath(object, "involvedObject", "apiVersion") ?? ""),
      "involvedObject.resourceVersion": String(getPath(object, "involvedObject", "resourceVersion") ?? ""),
      "involvedObject.fieldPath": String(getPath(object, "involvedObject", "fieldPath") ?? ""),
    }),
  },
  "rbac.authorization.k8s.io/RoleBinding": {
    applyDefaults: (object) => roleBindingDefaults(readBinding(object)),
    validate: bindingErrors(true),
    validateUpdate: roleRefUpdate,
    createsOnUpdate: true,
  },
  "rbac.authorization.k8s.io/ClusterRoleBinding": {
    applyDefaults: (object) => roleBindingDefaults(readBinding(object)),
    validate: bindingErrors(false),
    validateUpdate: roleRefUpdate,
    createsOnUpdate: true,
  },
  "autoscaling/HorizontalPodAutoscaler": {
    applyDefaults: withSpec((spec) => {
      const isOld = spec["targetCPUUtilizationPercentage"] !== undefined;
      return fill(spec, {
        minReplicas: 1,
        ...(isOld
          ? {}
          : {
              metrics: [
                {
                  type: "Resource",
                  resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } },
                },
              ],
            }),
      });
    }),
    validate: (object) => {
      const target = getPath(object, "spec", "scaleTargetRef") as Json | undefined;
      const missing = ["kind", "name"]
        .filter((part) => !target?.[part])
        .map((part) => fieldRequired(`spec.scaleTargetRef.${part}`));
      if (missing.length > 0) return missing;
      const max = getPath(object, "spec", "maxReplicas");
      const min = getPath(object, "spec", "minReplicas");
      if (typeof max !== "number" || max < 1)
        return [fieldInvalid("spec.maxReplicas", max ?? 0, "must be greater than 0")];
      return typeof min === "number" && max < min
        ? [fieldInvalid("spec.maxReplicas", max, "must be greater than or equal to `minReplicas`")]
        : [];
    },
  },
  "storage.k8s.io/StorageClass": {
    applyDefaults: (object) => ({ reclaimPolicy: "Delete", volumeBindingMode: "Immediate", ...object }) as KubeObject,
  },
  "apiextensions.k8s.io/CustomResourceDefinition": crdStrategy,
};

function roleBindingDefaults(object: KubeObject): KubeObject {
  const subjects = (object as { subjects?: readonly Json[] }).subjects;
  const roleRef = ((object as { roleRef?: Json }).roleRef ?? {}) as Json;
  return {
    ...object,
    roleRef: roleRef["apiGroup"] ? roleRef : { ...roleRef, apiGroup: "rbac.authorization.k8s.io" },
    ...(subjects === undefined
      ? {}
      : {
          subjects: subjects.map((subject) =>
            subject["apiGroup"] || (subject["kind"] !== "User" && subject["kind"] !== "Group")
              ? subject
              : { ...subject, apiGroup: "rbac.authorization.k8s.io" },
          ),
        }),
  } as KubeObject;
}

/** A reference as kube-apiserver shows it in refusals (wire). */
const goRoleRef = (ref: unknown) => ({
  APIGroup: getPath(ref, "apiGroup") ?? "",
  Kind: getPath(ref, "kind") ?? "",
  Name: getPath(ref, "name") ?? "",
});

function roleRefUpdate(object: KubeObject, old: KubeObject): FieldError[] {
  return deepEqual(getPath(object, "roleRef"), getPath(old, "roleRef"))
    ? []
    : [fieldInvalid("roleRef", goRoleRef(getPath(object, "roleRef")), "cannot change roleRef")];
}

function qosOf(spec: Json): string {
  const containers = (spec["containers"] ?? []) as readonly Json[];
  let hasAny = false;
  let isGuaranteed = containers.length > 0;
  for (const container of containers) {
    const requests = (getPath(container, "resources", "requests") ?? {}) as Json;
    const limits = (getPath(container, "resources", "limits") ?? {}) as Json;
    if (Object.keys(requests).length + Object.keys(limits).length > 0) hasAny = true;
    for (const name of ["cpu", "memory"])
      if (limits[name] === undefined || (requests[name] !== undefined && requests[name] !== limits[name]))
        isGuaranteed = false;
  }
  return isGuaranteed ? "Guaranteed" : hasAny ? "Burstable" : "BestEffort";
}
