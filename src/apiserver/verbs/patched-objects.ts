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
  goSorted,
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
import { firstMismatch, goMismatch, type Mismatch } from "./go-decoding.ts";

type PatchRequest = Extract<ResourceRequest, { verb: "patch" }>;

/** Levels of nesting a patch may lead to; bodies are bounded by the same number. */
const DEPTH_MAX = 1_000;

/** What a decoder refuses in a patched object is a mistake of the patch. */
export function asPatch(
  definition: ResourceDefinition,
  patchType: string,
  body: unknown,
  patched: KubeObject,
  decode: () => KubeObject,
): KubeObject {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== "BadRequest") throw error;
    const isStrategic = patchType === "application/strategic-merge-patch+json";
    const shown = isStrategic ? goText(body) : patchedText(definition, patched, body);
    const [noKind] = /Object 'Kind' is missing in '/.exec(error.message) ?? [];
    const plain =
      noKind !== undefined
        ? `${noKind}${shown}'`
        : error.message.replace(/^\S* ?in version "[^"]*" cannot be handled as a \w+: /, "");
    const why = isStrategic ? restoring(plain, mismatchOf(definition, patched)) : inOrder(definition, shown, plain);
    throw invalid({ group: "", kind: "" }, "", [fieldInvalid("patch", shown, why)]);
  }
}

/** Of several mistakes the one that comes first in the text Go reads. */
function inOrder({ schema, origin, kind }: ResourceDefinition, shown: string, plain: string): string {
  const isOfField = /^json: cannot unmarshal .* into Go struct field (?!ObjectMeta)/.test(plain);
  if (schema === undefined || origin !== "builtin" || !isOfField) return plain;
  return goMismatch(schema, JSON.parse(shown), kind.kind) ?? plain;
}

const GO_KINDS: Readonly<Record<string, string>> = { object: "map", array: "slice" };
const mismatchOf = ({ schema }: ResourceDefinition, patched: KubeObject): Mismatch | undefined =>
  schema === undefined ? undefined : firstMismatch(schema, patched);

