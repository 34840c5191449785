import {
  bool,
  CelBudgetError,
  type CelEnvironment,
  CelRuntimeError,
  type CelType,
  CostBudget,
  display,
  dyn,
  fromJson,
  type Program,
  string,
  type Value,
} from "#cel";
import { type ApiError, apiError, compileLabelSelector, type KubeObject, parseApiVersion } from "#machinery";
import { type AdmissionRequest, refusalOf } from "../admission.ts";
import type { Authorizer } from "../authorization/attributes.ts";
import type { ResourceDefinition } from "../definition.ts";
import type { ApiServer } from "../server.ts";
import { matchResources, namespaceOf, seenObjects } from "./matching.ts";
import {
  admissionEnvironment,
  admissionValues,
  compileConditions,
  compileStored,
  lazyVariables,
  namespaceType,
  type ScopeOptions,
} from "./scope.ts";
import type { BindingSpec, ParamRef, PolicySpec, Validation } from "./types.ts";
import { conditionsHold } from "./webhooks.ts";

/** A policy with its expressions compiled. */
export interface CompiledPolicy {
  readonly name: string;
  readonly spec: PolicySpec;
  readonly conditions: readonly (readonly [string, Program])[];
  readonly variables: readonly (readonly [string, Program])[];
  readonly validations: readonly CompiledValidation[];
  readonly auditAnnotations: readonly (readonly [string, Program])[];
  /** What mutations are compiled in; they are compiled by who runs them. */
  readonly environment: CelEnvironment;
}

interface CompiledValidation {
  readonly source: Validation;
  readonly program: Program;
  readonly message: Program | undefined;
}

export interface CompiledBinding {
  readonly name: string;
  readonly spec: BindingSpec;
}

export const compileBinding = (object: KubeObject): CompiledBinding => ({
  name: object.metadata.name ?? "",
  spec: (object as KubeObject & { spec?: BindingSpec }).spec ?? {},
});

/**
 * Variables see those before them, so each is compiled in an environment that knows their types. One that `compile` makes
 * nothing of is unknown to the others.
 */
export function compileVariables(
  list: PolicySpec["variables"],
  options: ScopeOptions,
  compile: (environment: CelEnvironment, source: string) => Program | undefined,
): {
  readonly programs: readonly (readonly [string, Program])[];
  readonly environment: CelEnvironment;
  /** What messages know: all but the rights of users. */
  readonly messages: CelEnvironment;
} {
  const types: Record<string, CelType> = {};
  const programs: (readonly [string, Program])[] = [];
  for (const { name, expression } of list ?? []) {
    const program = compile(admissionEnvironment({ ...options, variables: { ...types } }), expression);
    if (program === undefined) continue;
    types[name] = program.type;
    programs.push([name, program]);
  }
  // Where none is defined, nothing is called `variables`; expressions that make changes know the name all the same.
  const isKnown = (list ?? []).length > 0 || options.construct !== undefined;
  const known = isKnown ? { ...options, variables: types } : options;
  return {
    programs,
    environment: admissionEnvironment(known),
    messages: admissionEnvironment({ ...known, hasAuthorizer: false }),
  };
}

export const scopeOf = (spec: PolicySpec): ScopeOptions => ({
  hasParams: spec.paramKind !== undefined,
});

export function compilePolicy(object: KubeObject, options: ScopeOptions = {}): CompiledPolicy {
  const { spec = {} } = object as KubeObject & { spec?: PolicySpec };
  const { programs, environment, messages } = compileVariables(
    spec.variables,
    { ...scopeOf(spec), ...options },
    (own, source) => compileStored(own, source),
  );
  return {
    name: object.metadata.name ?? "",
    spec,
    conditions: compileConditions(spec.matchConditions, spec.paramKind !== undefined),
    variables: programs,
    validations: (spec.validations ?? []).map((source) => ({
      source,
      program: compileStored(environment, source.expression, bool),
      message:
        source.messageExpression === undefined || source.messageExpression === ""
          ? undefined
          : compileStored(messages, source.messageExpression, string),
    })),
    auditAnnotations: (spec.auditAnnotations ?? []).map(({ key, valueExpression }) => [
      key,
      compileStored(environment, valueExpression),
    ]),
    environment,
  };
}

/** One policy with one binding and one parameter object, about to look at a request. */
export interface Evaluation {
  readonly policy: CompiledPolicy;
  readonly binding: CompiledBinding;
  readonly matched: ResourceDefinition;
  readonly object: KubeObject | undefined;
  readonly values: Readonly<Record<string, Value>>;
  run(program: Program): Value;
}

export interface PolicyParts {
  readonly server: ApiServer;
  readonly authorizer: Authorizer;
}

