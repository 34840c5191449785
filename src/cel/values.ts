import { asJsonNumber, goFloat, isJsonObject } from "#machinery";
import type { CelType } from "./types.ts";
import { dyn } from "./types.ts";

/** What expressions compute with. Integers are `bigint`, doubles `number`; JSON is wrapped lazily by `fromJson`. */
export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | Uint8Array
  | readonly Value[]
  | CelMap
  | Uint
  | Timestamp
  | Duration
  | Optional
  | TypeValue
  | Opaque;

/** A mistake while an expression runs. `&&` and `||` forgive it when the other side decides. */
export class CelRuntimeError extends Error {
  override readonly name: string = "CelRuntimeError";
}

export class Uint {
  readonly value: bigint;
  constructor(value: bigint) {
    if (value < 0n || value > 18_446_744_073_709_551_615n) throw new CelRuntimeError("unsigned integer overflow");
    this.value = value;
  }
}

/** Nanoseconds since 1970. */
export class Timestamp {
  readonly nanos: bigint;
  /** How many minutes the place it is written in is ahead of UTC. */
  readonly offset: number;
  constructor(nanos: bigint, offset = 0) {
    this.offset = offset;
    if (nanos < -62_135_596_800_000_000_000n || nanos > 253_402_300_799_999_999_999n)
      throw new CelRuntimeError("timestamp overflow");
    this.nanos = nanos;
  }
}

export class Duration {
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    if (nanos > 9_223_372_036_854_775_807n || nanos < -9_223_372_036_854_775_808n)
      throw new CelRuntimeError("duration overflow");
    this.nanos = nanos;
  }
}

export class Optional {
  readonly value: Value | undefined;
  constructor(value: Value | undefined) {
    this.value = value;
  }
  static readonly none = new Optional(undefined);
}

export class TypeValue {
  readonly type: string;
  constructor(type: string) {
    this.type = type;
  }
}

/** A value of a library: only its own functions look inside. */
export abstract class Opaque {
  abstract readonly typeName: string;
  abstract isSame(other: Opaque): boolean;
}

export abstract class CelMap {
  abstract get(key: Value): Value | undefined;
  abstract keys(): readonly Value[];
  abstract get size(): number;
}

