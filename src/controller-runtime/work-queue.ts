import { type Backoff, type Clock, exponentialBackoff, type Timer, TokenBucket } from "#base";
import { type Turn, Turns, type Urgency } from "./turns.ts";

/** Urgency of an item: higher first. Items of an initial list or a mass change use a negative one. */
export const PRIORITY_NORMAL = 0;
export const PRIORITY_LOW = -100;

export interface AddOptions {
  readonly priority?: number;
  readonly afterMs?: number;
  /** Whether the priority holds even where the key waits with a higher one; default false. */
  readonly isPriorityExact?: boolean;
}

/** Told what happens in a queue. */
export interface QueueMeasure {
  /** A key waits from now on. */
  added(key: string): void;
  retried(key: string): void;
  /** A key was taken after so long. */
  waited(key: string, durationMs: number): void;
  worked(key: string, durationMs: number): void;
  /** Told once how to learn when each key that is being processed was taken, by `performance.now()`. */
  running(startsMs: () => Iterable<readonly [key: string, startMs: number]>): void;
}

/** `burst` at once, then `perSecond`. */
export interface RetryRate {
  readonly perSecond: number;
  readonly burst: number;
}

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** Items processed at a time; default 1. */
  readonly concurrency?: number;
  /** Wait before the next try of an item that failed; default 5 ms doubling up to 1 000 s. */
  readonly backoff?: Backoff;
  /** How many failures of all objects together may come back at a time; without it each object waits by itself. */
  readonly retryRate?: RetryRate;
  /** Called when the queue starts or ends being busy. */
  readonly onIdle?: () => void;
  /** Whom the queue shares its thread with; default nobody. */
  readonly turns?: Turns;
  /** Default `normal`. */
  readonly urgency?: Urgency;
  readonly measure?: QueueMeasure;
}

interface Item<K> {
  readonly key: K;
  priority: number;
  readonly addedMs: number;
}

/**
 * A queue of keys in which each key stands once: added again while waiting it stays one, added while being processed it
 * is processed once more afterwards. Failures come back with exponential backoff.
 */
export class WorkQueue<K extends string> {
  readonly #clock: Clock;
  readonly #concurrency: number;
  readonly #backoff: Backoff;
  readonly #retries: TokenBucket | undefined;
  readonly #process: (key: K) => Promise<void>;
  readonly #onIdle: (() => void) | undefined;
  readonly #turns: Turns;
  readonly #urgency: Urgency;
  readonly #measure: QueueMeasure | undefined;
  readonly #ready = new Map<number, Map<K, Item<K>>>();
  #priorities: number[] = [];
  readonly #priorityOf = new Map<K, number>();
  /** What is being processed, and since when. */
  readonly #active = new Map<K, number>();
  readonly #again = new Map<K, number>();
  readonly #delayed = new Map<K, { readonly timer: Timer; readonly dueMs: number; readonly priority: number }>();
  readonly #failures = new Map<K, number>();
  #isStarted = false;
  #isStopped = false;
  #processed = 0;
  #idle: (() => void)[] = [];

  constructor(options: WorkQueueOptions, process: (key: K) => Promise<void>) {
    this.#clock = options.clock;
    this.#concurrency = options.concurrency ?? 1;
    const { retryRate, clock } = options;
    this.#retries = retryRate === undefined ? undefined : new TokenBucket({ clock, ...retryRate });
    this.#backoff = options.backoff ?? exponentialBackoff({ baseMs: 5, maxMs: 1_000_000 });
    this.#process = process;
    this.#onIdle = options.onIdle;
    this.#turns = options.turns ?? new Turns();
    this.#urgency = options.urgency ?? "normal";
    this.#measure = options.measure;
    this.#measure?.running(() => this.#active);
  }

  /** Waiting and running items; delayed ones are not counted. */
  get depth(): number {
    return this.#priorityOf.size + this.#active.size;
  }

  get delayed(): number {
    return this.#delayed.size;
  }

  /** Items processed since the start. */
  get processed(): number {
    return this.#processed;
  }

