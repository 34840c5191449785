/** Milliseconds of uninterrupted work after which a queue lets others and I/O happen. */
const TURN_MS = 8;
/** The same for all background work together, while nothing else waits: whoever comes then must not wait for long. */
const BACKGROUND_TURN_MS = 4;
/** Background work gets a turn after this time even if normal work never ends. */
const STARVED_MS = 40;
/** What it may begin then: most of the cost of an item comes after its beginning, where no clock sees it. */
const STARVED_ITEMS = 8;
/** The same once normal work has not ended for `LONG_MS`: a share of one in four, so that nothing waits for ever. */
const LONG_STARVED_ITEMS = 64;
const LONG_MS = 5_000;

/** Normal work carries out what users asked for; background work reports on it, or plays a member's part. */
export type Urgency = "normal" | "background";

/** What a turn may take. */
export interface Share {
  /** By `performance.now()`. */
  readonly endMs: number;
  /** Items that may still be begun; a turn counts down what it begins. */
  items: number;
}

/** Works until its share is used up, and says whether more is waiting. */
export type Turn = (share: Share) => boolean;

/**
 * Shares one thread among work queues. Every turn of the event loop serves each queue that has normal work once, then
 * background queues in rotation as far as their common share goes. These wait while normal ones have work, so that a burst
 * is carried out first and reported on after, when many reports on one object have become one. While normal work only
 * waits, for a disk or a member, background work is begun one by one: it must not be in the way of what comes back.
 */
export class Turns {
  readonly #normal = new Set<Turn>();
  /** In the order in which they are served; who was served goes last. */
  readonly #background = new Set<Turn>();
  #isScheduled = false;
  readonly #now: () => number;
  /** Normal items that were begun and have not ended. */
  #running = 0;
  #backgroundMs = Number.NEGATIVE_INFINITY;
  /** Since when background work has been waiting for normal work. */
  #waitingSinceMs: number | undefined;

  /** `now` counts milliseconds as `performance.now` does, which is the default. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Asks for a turn; asking twice is asking once. */
  ask(turn: Turn, urgency: Urgency): void {
    (urgency === "normal" ? this.#normal : this.#background).add(turn);
    this.#schedule();
  }

  /** Told of each normal item when it begins, and `ended` when it ends. */
  began(): void {
    this.#running++;
  }

  ended(): void {
    this.#running--;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    this.#isScheduled = false;
    const turns = [...this.#normal];
    this.#normal.clear();
    for (const turn of turns)
      if (turn({ endMs: this.#now() + TURN_MS, items: Number.POSITIVE_INFINITY })) this.#normal.add(turn);
    if (this.#background.size > 0) this.#serveBackground(turns.length > 0, this.#now());
    if (this.#normal.size + this.#background.size > 0) this.#schedule();
  }

  #serveBackground(isBusy: boolean, nowMs: number): void {
    let items: number;
    if (isBusy) {
      this.#waitingSinceMs ??= nowMs;
      if (nowMs - this.#backgroundMs < STARVED_MS) return;
      items = nowMs - this.#waitingSinceMs > LONG_MS ? LONG_STARVED_ITEMS : STARVED_ITEMS;
    } else {
      this.#waitingSinceMs = undefined;
      items = this.#running > 0 ? 1 : Number.POSITIVE_INFINITY;
    }
    this.#rotate({ endMs: nowMs + BACKGROUND_TURN_MS, items });
  }

  #rotate(share: Share): void {
    for (const turn of [...this.#background]) {
      this.#background.delete(turn);
      if (turn(share)) this.#background.add(turn);
      this.#backgroundMs = this.#now();
      if (this.#backgroundMs >= share.endMs || share.items <= 0) return;
    }
  }
}
