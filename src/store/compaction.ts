import type { Clock, Logger, Timer } from "#base";
import type { Backend } from "./backend.ts";

/** kube-apiserver keeps the same note under the same key, so that the two take turns on one etcd (wire). */
const KEY = "compact_rev_key";

export interface CompactionOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly intervalMs: number;
}

/**
 * Lets a store that others share forget what is older than an interval. All replicas look once an interval, and leave a note
 * with the present revision; who finds that nobody wrote one since the last look writes the next, and compacts up to the one
 * before. So one does it in an interval, nobody needs to lead, and whoever fell behind by less than that misses nothing.
 * Gives what ends it.
 */
export function startCompaction(backend: Backend, { clock, log, intervalMs }: CompactionOptions): () => void {
  /** The note as it was at the last look: its own revision, and the one that stands in it. */
  let seen = { at: 0, revision: 0 };
  let isStopped = false;
  let timer: Timer | undefined;

  async function look(): Promise<void> {
    const found = await backend.get(KEY);
    const present =
      found === undefined ? { at: 0, revision: 0 } : { at: found.revision, revision: numberIn(found.value) };
    if (present.at !== seen.at) {
      seen = present;
      return;
    }
    const { revision } = backend;
    const written = await backend.txn([
      { type: "put", key: KEY, value: Buffer.from(String(revision)), expected: seen.at },
    ]);
    if (!written.ok) {
      seen =
        written.found === undefined ? seen : { at: written.found.revision, revision: numberIn(written.found.value) };
      return;
    }
    const before = seen.revision;
    seen = { at: written.revision, revision };
    if (before === 0 || isStopped) return;
    await backend.compact(before);
    log.info("the store forgot what is older than an interval", { revision: before });
  }

  const again = () => {
    timer = clock.after(intervalMs, () => {
      look()
        .catch((error: unknown) => {
          if (!isStopped) log.warn("the store could not be compacted", { error });
        })
        .finally(() => {
          if (!isStopped) again();
        });
    });
  };
  again();
  return () => {
    isStopped = true;
    timer?.cancel();
  };
}

function numberIn(value: Uint8Array): number {
  const number = Number(Buffer.from(value).toString("utf8"));
  return Number.isSafeInteger(number) && number > 0 ? number : 0;
}
