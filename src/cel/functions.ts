import { type CelType, formatType, isAssignable, isDyn, parseType, splitTypes, substitute } from "./types.ts";
import {
  CelMap,
  CelRuntimeError,
  Duration,
  type Opaque,
  Optional,
  Timestamp,
  TypeValue,
  Uint,
  type Value,
} from "./values.ts";

/** Handlers say in their signature what they take; dispatch hands over nothing else. */
type Handler = (...args: never[]) => Value;

/**
 * What a call costs, where it is not one unit: its first text read once (`text`) or twice (`twice`), both of its texts (`both`),
 * the shorter of two values (`least`), its second value alone (`prefix`, `members`, looked for in a network `address`, and held against a `format`), its first text for each part of the second
 * (`within`, `pattern`), its list once (`list`), with its texts (`elements`, `joined`), for each element (`square`), or for each
 * element of another (`pairs`, there and back `bothWays`).
 */
export type CallCost =
  | "text"
  | "twice"
  | "both"
  | "least"
  | "prefix"
  | "address"
  | "format"
  | "members"
  | "within"
  | "pattern"
  | "list"
  | "elements"
  | "joined"
  | "square"
  | "pairs"
  | "bothWays"
  | undefined;

/** One way to call a function. Methods have their receiver as first argument. */
export interface Overload {
  readonly name: string;
  readonly isMethod: boolean;
  readonly args: readonly CelType[];
  readonly returns: CelType;
  readonly run: Handler;
  readonly cost: CallCost;
}

function overload(signature: string, isMethod: boolean, run: Handler, cost: CallCost): Overload {
  const match = /^(.*?)\((.*)\):\s*(.+)$/.exec(signature);
  const head = match?.[1] ?? "";
  const split = isMethod ? head.lastIndexOf(".") : -1;
  const args = splitTypes(match?.[2] ?? "").map(parseType);
  return {
    name: head.slice(split + 1),
    isMethod,
    args: isMethod ? [parseType(head.slice(0, split)), ...args] : args,
    returns: parseType(match?.[3] ?? "dyn"),
    run,
    cost,
  };
}

/** A function called as `name(args)`; the name may hold dots. */
export const call = (signature: string, run: Handler, cost?: CallCost): Overload =>
  overload(signature, false, run, cost);
/** A function called as `receiver.name(args)`. */
export const method = (signature: string, run: Handler, cost?: CallCost): Overload =>
  overload(signature, true, run, cost);

/** Functions by the way they are called. */
export class FunctionTable {
  readonly #overloads = new Map<string, Overload[]>();
  constructor(overloads: Iterable<Overload>) {
    for (const one of overloads) {
      const key = `${one.isMethod}/${one.name}`;
      const list = this.#overloads.get(key);
      if (list === undefined) this.#overloads.set(key, [one]);
      else list.push(one);
    }
  }
  find(name: string, isMethod: boolean): readonly Overload[] | undefined {
    return this.#overloads.get(`${isMethod}/${name}`);
  }
}

export interface Resolved {
  readonly returns: CelType;
  readonly candidates: readonly Overload[];
  /** Whether types alone decided, so that values need no look. */
  readonly isCertain: boolean;
}

/** The overloads that fit argument types, or undefined when none does. */
export function resolve(overloads: readonly Overload[], args: readonly CelType[]): Resolved | undefined {
  const candidates: Overload[] = [];
  const returns: CelType[] = [];
  for (const one of overloads) {
    if (one.args.length !== args.length) continue;
    const bound = new Map<string, CelType>();
    if (!one.args.every((wanted, at) => isAssignable(wanted, args[at] as CelType, bound))) continue;
    candidates.push(one);
    returns.push(substitute(one.returns, bound));
  }
  const first = returns[0];
  if (first === undefined) return undefined;
  const isSame = returns.every((type) => formatType(type) === formatType(first));
  return {
    candidates,
    returns: isSame ? first : parseType("dyn"),
    isCertain: candidates.length === 1 && args.every((type, at) => isSure(type, candidates[0]?.args[at] as CelType)),
  };
}

/** Whether values of the type need no look before they are handed to a function that wants `wanted`. */
const isSure = (type: CelType, wanted: CelType) =>
  isDyn(wanted) || wanted.kind === "param" || (!isDyn(type) && type.kind !== "param");

/** Whether a value may be handed to a parameter. */
export function fits(type: CelType, value: Value): boolean {
  switch (type.kind) {
    case "param":
      return true;
    case "list":
      return Array.isArray(value) && (value.length === 0 || fits(type.of, value[0] as Value));
    case "map":
    case "object":
      return value instanceof CelMap;
    case "optional":
      return value instanceof Optional;
    case "opaque":
      return typeof value === "object" && value !== null && (value as Opaque).typeName === type.name;
    case "simple":
      switch (type.name) {
        case "dyn":
          return true;
        case "int":
          return typeof value === "bigint";
        case "uint":
          return value instanceof Uint;
        case "double":
          return typeof value === "number";
        case "bytes":
          return value instanceof Uint8Array;
        case "null_type":
          return value === null;
        case "timestamp":
          return value instanceof Timestamp;
        case "duration":
          return value instanceof Duration;
        case "type":
          return value instanceof TypeValue;
        default:
          return typeof value === (type.name === "bool" ? "boolean" : type.name);
      }
  }
}

/** Calls the overload that fits the values. */
export function dispatch(resolved: Resolved, args: readonly Value[]): Value {
  for (const one of resolved.candidates)
    if (resolved.isCertain || one.args.every((type, at) => fits(type, args[at] as Value)))
      return (one.run as (...args: readonly Value[]) => Value)(...args);
  throw new CelRuntimeError("no such overload");
}

const TEXT_COST = 0.1;
const PATTERN_COST = 0.25;
/** Of the patterns of formats, whatever they are. */
const FORMAT_COST = 32;

/** What a call costs for values as large as these; `element` is how large the elements of the first one may be. */
export function callCost(cost: CallCost, sizes: readonly number[], element = 0): number {
  const [first = 0, second = 0] = sizes;
  const read = (size: number) => Math.ceil(size * TEXT_COST);
  switch (cost) {
    case undefined:
      return 1;
    case "text":
      return read(first);
    case "twice":
      return 2 * read(first);
    case "both":
      return read(first + second);
    case "least":
      return read(Math.min(first, second));
    case "prefix":
      return read(second);
    case "address":
      return 4 + read(second);
    case "format":
      return FORMAT_COST * read(second);
    case "members":
      return second;
    case "within":
      return read(first) * read(second);
    case "pattern":
      return read(first + 1) * Math.ceil(second * PATTERN_COST);
    case "elements":
      return first * (1 + read(element));
    case "joined":
      return first * read(element) + read(first * second);
    case "pairs":
      return first * second + 1;
    case "bothWays":
      return 2 * first * second + 1;
    case "square":
      return 1 + first * first;
    case "list":
      return 1 + sizes.reduce((sum, size) => sum + size, 0);
  }
}

/** How large a value is where cost is counted: characters, elements, entries; else one. */
export function sizeOf(value: Value): number {
  if (typeof value === "string" || Array.isArray(value) || value instanceof Uint8Array) return value.length;
  return value instanceof CelMap ? value.size : 1;
}
