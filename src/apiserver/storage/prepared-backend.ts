import type {
  Backend,
  BackendChange,
  BackendWatch,
  BackendWatchSink,
  Entry,
  ListOptions,
  ListResult,
  Operation,
  TxnResult,
} from "#store";

/** Asks for what a value needs before it can be opened; `undefined` when it can be at once. */
export type PrepareValue = (key: string, value: Uint8Array) => Promise<void> | undefined;

/**
 * A backend that hands values on only when they can be opened: a key manager may have to be asked for the key of a value
 * that another replica wrote. Changes keep their order, and none is shown before those in front of it.
 */
export class PreparedBackend implements Backend {
  readonly #inner: Backend;
  readonly #prepare: PrepareValue;
  readonly settle?: () => Promise<void>;
  /** The revision that was handed on while changes wait; undefined when none does. */
  #shown: number | undefined;
  #waiting: Promise<void> | undefined;

  constructor(inner: Backend, prepare: PrepareValue) {
    this.#inner = inner;
    this.#prepare = prepare;
    if (inner.settle !== undefined)
      this.settle = async () => {
        await inner.settle?.();
        await this.#waiting;
      };
  }

  get revision(): number {
    return this.#shown ?? this.#inner.revision;
  }

  get compactedRevision(): number {
    return this.#inner.compactedRevision;
  }

  get failure(): Error | undefined {
    return this.#inner.failure;
  }

  get expiresLeases(): boolean {
    return this.#inner.expiresLeases === true;
  }

  async get(key: string): Promise<Entry | undefined> {
    const entry = await this.#inner.get(key);
    if (entry !== undefined) await this.#prepare(key, entry.value);
    return entry;
  }

  async list(prefix: string, options?: ListOptions): Promise<ListResult> {
    const result = await this.#inner.list(prefix, options);
    for (const { key, value } of result.entries) await this.#prepare(key, value);
    return result;
  }

  async txn(operations: readonly Operation[]): Promise<TxnResult> {
    const result = await this.#inner.txn(operations);
    if (!result.ok && result.found !== undefined) await this.#prepare(result.key, result.found.value);
    return result;
  }

  watch(prefix: string, after: number, sink: BackendWatchSink): BackendWatch {
    let isStopped = false;
    const hand = (changes: readonly BackendChange[]) => {
      if (!isStopped) sink.changes(changes);
    };
    const inner = this.#inner.watch(prefix, after, {
      changes: (changes) => {
        const asked = this.#waiting === undefined ? this.#unprepared(changes) : [];
        if (this.#waiting === undefined && asked.length === 0) return hand(changes);
        const first = changes[0]?.revision ?? this.revision;
        this.#shown ??= first - 1;
        const turn: Promise<void> = (this.#waiting ?? Promise.resolve())
          .then(() => Promise.allSettled(asked.length > 0 ? asked : this.#unprepared(changes)))
          .then(() => {
            this.#shown = changes[changes.length - 1]?.revision ?? this.#shown;
            hand(changes);
            if (this.#waiting === turn) {
              this.#waiting = undefined;
              this.#shown = undefined;
            }
          });
        this.#waiting = turn;
      },
      closed: (error) => {
        if (this.#waiting === undefined) sink.closed(error);
        else void this.#waiting.then(() => sink.closed(error));
      },
    });
    return {
      stop() {
        isStopped = true;
        inner.stop();
      },
    };
  }

  #unprepared(changes: readonly BackendChange[]): readonly Promise<void>[] {
    return changes.flatMap(({ key, value }) => {
      const asked = value === undefined ? undefined : this.#prepare(key, value);
      return asked === undefined ? [] : [asked];
    });
  }

  compact(revision: number): Promise<void> {
    return this.#inner.compact(revision);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
