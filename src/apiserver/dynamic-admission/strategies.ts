import { X509Certificate } from "node:crypto";
import { bool, CelCompileError, CelTypeError, type CelEnvironment, type CelType, string } from "#cel";
import {
  DNS_SUBDOMAIN,
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooMany,
  type KubeObject,
} from "#machinery";
import type { ResourceDefinition, Strategy } from "../definition.ts";
import { mutationResult, mutationSource, mutationType } from "./mutating-policies.ts";
import { compileVariables, scopeOf } from "./policies.ts";
import { conditionEnvironment, type ScopeOptions } from "./scope.ts";
import type {
  BindingSpec,
  MatchCondition,
  MatchResources,
  ParamRef,
  PolicySpec,
  Rule,
  Webhook,
  WebhookClientConfig,
} from "./types.ts";

type Json = Readonly<Record<string, unknown>>;

const fill = (value: Json, defaults: Json): Json => {
  const missing = Object.entries(defaults).filter(
    ([key, fallback]) => value[key] === undefined && fallback !== undefined,
  );
  return missing.length === 0 ? value : { ...value, ...Object.fromEntries(missing) };
};

const withScope = (rules: readonly Rule[] | undefined) =>
  rules?.map((rule) => fill(rule as Json, { scope: "*" }) as Rule);

function defaultWebhooks(object: KubeObject, isMutating: boolean): KubeObject {
  const { webhooks } = object as KubeObject & { webhooks?: readonly Webhook[] };
  if (webhooks === undefined) return object;
  const filled = webhooks.map((hook) => {
    const { service } = hook.clientConfig ?? {};
    const known: Json = fill(hook as unknown as Json, {
      failurePolicy: "Fail",
      matchPolicy: "Equivalent",
      namespaceSelector: {},
      objectSelector: {},
      timeoutSeconds: 10,
      ...(isMutating ? { reinvocationPolicy: "Never" } : {}),
    });
    return {
      ...known,
      ...(hook.rules === undefined ? {} : { rules: withScope(hook.rules) }),
      ...(service === undefined
        ? {}
        : { clientConfig: { ...hook.clientConfig, service: fill(service as Json, { port: 443 }) } }),
    };
  });
  return { ...object, webhooks: filled } as KubeObject;
}

function defaultMatch(match: MatchResources | undefined): MatchResources | undefined {
  if (match === undefined) return undefined;
  const filled = fill(match as Json, { matchPolicy: "Equivalent", namespaceSelector: {}, objectSelector: {} });
  return {
    ...filled,
    ...(match.resourceRules === undefined ? {} : { resourceRules: withScope(match.resourceRules) }),
    ...(match.excludeResourceRules === undefined
      ? {}
      : { excludeResourceRules: withScope(match.excludeResourceRules) }),
  } as MatchResources;
}

function defaultPolicy(object: KubeObject): KubeObject {
  const { spec } = object as KubeObject & { spec?: PolicySpec };
  if (spec === undefined) return object;
  const matchConstraints = defaultMatch(spec.matchConstraints);
  return {
    ...object,
    spec: {
      ...fill(spec as Json, { failurePolicy: "Fail" }),
      ...(matchConstraints === undefined ? {} : { matchConstraints }),
    },
  } as KubeObject;
}

function defaultBinding(object: KubeObject): KubeObject {
  const { spec } = object as KubeObject & { spec?: BindingSpec };
  const matchResources = defaultMatch(spec?.matchResources);
  return matchResources === undefined ? object : ({ ...object, spec: { ...spec, matchResources } } as KubeObject);
}

const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const CONDITIONS_MAX = 64;

/** The mistake of an expression, as an error of its field. */
function expressionErrors(
  environment: CelEnvironment,
  source: string | undefined,
  field: string,
  wanted?: CelType,
): FieldError[] {
  if (source === undefined || source.trim() === "") return [fieldRequired(field, "expression is not specified")];
  try {
    environment.compile(source, wanted);
    return [];
  } catch (error) {
    if (error instanceof CelTypeError) return [fieldInvalid(field, source, error.message)];
    if (error instanceof CelCompileError) return [fieldInvalid(field, source, `compilation failed: ${error.message}`)];
    throw error;
  }
}

