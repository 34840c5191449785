import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  getPath,
  type KubeObject,
  setPath,
  withLabels,
} from "#machinery";
import { deepEqual } from "#base";
import { crdStrategy } from "../custom-resources/crd-strategy.ts";
import type { Strategy } from "../definition.ts";
import { withoutDisabled } from "./disabled-fields.ts";
import { jobRules } from "./job-rules.ts";
import type { Json } from "./pod-defaults.ts";
import { podStrategy } from "./pods.ts";
import { networkRules } from "./network-rules.ts";
import { bindingErrors, policyStrategies, readBinding, secretTypeErrors } from "./policy-strategies.ts";
import { serviceStrategy } from "./service-strategy.ts";
import { storageRules } from "./storage-rules.ts";
import { workloadRules } from "./workload-rules.ts";

/** Per-kind behaviour of built-in kinds, where Kubernetes has one beyond the schema. */
export function strategyOf(group: string, kind: string): Strategy {
  const key = group === "" ? kind : `${group}/${kind}`;
  const own = strategies[key] ?? policyStrategies[key] ?? {};
  const rules = workloadRules[key] ?? jobRules[key] ?? networkRules[key] ?? storageRules[key];
  return withoutDisabled(key, rules === undefined ? own : together(own, rules));
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

function immutable(object: KubeObject, old: KubeObject, ...paths: readonly string[][]): FieldError[] {
  return paths
    .filter((path) => !deepEqual(getPath(object, ...path), getPath(old, ...path)))
    .map((path) => fieldInvalid(path.join("."), getPath(object, ...path), "field is immutable"));
}

const strategies: Readonly<Record<string, Strategy>> = {
  Pod: podStrategy,
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
