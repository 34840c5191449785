/** Two answers made comparable: what no two servers can share (uids, times, versions) becomes a word. */
import { parse } from "yaml";
import { decodeProtobuf } from "#apiserver";
import { parseJson, writeJson } from "#machinery";
import type { Answer } from "./play.ts";

export interface Difference {
  /** Where: `status`, `header content-type`, or a path in the body such as `body.metadata.labels.a`. */
  readonly path: string;
  readonly real: string;
  readonly ours: string;
}

/** Headers that clients read. */
const HEADERS = [
  "content-type",
  "content-encoding",
  "warning",
  "location",
  "retry-after",
  "cache-control",
  "www-authenticate",
  "allow",
  "vary",
  "x-content-type-options",
];
const UID = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g;
const MICRO_TIME = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z/g;
const TIME = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g;
/** A port of nodes among those of a Service. */
const NODE_PORT_CELL = /:3[0-2]\d{3}\//g;
const AGE_CELL = /^(?:\d+[smhdy])+$|^<invalid>$/;
const SHOWN_BEFORE = 80;
const SHOWN_MAX = Number(process.env["SHOWN_MAX"] ?? 300);

/** What differs between two answers to one request; nothing when they are the same. */
export function compare(given: Answer, other: Answer, sent = ""): readonly Difference[] {
  const [real, ours] = [given, other].map((answer) => withoutChance(answer, sent)) as [Answer, Answer];
  const differences: Difference[] = [];
  if (real.status !== ours.status)
    differences.push({ path: "status", real: String(real.status), ours: String(ours.status) });
  for (const name of HEADERS) {
    const [left, right] = [real, ours].map(({ headers }) => mask(sortedWarnings(name, headers[name] ?? "absent")));
    if (left !== right) differences.push({ path: `header ${name}`, real: left as string, ours: right as string });
  }
  const [realLines, ourLines] = [linesOf(real), linesOf(ours)];
  if (realLines !== undefined && ourLines !== undefined && realLines !== ourLines)
    differences.push({ path: "body (lines)", real: realLines, ours: ourLines });
  const [left, right] = [normalise(real), normalise(ours)];
  // An object and an error have nothing in common: one line says more than every field of both.
  if (kindOf(left) !== kindOf(right)) differences.push({ path: "body", real: summary(left), ours: summary(right) });
  else walk("body", left, right, differences);
  return differences;
}

