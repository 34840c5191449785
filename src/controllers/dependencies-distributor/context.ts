import type { Interpreter } from "#interpreter";
import type { KubeObject, ResourceKind } from "#machinery";

export interface DistributorDeps {
  readonly interpreter: Interpreter;
  readonly kindOf: (apiVersion: string, kind: string) => ResourceKind | undefined;
  /** The template as cached or live; `undefined` when it is gone. */
  readonly templateOf: (resource: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly namespace?: string;
    readonly name: string;
  }) => Promise<KubeObject | undefined>;
}

export interface DistributorOptions {
  /** Whether a binding that no policy claims any more keeps what it was given as it is. */
  readonly unclaimedBindings: "freeze" | "follow";
  /** Whether what cluster-scoped templates need follows them as well; upstream leaves it where it is. */
  readonly clusterScopedDependencies: boolean;
  readonly concurrentSyncs: number;
}

/** Attached bindings by the reference key of a binding that needs them. */
export const DEPENDED_BY_INDEX = "dependedBy";
/** Independent bindings by what they need. */
export const DEPENDS_ON_INDEX = "dependsOn";
