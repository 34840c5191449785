/** When deletions in a member are held. */
export interface BrakeOptions {
  /** Share of a member's Works, 0 to 1, that may be deleted within a window; 0, the default, holds nothing. */
  readonly massDeletionShare: number;
  readonly massDeletionWindowMs: number;
  /** Fewer deletions than this within a window are never held. */
  readonly massDeletionFloor: number;
}

interface Window {
  readonly startMs: number;
  readonly limit: number;
  /** Uids of what was let go on; a deletion that is tried again counts once. */
  readonly admitted: Set<string>;
}

/**
 * Holds deletions in a member that go beyond a share of what stands there: a mistake in one place must not empty a
 * cluster. What is held stays held, also over restarts (the Work's condition says so), until somebody releases it.
 */
export class DeletionBrake {
  readonly #options: BrakeOptions;
  readonly #windows = new Map<string, Window>();
  readonly #held = new Map<string, Set<string>>();

  constructor(options: BrakeOptions) {
    this.#options = options;
  }

  get isOn(): boolean {
    return this.#options.massDeletionShare > 0;
  }

  /** Counts the deletion of one Work in, once, and says whether it may go on. `total` is asked for once a window. */
  admits(cluster: string, uid: string, total: () => number, nowMs: number): boolean {
    let window = this.#windows.get(cluster);
    if (window === undefined || nowMs - window.startMs >= this.#options.massDeletionWindowMs) {
      const limit = Math.max(this.#options.massDeletionFloor, Math.floor(total() * this.#options.massDeletionShare));
      this.#windows.set(cluster, (window = { startMs: nowMs, limit, admitted: new Set() }));
    }
    if (window.admitted.has(uid)) return true;
    if (window.admitted.size >= window.limit) return false;
    window.admitted.add(uid);
    return true;
  }

  /** Notes that a Work's deletion is held; the number held in that cluster. */
  hold(cluster: string, key: string): number {
    let held = this.#held.get(cluster);
    if (held === undefined) this.#held.set(cluster, (held = new Set()));
    held.add(key);
    return held.size;
  }

  /** Notes that a Work's deletion goes on; the number still held, or `undefined` when it was not held. */
  letGo(cluster: string, key: string): number | undefined {
    const held = this.#held.get(cluster);
    return held?.delete(key) ? held.size : undefined;
  }
}
