import type { Clock, Timer } from "#base";

/** How a priority level behaves. */
export interface LevelOptions {
  readonly name: string;
  readonly uid: string;
  /** Requests at a time; infinite for exempt levels. */
  readonly seats: number;
  /** Seats others may use while this level does not. */
  readonly lendable: number;
  /** Seats of others this level may use; infinite for no bound. */
  readonly borrowable: number;
  /** Absent where requests beyond the seats are refused at once. */
  readonly queuing: { readonly queues: number; readonly handSize: number; readonly queueLengthMax: number } | undefined;
}

/** Why a request was turned away (wire: label of a metric). */
export type Rejection = "concurrency-limit" | "queue-full" | "time-out";

interface Waiting {
  readonly wake: (rejection: Rejection | undefined) => void;
  readonly timer: Timer;
}

/**
 * One priority level: so many requests at a time, and behind them queues. A flow is dealt a hand of queues and uses the
 * shortest; queues take turns. A flow that floods fills its own hand and leaves the others to the rest.
 */
export class PriorityLevel {
  options: LevelOptions;
  executing = 0;
  waiting = 0;
  readonly #clock: Clock;
  readonly #waitMaxMs: number;
  /** Seats others do not use at present. */
  readonly #spare: () => number;
  readonly #queues = new Map<number, Waiting[]>();
  #turn = -1;

  constructor(options: LevelOptions, clock: Clock, waitMaxMs: number, spare: () => number) {
    this.options = options;
    this.#clock = clock;
    this.#waitMaxMs = waitMaxMs;
    this.#spare = spare;
  }

  /** Seats this level may use now. */
  get limit(): number {
    const { seats, borrowable } = this.options;
    return seats + Math.min(borrowable, Math.max(0, this.#spare()));
  }

  /** Seats that could be lent now. */
  get unused(): number {
    const { seats, lendable } = this.options;
    return Math.max(0, Math.min(lendable, seats - this.executing - this.waiting));
  }

  /** Takes a seat, waits for one, or says why there is none. */
  enter(flow: number): Rejection | undefined | Promise<Rejection | undefined> {
    if (this.waiting === 0 && this.executing < this.limit) {
      this.executing++;
      return undefined;
    }
    const { queuing } = this.options;
    if (queuing === undefined) return "concurrency-limit";
    const at = this.#shortest(flow, queuing.queues, queuing.handSize);
    const queue = this.#queues.get(at) ?? [];
    if (queue.length >= queuing.queueLengthMax) return "queue-full";
    this.#queues.set(at, queue);
    return new Promise((resolve) => {
      const entry: Waiting = {
        wake: (rejection) => {
          entry.timer.cancel();
          this.waiting--;
          if (rejection === undefined) this.executing++;
          resolve(rejection);
        },
        timer: this.#clock.after(this.#waitMaxMs, () => {
          const own = queue.indexOf(entry);
          if (own < 0) return;
          queue.splice(own, 1);
          entry.wake("time-out");
        }),
      };
      queue.push(entry);
      this.waiting++;
      this.dispatch();
    });
  }

  leave(): void {
    this.executing--;
    this.dispatch();
  }

  /** Gives free seats to queues, one after the other. */
  dispatch(): void {
    while (this.waiting > 0 && this.executing < this.limit) {
      const next = this.#next();
      if (next === undefined) return;
      next.wake(undefined);
    }
  }

  #next(): Waiting | undefined {
    const filled = [...this.#queues].filter(([, queue]) => queue.length > 0).map(([at]) => at);
    if (filled.length === 0) return undefined;
    filled.sort((left, right) => left - right);
    this.#turn = filled.find((at) => at > this.#turn) ?? (filled[0] as number);
    const queue = this.#queues.get(this.#turn) as Waiting[];
    const entry = queue.shift();
    if (queue.length === 0) this.#queues.delete(this.#turn);
    return entry;
  }

  /** Deals a hand of different queues by the flow's hash and takes the shortest. */
  #shortest(flow: number, queues: number, handSize: number): number {
    let rest = flow;
    const hand: number[] = [];
    for (let card = 0; card < Math.min(handSize, queues); card++) {
      const left = queues - card;
      let pick = rest % left;
      rest = Math.floor(rest / left);
      for (const taken of [...hand].sort((one, other) => one - other)) if (pick >= taken) pick++;
      hand.push(pick);
    }
    return hand.reduce((best, at) =>
      (this.#queues.get(at)?.length ?? 0) < (this.#queues.get(best)?.length ?? 0) ? at : best,
    );
  }
}
