/** How long a state that is still moving is held back. */
const HOLD_MS = 250;
/** States held back at a time; beyond it they are told at once. */
const HELD_MAX = 100_000;

/**
 * Holds back reports of what is still moving. A rollout passes through many states within a moment, and each of them
 * would be written three times on its way to the user; what holds for a quarter of a second, and what is at rest, is told.
 */
export class Settling {
  readonly #since = new Map<string, number>();

  /** `nowMs` is a monotonic clock's. Milliseconds for which the state of `key`, seen now, is still to be held back; 0 when its time is over. */
  holdMs(key: string, nowMs: number): number {
    const sinceMs = this.#since.get(key);
    if (sinceMs === undefined && this.#since.size < HELD_MAX) this.#since.set(key, nowMs);
    return this.#since.has(key) ? Math.max(0, (sinceMs ?? nowMs) + HOLD_MS - nowMs) : 0;
  }

  /** The state was told, or there is nothing left to tell. */
  forget(key: string): void {
    this.#since.delete(key);
  }
}
