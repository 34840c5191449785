import type { Compiled, ExpressionCompiler as Compiler, Frame, Variable } from "./frame.ts";
import type { Node } from "./parse.ts";
import { bool, type CelType, dyn, formatType, int, isAssignable, isDyn, listOf, mapOf, optionalOf } from "./types.ts";
import { CelMap, CelRuntimeError, compareValues, LiteralMap, Optional, type Value } from "./values.ts";

type Scope = ReadonlyMap<string, Variable>;

/** How many arguments each macro takes beside its receiver. */
const MACROS: Readonly<Record<string, readonly number[]>> = {
  all: [2, 3],
  exists: [2, 3],
  exists_one: [2, 3],
  existsOne: [3],
  map: [2, 3],
  filter: [2],
  sortBy: [2],
  transformList: [3, 4],
  transformMap: [3, 4],
  transformMapEntry: [3, 4],
  optMap: [2],
  optFlatMap: [2],
};
/** Macros whose elements are known by key and value rather than by one name. */
const isTwoNamed = (name: string, count: number) => name.startsWith("transform") || (name !== "map" && count === 3);

export function isMacro(name: string, hasReceiver: boolean, args: readonly Node[]): boolean {
  if (!hasReceiver) return name === "has" && args.length === 1;
  if (MACROS[name]?.includes(args.length) !== true) return false;
  return args[0]?.op === "id";
}

export function compileMacro(
  compiler: Compiler,
  node: Node,
  name: string,
  receiver: Node | undefined,
  args: readonly Node[],
  scope: Scope,
): Compiled {
  if (receiver === undefined) return compiler.has(node, args[0] as Node, scope);
  const range = compiler.compile(receiver, scope);
  if (name === "optMap" || name === "optFlatMap") return optionalMacro(compiler, node, name, range, args, scope);
  const keyed = isTwoNamed(name, args.length);
  const loop = new Loop(compiler, receiver, range, args.slice(0, keyed ? 2 : 1), scope);
  const rest = args.slice(keyed ? 2 : 1);
  switch (name) {
    case "all":
    case "exists":
      return quantifier(compiler, loop, rest[0] as Node, name === "exists");
    case "exists_one":
    case "existsOne":
      return existsOne(compiler, loop, rest[0] as Node);
    case "filter":
      return filter(compiler, loop, rest[0] as Node);
    case "sortBy":
      return sorting(compiler, loop, rest[0] as Node);
    case "map":
    case "transformList":
      return mapping(compiler, loop, rest.length === 2 ? rest[0] : undefined, rest[rest.length - 1] as Node);
    default:
      return transformMap(
        compiler,
        node,
        loop,
        name === "transformMapEntry",
        rest.length === 2 ? rest[0] : undefined,
        rest[rest.length - 1] as Node,
      );
  }
}

function optionalMacro(
  compiler: Compiler,
  node: Node,
  name: string,
  of: Compiled,
  args: readonly Node[],
  scope: Scope,
): Compiled {
  if (of.type.kind !== "optional" && !isDyn(of.type)) throw compiler.noOverload(node, name, [of.type], true);
  const type = of.type.kind === "optional" ? of.type.of : dyn;
  const slot = compiler.slotCount++;
  const body = compiler.compile(args[1] as Node, new Map(scope).set(nameOf(compiler, args[0] as Node), { slot, type }));
  const isFlat = name === "optFlatMap";
  return {
    type: isFlat ? body.type : optionalOf(body.type),
    run: (frame) => {
      const value = of.run(frame);
      if (!(value instanceof Optional)) throw new CelRuntimeError("no such overload");
      if (value.value === undefined) return Optional.none;
      frame.slots[slot] = value.value;
      const made = body.run(frame);
      return isFlat ? made : new Optional(made);
    },
    cost: of.cost + body.cost + 1,
    size: body.size,
  };
}

function nameOf(compiler: Compiler, node: Node): string {
  if (node.op !== "id") throw compiler.refuse(node, "argument must be a simple name");
  return node.args;
}

