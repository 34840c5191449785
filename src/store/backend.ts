/**
 * The store's one interface: a revisioned, ordered key-value log. Every successful transaction gets the next revision;
 * revisions never run backwards, also not over restarts. Drivers: memory, file (lmdb), etcd.
 */
export interface Backend {
  /** The newest revision that was reported to watchers; 1 when nothing was ever written. */
  readonly revision: number;
  get(key: string): Promise<Entry | undefined>;
  /**
   * Shows the entry as watchers know it, at once: while they are told of a revision, as of that revision. Its value is
   * good for the call only, and nothing else is read in it. Gives what `use` gives. Absent where values lie in another
   * process; then whoever needs them at once keeps them.
   */
  peek?<T>(key: string, use: (entry: Entry) => T): T | undefined;
  /** Entries below `prefix` in byte order of their keys. */
  list(prefix: string, options?: ListOptions): Promise<ListResult>;
  /**
   * Applies all operations if every condition holds, in one revision. Resolves when the change is durable. A condition
   * that fails changes nothing and answers with the entry found.
   */
  txn(operations: readonly Operation[]): Promise<TxnResult>;
  /**
   * Reports changes below `prefix` after revision `after`, in order, then live ones. A revision that was compacted is
   * reported by `closed(new CompactedError(…))`.
   */
  watch(prefix: string, after: number, sink: BackendWatchSink): BackendWatch;
  /** Forgets changes up to and including `revision`. */
  compact(revision: number): Promise<void>;
  /**
   * Resolves when everything committed before the call, by anybody, has been reported to watchers. Absent where nobody
   * but this process writes.
   */
  settle?(): Promise<void>;
  /** Whether puts with `leaseSeconds` end by themselves; otherwise the caller removes them. */
  readonly expiresLeases?: boolean;
  /** Why nothing can be written any more, such as a full disk; what was read before is still there. */
  readonly failure?: Error | undefined;
  /** The oldest revision changes can be watched from. */
  readonly compactedRevision: number;
  close(): Promise<void>;
}

export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  /** Revision of the last change. */
  readonly revision: number;
  readonly createRevision: number;
}

export interface ListOptions {
  readonly limit?: number;
  /** Only keys greater than this one. */
  readonly after?: string;
  /** Leaves values empty, for readers that ask for them one by one with `peek`. */
  readonly omitsValues?: boolean;
}

export interface ListResult {
  readonly entries: readonly Entry[];
  /** The revision the list was made at. */
  readonly revision: number;
  readonly hasMore: boolean;
}

/** `expected`: revision the key must have, 0 for absent; left out for no condition. */
export type Operation =
  | {
      readonly type: "put";
      readonly key: string;
      readonly value: Uint8Array;
      readonly expected?: number;
      readonly leaseSeconds?: number;
    }
  | { readonly type: "delete"; readonly key: string; readonly expected?: number };

export type TxnResult =
  | { readonly ok: true; readonly revision: number }
  | { readonly ok: false; readonly key: string; readonly found: Entry | undefined };

export interface BackendChange {
  readonly type: "put" | "delete";
  readonly key: string;
  readonly revision: number;
  /** The new value of a put. */
  readonly value?: Uint8Array;
  /** The value before, from drivers with `peek`, for which this is the last chance to have it. */
  readonly previous?: Uint8Array;
}

export interface BackendWatchSink {
  changes(changes: readonly BackendChange[]): void;
  closed(error?: Error): void;
}

export interface BackendWatch {
  stop(): void;
}
