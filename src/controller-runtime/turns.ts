/** Milliseconds of uninterrupted work after which a queue lets others and I/O happen. */
const TURN_MS = 8;
/** The same for background work while normal work waits. */
const BACKGROUND_TURN_MS = 2;
/** Background work gets a turn after this time even if normal work never ends. */
const STARVED_MS = 50;

/** Normal work carries out what users asked for; background work reports on it, or plays a member's part. */
export type Urgency = "normal" | "background";

/** Works until `endMs` of `performance.now()` at the latest, and says whether more is waiting. */
export type Turn = (endMs: number) => boolean;

/**
 * Shares one thread among work queues. Every turn of the event loop serves each queue that has work once; background
 * queues wait while normal ones have work, so that a burst is carried out first and reported on after, when many reports
 * on one object have become one.
 */
export class Turns {
  readonly #waiting: Readonly<Record<Urgency, Set<Turn>>> = { normal: new Set(), background: new Set() };
  #isScheduled = false;
  #backgroundMs = 0;

  /** Asks for a turn; asking twice is asking once. */
  ask(turn: Turn, urgency: Urgency): void {
    this.#waiting[urgency].add(turn);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    this.#isScheduled = false;
    const { normal, background } = this.#waiting;
    const isBusy = normal.size > 0;
    this.#serve("normal", TURN_MS);
    if (background.size === 0) return;
    const nowMs = performance.now();
    if (isBusy && nowMs - this.#backgroundMs < STARVED_MS) {
      this.#again();
      return;
    }
    this.#serve("background", isBusy ? BACKGROUND_TURN_MS : TURN_MS);
    this.#backgroundMs = performance.now();
  }

  #serve(urgency: Urgency, turnMs: number): void {
    const turns = [...this.#waiting[urgency]];
    this.#waiting[urgency].clear();
    for (const turn of turns) if (turn(performance.now() + turnMs)) this.ask(turn, urgency);
  }

  #again(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#run());
  }
}
