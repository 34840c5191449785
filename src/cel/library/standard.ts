import { call, method, type Overload } from "../functions.ts";
import {
  addLists,
  type CelMap,
  CelRuntimeError,
  compareValues,
  display,
  Duration,
  isEqual,
  parseDuration,
  parseTimestamp,
  Timestamp,
  TypeValue,
  typeName,
  Uint,
  type Value,
} from "../values.ts";

const INT_MAX = 9_223_372_036_854_775_807n;
const INT_MIN = -9_223_372_036_854_775_808n;

const checkedInt = (value: bigint): bigint => {
  if (value > INT_MAX || value < INT_MIN) throw new CelRuntimeError("integer overflow");
  return value;
};
const checkedUint = (value: bigint): Uint => {
  if (value < 0n) throw new CelRuntimeError("unsigned integer overflow");
  return new Uint(value);
};
const notZero = (value: bigint, what: string): bigint => {
  if (value === 0n) throw new CelRuntimeError(what);
  return value;
};

const arithmetic: readonly Overload[] = [
  call("_+_(int, int): int", (a: bigint, b: bigint) => checkedInt(a + b)),
  call("_+_(uint, uint): uint", (a: Uint, b: Uint) => checkedUint(a.value + b.value)),
  call("_+_(double, double): double", (a: number, b: number) => a + b),
  call("_+_(string, string): string", (a: string, b: string) => a + b, "both"),
  call("_+_(bytes, bytes): bytes", (a: Uint8Array, b: Uint8Array) => Uint8Array.from([...a, ...b]), "both"),
  call("_+_(list<A>, list<A>): list<A>", (a: readonly Value[], b: readonly Value[]) => addLists(a, b)),
  call(
    "_+_(timestamp, duration): timestamp",
    (a: Timestamp, b: Duration) => new Timestamp(a.nanos + b.nanos, a.offset),
  ),
  call(
    "_+_(duration, timestamp): timestamp",
    (a: Duration, b: Timestamp) => new Timestamp(a.nanos + b.nanos, b.offset),
  ),
  call("_+_(duration, duration): duration", (a: Duration, b: Duration) => new Duration(a.nanos + b.nanos)),
  call("_-_(int, int): int", (a: bigint, b: bigint) => checkedInt(a - b)),
  call("_-_(uint, uint): uint", (a: Uint, b: Uint) => checkedUint(a.value - b.value)),
  call("_-_(double, double): double", (a: number, b: number) => a - b),
  call("_-_(timestamp, timestamp): duration", (a: Timestamp, b: Timestamp) => new Duration(a.nanos - b.nanos)),
  call(
    "_-_(timestamp, duration): timestamp",
    (a: Timestamp, b: Duration) => new Timestamp(a.nanos - b.nanos, a.offset),
  ),
  call("_-_(duration, duration): duration", (a: Duration, b: Duration) => new Duration(a.nanos - b.nanos)),
  call("_*_(int, int): int", (a: bigint, b: bigint) => checkedInt(a * b)),
  call("_*_(uint, uint): uint", (a: Uint, b: Uint) => checkedUint(a.value * b.value)),
  call("_*_(double, double): double", (a: number, b: number) => a * b),
  call("_/_(int, int): int", (a: bigint, b: bigint) => checkedInt(a / notZero(b, "division by zero"))),
  call("_/_(uint, uint): uint", (a: Uint, b: Uint) => new Uint(a.value / notZero(b.value, "division by zero"))),
  call("_/_(double, double): double", (a: number, b: number) => a / b),
  call("_%_(int, int): int", (a: bigint, b: bigint) => a % notZero(b, "modulus by zero")),
  call("_%_(uint, uint): uint", (a: Uint, b: Uint) => new Uint(a.value % notZero(b.value, "modulus by zero"))),
  call("-_(int): int", (a: bigint) => checkedInt(-a)),
  call("-_(double): double", (a: number) => -a),
  call("!_(bool): bool", (a: boolean) => !a),
];

