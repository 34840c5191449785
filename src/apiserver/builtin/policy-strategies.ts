import {
  type FieldError,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  getPath,
  type KubeObject,
} from "#machinery";
import type { Strategy } from "../definition.ts";
import { labelSelectorErrors } from "./checks.ts";
import { subdomainErrorsAt } from "./name-checks.ts";
import type { Json } from "./pod-defaults.ts";

type List = readonly Json[];

const specOf = (object: KubeObject): Json => (getPath(object, "spec") ?? {}) as Json;
const listOf = (value: unknown, ...path: readonly string[]): List => {
  const found = getPath(value, ...path);
  return Array.isArray(found) ? (found as List) : [];
};
const _HIGHEST_USER_PRIORITY = 1_000_000_000;

const RBAC = "rbac.authorization.k8s.io";

/** Rules of a role as Kubernetes reads them: what a rule leaves out is empty. */
function readRules(object: KubeObject): KubeObject {
  const rules = getPath(object, "rules");
  if (!Array.isArray(rules)) return object;
  return { ...object, rules: (rules as List).map((rule) => ({ verbs: [], ...rule })) } as KubeObject;
}

/** A binding as Kubernetes reads it: what it leaves out is empty, and an empty list of subjects is none. */
export function readBinding(object: KubeObject): KubeObject {
  const { subjects, roleRef, ...rest } = object as KubeObject & { subjects?: unknown; roleRef?: unknown };
  const list = Array.isArray(subjects)
    ? (subjects as List).map((subject) => ({ kind: "", name: "", ...subject }))
    : subjects;
  return {
    ...rest,
    ...(list === undefined || (Array.isArray(list) && list.length === 0) ? {} : { subjects: list }),
    roleRef:
      typeof roleRef === "object" && roleRef !== null
        ? { apiGroup: "", kind: "", name: "", ...roleRef }
        : { apiGroup: "", kind: "", name: "" },
  } as KubeObject;
}

/** A ClusterRole that gathers others must say which. */
const aggregationErrors = (object: KubeObject): FieldError[] =>
  getPath(object, "aggregationRule") !== undefined &&
  listOf(getPath(object, "aggregationRule"), "clusterRoleSelectors").length > 0
    ? listOf(getPath(object, "aggregationRule"), "clusterRoleSelectors").flatMap((selector, at) => {
        const path = `aggregationRule.clusterRoleSelectors[${at}]`;
        const errors = labelSelectorErrors(selector, path);
        return errors.length === 0 ? [] : [...errors, fieldInvalid(path, null, "invalid label selector.")];
      })
    : getPath(object, "aggregationRule") !== undefined
      ? [
          fieldRequired(
            "aggregationRule.clusterRoleSelectors",
            "at least one clusterRoleSelector required if aggregationRule is non-nil",
          ),
        ]
      : [];

function ruleErrors(isNamespaced: boolean) {
  return (object: KubeObject): FieldError[] =>
    listOf(object, "rules").flatMap((rule, at) => {
      const path = `rules[${at}]`;
      const errors: FieldError[] = [];
      if (listOf(rule, "verbs").length === 0)
        errors.push(fieldRequired(`${path}.verbs`, "verbs must contain at least one value"));
      const urls = listOf(rule, "nonResourceURLs");
      if (urls.length > 0) {
        if (isNamespaced)
          errors.push(
            fieldInvalid(`${path}.nonResourceURLs`, urls, "namespaced rules cannot apply to non-resource URLs"),
          );
        if (["apiGroups", "resources", "resourceNames"].some((part) => listOf(rule, part).length > 0))
          errors.push(
            fieldInvalid(
              `${path}.nonResourceURLs`,
              urls,
              "rules cannot apply to both regular resources and non-resource URLs",
            ),
          );
        return errors;
      }
      if (listOf(rule, "apiGroups").length === 0)
        errors.push(fieldRequired(`${path}.apiGroups`, "resource rules must supply at least one api group"));
      if (listOf(rule, "resources").length === 0)
        errors.push(fieldRequired(`${path}.resources`, "resource rules must supply at least one resource"));
      return errors;
    });
}

