import { closeSync, existsSync, fsyncSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { open, type RootDatabase } from "lmdb";
import type { Backend, BackendChange, Entry, ListOptions, ListResult, Operation, TxnResult } from "./backend.ts";
import { ChangeLog } from "./change-log.ts";
import { StoreError } from "./errors.ts";
import { makeFolder } from "./folder.ts";
import { LeaseTable } from "./lease-table.ts";
import { mappedBytes } from "./mapped-bytes.ts";

/** The layout of a data folder; a folder of a newer one is left alone. */
export const FORMAT = 1;

/** What stands before each value: revision of the last change and of creation, as two float64. */
const HEADER_BYTES = 16;
const REVISION_KEY = "\u0000revision";
/** Entries whose revisions are remembered, those last written or read, so that a condition is checked without a read. */
const HEADS_MAX = 65_536;
/** How much of the map may be in memory before it is let go, and how much is read or written between two looks at it. */
const MAPPED_MAX = 8 * 1024 * 1024;
const LOOKS_PER_MAX = 4;
/** So many times as much may be there for a while: letting go holds up who writes, and a burst is soon over. */
const MAPPED_BURST = 4;
const MAPPED_BURST_MS = 5_000;
/** What the system brings in with the page that is asked for, where its neighbours are at hand. */
const BROUGHT_BYTES = 32 * 1024;
/** Before the key of an entry: when its lease ends and which revision it belongs to, as two float64. */
const LEASE_PREFIX = "\u0000lease";

/**
 * A store in a folder, made of one lmdb map. What was acknowledged is on disk: a transaction resolves only after lmdb has
 * flushed it, and many that come together share one flush.
 */
export function openFileBackend(
  folder: string,
  {
    mappedMaxBytes = MAPPED_MAX,
    mappedBurstMs = MAPPED_BURST_MS,
  }: { readonly mappedMaxBytes?: number; readonly mappedBurstMs?: number } = {},
): Backend {
  prepareFolder(folder);
  const release = lock(folder);
  let db: RootDatabase<Buffer, string>;
  try {
    db = openMap(folder);
  } catch (error) {
    release();
    throw new StoreError("STORE_UNREADABLE", `the store in ${folder} cannot be opened: ${text(error)}`, {
      cause: error,
    });
  }
  if (openStores++ === 0) process.on("unhandledRejection", onUnhandled);
  const stored = db.get(REVISION_KEY);
  let revision = stored === undefined ? 1 : stored.readDoubleLE(0);
  /** The newest revision that is on disk and reported; `revision` runs ahead of it by what is being written. */
  let settled = revision;
  const log = new ChangeLog(revision);
  /**
   * Entries written but not yet reported: as a later transaction sees them, and as watchers know them. lmdb may show one or
   * the other meanwhile.
   */
  const overlay = new Map<string, { entry: Entry | undefined; readonly revision: number; known: Entry | undefined }>();
  const show = (key: string) => {
    const written = overlay.get(key);
    if (written === undefined) return;
    overlay.delete(key);
    // The table of a map that grew old keeps what stood in it for a while: let that be little.
    written.entry = written.known = undefined;
  };
  let pending: {
    readonly changes: readonly FileChange[];
    readonly leases: readonly LeaseRecord[];
    readonly revision: number;
    readonly done: () => void;
    readonly failed: (error: Error) => void;
  }[] = [];
  let flushing: Promise<void> = Promise.resolve();
  let isFlushing = false;
  let isClosed = false;
  let broken: Error | undefined;

  const heads = new Map<string, Head>();
  /** Goes on where it was: from the start of a map it would pass, each time, all that was taken out there. */
  const oldest = heads.keys();
  const remember = (key: string, head: Head) => {
    heads.delete(key);
    heads.set(key, head);
    if (heads.size > HEADS_MAX) heads.delete(oldest.next().value as string);
  };
  /** Revisions of the entry a transaction finds; also of one that is not on disk yet. */
  const headOf = (key: string): Head | undefined => heads.get(key) ?? read(key);

  const fromMap = (key: string): Entry | undefined => {
    const bytes = db.getBinary(key);
    if (bytes === undefined) return undefined;
    used(broughtBy(bytes));
    return decode(key, bytes);
  };
  const read = (key: string): Entry | undefined => {
    const written = overlay.get(key);
    return written === undefined ? fromMap(key) : written.entry;
  };

  let usedBytes = 0;
  const lookEveryBytes = mappedMaxBytes / LOOKS_PER_MAX;
  let mappedAtOpen = mappedBytes();
  let looking: NodeJS.Immediate | undefined;
  const used = (bytes: number) => {
    usedBytes += bytes;
    if (usedBytes < lookEveryBytes || looking !== undefined || isFlushing) return;
    looking = setImmediate(() => {
      looking = undefined;
      if (isFlushing || isClosed || broken !== undefined || !holdsMuch()) return;
      isFlushing = true;
      flushing = releasePages().then(flush);
    });
  };
  /** When more than the bound was first seen; it is looked at again later, for then there may be nobody who reads or writes. */
  let muchSinceMs: number | undefined;
  let lookAgain: NodeJS.Timeout | undefined;
  const holdsMuch = () => {
    usedBytes = 0;
    const bytes = mappedBytes() - mappedAtOpen;
    if (bytes < mappedMaxBytes) {
      muchSinceMs = undefined;
      return false;
    }
    const nowMs = performance.now();
    muchSinceMs ??= nowMs;
    if (bytes >= MAPPED_BURST * mappedMaxBytes || nowMs - muchSinceMs >= mappedBurstMs) return true;
    lookAgain ??= setTimeout(() => {
      lookAgain = undefined;
      used(lookEveryBytes);
    }, mappedBurstMs).unref();
    return false;
  };
  /**
   * Every page that was looked at counts as memory of this process for as long as the map is open, although the system
   * keeps it anyway for whoever reads the file; so the map is opened anew when much of it is there. It must be called with
   * nothing else to do: closing takes some microtasks, in which nobody else may run.
   */
  async function releasePages(): Promise<void> {
    await db.close();
    db = openMap(folder);
    mappedAtOpen = mappedBytes();
    muchSinceMs = undefined;
  }

  async function flush(): Promise<void> {
    while (pending.length > 0) {
      const batch = pending;
      pending = [];
      const last = batch[batch.length - 1]?.revision ?? revision;
      try {
        for (const { changes, leases: records } of batch) {
          for (const change of changes)
            if (change.type === "put") {
              const { value = NOTHING } = change;
              db.put(change.key, encode(value, change)).catch(ignore);
              usedBytes += broughtBy(value);
            } else db.remove(change.key).catch(ignore);
          for (const { key, revision: of, untilMs } of records)
            if (untilMs === null) db.remove(LEASE_PREFIX + key).catch(ignore);
            else db.put(LEASE_PREFIX + key, leaseBytes(untilMs, of)).catch(ignore);
        }
        const mark = Buffer.alloc(8);
        mark.writeDoubleLE(last, 0);
        await db.put(REVISION_KEY, mark);
        await db.flushed;
      } catch (error) {
        // The map may hold less than this process has promised to later writers: nothing more is accepted.
        broken = new StoreError(
          "STORE_WRITE_FAILED",
          `the store in ${folder} cannot be written: ${await whyOf(error)}`,
          {
            cause: error,
          },
        );
        for (const { failed } of [...batch, ...pending]) failed(broken);
        pending = [];
        break;
      }
      // Watchers and writers learn of a change when it is durable, never before.
      for (const { changes, revision: reported } of batch) {
        for (const { type, key, value = NOTHING, revision: at, createRevision } of changes) {
          const written = overlay.get(key);
          if (written !== undefined)
            written.known = type === "put" ? { key, value, revision: at, createRevision } : undefined;
        }
        settled = reported;
        log.append(changes);
      }
      for (const { changes } of batch)
        for (const { key } of changes) if ((overlay.get(key)?.revision ?? Infinity) <= last) show(key);
      for (const { done } of batch) done();
      if (usedBytes >= lookEveryBytes && holdsMuch()) {
        await new Promise((resolve) => setImmediate(resolve));
        await releasePages();
      }
    }
    isFlushing = false;
  }

  const leases = new LeaseTable((key, expected) => backend.txn([{ type: "delete", key, expected }]));
  for (const { key, value } of db.getRange({ start: LEASE_PREFIX, end: `${LEASE_PREFIX}\uffff` }))
    leases.restore(key.slice(LEASE_PREFIX.length), value.readDoubleLE(8), value.readDoubleLE(0));

  const backend: Backend = {
    get revision() {
      return settled;
    },
    expiresLeases: true,
    get failure() {
      return broken;
    },
    get compactedRevision() {
      return log.compactedRevision;
    },
    get: (key) => Promise.resolve(read(key)),
    peek(key, use) {
      const written = overlay.get(key);
      if (written !== undefined) return written.known === undefined ? undefined : use(written.known);
      // The library's own buffer: the next read overwrites it.
      const bytes = db.getBinaryFast(key);
      if (bytes === undefined) return undefined;
      used(broughtBy(bytes));
      return use(decode(key, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)));
    },
    async list(prefix: string, options: ListOptions = {}): Promise<ListResult> {
      if (isFlushing) await flushing;
      const found: Entry[] = [];
      let hasMore = false;
      const { omitsValues = false } = options;
      const start = options.after !== undefined && options.after >= prefix ? `${options.after}\u0000` : prefix;
      for (const { key, value } of db.getRange({ start, end: `${prefix}\uffff`, snapshot: true })) {
        if (!key.startsWith(prefix)) continue;
        if (options.limit !== undefined && found.length >= options.limit) {
          hasMore = true;
          break;
        }
        usedBytes += value.length;
        const entry = decode(key, value, omitsValues);
        found.push(entry);
        // What is being written is newer than what the list shows.
        if (heads.size < HEADS_MAX && !heads.has(key) && !overlay.has(key))
          heads.set(key, { revision: entry.revision, createRevision: entry.createRevision });
      }
      used(0);
      return { entries: found, revision: settled, hasMore };
    },
    txn(operations: readonly Operation[]): Promise<TxnResult> {
      if (isClosed) return Promise.reject(new StoreError("STORE_CLOSED", "the store is closed"));
      if (broken !== undefined) return Promise.reject(broken);
      const before = operations.map(({ key }) => headOf(key));
      for (const [at, { key, expected }] of operations.entries())
        if (expected !== undefined && (before[at]?.revision ?? 0) !== expected)
          return Promise.resolve({ ok: false, key, found: read(key) });
      const next = revision + 1;
      const changes: FileChange[] = [];
      const records: LeaseRecord[] = [];
      for (const [at, operation] of operations.entries()) {
        const { key } = operation;
        const untilMs = leases.note(key, next, operation.type === "put" ? operation.leaseSeconds : undefined);
        if (untilMs !== undefined) records.push({ key, revision: next, untilMs });
        const old = before[at];
        const writing = overlay.get(key);
        const found = old === undefined ? undefined : read(key);
        const known = writing === undefined ? found : writing.known;
        const previous = found && { previous: found.value };
        if (operation.type === "put") {
          const { value } = operation;
          const createRevision = old?.createRevision ?? next;
          overlay.set(key, { entry: { key, value, revision: next, createRevision }, revision: next, known });
          remember(key, { revision: next, createRevision });
          changes.push({ type: "put", key, revision: next, value, createRevision, ...previous });
        } else if (old !== undefined) {
          overlay.set(key, { entry: undefined, revision: next, known });
          heads.delete(key);
          changes.push({ type: "delete", key, revision: next, createRevision: old.createRevision, ...previous });
        }
      }
      if (changes.length === 0) return Promise.resolve({ ok: true, revision });
      revision = next;
      return new Promise((resolve, reject) => {
        pending.push({
          changes,
          leases: records,
          revision: next,
          done: () => resolve({ ok: true, revision: next }),
          failed: reject,
        });
        if (!isFlushing) {
          isFlushing = true;
          flushing = Promise.resolve().then(flush);
        }
      });
    },
    watch: (prefix, after, sink) => log.watch(prefix, after, sink),
    compact(upTo) {
      log.compact(upTo);
      return Promise.resolve();
    },
    async close() {
      if (isClosed) return;
      isClosed = true;
      leases.stop();
      clearImmediate(looking);
      clearTimeout(lookAgain);
      await flushing;
      log.close();
      // A store that could not be written cannot be closed in order either; what is on disk is whole all the same.
      if (broken === undefined) await db.close();
      else
        await Promise.race([db.close().catch(ignore), new Promise((resolve) => setTimeout(resolve, BROKEN_CLOSE_MS))]);
      if (--openStores === 0) process.off("unhandledRejection", onUnhandled);
      release();
    },
  };
  return backend;
}

