import type { ControllerContext } from "#controller-runtime";
import type { Interpreter } from "#interpreter";

export interface ApplicationFailoverDeps {
  readonly interpreter: Interpreter;
  readonly gates: ReadonlySet<string>;
}

export type ApplicationFailoverContext = ControllerContext<ApplicationFailoverDeps, Record<string, never>>;
