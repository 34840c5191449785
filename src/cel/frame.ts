import type { CelCompileError, Node } from "./parse.ts";
import type { CelType } from "./types.ts";
import type { Value } from "./values.ts";

/** A rule ran out of what it may cost. Nothing forgives it. */
export class CelBudgetError extends Error {
  override readonly name: string = "CelBudgetError";
}

/** What one evaluation works on: variables by slot, and what it may still cost. */
export class Frame {
  readonly slots: Value[];
  readonly limit: number;
  cost = 0;
  constructor(slots: Value[], limit: number) {
    this.slots = slots;
    this.limit = limit;
  }
  charge(amount: number): void {
    this.cost += amount;
    if (this.cost > this.limit) throw new CelBudgetError("operation cancelled: actual cost limit exceeded");
  }
}

/** A checked part of an expression. */
export interface Compiled {
  readonly type: CelType;
  readonly run: (frame: Frame) => Value;
  /** The most it can cost, and the most elements its value can have. */
  readonly cost: number;
  readonly size: number;
  /** Its value, where that is known before it runs. */
  readonly constant?: Value;
}

export interface Variable {
  readonly slot: number;
  readonly type: CelType;
}

/** What macros need of the compiler. */
export interface ExpressionCompiler {
  /** Grows with the variables of comprehensions. */
  slotCount: number;
  compile(node: Node, scope: ReadonlyMap<string, Variable>): Compiled;
  /** Whether a member is there. */
  has(macro: Node, node: Node, scope: ReadonlyMap<string, Variable>): Compiled;
  refuse(node: Node, message: string): CelCompileError;
  noOverload(node: Node, name: string, types: readonly CelType[], isMethod?: boolean): CelCompileError;
}
