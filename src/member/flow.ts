import { type Clock, sleep } from "#base";
import { ApiError, isTooManyRequests, type KubeObject, serviceUnavailable, type Transport } from "#machinery";

/** Bounds on what one member is asked at a time. The limits protect the member and adapt to its answers. */
export interface FlowOptions {
  readonly clock: Clock;
  /** Requests in flight at first and at most; defaults 32 and 128. */
  readonly inFlightStart?: number;
  readonly inFlightMax?: number;
  /** Failures of the connection in a row after which requests fail at once for a while; default 8. */
  readonly breakAfterFailures?: number;
  /** How long; default 3 s. Then one request tries. */
  readonly breakMs?: number;
}

export interface FlowStatus {
  readonly inFlight: number;
  readonly inFlightLimit: number;
  readonly waiting: number;
  readonly isBroken: boolean;
}

const THROTTLE_TRIES_MAX = 10;
const RETRY_AFTER_MAX_MS = 30_000;

/**
 * A transport that holds back: additive increase of the requests in flight while answers come, halving on 429, waiting
 * as long as the member asks, and a breaker that fails fast while the member cannot be reached. Watches are not counted.
 */
export function withFlow(transport: Transport, options: FlowOptions): Transport & { readonly flow: FlowStatus } {
  const { clock, inFlightStart = 32, inFlightMax = 128, breakAfterFailures = 8, breakMs = 3_000 } = options;
  let limit = inFlightStart;
  let inFlight = 0;
  let failuresInRow = 0;
  let brokenUntilMs = 0;
  const waiting: (() => void)[] = [];

  async function guarded<R>(attempt: () => Promise<R>, signal: AbortSignal | undefined): Promise<R> {
    for (let tries = 1; ; tries++) {
      if (failuresInRow >= breakAfterFailures && clock.now() < brokenUntilMs)
        throw serviceUnavailable("the member cluster cannot be reached; waiting before the next try");
      // After the pause exactly one request goes first; the others keep failing fast until it has answered.
      if (failuresInRow >= breakAfterFailures) brokenUntilMs = clock.now() + breakMs;
      if (inFlight >= Math.max(1, Math.floor(limit))) await new Promise<void>((resolve) => waiting.push(resolve));
      inFlight++;
      let retryMs: number | undefined;
      try {
        const answer = await attempt();
        failuresInRow = 0;
        limit = Math.min(inFlightMax, limit + 1 / limit);
        return answer;
      } catch (error) {
        if (error instanceof ApiError) failuresInRow = 0;
        else if (!signal?.aborted && ++failuresInRow >= breakAfterFailures) brokenUntilMs = clock.now() + breakMs;
        if (!isTooManyRequests(error) || tries >= THROTTLE_TRIES_MAX || signal?.aborted) throw error;
        limit = Math.max(1, limit / 2);
        const askedMs = (error.status.details?.retryAfterSeconds ?? 1) * 1000;
        retryMs = Math.min(RETRY_AFTER_MAX_MS, askedMs);
      } finally {
        inFlight--;
        waiting.shift()?.();
      }
      await sleep(clock, retryMs, signal);
    }
  }

  return {
    send: (request) => guarded<KubeObject>(() => transport.send(request), request.signal),
    list: (request) => guarded(() => transport.list(request), request.signal),
    watch: (request, sink) => transport.watch(request, sink),
    raw: (request) => guarded(() => transport.raw(request), request.signal),
    get flow() {
      return {
        inFlight,
        inFlightLimit: Math.floor(limit),
        waiting: waiting.length,
        isBroken: failuresInRow >= breakAfterFailures && clock.now() < brokenUntilMs,
      };
    },
  };
}