const NOTHING = Buffer.alloc(0);

const broughtBy = ({ length }: Uint8Array) => Math.max(length, BROUGHT_BYTES);

const openMap = (folder: string): RootDatabase<Buffer, string> =>
  open<Buffer, string>({
    path: join(folder, "store.mdb"),
    encoding: "binary",
    keyEncoding: "ordered-binary",
    // One batch a turn of the event loop: lower latency than lmdb's default delay, and still many writes a flush.
    eventTurnBatching: true,
    commitDelay: 0,
    noMemInit: true,
    maxReaders: 128,
    mapSize: 64 * 1024 * 1024,
  });

interface Head {
  readonly revision: number;
  readonly createRevision: number;
}

type FileChange = BackendChange & Head;

/** A lease to be written down, or one to be struck out. */
interface LeaseRecord {
  readonly key: string;
  readonly revision: number;
  readonly untilMs: number | null;
}

function leaseBytes(untilMs: number, revision: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeDoubleLE(untilMs, 0);
  bytes.writeDoubleLE(revision, 8);
  return bytes;
}

/** Stores of this process that are open: they share one listener. */
let openStores = 0;
/** How long a store whose disk failed may take to close. */
const BROKEN_CLOSE_MS = 2_000;

/**
 * lmdb rejects promises of its own when a commit fails, which nobody outside can hold; the failure itself is told by the
 * write. Anything else that nobody handles ends the process as ever.
 */
