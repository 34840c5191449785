import { setMaxListeners } from "node:events";
import { type Clock, sleep, type Timer } from "#base";
import { ApiError, isTooManyRequests, type KubeObject, serviceUnavailable, type Transport } from "#machinery";

/** Bounds on what one member is asked at a time. The limits protect the member and adapt to its answers. */
export interface FlowOptions {
  readonly clock: Clock;
  /** Requests in flight at first and at most; defaults 32 and 128. */
  readonly inFlightStart?: number;
  readonly inFlightMax?: number;
  /** Requests that may wait for others to end; more fail at once. Default 64. */
  readonly waitingMax?: number;
  /** Nobody waits for a member that has answered nothing for so long; default 2 s. */
  readonly patienceMs?: number;
  /** Failures of the connection in a row after which requests fail at once for a while; default 8. */
  readonly breakAfterFailures?: number;
  /** How long at first; default 3 s. Then one request tries; each time it fails the pause doubles, up to 30 s. */
  readonly breakMs?: number;
  /** A member that answers none of several requests for so long is taken for hanging; default 10 s. */
  readonly stallMs?: number;
  /** Answers that take longer than this make room smaller; default 2 s. */
  readonly slowMs?: number;
  /** Ends the connection: everything that waits for an answer is given up, and what comes later fails at once. */
  readonly signal?: AbortSignal;
}

export interface FlowStatus {
  readonly inFlight: number;
  readonly inFlightLimit: number;
  readonly waiting: number;
  /** Who stands aside until there is room. */
  readonly aside: number;
  readonly isBroken: boolean;
  /** What the connection failed with last, while it fails. */
  readonly failure: string | undefined;
}

const THROTTLE_TRIES_MAX = 10;
const RETRY_AFTER_MAX_MS = 30_000;
const BREAK_MAX_MS = 30_000;
/** Requests a place has ahead of it, so that none is empty for a moment. */
const AHEAD = 2;
/** Who stands aside at most; beyond it they go on and wait like others. */
const ASIDE_MAX = 100_000;
/** Fewer requests than this may take as long as they like: a large list is not a hanging member. */
const STALL_FROM = 4;

/** The connection to a member gives nothing; said to requests that were not even sent. */
const unreachable = (why: string) => serviceUnavailable(`the member cluster cannot be reached: ${why}`);

const busyErrors = new WeakSet<object>();

/** Whether a request was not even sent because too many others waited for the member: it may come again in a moment. */
export const isMemberBusy = (error: unknown): boolean =>
  typeof error === "object" && error !== null && busyErrors.has(error);

interface Waiter {
  go(): void;
  fail(error: Error): void;
}

/** Room for those who would rather do something else than wait: no worker stands still, and nobody is turned away. */
export interface Room {
  /**
   * True when the member has as much to do as it can take: `resume` is called as soon as it has room. A key stands aside
   * once. Whoever goes on calls `leave` when he is done, whether he asked the member for anything or not.
   */
  standAside(key: string, resume: () => void): boolean;
  leave(): void;
}

/**
 * A transport that holds back: additive increase of the requests in flight while answers come in time, less room on slow
 * ones, halving on 429, waiting as long as the member asks, and a breaker that fails fast while the member cannot be
 * reached or hangs. A member that accepts and never answers is cut off after `stallMs`, with all that waits for it, so
 * that nobody's workers wait behind it. Watches are not counted.
 */
