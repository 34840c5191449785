import type { Clock, Logger, Metrics, Random } from "#base";
import type { Client, Informer } from "#client";
import type { KubeObject, ResourceKind } from "#machinery";
import type { EventRecorder } from "./event-recorder.ts";
import type { Urgency } from "./turns.ts";
import type { AddOptions } from "./work-queue.ts";

/** What a reconcile is asked to look at: one object of one of the controller's own kinds. */
export interface Request {
  readonly kind: ResourceKind;
  readonly namespace?: string;
  readonly name: string;
  /** `namespace/name`, the key of caches. */
  readonly key: string;
}

/** A reconcile's answer. A throw means: again, with backoff. */
export type Result =
  | { readonly outcome: "done" }
  | { readonly outcome: "requeue"; readonly afterMs: number }
  /** No retry can help; `reason` is logged once. */
  | { readonly outcome: "terminal"; readonly reason: string };

export const done: Result = { outcome: "done" };
export const requeueAfter = (afterMs: number): Result => ({ outcome: "requeue", afterMs });
export const terminal = (reason: string): Result => ({ outcome: "terminal", reason });

/** A change a cache has seen. */
export type Change<T extends KubeObject = KubeObject> =
  | { readonly type: "added"; readonly object: T; readonly isInitial: boolean }
  | { readonly type: "updated"; readonly object: T; readonly old: T }
  | { readonly type: "deleted"; readonly object: T };

/** One request to queue; `kind` is needed only by controllers with several kinds. */
export interface Wakeup extends AddOptions {
  readonly kind?: ResourceKind;
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** What wakes a controller besides its own kinds. */
export interface Wake<Deps, Options, T extends KubeObject = KubeObject> {
  readonly kind: ResourceKind<T>;
  /** The requests a change leads to; none when it does not matter. */
  requests(change: Change<T>, context: ControllerContext<Deps, Options>): Iterable<Wakeup>;
}

/** Types a wake so that its change carries the kind's own shape. */
export function wake<T extends KubeObject, Deps = unknown, Options = unknown>(
  kind: ResourceKind<T>,
  requests: (change: Change<T>, context: ControllerContext<Deps, Options>) => Iterable<Wakeup>,
): Wake<Deps, Options> {
  return { kind, requests } as unknown as Wake<Deps, Options>;
}

/** An index the controller needs on a shared cache. */
export interface CacheIndex {
  readonly kind: ResourceKind;
  readonly name: string;
  readonly of: (object: KubeObject) => readonly string[];
}

export function cacheIndex<T extends KubeObject>(
  kind: ResourceKind<T>,
  name: string,
  of: (object: T) => readonly string[],
): CacheIndex {
  return { kind, name, of } as unknown as CacheIndex;
}

/** A kind a controller may write. RBAC and the reference page come from this list. */
export interface Writes {
  readonly kind: ResourceKind;
  readonly verbs: readonly ("create" | "update" | "patch" | "delete")[];
  readonly subresources?: readonly string[];
}

/** What a reconcile works with. */
export interface ControllerContext<Deps = unknown, Options = unknown> {
  readonly name: string;
  /** Refuses to write kinds the definition does not list. */
  readonly client: Client;
  /** The shared cache of a kind; it is filled before the first reconcile when the definition names the kind. */
  cache<T extends KubeObject>(kind: ResourceKind<T>): Informer<T>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly events: EventRecorder;
  readonly options: Options;
  readonly deps: Deps;
  /** Queues a request of the controller's own. */
  enqueue(wakeup: Wakeup): void;
  /**
   * Has a write done that only tells what a request came to, as background work: it waits while others carry out what users
   * asked for. One that waits for the same request is replaced. When it fails, the request itself is tried again later.
   */
  report(request: Request, write: () => Promise<void>): void;
  /** Follows a kind that is known only at run time; the same wake rule as in the definition. Returns how to stop. */
  follow<T extends KubeObject>(
    kind: ResourceKind<T>,
    requests: (change: Change<T>) => Iterable<Wakeup>,
  ): { stop(): void };
  /** Aborted when the controller stops. */
  readonly signal: AbortSignal;
}

/**
 * A controller, read like a table. It is level-based: `reconcile` compares desired with actual, cannot see which event
 * woke it, and running it twice changes nothing more.
 */
export interface ControllerDefinition<Deps = unknown, Options = unknown> {
  /** Upstream's name in `--controllers` (wire). */
  readonly name: string;
  /** The controller's own kinds; twins such as ResourceBinding and ClusterResourceBinding stand together. */
  readonly reconciles: readonly ResourceKind[];
  /** Upstream's names of its reconcilers in metrics, in the order of the kinds (wire); default `name`. */
  readonly reconcilers?: readonly string[];
  /** Changes of own kinds that matter; default all. */
  when?(change: Change, context: ControllerContext<Deps, Options>): boolean;
  readonly wakes?: readonly Wake<Deps, Options>[];
  readonly indexes?: readonly CacheIndex[];
  /** Further kinds whose caches must be filled before the first reconcile. */
  readonly reads?: readonly ResourceKind[];
  readonly writes: readonly Writes[];
  /** Every option with its default. */
  readonly options: Options;
  /** `background` for what only reports, `last` for writes to members: they wait while others work. Default: the manager's. */
  readonly urgency?: Urgency;
  /** Requests reconciled at a time; default 8. Requests of one object never overlap. */
  concurrency?(options: Options): number;
  /** Runs once, after caches are filled and before the first reconcile; what it starts ends with `context.signal`. */
  start?(context: ControllerContext<Deps, Options>): void | Promise<void>;
  reconcile(request: Request, context: ControllerContext<Deps, Options>): Promise<Result> | Result;
}

/** Fixes the types of a definition; nothing else. */
export function defineController<Deps, Options>(
  definition: ControllerDefinition<Deps, Options>,
): ControllerDefinition<Deps, Options> {
  return definition;
}
