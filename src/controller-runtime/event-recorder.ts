import { type Clock, fnv1a32, type Logger, type Random } from "#base";
import { Event } from "#apis/kubernetes";
import type { Client } from "#client";
import { formatTime, isAlreadyExists, isNotFound, type KubeObject } from "#machinery";
import { type Share, Turns } from "./turns.ts";

export interface ObjectReference {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
}

/** Tells users what happened to an object. Never throws, never waits for the write. */
export interface EventRecorder {
  normal(about: KubeObject, reason: string, message: string): void;
  warning(about: KubeObject, reason: string, message: string): void;
  /** A recorder under another source component (wire: the e2e suite filters by it). */
  from(component: string): EventRecorder;
  /**
   * Resolves when everything recorded so far has been written or given up; what is not being written after `limitMs`
   * milliseconds is given up then. Default no limit.
   */
  flush(limitMs?: number): Promise<void>;
}

/** client-go's spam filter: a burst per object and source, then one event each five minutes. */
const BURST_MAX = 25;
const REFILL_MS = 300_000;
/** Events held for writing; older ones are dropped first, for events are a courtesy. */
const PENDING_MAX = 20_000;
const REMEMBERED_MAX = 4_096;
const WRITERS = 16;
const MESSAGE_MAX = 1_024;

interface Remembered {
  readonly namespace: string;
  readonly name: string;
  count: number;
}

/** An event that waits to be written; equal ones that come meanwhile are counted in. */
interface Pending {
  readonly component: string;
  readonly type: "Normal" | "Warning";
  readonly involved: ObjectReference;
  readonly reason: string;
  readonly message: string;
  readonly firstTimestamp: string;
  lastTimestamp: string;
  count: number;
}

/** A recorder that writes in the background; equal events become one with a count. */
export function createEventRecorder(options: {
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly component: string;
  /** Whom the writers share the thread with; events are background work. Default nobody. */
  readonly turns?: Turns;
}): EventRecorder {
  const { client, clock, random, log } = options;
  const remembered = new Map<string, Remembered>();
  const buckets = new Map<string, { tokens: number; sinceMs: number }>();
  const pending = new Map<string, Pending>();
  /** Keys being written: what comes for them meanwhile is written after, on top of it. */
  const writing = new Set<string>();
  let waiting: (() => void)[] = [];
  const turns = options.turns ?? new Turns();

  function allow(bucketKey: string): boolean {
    const nowMs = clock.monotonicMs();
    let bucket = buckets.get(bucketKey);
    if (bucket === undefined) {
      if (buckets.size >= REMEMBERED_MAX) buckets.clear();
      buckets.set(bucketKey, (bucket = { tokens: BURST_MAX, sinceMs: nowMs }));
    }
    const refilled = Math.floor((nowMs - bucket.sinceMs) / REFILL_MS);
    if (refilled > 0) {
      bucket.tokens = Math.min(BURST_MAX, bucket.tokens + refilled);
      bucket.sinceMs += refilled * REFILL_MS;
    }
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  function record(
    component: string,
    type: "Normal" | "Warning",
    about: KubeObject,
    reason: string,
    text: string,
  ): void {
    const { namespace = "", name = "", uid = "" } = about.metadata;
    const aboutKey = `${component}|${about.kind}|${namespace}|${name}|${uid}`;
    if (!allow(aboutKey)) return;
    const message = text.length > MESSAGE_MAX ? text.slice(0, MESSAGE_MAX) : text;
    const key = `${aboutKey}|${type}|${reason}|${message}`;
    const timestamp = formatTime(clock.now());
    const equal = pending.get(key);
    if (equal !== undefined) {
      equal.count++;
      equal.lastTimestamp = timestamp;
      return;
    }
    if (pending.size >= PENDING_MAX) pending.delete(pending.keys().next().value as string);
    pending.set(key, {
      component,
      type,
      involved: referenceTo(about),
      reason,
      message,
      firstTimestamp: timestamp,
      lastTimestamp: timestamp,
      count: 1,
    });
    pump();
  }

  async function write(key: string, event: Pending): Promise<void> {
    const known = remembered.get(key);
    if (known !== undefined) {
      known.count += event.count;
      try {
        await client.patch(Event, known, "application/merge-patch+json", {
          count: known.count,
          lastTimestamp: event.lastTimestamp,
        });
        return;
      } catch (error) {
        if (!isNotFound(error)) throw error;
        remembered.delete(key);
      }
    }
    const { component, type, involved, reason, message, firstTimestamp, lastTimestamp, count } = event;
    const namespace = involved.namespace ?? "default";
    const suffix = (clock.now() * 1_000_000 + random.below(1_000_000)).toString(16);
    const base = (involved.name ?? "").slice(0, 230);
    const name = `${base}.${suffix}${(fnv1a32(key) % 256).toString(16)}`;
    await client.create(Event, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { namespace, name },
      involvedObject: involved,
      reason,
      message,
      type,
      count,
      firstTimestamp,
      lastTimestamp,
      source: { component },
      reportingComponent: component,
      reportingInstance: "",
    });
    if (remembered.size >= REMEMBERED_MAX) remembered.delete(remembered.keys().next().value as string);
    remembered.set(key, { namespace, name, count });
  }

  const pump = () => turns.ask(turn, "background");

  function wakeIfIdle(): void {
    if (pending.size + writing.size > 0) return;
    const wake = waiting;
    waiting = [];
    for (const done of wake) done();
  }

  async function flush(limitMs?: number): Promise<void> {
    if (pending.size + writing.size === 0) return;
    const limit =
      limitMs === undefined
        ? undefined
        : clock.after(limitMs, () => {
            pending.clear();
            wakeIfIdle();
          });
    await new Promise<void>((resolve) => waiting.push(resolve));
    limit?.cancel();
  }

  function turn(share: Share): boolean {
    for (const [key, event] of pending) {
      if (writing.size >= WRITERS) return false;
      if (share.items <= 0) return true;
      if (writing.has(key)) continue;
      pending.delete(key);
      writing.add(key);
      share.items--;
      void write(key, event)
        .catch((error: unknown) => {
          if (!isAlreadyExists(error)) log.debug("event not written", { error });
        })
        .finally(() => {
          writing.delete(key);
          if (pending.size > 0) pump();
          else wakeIfIdle();
        });
      if (performance.now() > share.endMs) return pending.size > 0;
    }
    return false;
  }

  const from = (component: string): EventRecorder => ({
    normal: (about, reason, message) => record(component, "Normal", about, reason, message),
    warning: (about, reason, message) => record(component, "Warning", about, reason, message),
    from,
    flush,
  });
  return from(options.component);
}

function referenceTo({ apiVersion, kind, metadata }: KubeObject): ObjectReference {
  const { namespace, name = "", uid, resourceVersion } = metadata;
  return {
    apiVersion,
    kind,
    ...(namespace === undefined ? {} : { namespace }),
    name,
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}
