import { Document, isScalar, parseDocument, type Tags, visit } from "yaml";
import type { Overriders } from "#apis/karmada";
import {
  applyJsonPatch,
  getPath,
  isJsonObject,
  type JsonPatchOperation,
  type KubeObject,
  parsePointer,
  setPath,
} from "#machinery";
import { changeImage, formatImage, parseImage } from "./image.ts";
import { type JsonText, readJsonText, writeJsonText } from "./json-text.ts";

type Json = Readonly<Record<string, unknown>>;
interface Operation {
  readonly operator: string;
  readonly path?: string;
  readonly subPath?: string;
  readonly value?: unknown;
}

const TEMPLATED = new Set(["ReplicaSet", "Deployment", "DaemonSet", "StatefulSet", "Job"]);
/** An `add` makes the parents it lacks (see docs/decisions); everything else is as strict as upstream. */
const LENIENT = { createsParents: true };

/** Applies the overriders of one rule, in their fixed order. Throws when one cannot be applied. */
export function applyOverriders(object: KubeObject, overriders: Overriders): KubeObject {
  let result = object;
  for (const overrider of (overriders.imageOverrider ?? []) as readonly ImageOverrider[])
    result = overrideImage(result, overrider);
  for (const overrider of overriders.commandOverrider ?? []) result = overrideList(result, "command", overrider);
  for (const overrider of overriders.argsOverrider ?? []) result = overrideList(result, "args", overrider);
  for (const overrider of overriders.labelsOverrider ?? []) result = overrideKeys(result, "labels", overrider);
  for (const overrider of overriders.annotationsOverrider ?? [])
    result = overrideKeys(result, "annotations", overrider);
  for (const overrider of (overriders.fieldOverrider ?? []) as readonly FieldOverrider[])
    result = overrideField(result, overrider);
  const plaintext = (overriders.plaintext ?? []) as readonly Operation[];
  if (plaintext.length > 0) {
    result = patch(
      result,
      plaintext.map(({ operator, path = "", value }) => ({ op: operator, path, value })),
    );
    if (!isJsonObject(result) || typeof result.kind !== "string" || result.kind === "")
      throw new Error("Object 'Kind' is missing in the overridden object");
  }
  return result;
}

interface ImageOverrider {
  readonly predicate?: { readonly path: string };
  readonly component: string;
  readonly operator: string;
  readonly value?: string;
}

interface FieldOverrider {
  readonly fieldPath: string;
  readonly json?: readonly Operation[];
  readonly yaml?: readonly Operation[];
}

/** A path without its leading slash loses its first segment, as upstream's patch library has it. */
const settledPath = (path: string) =>
  path === "" || path.startsWith("/") ? path : path.includes("/") ? path.slice(path.indexOf("/")) : "";

function patch<T>(document: T, operations: readonly JsonPatchOperation[]): T {
  return applyJsonPatch(
    document,
    operations.map((operation) => ({ ...operation, path: settledPath(operation.path) })),
    LENIENT,
  );
}

function containersPath(object: KubeObject): readonly string[] | undefined {
  if (object.kind === "Pod") return ["spec", "containers"];
  return TEMPLATED.has(object.kind) ? ["spec", "template", "spec", "containers"] : undefined;
}

function overrideImage(object: KubeObject, { predicate, component, operator, value = "" }: ImageOverrider): KubeObject {
  const change = (text: unknown, where: string): string => {
    if (typeof text !== "string") throw new Error(`${where} is no text`);
    return formatImage(changeImage(parseImage(text), component, operator, value));
  };
  if (predicate !== undefined) {
    if (!predicate.path.startsWith("/"))
      throw new Error(`predicate path ${JSON.stringify(predicate.path)} should start with "/" character`);
    const steps = parsePointer(predicate.path);
    return setPath(object, arraySteps(object, steps), change(getPath(object, ...steps), predicate.path));
  }
  const path = containersPath(object);
  const containers = path === undefined ? undefined : getPath(object, ...path);
  if (path === undefined || !Array.isArray(containers)) return object;
  return setPath(
    object,
    path,
    (containers as readonly Json[]).map((container, at) =>
      container["image"] === undefined
        ? container
        : { ...container, image: change(container["image"], `containers[${at}].image`) },
    ),
  );
}

/** Pointer steps with indexes as numbers where the value is an array. */
function arraySteps(value: unknown, steps: readonly string[]): (string | number)[] {
  let at = value;
  return steps.map((step) => {
    const next = Array.isArray(at) ? Number(step) : step;
    at = getPath(at, next);
    return next;
  });
}