function conditionErrors(list: readonly MatchCondition[] | undefined, field: string, hasParams: boolean): FieldError[] {
  if (list === undefined) return [];
  const errors: FieldError[] = list.length > CONDITIONS_MAX ? [fieldTooMany(field, list.length, CONDITIONS_MAX)] : [];
  const seen = new Set<string>();
  for (const [at, { name, expression }] of list.entries()) {
    if (!name) errors.push(fieldRequired(`${field}[${at}].name`));
    else if (seen.has(name)) errors.push(fieldDuplicate(`${field}[${at}].name`, name));
    else if (!QUALIFIED.test(name.split("/").at(-1) as string))
      errors.push(fieldInvalid(`${field}[${at}].name`, name, "must be a qualified name"));
    seen.add(name);
    errors.push(...expressionErrors(conditionEnvironment(hasParams), expression, `${field}[${at}].expression`, bool));
  }
  return errors;
}

const OPERATIONS = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

function ruleErrors(rules: readonly Rule[] | undefined, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [at, rule] of (rules ?? []).entries()) {
    const path = `${field}[${at}]`;
    for (const key of ["operations", "apiGroups", "apiVersions", "resources"] as const) {
      const list = rule[key] ?? [];
      if (list.length === 0) errors.push(fieldRequired(`${path}.${key}`));
      if (key !== "resources" && list.length > 1 && list.includes("*"))
        errors.push(fieldInvalid(`${path}.${key}`, list, `if '*' is present, must not specify other ${WORDS[key]}`));
      if (key !== "apiGroups" && list.includes("")) errors.push(fieldRequired(`${path}.${key}[${list.indexOf("")}]`));
    }
    for (const [index, operation] of (rule.operations ?? []).entries())
      if (!OPERATIONS.includes(operation))
        errors.push(fieldNotSupported(`${path}.operations[${index}]`, operation, OPERATIONS));
    if (rule.scope !== undefined && !["*", "Cluster", "Namespaced"].includes(rule.scope))
      errors.push(fieldNotSupported(`${path}.scope`, rule.scope, ["*", "Cluster", "Namespaced"]));
    errors.push(...resourceErrors(rule.resources ?? [], `${path}.resources`));
  }
  return errors;
}

const WORDS = { operations: "operations", apiGroups: "API groups", apiVersions: "API versions" } as const;

function resourceErrors(resources: readonly string[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (resources.includes("*/*") && resources.length > 1)
    errors.push(fieldInvalid(field, resources, "if '*/*' is present, must not specify other resources"));
  if (resources.includes("*") && resources.some((one) => one !== "*" && !one.includes("/")))
    errors.push(
      fieldInvalid(field, resources, "if '*' is present, must not specify other resources without subresources"),
    );
  return errors;
}

function clientErrors(config: WebhookClientConfig | undefined, field: string): FieldError[] {
  const { url, service, caBundle } = config ?? {};
  const errors: FieldError[] = [];
  if ((url === undefined) === (service === undefined))
    errors.push(fieldRequired(field, "exactly one of url or service is required"));
  else if (url !== undefined) errors.push(...urlErrors(url, `${field}.url`));
  else if (service !== undefined) {
    if (!service.name) errors.push(fieldRequired(`${field}.service.name`, "service name is required"));
    if (!service.namespace) errors.push(fieldRequired(`${field}.service.namespace`, "service namespace is required"));
    const port = service.port ?? 443;
    if (!Number.isInteger(port) || port < 1 || port > 65_535)
      errors.push(
        fieldInvalid(`${field}.service.port`, port, "port is not valid: must be between 1 and 65535, inclusive"),
      );
    if (service.path !== undefined && !service.path.startsWith("/"))
      errors.push(fieldInvalid(`${field}.service.path`, service.path, "must start with a '/'"));
  }
  if (caBundle) {
    try {
      new X509Certificate(Buffer.from(caBundle, "base64"));
    } catch {
      errors.push(
        fieldInvalid(
          `${field}.caBundle`,
          caBundle,
          "unable to load root certificates: unable to parse bytes as PEM block",
        ),
      );
    }
  }
  return errors;
}

function urlErrors(text: string, field: string): FieldError[] {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return [
      fieldRequired(
        field,
        `url must be a valid URL: parse ${JSON.stringify(text)}: invalid URI for request; desired format: https://host[/path]`,
      ),
    ];
  }
  const errors: FieldError[] = [];
  if (url.protocol !== "https:")
    errors.push(
      fieldInvalid(
        field,
        url.protocol.replace(/:$/, ""),
        "'https' is the only allowed URL scheme; desired format: https://host[/path]",
      ),
    );
  if (url.host === "")
    errors.push(fieldInvalid(field, "", "host must be specified; desired format: https://host[/path]"));
  if (url.username !== "" || url.password !== "")
    errors.push(fieldInvalid(field, url.username, "user information is not permitted in the URL"));
  if (url.hash !== "") errors.push(fieldInvalid(field, url.hash.slice(1), "fragments are not permitted in the URL"));
  if (url.search !== "")
    errors.push(fieldInvalid(field, url.search.slice(1), "query parameters are not permitted in the URL"));
  return errors;
}

