import {
  apiVersionOf,
  fieldInvalid,
  getPath,
  internalError,
  invalid,
  isJsonObject,
  type KubeObject,
  notFound,
  objectKey,
  parseApiVersion,
  requestEntityTooLarge,
  type ResourceRequest,
} from "#machinery";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { isKnownIn, mustBeAddressed, mustHaveVersion } from "./body.ts";
import type { VerbHost } from "./host.ts";
import { modifyObject } from "./modification.ts";
import { admitPatched, asPatch, patchedBy } from "./patched-objects.ts";
import { scaleObject } from "./scaling.ts";
import { applyObject } from "./server-side-apply.ts";

type PatchRequest = Extract<ResourceRequest, { verb: "patch" }>;

const OPERATIONS_MAX = 10_000;
/** Changes an object by a patch of any type, again and again until no other writer was faster. */
export async function patchObject(
  host: VerbHost,
  definition: ResourceDefinition,
  request: PatchRequest,
  context: RequestContext,
): Promise<KubeObject> {
  const { options = {}, name, namespace, patchType, body } = request;
  const isApply = patchType === "application/apply-patch+yaml";
  if (isApply && request.subresource !== "scale") return applyObject(host, definition, request, context);
  if (patchType === "application/json-patch+json" && Array.isArray(body) && body.length > OPERATIONS_MAX)
    throw requestEntityTooLarge(
      `The allowed maximum operations in a JSON patch is ${OPERATIONS_MAX}, got ${body.length}`,
    );
  if (request.subresource === "scale") return scaleObject(host, definition, request, context);
  const version = isJsonObject(body) ? getPath(body, "metadata", "resourceVersion") : undefined;
  const change = (old: KubeObject, known: KubeObject | undefined): KubeObject => {
    const patched = patchedBy(definition, request, old);
    if (definition.origin === "custom") mustStayInVersion(definition, patched);
    const admitted = asPatch(definition, patchType, body, patched, old, () =>
      admitPatched(definition, patched, options, context, isKnownIn(host), known),
    );
    mustBeAddressed(definition, admitted.metadata, request);
    mustHaveVersion(definition, admitted.metadata.resourceVersion, name, context);
    return admitted;
  };
  const loaded = host.store(definition).get(objectKey(definition.kind.namespaced ? namespace : undefined, name));
  if (loaded === undefined) throw notFound(definition.kind, name);
  return modifyObject(host, definition, request, options, context, change, {
    expectedVersion: typeof version === "string" ? version : undefined,
    isPatch: true,
  });
}

/** A patch may not move a custom object into another version. */
function mustStayInVersion({ kind }: ResourceDefinition, { apiVersion, kind: sent, metadata }: KubeObject): void {
  const wanted = apiVersionOf(kind);
  // What cannot be read as an object is refused when it is read.
  const isReadable = typeof sent === "string" && sent !== "" && isJsonObject(metadata ?? {});
  const isText = apiVersion === undefined || apiVersion === null || typeof apiVersion === "string";
  if (apiVersion === wanted || !isText || !isReadable) return;
  if (!apiVersion) throw internalError(new Error("Object 'apiVersion' is missing in 'object has no apiVersion field'"));
  throw invalid({ group: parseApiVersion(apiVersion ?? "").group, kind: sent }, metadata?.name ?? "", [
    fieldInvalid("apiVersion", apiVersion, `must be ${wanted}`),
  ]);
}