export const isExpected = (error: unknown): error is Error =>
  error instanceof CelRuntimeError || error instanceof CelBudgetError;

/** A policy could not be looked at: its binding or its parameters are not what they should be. */
class ConfigurationError extends Error {
  override readonly name: string = "ConfigurationError";
}

/** The policy itself is not what it should be, whatever binds it. */
class PolicyConfigurationError extends ConfigurationError {}

/**
 * Gives an evaluation for each binding and parameter of a policy that the request concerns. What goes wrong before is
 * told to `onFailure` with the binding's name.
 */
export async function evaluationsOf(
  parts: PolicyParts,
  policy: CompiledPolicy,
  bindings: readonly CompiledBinding[],
  request: AdmissionRequest,
  onFailure: (binding: CompiledBinding, message: string, of: "policy" | "binding" | "conditions") => void,
): Promise<readonly Evaluation[]> {
  const { server, authorizer } = parts;
  const matched = matchResources(server, policy.spec.matchConstraints, request);
  if (matched === undefined) return [];
  const { object, oldObject } = seenObjects(server, request, matched);
  const facts = admissionValues(request, matched, { object, oldObject }, authorizer, server.random.uuid());
  const found: Evaluation[] = [];
  for (const binding of bindings) {
    if (binding.spec.policyName !== policy.name) continue;
    if (matchResources(server, binding.spec.matchResources, request) === undefined) continue;
    try {
      for (const params of await paramsOf(server, policy.spec, binding.spec.paramRef, request)) {
        const asked = { ...facts, params: params === undefined ? null : fromJson(params, dyn) };
        if (!conditionsHold(policy.conditions, asked)) continue;
        const base: Record<string, Value> = { ...asked, namespaceObject: namespaceValue(server, request) };
        const budget = new CostBudget();
        const values: Record<string, Value> = base;
        values["variables"] = lazyVariables(policy.variables, (program, variables) =>
          program.run({ ...base, variables }, budget),
        );
        found.push({ policy, binding, matched, object, values, run: (program) => program.run(values, budget) });
      }
    } catch (error) {
      if (!(error instanceof ConfigurationError) && !(error instanceof Error)) throw error;
      const { message } = error as Error;
      const of =
        error instanceof PolicyConfigurationError
          ? "policy"
          : error instanceof ConfigurationError
            ? "binding"
            : "conditions";
      onFailure(binding, of === "conditions" ? message : `failed to configure ${of}: ${message}`, of);
    }
  }
  return found;
}

function namespaceValue(server: ApiServer, request: AdmissionRequest): Value {
  if (!request.definition.kind.namespaced) return null;
  const found = namespaceOf(server, request);
  return found === undefined ? null : fromJson(found, namespaceType);
}

/** The parameter objects a binding names: one, several by selector, or none where none are asked for. */
async function paramsOf(
  server: ApiServer,
  spec: PolicySpec,
  ref: ParamRef | undefined,
  request: AdmissionRequest,
): Promise<readonly (KubeObject | undefined)[]> {
  if (spec.paramKind === undefined) return [undefined];
  if (ref === undefined) return [undefined];
  const { group, version } = parseApiVersion(spec.paramKind.apiVersion ?? "");
  const definition = server.registry.findKind(group, version, spec.paramKind.kind ?? "");
  if (definition === undefined)
    throw new PolicyConfigurationError(
      `failed to find resource referenced by paramKind: '${spec.paramKind.apiVersion}, Kind=${spec.paramKind.kind}'`,
    );
  const store = server.store(definition);
  await store.load();
  let namespace: string | undefined;
  if (definition.kind.namespaced) {
    namespace = ref.namespace || (request.definition.kind.namespaced ? request.namespace : undefined);
    if (namespace === undefined)
      throw new ConfigurationError(
        "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources",
      );
  } else if (ref.namespace)
    throw new ConfigurationError("paramRef.namespace must not be provided for a cluster-scoped `paramKind`");
  const shown = (object: KubeObject) => server.convert(object, definition);
  const objects: KubeObject[] = [];
  if (ref.name) {
    const object = store.get(namespace === undefined ? ref.name : `${namespace}/${ref.name}`)?.object;
    if (object !== undefined) objects.push(shown(object));
  } else {
    const selects = compileLabelSelector(ref.selector ?? {}) ?? (() => false);
    for (const [, { object }] of store.range(namespace))
      if (selects(object.metadata.labels)) objects.push(shown(object));
  }
  if (objects.length > 0) return objects;
  if (ref.parameterNotFoundAction === "Deny")
    throw new ConfigurationError("no params found for policy binding with `Deny` parameterNotFoundAction");
  return [];
}

