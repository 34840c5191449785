/** What admission policies and their bindings must keep to. */
import { type CelEnvironment, type CelType, bool, dyn, nullType, string } from "#cel";
import {
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type KubeObject,
  label1035Errors,
  label1035Texts,
  labelKeyErrors,
  subdomainErrors,
} from "#machinery";
import { repetitions } from "../builtin/checks.ts";
import { conditionStatusErrors } from "../builtin/condition-checks.ts";
import { mutationResult, mutationSource, mutationType } from "./mutating-policies.ts";
import { compileVariables, scopeOf } from "./policies.ts";
import { conditionErrors, expressionErrors, oneOf, ruleErrors, selectorErrors } from "./rule-checks.ts";
import type { ScopeOptions } from "./scope.ts";
import type { BindingSpec, MatchResources, Mutation, ParamRef, PolicySpec } from "./types.ts";

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
const RESERVED = new Set(
  "true false null in as break const continue else for function if import let loop package namespace return var void while".split(
    " ",
  ),
);
const REASONS = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const NO_EXPRESSION = "expression is not specified";
const NONE_AT_ALL = "validations or auditAnnotations must contain at least one item";

export function policyErrors(object: KubeObject, isMutating: boolean): readonly FieldError[] {
  const { spec = {}, status } = object as KubeObject & { spec?: PolicySpec; status?: unknown };
  const options: ScopeOptions = { ...scopeOf(spec), ...(isMutating ? { construct: mutationType } : {}) };
  const { errors, environment, messages } = variableErrors(spec, options);
  return [
    ...oneOf(spec.failurePolicy, "spec.failurePolicy", ["Fail", "Ignore"]),
    ...paramKindErrors(spec.paramKind),
    ...constraintErrors(spec.matchConstraints, isMutating),
    ...conditionErrors(spec.matchConditions, "spec.matchConditions", spec.paramKind !== undefined),
    ...errors,
    ...(isMutating
      ? mutationErrors(spec, environment)
      : [
          ...validationErrors(spec, environment, messages),
          ...auditErrors(spec, environment, object.metadata.name ?? ""),
        ]),
    ...statusErrors(status),
  ];
}

function paramKindErrors(kind: PolicySpec["paramKind"]): FieldError[] {
  if (kind === undefined) return [];
  const { apiVersion, kind: name } = kind;
  const errors: FieldError[] = [];
  if (!apiVersion) errors.push(fieldRequired("spec.paramKind.apiVersion"));
  else if (apiVersion.split("/").length > 2)
    errors.push(fieldInvalid("spec.paramKind.apiVersion", apiVersion, `unexpected GroupVersion string: ${apiVersion}`));
  else {
    const [group, version = group] = apiVersion.split("/") as [string, string?];
    if (version !== group || apiVersion.includes("/"))
      errors.push(...subdomainErrors(group, "spec.paramKind.apiVersion"));
    errors.push(...label1035Errors(version, "spec.paramKind.apiVersion"));
  }
  if (!name) errors.push(fieldRequired("spec.paramKind.kind"));
  else
    errors.push(
      ...label1035Texts(name.toLowerCase()).map((text) =>
        fieldInvalid("spec.paramKind.kind", name, `may have mixed case, but should otherwise match: ${text}`),
      ),
    );
  return errors;
}

function matchErrors(match: MatchResources | undefined, field: string): FieldError[] {
  return [
    ...oneOf(match?.matchPolicy, `${field}.matchPolicy`, ["Equivalent", "Exact"]),
    ...selectorErrors(match?.namespaceSelector, `${field}.namespaceSelector`),
    ...selectorErrors(match?.objectSelector, `${field}.objectSelector`),
    ...ruleErrors(match?.resourceRules, `${field}.resourceRules`),
    ...ruleErrors(match?.excludeResourceRules, `${field}.excludeResourceRules`),
  ];
}

function constraintErrors(match: MatchResources | undefined, isMutating: boolean): FieldError[] {
  const field = "spec.matchConstraints";
  if (match === undefined) return [fieldRequired(field)];
  const rules = match.resourceRules ?? [];
  return [
    ...matchErrors(match, field),
    ...(rules.length === 0 ? [fieldRequired(`${field}.resourceRules`)] : []),
    ...(isMutating ? changingErrors(match, field) : []),
  ];
}

