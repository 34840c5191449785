import { readStored, whyUnreadable } from "./foreign-forms.ts";
import { copyWith, deepFreeze } from "#base";
import { type KubeObject, resourceExpired, withMetadata } from "#machinery";
import { type Backend, type BackendChange, KeyIndex, type Operation, StoreError, type TxnResult } from "#store";
import type { ResourceDefinition } from "../definition.ts";
import { encodeForStore } from "./encodings.ts";
import type { ValueCipher } from "./encryption.ts";
import { HeldRevision, type RevisionFacts, type RevisionSource, type StoredObject } from "./held-revision.ts";
import type { StoreMeasure } from "./store-measures.ts";
import { ValueCopies } from "./value-copies.ts";

/** An object on its way into the store. */
interface Written {
  readonly object: KubeObject;
  readonly admittedBy: ResourceDefinition | undefined;
  /** As it was reported: its writer is told of it without decoding it. */
  reported?: KubeObject;
}

/** A change, whose objects are decoded for those who look at them. */
export class StoreEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  /** What is there now, or what was there last. */
  readonly now: StoredObject;
  readonly before: StoredObject | undefined;
  /** `namespace/name`, or `name`. */
  readonly key: string;
  readonly revision: number;
  /** What is kept for `before` alone. */
  readonly bytes: number;

  constructor(
    type: "ADDED" | "MODIFIED" | "DELETED",
    key: string,
    now: StoredObject,
    before: StoredObject | undefined,
    { revision, previous }: BackendChange,
  ) {
    this.type = type;
    this.key = key;
    this.now = now;
    this.before = before;
    this.revision = revision;
    this.bytes = previous?.length ?? 0;
  }

  get object(): KubeObject {
    return this.now.object;
  }

  get previous(): KubeObject | undefined {
    return this.before?.object;
  }
}

/** An object of another resource that is written in the same transaction. */
export interface SideWrite {
  readonly store: ResourceStore;
  readonly key: string;
  readonly object: KubeObject;
  readonly expected: number;
}

/**
 * What else a write changes in the store: it comes true together with the write, or neither does. Absent `object` means a
 * deletion, absent `previous` a creation.
 */
export interface Companions {
  of(object: KubeObject | undefined, previous: KubeObject | undefined): readonly Operation[];
  /** Told that a write was refused because of its companion with this key; the write is then tried anew. */
  lost(key: string): void;
}

export interface StoreWatcher {
  event(event: StoreEvent): void;
  closed(error: Error): void;
}

/** Events kept for watches that resume, and the bytes of the past objects in them; up to twice as many in between. */
const WINDOW_MAX = 4_096;
const WINDOW_BYTES_MAX = 2 * 1024 * 1024;
/** How long a loser waits for the winner's write to show; longer only when the store itself is in trouble. */
const BEHIND_MS = 5_000;
/**
 * All objects of one resource: read from memory, written through the backend, and changed only by what the backend
 * reports. With an embedded backend a write is visible here before its promise resolves.
 */
export class ResourceStore {
  readonly prefix: string;
  readonly #backend: Backend;
  readonly #applied: () => number;
  readonly #lease: { readonly leaseSeconds?: number };
  readonly #cipher: ValueCipher | undefined;
  readonly #measure: StoreMeasure | undefined;
  /**
   * What is being written, by its value: an embedded backend reports that very value. Weakly, though all of it is taken out
   * again: a map that grew old keeps what stood in it when it was last made anew, until a whole collection.
   */
  readonly #writing = new WeakMap<Uint8Array, Written>();
  /** Keys whose values would be kept with another key or provider now. */
  readonly #stale = new Set<string>();
  #generation = 0;
  readonly #objects = new Map<string, StoredObject>();
  readonly #source: RevisionSource;
  readonly #keys = new KeyIndex();
  readonly #watchers = new Set<StoreWatcher>();
  readonly #pastValues = new ValueCopies();
  #window: StoreEvent[] = [];
  #windowBytes = 0;
  #windowStart: number;
  #loading: Promise<void> | undefined;
  #isLoaded = false;
  #early: BackendChange[] = [];
  #loadedRevision = 0;
  /** Who waits until a key shows a revision or a later one. */
  readonly #behind = new Map<string, { readonly revision: number; readonly wake: () => void }[]>();
  /** Set once, before anything is written. */
  companions: Companions | undefined;

