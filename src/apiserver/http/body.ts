import { LineCounter, parseDocument, visit } from "yaml";
import {
  apiError,
  asJsonNumber,
  badRequest,
  isJsonObject,
  parseJson,
  type PatchType,
  setOwn,
  writeJson,
  type WriteOptions,
} from "#machinery";
import type { ResourceDefinition } from "../definition.ts";
import { decodeProtobuf } from "../protobuf/codec.ts";
import { notAnObject } from "../verbs/body.ts";
import { scanJson } from "./json-text.ts";
import { mediaTypeOf } from "./negotiation.ts";

/** What a client sent, and what a strict reader would refuse in it. */
export interface SentBody {
  readonly value: unknown;
  /** Members given twice, in the words of a strict decoder. */
  readonly strictErrors: readonly string[];
  /** A number that is larger than any can be held. */
  readonly tooLarge?: string;
}

/** Deeper values than any kind has; readers and writers of values may rely on it. */
const DEPTH_MAX = 1_000;
const SHOWN_BYTES = 30;
const PROTOBUF_PREFIX = Buffer.from([107, 56, 115, 0]);

/** The beginning of a body in a message about it. */
function summary(body: Buffer): string {
  if (body.length === 0) return "<empty>";
  const shown = body.subarray(0, SHOWN_BYTES);
  const start = shown.toString(shown.toString("latin1").startsWith("{") ? "utf8" : "hex");
  return body.length > SHOWN_BYTES ? `${start} ...` : start;
}

const tooDeep = () => badRequest("exceeded max depth");

/**
 * Reads JSON; `refuse` makes the error of a text that is none. With `isExact` whole numbers of 64 bits keep their digits,
 * which only custom objects do.
 */
export function readJson(text: string, refuse: (why: string) => Error, isExact = false): SentBody {
  const { duplicates, isTooDeep, error, tooLarge } = scanJson(text, DEPTH_MAX);
  if (isTooDeep) throw tooDeep();
  if (error !== undefined) throw refuse(error);
  let value: unknown;
  try {
    value = isExact ? parseJson(text) : (JSON.parse(text) as unknown);
  } catch (problem) {
    throw refuse(problem instanceof Error ? problem.message : String(problem));
  }
  return {
    value: /\\u[dD][89a-fA-F]/.test(text) ? wellFormed(value) : value,
    strictErrors: duplicates.map((path) => `duplicate field ${JSON.stringify(path)}`),
    ...(tooLarge === undefined ? {} : { tooLarge }),
  };
}

/** A value whose texts are Unicode: halves of letters become the sign for what is none, as in Go. */
function wellFormed(value: unknown): unknown {
  if (typeof value === "string") return Buffer.from(value).toString();
  if (Array.isArray(value)) return value.map(wellFormed);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [Buffer.from(key).toString(), wellFormed(member)]),
  );
}

/** Go makes JSON of YAML first, with members by their names: of several mistakes it finds the first in that order. */
function byName(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(byName);
  if (!isJsonObject(value)) return value;
  const sorted: Record<string, unknown> = {};
  for (const name of Object.keys(value).sort()) setOwn(sorted, name, byName(value[name]));
  return sorted;
}

/** Where a node of a YAML document begins. */
const startOf = (node: unknown): number | undefined =>
  isJsonObject(node) ? (node["range"] as readonly number[] | undefined)?.[0] : undefined;

/** Reads YAML 1.1, which JSON is a part of. */
export function readYaml(text: string, refuse: (why: string) => Error, isExact = false): SentBody {
  if (text.trimStart().startsWith("{")) {
    const { error, isTooDeep, duplicates } = scanJson(text, DEPTH_MAX);
    if (error === undefined && !isTooDeep && duplicates.length === 0) return readJson(text, refuse, isExact);
  }
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, {
      version: "1.1",
      uniqueKeys: false,
      lineCounter: lines,
      intAsBigInt: isExact,
    });
    const [problem] = document.errors;
    if (problem !== undefined) throw problem;
    const repeated: string[] = [];
    visit(document, {
      Map(_key, map, path) {
        if (path.length > DEPTH_MAX * 2) throw tooDeep();
        const seen = new Set<unknown>();
        for (const { key, value } of map.items) {
          const name = isJsonObject(key) && "value" in key ? key["value"] : undefined;
          if (name !== undefined && seen.has(name))
            repeated.push(
              `  line ${lines.linePos(startOf(value) ?? startOf(key) ?? 0).line}: key ${JSON.stringify(name)} already set in map`,
            );
          seen.add(name);
        }
      },
    });
    return {
      value: byName(
        document.toJS({
          reviver: (_key, value: unknown) => (typeof value === "bigint" ? asJsonNumber(value) : value),
        }),
      ),
      strictErrors: repeated.length === 0 ? [] : [`yaml: unmarshal errors:\n${repeated.join("\n")}`],
    };
  } catch (error) {
    if (error instanceof Error && "status" in error) throw error;
    throw refuse(
      error instanceof RangeError ? "exceeded max depth" : error instanceof Error ? error.message : String(error),
    );
  }
}

