import {
  CelMap,
  CelRuntimeError,
  type CelType,
  display,
  dyn,
  listOf,
  objectTypeName,
  objectTypeOf,
  type ObjectType,
  type Program,
  string,
  toJson,
  type Value,
} from "#cel";
import { deepEqual } from "#base";
import {
  apiError,
  applyJsonPatch,
  isJsonObject,
  type JsonPatchOperation,
  type KubeObject,
  PatchError,
} from "#machinery";
import { type AdmissionRequest, refusalOf } from "../admission.ts";
import { mergeApplied, typedErrors } from "../apply/typed.ts";
import type { ResourceDefinition } from "../definition.ts";
import { decodingMistake } from "../verbs/body.ts";
import { ownedKindOf } from "../verbs/field-owners.ts";
import { takenObject } from "./matching.ts";
import {
  type CompiledBinding,
  type CompiledPolicy,
  compilePolicy,
  type Evaluation,
  evaluationsOf,
  isExpected,
  type PolicyParts,
} from "./policies.ts";
import { compileStored } from "./scope.ts";
import type { Mutation, PolicySpec } from "./types.ts";

const JSON_PATCH = objectTypeOf({ op: string, path: string, from: string, value: dyn }, "JSONPatch");

/** A message type whose fields may be anything: objects of policies are checked when their schema is known. */
const anyObject = (name: string): ObjectType => ({
  kind: "object",
  name,
  field: () => dyn,
  member: (field) => field,
});

/** `JSONPatch`, and `Object` with every type below it (`Object.spec.template`). */
export function mutationType(name: string): ObjectType | undefined {
  if (name === "JSONPatch") return JSON_PATCH;
  return name === "Object" || name.startsWith("Object.") ? anyObject(name) : undefined;
}

export interface CompiledMutatingPolicy extends CompiledPolicy {
  readonly mutations: readonly { readonly source: Mutation; readonly program: Program }[];
}

export const mutationSource = ({ patchType, jsonPatch, applyConfiguration }: Mutation): string =>
  (patchType === "JSONPatch" ? jsonPatch?.expression : applyConfiguration?.expression) ?? "";
export const mutationResult = ({ patchType }: Mutation): CelType =>
  patchType === "JSONPatch" ? listOf(JSON_PATCH) : anyObject("Object");

export function compileMutatingPolicy(object: KubeObject): CompiledMutatingPolicy {
  const compiled = compilePolicy(object, { construct: mutationType });
  const { mutations = [] } = (object as KubeObject & { spec?: PolicySpec }).spec ?? {};
  return {
    ...compiled,
    mutations: mutations.map((source) => ({
      source,
      program: compileStored(compiled.environment, mutationSource(source), mutationResult(source)),
    })),
  };
}

/** Runs one mutating policy over a request; gives the object to go on with. */
export async function mutateByPolicy(
  parts: PolicyParts,
  policy: CompiledMutatingPolicy,
  bindings: readonly CompiledBinding[],
  request: AdmissionRequest,
): Promise<KubeObject | undefined> {
  if (request.object === undefined) return undefined;
  const isForgiving = policy.spec.failurePolicy === "Ignore";
  const refuse = (binding: CompiledBinding, message: string, why: "Forbidden" | "Invalid") => {
    const text = `policy '${policy.name}' with binding '${binding.name}' denied request: ${message}`;
    const { code, details } = refusalOf(request, text, true).status;
    return apiError(code ?? 403, why, text, { ...details, causes: [{ message: text }] });
  };
  let failure: Error | undefined;
  let current = request;
  // Bindings and parameters follow one another; each sees what the one before it made.
  const names = bindings.filter(({ spec }) => spec.policyName === policy.name);
  for (const binding of names) {
    const evaluated = () =>
      evaluationsOf(parts, policy, [binding], current, (own, message, of) => {
        failure ??= refuse(own, message, of === "conditions" ? "Invalid" : "Forbidden");
      });
    let evaluations = await evaluated();
    if (failure !== undefined && !isForgiving) throw failure;
    for (let at = 0; at < evaluations.length; at++) {
      const evaluation = evaluations[at] as Evaluation;
      try {
        const made = runMutations(evaluation, policy);
        if (made === evaluation.object || made === undefined) continue;
        const mistake = decodingMistake(evaluation.matched, made);
        if (mistake !== undefined) throw mistake;
        const before = { ...current, object: current.object as KubeObject };
        const object = takenObject(parts.server, before, evaluation.matched, evaluation.object as KubeObject, made);
        current = { ...current, object };
      } catch (error) {
        if (!isExpected(error) && !(error instanceof PatchError)) throw error;
        if (!isForgiving) throw refuse(binding, error.message, "Invalid");
        continue;
      }
      // The next parameter's turn is about what this one made.
      if (at + 1 < evaluations.length) evaluations = await evaluated();
    }
  }
  return current.object;
}

function runMutations(evaluation: Evaluation, policy: CompiledMutatingPolicy): KubeObject | undefined {
  if (evaluation.object === undefined) return undefined;
  let object: KubeObject = evaluation.object;
  for (const { source, program } of policy.mutations) {
    let value: Value;
    try {
      value = evaluation.run(program);
    } catch (error) {
      if (!isExpected(error)) throw error;
      throw new CelRuntimeError(`expression '${program.source.trim()}' resulted in error: ${error.message}`);
    }
    if (source.patchType !== "JSONPatch") checkTypeNames(value, "Object");
    const made = toJson(value);
    const next: KubeObject =
      source.patchType === "JSONPatch" ? patched(object, made) : applied(object, made, evaluation.matched);
    object = deepEqual(next, object) ? object : next;
  }
  return object;
}

/** Objects are written as the types of the fields they stand in: `Object.spec` in the field `spec`. */
function checkTypeNames(value: Value, expected: string): void {
  const name = objectTypeName(value);
  if (name !== undefined && name !== expected)
    throw new CelRuntimeError(
      `type mismatch: unexpected type name ${JSON.stringify(name)}, expected ${JSON.stringify(expected)}, which matches field name path from root Object type`,
    );
  if (name !== undefined && value instanceof CelMap)
    for (const key of value.keys()) checkTypeNames(value.get(key) ?? null, `${expected}.${display(key)}`);
  // Items of a list have the list's name.
  if (Array.isArray(value)) for (const item of value as readonly Value[]) checkTypeNames(item, expected);
}

function patched(object: KubeObject, made: unknown): KubeObject {
  if (!Array.isArray(made) || !made.every(isJsonObject))
    throw new CelRuntimeError("type mismatch: JSONPatchType.JSONPatch expression must return a list of JSONPatch");
  try {
    return applyJsonPatch<KubeObject>(object, made as unknown as readonly JsonPatchOperation[]);
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    // A test that fails leaves the object as it was.
    if (error.message.endsWith("test failed")) return object;
    throw new CelRuntimeError(`JSON Patch: ${error.message}`);
  }
}

function applied(object: KubeObject, made: unknown, definition: ResourceDefinition): KubeObject {
  if (!isJsonObject(made)) throw new CelRuntimeError("an ApplyConfiguration expression must return an Object");
  const { apiVersion: _apiVersion, kind: _kind, ...wanted } = made;
  const { schema } = ownedKindOf(definition);
  const wrong = typedErrors(wanted, schema);
  if (wrong.length > 0)
    throw new CelRuntimeError(
      `error applying patch: failed to convert patch object to typed object: ${wrong.length === 1 ? (wrong[0] as string) : `errors:\n  ${wrong.join("\n  ")}`}`,
    );
  return mergeApplied(object, wanted, schema) as KubeObject;
}
