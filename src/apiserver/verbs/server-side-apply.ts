import {
  ApiError,
  apiVersionOf,
  badRequest,
  conflict,
  fieldRequired,
  gvkOf,
  invalid,
  isJsonObject,
  type KubeObject,
  notFound,
  objectKey,
  plainFailure,
  type ResourceRequest,
  withMetadata,
} from "#machinery";
import { addressIn, applyManaged, mustFitTypes } from "../apply/apply.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { admitBody, decodeHead, isKnownIn, mustBeAddressed, mustHaveVersion } from "./body.ts";
import { createObject } from "./creation.ts";
import { managerOf, otherVersionsOf, ownedKindOf } from "./field-owners.ts";
import { goMismatch, withFittingNumbers } from "./go-decoding.ts";
import type { VerbHost } from "./host.ts";
import { modifyObject, mustBeVersion } from "./modification.ts";
import { restoringText } from "./patched-objects.ts";
import { readStored } from "./reading.ts";

type PatchRequest = Extract<ResourceRequest, { verb: "patch" }>;

/** Server-side apply: creates what is missing, merges what is there by the owners of its fields. */
export async function applyObject(
  host: VerbHost,
  definition: ResourceDefinition,
  request: PatchRequest,
  context: RequestContext,
): Promise<KubeObject> {
  const { options = {}, name, namespace, subresource } = request;
  if (!options.fieldManager)
    throw invalid({ group: "meta.k8s.io", kind: "PatchOptions" }, "", [
      fieldRequired("fieldManager", "is required for apply patch"),
    ]);
  const key = objectKey(definition.kind.namespaced ? namespace : undefined, name);
  const isThere = host.store(definition).get(key) !== undefined;
  // A part is not made where there is no whole; kinds that updates make are read first.
  const isMissing = !isThere && subresource !== undefined;
  if (isMissing && definition.strategy.createsOnUpdate !== true) throw notFound(definition.kind, name);
  const applied = appliedObject(definition, request);
  const kind = ownedKindOf(definition);
  const manager = managerOf(host, definition, options, subresource);
  const findVersion = otherVersionsOf(host, definition);
  if (isMissing) throw notFound(definition.kind, name);
  // Null and an empty text take the version away that would stay otherwise.
  const namesVersion = Object.hasOwn(applied.metadata ?? {}, "resourceVersion");
  if (!isThere) {
    mustBeAddressed(definition, applied.metadata ?? {}, request);
    if (applied.metadata?.uid)
      throw conflict(
        definition.kind,
        name,
        `uid mismatch: the provided object specified uid ${applied.metadata.uid}, and no existing object was found`,
      );
    context.beforeCreateInstead?.();
    const { resourceVersion } = applied.metadata ?? {};
    if (resourceVersion) mustBeVersion(resourceVersion);
    // Of what is not there no version can be wrong.
    const fresh = namesVersion ? withMetadata(applied, { resourceVersion: undefined }) : applied;
    const made = await applyManaged(undefined, fresh, kind, manager);
    return createObject(host, definition, namespace, made, options, context, { isApply: true });
  }
  const expectedVersion = applied.metadata?.resourceVersion ?? undefined;
  if (expectedVersion) {
    // Whose fields are taken is told before whose version is old.
    const { object } = readStored(host, definition, namespace, name);
    await host.prepare(definition, [object]);
    await applyManaged(host.convert(object, definition), applied, kind, manager, findVersion);
  }
  return modifyObject(
    host,
    definition,
    request,
    options,
    context,
    async (old) => {
      const merged = await applyManaged(old, applied, kind, manager, findVersion);
      const { name: sentName, uid } = applied.metadata ?? {};
      if (sentName) mustBeAddressed(definition, applied.metadata, request);
      const made = uid ? withMetadata(merged, { uid }) : merged;
      const admitted = admitBody(definition, made, options, context, isKnownIn(host), undefined, true);
      if (namesVersion) mustHaveVersion(definition, expectedVersion, name, context);
      return admitted;
    },
    { expectedVersion, ownsFields: true, isPatch: true },
  );
}

/** The object in an apply patch, with a name and a kind that fit the request. */
function appliedObject(definition: ResourceDefinition, request: PatchRequest): KubeObject {
  const { body } = request;
  const head = headOf(definition, appliedBody(body));
  const { group, version, kind } = gvkOf({ apiVersion: head.apiVersion ?? "", kind: head.kind ?? "" });
  const { kind: wanted } = definition;
  const isOtherVersion = version !== wanted.version;
  const isOther = kind !== wanted.kind || group !== wanted.group || (isOtherVersion && definition.origin === "custom");
  if (version === "" || isOther) throw badRequest(`invalid object type: ${group}/${version}, Kind=${kind}`);
  if (isOtherVersion)
    throw badRequest(
      `incorrect version specified in apply patch. Specified patch version: ${head.apiVersion}, expected: ${apiVersionOf(definition.kind)}`,
    );
  if (isJsonObject(head.metadata) && (head.metadata.managedFields ?? undefined) !== undefined)
    throw badRequest("metadata.managedFields must be nil");
  mustFitTypes(head, ownedKindOf(definition));
  return converted(definition, head);
}

/** The object that was applied; nothing is one without a kind. */
export function appliedBody(body: unknown): Readonly<Record<string, unknown>> {
  if (isJsonObject(body)) return body;
  if (body === null || body === undefined) throw badRequest("invalid object type: /, Kind=");
  const found = Array.isArray(body) ? "array" : typeof body === "boolean" ? "bool" : typeof body;
  throw badRequest(
    `error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ${found} into Go value of type map[string]interface {}`,
  );
}

/** The body with a readable head; its metadata stays as it was sent, for it says what is owned. */
function headOf(definition: ResourceDefinition, body: Readonly<Record<string, unknown>>): KubeObject {
  const { metadata, ...rest } = body;
  return { ...decodeHead(definition, rest), metadata } as unknown as KubeObject;
}

/**
 * The applied object as its kind holds it. Throws for values that are of their types and still none a kind can hold, such
 * as a time or a fraction.
 */
function converted(definition: ResourceDefinition, applied: KubeObject): KubeObject {
  const { schema, origin, strategy, kind } = definition;
  try {
    decodeHead(definition, applied);
    if (origin !== "builtin" || schema === undefined) return applied;
    const fitting = withFittingNumbers(schema, applied) as KubeObject;
    const mismatch = goMismatch(schema, fitting, kind.kind);
    if (mismatch !== undefined) throw badRequest(`applied: ${mismatch}`);
    return strategy.normalise?.(fitting) ?? fitting;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const { group, version, kind: sent } = gvkOf(applied);
    const why = restoringText(definition, applied, error.message.slice(error.message.indexOf(": ") + 2));
    throw plainFailure(
      `failed to convert new object (${addressIn(applied)}) to proper version: unable to convert unstructured object to ${group}/${version}, Kind=${sent}: ${why}`,
    );
  }
}