const CHANGING = ["*", "CONNECT", "CREATE", "UPDATE"];

/** What is deleted cannot be changed. */
const changingErrors = (match: MatchResources | undefined, field: string): FieldError[] =>
  (match?.resourceRules ?? [])
    .flatMap(({ operations }) => operations ?? [])
    .filter((one) => !CHANGING.includes(one))
    .map((one) => fieldNotSupported(`${field}.resourceRules.operations`, one, CHANGING));

/** Variables are checked one after the other; what comes behind knows those before it. */
function variableErrors(
  spec: PolicySpec,
  options: ScopeOptions,
): {
  readonly errors: readonly FieldError[];
  readonly environment: CelEnvironment;
  readonly messages: CelEnvironment;
} {
  const errors: FieldError[] = [];
  let at = 0;
  const { environment, messages } = compileVariables(spec.variables, options, (own, source) => {
    const name = spec.variables?.[at]?.name;
    const path = `spec.variables[${at++}]`;
    if (!name) errors.push(fieldRequired(`${path}.name`, "name is not specified"));
    else if (!IDENTIFIER.test(name) || RESERVED.has(name))
      errors.push(fieldInvalid(`${path}.name`, name, "must be a valid CEL identifier"));
    const wrong = expressionErrors(own, source, `${path}.expression`, [], NO_EXPRESSION);
    errors.push(...wrong);
    if (wrong.some(({ type }) => type === "FieldValueRequired")) return undefined;
    if (wrong.length > 0) return { source, type: dyn, estimatedCost: 0, run: () => null };
    return own.compile(source);
  });
  return { errors, environment, messages };
}

function validationErrors(spec: PolicySpec, environment: CelEnvironment, messages: CelEnvironment): FieldError[] {
  const { validations = [], auditAnnotations = [] } = spec;
  if (validations.length === 0 && auditAnnotations.length === 0)
    return [fieldRequired("spec.validations", NONE_AT_ALL), fieldRequired("spec.auditAnnotations", NONE_AT_ALL)];
  return validations.flatMap((one, at) => {
    const field = `spec.validations[${at}]`;
    const { message = "", messageExpression = "" } = one;
    const errors = expressionErrors(environment, one.expression, `${field}.expression`, [bool], NO_EXPRESSION);
    if (messageExpression !== "")
      errors.push(
        ...(messageExpression.trim() === ""
          ? [fieldInvalid(`${field}.messageExpression`, messageExpression, "must be non-empty if specified")]
          : expressionErrors(messages, messageExpression, `${field}.messageExpression`, [string], "")),
      );
    if (message !== "" && message.trim() === "")
      errors.push(fieldInvalid(`${field}.message`, message, "must be non-empty if specified"));
    else if (message.trim().includes("\n"))
      errors.push(fieldInvalid(`${field}.message`, message, "must not contain line breaks"));
    return [...errors, ...oneOf(one.reason, `${field}.reason`, REASONS)];
  });
}

function auditErrors(spec: PolicySpec, environment: CelEnvironment, policy: string): FieldError[] {
  const wasThere = repetitions();
  return (spec.auditAnnotations ?? []).flatMap(({ key = "", valueExpression }, at) => {
    const field = `spec.auditAnnotations[${at}]`;
    const whole = `${policy}/${key}`;
    const isTaken = wasThere(key);
    return [
      ...labelKeyErrors(whole).map((text) => fieldInvalid(`${field}.key`, whole, text)),
      ...expressionErrors(
        environment,
        valueExpression?.trim(),
        `${field}.valueExpression`,
        [string, nullType],
        "valueExpression is not specified",
        valueExpression,
      ),
      ...(isTaken ? [fieldDuplicate(`${field}.key`, key)] : []),
    ];
  });
}

function mutationErrors(spec: PolicySpec, environment: CelEnvironment): FieldError[] {
  const { mutations = [], reinvocationPolicy } = spec;
  return [
    ...(mutations.length === 0 ? [fieldRequired("spec.mutations", "mutations must contain at least one item")] : []),
    ...mutations.flatMap((mutation, at) => oneMutationErrors(mutation, `spec.mutations[${at}]`, environment)),
    ...(reinvocationPolicy
      ? oneOf(reinvocationPolicy, "spec.reinvocationPolicy", ["IfNeeded", "Never"])
      : [fieldRequired("spec.reinvocationPolicy")]),
  ];
}

