import { callCost, dispatch, type FunctionTable, type Overload, type Resolved, resolve, sizeOf } from "./functions.ts";
import type { Compiled, ExpressionCompiler, Frame, Variable } from "./frame.ts";
import { compileMacro, isMacro } from "./macros.ts";
import { CelCompileError, CONSTRUCT, type Node, type Parsed, parseExpression } from "./parse.ts";
import {
  bool,
  bytes,
  type CelType,
  double,
  dyn,
  formatType,
  int,
  isAssignable,
  isDyn,
  listOf,
  mapOf,
  nullType,
  type ObjectType,
  optionalOf,
  string,
  typeType,
  uint,
  unify,
} from "./types.ts";
import { type Argument, templateMistake } from "./library/format.ts";
import { patternOf } from "./library/strings.ts";
import {
  CelMap,
  CelRuntimeError,
  LiteralMap,
  Optional,
  parseDuration,
  parseTimestamp,
  Timestamp,
  TypeValue,
  Uint,
  type Value,
} from "./values.ts";

export interface CompileOptions {
  readonly functions: FunctionTable;
  /** Types that may be written as `Name{…}`. */
  readonly construct?: (name: string) => ObjectType | undefined;
}

const UNKNOWN_SIZE = 3_145_728;
/** Values that are read in no time, whatever they are. */
const SMALL = new Set(["int", "uint", "double", "bool", "null_type"]);
function sizeOfType(type: CelType): number {
  if ("sizeMax" in type && type.sizeMax !== undefined) return type.sizeMax;
  return type.kind === "simple" && SMALL.has(type.name) ? 0 : UNKNOWN_SIZE;
}

const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);

const negated = (value: unknown) => (typeof value === "bigint" ? -value : undefined);

/** Functions whose arguments are tried when they are written out. */
const LITERAL_CHECKS: Readonly<Record<string, (value: string | bigint) => unknown>> = {
  timestamp: (value) =>
    typeof value === "bigint" ? new Timestamp(value * 1_000_000_000n) : parseTimestamp(strictTime(value)),
  duration: (value) => parseDuration(String(value)),
  matches: (value) => (typeof value === "string" ? patternOf(value) : undefined),
};

/** Times are written in full, with capital letters. */
function strictTime(text: string): string {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)$/.test(text) || !isDay(text))
    throw new CelRuntimeError(`parsing time ${JSON.stringify(text)}`);
  return text;
}

function isDay(text: string): boolean {
  const [year = 0, month = 0, day = 0] = text.slice(0, 10).split("-").map(Number);
  const hours = Number(text.slice(11, 13));
  return hours < 24 && Number(text.slice(17, 19)) < 60 && new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day;
}

/** Functions that make a value of another type of one, worked out beforehand where that is written out. */
const CONVERSIONS = new Set([
  "bool",
  "bytes",
  "double",
  "duration",
  "dyn",
  "int",
  "string",
  "timestamp",
  "type",
  "uint",
]);

const BINARY: Readonly<Record<string, string>> = {
  "+": "_+_",
  "-": "_-_",
  "*": "_*_",
  "/": "_/_",
  "%": "_%_",
  "<": "_<_",
  "<=": "_<=_",
  ">": "_>_",
  ">=": "_>=_",
  "==": "_==_",
  "!=": "_!=_",
  in: "@in",
};
/** Mistakes of one expression that are looked for; whoever makes more has seen enough. */
const MISTAKES_MAX = 100;
const INT_MAX = 9_223_372_036_854_775_807n;
const TYPE_NAMES = ["int", "uint", "double", "string", "bool", "bytes", "list", "map", "null_type", "type"];

/** Checks an expression against the types of its variables and makes it runnable. */
export class Compiler implements ExpressionCompiler {
  readonly #source: string;
  readonly #parsed: Parsed;
  readonly #options: CompileOptions;
  /** Grows with the variables of comprehensions. */
  slotCount: number;
  readonly #mistakes: CelCompileError[] = [];
  /** Mistakes in what is written out, which are looked for where all types are right. */
  readonly #late: CelCompileError[] = [];
  /** How many calls are open whose arguments may be of several types. */
  #mixed = 0;
  /** Why what is worked out beforehand cannot be: the first reason. */
  failure: string | undefined;

  constructor(source: string, options: CompileOptions, slotCount: number) {
    this.#source = source;
    this.#parsed = parseExpression(source);
    this.#options = options;
    this.slotCount = slotCount;
  }

