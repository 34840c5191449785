/** How often what is due is looked for, at most. */
const LOOK_MS = 500;

interface Lease {
  readonly revision: number;
  readonly untilMs: number;
}

/**
 * Keys of an embedded driver that end by themselves. A lease belongs to one revision of its key: a later write without a
 * lease keeps the key, one with a lease begins anew. Wall-clock time, for a lease outlives its process.
 */
export class LeaseTable {
  readonly #leases = new Map<string, Lease>();
  readonly #end: (key: string, revision: number) => Promise<unknown>;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  /** `end` deletes a key if it still has the revision; a rejection is tried again at the next look. */
  constructor(end: (key: string, revision: number) => Promise<unknown>) {
    this.#end = end;
  }

  /**
   * Takes note of a write: of its lease, or that there is none any more. Gives what is to be written down: when the lease
   * ends, `null` where one has ended, nothing where there is and was none.
   */
  note(key: string, revision: number, leaseSeconds: number | undefined): number | null | undefined {
    if (leaseSeconds === undefined) return this.#leases.delete(key) ? null : undefined;
    const untilMs = Date.now() + leaseSeconds * 1000;
    this.restore(key, revision, untilMs);
    return untilMs;
  }

  /** Takes over a lease that was written down. */
  restore(key: string, revision: number, untilMs: number): void {
    this.#leases.set(key, { revision, untilMs });
    this.#arm();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#leases.clear();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#isStopped || this.#leases.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#look();
    }, LOOK_MS);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const nowMs = Date.now();
    const due = [...this.#leases].filter(([, { untilMs }]) => untilMs <= nowMs);
    await Promise.allSettled(due.map(([key, { revision }]) => this.#end(key, revision)));
    this.#arm();
  }
}
