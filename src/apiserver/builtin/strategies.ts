import { coreEventRules, newEventRules } from "./event-rules.ts";
import {
  type FieldError,
  fieldInvalid,
  getPath,
  type KubeObject,
  labelKeyErrors,
  setPath,
  withLabels,
} from "#machinery";
import { deepEqual } from "#base";
import { crdStrategy } from "../custom-resources/crd-strategy.ts";
import type { Strategy } from "../definition.ts";
import { autoscalingRules } from "./autoscaling-rules.ts";
import { addressRecordRules } from "./address-record-rules.ts";
import { bookkeepingRules } from "./bookkeeping-rules.ts";
import { configRules } from "./config-rules.ts";
import { quotaRules } from "./quota-rules.ts";
import { withoutDisabled } from "./disabled-fields.ts";
import { warningsOf } from "./further-warnings.ts";
import { jobRules } from "./job-rules.ts";
import type { Json } from "./pod-defaults.ts";
import { podStrategy } from "./pods.ts";
import { networkRules } from "./network-rules.ts";
import { bindingErrors, policyStrategies, readBinding } from "./policy-strategies.ts";
import { deviceRules } from "./device-rules.ts";
import { flowRules } from "./flow-rules.ts";
import { serviceStrategy } from "./service-strategy.ts";
import { storageRules } from "./storage-rules.ts";
import { workloadRules } from "./workload-rules.ts";

/** Per-kind behaviour of built-in kinds, where Kubernetes has one beyond the schema. */
export function strategyOf(group: string, kind: string): Strategy {
  const key = group === "" ? kind : `${group}/${kind}`;
  const own = strategies[key] ?? policyStrategies[key] ?? {};
  const rules =
    workloadRules[key] ??
    jobRules[key] ??
    configRules[key] ??
    quotaRules[key] ??
    autoscalingRules[key] ??
    bookkeepingRules[key] ??
    addressRecordRules[key] ??
    deviceRules[key] ??
    flowRules[key] ??
    eventRules[key] ??
    networkRules[key] ??
    storageRules[key];
  const made = withoutDisabled(key, rules === undefined ? own : together(own, rules));
  const further = warningsOf(key);
  if (further === undefined) return made;
  if (made.warnings !== undefined) throw new Error(`${key} has warnings in two places`);
  return { ...made, ...further };
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

const eventRules: Readonly<Record<string, Strategy>> = {
  Event: coreEventRules,
  "events.k8s.io/Event": newEventRules,
};

type Fill = (spec: Json, object: KubeObject) => Json;

const specOf = (object: KubeObject): Json => ((object as { spec?: Json }).spec ?? {}) as Json;

/** Defaults of `spec`: `fill` gives the members that are missing. */
const _withSpec =
  (fill: Fill) =>
  (object: KubeObject): KubeObject => {
    const spec = specOf(object);
    const filled = fill(spec, object);
    return filled === spec ? object : ({ ...object, spec: filled } as KubeObject);
  };

/** Adds members that are absent; gives the value itself when none was. */
function _fill(value: Json, defaults: Json): Json {
  let result: Record<string, unknown> | undefined;
  for (const [key, fallback] of Object.entries(defaults))
    if (value[key] === undefined && fallback !== undefined) (result ??= { ...value })[key] = fallback;
  return result ?? value;
}

function _immutable(object: KubeObject, old: KubeObject, ...paths: readonly string[][]): FieldError[] {
  return paths
    .filter((path) => !deepEqual(getPath(object, ...path), getPath(old, ...path)))
    .map((path) => fieldInvalid(path.join("."), getPath(object, ...path), "field is immutable"));
}

const strategies: Readonly<Record<string, Strategy>> = {
  Pod: podStrategy,
  Namespace: {
    returnsDeleted: true,
    applyDefaults: (object) => {
      const labelled = withLabels(object, { "kubernetes.io/metadata.name": object.metadata.name || undefined });
      return getPath(object, "status", "phase") ? labelled : setPath(labelled, ["status", "phase"], "Active");
    },
    rulesAreWhole: true,
    prepareForCreate: (object) => {
      const given = (getPath(object, "spec", "finalizers") ?? []) as readonly string[];
      return {
        ...withLabels(object, { "kubernetes.io/metadata.name": object.metadata.name ?? "" }),
        spec: { finalizers: given.includes("kubernetes") ? given : [...given, "kubernetes"] },
        status: { phase: "Active" },
      } as unknown as KubeObject;
    },
    // What holds a namespace is written by `/finalize` alone.
    prepareForUpdate: (object, old) =>
      ({
        ...withLabels(object, { "kubernetes.io/metadata.name": object.metadata.name ?? "" }),
        spec: getPath(old, "spec") ?? {},
      }) as unknown as KubeObject,
    validateCreate: (object) =>
      ((getPath(object, "spec", "finalizers") ?? []) as readonly string[]).flatMap((finalizer) => [
        ...labelKeyErrors(finalizer).map((text) => fieldInvalid("spec.finalizers", finalizer, text)),
        ...(finalizer.includes("/") || finalizer === "kubernetes"
          ? []
          : [
              fieldInvalid(
                "spec.finalizers",
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
              ),
            ]),
      ]),
    validateFinalize: (object) =>
      ((getPath(object, "spec", "finalizers") ?? []) as readonly string[]).flatMap((finalizer, at) => [
        ...labelKeyErrors(finalizer).map((text) => fieldInvalid(`spec.finalizers[${at}]`, finalizer, text)),
        ...(finalizer.includes("/") || finalizer === "kubernetes"
          ? []
          : [
              fieldInvalid(
                `spec.finalizers[${at}]`,
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
              ),
            ]),
      ]),
    validateStatus: (object) => {
      const phase = getPath(object, "status", "phase") ?? "";
      const isGoing = object.metadata.deletionTimestamp !== undefined;
      if (isGoing)
        return phase === "Terminating"
          ? []
          : [fieldInvalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")];
      return phase === "Active"
        ? []
        : [fieldInvalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")];
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
  Service: { ...serviceStrategy, returnsDeleted: true },
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
