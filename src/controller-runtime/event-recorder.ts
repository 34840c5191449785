import { type Clock, fnv1a32, type Logger, type Random } from "#base";
import { Event } from "#apis/kubernetes";
import type { Client } from "#client";
import { formatTime, isAlreadyExists, isNotFound, type KubeObject } from "#machinery";
import { Turns } from "./turns.ts";

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
  /** Resolves when everything recorded so far has been written or given up. */
  flush(): Promise<void>;
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
  readonly firstTimestamp: string;
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
  const pending = new Map<number, () => Promise<void>>();
  let nextTicket = 0;
  let writing = 0;
  let waiting: (() => void)[] = [];
  const turns = options.turns ?? new Turns();

  function allow(bucketKey: string): boolean {
    const nowMs = clock.monotonicMs();
    const bucket = buckets.get(bucketKey) ?? { tokens: BURST_MAX, sinceMs: nowMs };
    const refilled = Math.floor((nowMs - bucket.sinceMs) / REFILL_MS);
    if (refilled > 0) {
      bucket.tokens = Math.min(BURST_MAX, bucket.tokens + refilled);
      bucket.sinceMs += refilled * REFILL_MS;
    }
    if (buckets.size > REMEMBERED_MAX) buckets.clear();
    buckets.set(bucketKey, bucket);
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
    if (pending.size >= PENDING_MAX) pending.delete(pending.keys().next().value as number);
    pending.set(nextTicket++, () => write(key, component, type, about, reason, message, timestamp));
    pump();
  }

  async function write(
    key: string,
    component: string,
    type: "Normal" | "Warning",
    about: KubeObject,
    reason: string,
    message: string,
    timestamp: string,
  ): Promise<void> {
    const known = remembered.get(key);
    if (known !== undefined) {
      known.count++;
      try {
        await client.patch(Event, known, "application/merge-patch+json", {
          count: known.count,
          lastTimestamp: timestamp,
        });
        return;
      } catch (error) {
        if (!isNotFound(error)) throw error;
        remembered.delete(key);
      }
    }
    const namespace = about.metadata.namespace ?? "default";
    const suffix = (clock.now() * 1_000_000 + random.below(1_000_000)).toString(16);
    const base = (about.metadata.name ?? "").slice(0, 230);
    const event: Event = {
      apiVersion: "v1",
      kind: "Event",
      metadata: { namespace, name: `${base}.${suffix}${(fnv1a32(key) % 256).toString(16)}` },
      involvedObject: {
        apiVersion: about.apiVersion,
        kind: about.kind,
        ...(about.metadata.namespace === undefined ? {} : { namespace: about.metadata.namespace }),
        name: about.metadata.name ?? "",
        ...(about.metadata.uid === undefined ? {} : { uid: about.metadata.uid }),
        ...(about.metadata.resourceVersion === undefined ? {} : { resourceVersion: about.metadata.resourceVersion }),
      },
      reason,
      message,
      type,
      count: 1,
      firstTimestamp: timestamp,
      lastTimestamp: timestamp,
      source: { component },
      reportingComponent: component,
      reportingInstance: "",
    };
    await client.create(Event, event);
    if (remembered.size >= REMEMBERED_MAX)
      for (const oldest of remembered.keys()) {
        remembered.delete(oldest);
        break;
      }
    remembered.set(key, { namespace, name: event.metadata.name ?? "", count: 1, firstTimestamp: timestamp });
  }

  const pump = () => turns.ask(turn, "background");

  function turn(endMs: number): boolean {
    while (writing < WRITERS && pending.size > 0) {
      if (performance.now() > endMs) return true;
      const [ticket, job] = pending.entries().next().value as [number, () => Promise<void>];
      pending.delete(ticket);
      writing++;
      void job()
        .catch((error: unknown) => {
          if (!isAlreadyExists(error)) log.debug("event not written", { error });
        })
        .finally(() => {
          writing--;
          if (writing === 0 && pending.size === 0) {
            const wake = waiting;
            waiting = [];
            for (const done of wake) done();
          } else pump();
        });
    }
    return false;
  }

  const from = (component: string): EventRecorder => ({
    normal: (about, reason, message) => record(component, "Normal", about, reason, message),
    warning: (about, reason, message) => record(component, "Warning", about, reason, message),
    from,
    flush: () =>
      writing === 0 && pending.size === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve)),
  });
  return from(options.component);
}
