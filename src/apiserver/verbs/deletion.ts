import {
  conflict,
  formatTime,
  type DeleteOptions,
  isNotFound,
  type KubeObject,
  notFound,
  objectKey,
  type ResourceRequest,
  staleConflict,
  withMetadata,
} from "#machinery";
import { admit } from "../admission.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { planDeletion, successStatus } from "../deletion.ts";
import { admissionRequest } from "./admission-request.ts";
import { type VerbHost, WRITE_TRIES_MAX } from "./host.ts";
import { shownOf } from "./modification.ts";
import { listObjects } from "./reading.ts";

/** Removes an object, or marks it where a grace period or finalizers hold it. */
export async function deleteObject(
  host: VerbHost,
  definition: ResourceDefinition,
  namespace: string | undefined,
  name: string,
  options: DeleteOptions,
  context: RequestContext,
  { isNameless = false }: { readonly isNameless?: boolean } = {},
): Promise<KubeObject> {
  const store = host.store(definition);
  const key = objectKey(definition.kind.namespaced ? namespace : undefined, name);
  // What is demanded of the object may be another replica's doing: nothing is refused for not knowing that yet.
  if (Object.keys(options.preconditions ?? {}).length > 0) await host.settle();
  for (let tries = 0; ; tries++) {
    const present = store.get(key);
    if (present === undefined) throw notFound(definition.kind, name);
    const presentObject = present.object;
    await host.prepare(definition, [presentObject]);
    const old = host.convert(presentObject, definition);
    mustMeet(definition, old, options.preconditions);
    await admit(
      host.admission,
      admissionRequest("DELETE", definition, undefined, old, undefined, options, context, { isNameless }),
      (object) => object,
    );
    const plan = planDeletion(definition, old, options, host.clock.now());
    if (options.dryRun) return plan.type === "remove" ? deletedAnswer(definition, old, host.clock.now()) : plan.object;
    if (plan.type === "keep") return plan.object;
    if (plan.type === "remove") {
      const removed = await store.delete(key, present.revision);
      if (removed !== undefined) return deletedAnswer(definition, old, host.clock.now());
    } else {
      await host.prepareStore(definition, plan.object);
      const stored = host.forStore(definition, plan.object, presentObject);
      const admittedBy = stored === plan.object ? present.admittedBy : undefined;
      const written = await store.put(key, stored, present.revision, admittedBy);
      if (written !== undefined) return shownOf(host, definition, written);
    }
    if (tries >= WRITE_TRIES_MAX) throw staleConflict(definition.kind, name);
  }
}

/** Throws 409 for an object that is not the one a deletion means. */
export function mustMeet(
  { kind }: ResourceDefinition,
  { metadata }: KubeObject,
  preconditions: DeleteOptions["preconditions"],
): void {
  // Kubernetes names the kind here, not the resource.
  const mismatch = (why: string) => conflict({ ...kind, resource: kind.kind }, metadata.name ?? "", why);
  const { uid, resourceVersion } = preconditions ?? {};
  if (uid !== undefined && uid !== metadata.uid)
    throw mismatch(
      `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`,
    );
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion)
    throw mismatch(
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`,
    );
}

/** What is said of an object that is gone: a Status, or the object as it was when it went. */
function deletedAnswer(definition: ResourceDefinition, old: KubeObject, nowMs: number): KubeObject {
  const { strategy, kind } = definition;
  if (strategy.returnsDeleted !== true) return successStatus(old, 200, kind) as unknown as KubeObject;
  if (strategy.gracePeriodSeconds === undefined) return old;
  // What held it does not any more.
  const isMarked = old.metadata.deletionTimestamp !== undefined;
  return withMetadata(old, {
    finalizers: undefined,
    deletionTimestamp: formatTime(nowMs),
    deletionGracePeriodSeconds: 0,
    generation: (old.metadata.generation ?? 0) + (isMarked ? 0 : 1),
  });
}

/** Deletes what the selection finds, one by one; what is gone meanwhile is no error. */
export async function deleteCollection(
  host: VerbHost,
  definition: ResourceDefinition,
  request: Extract<ResourceRequest, { verb: "deletecollection" }>,
  context: RequestContext,
): Promise<KubeObject> {
  const { items, ...list } = await listObjects(host, { ...request, ...request.selection });
  for (const { metadata } of items) {
    try {
      await deleteObject(host, definition, metadata.namespace, metadata.name ?? "", request.options ?? {}, context, {
        isNameless: true,
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  return { ...list, items } as unknown as KubeObject;
}
