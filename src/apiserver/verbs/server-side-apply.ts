import {
  apiVersionOf,
  badRequest,
  formatTime,
  invalid,
  isJsonObject,
  type KubeObject,
  notFound,
  objectKey,
  type ResourceRequest,
} from "#machinery";
import { applyManaged } from "../apply/apply.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { admitBody } from "./body.ts";
import { createObject } from "./creation.ts";
import type { VerbHost } from "./host.ts";
import { modifyObject } from "./modification.ts";

/** Server-side apply: creates what is missing, merges what is there by the owners of its fields. */
export async function applyObject(
  host: VerbHost,
  definition: ResourceDefinition,
  request: Extract<ResourceRequest, { verb: "patch" }>,
  context: RequestContext,
): Promise<KubeObject> {
  const { options = {}, name, namespace, body, subresource } = request;
  if (!options.fieldManager)
    throw invalid({ group: "meta.k8s.io", kind: "PatchOptions" }, "", [
      { type: "FieldValueRequired", field: "fieldManager", message: "Required value: is required for apply patch" },
    ]);
  if (!isJsonObject(body)) throw badRequest("an apply patch must be an object");
  const applied = body as unknown as KubeObject;
  if (!applied.apiVersion || !applied.kind) throw badRequest("apiVersion and kind must be set in an apply patch");
  if (applied.metadata?.managedFields !== undefined) throw badRequest("metadata.managedFields must be nil");
  const manager = {
    manager: options.fieldManager,
    apiVersion: apiVersionOf(definition.kind),
    subresource,
    time: formatTime(host.clock.now()),
    force: options.force ?? false,
  };
  const key = objectKey(definition.kind.namespaced ? namespace : undefined, name);
  if (host.store(definition).get(key) === undefined) {
    if (subresource !== undefined) throw notFound(definition.kind, name);
    context.beforeCreateInstead?.();
    const made = applyManaged(
      undefined,
      { ...applied, metadata: { ...applied.metadata, name } },
      definition.schema,
      manager,
    );
    return createObject(host, definition, namespace, made, options, context);
  }
  return modifyObject(
    host,
    definition,
    request,
    options,
    context,
    (old) => admitBody(definition, applyManaged(old, applied, definition.schema, manager), options, context),
    applied.metadata?.resourceVersion,
    undefined,
    true,
  );
}