function onUnhandled(reason: unknown): void {
  if ((reason as { readonly commitError?: unknown } | undefined)?.commitError === undefined) throw reason;
  Promise.resolve((reason as { readonly commitError: unknown }).commitError).catch(ignore);
}

/** All writes of a batch fail as one; the last of them tells. */
const ignore = () => undefined;

/** What lmdb says, and what stands behind it: a commit that failed holds the cause as a promise of its own. */
async function whyOf(error: unknown): Promise<string> {
  const cause = await Promise.resolve((error as { readonly commitError?: unknown }).commitError).catch(
    (reason: unknown) => reason,
  );
  const why = cause === undefined ? text(error) : text(cause);
  // A mapped file that cannot grow is an I/O error to lmdb, whatever the file system meant by it.
  return /input\/output|no space/i.test(why) ? `${why}; is the disk full?` : why;
}

const text = (error: unknown) => (error instanceof Error ? error.message : String(error));

function encode(value: Uint8Array, { revision, createRevision }: Head): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + value.length);
  bytes.writeDoubleLE(revision, 0);
  bytes.writeDoubleLE(createRevision, 8);
  bytes.set(value, HEADER_BYTES);
  return bytes;
}

function decode(key: string, bytes: Buffer, omitsValue = false): Entry {
  if (bytes.length < HEADER_BYTES) throw new StoreError("STORE_UNREADABLE", `the entry ${key} is damaged`);
  // The library has made a copy of its own.
  const value = omitsValue ? NOTHING : bytes.subarray(HEADER_BYTES);
  return { key, value, revision: bytes.readDoubleLE(0), createRevision: bytes.readDoubleLE(8) };
}

