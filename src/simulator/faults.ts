import { type Clock, sleep } from "#base";
import type { Transport, WatchHandle, WatchSink } from "#machinery";

/** What is wrong with a simulated member's API server at present. */
export interface Faults {
  /** Connections are refused. */
  isDown: boolean;
  /** Requests are accepted and never answered. */
  isHanging: boolean;
  /** Each answer is late by this much. */
  latencyMs: number;
}

export class ConnectionRefused extends Error {
  constructor(name: string) {
    super(`connect ECONNREFUSED: the API server of ${name} is down`);
    this.name = "ConnectionRefused";
  }
}

/** A transport that shows the faults to whoever uses it; watches end when the server goes down. */
export function withFaults(
  transport: Transport,
  name: string,
  faults: Faults,
  clock: Clock,
): Transport & { cut(): void } {
  const watches = new Set<{ readonly handle: WatchHandle; readonly sink: WatchSink }>();
  async function pass<R>(work: () => Promise<R>, signal?: AbortSignal): Promise<R> {
    if (faults.isDown) throw new ConnectionRefused(name);
    if (faults.isHanging)
      await new Promise<never>((_resolve, reject) =>
        signal?.addEventListener("abort", () => reject(new Error("aborted")), { once: true }),
      );
    if (faults.latencyMs > 0) await sleep(clock, faults.latencyMs, signal);
    const answer = await work();
    if (faults.isDown) throw new ConnectionRefused(name);
    return answer;
  }
  return {
    send: (request) => pass(() => transport.send(request), request.signal),
    list: (request) => pass(() => transport.list(request), request.signal),
    raw: (request) => pass(() => transport.raw(request), request.signal),
    watch(request, sink) {
      if (faults.isDown) {
        let isStopped = false;
        queueMicrotask(() => {
          if (!isStopped) sink.closed(new ConnectionRefused(name));
        });
        return { stop: () => (isStopped = true) };
      }
      const entry = {
        handle: transport.watch(request, {
          event: (type, object) => sink.event(type, object),
          closed: (error) => {
            watches.delete(entry);
            sink.closed(error);
          },
        }),
        sink,
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
  };
}