/** The object in the body of a create or update. */
export function readObject(
  bytes: Buffer,
  contentType: string | undefined,
  { origin, kind: { version } }: Pick<ResourceDefinition, "origin" | "kind">,
  kind: string,
  validation: WriteOptions["fieldValidation"],
): SentBody {
  const sent = readBody(
    bytes,
    contentType,
    (why, shown) =>
      // Scales of custom objects are not among the kinds their server knows.
      origin === "custom" && kind === "Scale"
        ? 'no kind is registered for the type v1.Scale in scheme "pkg/runtime/scheme.go:111"'
        : `the object provided is unrecognized (must be of type ${kind}): ${why} (${shown})`,
    origin === "custom" && kind !== "Scale",
  );
  if (origin === "custom" && kind !== "Scale" && validation === "Ignore" && !namesKind(sent.value))
    throw badRequest(
      `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind}: Object 'Kind' is missing in '${writeJson(sent.value)}'`,
    );
  // Each line is a warning of its own; a refusal tells them as they are.
  return validation !== "Strict" ? { ...sent, strictErrors: sent.strictErrors.flatMap(linesOfYaml) } : sent;
}

const namesKind = (value: unknown): boolean => isJsonObject(value) && Boolean(value["kind"]);

/** Reads a body in any form. `refusal` makes the message about one that cannot be read, of why and of how it begins. */
function readBody(
  bytes: Buffer,
  contentType: string | undefined,
  refusal: (why: string, shown: string) => string,
  isExact = false,
): SentBody {
  const type = mediaTypeOf(contentType);
  if (type === "application/vnd.kubernetes.protobuf") {
    if (!bytes.subarray(0, 4).equals(PROTOBUF_PREFIX))
      throw badRequest(
        refusal(
          bytes.length === 0
            ? "empty data"
            : "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
          summary(bytes),
        ),
      );
    return { value: decodeProtobuf(bytes), strictErrors: [] };
  }
  if (type !== "application/json" && type !== "application/yaml")
    throw apiError(
      415,
      "UnsupportedMediaType",
      "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    );
  const text = bytes.toString("utf8");
  const isYaml = type === "application/yaml";
  const refuse = (why: string) =>
    badRequest(refusal(`couldn't get version/kind; json parse error: ${why}`, summary(bytes)));
  const sent = isYaml ? readYaml(text, refuse, isExact) : readJson(text, refuse, isExact);
  if (sent.value !== null && !isJsonObject(sent.value)) {
    throw badRequest(refusal(notAnObject(sent.value).message, summary(bytes)));
  }
  return sent;
}

/** The patch in the body of a patch request; the type is one that is known. */
export function readPatch(
  bytes: Buffer,
  type: PatchType,
  validation: WriteOptions["fieldValidation"],
  isExact = false,
): SentBody {
  const text = bytes.toString("utf8");
  if (type === "application/apply-patch+yaml") {
    const { value, strictErrors } = readYaml(text, (why) => badRequest(`error decoding YAML: ${why}`), isExact);
    if (validation === "Strict" && strictErrors.length > 0)
      throw badRequest(`error strict decoding YAML: error converting YAML to JSON: ${strictErrors.join("\n")}`);
    return { value, strictErrors: strictErrors.flatMap(linesOfYaml) };
  }
  const isMerge = type === "application/merge-patch+json";
  const prefix = type === "application/strategic-merge-patch+json" ? "" : "error decoding patch: ";
  const sent = readJson(
    text,
    (why) => badRequest(isMerge && validation === "Ignore" ? "Invalid JSON Patch" : `${prefix}${why}`),
    isExact,
  );
  if (type === "application/json-patch+json")
    return { ...sent, strictErrors: [...sent.strictErrors, ...unknownInSteps(sent.value)] };
  // The operations of a JSON patch keep their numbers as they are written.
  if (sent.tooLarge !== undefined)
    throw badRequest(`${prefix}json: cannot unmarshal number ${sent.tooLarge} into Go value of type float64`);
  return sent;
}

const STEP_MEMBERS = new Set(["op", "path", "from", "value"]);
/** Members of the operations of a JSON patch that no operation has. */
const unknownInSteps = (steps: unknown): readonly string[] =>
  (Array.isArray(steps) ? steps : []).flatMap((step: unknown, at) =>
    (isJsonObject(step) ? Object.keys(step) : []).flatMap((name) =>
      STEP_MEMBERS.has(name) ? [] : [`json patch unknown field ${JSON.stringify(`[${at}].${name}`)}`],
    ),
  );

const linesOfYaml = (error: string): readonly string[] =>
  error.startsWith("yaml: unmarshal errors:")
    ? error
        .split("\n")
        .slice(1)
        .map((line) => line.trim())
    : [error];

/** The options in the body of a deletion; `undefined` when there is none. */
export function readDeleteBody(
  bytes: Buffer,
  contentType: string | undefined,
): Readonly<Record<string, unknown>> | undefined {
  if (bytes.length === 0) return undefined;
  const { value } = readBody(bytes, contentType, (why) => why);
  if (value === null) return undefined;
  const { apiVersion, kind, ...options } = value as Readonly<Record<string, unknown>>;
  if (kind !== undefined && kind !== "" && kind !== "DeleteOptions")
    throw badRequest(
      `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion || "meta.k8s.io/v1")} in scheme "pkg/runtime/scheme.go:111"`,
    );
  return options;
}