function oneMutationErrors(mutation: Mutation, field: string, environment: CelEnvironment): FieldError[] {
  const { patchType } = mutation;
  if (!patchType) return [fieldRequired(`${field}.patchType`)];
  if (patchType !== "JSONPatch" && patchType !== "ApplyConfiguration")
    return [fieldNotSupported(`${field}.patchType`, patchType, ["ApplyConfiguration", "JSONPatch"])];
  const own = patchType === "JSONPatch" ? "jsonPatch" : "applyConfiguration";
  const other = patchType === "JSONPatch" ? "applyConfiguration" : "jsonPatch";
  const wanted: CelType = mutationResult(mutation);
  return [
    ...(mutation[own] === undefined
      ? [fieldRequired(`${field}.${own}`, `must be specified when patchType is ${patchType}`)]
      : expressionErrors(environment, mutationSource(mutation), `${field}.${own}.expression`, [wanted], "")),
    ...(mutation[other] === undefined
      ? []
      : [fieldInvalid(`${field}.${other}`, `{${other}}`, `must not be specified when patchType is ${patchType}`)]),
  ];
}

function statusErrors(status: unknown): FieldError[] {
  const { conditions, typeChecking } = (status ?? {}) as {
    readonly conditions?: readonly Readonly<Record<string, unknown>>[];
    readonly typeChecking?: {
      readonly expressionWarnings?: readonly { readonly fieldRef?: string; readonly warning?: string }[];
    };
  };
  const path = "status.typeChecking.expressionWarnings";
  return [
    ...(typeChecking?.expressionWarnings ?? []).flatMap(({ fieldRef, warning }, at) => [
      ...(warning ? [] : [fieldRequired(`${path}[${at}].warning`)]),
      ...(fieldRef ? [] : [fieldRequired(`${path}[${at}].fieldRef`)]),
    ]),
    ...conditionStatusErrors(conditions ?? [], "status.conditions"),
  ];
}

function paramErrors(ref: ParamRef | undefined): FieldError[] {
  if (ref === undefined) return [];
  const { name, selector, parameterNotFoundAction: action } = ref;
  const path = "spec.paramRef";
  const both = "name and selector are mutually exclusive";
  return [
    ...(name
      ? [
          ...["/", "%"]
            .filter((sign) => name.includes(sign))
            .map((sign) => fieldInvalid(`${path}.name`, name, `may not contain '${sign}'`)),
          ...(selector === undefined ? [] : [fieldForbidden(`${path}.name`, both)]),
        ]
      : []),
    ...(selector === undefined ? [] : selectorErrors(selector, `${path}.selector`)),
    ...(selector !== undefined && name ? [fieldForbidden(`${path}.selector`, both)] : []),
    ...(selector === undefined && !name ? [fieldRequired(path, "one of name or selector must be specified")] : []),
    ...(action
      ? oneOf(action, `${path}.parameterNotFoundAction`, ["Deny", "Allow"])
      : [fieldRequired(`${path}.parameterNotFoundAction`)]),
  ];
}

export function bindingErrors(object: KubeObject, isMutating: boolean): readonly FieldError[] {
  const { spec = {} } = object as KubeObject & { spec?: BindingSpec };
  const errors: FieldError[] = [
    ...(spec.policyName ? subdomainErrors(spec.policyName, "spec.policyName") : [fieldRequired("spec.policyName")]),
    ...paramErrors(spec.paramRef),
    ...matchErrors(spec.matchResources, "spec.matchResources"),
  ];
  if (isMutating) return [...errors, ...changingErrors(spec.matchResources, "spec.matchResources")];
  const actions = spec.validationActions ?? [];
  if (actions.length === 0)
    errors.push(fieldRequired("spec.validationActions", "at least one validation action is required"));
  for (const [at, action] of actions.entries()) {
    errors.push(...oneOf(action, `spec.validationActions[${at}]`, ["Audit", "Deny", "Warn"]));
    if (actions.indexOf(action) < at) errors.push(fieldDuplicate(`spec.validationActions[${at}]`, action));
  }
  if (actions.includes("Deny") && actions.includes("Warn"))
    errors.push(
      fieldInvalid(
        "spec.validationActions",
        actions,
        "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
      ),
    );
  return errors;
}
