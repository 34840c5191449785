import type { Clock } from "#base";
import {
  apiVersionOf,
  badRequest,
  getPath,
  type KubeObject,
  resourceExpired,
  setPath,
  type WatchHandle,
  type WatchRequest,
  type WatchSink,
  withMetadata,
} from "#machinery";
import type { ResourceDefinition } from "./definition.ts";
import { tooLargeVersion } from "./list-pages.ts";
import { compileFilter } from "./selection.ts";
import type { StoredObject } from "./storage/held-revision.ts";
import { bookmark, type ResourceStore, type StoreEvent } from "./storage/resource-store.ts";

const BOOKMARK_MS = 60_000;

/** What a watch needs of its server. */
export interface WatchedServer {
  readonly clock: Clock;
  /** All open watches, so that the server can end them. */
  readonly watches: Set<{ close(error?: Error): void }>;
  readonly isStopped: boolean;
  definition(): ResourceDefinition;
  store(definition: ResourceDefinition): ResourceStore;
  settle(): Promise<void> | undefined;
  /** What must be waited for before objects can be converted. */
  prepare(definition: ResourceDefinition, objects: readonly KubeObject[]): Promise<void> | undefined;
  convert(object: KubeObject, definition: ResourceDefinition): KubeObject;
}

/** A bookmark of a kind: an object of which nothing is said but how far a watch has come. */
function markOf({ kind, strategy }: ResourceDefinition, revision: number, isInitialEnd: boolean): KubeObject {
  const mark = bookmark(apiVersionOf(kind), kind.kind, revision, isInitialEnd);
  const settled = strategy.settle?.(mark) ?? mark;
  // Of these, Kubernetes keeps a number where its API has a pointer to one.
  const counts = kind.group === "apps" && kind.kind !== "DaemonSet" && getPath(settled, "spec") !== undefined;
  return counts ? setPath(settled, ["spec", "replicas"], 0) : settled;
}

/**
 * Starts a watch: the present state or the events since a revision, then what happens, in order. An object that enters
 * or leaves the selection is reported as added or deleted.
 */
export function startWatch(served: WatchedServer, request: WatchRequest, sink: WatchSink): WatchHandle {
  let isOpen = true;
  let unwatch: () => void = () => {};
  const timers: { limit?: { cancel(): void }; bookmark?: { cancel(): void } } = {};
  const stop = () => {
    isOpen = false;
    unwatch();
    for (const timer of Object.values(timers)) timer.cancel();
    served.watches.delete(handle);
  };
  const close = (error?: Error) => {
    if (!isOpen) return;
    stop();
    sink.closed(error);
  };
  const handle = { close };
  if (served.isStopped) {
    queueMicrotask(() => close());
    return { stop };
  }
  served.watches.add(handle);
  const begin = (hasSettled = false) => {
    if (!isOpen) return;
    try {
      const definition = served.definition();
      const store = served.store(definition);
      const filter = compileFilter(definition, request.labelSelector, request.fieldSelector, request.name);
      const namespace = definition.kind.namespaced ? request.namespace : undefined;
      // Nothing overtakes what a webhook still converts.
      let chain: Promise<void> | undefined;
      const inOrder = (objects: readonly (KubeObject | undefined)[], act: () => void) => {
        if (definition.webhook === undefined) return act();
        const wanted = objects.filter((object) => object !== undefined);
        chain = (chain ?? Promise.resolve())
          .then(() => served.prepare(definition, wanted))
          .then(() => (isOpen ? act() : undefined))
          .catch((error: unknown) => close(error as Error));
      };
      // What a webhook converts is held until it is shown: read twice, it could be two objects.
      const heldFast = ({ object, revision }: StoredObject): StoredObject => ({ object, revision });
      const pass = (event: StoreEvent) => {
        if (definition.webhook === undefined) return emit(event, event.now, event.before);
        const now = heldFast(event.now);
        const before = event.before && heldFast(event.before);
        return inOrder([now.object, before?.object], () => emit(event, now, before));
      };
      const shown = ({ object }: StoredObject) => served.convert(object, definition);
      const emit = ({ type, key, revision }: StoreEvent, now: StoredObject, before: StoredObject | undefined) => {
        if (!isOpen || (namespace !== undefined && !key.startsWith(`${namespace}/`))) return;
        // What was there before is looked at only where that can differ.
        const wasIn = before !== undefined && (filter === undefined || filter(shown(before)));
        if (type === "DELETED") {
          if (wasIn) sink.event("DELETED", shown(now));
          return;
        }
        const object = shown(now);
        if (filter === undefined || filter(object)) sink.event(wasIn ? "MODIFIED" : "ADDED", object);
        else if (wasIn)
          sink.event("DELETED", withMetadata(shown(before as StoredObject), { resourceVersion: String(revision) }));
      };
      const from =
        request.resourceVersion === undefined || request.resourceVersion === "" ? 0 : Number(request.resourceVersion);
      if (!Number.isInteger(from) || from < 0) throw badRequest(`invalid resource version: ${request.resourceVersion}`);
      // Another replica may know more than this one so far; who names no version asks for what is there now.
      const isBehind = from > store.revision || !request.resourceVersion;
      const settling = isBehind && !hasSettled ? served.settle() : undefined;
      if (settling !== undefined) {
        settling.then(
          () => begin(true),
          (error: unknown) => close(error as Error),
        );
        return;
      }
      // A revision from before a store was lost. 410 makes every client list anew at once.
      if (from > store.revision) {
        const tooLarge = tooLargeVersion(from, store.revision);
        throw request.sendInitialEvents ? tooLarge : resourceExpired(tooLarge.message);
      }
      const sendsState = request.sendInitialEvents ?? from === 0;
      if (sendsState) {
        const present = [...store.range(namespace)].map(([, stored]) =>
          definition.webhook === undefined ? stored : heldFast(stored),
        );
        const revision = store.revision;
        inOrder(definition.webhook === undefined ? [] : present.map(({ object }) => object), () => {
          for (const stored of present) {
            const object = shown(stored);
            if (filter === undefined || filter(object)) sink.event("ADDED", object);
          }
          if (request.sendInitialEvents && request.allowWatchBookmarks)
            sink.event("BOOKMARK", markOf(definition, revision, true));
        });
      } else for (const event of store.eventsAfter(from)) pass(event);
      unwatch = store.watch({ event: pass, closed: close });
      if (request.timeoutSeconds !== undefined && request.timeoutSeconds > 0)
        timers.limit = served.clock.after(request.timeoutSeconds * 1000, () => close());
      if (request.allowWatchBookmarks) {
        const remind = () => {
          if (!isOpen) return;
          const mark = markOf(definition, store.revision, false);
          inOrder([], () => sink.event("BOOKMARK", mark));
          timers.bookmark = served.clock.after(BOOKMARK_MS, remind);
        };
        timers.bookmark = served.clock.after(BOOKMARK_MS, remind);
      }
    } catch (error) {
      close(error instanceof Error ? error : new Error(String(error)));
    }
  };
  let loading: Promise<void> | undefined;
  try {
    loading = served.store(served.definition()).load();
  } catch (error) {
    queueMicrotask(() => close(error as Error));
    return { stop };
  }
  if (loading === undefined) queueMicrotask(() => begin());
  else
    void loading.then(
      () => begin(),
      (error: unknown) => close(error as Error),
    );
  return { stop };
}