/** Names that a server made up stand in messages as well. */
function withoutChance(answer: Answer, sent: string): Answer {
  const prefix = /generateName"?: "?([^",}\s]+)/.exec(sent)?.[1];
  if (prefix === undefined) return answer;
  return { ...answer, text: answer.text.replace(new RegExp(`(${prefix})[b-z2-9]{5}\\b`, "g"), "$1<random>") };
}

/** How JSON is set, in lines or in one, and whether a line's end follows; `undefined` for what is none. */
const linesOf = ({ headers, text }: Answer) =>
  !/json/.test(headers["content-type"] ?? "") || text === ""
    ? undefined
    : `${text.startsWith("{\n") ? "in lines" : "in one"}, ${text.endsWith("\n") ? "and an end" : "without an end"}`;

const kindOf = (value: unknown) => (isMap(value) ? value["kind"] : typeof value);

function summary(value: unknown): string {
  const text = isMap(value) && value["kind"] === "Status" ? `Status: ${String(value["message"])}` : show(value);
  return text.slice(0, SHOWN_MAX);
}

function walk(path: string, real: unknown, ours: unknown, differences: Difference[]): void {
  if (isMap(real) && isMap(ours)) {
    for (const key of new Set([...Object.keys(real), ...Object.keys(ours)]))
      walk(`${path}.${key}`, real[key], ours[key], differences);
    return;
  }
  if (Array.isArray(real) && Array.isArray(ours)) {
    walkLists(path, real, ours, differences);
    return;
  }
  const [left, right] = [show(real), show(ours)];
  if (left !== right) differences.push({ path, ...shownApart(left, right) });
}

/** Two long texts from shortly before the place where they part. */
function shownApart(real: string, ours: string): { readonly real: string; readonly ours: string } {
  let at = 0;
  while (at < real.length && real[at] === ours[at]) at++;
  const from = at < SHOWN_MAX / 2 ? 0 : at - SHOWN_BEFORE;
  const [left, right] = [real, ours].map((text) => `${from === 0 ? "" : "…"}${text.slice(from, from + SHOWN_MAX)}`);
  return { real: left as string, ours: right as string };
}

/** Elements are matched by what names them, so that one that is missing does not make all behind it differ. */
function walkLists(path: string, real: readonly unknown[], ours: readonly unknown[], differences: Difference[]): void {
  const key = KEYS.find((candidate) => [real, ours].every((list) => isKeyedBy(list, candidate)));
  if (key === undefined) {
    if ([...real, ...ours].some(isMap))
      for (let at = 0; at < Math.max(real.length, ours.length); at++)
        walk(`${path}.${at}`, real[at], ours[at], differences);
    else if (show(real) !== show(ours)) differences.push({ path, real: show(real), ours: show(ours) });
    return;
  }
  const index = (list: readonly unknown[]) => new Map(list.map((item) => [keyOf(item, key) ?? "", item] as const));
  const [left, right] = [index(real), index(ours)];
  for (const name of new Set([...left.keys(), ...right.keys()]))
    walk(`${path}[${name}]`, left.get(name), right.get(name), differences);
  const order = (names: Iterable<string>, other: ReadonlyMap<string, unknown>) =>
    [...names].filter((name) => other.has(name)).join(" ");
  const [leftOrder, rightOrder] = [order(left.keys(), right), order(right.keys(), left)];
  if (leftOrder !== rightOrder)
    differences.push({
      path: `${path} (order)`,
      real: leftOrder.slice(0, SHOWN_MAX),
      ours: rightOrder.slice(0, SHOWN_MAX),
    });
}

const KEYS = [
  "metadata.name",
  "name",
  "resource",
  "subresource",
  "version",
  "groupVersion",
  "manager",
  "type",
  "field",
];

function keyOf(item: unknown, key: string): string | undefined {
  let value: unknown = item;
  for (const part of key.split(".")) value = isMap(value) ? value[part] : undefined;
  return typeof value === "string" && value !== "" ? value : undefined;
}

function isKeyedBy(list: readonly unknown[], key: string): boolean {
  const keys = list.map((item) => keyOf(item, key));
  return keys.every((value) => value !== undefined) && new Set(keys).size === keys.length;
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const show = (value: unknown) => (value === undefined ? "absent" : writeJson(value));

/** Warnings about members of a map come in the order in which Go walks it, which is another each time. */
const sortedWarnings = (header: string, value: string) =>
  header === "warning"
    ? value
        .split(/, (?=299 )/)
        .sort()
        .join(", ")
    : value;

/** The body as a value, masked. */
export function normalise({ headers, text }: Answer): unknown {
  const type = headers["content-type"] ?? "";
  if (text === "") return undefined;
  if (/json/.test(type)) {
    const lines = text.trimEnd().split("\n");
    const values = lines.map(parsed);
    // A watch answers with one JSON document a line.
    const told = values.filter((value) => !isHeartbeat(value));
    if (values.every((value) => value !== undefined)) return normaliseValue(told.length === 1 ? told[0] : told, []);
    const whole = parsed(text);
    return whole === undefined ? mask(text) : normaliseValue(whole, []);
  }
  if (/yaml/.test(type)) {
    try {
      return normaliseValue(parse(text), []);
    } catch {
      return mask(text);
    }
  }
  if (/vnd\.kubernetes\.protobuf/.test(type)) {
    const frames = /stream=watch/.test(type) ? framesOf(Buffer.from(text, "base64")) : [Buffer.from(text, "base64")];
    return normaliseValue(frames.length === 1 ? decoded(frames[0] as Buffer) : frames.map(decoded), []);
  }
  return mask(text);
}

/** What a protobuf answer says. An answer that cannot be read is compared as it is. */
function decoded(bytes: Buffer): unknown {
  try {
    return decodeProtobuf(bytes);
  } catch {
    return bytes.toString("base64");
  }
}

/** The objects in the frames of a watch: each is the last member of an event. */
function framesOf(bytes: Buffer): readonly Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const end = at + 4 + bytes.readUInt32BE(at);
    const frame = bytes.subarray(at + 4, end);
    found.push(frame.subarray(Math.max(frame.indexOf("k8s\0"), 0)));
    at = end;
  }
  return found;
}

/** A bookmark that says only how far a watch has come; servers send them when they like. */
const isHeartbeat = (value: unknown) =>
  isMap(value) && value["type"] === "BOOKMARK" && !JSON.stringify(value).includes("initial-events-end");

function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

function normaliseValue(value: unknown, path: readonly string[]): unknown {
  if (typeof value === "string") return mask(value);
  if (Array.isArray(value)) return value.map((item, at) => normaliseValue(item, [...path, String(at)]));
  if (!isMap(value)) return value;
  const list = GROUP_LISTS[String(value["kind"])];
  const groups = list === undefined ? undefined : value[list];
  if (list !== undefined && Array.isArray(groups))
    return normaliseMembers({ ...value, [list]: groups.filter((group) => !isOfAnotherScript(group)) }, path);
  return normaliseMembers(value, path);
}

/** Scripts run at the same time; groups that one of them makes are nobody else's business. */
const GROUP_LISTS: Readonly<Record<string, string>> = { APIGroupList: "groups", APIGroupDiscoveryList: "items" };
const isOfAnotherScript = (group: unknown) =>
  /\.example\.com$/.test(keyOf(group, "name") ?? keyOf(group, "metadata.name") ?? "");

function normaliseMembers(value: Readonly<Record<string, unknown>>, path: readonly string[]): unknown {
  if (value["kind"] === "Status" && path.length === 0 && hasOwnersByChance(value))
    return normaliseValue(withSortedOwners(value), ["sorted"]);
  if (value["kind"] === "Status" && path.length === 0 && hasTypesByChance(value))
    return normaliseValue({ ...value, message: sortedLines(String(value["message"])) }, ["sorted"]);
  if (value["kind"] === "Status" && path.length === 0 && hasMistakesByChance(value))
    return normaliseValue(withSortedMistakes(value), ["sorted"]);
  const result: Record<string, unknown> = {};
  for (const [written, item] of Object.entries(value)) {
    // Owners of what a uid names are noted under it.
    const key = written.startsWith("k:{") ? mask(written) : written;
    if ((key === "resourceVersion" || key === "observedResourceVersion") && typeof item === "string" && item !== "")
      result[key] = "<version>";
    // When and with what a server was built says nothing about it.
    else if (key === "buildDate" || key === "goVersion" || key === "platform") result[key] = `<${key}>`;
    else if (key === "continue" && typeof item === "string" && item !== "") result[key] = "<continue>";
    else if ((key === "nodePort" || key === "healthCheckNodePort") && typeof item === "number" && item >= 30_000)
      result[key] = "<node port>";
    else if (key === "name" && typeof value["generateName"] === "string" && typeof item === "string")
      result[key] = `${mask(value["generateName"])}<random>`;
    // Rules are found in no order.
    else if ((key === "resourceRules" || key === "nonResourceRules") && value["incomplete"] !== undefined)
      result[key] = Array.isArray(item) ? item.map((rule) => JSON.stringify(rule)).sort() : item;
    else if (key === "managedFields" && Array.isArray(item))
      // Entries stand in the order of their seconds, which two servers need not share.
      result[key] = item.map((entry) => normaliseValue(entry, [...path, key])).sort(byOwner);
    else if (key === "cells" && Array.isArray(item))
      result[key] = item.map((cell) =>
        typeof cell === "string" && AGE_CELL.test(cell)
          ? "<age>"
          : normaliseValue(typeof cell === "string" ? cell.replace(NODE_PORT_CELL, ":<node port>/") : cell, [
              ...path,
              key,
            ]),
      );
    // Owners name elements by their keys, uids among them.
    else result[key.startsWith("k:{") ? mask(key) : key] = normaliseValue(item, [...path, key]);
  }
  return result;
}

/** What does not fit the types of a kind is told in the order of Go's maps, which is another one each time. */
const hasTypesByChance = ({ message }: Readonly<Record<string, unknown>>): boolean =>
  typeof message === "string" && /^failed to create typed patch object /.test(message);
/** Of the members of a map that nobody declares one is told. */
const UNDECLARED = /\.[^.\s]+: field(?= not declared in schema)/g;

const sortedLines = (text: string): string => {
  const [head = "", ...lines] = text.split("\n");
  return [head, ...lines.sort()].join("\n").replace(UNDECLARED, ".<one of them>: field");
};

/** Kubernetes walks schemas of custom resources in an order that is another one each time. */
function hasMistakesByChance(status: Readonly<Record<string, unknown>>): boolean {
  const group = isMap(status["details"]) ? String(status["details"]["group"]) : "";
  return group === "apiextensions.k8s.io" || group.endsWith(".example.com") || /^x\w+\.io$/.test(group);
}

/** Kubernetes names the owners an apply conflicts with in an order that is another one each time. */
const hasOwnersByChance = ({ details }: Readonly<Record<string, unknown>>): boolean =>
  isMap(details) &&
  Array.isArray(details["causes"]) &&
  details["causes"].some((cause) => isMap(cause) && cause["reason"] === "FieldManagerConflict");

function withSortedOwners(status: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const details = status["details"] as Readonly<Record<string, unknown>>;
  const causes = (details["causes"] as readonly unknown[]).toSorted((one, other) =>
    JSON.stringify(one) < JSON.stringify(other) ? -1 : 1,
  );
  const [head = "", ...owners] = String(status["message"]).split(/(?=^conflicts with )/m);
  return {
    ...status,
    message: [head, ...owners.map((text) => text.trimEnd()).sort()].join("\n"),
    details: { ...details, causes },
  };
}

function withSortedMistakes(status: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const details = status["details"] as Readonly<Record<string, unknown>>;
  const causes = details["causes"];
  if (!Array.isArray(causes) || causes.length < 2) return status;
  const sorted = causes.toSorted((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));
  const message = String(status["message"]).replace(/ is invalid: \[.*\]$/s, " is invalid: <in any order>");
  return { ...status, message, details: { ...details, causes: sorted } };
}

function byOwner(left: unknown, right: unknown): number {
  const [a, b] = [left, right].map((entry) =>
    isMap(entry)
      ? ["manager", "operation", "apiVersion", "subresource"].map((part) => String(entry[part] ?? "")).join(" ")
      : "",
  ) as [string, string];
  return a < b ? -1 : a > b ? 1 : 0;
}

function mask(text: string): string {
  return text
    .replace(UID, "<uid>")
    .replace(MICRO_TIME, "<micro time>")
    .replace(TIME, "<time>")
    .replace(/\bselfType\d+/g, "object")
    .replace(/X509SHA256=[0-9a-f]{64}/g, "X509SHA256=<certificate>")
    .replace(/\beyJ[\w-]+\.eyJ[\w-]+\.[\w-]+/g, "<token>")
    .replace(/127\.0\.0\.1:\d+/g, "<server>")
    .replace(/\b10\.(?:9[6-9]|10\d|11[01])\.\d{1,3}\.\d{1,3}\b/g, "<service ip>")
    .replace(/\bfd00:10:96::[0-9a-f]{0,4}(?![0-9a-f:])/g, "<service ip of six>")
    .replace(/(resource ?version[^\d]{1,25})\d+/gi, "$1<version>")
    .replace(/(Too large resource version: <version>, current: )\d+/g, "$1<version>")
    .replace(/(too old resource version: <version>) \(\d+\)/g, "$1 (<version>)");
}
