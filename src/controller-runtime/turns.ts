/** Milliseconds of uninterrupted work after which a queue lets others and I/O happen. */
const TURN_MS = 8;
/** The same for all background work together, while nothing else waits: whoever comes then must not wait for long. */
const BACKGROUND_TURN_MS = 4;
/** The same in the gaps of a burst, in which normal work waits for the disk only and is about to go on. */
const GAP_TURN_MS = 1;
/** Normal work that was there so shortly ago is about to come again. */
const BURST_MS = 20;
/** Background work gets a turn after this time even if normal work never ends: a share of one in ten at least. */
const STARVED_MS = 40;

/** Normal work carries out what users asked for; background work reports on it, or plays a member's part. */
export type Urgency = "normal" | "background";

/** Works until `endMs` of `performance.now()` at the latest, and says whether more is waiting. */
export type Turn = (endMs: number) => boolean;

/**
 * Shares one thread among work queues. Every turn of the event loop serves each queue that has normal work once, then
 * background queues in rotation as far as their common time goes. These wait while normal ones have work, so that a burst
 * is carried out first and reported on after, when many reports on one object have become one.
 */
export class Turns {
  readonly #normal = new Set<Turn>();
  /** In the order in which they are served; who was served goes last. */
  readonly #background = new Set<Turn>();
  #isScheduled = false;
  #normalMs = Number.NEGATIVE_INFINITY;
  readonly #now: () => number;
  #backgroundMs = 0;

  /** `now` counts milliseconds as `performance.now` does, which is the default. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Asks for a turn; asking twice is asking once. */
  ask(turn: Turn, urgency: Urgency): void {
    (urgency === "normal" ? this.#normal : this.#background).add(turn);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    this.#isScheduled = false;
    const isBusy = this.#normal.size > 0;
    const turns = [...this.#normal];
    this.#normal.clear();
    for (const turn of turns) if (turn(this.#now() + TURN_MS)) this.#normal.add(turn);
    const nowMs = this.#now();
    if (isBusy) this.#normalMs = nowMs;
    const isStarved = nowMs - this.#backgroundMs >= STARVED_MS;
    const isBurst = nowMs - this.#normalMs < BURST_MS;
    if (!isBusy || isStarved) this.#serveBackground(nowMs + (isBurst && !isStarved ? GAP_TURN_MS : BACKGROUND_TURN_MS));
    if (this.#normal.size + this.#background.size > 0) this.#schedule();
  }

  #serveBackground(endMs: number): void {
    for (const turn of [...this.#background]) {
      this.#background.delete(turn);
      if (turn(endMs)) this.#background.add(turn);
      this.#backgroundMs = this.#now();
      if (this.#backgroundMs >= endMs) return;
    }
  }
}
