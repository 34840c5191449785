/** What patches other than server-side apply make of an object, and how mistakes in them are told. */
import {
  ApiError,
  apiError,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  apiVersionOf,
  badRequest,
  fieldInvalid,
  goJson,
  goSorted,
  type GroupVersionKind,
  goText,
  invalid,
  isJsonObject,
  type JsonPatchOperation,
  type KubeObject,
  PatchError,
  plainFailure,
  setOwn,
  type ResourceRequest,
  writeJson,
  type WriteOptions,
} from "#machinery";
import { goFields } from "../builtin/go-shape.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { admitBody, admitVersionless, notAnObject } from "./body.ts";
import { firstMismatch, goMismatch, isInt64, type Mismatch } from "./go-decoding.ts";

type PatchRequest = Extract<ResourceRequest, { verb: "patch" }>;

/** Levels of nesting a patch may lead to; bodies are bounded by the same number. */
const DEPTH_MAX = 1_000;

/** Reads a patched object as a body is read. */
export function admitPatched(
  definition: ResourceDefinition,
  patched: KubeObject,
  options: WriteOptions,
  context: RequestContext,
  isKnown: (kind: GroupVersionKind) => boolean,
  known?: KubeObject,
): KubeObject {
  const { apiVersion, kind }: { readonly apiVersion?: unknown; readonly kind?: unknown } = patched;
  const isVersionless = definition.origin === "builtin" && (apiVersion === undefined || apiVersion === "");
  return isVersionless && (kind === undefined || typeof kind === "string")
    ? admitVersionless(definition, patched, options, context, isKnown)
    : admitBody(definition, patched, options, context, isKnown, known);
}

/** What a decoder refuses in a patched object is a mistake of the patch. */
export function asPatch(
  definition: ResourceDefinition,
  patchType: string,
  body: unknown,
  patched: KubeObject,
  target: KubeObject,
  decode: () => KubeObject,
): KubeObject {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== "BadRequest") throw error;
    const isStrategic = patchType === "application/strategic-merge-patch+json";
    const shown = isStrategic
      ? goText(body)
      : patchedText(definition, patched, touchedBy(body, target), !Array.isArray(body));
    const [noKind] = /Object 'Kind' is missing in '/.exec(error.message) ?? [];
    const plain =
      noKind !== undefined
        ? `${noKind}${shown}'`
        : error.message.replace(/^\S* ?in version "[^"]*" cannot be handled as a \w+: /, "");
    const why = isStrategic ? restoringText(definition, patched, plain) : inOrder(definition, shown, plain);
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

/**
 * What strategic patches and applies say where an object cannot be read: they make Go values of what was decoded before,
 * and fail in other words than JSON. `text` is what JSON would say.
 */
export function restoringText({ schema }: ResourceDefinition, object: KubeObject, text: string): string {
  return restoring(text, schema === undefined ? undefined : firstMismatch(schema, object));
}

