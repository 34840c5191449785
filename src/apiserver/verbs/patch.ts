import {
  ApiError,
  apiError,
  apiVersionOf,
  goJson,
  goText,
  plainFailure,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  badRequest,
  fieldInvalid,
  getPath,
  invalid,
  isJsonObject,
  type JsonPatchOperation,
  type KubeObject,
  notFound,
  objectKey,
  parseApiVersion,
  PatchError,
  requestEntityTooLarge,
  type ResourceRequest,
} from "#machinery";
import { goFields } from "../builtin/go-shape.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { applyScale, scaleOf } from "../scale.ts";
import { admitBody, isKnownIn, mustBeAddressed } from "./body.ts";
import type { VerbHost } from "./host.ts";
import { modifyObject } from "./modification.ts";
import { applyObject } from "./server-side-apply.ts";

type PatchRequest = Extract<ResourceRequest, { verb: "patch" }>;

const OPERATIONS_MAX = 10_000;
/** Levels of nesting a patch may lead to; bodies are bounded by the same number. */
const DEPTH_MAX = 1_000;

/** Changes an object by a patch of any type, again and again until no other writer was faster. */
export async function patchObject(
  host: VerbHost,
  definition: ResourceDefinition,
  request: PatchRequest,
  context: RequestContext,
): Promise<KubeObject> {
  const { options = {}, name, namespace, patchType, body } = request;
  if (patchType === "application/apply-patch+yaml") return applyObject(host, definition, request, context);
  if (patchType === "application/json-patch+json" && Array.isArray(body) && body.length > OPERATIONS_MAX)
    throw requestEntityTooLarge(
      `The allowed maximum operations in a JSON patch is ${OPERATIONS_MAX}, got ${body.length}`,
    );
  const version = isJsonObject(body) ? getPath(body, "metadata", "resourceVersion") : undefined;
  const isScale = request.subresource === "scale";
  const change = (old: KubeObject, known: KubeObject | undefined): KubeObject => {
    const patched = patchedBy(definition, request, isScale ? scaleOf(definition, old) : old);
    if (isScale) return applyScale(definition, old, patched);
    if (definition.origin === "custom") mustStayInVersion(definition, patched);
    const admitted = asPatch(patchType, body, patched, () =>
      admitBody(definition, patched, options, context, isKnownIn(host), known),
    );
    mustBeAddressed(definition, admitted.metadata, request);
    return admitted;
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

/** A patch may not move a custom object into another version. */
function mustStayInVersion({ kind }: ResourceDefinition, { apiVersion, kind: sent, metadata }: KubeObject): void {
  const wanted = apiVersionOf(kind);
  if (apiVersion === wanted) return;
  throw invalid({ group: parseApiVersion(apiVersion ?? "").group, kind: sent }, metadata?.name ?? "", [
    fieldInvalid("apiVersion", apiVersion, `must be ${wanted}`),
  ]);
}

/** What a decoder refuses in a patched object is a mistake of the patch. */
function asPatch(patchType: string, body: unknown, patched: KubeObject, decode: () => KubeObject): KubeObject {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== "BadRequest") throw error;
    const shown = patchType === "application/strategic-merge-patch+json" ? goText(body) : patchedText(patched, body);
    const plain = error.message.replace(/^\S* ?in version "[^"]*" cannot be handled as a \w+: /, "");
    const why = patchType === "application/strategic-merge-patch+json" ? restoring(plain) : plain;
    throw invalid({ group: "", kind: "" }, "", [fieldInvalid("patch", shown, why)]);
  }
}

const GO_KINDS: Readonly<Record<string, string>> = { object: "map", array: "slice", number: "int64" };

/** Strategic patches are decoded another way than JSON, and fail in other words. */
function restoring(text: string): string {
  const [, found = "", type] = /^json: cannot unmarshal (\w+).* of type (.*)$/.exec(text) ?? [];
  if (type === undefined) return text;
  const kind = GO_KINDS[found] ?? found;
  if (type.startsWith("[]")) return `cannot restore slice from ${kind}`;
  if (type.startsWith("map[")) return `cannot restore map from ${kind}`;
  return type.startsWith("v1.") ? `cannot restore struct from: ${kind}` : `unrecognized type: ${type}`;
}