function oneOf(value: string | undefined, field: string, supported: readonly string[]): FieldError[] {
  return value === undefined || supported.includes(value) ? [] : [fieldNotSupported(field, value, supported)];
}

function webhookErrors(object: KubeObject): readonly FieldError[] {
  const { webhooks = [] } = object as KubeObject & { webhooks?: readonly Webhook[] };
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [at, hook] of webhooks.entries()) {
    const field = `webhooks[${at}]`;
    if (!hook.name) errors.push(fieldRequired(`${field}.name`));
    else if (!DNS_SUBDOMAIN.test(hook.name) || hook.name.split(".").length < 3)
      errors.push(
        fieldInvalid(`${field}.name`, hook.name, "should be a domain with at least three segments separated by dots"),
      );
    if (seen.has(hook.name)) errors.push(fieldDuplicate(`${field}.name`, hook.name));
    seen.add(hook.name);
    const versions = hook.admissionReviewVersions ?? [];
    if (versions.length === 0)
      errors.push(fieldRequired(`${field}.admissionReviewVersions`, "must specify one of v1, v1beta1"));
    else if (!versions.includes("v1"))
      errors.push(
        fieldInvalid(`${field}.admissionReviewVersions`, versions, "must include at least one of v1, v1beta1"),
      );
    if (hook.sideEffects === undefined || hook.sideEffects === "")
      errors.push(fieldRequired(`${field}.sideEffects`, "must specify one of None, NoneOnDryRun"));
    else errors.push(...oneOf(hook.sideEffects, `${field}.sideEffects`, ["None", "NoneOnDryRun"]));
    errors.push(
      ...ruleErrors(hook.rules, `${field}.rules`),
      ...oneOf(hook.failurePolicy, `${field}.failurePolicy`, ["Fail", "Ignore"]),
      ...oneOf(hook.matchPolicy, `${field}.matchPolicy`, ["Equivalent", "Exact"]),
      ...oneOf(hook.reinvocationPolicy, `${field}.reinvocationPolicy`, ["IfNeeded", "Never"]),
    );
    const seconds = hook.timeoutSeconds ?? 10;
    if (seconds < 1 || seconds > 30)
      errors.push(
        fieldInvalid(`${field}.timeoutSeconds`, seconds, "the timeout value must be between 1 and 30 seconds"),
      );
    errors.push(
      ...clientErrors(hook.clientConfig, `${field}.clientConfig`),
      ...conditionErrors(hook.matchConditions, `${field}.matchConditions`, false),
    );
  }
  return errors;
}

