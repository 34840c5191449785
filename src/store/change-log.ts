import type { BackendChange, BackendWatch, BackendWatchSink } from "./backend.ts";
import { compacted } from "./errors.ts";

/**
 * Changes kept for watchers that come later, and the bytes of their values. Few: an API server follows the log from its
 * start, and it is the server that keeps what its own clients missed.
 */
const HISTORY_MAX = 10_000;
const HISTORY_BYTES_MAX = 64 * 1024;

/** What a change keeps from being given back. */
const sizeOf = (change: BackendChange) => ("value" in change ? (change.value?.byteLength ?? 0) : 0);

function withoutPrevious(change: BackendChange): BackendChange {
  if (change.previous === undefined) return change;
  const { previous: _previous, ...kept } = change;
  return kept;
}

/** The recent changes of an embedded driver and the watchers of all later ones. */
export class ChangeLog {
  #history: (BackendChange | undefined)[] = [];
  #start = 0;
  #bytes = 0;
  #compactedRevision: number;
  readonly #watchers = new Set<{ readonly prefix: string; readonly sink: BackendWatchSink }>();

  constructor(compactedRevision: number) {
    this.#compactedRevision = compactedRevision;
  }

  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  /** Adds the changes of one or several revisions and tells the watchers. */
  append(changes: readonly BackendChange[]): void {
    for (const change of changes) {
      this.#history.push(withoutPrevious(change));
      this.#bytes += sizeOf(change);
    }
    while (this.#history.length > this.#start) {
      if (this.#history.length - this.#start <= HISTORY_MAX && this.#bytes <= HISTORY_BYTES_MAX) break;
      const oldest = this.#history[this.#start] as BackendChange;
      // What has left the history is given back at once; the array itself is cut when half of it is empty.
      this.#history[this.#start++] = undefined;
      this.#bytes -= sizeOf(oldest);
      this.#compactedRevision = oldest.revision;
    }
    if (this.#start > HISTORY_MAX) {
      this.#history = this.#history.slice(this.#start);
      this.#start = 0;
    }
    for (const watcher of [...this.#watchers]) {
      const own = changes.filter((change) => change.key.startsWith(watcher.prefix));
      if (own.length > 0) watcher.sink.changes(own);
    }
  }

  watch(prefix: string, after: number, sink: BackendWatchSink): BackendWatch {
    if (after < this.#compactedRevision) {
      queueMicrotask(() => sink.closed(compacted(after, this.#compactedRevision)));
      return { stop() {} };
    }
    const watcher = { prefix, sink };
    const past = this.#past().filter((change) => change.revision > after && change.key.startsWith(prefix));
    if (past.length > 0) sink.changes(past);
    this.#watchers.add(watcher);
    return { stop: () => this.#watchers.delete(watcher) };
  }

  compact(revision: number): void {
    if (revision <= this.#compactedRevision) return;
    this.#compactedRevision = revision;
    this.#history = this.#past().filter((change) => change.revision > revision);
    this.#start = 0;
    this.#bytes = this.#past().reduce((sum, change) => sum + sizeOf(change), 0);
  }

  #past(): readonly BackendChange[] {
    return this.#history.slice(this.#start) as readonly BackendChange[];
  }

  close(error?: Error): void {
    for (const watcher of [...this.#watchers]) watcher.sink.closed(error);
    this.#watchers.clear();
  }
}
