/** Where a pod may run: affinities, tolerations and spreading, in the order and the words of kube-apiserver. */
import {
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  LABEL_VALUE,
  LABEL_VALUE_TEXT,
  labelKeyErrors,
} from "#machinery";
import { labelSelectorErrors, listAt, repetitions, valueAt } from "./checks.ts";
import { dnsLabelErrors, subdomainErrorsAt } from "./name-checks.ts";
import type { Json } from "./pod-defaults.ts";

const keyErrors = (value: unknown, path: string): FieldError[] =>
  labelKeyErrors(String(value ?? "")).map((text) => fieldInvalid(path, value ?? "", text));

function labelValueErrors(value: unknown, path: string): FieldError[] {
  const text = String(value ?? "");
  return [
    ...(text.length > 63 ? [fieldInvalid(path, text, "must be no more than 63 bytes")] : []),
    ...(LABEL_VALUE.test(text) ? [] : [fieldInvalid(path, text, LABEL_VALUE_TEXT)]),
  ];
}

export function tolerationErrors(spec: Json, path: string): FieldError[] {
  return listAt(spec, "tolerations").flatMap((toleration, at) => {
    const where = `${path}.tolerations[${at}]`;
    const { key, operator, value, effect, tolerationSeconds } = toleration;
    const errors: FieldError[] = [];
    if (key) errors.push(...keyErrors(key, `${where}.key`));
    if (!key && operator !== "Exists")
      errors.push(
        fieldInvalid(
          `${where}.operator`,
          operator ?? "",
          'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        ),
      );
    if (tolerationSeconds !== undefined && effect !== "NoExecute")
      errors.push(
        fieldInvalid(`${where}.effect`, effect ?? "", "effect must be 'NoExecute' when `tolerationSeconds` is set"),
      );
    if (operator === "Exists") {
      if (value)
        errors.push(fieldInvalid(`${where}.operator`, value, "value must be empty when `operator` is 'Exists'"));
    } else if (operator === undefined || operator === "Equal")
      errors.push(...labelValueErrors(value, `${where}.operator`).slice(0, 1));
    else if (operator === "Gt" || operator === "Lt")
      errors.push(fieldNotSupported(`${where}.operator`, operator, ["Equal", "Exists", "Lt", "Gt"]));
    else errors.push(fieldNotSupported(`${where}.operator`, operator, ["Equal", "Exists"]));
    if (effect) errors.push(...taintEffectErrors(effect, `${where}.effect`, true));
    return errors;
  });
}

/** What a taint does; nothing means everything where `allowsEmpty`. */
export function taintEffectErrors(effect: unknown, path: string, allowsEmpty: boolean): FieldError[] {
  if (!effect) return allowsEmpty ? [] : [fieldRequired(path)];
  const allowed = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
  return allowed.includes(String(effect)) ? [] : [fieldNotSupported(path, effect, allowed)];
}

function requirementErrors(requirement: Json, path: string): FieldError[] {
  const { key, operator } = requirement;
  const count = listAt(requirement, "values").length;
  const errors: FieldError[] = [];
  switch (operator) {
    case "In":
    case "NotIn":
      if (count === 0)
        errors.push(fieldRequired(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      break;
    case "Exists":
    case "DoesNotExist":
      if (count > 0)
        errors.push(
          fieldForbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        );
      break;
    case "Gt":
    case "Lt":
      if (count !== 1)
        errors.push(fieldRequired(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
      break;
    default:
      errors.push(fieldInvalid(`${path}.operator`, operator ?? "", "not a valid selector operator"));
  }
  return [
    ...errors,
    ...keyErrors(key, `${path}.key`),
    ...(listAt(requirement, "values") as readonly unknown[]).flatMap((value, at) =>
      labelValueErrors(value, `${path}.values[${at}]`),
    ),
  ];
}

function fieldRequirementErrors(requirement: Json, path: string): FieldError[] {
  const { key, operator } = requirement;
  const values = listAt(requirement, "values") as unknown as readonly string[];
  const errors: FieldError[] = [];
  if (operator !== "In" && operator !== "NotIn")
    errors.push(fieldInvalid(`${path}.operator`, operator ?? "", "not a valid selector operator"));
  else if (values.length !== 1)
    errors.push(
      fieldRequired(
        `${path}.values`,
        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
      ),
    );
  if (key !== "metadata.name") errors.push(fieldInvalid(`${path}.key`, key ?? "", "not a valid field selector key"));
  else for (const [at, value] of values.entries()) errors.push(...subdomainErrorsAt(value, `${path}.values[${at}]`));
  return errors;
}

/** A term of a node selector. */
export const nodeTermErrors = (term: Json, path: string): FieldError[] => [
  ...listAt(term, "matchExpressions").flatMap((requirement, at) =>
    requirementErrors(requirement, `${path}.matchExpressions[${at}]`),
  ),
  ...listAt(term, "matchFields").flatMap((requirement, at) =>
    fieldRequirementErrors(requirement, `${path}.matchFields[${at}]`),
  ),
];

export function nodeSelectorErrors(selector: Json, path: string): FieldError[] {
  const terms = listAt(selector, "nodeSelectorTerms");
  return terms.length === 0
    ? [fieldRequired(`${path}.nodeSelectorTerms`, "must have at least one node selector term")]
    : terms.flatMap((term, at) => nodeTermErrors(term, `${path}.nodeSelectorTerms[${at}]`));
}

const REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution";

function weightErrors(term: Json, path: string): FieldError[] {
  const weight = Number(term["weight"] ?? 0);
  return weight < 1 || weight > 100 ? [fieldInvalid(`${path}.weight`, weight, "must be in the range 1-100")] : [];
}

function podTermErrors(term: Json, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const part of ["labelSelector", "namespaceSelector"])
    if (term[part] !== undefined) errors.push(...labelSelectorErrors(term[part], `${path}.${part}`));
  for (const name of listAt(term, "namespaces")) errors.push(...dnsLabelErrors(name, `${path}.namespace`));
  errors.push(...matchKeyErrors(term, path));
  if (!term["topologyKey"]) errors.push(fieldRequired(`${path}.topologyKey`, "can not be empty"));
  return [...errors, ...keyErrors(term["topologyKey"], `${path}.topologyKey`)];
}

function matchKeyErrors(term: Json, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const [match, mismatch] = ["matchLabelKeys", "mismatchLabelKeys"].map(
    (part) => listAt(term, part) as unknown as readonly string[],
  ) as [readonly string[], readonly string[]];
  for (const [part, keys] of [
    ["matchLabelKeys", match],
    ["mismatchLabelKeys", mismatch],
  ] as const) {
    if (keys.length === 0) continue;
    if (term["labelSelector"] === undefined) {
      errors.push(fieldForbidden(`${path}.${part}`, "must not be specified when labelSelector is not set"));
      continue;
    }
    for (const [at, key] of keys.entries()) errors.push(...keyErrors(key, `${path}.${part}[${at}]`));
  }
  for (const [at, key] of match.entries())
    if (mismatch.includes(key))
      errors.push(
        fieldInvalid(`${path}.matchLabelKeys[${at}]`, key, "exists in both matchLabelKeys and mismatchLabelKeys"),
      );
  return errors;
}

export function affinityErrors(spec: Json, path: string): FieldError[] {
  const affinity = (spec["affinity"] ?? {}) as Json;
  const where = `${path}.affinity`;
  const node = affinity["nodeAffinity"] as Json | undefined;
  const required = node?.[REQUIRED] as Json | undefined;
  return [
    ...(required === undefined ? [] : nodeSelectorErrors(required, `${where}.nodeAffinity.${REQUIRED}`)),
    ...listAt(node, PREFERRED).flatMap((term, at) => {
      const place = `${where}.nodeAffinity.${PREFERRED}[${at}]`;
      return [
        ...weightErrors(term, place),
        ...nodeTermErrors((term["preference"] ?? {}) as Json, `${place}.preference`),
      ];
    }),
    ...["podAffinity", "podAntiAffinity"].flatMap((part) => [
      ...listAt(affinity[part], REQUIRED).flatMap((term, at) =>
        podTermErrors(term, `${where}.${part}.${REQUIRED}[${at}]`),
      ),
      ...listAt(affinity[part], PREFERRED).flatMap((term, at) => {
        const place = `${where}.${part}.${PREFERRED}[${at}]`;
        return [
          ...weightErrors(term, place),
          ...podTermErrors((term["podAffinityTerm"] ?? {}) as Json, `${place}.podAffinityTerm`),
        ];
      }),
    ]),
  ];
}

export function spreadErrors(spec: Json, path: string): FieldError[] {
  const constraints = listAt(spec, "topologySpreadConstraints");
  return constraints.flatMap((constraint, at) => {
    const where = `${path}.topologySpreadConstraints[${at}]`;
    const { maxSkew, topologyKey, whenUnsatisfiable, minDomains } = constraint;
    const errors: FieldError[] = [];
    if (Number(maxSkew ?? 0) <= 0)
      errors.push(fieldInvalid(`${where}.maxSkew`, maxSkew ?? 0, "must be greater than zero"));
    if (!topologyKey) errors.push(fieldRequired(`${where}.topologyKey`, "can not be empty"));
    if (!["DoNotSchedule", "ScheduleAnyway"].includes(String(whenUnsatisfiable)))
      errors.push(
        fieldNotSupported(`${where}.whenUnsatisfiable`, whenUnsatisfiable ?? "", ["DoNotSchedule", "ScheduleAnyway"]),
      );
    const pair = (item: Json) => `{${String(item["topologyKey"])}, ${String(item["whenUnsatisfiable"])}}`;
    // Of two that are alike the first is named.
    if (constraints.slice(at + 1).some((other) => pair(other) === pair(constraint)))
      errors.push(fieldDuplicate(`${where}.{topologyKey, whenUnsatisfiable}`, pair(constraint)));
    if (minDomains !== undefined) {
      if (Number(minDomains) <= 0)
        errors.push(fieldInvalid(`${where}.minDomains`, minDomains, "must be greater than zero"));
      if (whenUnsatisfiable !== "DoNotSchedule")
        errors.push(
          fieldInvalid(
            `${where}.minDomains`,
            minDomains,
            `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${String(whenUnsatisfiable ?? "")}`,
          ),
        );
    }
    for (const policy of ["nodeAffinityPolicy", "nodeTaintsPolicy"])
      if (constraint[policy] !== undefined && !["Honor", "Ignore"].includes(String(constraint[policy])))
        errors.push(fieldNotSupported(`${where}.${policy}`, constraint[policy], ["Honor", "Ignore"]));
    const keys = listAt(constraint, "matchLabelKeys") as unknown as readonly string[];
    if (keys.length > 0 && constraint["labelSelector"] === undefined)
      errors.push(fieldForbidden(`${where}.matchLabelKeys`, "must not be specified when labelSelector is not set"));
    else
      for (const [number, key] of keys.entries()) errors.push(...keyErrors(key, `${where}.matchLabelKeys[${number}]`));
    if (constraint["labelSelector"] !== undefined)
      errors.push(...labelSelectorErrors(constraint["labelSelector"], `${where}.labelSelector`));
    return errors;
  });
}

export function gateErrors(spec: Json, path: string): FieldError[] {
  const wasThere = repetitions();
  return listAt(spec, "schedulingGates").flatMap(({ name }, at) => {
    const where = `${path}.schedulingGates[${at}]`;
    const errors = keyErrors(name, where);
    if (wasThere(name)) errors.push(fieldDuplicate(where, name));
    return errors;
  });
}

/** Readiness that others decide. */
export const readinessGateErrors = (spec: Json, path: string): FieldError[] =>
  listAt(spec, "readinessGates").flatMap((gate, at) =>
    keyErrors(valueAt(gate, "conditionType"), `${path}.readinessGates[${at}].conditionType`),
  );