function matchErrors(match: MatchResources | undefined, field: string): FieldError[] {
  return [
    ...ruleErrors(match?.resourceRules, `${field}.resourceRules`),
    ...ruleErrors(match?.excludeResourceRules, `${field}.excludeResourceRules`),
    ...oneOf(match?.matchPolicy, `${field}.matchPolicy`, ["Equivalent", "Exact"]),
  ];
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

function policyErrors(object: KubeObject, isMutating: boolean): readonly FieldError[] {
  const { spec = {} } = object as KubeObject & { spec?: PolicySpec };
  const options: ScopeOptions = { ...scopeOf(spec), ...(isMutating ? { construct: mutationType } : {}) };
  const errors: FieldError[] = [...oneOf(spec.failurePolicy, "spec.failurePolicy", ["Fail", "Ignore"])];
  if (spec.paramKind !== undefined) {
    if (!spec.paramKind.apiVersion) errors.push(fieldRequired("spec.paramKind.apiVersion"));
    if (!spec.paramKind.kind) errors.push(fieldRequired("spec.paramKind.kind"));
  }
  if (spec.matchConstraints === undefined) errors.push(fieldRequired("spec.matchConstraints"));
  else {
    if ((spec.matchConstraints.resourceRules ?? []).length === 0)
      errors.push(fieldRequired("spec.matchConstraints.resourceRules"));
    errors.push(...matchErrors(spec.matchConstraints, "spec.matchConstraints"));
  }
  errors.push(...conditionErrors(spec.matchConditions, "spec.matchConditions", spec.paramKind !== undefined));
  const variableErrors: FieldError[] = [];
  const names = new Set<string>();
  for (const [at, { name }] of (spec.variables ?? []).entries()) {
    if (!name) variableErrors.push(fieldRequired(`spec.variables[${at}].name`, "name is not specified"));
    else if (!IDENTIFIER.test(name))
      variableErrors.push(fieldInvalid(`spec.variables[${at}].name`, name, "name is not a valid CEL identifier"));
    if (names.has(name)) variableErrors.push(fieldDuplicate(`spec.variables[${at}].name`, name));
    names.add(name);
  }
  let position = 0;
  let environment: CelEnvironment | undefined;
  if (variableErrors.length === 0)
    ({ environment } = compileVariables(spec.variables, options, (own, source) => {
      variableErrors.push(...expressionErrors(own, source, `spec.variables[${position++}].expression`));
      if (variableErrors.length > 0) return { source, type: DYN, estimatedCost: 0, run: () => null };
      return own.compile(source);
    }));
  errors.push(...variableErrors);
  if (variableErrors.length > 0 || environment === undefined) return errors;
  return [...errors, ...(isMutating ? mutationErrors(spec, environment) : validationErrors(spec, environment))];
}

const DYN: CelType = { kind: "simple", name: "dyn" };
const REASONS = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];

function validationErrors(spec: PolicySpec, environment: CelEnvironment): FieldError[] {
  const errors: FieldError[] = [];
  const { validations = [], auditAnnotations = [] } = spec;
  if (validations.length === 0 && auditAnnotations.length === 0)
    errors.push(
      fieldRequired("spec.validations", "validations or auditAnnotations must contain at least one item"),
      fieldRequired("spec.auditAnnotations", "validations or auditAnnotations must contain at least one item"),
    );
  for (const [at, one] of validations.entries()) {
    const field = `spec.validations[${at}]`;
    errors.push(...expressionErrors(environment, one.expression, `${field}.expression`, bool));
    if (one.messageExpression !== undefined && one.messageExpression !== "")
      errors.push(...expressionErrors(environment, one.messageExpression, `${field}.messageExpression`, string));
    if (one.message !== undefined && one.message.trim() === "")
      errors.push(fieldInvalid(`${field}.message`, one.message, "message must be non-empty if specified"));
    else if (one.message?.trim().includes("\n"))
      errors.push(fieldInvalid(`${field}.message`, one.message, "message must not contain line breaks"));
    else if (one.expression?.trim().includes("\n") && one.message === undefined)
      errors.push(fieldRequired(`${field}.message`, "message must be specified if expression contains line breaks"));
    errors.push(...oneOf(one.reason, `${field}.reason`, REASONS));
  }
  const keys = new Set<string>();
  for (const [at, { key, valueExpression }] of auditAnnotations.entries()) {
    if (!key) errors.push(fieldRequired(`spec.auditAnnotations[${at}].key`));
    else if (!QUALIFIED.test(key))
      errors.push(fieldInvalid(`spec.auditAnnotations[${at}].key`, key, "must be a qualified name"));
    if (keys.has(key)) errors.push(fieldDuplicate(`spec.auditAnnotations[${at}].key`, key));
    keys.add(key);
    errors.push(...expressionErrors(environment, valueExpression, `spec.auditAnnotations[${at}].valueExpression`));
  }
  return errors;
}

