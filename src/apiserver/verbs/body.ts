import {
  apiVersionOf,
  badRequest,
  fieldInvalid,
  type GroupVersionKind,
  gvkOf,
  internalError,
  invalid,
  isJsonObject,
  type KubeObject,
  type ObjectMeta,
  plainFailure,
  type ResourceAddress,
  type WriteOptions,
} from "#machinery";
import { goNameOf } from "../definition.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { readEmbedded } from "./embedded-objects.ts";
import { goMismatch } from "./go-decoding.ts";
import type { VerbHost } from "./host.ts";
import { hasKnownSpec } from "./known-specs.ts";
import { decodeMetadata, namespaceMismatch, unknownMetadata } from "../metadata.ts";

/**
 * The body of a request with a head that can be relied upon: texts where texts must be, and metadata. Metadata shared with
 * `known`, which went through here before, is as it must be.
 */
export function decodeHead(definition: ResourceDefinition, body: unknown, known?: KubeObject): KubeObject {
  const { kind } = definition;
  const refuse = (detail: string) =>
    badRequest(
      `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${detail}`,
    );
  if (body === null && definition.origin === "custom") throw noKind(kind.kind, body);
  if (body === null) return { apiVersion: apiVersionOf(kind), kind: kind.kind, metadata: {} };
  if (!isJsonObject(body)) throw notAnObject(body);
  for (const name of ["apiVersion", "kind"])
    if (body[name] !== undefined && typeof body[name] !== "string")
      throw badRequest(
        `couldn't get version/kind; json parse error: json: cannot unmarshal ${jsonTypeOf(body[name])} into Go struct field .${name} of type string`,
      );
  const { metadata: sent } = body;
  const metadata =
    known !== undefined && sent === known.metadata ? known.metadata : decodeMetadata(sent, definition, refuse);
  return (metadata === sent ? body : { ...body, metadata }) as unknown as KubeObject;
}

/** Whether a server knows a kind, for the words that refuse one. */
export const isKnownIn =
  (host: VerbHost) =>
  ({ group, version, kind }: GroupVersionKind): boolean =>
    host.registry.all.some(({ kind: one }) => one.kind === kind && one.group === group && one.version === version);

/** Refuses an object whose name or namespace is not the request's. */
export function mustBeAddressed(
  { kind }: ResourceDefinition,
  metadata: ObjectMeta,
  { name = "", namespace }: ResourceAddress,
): void {
  if (kind.namespaced && metadata.namespace && namespace !== undefined && metadata.namespace !== namespace)
    throw namespaceMismatch();
  const sentName = metadata.name ?? "";
  if (sentName === "")
    throw badRequest(`the name of the object (${name} based on URL) was undeterminable: name must be provided`);
  if (sentName !== name)
    throw badRequest(`the name of the object (${sentName}) does not match the name on the URL (${name})`);
}

/** Refuses a change of a kind that wants to know which version is changed, when it names none. */
export function mustHaveVersion(
  { kind, origin, strategy }: ResourceDefinition,
  version: string | null | undefined,
  name: string,
  { tracksFields }: RequestContext,
): void {
  // What runs in this process may say what it wants of what it knows.
  const isWanted = origin === "custom" || (strategy.needsVersionOnUpdate === true && tracksFields === true);
  if (!isWanted || version) return;
  throw invalid({ group: kind.group, kind: kind.resource }, name, [
    {
      type: "FieldValueInvalid",
      field: "metadata.resourceVersion",
      message: "Invalid value: 0: must be specified for an update",
    },
  ]);
}

/**
 * A patched object of a published kind whose version the patch took away: it is read as a type that has no members in
 * JSON, so that nothing of it is known, not even its name.
 */
