/** A pending wake-up; `cancel` is idempotent and safe after it fired. */
export interface Timer {
  cancel(): void;
}

/** The only way to learn the time or to wait. */
export interface Clock {
  /** Milliseconds since the Unix epoch, for what is written down. Whoever sets the machine's time makes it jump. */
  now(): number;
  /** Milliseconds that never jump, for how long something takes: only differences mean something. */
  monotonicMs(): number;
  /** Calls `wake` once, not before `delayMs` have passed. A timer never keeps the process alive by itself. */
  after(delayMs: number, wake: () => void): Timer;
}

/** Resolves after `delayMs`, or at once when `signal` aborts. It never rejects. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = () => {
      timer.cancel();
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = clock.after(delayMs, finish);
    signal?.addEventListener("abort", finish, { once: true });
  });
}

interface VirtualTimer extends Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly wake: () => void;
}

/**
 * A clock that stands still until it is moved. `advance` fires timers in order of their due time and lets all promises
 * settle between two of them, so that ten virtual minutes take as long as the work that is done in them.
 */
export class VirtualClock implements Clock {
  /** Time that passed; what is read differs from it by all jumps. */
  #nowMs: number;
  #jumpedMs = 0;
  #order = 0;
  readonly #timers: VirtualTimer[] = [];
  readonly #settle: () => Promise<void>;

  /** `settle` waits until the program has nothing left to do at the present instant. */
  constructor(startMs: number, settle: () => Promise<void>) {
    this.#nowMs = startMs;
    this.#settle = settle;
  }

  now(): number {
    return this.#nowMs + this.#jumpedMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  /** Sets the time ahead or back, as an administrator does: nothing falls due by it. */
  jump(deltaMs: number): void {
    this.#jumpedMs += deltaMs;
  }

  after(delayMs: number, wake: () => void): Timer {
    const timer: VirtualTimer = {
      dueMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#order++,
      wake,
      cancel: () => {
        const at = this.#timers.indexOf(timer);
        if (at >= 0) this.#timers.splice(at, 1);
      },
    };
    let low = 0;
    let high = this.#timers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#timers[middle] as VirtualTimer;
      if (other.dueMs < timer.dueMs || (other.dueMs === timer.dueMs && other.order < timer.order)) low = middle + 1;
      else high = middle;
    }
    this.#timers.splice(low, 0, timer);
    return timer;
  }

  /** When the next timer is due; `undefined` when nothing waits. */
  get nextMs(): number | undefined {
    return this.#timers[0]?.dueMs;
  }

  /** Moves time forward by `deltaMs`, waking everything that falls due on the way. */
  async advance(deltaMs: number): Promise<void> {
    const endMs = this.#nowMs + deltaMs;
    await this.#settle();
    for (;;) {
      const next = this.#timers[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.#timers.shift();
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.wake();
      // Timers of the same instant wake together: one settling per instant, not per timer.
      while (this.#timers[0] !== undefined && this.#timers[0].dueMs <= this.#nowMs) this.#timers.shift()?.wake();
      await this.#settle();
    }
    this.#nowMs = endMs;
  }
}
