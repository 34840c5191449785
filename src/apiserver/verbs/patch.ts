import {
  apiError,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  badRequest,
  getPath,
  invalid,
  isJsonObject,
  type JsonPatchOperation,
  type KubeObject,
  notFound,
  objectKey,
  PatchError,
  type ResourceRequest,
} from "#machinery";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { applyScale, scaleOf } from "../scale.ts";
import { admitBody } from "./body.ts";
import type { VerbHost } from "./host.ts";
import { modifyObject } from "./modification.ts";
import { applyObject } from "./server-side-apply.ts";

/** Changes an object by a patch of any type, again and again until no other writer was faster. */
export async function patchObject(
  host: VerbHost,
  definition: ResourceDefinition,
  request: Extract<ResourceRequest, { verb: "patch" }>,
  context: RequestContext,
): Promise<KubeObject> {
  const { options = {}, name, namespace, patchType, body } = request;
  if (patchType === "application/apply-patch+yaml") return applyObject(host, definition, request, context);
  const version = isJsonObject(body) ? getPath(body, "metadata", "resourceVersion") : undefined;
  const isScale = request.subresource === "scale";
  const change = (old: KubeObject): KubeObject => {
    const target = isScale ? scaleOf(definition, old) : old;
    let patched: unknown;
    try {
      if (patchType === "application/json-patch+json") {
        if (!Array.isArray(body)) throw new PatchError("a JSON patch must be an array of operations");
        patched = applyJsonPatch<unknown>(target, body as readonly JsonPatchOperation[]);
      } else if (patchType === "application/merge-patch+json") patched = applyMergePatch(target, body);
      else if (patchType === "application/strategic-merge-patch+json") {
        if (definition.origin !== "builtin")
          throw apiError(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
          );
        patched = applyStrategicMergePatch(target, body, definition.schema);
      } else
        throw apiError(
          415,
          "UnsupportedMediaType",
          `the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml`,
        );
    } catch (error) {
      if (error instanceof PatchError) {
        if (patchType === "application/json-patch+json" && Array.isArray(body))
          throw apiError(422, "Invalid", `the server rejected our request due to an error in our request`, {
            causes: [{ message: error.message }],
          });
        throw badRequest(error.message);
      }
      throw error;
    }
    if (!isJsonObject(patched)) throw badRequest("the patched object is no object");
    if (isScale) return applyScale(definition, old, patched as unknown as KubeObject);
    const sent = patched as unknown as KubeObject;
    if (sent.metadata?.name !== name)
      throw invalid(definition.kind, name, [
        {
          type: "FieldValueInvalid",
          field: "metadata.name",
          message: `Invalid value: ${JSON.stringify(sent.metadata?.name ?? "")}: field is immutable`,
        },
      ]);
    return admitBody(definition, sent, options, context);
  };
  const loaded = host.store(definition).get(objectKey(definition.kind.namespaced ? namespace : undefined, name));
  if (loaded === undefined) throw notFound(definition.kind, name);
  return modifyObject(
    host,
    definition,
    request,
    options,
    context,
    change,
    typeof version === "string" && !isScale ? version : undefined,
    isScale ? (result) => scaleOf(definition, result) : undefined,
  );
}