  /** Compiles the whole expression. Throws one error that shows every mistake. */
  compileRoot(scope: ReadonlyMap<string, Variable>): Compiled {
    const root = this.compile(this.#parsed.ast, scope);
    if (this.#mistakes.length > 0) throw CelCompileError.all(this.#mistakes);
    if (this.#late.length > 0) throw CelCompileError.all(this.#late);
    return root;
  }

  refuse(node: Node, message: string): CelCompileError {
    return new CelCompileError(message, this.#source, this.#parsed.place(node));
  }

  noOverload(node: Node, name: string, types: readonly CelType[], isMethod = false): CelCompileError {
    const [first, ...rest] = types.map(formatType);
    const shown = isMethod ? `${first}.(${rest.join(", ")})` : `(${types.map(formatType).join(", ")})`;
    return this.refuse(node, `found no matching overload for '${name}' applied to '${shown}'`);
  }

  /** A mistake is noted, and what it stands in is looked at as if it could be anything. */
  compile(node: Node, scope: ReadonlyMap<string, Variable>): Compiled {
    try {
      return this.#compileNode(node, scope);
    } catch (error) {
      if (!(error instanceof CelCompileError) || this.#mistakes.length >= MISTAKES_MAX) throw error;
      this.#mistakes.push(error);
      return { type: dyn, run: () => null, cost: 0, size: 1 };
    }
  }

  #compileNode(node: Node, scope: ReadonlyMap<string, Variable>): Compiled {
    switch (node.op) {
      case "value":
        return this.#number(node, node.args);
      case "id":
        return this.#identifier(node, node.args, scope);
      case ".": {
        // A variable may have a dot in its name, as `authorizer.requestResource`.
        const path = pathOf(node);
        const variable = path === undefined ? undefined : scope.get(path);
        if (variable !== undefined) return readVariable(variable);
        return this.select(node, this.compile(node.args[0], scope), node.args[1]);
      }
      case ".?":
        return this.#optionalSelect(node, this.compile(node.args[0], scope), node.args[1]);
      case "[]":
        return this.#index(node, this.compile(node.args[0], scope), this.compile(node.args[1], scope), node.args[1]);
      case "[?]":
        return this.#optionalIndex(node, this.compile(node.args[0], scope), this.compile(node.args[1], scope));
      case "call":
        return this.#call(node, node.args[0], undefined, node.args[1], scope);
      case "rcall":
        return this.#call(node, node.args[0], node.args[1], node.args[2], scope);
      case "list":
        return this.#list(node.args, scope);
      case "map":
        return this.#map(node.args, scope);
      case "?:":
        return this.#ternary(node, node.args, scope);
      case "&&":
      case "||":
        return this.#logic(node, node.op, node.args, scope);
      case "!_":
        return this.#function(node, "!_", [this.compile(node.args, scope)], false);
      case "-_": {
        // The parser reads the sign of a number apart; the smallest integer has no positive twin.
        if (node.args.op === "value" && typeof node.args.args === "bigint") return this.#number(node, -node.args.args);
        return this.#function(node, "-_", [this.compile(node.args, scope)], false);
      }
      default: {
        const [left, right] = node.args as readonly [Node, Node];
        return this.#function(
          node,
          BINARY[node.op] as string,
          [this.compile(left, scope), this.compile(right, scope)],
          false,
        );
      }
    }
  }

  /** A literal; integers must fit into 64 bits. */
  #number(node: Node, raw: unknown): Compiled {
    if (typeof raw === "bigint" && (raw > INT_MAX || raw < -INT_MAX - 1n))
      throw this.refuse(node, "invalid int literal");
    return this.#literal(raw);
  }

  #literal(raw: unknown): Compiled {
    let value = raw as Value;
    let type = string;
    if (typeof raw === "bigint") type = int;
    else if (typeof raw === "number") type = double;
    else if (typeof raw === "boolean") type = bool;
    else if (raw === null) type = nullType;
    else if (raw instanceof Uint8Array) type = bytes;
    else if (typeof raw === "object") {
      value = new Uint(BigInt(String(raw)));
      type = uint;
    }
    return { type, run: () => value, cost: 0, size: sizeOf(value), constant: value };
  }

  #identifier(node: Node, name: string, scope: ReadonlyMap<string, Variable>): Compiled {
    const variable = scope.get(name);
    if (variable !== undefined) return readVariable(variable);
    if (TYPE_NAMES.includes(name)) {
      const value = new TypeValue(name);
      return { type: typeType, run: () => value, cost: 1, size: 0 };
    }
    throw this.refuse(node, `undeclared reference to '${name}' (in container '')`);
  }