export function admitVersionless(
  definition: ResourceDefinition,
  patched: KubeObject,
  options: WriteOptions,
  context: RequestContext,
  isKnown: (kind: GroupVersionKind) => boolean,
): KubeObject {
  const { kind } = definition;
  const sent = patched.kind || kind.kind;
  if (sent !== kind.kind)
    throw badRequest(
      isKnown({ ...kind, kind: sent })
        ? `converting (${goNameOf({ kind: { ...kind, kind: sent } })}) to (${goNameOf(definition)}): unknown conversion`
        : `no kind ${JSON.stringify(sent)} is registered for the internal version of group ${JSON.stringify(kind.group)} in scheme "pkg/runtime/scheme.go:111"`,
    );
  const unknown = Object.keys(patched).filter((name) => name !== "apiVersion" && name !== "kind");
  refuseStrictly(definition, unknown.sort().map(unknownField), options, context);
  return { apiVersion: apiVersionOf(kind), kind: kind.kind, metadata: {} };
}

/**
 * Decodes what a client sent: drops unknown members as `fieldValidation` says, and fills in defaults. What the body shares
 * with `known`, an object of the same definition that was admitted before, is not looked at again. `isApplied` says that server-side
 * apply made the object: nulls of custom ones are then to be refused instead of dropped.
 */
export function admitBody(
  definition: ResourceDefinition,
  sentBody: KubeObject,
  options: WriteOptions,
  context: RequestContext,
  isKnown: (kind: GroupVersionKind) => boolean = () => true,
  known?: KubeObject,
  isApplied = false,
): KubeObject {
  const { schema, kind } = definition;
  const body = decodeHead(definition, sentBody, known);
  if (definition.origin === "custom") mustBeCustom(definition, sentBody, body);
  const { group, version, kind: sent } = gvkOf({ apiVersion: body.apiVersion ?? "", kind: body.kind ?? "" });
  const isOther =
    (body.kind && sent !== kind.kind) || (body.apiVersion && (group !== kind.group || version !== kind.version));
  if (isOther) throw otherKind(definition, body, isKnown({ group, version, kind: sent }));
  let object: KubeObject = { ...body, apiVersion: apiVersionOf(kind), kind: kind.kind };
  object = definition.strategy.normalise?.(object, known) ?? object;
  const sentMetadata = (sentBody as KubeObject | null)?.metadata;
  const unknown = known !== undefined && sentMetadata === known.metadata ? [] : unknownMetadata(sentMetadata);
  if (schema !== undefined) {
    if (definition.origin === "builtin") {
      const mismatch = goMismatch(schema, object, kind.kind, known);
      if (mismatch !== undefined)
        throw badRequest(
          `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${mismatch}`,
        );
    }
    const inBody: string[] = [];
    object = schema.prune(object, inBody, "", true, known, isApplied && definition.origin === "custom") as KubeObject;
    const inside: string[] = [];
    if (definition.origin === "custom") object = readEmbedded(schema, object, inside, kind);
    // Custom objects are read in turn: their own metadata, their members, and the metadata of the objects in them.
    if (definition.origin === "custom") for (const told of [unknown, inBody, inside]) told.sort();
    unknown.push(...inBody, ...inside);
    object = definition.strategy.trim?.(object, known) ?? object;
  }
  refuseStrictly(definition, [...(context.strictErrors ?? []), ...unknown.map(unknownField)], options, context);
  return filledIn(definition, object, known);
}

/** With its defaults, and in the form its kind is shown in. */
function filledIn({ schema, strategy }: ResourceDefinition, object: KubeObject, known?: KubeObject): KubeObject {
  const filled = (schema?.applyDefaults(object, known) ?? object) as KubeObject;
  const defaulted = hasKnownSpec(strategy, filled, known) ? filled : (strategy.applyDefaults?.(filled) ?? filled);
  return strategy.settle?.(defaulted, known) ?? defaulted;
}

const otherVersion = (sent: string | undefined, wanted: string): Error =>
  badRequest(`the API version in the data (${sent ?? ""}) does not match the expected API version (${wanted})`);

/** Objects of custom kinds say what they are, and are it: nothing is converted while they are read. */
function mustBeCustom({ kind }: ResourceDefinition, sent: KubeObject | null, body: KubeObject): void {
  const wanted = apiVersionOf(kind);
  if (!body.kind) throw noKind(kind.kind, sent);
  if (body.apiVersion !== wanted) throw otherVersion(body.apiVersion, wanted);
  if (body.kind === kind.kind) return;
  throw invalid({ group: kind.group, kind: body.kind }, body.metadata.name ?? "", [
    fieldInvalid("kind", body.kind, `must be ${kind.kind}`),
  ]);
}