/** Strategic patches are decoded another way than JSON, and fail in other words. `mismatch` is what could not be decoded. */
function restoring(text: string, mismatch: Mismatch | undefined): string {
  const [, found = "", type] =
    /^(?:couldn't get version\/kind; json parse error: )?json: cannot unmarshal (\w+).* of type (.*)$/.exec(text) ?? [];
  if (type === undefined) return text;
  const isFraction =
    /^json: cannot unmarshal number \d*\./.test(text) ||
    (typeof mismatch?.value === "number" && !Number.isSafeInteger(mismatch.value));
  const kind = found === "number" ? (isFraction ? "float64" : "int64") : (GO_KINDS[found] ?? found);
  if (/\.(?:creation|deletion)Timestamp of type/.test(text))
    return `json: cannot unmarshal ${found} into Go value of type string`;
  if (type.startsWith("[]")) return `cannot restore slice from ${kind}`;
  if (type.startsWith("map[") || mismatch?.wanted === "map") return `cannot restore map from ${kind}`;
  if (type.startsWith("v1.") && mismatch?.wanted !== "string") return `cannot restore struct from: ${kind}`;
  // Go makes letters of whole numbers, and whole numbers of fractions, which is refused in other words.
  const isNumber = /^u?int/.test(type);
  if ((kind === "int64" && !isNumber) || (kind === "float64" && isNumber)) return `cannot convert ${kind} to ${type}`;
  return `unrecognized type: ${isNumber || type === "bool" || type === "float64" ? type : "string"}`;
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
  for (const path of steps.flatMap((each) => (isJsonObject(each) ? [each["path"], each["from"]] : []))) {
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
function patchedText({ origin }: ResourceDefinition, patched: KubeObject, body: unknown): string {
  // Custom objects are maps, and maps have the order of their keys.
  if (origin === "custom") return goSorted(patched);
  if (!isJsonObject(patched.metadata)) return textOf(patched, touchedBy(body), !Array.isArray(body));
  const order = (goFields(METADATA) ?? []).map(({ json }) => json);
  const metadata = Object.fromEntries(
    Object.entries(patched.metadata ?? {}).sort(([left], [right]) => order.indexOf(left) - order.indexOf(right)),
  );
  const { managedFields } = patched.metadata ?? {};
  const shown = !Array.isArray(managedFields)
    ? metadata
    : { ...metadata, managedFields: (managedFields as readonly unknown[]).map(withSortedFields) };
  return textOf({ ...patched, metadata: shown }, touchedBy(body), !Array.isArray(body));
}

/** Sets of fields have an order of their own: that of their members' names. */
const withSortedFields = (entry: unknown): unknown =>
  isJsonObject(entry) && entry["fieldsV1"] !== undefined ? { ...entry, fieldsV1: sorted(entry["fieldsV1"]) } : entry;

const sorted = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(sorted)
    : isJsonObject(value)
      ? Object.fromEntries(
          Object.entries(value)
            .sort(([left], [right]) => (left < right ? -1 : 1))
            .map(([key, member]) => [key, sorted(member)]),
        )
      : value;

/** `isMerged` says that what a patch put there was read before, so that it has the order of its keys. */
function textOf(value: unknown, touched: Touched | undefined, isMerged: boolean): string {
  if (isMerged && touched !== undefined && Object.keys(touched).length === 0) return goSorted(value ?? null);
  if (touched !== undefined && Array.isArray(value))
    return `[${value.map((item, at) => textOf(item, touched[at], isMerged)).join(",")}]`;
  if (touched === undefined || !isJsonObject(value) || Object.keys(touched).length === 0) return goJson(value ?? null);
  const members = Object.entries(value)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(
      ([key, member]) =>
        `${goJson(key)}:${textOf(member, Object.hasOwn(touched, key) ? touched[key] : undefined, isMerged)}`,
    );
  return `{${members.join(",")}}`;
}

/** The target after the patch, whatever came of it. */
export function patchedBy(
  definition: ResourceDefinition,
  { patchType, body, options }: PatchRequest,
  target: KubeObject,
): KubeObject {
  let patched: unknown;
  try {
    if (patchType === "application/json-patch+json") {
      // Nothing is a list of no operations.
      if (body !== null && !Array.isArray(body))
        throw new PatchError(
          `error decoding patch: json: cannot unmarshal ${jsonType(body)} into Go value of type []handlers.jsonPatchOp`,
        );
      mustBeOperations(body ?? []);
      patched = applyJsonPatch<unknown>(target, (body ?? []) as readonly JsonPatchOperation[], {
        replacesMissing: true,
      });
      if (isDeeperThan(patched, DEPTH_MAX)) throw new PatchError("exceeded max depth");
    } else if (!isJsonObject(body))
      throw new PatchError(
        patchType === "application/merge-patch+json" && (body === null || options?.fieldValidation === "Ignore")
          ? "Invalid JSON Patch"
          : `${patchType === "application/merge-patch+json" ? "error decoding patch: " : ""}json: cannot unmarshal ${jsonType(body)} into Go value of type map[string]interface {}`,
      );
    else if (patchType === "application/merge-patch+json") patched = applyMergePatch(target, body);
    else if (patchType === "application/strategic-merge-patch+json" && definition.origin === "builtin")
      patched = applyStrategicMergePatch(target, body, definition.schema);
    else throw unknownPatch();
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    if (patchType === "application/json-patch+json" && Array.isArray(body)) throw rejected();
    if (error.isFailure) throw plainFailure(error.message);
    throw badRequest(error.message);
  }
  if (!isJsonObject(patched)) throw rejected();
  return patched as unknown as KubeObject;
}

/** Refuses what Go cannot read into its type of an operation. */
function mustBeOperations(steps: readonly unknown[]): void {
  const refuse = (found: unknown, where: string) =>
    badRequest(`error decoding patch: json: cannot unmarshal ${jsonType(found)} into Go ${where}`);
  for (const step of steps) {
    if (step === null) continue;
    if (!isJsonObject(step)) throw refuse(step, "value of type handlers.jsonPatchOp");
    for (const [name, value] of Object.entries(step))
      if ((name === "op" || name === "path" || name === "from") && typeof value !== "string" && value !== null)
        throw refuse(value, `struct field jsonPatchOp.${name} of type string`);
  }
}

const rejected = () => apiError(422, "Invalid", "the server rejected our request due to an error in our request", {});

const unknownPatch = () => apiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {});

const jsonType = (value: unknown) =>
  Array.isArray(value) ? "array" : value === null ? "null" : typeof value === "boolean" ? "bool" : typeof value;

function isDeeperThan(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (depth === 0) return true;
  for (const member of Object.values(value)) if (isDeeperThan(member, depth - 1)) return true;
  return false;
}