  /** Reads a member that must be there. */
  select(node: Node, of: Compiled, name: string): Compiled {
    if (of.type.kind === "optional") {
      const inner = this.#member(node, { ...of, type: of.type.of }, name);
      return {
        type: optionalOf(inner.type),
        run: (frame) => this.#tryMember(of.run(frame), inner.key, frame),
        cost: of.cost + 1,
        size: 1,
      };
    }
    const { type, key } = this.#member(node, of, name);
    const run = of.run;
    return {
      type,
      run: (frame) => {
        const value = run(frame);
        frame.charge(1);
        if (value instanceof CelMap) {
          const found = value.get(key);
          if (found !== undefined) return found;
          throw new CelRuntimeError(`no such key: ${key}`);
        }
        if (value instanceof Optional) return this.#tryMember(value, key, frame);
        // What has no members, null among it, is told as if the member were missing (wire).
        throw new CelRuntimeError(Array.isArray(value) ? "no such overload" : `no such key: ${key}`);
      },
      cost: of.cost + 1,
      size: sizeOfType(type),
    };
  }

  #member(node: Node, of: Compiled, name: string): { readonly type: CelType; readonly key: string } {
    const { type } = of;
    if (type.kind === "object") {
      const field = type.field(name);
      if (field === undefined) throw this.refuse(node, `undefined field '${name}'`);
      return { type: field, key: type.member(name) };
    }
    if (type.kind === "map") return { type: type.of, key: name };
    if (isDyn(type) || type.kind === "param") return { type: dyn, key: name };
    throw this.refuse(node, `type '${formatType(type)}' does not support field selection`);
  }

  #tryMember(value: Value, key: Value, frame: Frame): Value {
    frame.charge(1);
    const inner = value instanceof Optional ? value.value : value;
    if (inner === undefined) return Optional.none;
    if (inner instanceof CelMap) return new Optional(inner.get(key));
    if (Array.isArray(inner) && typeof key === "bigint") return new Optional((inner as readonly Value[])[Number(key)]);
    throw new CelRuntimeError("no such overload");
  }

  #optionalSelect(node: Node, of: Compiled, name: string): Compiled {
    const bare = of.type.kind === "optional" ? { ...of, type: of.type.of } : of;
    const { type, key } = this.#member(node, bare, name);
    return {
      type: optionalOf(type),
      run: (frame) => this.#tryMember(of.run(frame), key, frame),
      cost: of.cost + 1,
      size: 1,
    };
  }

  /** Whether a member is there; used by `has()`. */
  has(macro: Node, node: Node, scope: ReadonlyMap<string, Variable>): Compiled {
    if (node.op !== "." && node.op !== ".?") throw this.refuse(node, "invalid argument to has() macro");
    const of = this.compile(node.args[0], scope);
    const bare = of.type.kind === "optional" ? { ...of, type: of.type.of } : of;
    const { key } = this.#member(macro, bare, node.args[1]);
    return {
      type: bool,
      run: (frame) => {
        const value = of.run(frame);
        frame.charge(1);
        const inner = value instanceof Optional ? value.value : value;
        if (inner === undefined) return false;
        if (!(inner instanceof CelMap)) throw new CelRuntimeError("no such overload");
        return inner.get(key) !== undefined;
      },
      cost: of.cost,
      size: 1,
    };
  }

  #indexType(node: Node, of: CelType, key: CelType, keyNode?: Node): CelType {
    if (of.kind === "list" && isAssignable(int, key, new Map())) return of.of;
    if (of.kind === "map" && isAssignable(of.key, key, new Map())) return of.of;
    if (isDyn(of)) return dyn;
    if (of.kind === "object" && keyNode?.op === "value" && typeof keyNode.args === "string") {
      // Only a field quoted by backticks comes here.
      const field = of.field(keyNode.args);
      if (field !== undefined) return field;
    }
    throw this.noOverload(node, "_[_]", [of, key]);
  }

  #index(node: Node, of: Compiled, key: Compiled, keyNode: Node): Compiled {
    const isOptional = of.type.kind === "optional";
    const type = this.#indexType(node, of.type.kind === "optional" ? of.type.of : of.type, key.type, keyNode);
    return {
      type: isOptional ? optionalOf(type) : type,
      run: (frame) => {
        const value = of.run(frame);
        const at = key.run(frame);
        if (value instanceof Optional) return this.#tryMember(value, at, frame);
        frame.charge(1);
        if (value instanceof CelMap) {
          const found = value.get(at);
          if (found !== undefined) return found;
          throw new CelRuntimeError(`no such key: ${String(at)}`);
        }
        if (Array.isArray(value) && typeof at === "bigint") {
          const found = (value as readonly Value[])[Number(at)];
          if (found !== undefined) return found;
          throw new CelRuntimeError(`index out of bounds: ${at}`);
        }
        throw new CelRuntimeError("no such overload");
      },
      cost: of.cost + key.cost + 1,
      size: sizeOfType(type),
    };
  }

  #optionalIndex(node: Node, of: Compiled, key: Compiled): Compiled {
    const type = this.#indexType(node, of.type.kind === "optional" ? of.type.of : of.type, key.type);
    return {
      type: optionalOf(type),
      run: (frame) => this.#tryMember(of.run(frame), key.run(frame), frame),
      cost: of.cost + key.cost + 1,
      size: 1,
    };
  }

  #call(
    node: Node,
    name: string,
    receiver: Node | undefined,
    args: readonly Node[],
    scope: ReadonlyMap<string, Variable>,
  ): Compiled {
    if (receiver !== undefined && name === CONSTRUCT) return this.#construct(node, receiver, args, scope);
    if (isMacro(name, receiver !== undefined, args)) return compileMacro(this, node, name, receiver, args, scope);
    const compiled = () => args.map((arg) => this.compile(arg, scope));
    if (receiver === undefined) {
      const call = this.#function(node, name, compiled(), false);
      this.#checkLiteral(name, args);
      return call;
    }
    const path = pathOf(receiver);
    if (path !== undefined && !scope.has(path.split(".")[0] as string)) {
      const qualified = `${path}.${name}`;
      if (this.#options.functions.find(qualified, false) !== undefined)
        return this.#function(node, qualified, compiled(), false);
    }
    if (name === "format") this.#mixed++;
    const parts = [this.compile(receiver, scope), ...compiled()];
    if (name === "format") this.#mixed--;
    const call = this.#function(node, name, parts, true);
    this.#checkLiteral(name, args);
    if (name === "format") this.#checkTemplate(node, receiver, args[0], scope);
    return call;
  }

  /** Times, durations and patterns that are written out must be some. */
  #checkLiteral(name: string, args: readonly Node[]): void {
    const [node] = args;
    if (node === undefined) return;
    const isNegative = node.op === "-_" && node.args.op === "value";
    const value = isNegative ? negated(node.args.args) : node.op === "value" ? node.args : undefined;
    if (value === undefined || args.length > (name === "matches" ? 2 : 1)) return;
    const run = LITERAL_CHECKS[name];
    if (run === undefined || !["string", "bigint"].includes(typeof value)) return;
    try {
      run(value as string | bigint);
    } catch (error) {
      if (!(error instanceof CelRuntimeError)) throw error;
      this.#late.push(this.refuse(node, `invalid ${name} argument`));
    }
  }

  /** A template that is written out, as its arguments are, must fit them. */
  #checkTemplate(node: Node, template: Node, list: Node | undefined, scope: ReadonlyMap<string, Variable>): void {
    if (template.op !== "value" || typeof template.args !== "string" || list?.op !== "list") return;
    const known = this.#mistakes.length;
    const describe = (part: Node): Argument => ({
      type: this.#typeOf(part, scope),
      ...(part.op === "list" ? { parts: part.args.map(describe) } : {}),
      ...(part.op === "map" ? { parts: part.args.map(([, value]) => describe(value)) } : {}),
      refuse: (why) => this.refuse(part, why),
    });
    const mistake = templateMistake(template.args, list.args.map(describe), (why) => this.refuse(node, why));
    // What was told of a part is not told again.
    this.#mistakes.length = known;
    if (mistake instanceof CelCompileError) this.#late.push(mistake);
  }

  #typeOf(node: Node, scope: ReadonlyMap<string, Variable>): CelType {
    this.#mixed++;
    const late = this.#late.length;
    const { type } = this.compile(node, scope);
    this.#mixed--;
    this.#late.length = late;
    return type;
  }

  /** A call of a function by the types of its arguments. */
  #function(node: Node, name: string, args: readonly Compiled[], isMethod: boolean): Compiled {
    const overloads: readonly Overload[] | undefined = this.#options.functions.find(name, isMethod);
    if (overloads === undefined) throw this.refuse(node, `undeclared reference to '${name}' (in container '')`);
    const types = args.map(({ type }) => type);
    const resolved = resolve(overloads, types);
    if (resolved === undefined) throw this.noOverload(node, name, types, isMethod);
    const kind = resolved.candidates.find(({ cost }) => cost !== undefined)?.cost;
    const sizes = args.map(({ size }) => size);
    const constant = isMethod ? undefined : this.#workedOut(name, resolved, args);
    if (isMethod && (name === "find" || name === "findAll")) this.#tryPattern(args[1]);
    const [first] = types;
    const element = first?.kind === "list" ? sizeOfType(first.of) : 0;
    return {
      type: resolved.returns,
      run: runCall(resolved, args, kind),
      ...(constant === undefined ? {} : { constant }),
      cost: args.reduce((sum, { cost }) => sum + cost, callCost(kind, sizes, element)),
      // How long a text of something else is, types do not say.
      size: name === "string" && types[0]?.kind === "simple" && types[0].name !== "string" ? Infinity : sum(sizes),
    };
  }

  /** A conversion of what is known beforehand is made beforehand. */
  #workedOut(name: string, resolved: Resolved, args: readonly Compiled[]): Value | undefined {
    const [argument] = args;
    if (!CONVERSIONS.has(name) || args.length !== 1 || argument?.constant === undefined) return undefined;
    try {
      return dispatch(resolved, [argument.constant]);
    } catch (error) {
      if (!(error instanceof CelRuntimeError)) throw error;
      this.failure ??= error.message;
      return undefined;
    }
  }

  #tryPattern(pattern: Compiled | undefined): void {
    if (typeof pattern?.constant !== "string") return;
    try {
      patternOf(pattern.constant);
    } catch (error) {
      if (!(error instanceof CelRuntimeError)) throw error;
      this.failure ??= error.message;
    }
  }

  #list(elements: readonly Node[], scope: ReadonlyMap<string, Variable>): Compiled {
    let type: CelType = { kind: "param", name: "A" };
    const parts = elements.map((element) => {
      const isOptional = this.#parsed.isOptional(element.start);
      const part = this.compile(element, scope);
      type = this.#element(element, type, part.type, isOptional);
      return { part, isOptional };
    });
    return {
      type: listOf(elements.length === 0 ? dyn : type),
      run: (frame) => {
        frame.charge(10);
        const list: Value[] = [];
        for (const { part, isOptional } of parts) {
          const value = part.run(frame);
          if (!isOptional) list.push(value);
          else if (value instanceof Optional && value.value !== undefined) list.push(value.value);
        }
        return list;
      },
      cost: parts.reduce((sum, { part }) => sum + part.cost, 10),
      size: parts.length,
    };
  }

  /** The type of elements once one more stands beside them: literals hold one type. */
  #element(node: Node, known: CelType, found: CelType, isOptional: boolean): CelType {
    const own = isOptional && found.kind === "optional" ? found.of : found;
    const both = known.kind === "param" ? own : unify(known, own);
    if (both !== undefined) return both;
    if (this.#mixed === 0)
      this.#late.push(this.refuse(node, `expected type '${formatType(known)}' but found '${formatType(own)}'`));
    return dyn;
  }

  #map(entries: readonly (readonly [Node, Node])[], scope: ReadonlyMap<string, Variable>): Compiled {
    let keyType: CelType = { kind: "param", name: "A" };
    let valueType: CelType = { kind: "param", name: "B" };
    const parts = entries.map(([keyNode, valueNode]) => {
      const isOptional = this.#parsed.isOptional(keyNode.start);
      const key = this.compile(keyNode, scope);
      const value = this.compile(valueNode, scope);
      keyType = this.#element(keyNode, keyType, key.type, false);
      valueType = this.#element(valueNode, valueType, value.type, isOptional);
      return { key, value, isOptional };
    });
    return {
      type: entries.length === 0 ? mapOf(dyn, dyn) : mapOf(keyType, valueType),
      run: (frame) => {
        frame.charge(30);
        return new LiteralMap(runEntries(parts, frame));
      },
      cost: parts.reduce((sum, { key, value }) => sum + key.cost + value.cost, 30),
      size: parts.length,
    };
  }

  #construct(node: Node, receiver: Node, args: readonly Node[], scope: ReadonlyMap<string, Variable>): Compiled {
    const name = pathOf(receiver) ?? "";
    const type = this.#options.construct?.(name);
    if (type === undefined) throw this.refuse(receiver, `undeclared reference to '${name}' (in container '')`);
    const literal = args[0];
    if (literal?.op !== "map") throw this.refuse(node, "an object is written as Name{field: value}");
    const parts = literal.args.map(([keyNode, valueNode]) => {
      const field = keyNode.op === "id" ? keyNode.args : "";
      const wanted = type.field(field);
      if (wanted === undefined) throw this.refuse(keyNode, `undefined field '${field}'`);
      const isOptional = this.#parsed.isOptional(keyNode.start);
      const value = this.compile(valueNode, scope);
      const own = isOptional && value.type.kind === "optional" ? value.type.of : value.type;
      if (!isAssignable(wanted, own, new Map()))
        throw this.refuse(
          keyNode,
          `expected type of field '${field}' is '${formatType(wanted)}' but provided type is '${formatType(own)}'`,
        );
      const key = this.#literal(type.member(field));
      return { key, value, isOptional };
    });
    return {
      type,
      run: (frame) => {
        frame.charge(40);
        return new LiteralMap(runEntries(parts, frame), name);
      },
      cost: parts.reduce((sum, { value }) => sum + value.cost, 40),
      size: parts.length,
    };
  }

  #ternary(node: Node, args: readonly [Node, Node, Node], scope: ReadonlyMap<string, Variable>): Compiled {
    const [condition, left, right] = args.map((arg) => this.compile(arg, scope)) as [Compiled, Compiled, Compiled];
    const type = unify(left.type, right.type);
    if (type === undefined || !isAssignable(bool, condition.type, new Map()))
      throw this.noOverload(node, "_?_:_", [condition.type, left.type, right.type]);
    return {
      type,
      run: (frame) => {
        const chosen = condition.run(frame);
        if (typeof chosen !== "boolean") throw new CelRuntimeError("no such overload");
        return chosen ? left.run(frame) : right.run(frame);
      },
      cost: condition.cost + Math.max(left.cost, right.cost),
      size: Math.max(left.size, right.size),
    };
  }

  #logic(node: Node, op: "&&" | "||", args: readonly [Node, Node], scope: ReadonlyMap<string, Variable>): Compiled {
    const [left, right] = args.map((arg) => this.compile(arg, scope)) as [Compiled, Compiled];
    if (!isAssignable(bool, left.type, new Map()) || !isAssignable(bool, right.type, new Map()))
      throw this.noOverload(node, `_${op}_`, [left.type, right.type]);
    const decisive = op === "||";
    return {
      type: bool,
      run: (frame) => {
        let failure: unknown;
        for (const side of [left, right]) {
          try {
            const value = side.run(frame);
            if (value === decisive) return decisive;
            if (typeof value !== "boolean") failure ??= new CelRuntimeError("no such overload");
          } catch (error) {
            if (!(error instanceof CelRuntimeError)) throw error;
            failure ??= error;
          }
        }
        if (failure !== undefined) throw failure as Error;
        return !decisive;
      },
      cost: left.cost + right.cost,
      size: 1,
    };
  }
}