const ORDERED = ["bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration"];
const NUMBERS = ["int", "uint", "double"];
const PAIRS: readonly (readonly [string, string])[] = [
  ...ORDERED.map((type) => [type, type] as const),
  ...NUMBERS.flatMap((left) => NUMBERS.filter((right) => right !== left).map((right) => [left, right] as const)),
];

const comparisons: readonly Overload[] = [
  ...PAIRS.flatMap(([left, right]) => {
    const ordered = (name: string, holds: (order: number) => boolean) =>
      call(
        `${name}(${left}, ${right}): bool`,
        (a: Value, b: Value) => {
          const order = compareValues(a, b);
          return order !== undefined && holds(order);
        },
        left === "string" ? "least" : undefined,
      );
    return [
      ordered("_<_", (order) => order < 0),
      ordered("_<=_", (order) => order <= 0),
      ordered("_>_", (order) => order > 0),
      ordered("_>=_", (order) => order >= 0),
    ];
  }),
  call("_==_(A, A): bool", (a: Value, b: Value) => isEqual(a, b), "least"),
  call("_!=_(A, A): bool", (a: Value, b: Value) => !isEqual(a, b), "least"),
  call("@in(A, list<A>): bool", (a: Value, list: readonly Value[]) => list.some((item) => isEqual(a, item)), "members"),
  call("@in(A, map<A, B>): bool", (a: Value, map: CelMap) => map.get(a) !== undefined),
];

const codePoints = (text: string): bigint => {
  let count = 0n;
  for (const _char of text) count++;
  return count;
};

const noConversion = (type: string) => new CelRuntimeError(`type conversion error from 'string' to '${type}'`);

function toInt(text: string): bigint {
  if (!/^[+-]?\d+$/.test(text)) throw noConversion("int");
  const value = BigInt(text.replace(/^\+/, ""));
  if (value > INT_MAX || value < INT_MIN) throw noConversion("int");
  return value;
}

function toUint(text: string): Uint {
  if (!/^\d+$/.test(text)) throw noConversion("uint");
  return new Uint(BigInt(text));
}

function toDouble(text: string): number {
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (special !== null)
    return /nan/i.test(special[2] as string)
      ? Number.NaN
      : special[1] === "-"
        ? -Number.POSITIVE_INFINITY
        : Number.POSITIVE_INFINITY;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) throw noConversion("double");
  const value = Number(text);
  if (!Number.isFinite(value)) throw noConversion("double");
  return value;
}

function toBool(text: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw noConversion("bool");
}

function wholeOf(value: number): bigint {
  if (!Number.isFinite(value)) throw new CelRuntimeError("integer overflow");
  return BigInt(Math.trunc(value));
}

const conversions: readonly Overload[] = [
  call("size(string): int", codePoints),
  call("size(bytes): int", (a: Uint8Array) => BigInt(a.length)),
  call("size(list<A>): int", (a: readonly Value[]) => BigInt(a.length)),
  call("size(map<A, B>): int", (a: CelMap) => BigInt(a.size)),
  method("string.size(): int", codePoints),
  method("bytes.size(): int", (a: Uint8Array) => BigInt(a.length)),
  method("list<A>.size(): int", (a: readonly Value[]) => BigInt(a.length)),
  method("map<A, B>.size(): int", (a: CelMap) => BigInt(a.size)),
  call("dyn(A): dyn", (a: Value) => a),
  call("type(A): type", (a: Value) => new TypeValue(typeName(a))),
  call("bool(bool): bool", (a: boolean) => a),
  call("bool(string): bool", toBool),
  call("int(int): int", (a: bigint) => a),
  call("int(uint): int", (a: Uint) => checkedInt(a.value)),
  call("int(double): int", (a: number) => checkedInt(wholeOf(a))),
  call("int(string): int", toInt),
  call("int(timestamp): int", (a: Timestamp) => floorDivide(a.nanos, 1_000_000_000n)),
  call("uint(uint): uint", (a: Uint) => a),
  call("uint(int): uint", checkedUint),
  call("uint(double): uint", (a: number) => checkedUint(wholeOf(a))),
  call("uint(string): uint", toUint),
  call("double(double): double", (a: number) => a),
  call("double(int): double", (a: bigint) => Number(a)),
  call("double(uint): double", (a: Uint) => Number(a.value)),
  call("double(string): double", toDouble),
  ...["string", "bool", "int", "uint", "double", "timestamp", "duration"].map((type) =>
    call(`string(${type}): string`, (a: Value) => display(a)),
  ),
  call("string(bytes): string", (a: Uint8Array) => {
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(a);
    } catch {
      throw new CelRuntimeError("invalid UTF-8 in bytes, cannot convert to string");
    }
  }),
  call("bytes(bytes): bytes", (a: Uint8Array) => a),
  call("bytes(string): bytes", (a: string) => new TextEncoder().encode(a)),
  call("timestamp(timestamp): timestamp", (a: Timestamp) => a),
  call("timestamp(string): timestamp", parseTimestamp),
  call("timestamp(int): timestamp", (a: bigint) => new Timestamp(a * 1_000_000_000n)),
  call("duration(duration): duration", (a: Duration) => a),
  call("duration(string): duration", parseDuration),
  // It is declared, and takes none.
  call("duration(int): duration", () => {
    throw new CelRuntimeError("no such overload");
  }),
];