function mutationErrors(spec: PolicySpec, environment: CelEnvironment): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.reinvocationPolicy === undefined || spec.reinvocationPolicy === "")
    errors.push(fieldRequired("spec.reinvocationPolicy"));
  else errors.push(...oneOf(spec.reinvocationPolicy, "spec.reinvocationPolicy", ["IfNeeded", "Never"]));
  if ((spec.mutations ?? []).length === 0)
    errors.push(fieldRequired("spec.mutations", "mutations must contain at least one item"));
  for (const [at, mutation] of (spec.mutations ?? []).entries()) {
    const field = `spec.mutations[${at}]`;
    const { patchType } = mutation;
    if (patchType !== "JSONPatch" && patchType !== "ApplyConfiguration") {
      errors.push(
        patchType
          ? fieldNotSupported(`${field}.patchType`, patchType, ["ApplyConfiguration", "JSONPatch"])
          : fieldRequired(`${field}.patchType`),
      );
      continue;
    }
    const [own, other] =
      patchType === "JSONPatch"
        ? (["jsonPatch", "applyConfiguration"] as const)
        : (["applyConfiguration", "jsonPatch"] as const);
    if (mutation[other] !== undefined)
      errors.push(fieldForbidden(`${field}.${other}`, `must not be set when patchType is ${patchType}`));
    if (mutation[own] === undefined)
      errors.push(fieldRequired(`${field}.${own}`, `must be specified when patchType is ${patchType}`));
    else
      errors.push(
        ...expressionErrors(
          environment,
          mutationSource(mutation),
          `${field}.${own}.expression`,
          mutationResult(mutation),
        ),
      );
  }
  return errors;
}

function paramErrors(ref: ParamRef | undefined): FieldError[] {
  if (ref === undefined) return [];
  const errors: FieldError[] = [];
  if (ref.name && ref.selector !== undefined)
    errors.push(
      fieldForbidden("spec.paramRef.name", "name and selector are mutually exclusive"),
      fieldForbidden("spec.paramRef.selector", "name and selector are mutually exclusive"),
    );
  else if (!ref.name && ref.selector === undefined)
    errors.push(fieldRequired("spec.paramRef", "one of name or selector must be specified"));
  if (!ref.parameterNotFoundAction) errors.push(fieldRequired("spec.paramRef.parameterNotFoundAction"));
  else errors.push(...oneOf(ref.parameterNotFoundAction, "spec.paramRef.parameterNotFoundAction", ["Allow", "Deny"]));
  return errors;
}

function bindingErrors(object: KubeObject, isMutating: boolean): readonly FieldError[] {
  const { spec = {} } = object as KubeObject & { spec?: BindingSpec };
  const errors: FieldError[] = [];
  if (!spec.policyName) errors.push(fieldRequired("spec.policyName"));
  else if (!DNS_SUBDOMAIN.test(spec.policyName))
    errors.push(fieldInvalid("spec.policyName", spec.policyName, "must be the name of a policy"));
  errors.push(...paramErrors(spec.paramRef), ...matchErrors(spec.matchResources, "spec.matchResources"));
  if (isMutating) return errors;
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

const webhookStrategy = (isMutating: boolean): Strategy => ({
  applyDefaults: (object) => defaultWebhooks(object, isMutating),
  validate: webhookErrors,
});
const policyStrategy = (isMutating: boolean): Strategy => ({
  applyDefaults: defaultPolicy,
  validate: (object) => policyErrors(object, isMutating),
});
const bindingStrategy = (isMutating: boolean): Strategy => ({
  applyDefaults: defaultBinding,
  validate: (object) => bindingErrors(object, isMutating),
});

const GROUP = "admissionregistration.k8s.io";

const strategies: Readonly<Record<string, Strategy>> = {
  [`${GROUP}/MutatingWebhookConfiguration`]: webhookStrategy(true),
  [`${GROUP}/ValidatingWebhookConfiguration`]: webhookStrategy(false),
  [`${GROUP}/ValidatingAdmissionPolicy`]: policyStrategy(false),
  [`${GROUP}/ValidatingAdmissionPolicyBinding`]: bindingStrategy(false),
  [`${GROUP}/MutatingAdmissionPolicy`]: policyStrategy(true),
  [`${GROUP}/MutatingAdmissionPolicyBinding`]: bindingStrategy(true),
};

/** Gives the kinds of admission what they do beyond their schema. */
export function withAdmissionStrategy(definition: ResourceDefinition): ResourceDefinition {
  const own = strategies[`${definition.kind.group}/${definition.kind.kind}`];
  return own === undefined ? definition : { ...definition, strategy: { ...definition.strategy, ...own } };
}
