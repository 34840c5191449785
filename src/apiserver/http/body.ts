import { LineCounter, parseDocument, visit } from "yaml";
import {
  apiError,
  asJsonNumber,
  badRequest,
  isJsonObject,
  parseJson,
  type PatchType,
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
function summary(text: string): string {
  if (text.length === 0) return "<empty>";
  const bytes = Buffer.from(text.slice(0, SHOWN_BYTES + 1));
  const isLong = Buffer.byteLength(text) > SHOWN_BYTES;
  const start = text.startsWith("{")
    ? bytes.subarray(0, SHOWN_BYTES).toString()
    : bytes.subarray(0, SHOWN_BYTES).toString("hex");
  return isLong ? `${start} ...` : start;
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
        for (const { key } of map.items) {
          const name = isJsonObject(key) && "value" in key ? key["value"] : undefined;
          const range = isJsonObject(key) ? (key["range"] as readonly number[] | undefined) : undefined;
          if (name !== undefined && seen.has(name))
            repeated.push(
              `  line ${lines.linePos(range?.[0] ?? 0).line}: key ${JSON.stringify(name)} already set in map`,
            );
          seen.add(name);
        }
      },
    });
    return {
      value: document.toJS({
        reviver: (_key, value: unknown) => (typeof value === "bigint" ? asJsonNumber(value) : value),
      }) as unknown,
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
  { origin }: Pick<ResourceDefinition, "origin">,
  kind: string,
  isStrict: boolean,
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
  // Each line is a warning of its own; a refusal tells them as they are.
  return origin === "custom" && !isStrict ? { ...sent, strictErrors: sent.strictErrors.flatMap(linesOfYaml) } : sent;
}

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
          summary(bytes.toString("latin1")),
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
    badRequest(refusal(`couldn't get version/kind; json parse error: ${why}`, summary(text)));
  const sent = isYaml ? readYaml(text, refuse, isExact) : readJson(text, refuse, isExact);
  if (sent.value !== null && !isJsonObject(sent.value)) {
    throw badRequest(refusal(notAnObject(sent.value).message, summary(text)));
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
  // The operations of a JSON patch keep their numbers as they are written.
  if (sent.tooLarge !== undefined && type !== "application/json-patch+json")
    throw badRequest(`${prefix}json: cannot unmarshal number ${sent.tooLarge} into Go value of type float64`);
  return sent;
}

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
