import { type KubeObject, notFound, objectKey, type ResourceRequest } from "#machinery";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { admitBody, decodeHead, isKnownIn, mustBeAddressed, mustHaveVersion } from "./body.ts";
import { createObject } from "./creation.ts";
import type { VerbHost } from "./host.ts";
import { knownOf, modifyObject } from "./modification.ts";
import { scaleObject } from "./scaling.ts";

/** Replaces an object, its status, its scale or another part of it. */
export async function updateObject(
  host: VerbHost,
  definition: ResourceDefinition,
  request: Extract<ResourceRequest, { verb: "update" }>,
  context: RequestContext,
): Promise<KubeObject> {
  const { name, namespace, subresource, options = {} } = request;
  if (subresource === "scale") return scaleObject(host, definition, request, context);
  const head = decodeHead(definition, request.body);
  const found = host.store(definition).get(objectKey(definition.kind.namespaced ? namespace : undefined, name));
  const known = found === undefined ? undefined : knownOf(definition, found, found.object);
  // What is sent is read first, whatever it is sent to.
  const body = admitBody(definition, request.body, options, context, isKnownIn(host), known);
  mustBeAddressed(definition, head.metadata, request);
  if (found === undefined) {
    if (
      definition.strategy.createsOnUpdate !== true ||
      subresource !== undefined ||
      request.body.metadata?.resourceVersion
    )
      throw notFound(definition.kind, name);
    context.beforeCreateInstead?.();
    return createObject(host, definition, namespace, request.body, options, context);
  }
  mustHaveVersion(definition, request.body.metadata?.resourceVersion, name, context);
  return modifyObject(host, definition, request, options, context, () => body, {
    expectedVersion: head.metadata.resourceVersion,
    expectedUid: head.metadata.uid,
  });
}