/** `mismatch` is what could not be decoded. */
function restoring(text: string, mismatch: Mismatch | undefined): string {
  if (text.startsWith("illegal base64 data")) return `error decoding from json: ${text}`;
  const [, found = "", type] =
    /^(?:couldn't get version\/kind; json parse error: )?json: cannot unmarshal (\w+).* of type (.*)$/.exec(text) ?? [];
  if (type === undefined) return text;
  const isFraction =
    /^json: cannot unmarshal number \d*\./.test(text) ||
    (typeof mismatch?.value === "number" && !isInt64(mismatch.value));
  const kind = found === "number" ? (isFraction ? "float64" : "int64") : (GO_KINDS[found] ?? found);
  if (mismatch?.isSelfRead === true) {
    const [, shown = found] = /^json: cannot unmarshal (.+) into Go struct field/.exec(text) ?? [];
    return `json: cannot unmarshal ${shown} into Go value of type ${mismatch.isIntOrString ? "int32" : "string"}`;
  }
  if (type.startsWith("[]")) return `cannot restore slice from ${kind}`;
  if (type.startsWith("map[") || mismatch?.wanted === "map") return `cannot restore map from ${kind}`;
  if (/^v\d\w*\./.test(type) && mismatch?.wanted !== "string") return `cannot restore struct from: ${kind}`;
  // Go makes letters of whole numbers, and whole numbers of fractions, which is refused in other words.
  const isNumber = /^u?int/.test(type);
  if ((kind === "int64" && !isNumber) || (kind === "float64" && isNumber)) return `cannot convert ${kind} to ${type}`;
  return `unrecognized type: ${isNumber || type === "bool" || type === "float64" ? type : "string"}`;
}

/** Members a patch leads through; those of the others stand as they were. */
interface Touched {
  readonly [member: string]: Touched;
}

/** What was put there as it was sent, and not read. */
const UNREAD: Touched = {};

function touchedBy(body: unknown, target: unknown): Touched {
  return Array.isArray(body) ? touchedBySteps(body) : touchedByMerge(body, target);
}

function touchedByMerge(body: unknown, target: unknown): Touched {
  // What takes the place of an object and is none is not looked into.
  if (!isJsonObject(body)) return isJsonObject(target) ? UNREAD : {};
  const present = isJsonObject(target) ? target : {};
  return Object.fromEntries(
    Object.entries(body).map(([key, value]) => [
      key,
      touchedByMerge(value, Object.hasOwn(present, key) ? present[key] : undefined),
    ]),
  );
}

function touchedBySteps(steps: readonly unknown[]): Touched {
  const root: Record<string, Touched> = {};
  const walk = (pointer: unknown): { readonly holder: Record<string, Touched>; readonly last: string } => {
    const names = String(pointer ?? "")
      .split("/")
      .slice(1)
      .map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = names.pop() ?? "";
    let holder: Record<string, Touched> = root;
    for (const name of names) {
      const next = Object.hasOwn(holder, name) ? (holder[name] as Record<string, Touched>) : {};
      setOwn(holder, name, next);
      holder = next;
    }
    if (!Object.hasOwn(holder, last)) setOwn(holder, last, {});
    return { holder, last };
  };
  for (const step of steps.filter(isJsonObject)) {
    const from = step["from"] === undefined ? undefined : walk(step["from"]);
    const { holder, last } = walk(step["path"]);
    // What is moved or copied was gone through as far as its source was.
    if (from !== undefined) setOwn(holder, last, structuredClone(from.holder[from.last] ?? {}));
    else if (step["op"] === "add" || step["op"] === "replace") setOwn(holder, last, {});
  }
  return root;
}

const METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/** The object a patch led to as Go writes it: what it went through by the order of names, all else in the order of types. */
function patchedText({ origin }: ResourceDefinition, patched: KubeObject, touched: Touched, isMerged: boolean): string {
  // Custom objects are maps, and maps have the order of their keys.
  if (origin === "custom") return goSorted(patched);
  if (!isJsonObject(patched.metadata)) return textOf(patched, touched, isMerged);
  const order = (goFields(METADATA) ?? []).map(({ json }) => json);
  const metadata = Object.fromEntries(
    Object.entries(patched.metadata ?? {}).sort(([left], [right]) => order.indexOf(left) - order.indexOf(right)),
  );
  const shown = withSortedFields({ ...patched, metadata });
  return textOf(shown, touched, isMerged);
}

/** Sets of fields have an order of their own wherever they stand: that of their members' names. */
function withSortedFields(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withSortedFields);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      name === "fieldsV1" ? sorted(member) : withSortedFields(member),
    ]),
  );
}

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
  if (touched === UNREAD) return goJson(value ?? null);
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
      patched = withOwnKind(definition, applyStrategicMergePatch(target, body, definition.schema));
    else throw unknownPatch();
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    if (patchType === "application/json-patch+json" && Array.isArray(body)) throw rejected();
    if (error.isFailure) throw plainFailure(error.message);
    throw badRequest(error.message);
  }
  if (!isJsonObject(patched)) {
    if (!Array.isArray(patched)) throw rejected();
    const shown = writeJson(patched);
    throw invalid({ group: "", kind: "" }, "", [fieldInvalid("patch", shown, notAnObject(patched).message)]);
  }
  return patched as unknown as KubeObject;
}

/** A strategic patch is read into the type of its target, whatever kind it says it is. */
function withOwnKind({ kind }: ResourceDefinition, patched: unknown): unknown {
  if (!isJsonObject(patched)) return patched;
  const isText = (name: string) => (patched[name] ?? undefined) === undefined || typeof patched[name] === "string";
  return isText("apiVersion") && isText("kind")
    ? { ...patched, apiVersion: apiVersionOf(kind), kind: kind.kind }
    : patched;
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
