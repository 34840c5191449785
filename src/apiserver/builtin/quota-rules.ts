/** LimitRanges and ResourceQuotas: their defaults, what they must keep to, and what of them may change. */
import {
  compareQuantities,
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  type KubeObject,
  labelKeyErrors,
  parseQuantity,
  setPath,
} from "#machinery";
import { deepEqual } from "#base";
import type { Strategy } from "../definition.ts";
import { heldAt, listAt, NOT_NEGATIVE, repetitions, valueAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";
import { canOvercommit, containerResourceErrors, isStandardResource } from "./pod-containers.ts";

type Amounts = Readonly<Record<string, string>>;

const NANO = 1_000_000_000n;

/** Resources that quotas count in whole numbers. */
const COUNTED = new Set([
  "pods",
  "services",
  "replicationcontrollers",
  "resourcequotas",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "services.nodeports",
  "services.loadbalancers",
]);
const FOR_QUOTA = new Set([
  ...COUNTED,
  ...["cpu", "memory", "ephemeral-storage"].flatMap((name) => [name, `requests.${name}`, `limits.${name}`]),
  "requests.storage",
]);
const isStandardForQuota = (name: string) => FOR_QUOTA.has(name) || /^(requests\.)?hugepages-/.test(name);
const isForQuota = (name: string) => isStandardForQuota(name) || name.includes("/");

function resourceErrors(name: string, path: string): FieldError[] {
  const wrong = labelKeyErrors(name).map((text) => fieldInvalid(path, name, text));
  if (wrong.length === 0 && !name.includes("/") && !isStandardResource(name))
    wrong.push(fieldInvalid(path, name, "must be a standard resource type or fully qualified"));
  return isForQuota(name) ? wrong : [...wrong, fieldInvalid(path, name, "must be a standard resource for quota")];
}

/** Amounts of a quota: of resources that can be counted, none below zero, whole where things are counted. */
const amountErrors = (amounts: unknown, path: string): FieldError[] =>
  Object.entries((amounts ?? {}) as Amounts).flatMap(([name, amount]) => {
    const where = `${path}[${name}]`;
    const quantity = parseQuantity(amount);
    const isWhole = quantity === undefined || quantity.nano % NANO === 0n;
    return [
      ...resourceErrors(name, where),
      ...(quantity !== undefined && quantity.nano < 0n ? [fieldInvalid(where, amount, NOT_NEGATIVE)] : []),
      ...(COUNTED.has(name) && !isWhole ? [fieldInvalid(where, amount, "must be an integer")] : []),
    ];
  });

const SCOPES = new Set([
  "Terminating",
  "NotTerminating",
  "BestEffort",
  "NotBestEffort",
  "PriorityClass",
  "CrossNamespacePodAffinity",
  "VolumeAttributesClass",
]);
const CONFLICTS = [
  ["BestEffort", "NotBestEffort"],
  ["Terminating", "NotTerminating"],
] as const;
const MUST_EXIST = new Set([
  "BestEffort",
  "NotBestEffort",
  "Terminating",
  "NotTerminating",
  "CrossNamespacePodAffinity",
]);
const MUST_EXIST_TEXT =
  "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
const POD_RESOURCES = new Set([
  "pods",
  ...["cpu", "memory", "ephemeral-storage"].flatMap((name) => [name, `requests.${name}`, `limits.${name}`]),
]);

/** Whether a scope means anything for a resource. */
function fits(scope: string, resource: string): boolean {
  const isOfPods = resource === "pods" || resource === "count/pods";
  switch (scope) {
    case "BestEffort":
      return isOfPods;
    case "Terminating":
    case "NotTerminating":
    case "NotBestEffort":
    case "PriorityClass":
    case "CrossNamespacePodAffinity":
      return (
        isOfPods ||
        POD_RESOURCES.has(resource) ||
        /^(requests\.)?hugepages-/.test(resource) ||
        /^requests\..*\//.test(resource)
      );
    case "VolumeAttributesClass":
      return (
        resource === "persistentvolumeclaims" ||
        resource === "requests.storage" ||
        resource.includes(".storageclass.storage.k8s.io/")
      );
    default:
      return true;
  }
}

const MISFIT_TEXT = "unsupported scope applied to resource";
/** Standard resources that a scope means nothing for. */
const misfits = (hard: Amounts, scope: string) =>
  Object.keys(hard).filter((resource) => isStandardForQuota(resource) && !fits(scope, resource));

function conflictsIn(scopes: readonly string[]): boolean {
  return CONFLICTS.some((pair) => pair.every((scope) => scopes.includes(scope)));
}

function scopeErrors(hard: Amounts, scopes: readonly string[]): FieldError[] {
  const path = "spec.scopes";
  const errors: FieldError[] = [];
  for (const scope of scopes) {
    if (!SCOPES.has(scope)) errors.push(fieldInvalid(path, scopes, "unsupported scope"));
    errors.push(...misfits(hard, scope).map(() => fieldInvalid(path, scopes, MISFIT_TEXT)));
  }
  if (conflictsIn(scopes)) errors.push(fieldInvalid(path, scopes, "conflicting scopes"));
  return errors;
}

function selectorErrors(hard: Amounts, terms: readonly Json[]): FieldError[] {
  const path = "spec.scopeSelector.matchExpressions";
  const errors: FieldError[] = [];
  for (const term of terms) {
    const scope = String(term["scopeName"] ?? "");
    const operator = String(term["operator"] ?? "");
    const count = listAt(term, "values").length;
    if (!SCOPES.has(scope)) errors.push(fieldInvalid(`${path}.scopeName`, scope, "unsupported scope"));
    errors.push(...misfits(hard, scope).map(() => fieldInvalid(path, terms, MISFIT_TEXT)));
    if (MUST_EXIST.has(scope) && operator !== "Exists")
      errors.push(fieldInvalid(`${path}.operator`, operator, MUST_EXIST_TEXT));
    if (operator === "In" || operator === "NotIn") {
      if (count === 0)
        errors.push(
          fieldRequired(
            `${path}.values`,
            "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
          ),
        );
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      if (count > 0)
        errors.push(
          fieldInvalid(
            `${path}.values`,
            term["values"],
            "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
          ),
        );
    } else errors.push(fieldInvalid(`${path}.operator`, operator, "not a valid selector operator"));
  }
  if (conflictsIn(terms.map(({ scopeName }) => String(scopeName))))
    errors.push(fieldInvalid(path, terms, "conflicting scopes"));
  return errors;
}

/** The scopes of a quota, in an order of their own. */
const scopesOf = (object: KubeObject) =>
  [...new Set(listAt(object, "spec.scopes") as unknown as readonly string[])].sort();

function quotaErrors(object: KubeObject): FieldError[] {
  const hard = (valueAt(object, "spec.hard") ?? {}) as Amounts;
  return [
    ...amountErrors(hard, "spec.hard"),
    ...scopeErrors(hard, listAt(object, "spec.scopes") as unknown as readonly string[]),
    ...selectorErrors(hard, listAt(object, "spec.scopeSelector.matchExpressions")),
  ];
}

/** What may be asked for should not be more than what may be used. */
const limitWarnings = (hard: Amounts): string[] =>
  ["cpu", "memory", "ephemeral-storage"].flatMap((name) => {
    const limit = hard[`limits.${name}`];
    return [name, `requests.${name}`].flatMap((asked) =>
      isMore(hard[asked], limit)
        ? [`ResourceQuota ${asked} (${hard[asked]}) should be less than limits.${name} (${limit})`]
        : [],
    );
  });

/** What a container is given when it says nothing follows from what it may have at most. */
function limitDefaults(item: Json): Json {
  if (item["type"] !== "Container") return item;
  const limits: Amounts = {
    ...((item["max"] ?? {}) as Amounts),
    ...(item["default"] as Amounts | undefined),
  };
  const requests: Amounts = {
    ...(item["min"] as Amounts | undefined),
    ...limits,
    ...(item["defaultRequest"] as Amounts | undefined),
  };
  const keep = (name: string, value: Amounts) => (Object.keys(value).length === 0 ? {} : { [name]: value });
  const next = { ...item, ...keep("default", limits), ...keep("defaultRequest", requests) };
  return deepEqual(next, item) ? item : next;
}

const LIMIT_TYPES = new Set(["Pod", "Container", "PersistentVolumeClaim"]);

function typeErrors(type: string, path: string): FieldError[] {
  const wrong = labelKeyErrors(type).map((text) => fieldInvalid(path, type, text));
  if (wrong.length > 0) return wrong;
  return LIMIT_TYPES.has(type) || type.includes("/")
    ? []
    : [fieldInvalid(path, type, "must be a standard limit type or fully qualified")];
}

function compare(left: string | undefined, right: string | undefined): number | undefined {
  const [a, b] = [parseQuantity(left ?? ""), parseQuantity(right ?? "")];
  return a === undefined || b === undefined ? undefined : compareQuantities(a, b);
}
const isMore = (left: string | undefined, right: string | undefined): boolean => (compare(left, right) ?? 0) > 0;

const PARTS = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] as const;