function readVariable({ slot, type }: Variable): Compiled {
  return {
    type,
    run: (frame) => {
      frame.charge(1);
      return frame.slots[slot] as Value;
    },
    cost: 1,
    size: sizeOfType(type),
  };
}

interface Entry {
  readonly key: Compiled;
  readonly value: Compiled;
  readonly isOptional: boolean;
}

function runEntries(parts: readonly Entry[], frame: Frame): (readonly [Value, Value])[] {
  const entries: (readonly [Value, Value])[] = [];
  for (const { key, value, isOptional } of parts) {
    const name = key.run(frame);
    const found = value.run(frame);
    if (!isOptional) entries.push([name, found]);
    else if (found instanceof Optional && found.value !== undefined) entries.push([name, found.value]);
  }
  return entries;
}

function runCall(resolved: Resolved, args: readonly Compiled[], kind: Overload["cost"]): Compiled["run"] {
  return (frame) => {
    const values = args.map((arg) => arg.run(frame));
    frame.charge(kind === undefined ? 1 : callCost(kind, values.map(sizeOf)));
    return dispatch(resolved, values);
  };
}

/** `a.b.c` when the node is nothing but names. */
function pathOf(node: Node): string | undefined {
  if (node.op === "id") return node.args;
  if (node.op !== ".") return undefined;
  const left = pathOf(node.args[0]);
  return left === undefined ? undefined : `${left}.${node.args[1]}`;
}
