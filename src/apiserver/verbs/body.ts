import { apiVersionOf, badRequest, gvkOf, isJsonObject, type KubeObject, type WriteOptions } from "#machinery";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { goMismatch } from "./go-decoding.ts";
import { decodeMetadata, unknownMetadata } from "../metadata.ts";

/** The body of a request with a head that can be relied upon: texts where texts must be, and metadata. */
export function decodeHead(definition: ResourceDefinition, body: unknown): KubeObject {
  const { kind } = definition;
  const refuse = (detail: string) =>
    badRequest(
      `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${detail}`,
    );
  if (!isJsonObject(body)) throw badRequest("the body of the request must be an object");
  for (const name of ["apiVersion", "kind"])
    if (body[name] !== undefined && typeof body[name] !== "string")
      throw badRequest(
        `couldn't get version/kind; json parse error: json: cannot unmarshal ${Array.isArray(body[name]) ? "array" : typeof body[name]} into Go struct field .${name} of type string`,
      );
  const metadata = decodeMetadata(body["metadata"], refuse);
  return (metadata === body["metadata"] ? body : { ...body, metadata }) as unknown as KubeObject;
}

/** Decodes what a client sent: drops unknown members as `fieldValidation` says, and fills in defaults. */
export function admitBody(
  definition: ResourceDefinition,
  sentBody: KubeObject,
  options: WriteOptions,
  context: RequestContext,
): KubeObject {
  const { schema, kind } = definition;
  const body = decodeHead(definition, sentBody);
  const { group, version, kind: sent } = gvkOf({ apiVersion: body.apiVersion ?? "", kind: body.kind ?? "" });
  if (body.kind !== undefined && (sent !== kind.kind || group !== kind.group || version !== kind.version))
    throw badRequest(
      `${body.kind} in version ${JSON.stringify(body.apiVersion ?? "")} cannot be handled as a ${kind.kind}: converting (${body.apiVersion}, Kind=${sent}) to (${apiVersionOf(kind)}, Kind=${kind.kind}): unknown conversion`,
    );
  let object: KubeObject = { ...body, apiVersion: apiVersionOf(kind), kind: kind.kind };
  object = definition.strategy.normalise?.(object) ?? object;
  const unknown = unknownMetadata(body.metadata);
  if (schema !== undefined) {
    if (definition.origin === "builtin") {
      const mismatch = goMismatch(schema, object, kind.kind);
      if (mismatch !== undefined)
        throw badRequest(
          `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${mismatch}`,
        );
    }
    object = schema.prune(object, unknown) as KubeObject;
  }
  refuseStrictly(definition, [...(context.strictErrors ?? []), ...unknown.map(unknownField)], options, context);
  object = (schema?.applyDefaults(object) ?? object) as KubeObject;
  return definition.strategy.applyDefaults?.(object) ?? object;
}

const unknownField = (path: string) => `unknown field ${JSON.stringify(path)}`;

/** Refuses or names what a strict decoder would refuse, as the request asks. */
function refuseStrictly(
  { kind }: ResourceDefinition,
  errors: readonly string[],
  { fieldValidation }: WriteOptions,
  context: RequestContext,
): void {
  if (errors.length === 0 || fieldValidation === "Ignore") return;
  if (fieldValidation === "Strict")
    throw badRequest(
      `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: strict decoding error: ${errors.join(", ")}`,
    );
  for (const error of errors) context.warn(error);
}

/** What a mutating plugin made is defaulted again, as its patch could have removed something. */
export function settleMutation(definition: ResourceDefinition, changed: KubeObject, before: KubeObject): KubeObject {
  if (changed === before) return changed;
  const pruned = (definition.schema?.prune(changed, []) ?? changed) as KubeObject;
  const filled = (definition.schema?.applyDefaults(pruned) ?? pruned) as KubeObject;
  return definition.strategy.applyDefaults?.(filled) ?? filled;
}
