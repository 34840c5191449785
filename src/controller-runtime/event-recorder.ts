import { type Clock, fnv1a32, type Logger, type Metrics, type Random, silentMetrics } from "#base";
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
/** Events held for writing; beyond it the oldest are dropped, for events are a courtesy: warnings last. */
const PENDING_MAX = 20_000;
/** How often the log says that events are dropped. */
const DROPS_TOLD_MS = 60_000;
const REMEMBERED_MAX = 4_096;
const WRITERS = 16;
const MESSAGE_MAX = 1_024;

interface Remembered {
  readonly namespace: string;
  readonly name: string;
  count: number;
}

/** What was recorded, and when. */
interface Recorded {
  readonly component: string;
  readonly type: "Normal" | "Warning";
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly reason: string;
  readonly text: string;
  readonly atMs: number;
}

/** An event that waits to be written; equal ones that come meanwhile are counted in. */
interface Pending {
  readonly first: Recorded;
  readonly message: string;
  lastMs: number;
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
  readonly metrics?: Metrics;
  /** Events held for writing at a time; default 20 000. */
  readonly pendingMax?: number;
}): EventRecorder {
  const { client, clock, random, log, metrics = silentMetrics, pendingMax = PENDING_MAX } = options;
  const remembered = new Map<string, Remembered>();
  const buckets = new Map<string, { tokens: number; sinceMs: number }>();
  /** In the order in which they came: what looking at them costs is background work too. */
  let recorded: Recorded[] = [];
  /** Warnings are written first and dropped last. */
  const pending = { Warning: new Map<string, Pending>(), Normal: new Map<string, Pending>() };
  const pendingCount = () => pending.Warning.size + pending.Normal.size;
  const heldCount = () => recorded.length + pendingCount();
  /** Keys being written: what comes for them meanwhile is written after, on top of it. */
  const writing = new Set<string>();
  let waiting: (() => void)[] = [];
  const turns = options.turns ?? new Turns();
  const dropped = metrics.counter(
    "flotilla_events_dropped_total",
    "Events that were not written: too many of one object (rate), too many at once (full), or the API server took them not (refused)",
    ["why"],
  );
  let dropsToldMs = Number.NEGATIVE_INFINITY;

  function makeRoom(): void {
    const from = pending.Normal.size > 0 ? pending.Normal : pending.Warning;
    for (const [key, event] of from) {
      from.delete(key);
      dropped.add(event.count, { why: "full" });
      break;
    }
    const nowMs = clock.monotonicMs();
    if (nowMs - dropsToldMs < DROPS_TOLD_MS) return;
    dropsToldMs = nowMs;
    log.warn("events are dropped: more come than can be written", { pendingMax });
  }

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
    const { apiVersion, kind, metadata } = about;
    const { namespace, name = "", uid, resourceVersion } = metadata;
    const atMs = clock.now();
    recorded.push({ component, type, apiVersion, kind, namespace, name, uid, resourceVersion, reason, text, atMs });
    if (type === "Warning" || heldCount() >= pendingMax) takeRecorded();
    pump();
  }

  /** Looks at what was recorded, until `endMs` by `performance.now()` at the most. */
  function takeRecorded(endMs = Number.POSITIVE_INFINITY): void {
    let taken = 0;
    for (const one of recorded) {
      take(one);
      taken++;
      if (performance.now() > endMs) break;
    }
    recorded = recorded.slice(taken);
  }

  function take(one: Recorded): void {
    const { component, type, kind, namespace = "", name, uid = "", reason, text, atMs } = one;
    const aboutKey = `${component}|${kind}|${namespace}|${name}|${uid}`;
    if (!allow(aboutKey)) {
      dropped.add(1, { why: "rate" });
      return;
    }
    const message = text.length > MESSAGE_MAX ? text.slice(0, MESSAGE_MAX) : text;
    const key = `${aboutKey}|${type}|${reason}|${message}`;
    const equal = pending[type].get(key);
    if (equal !== undefined) {
      equal.count++;
      equal.lastMs = atMs;
      return;
    }
    if (pendingCount() >= pendingMax) makeRoom();
    pending[type].set(key, { first: one, message, lastMs: atMs, count: 1 });
  }

  async function write(key: string, event: Pending): Promise<void> {
    const known = remembered.get(key);
    if (known !== undefined) {
      known.count += event.count;
      try {
        await client.patch(Event, known, "application/merge-patch+json", {
          count: known.count,
          lastTimestamp: formatTime(event.lastMs),
        });
        return;
      } catch (error) {
        if (!isNotFound(error)) throw error;
        remembered.delete(key);
      }
    }
    const { first, message, lastMs, count } = event;
    const { component, type, reason, atMs } = first;
    const namespace = first.namespace ?? "default";
    const suffix = (clock.now() * 1_000_000 + random.below(1_000_000)).toString(16);
    const base = first.name.slice(0, 230);
    const name = `${base}.${suffix}${(fnv1a32(key) % 256).toString(16)}`;
    await client.create(Event, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { namespace, name },
      involvedObject: referenceTo(first),
      reason,
      message,
      type,
      count,
      firstTimestamp: formatTime(atMs),
      lastTimestamp: formatTime(lastMs),
      source: { component },
      reportingComponent: component,
      reportingInstance: "",
    });
    if (remembered.size >= REMEMBERED_MAX) remembered.delete(remembered.keys().next().value as string);
    remembered.set(key, { namespace, name, count });
  }

  const pump = () => turns.ask(turn, "background");

  function wakeIfIdle(): void {
    if (heldCount() + writing.size > 0) return;
    const wake = waiting;
    waiting = [];
    for (const done of wake) done();
  }

  async function flush(limitMs?: number): Promise<void> {
    if (heldCount() + writing.size === 0) return;
    const limit =
      limitMs === undefined
        ? undefined
        : clock.after(limitMs, () => {
            recorded = [];
            pending.Warning.clear();
            pending.Normal.clear();
            wakeIfIdle();
          });
    await new Promise<void>((resolve) => waiting.push(resolve));
    limit?.cancel();
  }

  function turn(share: Share): boolean {
    takeRecorded(share.endMs);
    for (const waitingOnes of [pending.Warning, pending.Normal])
      for (const [key, event] of waitingOnes) {
        if (writing.size >= WRITERS) return false;
        if (share.items <= 0) return true;
        if (writing.has(key)) continue;
        waitingOnes.delete(key);
        writing.add(key);
        share.items--;
        void write(key, event)
          .catch((error: unknown) => {
            dropped.add(event.count, { why: "refused" });
            if (!isAlreadyExists(error)) log.debug("event not written", { error });
          })
          .finally(() => {
            writing.delete(key);
            if (heldCount() > 0) pump();
            else wakeIfIdle();
          });
        if (performance.now() > share.endMs) return heldCount() > 0;
      }
    return recorded.length > 0;
  }

  const from = (component: string): EventRecorder => ({
    normal: (about, reason, message) => record(component, "Normal", about, reason, message),
    warning: (about, reason, message) => record(component, "Warning", about, reason, message),
    from,
    flush,
  });
  return from(options.component);
}

function referenceTo({ apiVersion, kind, namespace, name, uid, resourceVersion }: Recorded): ObjectReference {
  return {
    apiVersion,
    kind,
    ...(namespace === undefined ? {} : { namespace }),
    name,
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}