/** The variable in which a comprehension gathers what it gives. */
const ACCUMULATOR = "__result__";

/** What all comprehensions share: the range, its variables, and one step after another. */
class Loop {
  readonly range: Compiled;
  readonly scope: Scope;
  readonly keyType: CelType;
  readonly elementType: CelType;
  readonly #slots: readonly number[];

  constructor(compiler: Compiler, node: Node, range: Compiled, names: readonly Node[], scope: Scope) {
    const { type } = range;
    if (type.kind !== "list" && type.kind !== "map" && !isDyn(type) && type.kind !== "param")
      throw compiler.refuse(
        node,
        `expression of type '${formatType(type)}' cannot be range of a comprehension (must be list, map, or dynamic)`,
      );
    this.range = range;
    this.keyType = type.kind === "list" ? int : type.kind === "map" ? type.key : dyn;
    this.elementType = type.kind === "list" || type.kind === "map" ? type.of : dyn;
    // One name alone means elements of a list, but keys of a map.
    const types =
      names.length === 2 ? [this.keyType, this.elementType] : [type.kind === "map" ? type.key : this.elementType];
    const inner = new Map(scope);
    const [one, other] = names.map((name) => nameOf(compiler, name));
    if (one !== undefined && one === other) throw compiler.refuse(names[1] as Node, `duplicate variable name: ${one}`);
    for (const name of names)
      if (nameOf(compiler, name) === ACCUMULATOR)
        throw compiler.refuse(name, "iteration variable overwrites accumulator variable");
    this.#slots = names.map((name, at) => {
      const slot = compiler.slotCount++;
      inner.set(nameOf(compiler, name), { slot, type: types[at] as CelType });
      return slot;
    });
    this.scope = inner;
  }

  /** Runs `step` for every element until it answers false. `charge` is what each round costs beside its body. */
  run(frame: Frame, charge: number, step: (element: Value, key: Value) => boolean): void {
    const range = this.range.run(frame);
    const isMap = range instanceof CelMap;
    if (!isMap && !Array.isArray(range)) throw new CelRuntimeError("no such overload");
    const items = isMap ? range.keys() : (range as readonly Value[]);
    const [first, second] = this.#slots as readonly [number, number | undefined];
    for (let at = 0; at < items.length; at++) {
      const item = items[at] as Value;
      const key = isMap ? item : BigInt(at);
      const element = isMap && second !== undefined ? (range.get(item) as Value) : item;
      frame.slots[first] = second === undefined ? element : key;
      if (second !== undefined) frame.slots[second] = element;
      frame.charge(charge);
      if (!step(element, key)) return;
    }
  }

  /** What the whole costs at most when each round costs this much. */
  cost(round: number): number {
    return this.range.cost + 1 + this.range.size * round;
  }
}

/** What a new list costs. */
const LIST = 10;

function predicateOf(compiler: Compiler, loop: Loop, node: Node): Compiled {
  const predicate = compiler.compile(node, loop.scope);
  if (!isAssignable(bool, predicate.type, new Map()))
    throw compiler.noOverload(node, "_?_:_", [predicate.type, dyn, dyn]);
  return predicate;
}

const truth = (value: Value): boolean => {
  if (typeof value !== "boolean") throw new CelRuntimeError("no such overload");
  return value;
};

/** `all` and `exists`: an element that decides wins over elements that fail. */
function quantifier(compiler: Compiler, loop: Loop, node: Node, decisive: boolean): Compiled {
  const predicate = predicateOf(compiler, loop, node);
  return {
    type: bool,
    run: (frame) => {
      let failure: CelRuntimeError | undefined;
      let isDecided = false;
      loop.run(frame, 3, () => {
        try {
          isDecided = truth(predicate.run(frame)) === decisive;
        } catch (error) {
          if (!(error instanceof CelRuntimeError)) throw error;
          failure ??= error;
        }
        return !isDecided;
      });
      if (isDecided) return decisive;
      if (failure !== undefined) throw failure;
      return !decisive;
    },
    cost: loop.cost((decisive ? 4 : 3) + predicate.cost),
    size: 1,
  };
}

