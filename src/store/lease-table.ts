/** How often what is due is looked for, at most. */
const LOOK_MS = 500;

interface Lease {
  readonly revision: number;
  readonly slot: number;
}

/** Leases end in slots of time: a look costs what is due, and events alone are tens of thousands that are not. */
const slotOf = (untilMs: number): number => Math.ceil(untilMs / LOOK_MS);

/**
 * Keys of an embedded driver that end by themselves. A lease belongs to one revision of its key: a later write without a
 * lease keeps the key, one with a lease begins anew. Wall-clock time, for a lease outlives its process.
 */
export class LeaseTable {
  readonly #leases = new Map<string, Lease>();
  readonly #slots = new Map<number, Set<string>>();
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
    if (leaseSeconds === undefined) return this.#forget(key) ? null : undefined;
    const untilMs = Date.now() + leaseSeconds * 1000;
    this.restore(key, revision, untilMs);
    return untilMs;
  }

  /** Takes over a lease that was written down. */
  restore(key: string, revision: number, untilMs: number): void {
    this.#forget(key);
    const slot = slotOf(untilMs);
    this.#leases.set(key, { revision, slot });
    const keys = this.#slots.get(slot);
    if (keys === undefined) this.#slots.set(slot, new Set([key]));
    else keys.add(key);
    this.#arm();
  }

  #forget(key: string): boolean {
    const lease = this.#leases.get(key);
    if (lease === undefined) return false;
    this.#leases.delete(key);
    const keys = this.#slots.get(lease.slot);
    keys?.delete(key);
    if (keys?.size === 0) this.#slots.delete(lease.slot);
    return true;
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#leases.clear();
    this.#slots.clear();
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
    const due: Promise<unknown>[] = [];
    for (const [slot, keys] of [...this.#slots])
      if (slot * LOOK_MS <= nowMs)
        for (const key of [...keys]) due.push(this.#end(key, (this.#leases.get(key) as Lease).revision));
    await Promise.allSettled(due);
    this.#arm();
  }
}