function limitErrors(object: KubeObject): FieldError[] {
  const wasThere = repetitions();
  return listAt(object, "spec.limits").flatMap((item, at) => {
    const path = `spec.limits[${at}]`;
    const type = String(item["type"] ?? "");
    const errors = typeErrors(type, `${path}.type`);
    if (wasThere(type)) errors.push(fieldDuplicate(`${path}.type`, type));
    const amounts = Object.fromEntries(PARTS.map((part) => [part, (item[part] ?? {}) as Amounts])) as Readonly<
      Record<(typeof PARTS)[number], Amounts>
    >;
    for (const part of ["max", "min"] as const) errors.push(...limitedErrors(type, amounts[part], `${path}.${part}`));
    if (type === "Pod")
      for (const part of ["default", "defaultRequest"])
        if (item[part] !== undefined)
          errors.push(fieldForbidden(`${path}.${part}`, "may not be specified when `type` is 'Pod'"));
    if (type !== "Pod")
      for (const part of ["default", "defaultRequest"] as const)
        errors.push(...limitedErrors(type, amounts[part], `${path}.${part}`));
    errors.push(...limitedErrors(type, amounts.maxLimitRequestRatio, `${path}.maxLimitRequestRatio`));
    if (
      type === "PersistentVolumeClaim" &&
      amounts.min["storage"] === undefined &&
      amounts.max["storage"] === undefined
    )
      errors.push(
        fieldRequired(
          `${path}.limits`,
          "either minimum or maximum storage value is required, but neither was provided",
        ),
      );
    const names = new Set(PARTS.flatMap((part) => Object.keys(amounts[part])));
    for (const name of [...names].sort()) errors.push(...orderErrors(name, amounts, path));
    return errors;
  });
}

