import { status } from "@grpc/grpc-js";
import type { Backend, Entry, ListOptions, ListResult, Operation, TxnResult } from "../backend.ts";
import { ChangeLog } from "../change-log.ts";
import { compacted, StoreError } from "../errors.ts";
import { codeOf, EtcdConnection, type EtcdOptions } from "./connection.ts";
import { LeasePool } from "./leases.ts";
import { compact, type KeyValue, range, txn } from "./messages.ts";
import { ChangeFeed } from "./change-feed.ts";

/** Entries read at a time, so that no answer is larger than gRPC likes. */
const PAGE = 1_000;
/** A write waits this long for its own report; etcd reports within a millisecond unless the stream is being renewed. */
const REPORT_MS = 5_000;
const MODIFIED = 2;

/**
 * A store on an etcd cluster, in Kubernetes' own layout: keys are keys, revisions are etcd's. One stream reports every
 * change, of this process and of all others; what a transaction acknowledged has been reported here before.
 */
export async function openEtcdBackend(options: EtcdOptions): Promise<Backend> {
  const connection = new EtcdConnection(options);
  const leases = new LeasePool(connection);
  let log: ChangeLog;
  let revision: number;
  try {
    const { header } = await connection.ask(range, { key: Buffer.from("\0"), countOnly: true });
    revision = header?.revision ?? 1;
    log = new ChangeLog(revision);
  } catch (error) {
    connection.close();
    throw asStoreError(error, options);
  }
  let isClosed = false;
  /** Values this process has sent, so that what comes back is the same piece of memory. */
  const sent = new Map<string, Uint8Array>();
  let waiting: { readonly revision: number; readonly wake: () => void }[] = [];

  const feed = new ChangeFeed(connection, revision, {
    changes: (changes, seen) => {
      revision = seen;
      log.append(
        changes.map((change) => {
          const own = sent.get(change.key);
          return own !== undefined && change.value !== undefined && Buffer.compare(own, change.value) === 0
            ? { ...change, value: own }
            : change;
        }),
      );
      const due = waiting.filter((waiter) => waiter.revision <= seen);
      if (due.length === 0) return;
      waiting = waiting.filter((waiter) => waiter.revision > seen);
      for (const { wake } of due) wake();
    },
    lost: (oldest, now) => {
      // Nobody can say what was missed: watchers are told so and read everything anew.
      const stale = log;
      revision = now;
      log = new ChangeLog(now);
      stale.close(compacted(oldest - 1, oldest));
    },
  });

  function reported(at: number): Promise<void> {
    if (revision >= at || isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, REPORT_MS);
      waiting.push({
        revision: at,
        wake: () => {
          clearTimeout(timer);
          resolve();
        },
      });
    });
  }

  let asking: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const askRevision = async () => {
    const { header } = await connection.ask(range, { key: Buffer.from("\0"), countOnly: true });
    await reported(header?.revision ?? 0);
  };

  const guard = async <T>(work: () => Promise<T>): Promise<T> => {
    if (isClosed) throw new StoreError("STORE_CLOSED", "the store is closed");
    try {
      return await work();
    } catch (error) {
      throw asStoreError(error, options);
    }
  };

  return {
    get revision() {
      return revision;
    },
    get compactedRevision() {
      return log.compactedRevision;
    },
    get: (key) =>
      guard(async () => {
        const { kvs = [] } = await connection.ask(range, { key: Buffer.from(key) });
        return kvs[0] === undefined ? undefined : entryOf(kvs[0]);
      }),
    list: (prefix, listOptions = {}) => guard(() => list(connection, prefix, listOptions)),
    txn: (operations) =>
      guard(async () => {
        const lease = await leases.of(operations);
        for (const operation of operations) if (operation.type === "put") sent.set(operation.key, operation.value);
        try {
          const result = await commit(connection, operations, lease);
          if (result.ok) await reported(result.revision);
          return result;
        } finally {
          for (const operation of operations)
            if (operation.type === "put" && sent.get(operation.key) === operation.value) sent.delete(operation.key);
        }
      }),
    watch: (prefix, after, sink) => log.watch(prefix, after, sink),
    // A question under way may have been answered before the caller's predecessor wrote: only the next one counts.
    settle: () =>
      guard(() => {
        if (asking === undefined) {
          asking = askRevision().finally(() => {
            asking = undefined;
          });
          return asking;
        }
        next ??= asking
          .catch(() => {})
          .then(() => {
            next = undefined;
            asking ??= askRevision().finally(() => {
              asking = undefined;
            });
            return asking;
          });
        return next;
      }),
    expiresLeases: true,
    compact: (upTo) =>
      guard(async () => {
        log.compact(upTo);
        try {
          await connection.ask(compact, { revision: upTo });
        } catch (error) {
          // Somebody else has compacted as far already.
          if (codeOf(error) !== status.OUT_OF_RANGE) throw error;
        }
      }),
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      await feed.stop();
      log.close();
      for (const { wake } of waiting.splice(0)) wake();
      connection.close();
    },
  };
}