const SHOWN_BYTES = 30;

function noKind(kind: string, sent: KubeObject | null): Error {
  const text = JSON.stringify(sent);
  const bytes = Buffer.from(text);
  const start = bytes.subarray(0, SHOWN_BYTES).toString(text.startsWith("{") ? "utf8" : "hex");
  const shown = bytes.length > SHOWN_BYTES ? `${start} ...` : start;
  return badRequest(
    `the object provided is unrecognized (must be of type ${kind}): Object 'Kind' is missing in '${text}' (${shown})`,
  );
}

/** Versions that are read although nothing is served in them any more. */
const READ_ONLY_VERSIONS = new Set([
  "apiextensions.k8s.io/v1beta1",
  "authentication.k8s.io/v1beta1",
  "authorization.k8s.io/v1beta1",
]);

/** The refusal of an object of another kind or version than the request's. */
function otherKind({ kind, origin }: ResourceDefinition, body: KubeObject, isKnown: boolean): Error {
  const sent = gvkOf({ apiVersion: body.apiVersion ?? "", kind: body.kind ?? "" });
  const isOtherVersion = sent.kind === kind.kind && sent.group === kind.group;
  if (origin === "builtin" && isOtherVersion && (isKnown || READ_ONLY_VERSIONS.has(body.apiVersion ?? "")))
    return otherVersion(body.apiVersion, apiVersionOf(kind));
  const why =
    origin === "builtin" && isKnown
      ? `converting (${sent.version}.${sent.kind}) to (${goNameOf({ kind })}): unknown conversion`
      : origin === "builtin"
        ? `no kind ${JSON.stringify(sent.kind)} is registered for version ${JSON.stringify(body.apiVersion)} in scheme "pkg/runtime/scheme.go:111"`
        : `converting (${body.apiVersion}, Kind=${sent.kind}) to (${apiVersionOf(kind)}, Kind=${kind.kind}): unknown conversion`;
  return badRequest(
    `${sent.kind || kind.kind} in version ${JSON.stringify(sent.version)} cannot be handled as a ${kind.kind}: ${why}`,
  );
}

const jsonTypeOf = (value: unknown): string =>
  Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;

const HEAD_TYPE =
  'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }';

/** The refusal of a body that is JSON but no object. */
export const notAnObject = (body: unknown): Error =>
  badRequest(
    `couldn't get version/kind; json parse error: json: cannot unmarshal ${jsonTypeOf(body)} into Go value of type ${HEAD_TYPE}`,
  );

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

/** Why what a webhook made of an object is none of its kind; `undefined` when it is. */
export function decodingMistake(definition: ResourceDefinition, object: KubeObject): Error | undefined {
  const { kind, schema, origin } = definition;
  const { group, version, kind: made } = gvkOf({ apiVersion: object.apiVersion ?? "", kind: object.kind ?? "" });
  if (made !== kind.kind || group !== kind.group || version !== kind.version)
    return plainFailure(`converting (${version}.${made}) to (${goNameOf({ kind })}): unknown conversion`);
  const mismatch = schema === undefined || origin !== "builtin" ? undefined : goMismatch(schema, object, kind.kind);
  return mismatch === undefined ? undefined : internalError(new Error(mismatch));
}

/**
 * What a mutating plugin made is defaulted again, as its patch could have removed something; what it left as it was, is as it
 * must be.
 */
export function settleMutation(definition: ResourceDefinition, changed: KubeObject, before: KubeObject): KubeObject {
  return changed === before ? changed : decodedAnew(definition, changed, before);
}

/** The object without what the schema does not know, and with all defaults. */
export function decodedAnew(definition: ResourceDefinition, object: KubeObject, known?: KubeObject): KubeObject {
  const pruned = (definition.schema?.prune(object, [], "", true, known) ?? object) as KubeObject;
  return filledIn(definition, definition.strategy.trim?.(pruned, known) ?? pruned, known);
}