const limitedErrors = (type: string, amounts: Amounts, path: string): FieldError[] =>
  Object.keys(amounts).flatMap((name) => {
    const where = `${path}[${name}]`;
    if (type === "Pod" || type === "Container") return containerResourceErrors(name, where);
    return name.includes("/") || isStandardResource(name)
      ? []
      : [fieldInvalid(where, name, "must be a standard resource type or fully qualified")];
  });

/** Bounds and defaults of one resource must be in order. */
function orderErrors(
  name: string,
  amounts: Readonly<Record<(typeof PARTS)[number], Amounts>>,
  path: string,
): FieldError[] {
  const [least, most] = [amounts.min[name], amounts.max[name]];
  const [asked, given, ratio] = [
    amounts.defaultRequest[name],
    amounts.default[name],
    amounts.maxLimitRequestRatio[name],
  ];
  const errors: FieldError[] = [];
  const wrong = (part: string, value: string | undefined, text: string) =>
    errors.push(fieldInvalid(`${path}.${part}[${name}]`, value, text));
  if (isMore(least, most)) wrong("min", least, `min value ${least} is greater than max value ${most}`);
  if (isMore(least, asked))
    wrong("defaultRequest", asked, `min value ${least} is greater than default request value ${asked}`);
  if (isMore(asked, most))
    wrong("defaultRequest", asked, `default request value ${asked} is greater than max value ${most}`);
  if (isMore(asked, given))
    wrong("defaultRequest", asked, `default request value ${asked} is greater than default limit value ${given}`);
  if (isMore(least, given)) wrong("default", least, `min value ${least} is greater than default value ${given}`);
  if (isMore(given, most)) wrong("default", most, `default value ${given} is greater than max value ${most}`);
  if (ratio !== undefined && compare(ratio, "1") === -1)
    wrong("maxLimitRequestRatio", ratio, `ratio ${ratio} is less than 1`);
  if (ratio !== undefined && least !== undefined && most !== undefined) {
    const quotient = Number(parseQuantity(most)?.nano ?? 0n) / Number(parseQuantity(least)?.nano ?? 1n);
    if (Number(parseQuantity(ratio)?.nano ?? 0n) / Number(NANO) > quotient)
      wrong("maxLimitRequestRatio", ratio, `ratio ${ratio} is greater than max/min = ${quotient.toFixed(6)}`);
  }
  if (given !== undefined && asked !== undefined && !canOvercommit(name) && compare(given, asked) !== 0)
    wrong("defaultRequest", asked, `default value ${given} must equal to defaultRequest value ${asked} in ${name}`);
  return errors;
}

export const quotaRules: Readonly<Record<string, Strategy>> = {
  ResourceQuota: {
    rulesAreWhole: true,
    returnsDeleted: true,
    validate: quotaErrors,
    validateUpdate: (object, old) =>
      deepEqual(scopesOf(object), scopesOf(old))
        ? []
        : [fieldInvalid("spec.scopes", heldAt(object, "spec.scopes"), "field is immutable")],
    warnings: (object) => limitWarnings((valueAt(object, "spec.hard") ?? {}) as Amounts),
    validateStatus: (object) => [
      ...amountErrors(valueAt(object, "status.hard"), "status.hard"),
      ...amountErrors(valueAt(object, "status.used"), "status.used"),
    ],
  },
  LimitRange: {
    rulesAreWhole: true,
    createsOnUpdate: true,
    applyDefaults: (object) => {
      const limits = listAt(object, "spec.limits");
      const next = limits.map(limitDefaults);
      return next.every((item, at) => item === limits[at]) ? object : setPath(object, ["spec", "limits"], next);
    },
    validate: limitErrors,
  },
};
