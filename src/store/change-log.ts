import type { BackendChange, BackendWatch, BackendWatchSink } from "./backend.ts";
import { compacted } from "./errors.ts";

/** Changes kept for watchers that come later or fall behind. */
const HISTORY_MAX = 20_000;

/** The recent changes of an embedded driver and the watchers of all later ones. */
export class ChangeLog {
  #history: BackendChange[] = [];
  #start = 0;
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
    for (const change of changes) this.#history.push(change);
    const excess = this.#history.length - this.#start - HISTORY_MAX;
    if (excess > 0) {
      this.#start += excess;
      this.#compactedRevision = (this.#history[this.#start - 1] as BackendChange).revision;
      // Cutting the array costs its length, so it is done once per half of it.
      if (this.#start > HISTORY_MAX) {
        this.#history = this.#history.slice(this.#start);
        this.#start = 0;
      }
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
    const past = this.#history
      .slice(this.#start)
      .filter((change) => change.revision > after && change.key.startsWith(prefix));
    if (past.length > 0) sink.changes(past);
    this.#watchers.add(watcher);
    return { stop: () => this.#watchers.delete(watcher) };
  }

  compact(revision: number): void {
    if (revision <= this.#compactedRevision) return;
    this.#compactedRevision = revision;
    let at = this.#start;
    while (at < this.#history.length && (this.#history[at] as BackendChange).revision <= revision) at++;
    this.#history = this.#history.slice(at);
    this.#start = 0;
  }

  close(error?: Error): void {
    for (const watcher of [...this.#watchers]) watcher.sink.closed(error);
    this.#watchers.clear();
  }
}
