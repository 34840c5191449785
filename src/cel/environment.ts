import { type CompileOptions, Compiler } from "./compile.ts";
import { CelBudgetError, type Compiled, Frame, type Variable } from "./frame.ts";
import { FunctionTable } from "./functions.ts";
import { authorizationLibrary } from "./library/authorization.ts";
import { collectionLibrary } from "./library/collections.ts";
import { kubernetesLibrary } from "./library/kubernetes.ts";
import { networkLibrary } from "./library/network.ts";
import { standardLibrary } from "./library/standard.ts";
import { stringLibrary } from "./library/strings.ts";
import { CelCompileError } from "./parse.ts";
import { type CelType, formatType, isAssignable, type ObjectType } from "./types.ts";
import { CelMap, type Value } from "./values.ts";

const functions = new FunctionTable([
  ...standardLibrary,
  ...stringLibrary,
  ...collectionLibrary,
  ...kubernetesLibrary,
  ...networkLibrary,
  ...authorizationLibrary,
]);

/** The most one evaluation may cost, in Kubernetes' units (about 0.1 s of work). */
export const CALL_COST_MAX = 1_000_000;
/** The most all evaluations of one request may cost together. */
export const REQUEST_COST_MAX = 10_000_000;
/** The most an expression of a schema may be estimated to cost. */
export const ESTIMATED_COST_MAX = 10_000_000;

/** What the rules of one request may still cost together. */
export class CostBudget {
  remaining: number;
  constructor(limit = REQUEST_COST_MAX) {
    this.remaining = limit;
  }
}

export interface EnvironmentOptions {
  /** Variables by name. */
  readonly variables: Readonly<Record<string, CelType>>;
  /** Object types that may be written as `Name{field: value}`, by name. */
  readonly construct?: (name: string) => ObjectType | undefined;
}

/** An expression that was checked, ready to run any number of times. */
export interface Program {
  readonly source: string;
  readonly type: CelType;
  /** The most it can cost for values as large as the types allow; infinite when they say nothing. */
  readonly estimatedCost: number;
  /** Runs it. A missing variable is null. Throws `CelRuntimeError`, or `CelBudgetError` when it costs too much. */
  run(variables: Readonly<Record<string, Value>>, budget?: CostBudget): Value;
}

/** Names with types, against which expressions are compiled. */
export class CelEnvironment {
  readonly #scope = new Map<string, Variable>();
  readonly #names: readonly string[];
  readonly #options: CompileOptions;

  constructor(options: EnvironmentOptions) {
    this.#names = Object.keys(options.variables);
    for (const [slot, name] of this.#names.entries())
      this.#scope.set(name, { slot, type: options.variables[name] as CelType });
    this.#options = { functions, ...(options.construct === undefined ? {} : { construct: options.construct }) };
  }

  /** Checks an expression. `wanted` is what it must give. Throws `CelCompileError`. */
  compile(source: string, wanted?: CelType): Program {
    if (source.trim() === "") throw new CelCompileError("Syntax error: no expression was given", source, 0);
    const compiler = new Compiler(source, this.#options, this.#names.length);
    const root = compiler.compileRoot(this.#scope);
    if (wanted !== undefined && !isAssignable(wanted, root.type, new Map()))
      throw new CelTypeError(`must evaluate to ${formatType(wanted)}`, formatType(root.type));
    if (compiler.failure !== undefined) throw new CelInstantiationError(compiler.failure, source);
    return new CompiledProgram(source, root, this.#names, compiler.slotCount);
  }
}

/** What is worked out before an expression runs cannot be. */
export class CelInstantiationError extends CelCompileError {
  override readonly name: string = "CelInstantiationError";
  readonly why: string;
  constructor(why: string, source: string) {
    super(why, source, 0);
    this.why = why;
    this.message = `instantiation failed: ${why}`;
  }
}

/** An expression gives another type than its place asks for. */
export class CelTypeError extends Error {
  override readonly name: string = "CelTypeError";
  readonly found: string;
  constructor(message: string, found: string) {
    super(message);
    this.found = found;
  }
}

class CompiledProgram implements Program {
  readonly source: string;
  readonly type: CelType;
  readonly estimatedCost: number;
  readonly #root: Compiled;
  readonly #names: readonly string[];
  readonly #slots: number;

  constructor(source: string, root: Compiled, names: readonly string[], slots: number) {
    this.source = source;
    this.type = root.type;
    this.estimatedCost = root.cost;
    this.#root = root;
    this.#names = names;
    this.#slots = slots;
  }

  run(variables: Readonly<Record<string, Value>>, budget?: CostBudget): Value {
    const slots: Value[] = this.#names.map((name) => variables[name] ?? null);
    while (slots.length < this.#slots) slots.push(null);
    const frame = new Frame(slots, Math.min(CALL_COST_MAX, budget?.remaining ?? CALL_COST_MAX));
    try {
      return this.#root.run(frame);
    } catch (error) {
      if (error instanceof RangeError) throw new CelBudgetError("operation cancelled: expression nests too deep");
      throw error;
    } finally {
      if (budget !== undefined) budget.remaining -= frame.cost;
    }
  }
}

/** A map whose members are worked out when first asked for, such as a policy's `variables`. */
export class LazyMap extends CelMap {
  readonly #make: ReadonlyMap<string, () => Value>;
  readonly #made = new Map<string, Value>();
  constructor(members: ReadonlyMap<string, () => Value>) {
    super();
    this.#make = members;
  }
  get(key: Value): Value | undefined {
    if (typeof key !== "string") return undefined;
    let value = this.#made.get(key);
    if (value !== undefined) return value;
    value = this.#make.get(key)?.();
    if (value !== undefined) this.#made.set(key, value);
    return value;
  }
  keys(): readonly string[] {
    return [...this.#make.keys()];
  }
  get size(): number {
    return this.#make.size;
  }
}
