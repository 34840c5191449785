import { type Clock, sleep } from "./clock.ts";

/** Takes turns at a steady rate: `burst` at once, then `perSecond`. A rate of 0 lets everybody through. */
export class TokenBucket {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #filledMs: number;

  constructor(options: { readonly clock: Clock; readonly perSecond: number; readonly burst: number }) {
    this.#clock = options.clock;
    this.#perSecond = options.perSecond;
    this.#burst = options.burst;
    this.#tokens = options.burst;
    this.#filledMs = options.clock.monotonicMs();
  }

  /** Resolves when it is the caller's turn, or when `signal` aborts. Turns are given in the order of the calls. */
  async take(signal?: AbortSignal): Promise<void> {
    const waitMs = this.reserveMs();
    if (waitMs > 0) await sleep(this.#clock, waitMs, signal);
  }

  /** Takes a turn that is due in so many milliseconds. */
  reserveMs(): number {
    if (this.#perSecond <= 0) return 0;
    const nowMs = this.#clock.monotonicMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#filledMs) / 1000) * this.#perSecond);
    this.#filledMs = nowMs;
    this.#tokens--;
    return this.#tokens < 0 ? (-this.#tokens / this.#perSecond) * 1000 : 0;
  }
}