/** Members a patch leads through; those of the others stand as they were. */
interface Touched {
  readonly [member: string]: Touched;
}

function touchedBy(body: unknown): Touched {
  return Array.isArray(body) ? touchedBySteps(body) : touchedByMerge(body);
}

function touchedByMerge(body: unknown): Touched {
  return isJsonObject(body)
    ? Object.fromEntries(Object.entries(body).map(([key, value]) => [key, touchedByMerge(value)]))
    : {};
}

function touchedBySteps(steps: readonly unknown[]): Touched {
  const root: Record<string, Touched> = {};
  for (const each of steps) {
    const path = isJsonObject(each) ? each["path"] : undefined;
    let at: Record<string, Touched> = root;
    for (const step of String(path ?? "")
      .split("/")
      .slice(1)) {
      const next = Object.hasOwn(at, step) ? (at[step] as Record<string, Touched>) : {};
      at[step] = next;
      at = next;
    }
  }
  return root;
}

const METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/** The object a patch led to as Go writes it: what it went through by the order of names, all else in the order of types. */
function patchedText(patched: KubeObject, body: unknown): string {
  const order = (goFields(METADATA) ?? []).map(({ json }) => json);
  const metadata = Object.fromEntries(
    Object.entries(patched.metadata ?? {}).sort(([left], [right]) => order.indexOf(left) - order.indexOf(right)),
  );
  return textOf({ ...patched, metadata }, touchedBy(body));
}

function textOf(value: unknown, touched: Touched | undefined): string {
  if (touched === undefined || !isJsonObject(value) || Object.keys(touched).length === 0) return goJson(value ?? null);
  const members = Object.entries(value)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, member]) => `${goJson(key)}:${textOf(member, Object.hasOwn(touched, key) ? touched[key] : undefined)}`);
  return `{${members.join(",")}}`;
}

/** The target after the patch, whatever came of it. */
function patchedBy(definition: ResourceDefinition, { patchType, body }: PatchRequest, target: KubeObject): KubeObject {
  let patched: unknown;
  try {
    if (patchType === "application/json-patch+json") {
      if (!Array.isArray(body))
        throw new PatchError(
          `error decoding patch: json: cannot unmarshal ${jsonType(body)} into Go value of type []handlers.jsonPatchOp`,
        );
      patched = applyJsonPatch<unknown>(target, body as readonly JsonPatchOperation[], { replacesMissing: true });
      if (isDeeperThan(patched, DEPTH_MAX)) throw new PatchError("exceeded max depth");
    } else if (!isJsonObject(body))
      throw new PatchError(
        `error decoding patch: json: cannot unmarshal ${jsonType(body)} into Go value of type map[string]interface {}`,
      );
    else if (patchType === "application/merge-patch+json") patched = applyMergePatch(target, body);
    else if (patchType === "application/strategic-merge-patch+json" && definition.origin === "builtin")
      patched = applyStrategicMergePatch(target, body, definition.schema);
    else throw unknownPatch();
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    if (patchType === "application/json-patch+json" && Array.isArray(body))
      throw apiError(422, "Invalid", "the server rejected our request due to an error in our request", {});
    if (error.isFailure) throw plainFailure(error.message);
    throw badRequest(error.message);
  }
  if (!isJsonObject(patched)) throw badRequest("the patched object is no object");
  return patched as unknown as KubeObject;
}

const unknownPatch = () => apiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {});

const jsonType = (value: unknown) =>
  Array.isArray(value) ? "array" : value === null ? "null" : typeof value === "boolean" ? "bool" : typeof value;

function isDeeperThan(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (depth === 0) return true;
  for (const member of Object.values(value)) if (isDeeperThan(member, depth - 1)) return true;
  return false;
}
