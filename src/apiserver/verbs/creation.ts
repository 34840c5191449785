import { copyWith, copyWithout } from "#base";
import {
  alreadyExists,
  ApiError,
  badRequest,
  forbidden,
  type KubeObject,
  objectKey,
  plainFailure,
  type WriteOptions,
} from "#machinery";
import { admit, type WrittenAlongside } from "../admission.ts";
import { hasSubresource, type RequestContext, type ResourceDefinition } from "../definition.ts";
import { metadataForCreate, withoutRepeatedOwners } from "../metadata.ts";
import { admissionRequest } from "./admission-request.ts";
import { sideWrites } from "./alongside.ts";
import { admitBody, decodeHead, isKnownIn, settleMutation } from "./body.ts";
import { ownedKindOf, trackFields } from "./field-owners.ts";
import { type VerbHost, WRITE_TRIES_MAX } from "./host.ts";
import { knownBySpec, noteSpec } from "./known-specs.ts";
import { shownOf, withStatusPatch } from "./modification.ts";
import { checkNamespace, validateObject, warnOf } from "./validation.ts";

const GENERATED_NAME_TRIES_MAX = 8;

/** Decodes, defaults, admits, validates and writes a new object. */
export async function createObject(
  host: VerbHost,
  definition: ResourceDefinition,
  namespace: string | undefined,
  sentBody: KubeObject,
  options: WriteOptions,
  context: RequestContext,
  { isApply = false, tries = 1 }: { readonly isApply?: boolean; readonly tries?: number } = {},
): Promise<KubeObject> {
  const body = decodeHead(definition, sentBody);
  if (definition.isTerminating)
    throw forbidden(
      definition.kind,
      body.metadata.name ?? "",
      "create not allowed while custom resource definition is terminating",
    );
  const { strategy } = definition;
  const at = definition.kind.namespaced ? (namespace ?? (body.metadata?.namespace || undefined)) : undefined;
  if (definition.kind.namespaced && at === undefined)
    throw badRequest("an empty namespace may not be set during creation");
  const known = knownBySpec(definition, sentBody);
  let object = admitBody(definition, sentBody, options, context, isKnownIn(host), known, isApply);
  object = { ...object, metadata: withoutRepeatedOwners(object.metadata, context.warn) };
  // Owners are noted before the server and its plugins change anything: what they set belongs to nobody.
  if (!isApply) object = await trackFields(host, definition, undefined, object, options, undefined, context);
  const metadata = metadataForCreate(definition, object.metadata, at, host.clock.now(), host.random);
  object = { ...object, metadata };
  if (hasSubresource(definition, "status") && !strategy.keepsStatusOnCreate) {
    const hasStatus = (object as { status?: unknown }).status !== undefined;
    object = withoutStatus(object);
    if (definition.origin === "builtin" && (hasStatus || strategy.emptyStatus !== undefined))
      object = copyWith(object, {
        status: strategy.emptyStatus ?? ownedKindOf(definition).empty["status"] ?? {},
      });
    if (options.statusPatch !== undefined) object = withStatusPatch(definition, object, options.statusPatch, known);
  }
  object = strategy.prepareForCreate?.(object, context) ?? object;
  const namespaces = host.registry.find("", "v1", "namespaces");
  if (namespaces !== undefined) await host.store(namespaces).load();
  checkNamespace(host, definition, at, metadata.name ?? "");
  const alongside: WrittenAlongside[] = [];
  const request = admissionRequest("CREATE", definition, object, undefined, undefined, options, context, { alongside });
  object = (await admit(host.admission, request, (changed) => {
    const mutated = settleMutation(definition, changed, object);
    const settled = strategy.settleCreated?.(mutated) ?? mutated;
    validateObject(definition, settled, undefined, { known });
    if (options.statusPatch !== undefined && strategy.validateStatus !== undefined)
      validateObject(definition, settled, withoutStatus(settled), { known, subresource: "status" });
    warnOf(definition, settled, undefined, context.warn);
    return settled;
  })) as KubeObject;
  const key = objectKey(at, object.metadata.name ?? "");
  if (options.dryRun) {
    const present = host.store(definition).get(key)?.object;
    if (present !== undefined) throw taken(definition, present);
    return strategy.stored?.(object) ?? object;
  }
  // Told by the store, when all else is right.
  const { resourceVersion } = body.metadata ?? {};
  if (resourceVersion && /^\d*[1-9]\d*$/.test(resourceVersion))
    throw plainFailure("resourceVersion should not be set on objects to be created");
  object = strategy.stored?.(object) ?? object;
  await host.prepareStore(definition, object);
  const store = host.store(definition);
  const stored = host.forStore(definition, object);
  const admittedBy = stored === object ? definition : undefined;
  const written = await store.put(key, stored, 0, admittedBy, sideWrites(host, alongside));
  if (written === undefined) {
    // Not the name was taken, but what the object was to have beside it, such as an address or a quota's room.
    const hasOthers = store.companions !== undefined || alongside.length > 0;
    const isTaken = !hasOthers || store.get(key) !== undefined;
    if (!isTaken && tries < WRITE_TRIES_MAX)
      return createObject(host, definition, namespace, sentBody, options, context, { isApply, tries: tries + 1 });
    if (metadata.generateName !== undefined && !body.metadata?.name && tries < GENERATED_NAME_TRIES_MAX)
      return createObject(host, definition, namespace, body, options, context, { isApply, tries: tries + 1 });
    throw taken(definition, store.get(key)?.object ?? object);
  }
  if (admittedBy !== undefined) noteSpec(definition, written.object);
  return shownOf(host, definition, written);
}

/** The refusal of a name that an object has, be it one that is about to go. */
function taken({ kind }: ResourceDefinition, { metadata }: KubeObject): Error {
  const { status } = alreadyExists(kind, metadata.name ?? "");
  if (metadata.deletionTimestamp === undefined) return new ApiError(status);
  return new ApiError({ ...status, message: `object is being deleted: ${status.message}` });
}

function withoutStatus(object: KubeObject): KubeObject {
  return copyWithout(object, "status") as KubeObject;
}
