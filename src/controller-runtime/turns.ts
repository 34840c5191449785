/** Milliseconds of uninterrupted work after which a queue lets others and I/O happen. */
const TURN_MS = 8;
/** The same for all background work together, while nothing else waits: whoever comes then must not wait for long. */
const BACKGROUND_TURN_MS = 4;

/** How long normal work has been going on, how long background work waits then from turn to turn, and what it begins in one. */
interface Starved {
  readonly sinceMs: number;
  readonly everyMs: number;
  readonly items: number;
}

/** How much others hold back for normal work. */
export interface Patience {
  /** Work that has neither begun nor ended anything for so long only waits, and holds nobody back. */
  readonly stillMs: { readonly normal: number; readonly last: number };
  /** How long last work waits for normal work to end. */
  readonly lastMs: number;
  /** It waits longer where so many normal items a second end meanwhile: that is no stream of changes but a burst. */
  readonly burst: { readonly perSecond: number; readonly lastMs: number };
  /**
   * Background work gets a turn even if normal work never ends; longest first. Most of the cost of an item comes after its
   * beginning, where no clock sees it.
   */
  readonly starved: readonly Starved[];
}

/** A share of one in four, so that nothing waits for ever. */
const LONG_STARVED: Starved = { sinceMs: 5_000, everyMs: 40, items: 64 };

/** For members in the same process: whatever time normal work leaves is free. */
const EAGER: Patience = {
  stillMs: { normal: 0, last: 0 },
  lastMs: 0,
  burst: { perSecond: Number.POSITIVE_INFINITY, lastMs: 0 },
  starved: [LONG_STARVED, { sinceMs: 0, everyMs: 40, items: 8 }],
};

/** For members of their own: they may run on the same cores, and what is done besides a burst takes from the burst. */
export const PATIENT: Patience = {
  // A busy member on the same cores answers in heaps: whatever is done between two of them keeps it from the next.
  stillMs: { normal: 20, last: 100 },
  lastMs: 1_500,
  burst: { perSecond: 300, lastMs: 8_000 },
  starved: [
    { ...LONG_STARVED, sinceMs: 10_000 },
    { sinceMs: 5_000, everyMs: 40, items: 8 },
    // A short burst is over by then, and all of it is reported on after.
    { sinceMs: 2_000, everyMs: 250, items: 8 },
  ],
};

/** So many normal items that end while last work waits for them are a burst. */
const BURST_ITEMS = 32;

/** How soon what is held back is looked at again. */
const HELD_MS = 5;
/** As how much a gap between two looks counts: what is longer the thread did not get, and whatever ended in it comes after. */
const LOOK_MAX_MS = 2 * HELD_MS;

/**
 * Normal work carries out what users asked for, and last work is what that comes to in the end: writes to members.
 * Background work reports on it, or plays a member's part.
 */
export type Urgency = "normal" | "last" | "background";

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
 * Shares one thread among work queues. Every turn of the event loop serves each queue that has normal work once, then those
 * with last work, then background queues in rotation as far as their common share goes. These wait while others have work, so
 * that a burst is carried out first and reported on after, when many reports on one object have become one. While other work
 * only waits, for a disk or a member, background work is begun one by one: it must not be in the way of what comes back.
 *
 * The patient kind also lets last work wait until a burst has been thought through: members that run on the same cores begin
 * to burn them with the first write. While all that waits is held back the thread sleeps.
 */
export class Turns {
  readonly #normal = new Set<Turn>();
  readonly #last = new Set<Turn>();
  /** In the order in which they are served; who was served goes last. */
  readonly #background = new Set<Turn>();
  #isScheduled = false;
  /** Set while all that waits is held back. */
  #timer: NodeJS.Timeout | undefined;
  readonly #patience: Patience;
  readonly #now: () => number;
  readonly #onBurst: () => void;
  /** Normal items that were begun and have not ended, and last ones. */
  readonly #running = { normal: 0, last: 0 };
  /** When a normal item began or ended last, and a last one. */
  readonly #movedMs = { normal: Number.NEGATIVE_INFINITY, last: Number.NEGATIVE_INFINITY };
  #lookedMs = Number.NEGATIVE_INFINITY;
  #backgroundMs = Number.NEGATIVE_INFINITY;
  /** Since when background work has been waiting for other work. */
  #waitingSinceMs: number | undefined;
  #lastSinceMs: number | undefined;
  /** Normal items that ended since then. */
  #endedMeanwhile = 0;

  /**
   * `now` counts milliseconds as `performance.now` does, which is the default. `onBurst` is called again and again while last
   * work is there for which much normal work was done.
   */
  constructor(
    patience: Patience = EAGER,
    now: () => number = () => performance.now(),
    onBurst: () => void = () => undefined,
  ) {
    this.#patience = patience;
    this.#now = now;
    this.#onBurst = onBurst;
  }

