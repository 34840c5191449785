import type { KubeObject } from "#machinery";

/** A piece of plain JSON. */
export type Json = Readonly<Record<string, unknown>>;

/** An object another one cannot do without. */
export interface Dependency {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly labelSelector?: unknown;
}

/** One cluster's part of an aggregated status. */
export interface AggregatedItem {
  readonly clusterName: string;
  readonly status?: Json | undefined;
  readonly applied?: boolean;
  readonly appliedMessage?: string;
  readonly health?: string;
}

export interface Replicas {
  readonly replica: number;
  readonly requirements: Json | undefined;
}

/** What a kind means; a missing part means the kind has no such rule. A throw is a failed interpretation. */
export interface KindRules {
  replicas?(object: KubeObject): Replicas;
  components?(object: KubeObject): readonly Json[] | undefined;
  revise?(object: KubeObject, replicas: number): KubeObject;
  retain?(desired: KubeObject, observed: KubeObject): KubeObject;
  /** What a member's admission may have set, kept where there is no rule to retain; it counts as no hook. */
  keep?(desired: KubeObject, observed: KubeObject): KubeObject;
  /** The new `.status`. `items` is absent where there is no list at all. */
  aggregate?(object: KubeObject, items: readonly AggregatedItem[] | undefined, nowMs?: number): Json | undefined;
  /**
   * Fields of the status `aggregate` speaks of. A template's other fields belong to whoever looks after it where it stands,
   * and are kept; without this list the aggregation is the whole status.
   */
  readonly aggregates?: readonly string[];
  dependencies?(object: KubeObject): readonly Dependency[];
  reflect?(object: KubeObject): Json | undefined;
  health?(object: KubeObject): boolean;
}

export type Operation =
  | "InterpretReplica"
  | "InterpretComponent"
  | "ReviseReplica"
  | "Retain"
  | "AggregateStatus"
  | "InterpretDependency"
  | "InterpretStatus"
  | "InterpretHealth";
