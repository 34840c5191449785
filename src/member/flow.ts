import { setMaxListeners } from "node:events";
import { abortReason, type Clock, sleep, type Timer, whenAborted } from "#base";
import { ApiError, isTooManyRequests, type KubeObject, serviceUnavailable, type Transport } from "#machinery";

/** Bounds on what one member is asked at a time. The limits protect the member and adapt to its answers. */
export interface FlowOptions {
  readonly clock: Clock;
  /** Requests in flight at first and at most; defaults 64 and 128. */
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
  /** Requests the member refused with 429 that wait as long as it asked. */
  readonly throttled: number;
  /** Present while what is to be written waits for so long that whoever looks for it should learn why. */
  readonly delay: FlowDelay | undefined;
  readonly isBroken: boolean;
  /** What the connection failed with last, while it fails. */
  readonly failure: string | undefined;
}

/** Why what is to be written waits. The words stay the same while the cause does. */
export interface FlowDelay {
  readonly reason: "MemberThrottles" | "MemberSlow" | "MemberBusy";
  readonly message: string;
}

/** Waiting for less is the way of a burst, and nobody is told. */
const DELAY_TOLD_MS = 10_000;
const THROTTLE_TRIES_MAX = 10;
const RETRY_AFTER_MAX_MS = 30_000;
const BREAK_MAX_MS = 30_000;
/** Which share of those that may wait is for work in bulk, one for each place at most: no place is empty for a moment. */
const AHEAD_SHARE = 0.5;
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
  isAside(key: string): boolean;
  /** Who has stood aside for so long, the longest first. */
  late(forMs: number): Iterable<string>;
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
    inFlightStart = 64,
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
  const aside = new Map<string, { readonly resume: () => void; readonly sinceMs: number }>();
  /** Set by a 429, taken back by another answer once the time it asked for is over. */
  let throttle: { readonly sinceMs: number; readonly untilMs: number; readonly words: string } | undefined;
  let throttled = 0;
  let tookMs = 0;
  /** Who was told to go on and has not come yet. */
  const going = new Set<string>();
  /** Who went on and has not left: most of them are about to ask, and many come at once before the first has asked. */
  let present = 0;

  const isBroken = () => failuresInRow >= breakAfterFailures && clock.monotonicMs() < brokenUntilMs;

  function answered(withinMs: number, isTroubled = false): void {
    failuresInRow = 0;
    failure = undefined;
    pauseMs = breakMs;
    answeredMs = clock.monotonicMs();
    tookMs = withinMs;
    limit = withinMs > slowMs || isTroubled ? Math.max(1, limit * 0.9) : Math.min(inFlightMax, limit + 1 / limit);
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

  /** Requests that may be in flight now. */
  const places = () => Math.max(1, Math.floor(limit));
  const asking = () => inFlight.size + waiting.length + throttled;
  const isIdle = () => asking() + present === 0;
  const freePlaces = () => {
    const ahead = Math.max(1, Math.min(places(), Math.floor(waitingMax * AHEAD_SHARE)));
    return places() + ahead - Math.max(asking(), present) - going.size;
  };

  function letGo(places: number): void {
    let left = places;
    for (const [key, { resume }] of aside) {
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

  const busy = (why = `${inFlight.size} requests wait for its answer`) => {
    const error = serviceUnavailable(`the member cluster is busy: ${why}`);
    busyErrors.add(error);
    return error;
  };

  /** The member has too much to do: it is asked for half as much from now on. */
  function slowDown(words: string, forMs: number): void {
    limit = Math.max(1, limit / 2);
    const nowMs = clock.monotonicMs();
    const untilMs = Math.max(throttle?.untilMs ?? 0, nowMs + forMs);
    throttle = { sinceMs: throttle?.sinceMs ?? nowMs, untilMs, words: throttle?.words ?? words };
  }

  /** It answers as ever, after the time it asked for. */
  function relieve(): void {
    if (throttle !== undefined && clock.monotonicMs() >= throttle.untilMs) throttle = undefined;
  }

  function delayOf(): FlowDelay | undefined {
    const nowMs = clock.monotonicMs();
    if (throttle !== undefined && nowMs - throttle.sinceMs >= DELAY_TOLD_MS)
      return { reason: "MemberThrottles", message: `the member cluster answers 429: ${throttle.words}` };
    const [first] = aside.values();
    if (first === undefined || nowMs - first.sinceMs < DELAY_TOLD_MS) return undefined;
    return tookMs > slowMs || nowMs - answeredMs > slowMs
      ? { reason: "MemberSlow", message: `answers of the member cluster take longer than ${slowMs / 1000} s` }
      : { reason: "MemberBusy", message: "the member cluster has as much to do as it can take at a time" };
  }

  function dismiss(error: Error): void {
    const left = waiting;
    waiting = [];
    for (const waiter of left) waiter.fail(error);
  }

  /** Takes a place, or waits for one. Rejects when too many wait, the breaker opens, or the caller gives up. */
  function enter(signal: AbortSignal | undefined): Promise<void> | undefined {
    if (inFlight.size < places()) return undefined;
    const isSilent = inFlight.size >= STALL_FROM && clock.monotonicMs() - answeredMs >= patienceMs;
    if (isSilent || waiting.length >= waitingMax) return Promise.reject(busy());
    return new Promise<void>((resolve, reject) => {
      const leave = () => signal?.removeEventListener("abort", aborted);
      const aborted = () => {
        waiting = waiting.filter((other) => other !== waiter);
        reject(abortReason(signal as AbortSignal));
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
    if (isIdle()) going.clear();
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
      relieve();
      return answer;
    } catch (error) {
      if (isTooManyRequests(error)) {
        answered(0);
        slowDown(error.message, retryAfterMs(error));
      } else if (error instanceof ApiError) {
        answered(0, (error.status.code ?? 500) >= 500);
        relieve();
      } else if (!signal?.aborted && !abort.signal.aborted) failed(error);
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
        // A few wait here and find out when it takes more; whoever else came is not kept from what others want of him.
        if (throttled >= places()) throw busy(`it answers 429: ${error.message}`);
        const ends = [signal, options.signal].filter((end) => end !== undefined);
        throttled++;
        try {
          await sleep(clock, retryAfterMs(error), AbortSignal.any(ends));
        } finally {
          throttled--;
        }
        if (!signal?.aborted) continue;
        goOn();
        throw error;
      }
    }
  }

  return {
    send: (request) => guarded<KubeObject>((signal) => transport.send({ ...request, signal }), request.signal),
    list: (request) => guarded((signal) => transport.list({ ...request, signal }), request.signal),
    watch: (request, sink) => transport.watch(request, sink),
    raw: (request) =>
      guarded(async (signal) => {
        const answer = await transport.raw({ ...request, signal });
        // Whoever asks so looks at the status himself.
        if (answer.status === 429)
          slowDown(`${request.method} ${request.path}`, pauseOf(Number(answer.headers["retry-after"])));
        return answer;
      }, request.signal),
    room: {
      standAside(key, resume) {
        going.delete(key);
        if (isIdle() || freePlaces() > 0 || isBroken() || options.signal?.aborted || aside.size >= ASIDE_MAX) {
          present++;
          return false;
        }
        aside.set(key, { resume, sinceMs: aside.get(key)?.sinceMs ?? clock.monotonicMs() });
        return true;
      },
      leave() {
        present = Math.max(0, present - 1);
        goOn();
      },
      isAside: (key) => aside.has(key),
      *late(forMs) {
        const beforeMs = clock.monotonicMs() - forMs;
        for (const [key, { sinceMs }] of aside) {
          if (sinceMs > beforeMs) return;
          yield key;
        }
      },
    },
    get flow() {
      return {
        inFlight: inFlight.size,
        inFlightLimit: Math.floor(limit),
        waiting: waiting.length,
        aside: aside.size,
        throttled,
        delay: delayOf(),
        isBroken: isBroken(),
        failure,
      };
    },
  };
}

const pauseOf = (seconds: number) => Math.min(RETRY_AFTER_MAX_MS, (Number.isFinite(seconds) ? seconds : 1) * 1000);
const retryAfterMs = (error: ApiError) => pauseOf(error.status.details?.retryAfterSeconds ?? 1);

function openLine(): AbortController {
  const abort = new AbortController();
  setMaxListeners(0, abort.signal);
  return abort;
}

/** Ends with the signal even where what it waits for does not listen to it. */
function untilAborted<R>(work: Promise<R>, signal: AbortSignal): Promise<R> {
  return new Promise((resolve, reject) => {
    const end = whenAborted(signal, () => reject(abortReason(signal)));
    work.then(resolve, reject).finally(end);
  });
}