async function list(connection: EtcdConnection, prefix: string, { limit, after }: ListOptions): Promise<ListResult> {
  const entries: Entry[] = [];
  const rangeEnd = endOf(Buffer.from(prefix));
  let key =
    after !== undefined && after >= prefix
      ? Buffer.concat([Buffer.from(after), Buffer.from([0])])
      : Buffer.from(prefix);
  let at = 0;
  for (;;) {
    const page = limit === undefined ? PAGE : Math.min(PAGE, limit - entries.length);
    const {
      header,
      kvs = [],
      more,
    } = await connection.ask(range, {
      key,
      rangeEnd,
      limit: page,
      ...(at === 0 ? {} : { revision: at }),
    });
    // All pages are of the first one's revision.
    if (at === 0) at = header?.revision ?? 0;
    for (const kv of kvs) entries.push(entryOf(kv));
    const last = kvs[kvs.length - 1];
    if (more !== true || last === undefined) return { entries, revision: at, hasMore: false };
    if (limit !== undefined && entries.length >= limit) return { entries, revision: at, hasMore: true };
    key = Buffer.concat([last.key, Buffer.from([0])]);
  }
}

async function commit(
  connection: EtcdConnection,
  operations: readonly Operation[],
  lease: string | undefined,
): Promise<TxnResult> {
  let isRepeated = false;
  const answer = await connection.ask(
    txn,
    {
      compare: operations.flatMap(({ key, expected }) =>
        expected === undefined ? [] : [{ result: 0, target: MODIFIED, key: Buffer.from(key), modRevision: expected }],
      ),
      success: operations.map((operation) =>
        operation.type === "put"
          ? {
              requestPut: {
                key: Buffer.from(operation.key),
                value: operation.value,
                ...(lease !== undefined && operation.leaseSeconds !== undefined ? { lease } : {}),
              },
            }
          : { requestDeleteRange: { key: Buffer.from(operation.key) } },
      ),
      failure: operations.map(({ key }) => ({ requestRange: { key: Buffer.from(key) } })),
    },
    () => {
      isRepeated = true;
    },
  );
  const revision = answer.header?.revision ?? 0;
  if (answer.succeeded === true) return { ok: true, revision };
  const found = operations.map((_operation, at) => {
    const kv = answer.responses?.[at]?.responseRange?.kvs?.[0];
    return kv === undefined ? undefined : entryOf(kv);
  });
  // A request that was sent again may have been carried out the first time: then everything is as it asked for.
  if (
    isRepeated &&
    operations.every((operation, at) =>
      operation.type === "put"
        ? found[at] !== undefined && Buffer.compare((found[at] as Entry).value, operation.value) === 0
        : found[at] === undefined,
    )
  )
    return { ok: true, revision: Math.max(...found.map((entry) => entry?.revision ?? 0)) || revision };
  const lost = operations.findIndex(
    ({ expected }, at) => expected !== undefined && (found[at]?.revision ?? 0) !== expected,
  );
  const at = Math.max(0, lost);
  return { ok: false, key: (operations[at] as Operation).key, found: found[at] };
}

const entryOf = (kv: KeyValue): Entry => ({
  key: Buffer.from(kv.key).toString("utf8"),
  value: kv.value ?? new Uint8Array(),
  revision: kv.modRevision,
  createRevision: kv.createRevision,
});

/** The first key after all keys with a prefix; for none, the end of the key space. */
function endOf(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  for (let at = end.length - 1; at >= 0; at--)
    if ((end[at] as number) < 0xff) {
      end[at] = (end[at] as number) + 1;
      return end.subarray(0, at + 1);
    }
  return Buffer.from([0]);
}

function asStoreError(error: unknown, { endpoints }: EtcdOptions): Error {
  if (error instanceof StoreError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const isFull = /database space exceeded/i.test(message);
  return new StoreError(
    isFull ? "STORE_WRITE_FAILED" : "STORE_UNAVAILABLE",
    `etcd at ${endpoints.join(", ")}: ${message}`,
    { cause: error },
  );
}