export function withFlow(
  transport: Transport,
  options: FlowOptions,
): Transport & { readonly flow: FlowStatus; readonly room: Room } {
  const {
    clock,
    inFlightStart = 32,
    inFlightMax = 128,
    waitingMax = 64,
    patienceMs = 2_000,
    breakAfterFailures = 8,
    breakMs = 3_000,
    stallMs = 10_000,
    slowMs = 2_000,
  } = options;
  const closed = () => unreachable("the connection was closed");
  options.signal?.addEventListener(
    "abort",
    () => {
      dismiss(closed());
      cutOff(closed());
      letGo(Number.POSITIVE_INFINITY);
    },
    { once: true },
  );
  let limit = inFlightStart;
  let failuresInRow = 0;
  let brokenUntilMs = 0;
  let pauseMs = breakMs;
  let failure: string | undefined;
  let answeredMs = clock.monotonicMs();
  let guard: Timer | undefined;
  const inFlight = new Set<{ readonly abort: AbortController }>();
  /** Of all requests that bring no signal of their own: they are only ever cut off together, and one for each costs much. */
  let line = openLine();
  let waiting: Waiter[] = [];
  const aside = new Map<string, () => void>();
  /** Who was told to go on and has not come yet. */
  const going = new Set<string>();

  const isBroken = () => failuresInRow >= breakAfterFailures && clock.monotonicMs() < brokenUntilMs;

  function answered(tookMs: number, isTroubled = false): void {
    failuresInRow = 0;
    failure = undefined;
    pauseMs = breakMs;
    answeredMs = clock.monotonicMs();
    limit = tookMs > slowMs || isTroubled ? Math.max(1, limit * 0.9) : Math.min(inFlightMax, limit + 1 / limit);
  }

  function failed(error: unknown): void {
    failure = error instanceof Error ? error.message || error.name : String(error);
    if (++failuresInRow >= breakAfterFailures) open();
  }

  /** Fails everything that waits, and what comes next for a while. */
  function open(): void {
    brokenUntilMs = clock.monotonicMs() + pauseMs;
    pauseMs = Math.min(BREAK_MAX_MS, pauseMs * 2);
    dismiss(unreachable(failure ?? "it does not answer"));
    // They are to hear of it, too.
    letGo(Number.POSITIVE_INFINITY);
  }

  const freePlaces = () => AHEAD * Math.max(1, Math.floor(limit)) - inFlight.size - waiting.length - going.size;

  function letGo(places: number): void {
    let left = places;
    for (const [key, resume] of aside) {
      if (left-- < 1) return;
      aside.delete(key);
      going.add(key);
      resume();
    }
  }

  /**
   * Looks whether the member answers at all. After `patienceMs` of silence nobody waits any longer; after `stallMs` several
   * requests without any answer are given up together.
   */
  function watchOver(delayMs = Math.min(patienceMs, stallMs)): void {
    if (guard !== undefined) return;
    guard = clock.after(delayMs, () => {
      guard = undefined;
      if (inFlight.size < STALL_FROM) return;
      const silentMs = clock.monotonicMs() - answeredMs;
      if (silentMs >= patienceMs) dismiss(busy());
      if (silentMs < stallMs) return watchOver(silentMs < patienceMs ? patienceMs - silentMs : stallMs - silentMs);
      failure = `no answer to ${inFlight.size} requests within ${stallMs / 1000} s`;
      failuresInRow = Math.max(failuresInRow, breakAfterFailures);
      open();
      cutOff(new Error(failure));
    });
  }

  /** Gives up everything in flight. */
  function cutOff(error: Error): void {
    line = openLine();
    for (const { abort } of [...inFlight]) abort.abort(error);
  }

  const busy = () => {
    const error = serviceUnavailable(`the member cluster is busy: ${inFlight.size} requests wait for its answer`);
    busyErrors.add(error);
    return error;
  };

  function dismiss(error: Error): void {
    const left = waiting;
    waiting = [];
    for (const waiter of left) waiter.fail(error);
  }

  /** Takes a place, or waits for one. Rejects when too many wait, the breaker opens, or the caller gives up. */
  function enter(signal: AbortSignal | undefined): Promise<void> | undefined {
    if (inFlight.size < Math.max(1, Math.floor(limit))) return undefined;
    const isSilent = inFlight.size >= STALL_FROM && clock.monotonicMs() - answeredMs >= patienceMs;
    if (isSilent || waiting.length >= waitingMax) return Promise.reject(busy());
    return new Promise<void>((resolve, reject) => {
      const leave = () => signal?.removeEventListener("abort", aborted);
      const aborted = () => {
        waiting = waiting.filter((other) => other !== waiter);
        reject(signal?.reason instanceof Error ? signal.reason : new Error("the request was given up"));
      };
      const waiter: Waiter = {
        go() {
          leave();
          resolve();
        },
        fail(error) {
          leave();
          reject(error);
        },
      };
      signal?.addEventListener("abort", aborted, { once: true });
      waiting.push(waiter);
    });
  }

  function goOn(): void {
    if (aside.size === 0) return;
    // With nothing under way whoever was told to go has come, or never will.
    if (inFlight.size + waiting.length === 0) going.clear();
    letGo(freePlaces());
  }

  async function once<R>(attempt: (signal: AbortSignal) => Promise<R>, signal: AbortSignal | undefined): Promise<R> {
    if (options.signal?.aborted) throw closed();
    if (isBroken()) throw unreachable(`${failure ?? "it does not answer"}; waiting before the next try`);
    // After the pause exactly one request goes first; the others keep failing fast until it has answered.
    if (failuresInRow >= breakAfterFailures) brokenUntilMs = clock.monotonicMs() + pauseMs;
    const place = enter(signal);
    if (place !== undefined) await place;
    const abort = signal === undefined ? line : new AbortController();
    const request = { abort };
    const giveUp = () => abort.abort(signal?.reason);
    signal?.addEventListener("abort", giveUp, { once: true });
    if (inFlight.size === 0) answeredMs = clock.monotonicMs();
    inFlight.add(request);
    if (inFlight.size >= STALL_FROM) watchOver();
    const startedMs = clock.monotonicMs();
    try {
      const answer = await untilAborted(attempt(abort.signal), abort.signal);
      answered(clock.monotonicMs() - startedMs);
      return answer;
    } catch (error) {
      if (error instanceof ApiError) answered(0, (error.status.code ?? 500) >= 500 && !isTooManyRequests(error));
      else if (!signal?.aborted && !abort.signal.aborted) failed(error);
      throw error;
    } finally {
      signal?.removeEventListener("abort", giveUp);
      inFlight.delete(request);
      goOn();
      waiting.shift()?.go();
    }
  }

  async function guarded<R>(attempt: (signal: AbortSignal) => Promise<R>, signal: AbortSignal | undefined): Promise<R> {
    for (let tries = 1; ; tries++) {
      try {
        return await once(attempt, signal);
      } catch (error) {
        if (!isTooManyRequests(error) || tries >= THROTTLE_TRIES_MAX || signal?.aborted) throw error;
        limit = Math.max(1, limit / 2);
        const pauseMs = Math.min(RETRY_AFTER_MAX_MS, (error.status.details?.retryAfterSeconds ?? 1) * 1000);
        const ends = [signal, options.signal].filter((end) => end !== undefined);
        await sleep(clock, pauseMs, AbortSignal.any(ends));
      }
    }
  }

  return {
    send: (request) => guarded<KubeObject>((signal) => transport.send({ ...request, signal }), request.signal),
    list: (request) => guarded((signal) => transport.list({ ...request, signal }), request.signal),
    watch: (request, sink) => transport.watch(request, sink),
    raw: (request) => guarded((signal) => transport.raw({ ...request, signal }), request.signal),
    room: {
      standAside(key, resume) {
        going.delete(key);
        const isIdle = inFlight.size + waiting.length === 0;
        if (isIdle || freePlaces() > 0 || isBroken() || options.signal?.aborted || aside.size >= ASIDE_MAX)
          return false;
        aside.set(key, resume);
        return true;
      },
      leave: goOn,
    },
    get flow() {
      return {
        inFlight: inFlight.size,
        inFlightLimit: Math.floor(limit),
        waiting: waiting.length,
        aside: aside.size,
        isBroken: isBroken(),
        failure,
      };
    },
  };
}

function openLine(): AbortController {
  const abort = new AbortController();
  setMaxListeners(0, abort.signal);
  return abort;
}

/** Ends with the signal even where what it waits for does not listen to it. */
function untilAborted<R>(work: Promise<R>, signal: AbortSignal): Promise<R> {
  return new Promise((resolve, reject) => {
    const give = () => reject(signal.reason instanceof Error ? signal.reason : new Error("the request was given up"));
    signal.addEventListener("abort", give, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", give));
  });
}