/** Mistakes of a role binding's subjects and role. */
export function bindingErrors(isNamespaced: boolean) {
  return (object: KubeObject): FieldError[] => {
    const errors: FieldError[] = [];
    const kinds = isNamespaced ? ["Role", "ClusterRole"] : ["ClusterRole"];
    const apiGroup = getPath(object, "roleRef", "apiGroup");
    const kind = getPath(object, "roleRef", "kind");
    if (apiGroup !== RBAC) errors.push(fieldNotSupported("roleRef.apiGroup", apiGroup ?? "", [RBAC]));
    if (!kinds.includes(String(kind))) errors.push(fieldNotSupported("roleRef.kind", kind ?? "", kinds));
    if (!getPath(object, "roleRef", "name")) errors.push(fieldRequired("roleRef.name"));
    for (const [at, subject] of listOf(object, "subjects").entries()) {
      const path = `subjects[${at}]`;
      if (!subject["name"]) errors.push(fieldRequired(`${path}.name`));
      if (subject["kind"] === "ServiceAccount") {
        if (subject["name"]) errors.push(...subdomainErrorsAt(subject["name"], `${path}.name`));
        if (subject["apiGroup"]) errors.push(fieldNotSupported(`${path}.apiGroup`, subject["apiGroup"], [""]));
        if (!subject["namespace"] && !isNamespaced) errors.push(fieldRequired(`${path}.namespace`));
      } else if (subject["kind"] === "User" || subject["kind"] === "Group") {
        if (subject["apiGroup"] !== RBAC)
          errors.push(fieldNotSupported(`${path}.apiGroup`, subject["apiGroup"] ?? "", [RBAC]));
      } else errors.push(fieldNotSupported(`${path}.kind`, subject["kind"] ?? "", ["ServiceAccount", "User", "Group"]));
    }
    return errors;
  };
}

const POLICY_TYPES = (spec: Json) => ["Ingress", ...(listOf(spec, "egress").length === 0 ? [] : ["Egress"])];
const withTcp = (rules: unknown) =>
  Array.isArray(rules)
    ? (rules as List).map((rule) =>
        Array.isArray(rule["ports"])
          ? { ...rule, ports: (rule["ports"] as List).map((port) => ({ protocol: "TCP", ...port })) }
          : rule,
      )
    : rules;

/** What a Secret of a type must hold. */
const SECRET_KEYS: Readonly<Record<string, readonly string[]>> = {
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
};
const SECRET_BYTES_MAX = 1_048_576;

export function secretTypeErrors(object: KubeObject): FieldError[] {
  const type = String(getPath(object, "type") ?? "");
  const data = (getPath(object, "data") ?? {}) as Readonly<Record<string, string>>;
  const errors = (SECRET_KEYS[type] ?? [])
    .filter((key) => data[key] === undefined)
    .map((key) => fieldRequired(`data[${key}]`));
  if (
    type === "kubernetes.io/service-account-token" &&
    !object.metadata.annotations?.["kubernetes.io/service-account.name"]
  )
    errors.push(fieldRequired("metadata.annotations[kubernetes.io/service-account.name]"));
  if (type === "kubernetes.io/basic-auth" && data["username"] === undefined && data["password"] === undefined)
    errors.push(fieldRequired("data[username]"), fieldRequired("data[password]"));
  const config = data[".dockerconfigjson"] ?? data[".dockercfg"];
  if (config !== undefined && SECRET_KEYS[type] !== undefined && !isJson(config))
    errors.push(
      fieldInvalid(`data[${SECRET_KEYS[type]?.[0]}]`, "<secret contents redacted>", "invalid character in JSON"),
    );
  const bytes = Object.values(data).reduce((sum, value) => sum + Math.floor((String(value).length * 3) / 4), 0);
  if (bytes > SECRET_BYTES_MAX) errors.push(fieldTooLong("data", SECRET_BYTES_MAX));
  return errors;
}

function isJson(encoded: string): boolean {
  try {
    JSON.parse(Buffer.from(encoded, "base64").toString("utf8"));
    return true;
  } catch {
    return false;
  }
}

/** Behaviour of policy, access, networking and bookkeeping kinds. */
export const policyStrategies: Readonly<Record<string, Strategy>> = {
  "rbac.authorization.k8s.io/Role": { applyDefaults: readRules, validate: ruleErrors(true), createsOnUpdate: true },
  "rbac.authorization.k8s.io/ClusterRole": {
    applyDefaults: readRules,
    validate: (object) => [...ruleErrors(false)(object), ...aggregationErrors(object)],
    createsOnUpdate: true,
  },
  "networking.k8s.io/NetworkPolicy": {
    applyDefaults: (object) => {
      const spec = specOf(object);
      return {
        ...object,
        spec: {
          ...spec,
          ...(spec["ingress"] === undefined ? {} : { ingress: withTcp(spec["ingress"]) }),
          ...(spec["egress"] === undefined ? {} : { egress: withTcp(spec["egress"]) }),
          policyTypes: spec["policyTypes"] ?? POLICY_TYPES(spec),
        },
      } as KubeObject;
    },
  },
};
