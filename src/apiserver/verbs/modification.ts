import { copyWith, copyWithout, deepEqual } from "#base";
import {
  apiVersionOf,
  applyMergePatch,
  fieldInvalid,
  getPath,
  invalid,
  type KubeObject,
  notFound,
  objectKey,
  formatTime,
  plainFailure,
  type ResourceAddress,
  setPath,
  staleConflict,
  withMetadata,
  type WriteOptions,
} from "#machinery";
import { hasRules } from "../custom-resources/rules.ts";
import { type AdmissionView, admit, type WrittenAlongside } from "../admission.ts";
import { hasSubresource, type RequestContext, type ResourceDefinition } from "../definition.ts";
import { hasSpecFinalizers } from "../deletion.ts";
import { metadataForUpdate, mustBeThis, statusMetadata, withoutRepeatedOwners } from "../metadata.ts";
import { admissionRequest } from "./admission-request.ts";
import { sideWrites } from "./alongside.ts";
import { decodedAnew, settleMutation } from "./body.ts";
import { trackFields } from "./field-owners.ts";
import type { StoredObject } from "../storage/held-revision.ts";
import { type VerbHost, WRITE_TRIES_MAX } from "./host.ts";
import { noteSpec } from "./known-specs.ts";
import { hasForgivenMistakes, validateObject, warnOf } from "./validation.ts";

/**
 * The present object where this very definition has looked at all of it: what a new one shares with it need not be
 * looked at again. Controllers in this process change what a cache gave them, so that most of an object is shared.
 */
export const knownOf = (
  definition: ResourceDefinition,
  { admittedBy }: StoredObject,
  object: KubeObject,
): KubeObject | undefined => (admittedBy === definition ? object : undefined);

