import { type ApiError, apiError } from "#machinery";

/** One media range of an Accept header. */
export interface MediaRange {
  /** As it was written: media types are compared letter by letter. */
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly quality: number;
}

const ANY = "*/*";

/** Clients send one of few headers, again and again. */
const parsed = new Map<string, readonly MediaRange[]>();
const PARSED_MAX = 100;

/**
 * Ranges of an Accept header, best first: by quality, and named types before those with a star. What is no range is
 * left out, a quality that is no number is none, and even a quality of nothing is taken where there is no better one.
 */
export function parseAccept(header: string | undefined): readonly MediaRange[] {
  const text = header === undefined || header === "" ? ANY : header;
  let ranges = parsed.get(text);
  if (ranges === undefined) {
    if (parsed.size >= PARSED_MAX) parsed.clear();
    parsed.set(text, (ranges = parseRanges(text)));
  }
  return ranges;
}

function parseRanges(header: string): readonly MediaRange[] {
  const ranges = header.split(",").flatMap((part): MediaRange[] => {
    const [range = "", ...rest] = part.split(";");
    const [main = "", sub, ...more] = range.split("/").map((piece) => piece.trim());
    if (more.length > 0 || ((sub ?? "") === "" && main !== "*")) return [];
    const parameters: Record<string, string> = {};
    let quality = 1;
    for (const [key, value = "", ...others] of rest.map((piece) => piece.split("="))) {
      if (value === "" || others.length > 0) continue;
      if (key?.trim() === "q") quality = numberIn(value);
      else if (value.trim() !== "") parameters[(key ?? "").trim()] = value.trim().replace(/^"|"$/g, "");
    }
    return [{ type: `${main}/${sub === undefined || sub === "" ? "*" : sub}`, parameters, quality }];
  });
  // What comes first of two may depend on which is asked about first, so that the way of sorting is part of the answer.
  for (let at = 1; at < ranges.length; at++)
    for (let to = at; to > 0 && isBefore(ranges[to] as MediaRange, ranges[to - 1] as MediaRange); to--)
      [ranges[to - 1], ranges[to]] = [ranges[to] as MediaRange, ranges[to - 1] as MediaRange];
  return ranges;
}

/** As the library Kubernetes uses has it: a range without a star comes before one with, even of a better quality. */
const isBefore = (one: MediaRange, other: MediaRange): boolean =>
  one.quality > other.quality || starsIn(one) < starsIn(other);

const numberIn = (text: string): number => {
  const number = /^\s|\s$/.test(text) ? Number.NaN : Number(text);
  return Number.isNaN(number) ? 0 : number;
};

const starsIn = ({ type }: MediaRange): number => (type === ANY ? 2 : type.endsWith("/*") ? 1 : 0);

/** The form an answer takes. */
export interface AnswerForm {
  readonly encoding: "json" | "yaml" | "protobuf";
  readonly as: "object" | "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList";
  /** The version of what is no whole object. */
  readonly version: "v1" | "v1beta1";
}

const ENCODINGS = [
  ["json", "application/json"],
  ["yaml", "application/yaml"],
  ["protobuf", "application/vnd.kubernetes.protobuf"],
] as const;

/** Metadata has a form of its own in every encoding, whatever it is the metadata of. */
const isPartial = (as: string | undefined): as is "PartialObjectMetadata" | "PartialObjectMetadataList" =>
  as === "PartialObjectMetadata" || as === "PartialObjectMetadataList";

/**
 * Chooses the first form that can be given; `undefined` when none can (406). `canProtobuf` says whether whole objects have
 * a form in protobuf; what is no object, such as an error, is never given as something else (`isWhole`).
 */
export function chooseForm(header: string | undefined, canProtobuf: boolean, isWhole = false): AnswerForm | undefined {
  for (const { type, parameters } of parseAccept(header))
    for (const [encoding, name] of ENCODINGS) {
      if (type !== name && type !== "application/*" && type !== ANY) continue;
      const as = askedForm(encoding, parameters);
      if (as === undefined || (isWhole && as !== "object")) continue;
      if (encoding === "protobuf" && !canProtobuf && !isPartial(as)) continue;
      return { encoding, as, version: parameters["v"] === "v1beta1" ? "v1beta1" : "v1" };
    }
  return undefined;
}

/** What a range wants of an answer in an encoding; `undefined` for what nobody gives. */
function askedForm(
  encoding: AnswerForm["encoding"],
  { as, g, v, stream }: Readonly<Record<string, string>>,
): AnswerForm["as"] | undefined {
  if (stream !== undefined && (stream !== "watch" || encoding === "yaml")) return undefined;
  if (as === undefined && g === undefined && v === undefined) return "object";
  if (g !== "meta.k8s.io" || (v !== "v1" && v !== "v1beta1")) return undefined;
  if (isPartial(as)) return as;
  return as === "Table" && encoding !== "protobuf" ? as : undefined;
}

/** Encodings that a route can answer in, and whether it may be a watch. */
interface Produced {
  readonly canProtobuf: boolean;
  readonly canStream?: boolean;
  /** Whether whole answers come in JSON alone. */
  readonly isJsonOnly?: boolean;
}

/**
 * 406 where no type that a route of Kubernetes' own kinds produces is named at all: parameters, and stars that stand for a
 * part, do not count. `undefined` where one is.
 */
export function notProduced(header: string | undefined, produced: Produced): ApiError | undefined {
  const names = ENCODINGS.filter(
    ([encoding]) =>
      encoding === "json" || (produced.isJsonOnly !== true && (encoding !== "protobuf" || produced.canProtobuf)),
  ).map(([, name]) => name as string);
  const isNamed = (header || ANY).split(",").some((part) => {
    const type = part.split(";")[0]?.trim() ?? "";
    return type === ANY || names.includes(type);
  });
  if (isNamed) return undefined;
  const streams = names.filter((name) => !name.endsWith("yaml")).map((name) => `${name};stream=watch`);
  const all = produced.canStream === true ? [...names, ...streams] : names;
  return apiError(406, "NotAcceptable", `406: Not Acceptable\n\nAvailable representations: ${all.join(", ")}`, {});
}

/** 406 where types are named that are known, in forms that are not. */
export const notAcceptable = (): ApiError =>
  apiError(
    406,
    "NotAcceptable",
    `only the following media types are accepted: ${ENCODINGS.map(([, name]) => name).join(", ")}`,
  );

/** 406 where what is asked for is known, and no form that events can be told in. */
export const noStream = (): ApiError =>
  apiError(
    406,
    "NotAcceptable",
    "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch",
  );

/** The media type of a body, in small letters; `undefined` where the header cannot be read. Without one it is JSON. */
export function mediaTypeOf(header: string | undefined): string | undefined {
  if (header === undefined || header === "") return "application/json";
  const [type = "", ...parameters] = header.split(";");
  const seen = new Set<string>();
  for (const [at, parameter] of parameters.entries()) {
    const isLast = at === parameters.length - 1;
    if (parameter.trim() === "" && isLast) continue;
    const [, name] =
      /^\s*([!#$%&'*+\-.^_`|~\w]+)\s*=\s*(?:"(?:[^"\\]|\\.)*"|[!#$%&'*+\-.^_`|~\w]+)\s*$/.exec(parameter) ?? [];
    if (name === undefined || seen.has(name.toLowerCase())) return undefined;
    seen.add(name.toLowerCase());
  }
  return type.trim().toLowerCase();
}
