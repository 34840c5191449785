import { ApiError, type KubeObject, type WatchHandle, type WatchSink } from "#machinery";
import { shownFrom } from "../cached-objects.ts";
import { encodeVersions, type Versions, withVersion } from "./tokens.ts";

/** The watch of one cluster. */
export interface WatchSource {
  readonly cluster: string;
  start(sink: WatchSink): WatchHandle;
  /** Whether an object is one that was asked for; default all are. */
  readonly covers?: (object: KubeObject) => boolean;
}

const INITIAL_END = "k8s.io/initial-events-end";

/**
 * Several watches as one. Order holds within a cluster; every object carries the versions of all clusters up to it, so that a
 * watch can go on from any. When one of them ends, all do: the client lists anew. Without any it ends at once.
 */
export function mergedWatch(sources: readonly WatchSource[], from: Versions, sink: WatchSink): WatchHandle {
  let versions: Versions = { isZero: false, of: from.of };
  let isOpen = true;
  const handles: WatchHandle[] = [];
  /** Clusters whose objects of the beginning have not all been told. */
  const beginning = new Set(sources.map(({ cluster }) => cluster));
  const stop = () => {
    isOpen = false;
    for (const handle of handles) handle.stop();
  };
  const end = (error?: Error) => {
    if (!isOpen) return;
    stop();
    // A connection that broke is no answer to what was asked: the client comes again.
    sink.closed(error instanceof ApiError ? error : undefined);
  };
  for (const { cluster, start, covers } of sources) {
    if (!isOpen) break;
    const own: WatchSink = {
      event(type, object) {
        if (!isOpen) return;
        versions = withVersion(versions, cluster, object.metadata.resourceVersion);
        const resourceVersion = encodeVersions(versions);
        if (type !== "BOOKMARK") {
          if (covers?.(object) !== false) sink.event(type, shownFrom(object, cluster, resourceVersion));
          return;
        }
        const isEnd = object.metadata.annotations?.[INITIAL_END] === "true";
        if (isEnd) beginning.delete(cluster);
        // The end of the beginning is told once, when it is the end of all of them.
        if (!isEnd || beginning.size === 0) sink.event(type, shownFrom(object, cluster, resourceVersion));
      },
      closed: end,
    };
    try {
      handles.push(start(own));
    } catch (error) {
      end(error as Error);
    }
    if (!isOpen) stop();
  }
  if (sources.length === 0) queueMicrotask(() => end());
  return { stop };
}
