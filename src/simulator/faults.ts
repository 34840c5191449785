import { type Clock, sleep } from "#base";
import { internalError, tooManyRequests, type Transport, type WatchHandle, type WatchSink } from "#machinery";

/** What is wrong with a simulated member's API server at present. */
export interface Faults {
  /** Connections are refused. */
  isDown: boolean;
  /** Requests are accepted and never answered. */
  isHanging: boolean;
  /** Each answer is late by this much. */
  latencyMs: number;
  /** What `/readyz` and `/healthz` answer instead of the truth. */
  healthStatus: number | undefined;
  /** Says that it is well, and refuses everything else. */
  isLying: boolean;
  /** Says that it is well, and answers 429 to everything else. */
  isThrottling: boolean;
  /** Goes down and comes back, for this long each; 0 for steady. */
  flapMs: number;
}

export const NO_FAULTS: Readonly<Faults> = {
  isDown: false,
  isHanging: false,
  latencyMs: 0,
  healthStatus: undefined,
  isLying: false,
  isThrottling: false,
  flapMs: 0,
};

/** Whether connections are refused at this moment. */
export function isRefusing({ isDown, flapMs }: Readonly<Faults>, nowMs: number): boolean {
  return isDown || (flapMs > 0 && Math.floor(nowMs / flapMs) % 2 === 0);
}

const isHealthPath = (path: string) => /^\/(readyz|healthz)\b/.test(path);

/** A simulated member, or the way to it, is down. */
export class ConnectionRefused extends Error {
  constructor(name: string) {
    super(`connect ECONNREFUSED: the API server of ${name} is down`);
    this.name = "ConnectionRefused";
  }
}

/** As a kube-apiserver says it. */
const THROTTLED = "Too many requests, please try again later.";
/** As long as an HTTP client waits before it gives up. */
const HANG_MS = 32_000;
/** Events of a watch that are held back while nothing gets through. */
const HELD_EVENTS_MAX = 10_000;

/** A transport that shows the faults to whoever uses it; watches end when the server goes down. */
export function withFaults(
  transport: Transport,
  name: string,
  faults: Faults,
  clock: Clock,
): Transport & { cut(): void; flush(): void } {
  const watches = new Set<{ readonly handle: WatchHandle; readonly sink: WatchSink; readonly held: (() => void)[] }>();
  async function pass<R>(work: () => Promise<R>, signal?: AbortSignal, isHealth = false): Promise<R> {
    if (isRefusing(faults, clock.now())) throw new ConnectionRefused(name);
    if (faults.isLying && !isHealth) throw internalError(`the API server of ${name} fails`);
    if (faults.isThrottling && !isHealth) throw tooManyRequests(THROTTLED, 1);
    if (faults.isHanging) {
      await sleep(clock, HANG_MS, signal);
      throw new Error(signal?.aborted ? "aborted" : `the API server of ${name} did not answer`);
    }
    if (faults.latencyMs > 0) await sleep(clock, faults.latencyMs, signal);
    const answer = await work();
    if (isRefusing(faults, clock.now())) throw new ConnectionRefused(name);
    return answer;
  }
  return {
    send: (request) => pass(() => transport.send(request), request.signal),
    list: (request) => pass(() => transport.list(request), request.signal),
    raw: (request) => {
      const isHealth = isHealthPath(request.path);
      const refused = isHealth ? faults.healthStatus : faults.isThrottling ? 429 : undefined;
      return pass(
        () =>
          refused === undefined
            ? transport.raw(request)
            : Promise.resolve({ status: refused, headers: { "retry-after": "1" }, body: new Uint8Array() }),
        request.signal,
        // A refusal is an answer here.
        isHealth || refused !== undefined,
      );
    },
    watch(request, sink) {
      if (isRefusing(faults, clock.now()) || faults.isLying || faults.isThrottling) {
        let isStopped = false;
        queueMicrotask(() => {
          if (isStopped) return;
          const isThrottled = faults.isThrottling && !isRefusing(faults, clock.now());
          sink.closed(isThrottled ? tooManyRequests(THROTTLED, 1) : new ConnectionRefused(name));
        });
        return { stop: () => (isStopped = true) };
      }
      const held: (() => void)[] = [];
      const deliver = (work: () => void) => {
        if (!faults.isHanging) work();
        else if (held.length < HELD_EVENTS_MAX) held.push(work);
        else {
          watches.delete(entry);
          entry.handle.stop();
          sink.closed(new ConnectionRefused(name));
        }
      };
      const entry = {
        handle: transport.watch(request, {
          event: (type, object) => deliver(() => sink.event(type, object)),
          closed: (error) => {
            watches.delete(entry);
            deliver(() => sink.closed(error));
          },
        }),
        sink,
        held,
      };
      watches.add(entry);
      return {
        stop() {
          watches.delete(entry);
          entry.handle.stop();
        },
      };
    },
    cut() {
      for (const { handle, sink } of [...watches]) {
        handle.stop();
        sink.closed(new ConnectionRefused(name));
      }
      watches.clear();
    },
    flush() {
      for (const { held } of [...watches]) for (const work of held.splice(0)) work();
    },
  };
}
