import { invalid, type KubeObject, notFound, objectKey, type ResourceRequest } from "#machinery";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { applyScale, scaleOf } from "../scale.ts";
import { admitBody, decodeHead, isKnownIn, mustBeAddressed } from "./body.ts";
import { createObject } from "./creation.ts";
import type { VerbHost } from "./host.ts";
import { knownOf, modifyObject } from "./modification.ts";

/** Replaces an object, its status, its scale or another part of it. */
export async function updateObject(
  host: VerbHost,
  definition: ResourceDefinition,
  request: Extract<ResourceRequest, { verb: "update" }>,
  context: RequestContext,
): Promise<KubeObject> {
  const { name, namespace, subresource, options = {} } = request;
  const head = decodeHead(definition, request.body);
  mustBeAddressed(definition, head.metadata, request);
  if (subresource === "scale") {
    return modifyObject(
      host,
      definition,
      request,
      options,
      context,
      (old) => applyScale(definition, old, head),
      undefined,
      (result) => scaleOf(definition, result),
    );
  }
  const found = host.store(definition).get(objectKey(definition.kind.namespaced ? namespace : undefined, name));
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
  if (
    (definition.origin === "custom" || definition.strategy.needsVersionOnUpdate === true) &&
    subresource === undefined &&
    !request.body.metadata?.resourceVersion
  )
    throw invalid({ group: definition.kind.group, kind: definition.kind.resource }, name, [
      {
        type: "FieldValueInvalid",
        field: "metadata.resourceVersion",
        message: "Invalid value: 0: must be specified for an update",
      },
    ]);
  const known = knownOf(definition, found);
  const body = admitBody(definition, request.body, options, context, isKnownIn(host), known);
  return modifyObject(host, definition, request, options, context, () => body, request.body.metadata?.resourceVersion);
}