function overrideList(
  object: KubeObject,
  field: "command" | "args",
  overrider: { readonly containerName: string; readonly operator: string; readonly value?: readonly string[] },
): KubeObject {
  const path = containersPath(object);
  const containers = path === undefined ? undefined : getPath(object, ...path);
  if (path === undefined || !Array.isArray(containers)) return object;
  const values = overrider.value ?? [];
  return setPath(
    object,
    path,
    (containers as readonly Json[]).map((container) => {
      if (container["name"] !== overrider.containerName) return container;
      const present = ((container[field] ?? []) as readonly unknown[]).map(String);
      const next =
        overrider.operator === "add" ? [...present, ...values] : present.filter((item) => !values.includes(item));
      return { ...container, [field]: next };
    }),
  );
}

function overrideKeys(
  object: KubeObject,
  field: "labels" | "annotations",
  overrider: { readonly operator: string; readonly value?: Readonly<Record<string, string>> },
): KubeObject {
  const present = object.metadata[field];
  const entries = Object.entries(overrider.value ?? {}).map(
    ([key, value]) => [key.replaceAll("~1", "/").replaceAll("~0", "~"), value] as const,
  );
  if (overrider.operator === "add") {
    if (entries.length === 0) return object;
    return { ...object, metadata: { ...object.metadata, [field]: { ...present, ...Object.fromEntries(entries) } } };
  }
  if (present === undefined) return object;
  const result: Record<string, string> = { ...present };
  for (const [key, value] of entries) {
    if (result[key] === undefined) continue;
    if (overrider.operator === "remove") delete result[key];
    else result[key] = value;
  }
  return { ...object, metadata: { ...object.metadata, [field]: result } };
}

function overrideField(object: KubeObject, { fieldPath, json, yaml }: FieldOverrider): KubeObject {
  const steps = arraySteps(object, parsePointer(fieldPath));
  const held = getPath(object, ...steps);
  if (typeof held !== "string")
    throw new Error(`the value at ${fieldPath} is ${held === undefined ? "missing" : "no text"}`);
  // Secrets keep their data in base64: the document is what it decodes to.
  const isEncoded = object.kind === "Secret" && object.apiVersion === "v1" && steps[0] === "data";
  const text = isEncoded ? Buffer.from(held, "base64").toString("utf8") : held;
  const operations = (list: readonly Operation[]) =>
    list.map(({ operator, subPath = "", value }) => ({ op: operator, path: subPath, value }));
  let changed = text;
  if (json !== undefined && json.length > 0) {
    const source = readJson(text, fieldPath);
    changed = writeJsonText(patch(source.value, operations(json)), source);
  } else if (yaml !== undefined && yaml.length > 0)
    changed = writeYaml(patch(readYaml(text, fieldPath), operations(yaml)));
  return setPath(object, steps, isEncoded ? Buffer.from(changed).toString("base64") : changed);
}

function readJson(text: string, path: string): JsonText {
  try {
    return readJsonText(text);
  } catch (error) {
    throw new Error(`the value at ${path} is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const withoutTimes = (tags: Tags): Tags =>
  tags.filter((tag) => typeof tag === "string" || tag.tag !== "tag:yaml.org,2002:timestamp");

function readYaml(text: string, path: string): unknown {
  // Only the first document of a stream counts.
  const [first = ""] = text.split(/^---$/m).filter((part, at) => at > 0 || part.trim() !== "");
  const document = parseDocument(first, { version: "1.1", customTags: withoutTimes, intAsBigInt: true });
  const [error] = document.errors;
  if (error !== undefined) throw new Error(`the value at ${path} is no YAML: ${error.message}`);
  return document.toJS() as unknown;
}

/** Sorted keys; texts that would read as something else in double quotes, others that need it in single ones. */
function writeYaml(value: unknown): string {
  const document = new Document(sorted(value), {
    version: "1.1",
    customTags: withoutTimes,
    aliasDuplicateObjects: false,
  });
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value !== "string") return;
      const read = parseDocument(node.value, { version: "1.1" });
      const isAmbiguous =
        read.errors.length === 0 &&
        isScalar(read.contents) &&
        typeof read.contents.value !== "string" &&
        node.value !== "";
      if (isAmbiguous) node.type = "QUOTE_DOUBLE";
    },
  });
  return document.toString({ indentSeq: false, lineWidth: 0, singleQuote: true, blockQuote: "literal" });
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}