/** Makes the folder, or refuses one of a newer format by name and leaves it alone. */
function prepareFolder(folder: string): void {
  const formatFile = join(folder, "format");
  try {
    makeFolder(folder);
    if (existsSync(formatFile)) {
      const found = Number(readFileSync(formatFile, "utf8").trim());
      if (!Number.isInteger(found))
        throw new StoreError("STORE_UNREADABLE", `${formatFile} does not hold a format number`);
      if (found > FORMAT)
        throw new StoreError(
          "STORE_NEWER_FORMAT",
          `${folder} has format ${found}, this program knows ${FORMAT}; it was left as it is`,
        );
      return;
    }
    if (existsSync(join(folder, "store.mdb")))
      throw new StoreError("STORE_UNREADABLE", `${folder} holds a store but no file "format"; it was left as it is`);
    writeFileSync(formatFile, `${FORMAT}\n`);
  } catch (error) {
    if (error instanceof StoreError) throw error;
    throw new StoreError("STORE_UNREADABLE", `the data folder ${folder} cannot be used: ${text(error)}`, {
      cause: error,
    });
  }
}

/** Takes the folder for this process. A lock left by a process that is gone is taken over. */
function lock(folder: string): () => void {
  const path = join(folder, "lock");
  for (let tries = 0; ; tries++) {
    try {
      const file = openSync(path, "wx", 0o600);
      writeSync(file, `${process.pid}\n`);
      fsyncSync(file);
      closeSync(file);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST")
        throw new StoreError("STORE_UNREADABLE", `${path} cannot be written: ${text(error)}`, { cause: error });
      const holder = Number(readFileSync(path, "utf8").trim());
      if (tries > 5 || (holder > 0 && isAlive(holder)))
        throw new StoreError("STORE_IN_USE", `the data folder ${folder} is in use by process ${holder}`);
      rmSync(path, { force: true });
    }
  }
  const release = () => rmSync(path, { force: true });
  return release;
}

/** Takes away the lock of a folder whose holder is known to be gone: a thread of this very process, which left it behind. */
export function breakLock(folder: string): void {
  rmSync(join(folder, "lock"), { force: true });
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** A killed child whose parent has not looked yet still answers signals, but holds nothing. */
function isZombie(pid: number): boolean {
  try {
    return /^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
