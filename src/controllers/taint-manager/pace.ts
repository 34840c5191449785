/** Evictions at a time; the rate is each one's own. */
const WORKERS = 3;
/** How long a rate of 0 makes everybody wait. */
const STANDSTILL_MS = 1_800_000;

/**
 * One limiter for all evictions: each worker pauses after an eviction. Whoever must wait gets a turn of its own at once,
 * so that thousands that wait do not all wake for each turn.
 */
export class Pace {
  readonly #pauseMs: number;
  readonly #free = Array.from({ length: WORKERS }, () => 0);
  readonly #turns = new Map<string, number>();

  /** `rate` is evictions per second and worker. */
  constructor(rate: number) {
    this.#pauseMs = rate <= 0 ? STANDSTILL_MS : 1000 / rate;
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#turns.size;
  }

  /** Milliseconds until the key's turn; 0 when it is due. The turn is kept until `done` or `drop`. */
  turn(key: string, nowMs: number): number {
    const known = this.#turns.get(key);
    if (known !== undefined) return Math.max(0, known - nowMs);
    let best = 0;
    for (let at = 1; at < WORKERS; at++) if ((this.#free[at] as number) < (this.#free[best] as number)) best = at;
    const turnMs = Math.max(nowMs, this.#free[best] as number);
    this.#free[best] = turnMs + this.#pauseMs;
    this.#turns.set(key, turnMs);
    return turnMs - nowMs;
  }

  /** The key has had its turn. */
  done(key: string): void {
    this.#turns.delete(key);
  }

  /** The key needs its turn no more. When nobody waits, the turns that were given out ahead are void. */
  drop(key: string, nowMs: number): void {
    if (!this.#turns.delete(key) || this.#turns.size > 0) return;
    for (let at = 0; at < WORKERS; at++) this.#free[at] = Math.min(this.#free[at] as number, nowMs + this.#pauseMs);
  }
}
