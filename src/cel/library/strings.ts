import { RE2JS } from "re2js";
import { GO_ESCAPES } from "#machinery";
import { call, method, type Overload } from "../functions.ts";
import { CelRuntimeError, type Value } from "../values.ts";
import { format } from "./format.ts";

const PATTERNS_MAX = 1000;
const patterns = new Map<string, RE2JS>();

/** A compiled pattern of a user: linear in time, whatever it says. */
export function patternOf(text: string): RE2JS {
  let pattern = patterns.get(text);
  if (pattern === undefined) {
    try {
      pattern = RE2JS.compile(text);
    } catch (error) {
      throw new CelRuntimeError(error instanceof Error ? error.message : String(error));
    }
    if (patterns.size >= PATTERNS_MAX) patterns.clear();
    patterns.set(text, pattern);
  }
  return pattern;
}

const matches = (text: string, pattern: string): boolean => patternOf(pattern).matcher(text).find();

const chars = (text: string): readonly string[] => [...text];

function indexIn(at: bigint, length: number): number {
  if (at < 0n || at > BigInt(length)) throw new CelRuntimeError(`index out of range: ${at}`);
  return Number(at);
}

function substring(text: string, from: bigint, to?: bigint): string {
  const all = chars(text);
  if (to !== undefined && from > to) throw new CelRuntimeError(`invalid substring range. start: ${from}, end: ${to}`);
  const start = indexIn(from, all.length);
  const end = to === undefined ? all.length : indexIn(to, all.length);
  return all.slice(start, end).join("");
}

function indexOf(text: string, wanted: string, from = 0n): bigint {
  const all = chars(text);
  if (from > BigInt(all.length)) return -1n;
  const start = indexIn(from, all.length);
  const sought = chars(wanted);
  for (let at = start; at + sought.length <= all.length; at++)
    if (sought.every((char, offset) => all[at + offset] === char)) return BigInt(at);
  return -1n;
}

function lastIndexOf(text: string, wanted: string, from?: bigint): bigint {
  const all = chars(text);
  const sought = chars(wanted);
  if (from !== undefined && from > BigInt(all.length)) return -1n;
  const start = from === undefined ? all.length : indexIn(from, all.length);
  for (let at = Math.min(start, all.length - sought.length); at >= 0; at--)
    if (sought.every((char, offset) => all[at + offset] === char)) return BigInt(at);
  return -1n;
}

function replace(text: string, old: string, by: string, limit: bigint): string {
  if (limit === 0n) return text;
  if (old === "") return between(text, by, limit);
  if (limit < 0n) return text.split(old).join(by);
  const parts = text.split(old);
  const count = Math.min(Number(limit), parts.length - 1);
  return (
    parts.slice(0, count + 1).join(by) +
    parts
      .slice(count + 1)
      .map((part) => old + part)
      .join("")
  );
}

/** A text with something put before each of its letters and behind the last, at most so often. */
function between(text: string, by: string, limit: bigint): string {
  const all = chars(text);
  const count = limit < 0n || limit > BigInt(all.length) ? all.length + 1 : Number(limit);
  return all.map((char, at) => (at < count ? by + char : char)).join("") + (count > all.length ? by : "");
}

function split(text: string, separator: string, limit: bigint): readonly string[] {
  if (limit === 0n) return [];
  const parts = text.split(separator);
  if (limit < 0n || BigInt(parts.length) <= limit) return parts;
  const head = parts.slice(0, Number(limit) - 1);
  return [...head, parts.slice(head.length).join(separator)];
}

const ascii = (text: string, pattern: RegExp, change: (char: string) => string) => text.replace(pattern, change);

const ESCAPES: Readonly<Record<string, string>> = { ...GO_ESCAPES, '"': '\\"' };

function quote(text: string): string {
  return `"${[...text].map((char) => ESCAPES[char] ?? char).join("")}"`;
}

/** Strings and regular expressions. */
export const stringLibrary: readonly Overload[] = [
  method("string.contains(string): bool", (a: string, b: string) => a.includes(b), "within"),
  method("string.startsWith(string): bool", (a: string, b: string) => a.startsWith(b), "prefix"),
  method("string.endsWith(string): bool", (a: string, b: string) => a.endsWith(b), "prefix"),
  method("string.matches(string): bool", matches, "pattern"),
  call("matches(string, string): bool", matches, "pattern"),
  method(
    "string.find(string): string",
    (a: string, pattern: string) => {
      const matcher = patternOf(pattern).matcher(a);
      return matcher.find() ? (matcher.group() ?? "") : "";
    },
    "pattern",
  ),
  method("string.findAll(string): list<string>", (a: string, pattern: string) => findAll(a, pattern, -1n), "pattern"),
  method("string.findAll(string, int): list<string>", findAll, "pattern"),
  method("string.charAt(int): string", (a: string, at: bigint) => {
    const all = chars(a);
    return all[indexIn(at, all.length)] ?? "";
  }),
  method("string.indexOf(string): int", (a: string, b: string) => indexOf(a, b), "text"),
  method("string.indexOf(string, int): int", indexOf, "text"),
  method("string.lastIndexOf(string): int", (a: string, b: string) => lastIndexOf(a, b), "text"),
  method("string.lastIndexOf(string, int): int", lastIndexOf, "text"),
  method("string.lowerAscii(): string", (a: string) => ascii(a, /[A-Z]/g, (char) => char.toLowerCase()), "text"),
  method("string.upperAscii(): string", (a: string) => ascii(a, /[a-z]/g, (char) => char.toUpperCase()), "text"),
  method(
    "string.replace(string, string): string",
    (a: string, old: string, by: string) => replace(a, old, by, -1n),
    "twice",
  ),
  method("string.replace(string, string, int): string", replace, "twice"),
  method("string.split(string): list<string>", (a: string, separator: string) => split(a, separator, -1n), "twice"),
  method("string.split(string, int): list<string>", split, "twice"),
  method("string.substring(int): string", (a: string, from: bigint) => substring(a, from), "text"),
  method("string.substring(int, int): string", substring, "text"),
  method("string.trim(): string", (a: string) => a.trim(), "text"),
  method("string.format(list<dyn>): string", format, "text"),
  call("strings.quote(string): string", quote, "text"),
  method("list<string>.join(): string", (a: readonly string[]) => joined(a, ""), "joined"),
  method("list<string>.join(string): string", joined, "joined"),
  call("jsonpatch.escapeKey(string): string", (a: string) => a.replaceAll("~", "~0").replaceAll("/", "~1"), "text"),
];

function joined(list: readonly Value[], separator: string): string {
  if (!list.every((item) => typeof item === "string")) throw new CelRuntimeError("no such overload");
  return list.join(separator);
}

function findAll(text: string, pattern: string, limit: bigint): readonly string[] {
  const matcher = patternOf(pattern).matcher(text);
  const found: string[] = [];
  while ((limit < 0n || BigInt(found.length) < limit) && matcher.find()) found.push(matcher.group() ?? "");
  return found;
}