interface Decision {
  readonly policy: CompiledPolicy;
  /** Undefined where no binding has to do with it. */
  readonly binding: CompiledBinding | undefined;
  readonly message: string;
  readonly reason: string | undefined;
  readonly index: number;
}

const MESSAGE_BYTES_MAX = 5 * 1024;

/** Runs all validating policies over a request: denies, warns or notes in the audit log what they find. */
export async function validateByPolicies(
  parts: PolicyParts,
  policies: readonly CompiledPolicy[],
  bindings: readonly CompiledBinding[],
  request: AdmissionRequest,
): Promise<void> {
  const denials: Decision[] = [];
  const audited: Decision[] = [];
  const notes = new Map<string, string[]>();
  const decide = (decision: Decision) => {
    for (const action of decision.binding?.spec.validationActions ?? []) {
      if (action === "Deny") denials.push(decision);
      else if (action === "Warn")
        request.warn(
          `Validation failed for ValidatingAdmissionPolicy '${decision.policy.name}' with binding '${decision.binding?.name ?? ""}': ${decision.message}`,
        );
      else audited.push(decision);
    }
  };
  for (const policy of policies) {
    const isForgiving = policy.spec.failurePolicy === "Ignore";
    const evaluations = await evaluationsOf(parts, policy, bindings, request, (binding, message, of) => {
      if (isForgiving) return;
      denials.push({ policy, binding: of === "policy" ? undefined : binding, message, reason: undefined, index: -1 });
    });
    for (const evaluation of evaluations) {
      for (const [index, validation] of policy.validations.entries()) {
        const outcome = runValidation(evaluation, validation, isForgiving);
        if (outcome !== undefined) decide({ policy, binding: evaluation.binding, index, ...outcome });
      }
      annotate(evaluation, notes, decide, isForgiving);
    }
  }
  for (const [key, values] of notes) request.annotate?.(key, values.join(", "));
  if (audited.length > 0)
    request.annotate?.(
      "validation.policy.admission.k8s.io/validation_failure",
      JSON.stringify(audited.map(auditEntry)),
    );
  const first = denials[0];
  if (first !== undefined) throw denial(request, first);
}

const auditEntry = ({ policy, binding, message, index }: Decision) => ({
  message,
  policy: policy.name,
  binding: binding?.name ?? "",
  expressionIndex: index,
  validationActions: binding?.spec.validationActions ?? [],
});

/** What a validation found wrong, or undefined when it holds. */
function runValidation(
  evaluation: Evaluation,
  { source, program, message }: CompiledValidation,
  isForgiving: boolean,
): { readonly message: string; readonly reason: string | undefined } | undefined {
  try {
    if (evaluation.run(program) === true) return undefined;
  } catch (error) {
    if (!isExpected(error)) throw error;
    if (isForgiving) return undefined;
    return {
      message: `expression '${source.expression.trim()}' resulted in error: ${error.message}`,
      reason: undefined,
    };
  }
  let text = source.message?.trim() || `failed expression: ${source.expression.trim()}`;
  if (message !== undefined) {
    // A message that cannot be made leaves the plain one.
    try {
      const made = evaluation.run(message);
      if (typeof made === "string" && made.trim() !== "" && !made.includes("\n") && made.length <= MESSAGE_BYTES_MAX)
        text = made.trim();
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
  }
  return { message: text, reason: source.reason };
}

function annotate(
  evaluation: Evaluation,
  notes: Map<string, string[]>,
  decide: (decision: Decision) => void,
  isForgiving: boolean,
): void {
  const { policy, binding } = evaluation;
  for (const [index, [key, program]] of policy.auditAnnotations.entries()) {
    try {
      const value = evaluation.run(program);
      if (value === null || value === "") continue;
      const name = `${policy.name}/${key}`;
      const known = notes.get(name) ?? [];
      if (!known.includes(display(value))) notes.set(name, [...known, display(value)]);
    } catch (error) {
      if (!isExpected(error)) throw error;
      if (!isForgiving)
        decide({
          policy,
          binding,
          index,
          reason: undefined,
          message: `valueExpression '${program.source.trim()}' resulted in error: ${error.message}`,
        });
    }
  }
}

const CODES: Readonly<Record<string, number>> = {
  Unauthorized: 401,
  Forbidden: 403,
  RequestEntityTooLarge: 413,
  Invalid: 422,
};

function denial(request: AdmissionRequest, { policy, binding, message, reason = "Invalid" }: Decision): ApiError {
  const by = binding === undefined ? "" : ` with binding '${binding.name}'`;
  const text = `ValidatingAdmissionPolicy '${policy.name}'${by} denied request: ${message}`;
  const { status } = refusalOf(request, text);
  return apiError(CODES[reason] ?? 422, reason, status.message ?? text, {
    ...status.details,
    causes: [{ message: text }],
  });
}
