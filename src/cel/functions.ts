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

/** What a call costs beside the one unit of every call: nothing more, its texts read once, its lists read once or once for each element. */
export type CallCost = "text" | "list" | "square" | undefined;

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

/** What a call costs for values as large as these. */
export function callCost(cost: CallCost, sizes: readonly number[]): number {
  if (cost === undefined) return 1;
  const total = sizes.reduce((sum, size) => sum + size, 0);
  return 1 + Math.ceil(cost === "text" ? total * TEXT_COST : cost === "square" ? total * total : total);
}

/** How large a value is where cost is counted: characters, elements, entries; else one. */
export function sizeOf(value: Value): number {
  if (typeof value === "string" || Array.isArray(value) || value instanceof Uint8Array) return value.length;
  return value instanceof CelMap ? value.size : 1;
}