  /** Asks for a turn; asking twice is asking once. */
  ask(turn: Turn, urgency: Urgency): void {
    (urgency === "normal" ? this.#normal : urgency === "last" ? this.#last : this.#background).add(turn);
    if (urgency === "normal" || this.#timer === undefined) this.#schedule();
  }

  /** Told of each item that is no background work when it begins, and `ended` when it ends. */
  began(urgency: "normal" | "last"): void {
    this.#running[urgency]++;
    this.#movedMs[urgency] = this.#now();
  }

  ended(urgency: "normal" | "last"): void {
    this.#running[urgency]--;
    this.#movedMs[urgency] = this.#now();
    if (urgency === "normal") this.#endedMeanwhile++;
    if (this.#running[urgency] > 0) return;
    this.#restLast();
    if (this.#timer !== undefined) this.#schedule();
  }

  /** Once last work is all done, the next waits anew. */
  #restLast(): void {
    if (this.#last.size + this.#running.last === 0) this.#lastSinceMs = undefined;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    this.#isScheduled = false;
    const turns = [...this.#normal];
    this.#normal.clear();
    for (const turn of turns) this.#serve(turn, this.#normal);
    const nowMs = this.#look();
    const isBusy = turns.length > 0 || this.#moves("normal", nowMs);
    const isServed = this.#serveLast(isBusy, nowMs);
    const isBegun = this.#serveBackground(
      isBusy || isServed || this.#last.size > 0 || this.#moves("last", nowMs),
      this.#now(),
    );
    if (this.#normal.size + this.#last.size + this.#background.size === 0 || this.#isScheduled) return;
    if (turns.length > 0 || isServed || isBegun) this.#schedule();
    else this.#timer = setTimeout(() => this.#schedule(), HELD_MS);
  }

  #serve(turn: Turn, again: Set<Turn>): void {
    if (turn({ endMs: this.#now() + TURN_MS, items: Number.POSITIVE_INFINITY })) again.add(turn);
  }

  /** Gives the time. A thread that others kept from its core has not seen that all was still meanwhile. */
  #look(): number {
    const nowMs = this.#now();
    const missedMs = nowMs - this.#lookedMs - LOOK_MAX_MS;
    this.#lookedMs = nowMs;
    if (missedMs > 0)
      for (const urgency of ["normal", "last"] as const)
        this.#movedMs[urgency] = Math.min(nowMs, this.#movedMs[urgency] + missedMs);
    return nowMs;
  }

  /** Whether items of an urgency are under way and more than waiting. */
  #moves(urgency: "normal" | "last", nowMs: number): boolean {
    return this.#running[urgency] > 0 && nowMs - this.#movedMs[urgency] < this.#patience.stillMs[urgency];
  }

  /** Last work is done at once when there is no normal work, so that it comes in bursts; says whether it had its turn. */
  #serveLast(isBusy: boolean, nowMs: number): boolean {
    if (this.#last.size === 0) return false;
    if (this.#lastSinceMs === undefined) {
      this.#lastSinceMs = nowMs;
      this.#endedMeanwhile = 0;
    }
    if (this.#endedMeanwhile >= BURST_ITEMS) this.#onBurst();
    if (isBusy && this.#waitsOn(nowMs - this.#lastSinceMs)) return false;
    const turns = [...this.#last];
    this.#last.clear();
    for (const turn of turns) this.#serve(turn, this.#last);
    this.#restLast();
    return true;
  }

  #waitsOn(waitedMs: number): boolean {
    const { lastMs, burst } = this.#patience;
    if (waitedMs < lastMs) return true;
    return waitedMs < burst.lastMs && this.#endedMeanwhile * 1000 >= burst.perSecond * waitedMs;
  }

  /** Says whether background work had its turn. */
  #serveBackground(isBusy: boolean, nowMs: number): boolean {
    if (this.#background.size === 0) {
      this.#waitingSinceMs = undefined;
      return false;
    }
    let items: number;
    if (isBusy) {
      this.#waitingSinceMs ??= nowMs;
      const goingOnMs = nowMs - this.#waitingSinceMs;
      const starved = this.#patience.starved.find(({ sinceMs }) => goingOnMs >= sinceMs);
      if (starved === undefined || nowMs - this.#backgroundMs < starved.everyMs) return false;
      items = starved.items;
    } else {
      this.#waitingSinceMs = undefined;
      items = this.#running.normal + this.#running.last > 0 ? 1 : Number.POSITIVE_INFINITY;
    }
    this.#rotate({ endMs: nowMs + BACKGROUND_TURN_MS, items });
    return true;
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
