import type { Backend, BackendChange, Entry, ListOptions, ListResult, Operation, TxnResult } from "./backend.ts";
import { ChangeLog } from "./change-log.ts";
import { StoreError } from "./errors.ts";
import { KeyIndex } from "./key-index.ts";
import { LeaseTable } from "./lease-table.ts";
import { PackedValues, type ValuePlace } from "./packed-values.ts";

interface Kept {
  readonly key: string;
  readonly place: ValuePlace;
  readonly revision: number;
  readonly createRevision: number;
}

/** A store that lives and dies with the process: for tests and for simulated members. */
export function createMemoryBackend(): Backend {
  const entries = new Map<string, Kept>();
  const values = new PackedValues();
  const keys = new KeyIndex();
  const log = new ChangeLog(0);
  let revision = 1;
  let isClosed = false;

  const shown = ({ key, place, revision, createRevision }: Kept): Entry => ({
    key,
    value: values.at(place),
    revision,
    createRevision,
  });
  const read = (key: string): Entry | undefined => {
    const kept = entries.get(key);
    return kept === undefined ? undefined : shown(kept);
  };

  const leases = new LeaseTable((key, revision) => backend.txn([{ type: "delete", key, expected: revision }]));

  const backend: Backend = {
    get revision() {
      return revision;
    },
    get compactedRevision() {
      return log.compactedRevision;
    },
    get: (key) => Promise.resolve(read(key)),
    peek(key, use) {
      const found = read(key);
      return found === undefined ? undefined : use(found);
    },
    list(prefix: string, options: ListOptions = {}): Promise<ListResult> {
      const found: Entry[] = [];
      let hasMore = false;
      for (const key of keys.range(prefix, options.after)) {
        if (options.limit !== undefined && found.length >= options.limit) {
          hasMore = true;
          break;
        }
        found.push(shown(entries.get(key) as Kept));
      }
      return Promise.resolve({ entries: found, revision, hasMore });
    },
    txn(operations: readonly Operation[]): Promise<TxnResult> {
      if (isClosed) return Promise.reject(new StoreError("STORE_CLOSED", "the store is closed"));
      for (const { key, expected } of operations) {
        const found = entries.get(key);
        if (expected !== undefined && (found?.revision ?? 0) !== expected)
          return Promise.resolve({ ok: false, key, found: found && shown(found) });
      }
      const changes: BackendChange[] = [];
      const next = revision + 1;
      for (const operation of operations) {
        const { key } = operation;
        const before = entries.get(key);
        const previous = before && values.at(before.place);
        if (before !== undefined) values.delete(before.place);
        if (operation.type === "put") {
          entries.set(key, {
            key,
            place: values.put(operation.value),
            revision: next,
            createRevision: before?.createRevision ?? next,
          });
          leases.note(key, next, operation.leaseSeconds);
          if (before === undefined) keys.add(key);
          changes.push({
            type: "put",
            key,
            revision: next,
            value: operation.value,
            ...(previous && { previous }),
          });
        } else if (before !== undefined) {
          entries.delete(key);
          leases.note(key, next, undefined);
          keys.delete(key);
          changes.push({
            type: "delete",
            key,
            revision: next,
            ...(previous && { previous }),
          });
        }
      }
      if (changes.length > 0) {
        revision = next;
        log.append(changes);
      }
      return Promise.resolve({ ok: true, revision });
    },
    watch: (prefix, after, sink) => log.watch(prefix, after, sink),
    compact(upTo) {
      log.compact(upTo);
      return Promise.resolve();
    },
    close() {
      isClosed = true;
      leases.stop();
      log.close();
      return Promise.resolve();
    },
  };
  return backend;
}
