import {
  CelRuntimeError,
  type CelType,
  dyn,
  listOf,
  objectTypeOf,
  type ObjectType,
  type Program,
  schemaType,
  string,
  toJson,
  type Value,
} from "#cel";
import { deepEqual } from "#base";
import {
  applyJsonPatch,
  forbidden,
  isJsonObject,
  type JsonPatchOperation,
  type KubeObject,
  PatchError,
} from "#machinery";
import type { AdmissionRequest } from "../admission.ts";
import { mergeApplied } from "../apply/typed.ts";
import { resolveBuiltin } from "../builtin/schemas.ts";
import type { ResourceDefinition } from "../definition.ts";
import { settleMutation } from "../verbs/body.ts";
import { inVersion } from "./matching.ts";
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

/** The same with fields of a schema, for checking a policy against the kinds it is for. */
export function typedMutation(definition: ResourceDefinition): (name: string) => ObjectType | undefined {
  const root: CelType =
    definition.schema === undefined ? dyn : schemaType(definition.schema.source, resolveBuiltin, true);
  return (name) => {
    if (name === "JSONPatch") return JSON_PATCH;
    const [head, ...path] = name.split(".");
    if (head !== "Object") return undefined;
    let type: CelType | undefined = root;
    for (const part of path) {
      if (type?.kind === "list") type = type.of;
      type = type?.kind === "object" ? type.field(part) : undefined;
    }
    if (type?.kind === "list") type = type.of;
    return type?.kind === "object" ? type : undefined;
  };
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
  const refuse = (binding: CompiledBinding, message: string) =>
    forbidden(
      request.definition.kind,
      request.name,
      `policy '${policy.name}' with binding '${binding.name}' denied request: ${message}`,
    );
  let failure: Error | undefined;
  let current = request;
  // Bindings and parameters follow one another; each sees what the one before it made.
  const names = bindings.filter(({ spec }) => spec.policyName === policy.name);
  for (const binding of names) {
    const evaluations = await evaluationsOf(parts, policy, [binding], current, (own, message) => {
      failure ??= refuse(own, `failed to configure binding: ${message}`);
    });
    if (failure !== undefined && !isForgiving) throw failure;
    for (const evaluation of evaluations) {
      try {
        const made = runMutations(evaluation, policy);
        if (made === evaluation.object || made === undefined) continue;
        const settled = settleMutation(evaluation.matched, made, evaluation.object as KubeObject);
        const object = inVersion(parts.server, settled, evaluation.matched, request.definition) as KubeObject;
        current = { ...current, object };
      } catch (error) {
        if (!isExpected(error) && !(error instanceof PatchError)) throw error;
        if (!isForgiving) throw refuse(binding, error.message);
      }
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
    const made = toJson(value);
    const next: KubeObject =
      source.patchType === "JSONPatch" ? patched(object, made) : applied(object, made, evaluation.matched);
    if (next.metadata.name !== object.metadata.name || next.metadata.namespace !== object.metadata.namespace)
      throw new CelRuntimeError("a policy may change neither name nor namespace");
    object = deepEqual(next, object) ? object : next;
  }
  return object;
}

function patched(object: KubeObject, made: unknown): KubeObject {
  if (!Array.isArray(made) || !made.every(isJsonObject))
    throw new CelRuntimeError("type mismatch: JSONPatchType.JSONPatch expression must return a list of JSONPatch");
  return applyJsonPatch<KubeObject>(object, made as unknown as readonly JsonPatchOperation[]);
}

function applied(object: KubeObject, made: unknown, { schema }: ResourceDefinition): KubeObject {
  if (!isJsonObject(made)) throw new CelRuntimeError("an ApplyConfiguration expression must return an Object");
  const { apiVersion: _apiVersion, kind: _kind, ...wanted } = made;
  return mergeApplied(object, wanted, schema) as KubeObject;
}