  /** `applied` says up to which revision all stores of the server show the backend's changes. */
  constructor(
    backend: Backend,
    prefix: string,
    applied: () => number,
    {
      leaseSeconds,
      cipher,
      measure,
    }: { readonly leaseSeconds?: number; readonly cipher?: ValueCipher; readonly measure?: StoreMeasure } = {},
  ) {
    this.#measure = measure;
    this.#cipher = cipher;
    this.#generation = cipher?.generation ?? 0;
    this.#backend = backend;
    this.prefix = prefix;
    this.#applied = applied;
    this.#lease = leaseSeconds === undefined ? {} : { leaseSeconds };
    this.#windowStart = backend.revision;
    this.#source = {
      read: (key, revision, use) =>
        backend.peek?.(prefix + key, (entry) => (entry.revision === revision ? use(entry.value) : undefined)),
      decode: (key, value, revision) => decode(prefix + key, value, revision),
    };
  }

  /** Whether the driver can be asked for a value at any time, so that neither it nor the object need be kept here. */
  get #isLent(): boolean {
    return this.#backend.peek !== undefined && this.#cipher === undefined;
  }

  /** What is held here is no older than this revision. */
  get revision(): number {
    // A list may have been read at a revision the changes have not come to yet.
    return Math.max(this.#applied(), this.#loadedRevision);
  }

  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Reads everything once; later calls are free. */
  load(): Promise<void> | undefined {
    if (this.#isLoaded) return undefined;
    this.#loading ??= this.#read().catch((error: unknown) => {
      // A store that is gone for a moment must not keep the resource away for ever.
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  /** Reads everything anew after changes were missed, and reports the difference as changes. */
  async reload(): Promise<void> {
    if (!this.#isLoaded) return;
    const { entries, revision } = await this.#backend.list(this.prefix);
    const present = new Map(entries.map((entry) => [entry.key.slice(this.prefix.length), entry]));
    const missed: BackendChange[] = [];
    for (const [key, entry] of present)
      if (this.#objects.get(key)?.revision !== entry.revision) missed.push({ type: "put", ...entry });
    missed.sort((one, other) => one.revision - other.revision);
    for (const key of this.#objects.keys())
      if (!present.has(key)) missed.push({ type: "delete", key: this.prefix + key, revision });
    for (const change of missed) this.apply(change);
    // Nobody can resume between what was seen and now: the order of what was missed is not known.
    this.#window = [];
    this.#windowBytes = 0;
    this.#windowStart = revision;
    this.#loadedRevision = revision;
  }

  async #read(): Promise<void> {
    const options = { omitsValues: this.#isLent };
    const { entries, revision } = await this.#measured("list", () => this.#backend.list(this.prefix, options));
    for (const { key, value, revision: at } of entries) {
      const own = key.slice(this.prefix.length);
      this.#put(own, this.#found(own, value, at));
    }
    this.#loadedRevision = revision;
    this.#windowStart = revision;
    this.#isLoaded = true;
    const early = this.#early;
    this.#early = [];
    for (const change of early) if (change.revision > revision) this.apply(change);
  }

  /** A revision that was read, not written here. */
  #found(key: string, value: Uint8Array, revision: number): StoredObject {
    if (this.#cipher !== undefined) return { object: this.#decode(this.prefix + key, value, revision), revision };
    return new HeldRevision(this.#source, key, revision, this.#isLent ? {} : { value });
  }

  /** `key` is `namespace/name`, or `name`. */
  get(key: string): StoredObject | undefined {
    return this.#objects.get(key);
  }

  /** Objects in key order, of one namespace or of all. */
  *range(namespace: string | undefined, after?: string): Generator<readonly [string, StoredObject]> {
    const prefix = namespace === undefined ? "" : `${namespace}/`;
    for (const key of this.#keys.range(prefix, after)) yield [key, this.#objects.get(key) as StoredObject];
  }

  /** The same as it was at an earlier revision, or an error when that is no longer known. */
  rangeAt(revision: number, namespace: string | undefined): Iterable<readonly [string, StoredObject]> {
    const later = this.eventsAfter(revision);
    if (later.length === 0) return this.range(namespace);
    const prefix = namespace === undefined ? "" : `${namespace}/`;
    const objects = new Map(this.range(namespace));
    for (let at = later.length - 1; at >= 0; at--) {
      const { key, before } = later[at] as StoreEvent;
      if (!key.startsWith(prefix)) continue;
      if (before === undefined) objects.delete(key);
      else objects.set(key, before);
    }
    return [...objects].sort(([left], [right]) => (left < right ? -1 : 1));
  }

  /** Takes a change the backend reports. */
  apply(change: BackendChange): void {
    if (!this.#isLoaded) {
      this.#early.push(change);
      return;
    }
    if (change.revision <= this.#loadedRevision) return;
    const key = change.key.slice(this.prefix.length);
    const before = this.#objects.get(key);
    const past = before instanceof HeldRevision ? before : undefined;
    if (past !== undefined && change.previous !== undefined) past.keep(this.#pastValues.copy(change.previous));
    let now: StoredObject;
    let type: StoreEvent["type"];
    if (change.type === "put") {
      now = this.#taken(key, change);
      type = before === undefined ? "ADDED" : "MODIFIED";
      this.#put(key, now);
    } else {
      if (before === undefined) return;
      now = this.#gone(key, before, change);
      type = "DELETED";
      this.#objects.delete(key);
      this.#keys.delete(key);
      this.#stale.delete(key);
    }
    const event = new StoreEvent(type, key, now, before, change);
    this.#remember(event);
    for (const watcher of [...this.#watchers]) watcher.event(event);
    // Watchers have compared with it; from now on its bytes will do.
    past?.pass();
    const waiting = this.#behind.get(key);
    if (waiting === undefined) return;
    const left = waiting.filter(({ revision }) => revision > change.revision);
    if (left.length === 0) this.#behind.delete(key);
    else this.#behind.set(key, left);
    for (const { revision, wake } of waiting) if (revision <= change.revision) wake();
  }

  /** What a put that is reported made present. */
  #taken(key: string, { value = NOTHING, revision, key: whole }: BackendChange): StoredObject {
    const written = this.#writing.get(value);
    const object =
      written === undefined ? this.#decode(whole, value, revision) : this.#own(key, written.object, revision);
    if (written !== undefined) written.reported = object;
    const admittedBy = written?.admittedBy;
    if (this.#cipher !== undefined) return { object, revision, admittedBy };
    const facts: RevisionFacts = this.#isLent ? { admittedBy } : { admittedBy, value };
    return HeldRevision.of(this.#source, key, revision, object, value.length, facts);
  }

  /** What was there last, as of the revision that removed it. */
  #gone(key: string, before: StoredObject, { revision }: BackendChange): StoredObject {
    if (before instanceof HeldRevision) return new HeldRevision(this.#source, key, revision, { value: before.value });
    return { object: deepFreeze(withMetadata(before.object, { resourceVersion: String(revision) })), revision };
  }

  #remember(event: StoreEvent): void {
    this.#window.push(event);
    this.#windowBytes += event.bytes;
    if (this.#window.length <= WINDOW_MAX * 2 && this.#windowBytes <= WINDOW_BYTES_MAX * 2) return;
    let from = 0;
    while (this.#window.length - from > WINDOW_MAX || this.#windowBytes > WINDOW_BYTES_MAX)
      this.#windowBytes -= (this.#window[from++] as StoreEvent).bytes;
    this.#windowStart = (this.#window[from - 1] as StoreEvent).revision;
    this.#window = this.#window.slice(from);
  }

  /**
   * Resolves when a write that beat the caller's is visible here. Between the two lies the disk, or the way of etcd's
   * watch: whoever reads the key before would lose again to the same write. Gives up waiting after `BEHIND_MS`.
   */
  async #catchUp(key: string, found: { readonly revision: number } | undefined): Promise<void> {
    const revision = found?.revision ?? this.#objects.get(key)?.revision ?? 0;
    // The winner's object may be gone already by the time the loser looks: then a later revision is shown.
    const isShown = () =>
      this.revision >= revision &&
      (found !== undefined || (this.#objects.get(key)?.revision ?? 0) !== revision || !this.#objects.has(key));
    if (isShown()) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, BEHIND_MS);
      const waiting = this.#behind.get(key) ?? [];
      waiting.push({
        revision,
        wake: () => {
          clearTimeout(timer);
          resolve();
        },
      });
      this.#behind.set(key, waiting);
    });
  }

  /** Whether writing the same object again would keep it in another way: after a change of keys. */
  isStale(key: string): boolean {
    const generation = this.#cipher?.generation ?? 0;
    if (generation !== this.#generation) {
      // Nobody looked yet which values the new way would keep otherwise: all may be.
      this.#generation = generation;
      for (const present of this.#objects.keys()) this.#stale.add(present);
    }
    return this.#stale.has(key);
  }

  /** What this store wrote itself needs no decoding. */
  #own(key: string, object: KubeObject, revision: number): KubeObject {
    if (this.#cipher !== undefined) this.#stale.delete(key);
    return withRevision(object, revision);
  }

  #decode(key: string, value: Uint8Array, revision: number): KubeObject {
    if (this.#cipher === undefined) return decode(key, value, revision);
    const own = key.slice(this.prefix.length);
    const opened = this.#cipher.open(value, key);
    if (opened.isStale) this.#stale.add(own);
    else this.#stale.delete(own);
    return decode(key, opened.value, revision);
  }

  #put(key: string, stored: StoredObject): void {
    if (!this.#objects.has(key)) this.#keys.add(key);
    this.#objects.set(key, stored);
  }

  /** Events after a revision, or an error when they are no longer held. */
  eventsAfter(revision: number): readonly StoreEvent[] {
    if (revision < this.#windowStart)
      throw resourceExpired(`too old resource version: ${revision} (${this.#windowStart})`);
    let low = 0;
    let high = this.#window.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#window[middle] as StoreEvent).revision > revision) high = middle;
      else low = middle + 1;
    }
    return this.#window.slice(low);
  }

  watch(watcher: StoreWatcher): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Ends all watches, for instance when the resource is no longer served. */
  closeWatchers(error: Error): void {
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const watcher of watchers) watcher.closed(error);
  }

  /**
   * Writes one object if the revision held is `expected` (0: absent), and others with it or nothing at all. Gives the stored
   * object, or nothing when another writer was faster, here or there; that writer's object is then to be read. `admittedBy`
   * says what looked at all of the object.
   */
  async put(
    key: string,
    object: KubeObject,
    expected: number,
    admittedBy?: ResourceDefinition,
    alongside: readonly SideWrite[] = [],
  ): Promise<StoredObject | undefined> {
    const write = this.putOperation(key, object, expected);
    const written: Written = { object, admittedBy };
    this.#writing.set(write.value, written);
    const others = alongside.map((side) => side.store.putOperation(side.key, side.object, side.expected));
    const operations = [...this.#withCompanions(write, key, object, expected), ...others];
    try {
      const result = await this.#measured(expected === 0 ? "create" : "update", () => this.#backend.txn(operations));
      if (result.ok) {
        const { reported = this.#own(key, object, result.revision) } = written;
        return { object: reported, revision: result.revision };
      }
      const side = alongside[others.findIndex((other) => other.key === result.key)];
      await (side === undefined ? this.#lose(key, result) : side.store.#catchUp(side.key, result.found));
      return undefined;
    } finally {
      this.#writing.delete(write.value);
    }
  }

  /** Deletes one object if the revision held is `expected`; nothing when another writer was faster. */
  async delete(key: string, expected: number): Promise<{ readonly revision: number } | undefined> {
    const operation: Operation = { type: "delete", key: this.prefix + key, expected };
    const operations = this.#withCompanions(operation, key, undefined, expected);
    const result = await this.#measured("delete", () => this.#backend.txn(operations));
    if (result.ok) return { revision: result.revision };
    await this.#lose(key, result);
    return undefined;
  }

  /** The operation that writes an object, for a transaction of several resources. */
  putOperation(key: string, object: KubeObject, expected: number): Extract<Operation, { readonly type: "put" }> {
    const encoded = encodeForStore(object);
    const value = this.#cipher?.seal(encoded, this.prefix + key) ?? encoded;
    return { type: "put", key: this.prefix + key, value, expected, ...this.#lease };
  }

  #measured<T>(operation: Parameters<StoreMeasure>[0], ask: () => Promise<T>): Promise<T> {
    const measure = this.#measure;
    if (measure === undefined) return ask();
    const startedMs = performance.now();
    const told = (isFailed: boolean) => measure(operation, (performance.now() - startedMs) / 1000, isFailed);
    const answer = ask();
    answer.then(
      () => told(false),
      () => told(true),
    );
    return answer;
  }

  #withCompanions(
    operation: Operation,
    key: string,
    object: KubeObject | undefined,
    expected: number,
  ): readonly Operation[] {
    if (this.companions === undefined) return [operation];
    const previous = expected === 0 ? undefined : this.#objects.get(key)?.object;
    return [operation, ...this.companions.of(object, previous)];
  }

  async #lose(key: string, { key: lost, found }: Extract<TxnResult, { readonly ok: false }>): Promise<void> {
    if (lost === this.prefix + key) return this.#catchUp(key, found);
    this.companions?.lost(lost);
    // What took it is shown once everything committed has been reported, which here takes as long as a flush.
    if (this.#backend.settle !== undefined) await this.#backend.settle();
    else await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

const NOTHING = new Uint8Array();

function withRevision(object: KubeObject, revision: number): KubeObject {
  return deepFreeze({ ...object, metadata: copyWith(object.metadata, { resourceVersion: String(revision) }) });
}

function decode(key: string, value: Uint8Array, revision: number): KubeObject {
  try {
    return withRevision(readStored(Buffer.from(value.buffer, value.byteOffset, value.byteLength)), revision);
  } catch (error) {
    throw new StoreError("STORE_UNREADABLE", `the entry ${key} is damaged: ${whyUnreadable(error)}`);
  }
}

/** A bookmark's object: nothing but its revision. */
export function bookmark(apiVersion: string, kind: string, revision: number, isInitialEnd: boolean): KubeObject {
  return {
    kind,
    apiVersion,
    metadata: {
      resourceVersion: String(revision),
      ...(isInitialEnd ? { annotations: { "k8s.io/initial-events-end": "true" } } : {}),
    },
  };
}