/** Refuses a text that is no version. */
export function mustBeVersion(text: string): void {
  if (!/^\d+$/.test(text)) throw plainFailure(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
}

export interface Modification {
  /** The version the present object must have. */
  readonly expectedVersion?: string | undefined;
  /** The uid a replaced object must have, told before its version. */
  readonly expectedUid?: string | undefined;
  /** What of the result is answered; default all of it. */
  readonly show?: (result: KubeObject) => KubeObject;
  /** Whether the changed object says itself who owns its fields, as after an apply. */
  readonly ownsFields?: boolean;
  /** Whether a client changes what is there, instead of replacing it. */
  readonly isPatch?: boolean;
  /** A change by the server itself that was admitted as something else: no owner, no generation, no plugin. */
  readonly isUntracked?: boolean;
  /** What users' webhooks and policies see of it. */
  readonly view?: AdmissionView;
}

/**
 * The road of every change of an existing object: make the new one from the present one, admit it, and write it if the
 * present one is still the present one.
 */
export async function modifyObject(
  host: VerbHost,
  definition: ResourceDefinition,
  address: ResourceAddress & { readonly name: string },
  options: WriteOptions,
  context: RequestContext,
  change: (old: KubeObject, known: KubeObject | undefined) => KubeObject | Promise<KubeObject>,
  {
    expectedVersion,
    expectedUid,
    show = (result) => result,
    ownsFields = false,
    isPatch = false,
    isUntracked = false,
    view,
  }: Modification = {},
): Promise<KubeObject> {
  if (expectedVersion) mustBeVersion(expectedVersion);
  const store = host.store(definition);
  const key = objectKey(definition.kind.namespaced ? address.namespace : undefined, address.name);
  let hasSettled = false;
  for (let tries = 0; ; tries++) {
    const present = store.get(key);
    if (present === undefined) throw notFound(definition.kind, address.name);
    mustBeThis(definition, expectedUid, present.object);
    if (expectedVersion !== undefined && expectedVersion !== "" && expectedVersion !== String(present.revision)) {
      // A version newer than the one shown here may be another replica's, and the present one.
      const settling = hasSettled || Number(expectedVersion) < present.revision ? undefined : host.settle();
      if (settling === undefined) throw staleConflict(definition.kind, address.name);
      await settling;
      hasSettled = true;
      continue;
    }
    // Held here: read twice, it could be two objects, of which one is not prepared.
    const presentObject = present.object;
    await host.prepare(definition, [presentObject]);
    const old = host.convert(presentObject, definition);
    const known = knownOf(definition, present, presentObject);
    const given = await change(old, known);
    const sent = withoutRepeatedOwners(given.metadata, context.warn);
    const changed = { ...given, metadata: metadataForUpdate(definition, sent, old, isPatch) };
    let object = isUntracked
      ? changed
      : prepared(
          definition,
          withItsEnd(
            ownsFields
              ? withMetadata(changed, { managedFields: sent.managedFields })
              : await trackFields(host, definition, old, changed, options, address.subresource, context),
            old,
          ),
          old,
          {
            subresource: address.subresource,
            statusPatch: options.statusPatch,
            known,
            time: formatTime(host.clock.now()),
          },
          context,
        );
    const alongside: WrittenAlongside[] = [];
    const request = admissionRequest("UPDATE", definition, object, old, address.subresource, options, context, {
      alongside,
      view,
    });
    const plugins = isUntracked ? [] : host.admission;
    object = (await admit(plugins, request, (mutated) => {
      if (isUntracked) return mutated;
      const { name } = mutated.metadata;
      if (name !== old.metadata.name)
        throw invalid(definition.kind, old.metadata.name ?? "", [
          fieldInvalid("metadata.name", name, "field is immutable"),
        ]);
      const settled = settleMutation(definition, mutated, object);
      const counted =
        settled === object ? settled : countGeneration(definition, settled, old, context, address.subresource);
      // Rules may ask for the past of what did not change, too.
      if (!deepEqual(counted, old) || asksForPast(definition)) {
        validateObject(definition, counted, old, { known, subresource: address.subresource, warn: context.warn });
        if (options.statusPatch !== undefined && definition.strategy.validateStatus !== undefined)
          validateObject(definition, counted, old, { known, subresource: "status" });
      }
      if (address.subresource === undefined) warnOf(definition, counted, old, context.warn);
      return counted;
    })) as KubeObject;
    object = definition.strategy.stored?.(object, known) ?? object;
    // A write that changes nothing still moves an object into the form that is stored today.
    const isStoredAnew = store.isStale(key) || presentObject.apiVersion !== storedVersionOf(definition);
    const isGone =
      old.metadata.deletionTimestamp !== undefined &&
      (object.metadata.finalizers ?? []).length === 0 &&
      (old.metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
      !hasSpecFinalizers(object);
    if (options.dryRun || (deepEqual(object, old) && !isStoredAnew && !isGone))
      return show(options.dryRun ? object : old);
    if (isGone) {
      const removed = await store.delete(key, present.revision);
      if (removed !== undefined) return show(object);
    } else {
      await host.prepareStore(definition, object);
      const stored = host.forStore(definition, object, presentObject);
      const isAdmitted =
        stored === object &&
        !hasForgivenMistakes(object) &&
        (known !== undefined || isAdmittedWhole(definition, object, old, address));
      const admittedBy = isAdmitted ? definition : undefined;
      const written = await store.put(key, stored, present.revision, admittedBy, sideWrites(host, alongside));
      if (written !== undefined) {
        if (admittedBy !== undefined) noteSpec(definition, written.object);
        return show(await shownOf(host, definition, written));
      }
    }
    if (tries >= WRITE_TRIES_MAX) throw staleConflict(definition.kind, address.name);
  }
}

/** An object that is about to go, going when it was to: nothing else that is said of it is taken, or a mistake. */
function withItsEnd(object: KubeObject, { metadata: { deletionTimestamp } }: KubeObject): KubeObject {
  return deletionTimestamp === undefined || object.metadata.deletionTimestamp === deletionTimestamp
    ? object
    : withMetadata(object, { deletionTimestamp });
}

/** What was written, in the version that was asked for. */
export async function shownOf(
  host: VerbHost,
  definition: ResourceDefinition,
  { object }: StoredObject,
): Promise<KubeObject> {
  await host.prepare(definition, [object]);
  return host.convert(object, definition);
}

/**
 * Whether all of an object is as this definition makes it, given that its other part was taken from one that may not be: a
 * write to the status keeps the rest as it was, any other write the status.
 */
function isAdmittedWhole(
  definition: ResourceDefinition,
  object: KubeObject,
  old: KubeObject,
  { subresource }: ResourceAddress,
): boolean {
  const hasNoStatus = !hasSubresource(definition, "status") || (old as { status?: unknown }).status === undefined;
  return (subresource === undefined && hasNoStatus) || deepEqual(decodedAnew(definition, object), object);
}

interface WaysOfWriting {
  readonly subresource: string | undefined;
  readonly statusPatch: WriteOptions["statusPatch"];
  readonly known: KubeObject | undefined;
  readonly time: string;
}

/** The object with what this way of writing may change, and with its generation. */
function prepared(
  definition: ResourceDefinition,
  changed: KubeObject,
  old: KubeObject,
  { subresource, statusPatch, known, time }: WaysOfWriting,
  context: RequestContext,
): KubeObject {
  const { strategy } = definition;
  const part = subresource === undefined ? undefined : strategy.parts?.[subresource];
  if (part !== undefined) return countGeneration(definition, part.take(changed, old), old, context, subresource);
  const separate = separateStatus(definition, changed, old, subresource);
  const object =
    statusPatch !== undefined && subresource === undefined
      ? withStatusPatch(definition, separate, statusPatch, known)
      : separate;
  // What `/finalize` writes is what other updates keep.
  const settled =
    subresource === "finalize" ? object : (strategy.prepareForUpdate?.(object, old, context, time) ?? object);
  return countGeneration(definition, settled, old, context, subresource);
}

const storedVersionOf = ({ kind, storage }: ResourceDefinition): string =>
  apiVersionOf({ group: storage.group ?? kind.group, version: storage.version });

/** A write to `/status` changes the status only, any other write everything else. */
function separateStatus(
  definition: ResourceDefinition,
  object: KubeObject,
  old: KubeObject,
  subresource: string | undefined,
): KubeObject {
  if (subresource === "status") {
    const status = (object as { status?: unknown }).status;
    const rest = copyWithout(copyWith(old, { metadata: statusMetadata(definition, object, old) }), "status");
    return (status === undefined ? rest : copyWith(rest, { status })) as KubeObject;
  }
  // An approval decides by conditions; the rest of the status is the signer's.
  if (subresource === "approval") {
    const conditions = getPath(object, "status", "conditions");
    return setPath({ ...old, metadata: object.metadata } as KubeObject, ["status", "conditions"], conditions);
  }
  if (subresource === "finalize")
    return withFinalizers(
      { ...old, metadata: object.metadata } as KubeObject,
      (getPath(object, "spec", "finalizers") ?? []) as readonly string[],
    );
  if (!hasSubresource(definition, "status")) return object;
  const rest = copyWithout(object, "status");
  const status = (old as { status?: unknown }).status;
  return (status === undefined ? rest : copyWith(rest, { status })) as KubeObject;
}

/** The object with a status that is changed by the same write. */
export function withStatusPatch(
  definition: ResourceDefinition,
  object: KubeObject,
  patch: Readonly<Record<string, unknown>>,
  known: KubeObject | undefined,
): KubeObject {
  const { status } = object as { readonly status?: unknown };
  return decodedAnew(definition, { ...object, status: applyMergePatch(status ?? {}, patch) } as KubeObject, known);
}

/** What holds a namespace; nothing is left out. */
function withFinalizers(namespace: KubeObject, finalizers: readonly string[]): KubeObject {
  if (finalizers.length > 0) return setPath(namespace, ["spec", "finalizers"], finalizers);
  const { finalizers: _none, ...spec } = (getPath(namespace, "spec") ?? {}) as Record<string, unknown>;
  return { ...namespace, spec } as KubeObject;
}

/** Whether rules may compare an object with what it was. */
const asksForPast = ({ origin, schema }: ResourceDefinition): boolean =>
  origin === "custom" && schema !== undefined && hasRules(schema.source);

function countGeneration(
  { hasGeneration, strategy }: ResourceDefinition,
  object: KubeObject,
  old: KubeObject,
  { tracksFields }: RequestContext,
  subresource: string | undefined,
): KubeObject {
  if (!hasGeneration || strategy.keepsGeneration === true) return object;
  const [now, before] = [object.metadata, old.metadata];
  const countsAnnotations = strategy.countsAnnotations === true && tracksFields === true && subresource !== "status";
  const isSame =
    isSameDesire(object, old) &&
    (strategy.countsLabels !== true || deepEqual(now.labels, before.labels)) &&
    (!countsAnnotations || deepEqual(now.annotations, before.annotations));
  const generation = (old.metadata.generation ?? 0) + (isSame ? 0 : 1);
  return generation === (object.metadata.generation ?? 0) ? object : withMetadata(object, { generation });
}

/** Whether two objects differ in metadata and status at most. */
function isSameDesire(object: KubeObject, old: KubeObject): boolean {
  const one = object as unknown as Readonly<Record<string, unknown>>;
  const other = old as unknown as Readonly<Record<string, unknown>>;
  for (const key in one) if (key !== "metadata" && key !== "status" && !deepEqual(one[key], other[key])) return false;
  for (const key in other)
    if (key !== "metadata" && key !== "status" && one[key] === undefined && other[key] !== undefined) return false;
  return true;
}
