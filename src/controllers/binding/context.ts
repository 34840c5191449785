import type { Interpreter } from "#interpreter";
import type { KubeObject, ResourceKind } from "#machinery";

export interface BindingDeps {
  readonly interpreter: Interpreter;
  readonly gates: ReadonlySet<string>;
  /** Finds the resource of a template's kind. */
  readonly kindOf: (apiVersion: string, kind: string) => ResourceKind | undefined;
  /** The template as cached or live; `undefined` when it is gone. */
  readonly templateOf: (resource: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly namespace?: string;
    readonly name: string;
  }) => Promise<KubeObject | undefined>;
}

export interface BindingOptions {
  readonly unclaimedBindings: "freeze" | "follow";
  readonly concurrentSyncs: number;
}

export const BINDING_ID_INDEX = "bindingId";
