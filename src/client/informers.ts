import type { Clock, Logger } from "#base";
import type { KubeObject, ResourceKind, Transport } from "#machinery";
import { Informer, type InformerOptions } from "./informer.ts";

/** The shared caches of one API server: one informer a kind, made when first asked for. */
export interface Informers {
  /** The cache of a kind over all namespaces. It starts with `start`, or at once when the set is running. */
  of<T extends KubeObject>(kind: ResourceKind<T>): Informer<T>;
  /** Whether a cache of the kind exists. */
  has(kind: ResourceKind): boolean;
  /** Stops and forgets the cache of one kind, for instance when its CRD is gone. */
  drop(kind: ResourceKind): void;
  start(): void;
  /** Resolves when every cache made so far has been filled. */
  whenSynced(): Promise<void>;
  stop(): void;
  readonly all: IterableIterator<Informer>;
}

const keyOfKind = (kind: ResourceKind) => `${kind.group}/${kind.version}/${kind.resource}`;

export interface InformersOptions extends Pick<InformerOptions, "transform" | "onError"> {
  readonly clock: Clock;
  readonly log: Logger;
  /** Narrows the cache of a kind, for clients that may not read all of it; default all objects. */
  readonly scope?: (kind: ResourceKind) => Pick<InformerOptions, "namespace" | "labelSelector" | "fieldSelector">;
}

export function createInformers(transport: Transport, options: InformersOptions): Informers {
  const informers = new Map<string, Informer>();
  let state: "new" | "running" | "stopped" = "new";
  return {
    of<T extends KubeObject>(kind: ResourceKind<T>) {
      const key = keyOfKind(kind);
      let informer = informers.get(key);
      if (informer === undefined) {
        informer = new Informer(transport, kind as ResourceKind, { ...options, ...options.scope?.(kind) });
        informers.set(key, informer);
        if (state === "running") informer.start();
        if (state === "stopped") informer.stop();
      }
      return informer as unknown as Informer<T>;
    },
    has: (kind) => informers.has(keyOfKind(kind)),
    drop(kind) {
      informers.get(keyOfKind(kind))?.stop();
      informers.delete(keyOfKind(kind));
    },
    start() {
      if (state !== "new") return;
      state = "running";
      for (const informer of informers.values()) informer.start();
    },
    async whenSynced() {
      await Promise.all([...informers.values()].map((informer) => informer.whenSynced()));
    },
    stop() {
      state = "stopped";
      for (const informer of informers.values()) informer.stop();
    },
    get all() {
      return informers.values();
    },
  };
}
