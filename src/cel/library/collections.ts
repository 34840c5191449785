import { CelBudgetError } from "../frame.ts";
import { call, method, type Overload } from "../functions.ts";
import { CelRuntimeError, compareValues, Duration, isEqual, Optional, Uint, type Value } from "../values.ts";

type List = readonly Value[];

function ordered(left: Value, right: Value): number {
  const order = compareValues(left, right);
  if (order === undefined) throw new CelRuntimeError("no such overload");
  return order;
}

function extreme(list: List, name: string, wanted: number): Value {
  if (list.length === 0) throw new CelRuntimeError(`${name} called on empty list`);
  return list.reduce((best, item) => (ordered(item, best) === wanted ? item : best));
}

function sum(list: List, zero: Value): Value {
  return list.reduce((total, item) => {
    if (typeof total === "bigint" && typeof item === "bigint") return total + item;
    if (typeof total === "number" && typeof item === "number") return total + item;
    if (total instanceof Uint && item instanceof Uint) return new Uint(total.value + item.value);
    if (total instanceof Duration && item instanceof Duration) return new Duration(total.nanos + item.nanos);
    throw new CelRuntimeError("no such overload");
  }, zero);
}

const isSorted = (list: List) => list.every((item, at) => at === 0 || ordered(list[at - 1] as Value, item) <= 0);
const has = (list: List, value: Value) => list.some((item) => isEqual(item, value));
const position = (at: number) => BigInt(at);

const SORTABLE = ["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"];
const SUMMABLE: readonly (readonly [string, Value])[] = [
  ["int", 0n],
  ["uint", new Uint(0n)],
  ["double", 0],
  ["duration", new Duration(0n)],
];

const isZero = (value: Value): boolean => {
  if (value === null || value === false || value === "" || value === 0 || value === 0n) return true;
  if (Array.isArray(value) || value instanceof Uint8Array) return value.length === 0;
  if (value instanceof Uint) return value.value === 0n;
  if (value instanceof Duration) return value.nanos === 0n;
  return typeof value === "object" && "size" in value && value.size === 0;
};

/** Lists, sets and optional values. */
export const collectionLibrary: readonly Overload[] = [
  ...SORTABLE.flatMap((type) => [
    method(`list<${type}>.isSorted(): bool`, isSorted, "elements"),
    method(`list<${type}>.min(): ${type}`, (list: List) => extreme(list, "min", -1), "elements"),
    method(`list<${type}>.max(): ${type}`, (list: List) => extreme(list, "max", 1), "elements"),
  ]),
  ...SUMMABLE.map(([type, zero]) =>
    method(`list<${type}>.sum(): ${type}`, (list: List) => sum(list, zero), "elements"),
  ),
  method(
    "list<A>.indexOf(A): int",
    (list: List, value: Value) => position(list.findIndex((item) => isEqual(item, value))),
    "elements",
  ),
  method(
    "list<A>.lastIndexOf(A): int",
    (list: List, value: Value) => position(list.findLastIndex((item) => isEqual(item, value))),
    "elements",
  ),
  call("sets.contains(list<A>, list<A>): bool", (a: List, b: List) => b.every((item) => has(a, item)), "pairs"),
  call(
    "sets.equivalent(list<A>, list<A>): bool",
    (a: List, b: List) => a.every((item) => has(b, item)) && b.every((item) => has(a, item)),
    "bothWays",
  ),
  call("sets.intersects(list<A>, list<A>): bool", (a: List, b: List) => a.some((item) => has(b, item)), "pairs"),
  call("optional.of(A): optional<A>", (a: Value) => new Optional(a)),
  call("optional.none(): optional<A>", () => Optional.none),
  call("optional.ofNonZeroValue(A): optional<A>", (a: Value) => (isZero(a) ? Optional.none : new Optional(a))),
  call("optional.unwrap(list<optional<A>>): list<A>", unwrap, "list"),
  method("list<optional<A>>.unwrapOpt(): list<A>", unwrap, "list"),
  method("optional<A>.hasValue(): bool", (a: Optional) => a.value !== undefined),
  method("optional<A>.value(): A", (a: Optional) => {
    if (a.value === undefined) throw new CelRuntimeError("optional.none() dereference");
    return a.value;
  }),
  method("optional<A>.or(optional<A>): optional<A>", (a: Optional, b: Optional) => (a.value === undefined ? b : a)),
  method("optional<A>.orValue(A): A", (a: Optional, b: Value) => (a.value === undefined ? b : a.value)),
  ...SORTABLE.map((type) =>
    method(`list<${type}>.sort(): list<${type}>`, (list: List) => [...list].sort(ordered), "square"),
  ),
  method("list<A>.distinct(): list<A>", distinct, "square"),
  method("list<A>.reverse(): list<A>", (list: List) => [...list].reverse(), "list"),
  method("list<A>.slice(int, int): list<A>", slice, "list"),
  method("list<list<A>>.flatten(): list<A>", (list: List) => list.flat() as Value, "list"),
  method("list<dyn>.flatten(int): list<dyn>", flatten, "list"),
  call("lists.range(int): list<int>", range, "list"),
  method("list<A>.first(): optional<A>", (list: List) => new Optional(list[0])),
  method("list<A>.last(): optional<A>", (list: List) => new Optional(list[list.length - 1])),
];

function distinct(list: List): Value {
  const found: Value[] = [];
  for (const item of list) if (!has(found, item)) found.push(item);
  return found;
}

function slice(list: List, from: bigint, to: bigint): Value {
  const refuse = (why: string) => new CelRuntimeError(`cannot slice(${from}, ${to}), ${why}`);
  if (from < 0n || to < 0n) throw refuse("negative indexes not supported");
  if (from > to) throw refuse("start index must be less than or equal to end index");
  if (BigInt(list.length) < to) throw refuse(`list is length ${list.length}`);
  return list.slice(Number(from), Number(to));
}

function flatten(list: List, depth: bigint): Value {
  if (depth < 0n) throw new CelRuntimeError("level must be non-negative");
  return list.flatMap((item) => (Array.isArray(item) && depth > 0n ? (flatten(item, depth - 1n) as List) : [item]));
}

const RANGE_MAX = 1_000_000n;

function range(size: bigint): Value {
  if (size > RANGE_MAX) throw new CelBudgetError("operation cancelled: actual cost limit exceeded");
  return Array.from({ length: size < 0n ? 0 : Number(size) }, (_, at) => BigInt(at));
}

function unwrap(list: readonly Value[]): Value {
  return list.flatMap((item) => (item instanceof Optional && item.value !== undefined ? [item.value] : []));
}