  add(key: K, options: AddOptions = {}): void {
    if (this.#isStopped) return;
    const { priority = PRIORITY_NORMAL, afterMs = 0, isPriorityExact = false } = options;
    if (afterMs > 0) {
      this.#addLater(key, afterMs, priority);
      return;
    }
    const waiting = this.#delayed.get(key);
    if (waiting !== undefined) {
      waiting.timer.cancel();
      this.#delayed.delete(key);
    }
    if (this.#active.has(key)) {
      const again = this.#again.get(key);
      this.#again.set(key, isPriorityExact || again === undefined ? priority : Math.max(priority, again));
      return;
    }
    const present = this.#priorityOf.get(key);
    if (present === undefined) this.#addNew(key, priority);
    else {
      if (isPriorityExact ? present === priority : present >= priority) return;
      // It waits already, and goes on waiting elsewhere.
      const item = this.#ready.get(present)?.get(key) as Item<K>;
      this.#ready.get(present)?.delete(key);
      this.#enqueue({ ...item, priority });
    }
    this.#pump();
  }

  /** Adds the key after its backoff, and counts a failure. */
  addFailed(key: K, priority = PRIORITY_NORMAL): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#measure?.retried(key);
    const ownMs = this.#backoff(failures);
    this.#addLater(key, Math.max(ownMs, this.#retries?.reserveMs() ?? 0), priority);
  }

  failuresOf(key: K): number {
    return this.#failures.get(key) ?? 0;
  }

  /** Forgets the failures of a key. */
  forget(key: K): void {
    this.#failures.delete(key);
  }

  start(): void {
    this.#isStarted = true;
    // A queue with nothing to do has nobody wait for its turn.
    if (this.#priorityOf.size > 0) this.#pump();
  }

  /** Takes nothing new and resolves when what runs has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const { timer } of this.#delayed.values()) timer.cancel();
    this.#delayed.clear();
    this.#ready.clear();
    this.#priorityOf.clear();
    this.#priorities = [];
    await this.whenIdle();
  }

  /** Resolves when nothing waits and nothing runs; delayed items do not count. */
  whenIdle(): Promise<void> {
    if (this.depth === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #addLater(key: K, afterMs: number, priority: number): void {
    if (this.#isStopped) return;
    const dueMs = this.#clock.monotonicMs() + afterMs;
    const present = this.#delayed.get(key);
    if (present !== undefined) {
      if (present.dueMs <= dueMs) return;
      present.timer.cancel();
    }
    const timer = this.#clock.after(afterMs, () => {
      this.#delayed.delete(key);
      this.add(key, { priority });
    });
    this.#delayed.set(key, { timer, dueMs, priority });
  }

  #addNew(key: K, priority: number): void {
    this.#enqueue({ key, priority, addedMs: performance.now() });
    this.#measure?.added(key);
  }

  #enqueue(item: Item<K>): void {
    const { key, priority } = item;
    this.#priorityOf.set(key, priority);
    let level = this.#ready.get(priority);
    if (level === undefined) {
      level = new Map();
      this.#ready.set(priority, level);
      this.#priorities.push(priority);
      this.#priorities.sort((a, b) => b - a);
    }
    level.set(key, item);
  }

  #take(): K | undefined {
    for (const priority of this.#priorities) {
      const level = this.#ready.get(priority);
      if (level === undefined || level.size === 0) continue;
      for (const [key, { addedMs }] of level) {
        level.delete(key);
        this.#priorityOf.delete(key);
        this.#measure?.waited(key, performance.now() - addedMs);
        return key;
      }
    }
    return undefined;
  }

  #pump(): void {
    if (this.#isStarted) this.#turns.ask(this.#turn, this.#urgency);
  }

  /** Starts as many items as may run, then yields, so that timers and sockets are served between turns. */
  readonly #turn: Turn = (share) => {
    while (this.#active.size < this.#concurrency) {
      if (share.items <= 0) return this.#priorityOf.size > 0;
      const key = this.#take();
      if (key === undefined) return false;
      const startedMs = this.#measure === undefined ? 0 : performance.now();
      this.#active.set(key, startedMs);
      share.items--;
      void this.#runOne(key, startedMs);
      if (performance.now() > share.endMs) return this.#priorityOf.size > 0 && this.#active.size < this.#concurrency;
    }
    return false;
  };

  async #runOne(key: K, startedMs: number): Promise<void> {
    const urgency = this.#urgency;
    if (urgency !== "background") this.#turns.began(urgency);
    try {
      await this.#process(key);
    } finally {
      if (urgency !== "background") this.#turns.ended(urgency);
      this.#measure?.worked(key, performance.now() - startedMs);
      this.#processed++;
      this.#active.delete(key);
      const again = this.#again.get(key);
      this.#again.delete(key);
      if (again !== undefined && !this.#isStopped) {
        const waiting = this.#delayed.get(key);
        waiting?.timer.cancel();
        this.#delayed.delete(key);
        this.#addNew(key, again);
      }
      if (this.#priorityOf.size > 0) this.#pump();
      else if (this.#active.size === 0) {
        const idle = this.#idle;
        this.#idle = [];
        for (const wake of idle) wake();
        this.#onIdle?.();
      }
    }
  }
}
