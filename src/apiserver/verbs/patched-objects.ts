/** What patches other than server-side apply make of an object, and how mistakes in them are told. */
import {
  ApiError,
  apiError,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  badRequest,
  fieldInvalid,
  goJson,
  goText,
  invalid,
  isJsonObject,
  type JsonPatchOperation,
  type KubeObject,
  PatchError,
  plainFailure,
  type ResourceRequest,
} from "#machinery";
import { goFields } from "../builtin/go-shape.ts";
import type { ResourceDefinition } from "../definition.ts";

type PatchRequest = Extract<ResourceRequest, { verb: "patch" }>;

/** Levels of nesting a patch may lead to; bodies are bounded by the same number. */
const DEPTH_MAX = 1_000;

/** What a decoder refuses in a patched object is a mistake of the patch. */
export function asPatch(patchType: string, body: unknown, patched: KubeObject, decode: () => KubeObject): KubeObject {
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
  const { managedFields } = patched.metadata ?? {};
  const shown = !Array.isArray(managedFields)
    ? metadata
    : { ...metadata, managedFields: (managedFields as readonly unknown[]).map(withSortedFields) };
  return textOf({ ...patched, metadata: shown }, touchedBy(body));
}

/** Sets of fields have an order of their own: that of their members' names. */
const withSortedFields = (entry: unknown): unknown =>
  isJsonObject(entry) && entry["fieldsV1"] !== undefined ? { ...entry, fieldsV1: sorted(entry["fieldsV1"]) } : entry;

const sorted = (value: unknown): unknown =>
  isJsonObject(value)
    ? Object.fromEntries(
        Object.entries(value)
          .sort(([left], [right]) => (left < right ? -1 : 1))
          .map(([key, member]) => [key, sorted(member)]),
      )
    : value;

function textOf(value: unknown, touched: Touched | undefined): string {
  if (touched !== undefined && Array.isArray(value))
    return `[${value.map((item, at) => textOf(item, touched[at])).join(",")}]`;
  if (touched === undefined || !isJsonObject(value) || Object.keys(touched).length === 0) return goJson(value ?? null);
  const members = Object.entries(value)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, member]) => `${goJson(key)}:${textOf(member, Object.hasOwn(touched, key) ? touched[key] : undefined)}`);
  return `{${members.join(",")}}`;
}

/** The target after the patch, whatever came of it. */
export function patchedBy(
  definition: ResourceDefinition,
  { patchType, body }: PatchRequest,
  target: KubeObject,
): KubeObject {
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