const floorDivide = (value: bigint, by: bigint): bigint => {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
};

/** The parts of a time in a zone: a name of the time zone database, or an offset such as `-08:00`. */
function partsIn(time: Timestamp, zone: string): Date {
  const milliseconds = Number(floorDivide(time.nanos, 1_000_000n));
  const offset = /^([+-]?)(\d{1,2}):(\d{2})$/.exec(zone);
  if (offset !== null) {
    const minutes = Number(offset[2]) * 60 + Number(offset[3]);
    return new Date(milliseconds + (offset[1] === "-" ? -minutes : minutes) * 60_000);
  }
  try {
    const parts = new Intl.DateTimeFormat("en-US", {
      timeZone: zone === "" ? "UTC" : zone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
      fractionalSecondDigits: 3,
    }).formatToParts(milliseconds);
    const part = (type: string) => Number(parts.find((one) => one.type === type)?.value ?? 0);
    return new Date(
      Date.UTC(
        part("year"),
        part("month") - 1,
        part("day"),
        part("hour"),
        part("minute"),
        part("second"),
        part("fractionalSecond"),
      ),
    );
  } catch {
    throw new CelRuntimeError(`unknown time zone ${zone}`);
  }
}

const dayOfYear = (date: Date): number =>
  Math.floor(
    (Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()) - Date.UTC(date.getUTCFullYear(), 0, 1)) /
      86_400_000,
  );

const TIME_PARTS: Readonly<Record<string, (date: Date) => number>> = {
  getFullYear: (date) => date.getUTCFullYear(),
  getMonth: (date) => date.getUTCMonth(),
  getDate: (date) => date.getUTCDate(),
  getDayOfMonth: (date) => date.getUTCDate() - 1,
  getDayOfWeek: (date) => date.getUTCDay(),
  getDayOfYear: dayOfYear,
  getHours: (date) => date.getUTCHours(),
  getMinutes: (date) => date.getUTCMinutes(),
  getSeconds: (date) => date.getUTCSeconds(),
  getMilliseconds: (date) => date.getUTCMilliseconds(),
};

const time: readonly Overload[] = [
  ...Object.entries(TIME_PARTS).flatMap(([name, read]) => [
    method(`timestamp.${name}(): int`, (a: Timestamp) => BigInt(read(partsIn(a, "UTC")))),
    method(`timestamp.${name}(string): int`, (a: Timestamp, zone: string) => BigInt(read(partsIn(a, zone)))),
  ]),
  method("duration.getHours(): int", (a: Duration) => a.nanos / 3_600_000_000_000n),
  method("duration.getMinutes(): int", (a: Duration) => a.nanos / 60_000_000_000n),
  method("duration.getSeconds(): int", (a: Duration) => a.nanos / 1_000_000_000n),
  method("duration.getMilliseconds(): int", (a: Duration) => a.nanos / 1_000_000n),
];

/** The functions and operators every CEL has. */
export const standardLibrary: readonly Overload[] = [...arithmetic, ...comparisons, ...conversions, ...time];