function existsOne(compiler: Compiler, loop: Loop, node: Node): Compiled {
  const predicate = predicateOf(compiler, loop, node);
  return {
    type: bool,
    run: (frame) => {
      let count = 0;
      loop.run(frame, 3, () => {
        if (truth(predicate.run(frame))) count++;
        return true;
      });
      return count === 1;
    },
    cost: 1 + loop.cost(2 + predicate.cost),
    size: 1,
  };
}

function filter(compiler: Compiler, loop: Loop, node: Node): Compiled {
  const predicate = predicateOf(compiler, loop, node);
  const { type } = loop.range;
  return {
    type: listOf(type.kind === "map" ? type.key : loop.elementType),
    run: (frame) => {
      const kept: Value[] = [];
      loop.run(frame, 12, (element) => {
        if (truth(predicate.run(frame))) kept.push(element);
        return true;
      });
      return kept;
    },
    cost: LIST + loop.cost(13 + predicate.cost),
    size: loop.range.size,
  };
}

function mapping(compiler: Compiler, loop: Loop, filterNode: Node | undefined, bodyNode: Node): Compiled {
  const predicate = filterNode === undefined ? undefined : predicateOf(compiler, loop, filterNode);
  const body = compiler.compile(bodyNode, loop.scope);
  return {
    type: listOf(body.type),
    run: (frame) => {
      const made: Value[] = [];
      loop.run(frame, 12, () => {
        if (predicate === undefined || truth(predicate.run(frame))) made.push(body.run(frame));
        return true;
      });
      return made;
    },
    cost: LIST + loop.cost(12 + body.cost + (predicate?.cost ?? 0)),
    size: loop.range.size,
  };
}

/** The elements of a list in the order of what the body makes of each. */
function sorting(compiler: Compiler, loop: Loop, bodyNode: Node): Compiled {
  const body = compiler.compile(bodyNode, loop.scope);
  return {
    type: loop.range.type,
    run: (frame) => {
      const made: { readonly element: Value; readonly by: Value }[] = [];
      loop.run(frame, 12, (element) => {
        made.push({ element, by: body.run(frame) });
        return true;
      });
      const order = (left: Value, right: Value) => {
        const found = compareValues(left, right);
        if (found === undefined) throw new CelRuntimeError("no such overload");
        return found;
      };
      return made.sort((one, other) => order(one.by, other.by)).map(({ element }) => element);
    },
    cost: loop.cost(12 + body.cost),
    size: loop.range.size,
  };
}

function transformMap(
  compiler: Compiler,
  node: Node,
  loop: Loop,
  isEntry: boolean,
  filterNode: Node | undefined,
  bodyNode: Node,
): Compiled {
  const predicate = filterNode === undefined ? undefined : predicateOf(compiler, loop, filterNode);
  const body = compiler.compile(bodyNode, loop.scope);
  if (isEntry && body.type.kind !== "map" && !isDyn(body.type))
    throw compiler.noOverload(node, "transformMapEntry", [body.type]);
  return {
    type: isEntry ? (body.type.kind === "map" ? body.type : mapOf(dyn, dyn)) : mapOf(loop.keyType, body.type),
    run: (frame) => {
      const entries: (readonly [Value, Value])[] = [];
      loop.run(frame, 30, (_element, key) => {
        if (predicate !== undefined && !truth(predicate.run(frame))) return true;
        const made = body.run(frame);
        if (!isEntry) entries.push([key, made]);
        else if (made instanceof CelMap) for (const own of made.keys()) entries.push([own, made.get(own) as Value]);
        else throw new CelRuntimeError("no such overload");
        return true;
      });
      return new LiteralMap(entries);
    },
    cost: loop.cost(30 + body.cost + (predicate?.cost ?? 0)),
    size: loop.range.size,
  };
}