/** A JSON object, read member by member as its type says. */
export class JsonMap extends CelMap {
  readonly source: Readonly<Record<string, unknown>>;
  readonly #type: CelType;
  #read: Map<string, Value> | undefined;
  constructor(source: Readonly<Record<string, unknown>>, type: CelType) {
    super();
    this.source = source;
    this.#type = type;
  }
  get(key: Value): Value | undefined {
    if (typeof key !== "string" || !Object.hasOwn(this.source, key)) return undefined;
    const raw = this.source[key];
    if (typeof raw === "string" && this.#type.kind === "simple") return raw;
    const known = this.#read?.get(key);
    if (known !== undefined) return known;
    if (raw === undefined) return undefined;
    const value = fromJson(raw, this.#memberType(key));
    (this.#read ??= new Map()).set(key, value);
    return value;
  }
  #memberType(key: string): CelType {
    const type = this.#type;
    if (type.kind === "object") return type.field(key) ?? dyn;
    return type.kind === "map" ? type.of : dyn;
  }
  keys(): readonly string[] {
    return Object.keys(this.source).filter((key) => this.source[key] !== undefined);
  }
  get size(): number {
    return this.keys().length;
  }
}

const keyText = (key: Value): string => {
  if (typeof key === "string") return `s${key}`;
  if (typeof key === "boolean") return `b${key}`;
  if (key instanceof Uint) return `n${key.value}`;
  if (typeof key === "bigint" || typeof key === "number") return `n${key}`;
  throw new CelRuntimeError(`unsupported key type: ${typeName(key)}`);
};

/** A map made by an expression; keys may be of any simple type. */
export class LiteralMap extends CelMap {
  readonly #entries = new Map<string, readonly [Value, Value]>();
  /** The name of the object type it was written as, when it was. */
  readonly objectType: string | undefined;
  constructor(entries: Iterable<readonly [Value, Value]>, objectType?: string) {
    super();
    this.objectType = objectType;
    for (const entry of entries) {
      const key = keyText(entry[0]);
      this.#entries.set(key, entry);
    }
  }
  get(key: Value): Value | undefined {
    return this.#entries.get(keyText(key))?.[1];
  }
  keys(): readonly Value[] {
    return [...this.#entries.values()].map(([key]) => key);
  }
  get size(): number {
    return this.#entries.size;
  }
}

/** The name of the object type a value was written as, when it was. */
export const objectTypeName = (value: Value): string | undefined =>
  value instanceof LiteralMap ? value.objectType : undefined;

interface ListKind {
  readonly listType: string;
  readonly keys: readonly string[];
}
/** Lists of schemas with `x-kubernetes-list-type` set or map: their equality and sum do not look at order. */
const listKinds = new WeakMap<object, ListKind>();

/** A JSON value as its type reads it: integers become `bigint`, timestamps and durations what their format says. */
export function fromJson(value: unknown, type: CelType): Value {
  switch (typeof value) {
    case "string":
      return type.kind === "simple" && type.name !== "string" && type.name !== "dyn"
        ? readText(value, type.name)
        : value;
    case "number":
      if (type.kind === "simple" && type.name === "double") return value;
      return Number.isInteger(value) ? BigInt(value) : value;
    case "boolean":
      return value;
    case "bigint":
      return type.kind === "simple" && type.name === "double" ? Number(value) : value;
    default:
  }
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) {
    const of = type.kind === "list" ? type.of : dyn;
    const list = value.map((item) => fromJson(item, of));
    if (type.kind === "list" && (type.listType === "set" || type.listType === "map"))
      listKinds.set(list, { listType: type.listType, keys: type.listMapKeys ?? [] });
    return list;
  }
  if (isJsonObject(value)) return new JsonMap(value, type);
  throw new CelRuntimeError(`unsupported value of type ${typeof value}`);
}

function readText(text: string, type: string): Value {
  if (type === "timestamp") return parseTimestamp(text);
  if (type === "duration") return parseDuration(text);
  if (type === "bytes") return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  return text;
}

/** A value as JSON, for patches, messages and audit annotations. */
export function toJson(value: Value): unknown {
  if (typeof value === "bigint") return asJsonNumber(value);
  if (value === null || typeof value !== "object") return value;
  if (value instanceof JsonMap) return value.source;
  if (value instanceof CelMap)
    return Object.fromEntries(value.keys().map((key) => [display(key), toJson(value.get(key) ?? null)]));
  if (Array.isArray(value)) return value.map((item: Value) => toJson(item));
  if (value instanceof Uint) return Number(value.value);
  if (value instanceof Optional) return value.value === undefined ? null : toJson(value.value);
  return display(value);
}

export function typeName(value: Value): string {
  switch (typeof value) {
    case "bigint":
      return "int";
    case "number":
      return "double";
    case "boolean":
      return "bool";
    case "string":
      return "string";
    default:
  }
  if (value === null) return "null_type";
  if (Array.isArray(value)) return "list";
  if (value instanceof CelMap) return "map";
  if (value instanceof Uint8Array) return "bytes";
  if (value instanceof Uint) return "uint";
  if (value instanceof Timestamp) return "google.protobuf.Timestamp";
  if (value instanceof Duration) return "google.protobuf.Duration";
  if (value instanceof Optional) return "optional_type";
  if (value instanceof TypeValue) return "type";
  return (value as Opaque).typeName;
}

const numberOf = (value: Value): bigint | number | undefined =>
  typeof value === "bigint" || typeof value === "number" ? value : value instanceof Uint ? value.value : undefined;

/** −1, 0, 1, or undefined when the two cannot be ordered. */
export function compareValues(left: Value, right: Value): number | undefined {
  const numbers = [numberOf(left), numberOf(right)] as const;
  if (numbers[0] !== undefined && numbers[1] !== undefined)
    return numbers[0] < numbers[1] ? -1 : numbers[0] > numbers[1] ? 1 : 0;
  if (typeof left === "string" && typeof right === "string") return left < right ? -1 : left > right ? 1 : 0;
  if (typeof left === "boolean" && typeof right === "boolean") return Number(left) - Number(right);
  if (
    (left instanceof Timestamp && right instanceof Timestamp) ||
    (left instanceof Duration && right instanceof Duration)
  )
    return left.nanos < right.nanos ? -1 : left.nanos > right.nanos ? 1 : 0;
  if (left instanceof Uint8Array && right instanceof Uint8Array) {
    for (let at = 0; at < Math.min(left.length, right.length); at++)
      if (left[at] !== right[at]) return (left[at] as number) < (right[at] as number) ? -1 : 1;
    return Math.sign(left.length - right.length);
  }
  return undefined;
}

/** Equality: numbers across their types, lists and maps by content, values of different types never. */
export function isEqual(left: Value, right: Value): boolean {
  if (left === right) return true;
  if (left === null || right === null) return false;
  if (Array.isArray(left)) return Array.isArray(right) && isSameList(left, right);
  if (left instanceof JsonMap && right instanceof JsonMap && left.source === right.source) return true;
  if (left instanceof CelMap) {
    if (!(right instanceof CelMap) || left.size !== right.size) return false;
    return left.keys().every((key) => {
      const other = right.get(key);
      return other !== undefined && isEqual(left.get(key) as Value, other);
    });
  }
  if (left instanceof TypeValue) return right instanceof TypeValue && left.type === right.type;
  if (left instanceof Optional)
    return (
      right instanceof Optional &&
      (left.value === undefined || right.value === undefined
        ? left.value === right.value
        : isEqual(left.value, right.value))
    );
  if (left instanceof Opaque) return right instanceof Opaque && left.typeName === right.typeName && left.isSame(right);
  return compareValues(left, right) === 0;
}

const keysOf = (item: Value, keys: readonly string[]): Value =>
  item instanceof CelMap ? keys.map((key) => item.get(key) ?? null) : item;

function isSameList(left: readonly Value[], right: readonly Value[]): boolean {
  if (left.length !== right.length) return false;
  const kind = listKinds.get(left) ?? listKinds.get(right);
  if (kind === undefined) return left.every((item, at) => isEqual(item, right[at] as Value));
  return left.every((item) => {
    const key = keysOf(item, kind.keys);
    return right.some((other) =>
      kind.listType === "map" ? isEqual(keysOf(other, kind.keys), key) && isEqual(item, other) : isEqual(item, other),
    );
  });
}

/** Concatenation; sets gain what they lack, list-maps take over elements of the same key. */
export function addLists(left: readonly Value[], right: readonly Value[]): readonly Value[] {
  const kind = listKinds.get(left);
  if (kind === undefined) return [...left, ...right];
  const sum = [...left];
  for (const item of right) {
    const key = kind.listType === "map" ? keysOf(item, kind.keys) : item;
    const at = sum.findIndex((other) => isEqual(kind.listType === "map" ? keysOf(other, kind.keys) : other, key));
    if (at < 0) sum.push(item);
    else sum[at] = item;
  }
  listKinds.set(sum, kind);
  return sum;
}

const TIMESTAMP = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/;

/** RFC 3339 to the nanosecond; a date alone (format `date`) is its midnight. */
export function parseTimestamp(text: string): Timestamp {
  const full = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text;
  const match = TIMESTAMP.exec(full);
  const milliseconds =
    match === null ? Number.NaN : Date.parse(full.replace(/\.\d+/, "").replace("t", "T").replace("z", "Z"));
  if (match === null || Number.isNaN(milliseconds))
    throw new CelRuntimeError(`parsing time ${JSON.stringify(text)}: not an RFC 3339 time`);
  const [, sign = "", hours = "0", minutes = "0"] = /^([+-])(\d\d):(\d\d)$/.exec(match[8] ?? "") ?? [];
  const offset = (Number(hours) * 60 + Number(minutes)) * (sign === "-" ? -1 : 1);
  const nanos = BigInt(milliseconds) * 1_000_000n + BigInt((match[7] ?? "").padEnd(9, "0") || "0");
  return new Timestamp(nanos, offset === 0 ? 0 : offset);
}

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** Go's duration text, such as `1h30m`, `-1.5s`, `0`. */
export function parseDuration(text: string): Duration {
  const refuse = () => new CelRuntimeError(`time: invalid duration ${JSON.stringify(text)}`);
  const match = /^([+-]?)((?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.exec(text);
  if (match === null) {
    if (/^[+-]?0$/.test(text)) return new Duration(0n);
    throw refuse();
  }
  let nanos = 0n;
  for (const [, whole = "", fraction = "", unit = ""] of text.matchAll(/(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/g)) {
    const scale = UNITS[unit] as bigint;
    const digits = fraction.slice(0, 15);
    nanos += BigInt(whole || "0") * scale + (BigInt(digits || "0") * scale) / 10n ** BigInt(digits.length);
  }
  return new Duration(match[1] === "-" ? -nanos : nanos);
}

const seconds = (nanos: bigint): string => {
  const amount = nanos < 0n ? -nanos : nanos;
  const rest = (amount % 1_000_000_000n).toString().padStart(9, "0").replace(/0+$/, "");
  return `${nanos < 0n ? "-" : ""}${amount / 1_000_000_000n}${rest === "" ? "" : `.${rest}`}s`;
};

function zoneText(offset: number): string {
  if (offset === 0) return "Z";
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60];
  return `${offset < 0 ? "-" : "+"}${String(hours).padStart(2, "0")}:${String(minutes).padStart(2, "0")}`;
}

export function formatTimestamp(value: Timestamp): string {
  const second = 1_000_000_000n;
  const rest = ((value.nanos % second) + second) % second;
  const local = Number((value.nanos - rest) / 1_000_000n) + value.offset * 60_000;
  const base = new Date(local).toISOString().slice(0, 19);
  const fraction = rest.toString().padStart(9, "0").replace(/0+$/, "");
  return `${base}${fraction === "" ? "" : `.${fraction}`}${zoneText(value.offset)}`;
}

/** A value as text, as `string()` and messages show it. */
export function display(value: Value): string {
  if (typeof value === "number") return goFloat(value);
  if (value === null || typeof value !== "object") return String(value);
  if (value instanceof Uint) return String(value.value);
  if (value instanceof Timestamp) return formatTimestamp(value);
  if (value instanceof Duration) return seconds(value.nanos);
  if (value instanceof TypeValue) return value.type;
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  if (value instanceof Opaque) return String(value);
  return JSON.stringify(toJson(value));
}
