import { type Clock, exponentialBackoff, type Logger, type Timer } from "#base";
import {
  type Cached,
  cachedOf,
  glimpseOf,
  isExpired,
  keyOf,
  type KubeObject,
  objectOf,
  type ResourceKind,
  type Transport,
  type WatchHandle,
} from "#machinery";

/** Told of every change a cache has seen. Handlers run in the order of registration and must not throw or await. */
export interface InformerHandler<T extends KubeObject> {
  /** `isInitial` is true for objects that existed when the handler was added or the cache was first filled. */
  add?(object: T, isInitial: boolean): void;
  update?(object: T, old: T): void;
  delete?(object: T): void;
}

export interface InformerOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Keeps only what the caller needs of an object, to save memory; default keeps all. */
  readonly transform?: (object: KubeObject) => KubeObject;
  /** Told when list or watch fail, once a failure. */
  readonly onError?: (error: unknown) => void;
}

interface Index<T> {
  readonly of: (object: T) => readonly string[];
  /** The keys of the objects with a value. */
  readonly entries: Map<string, Set<string>>;
}

const RETRY = exponentialBackoff({ baseMs: 200, maxMs: 30_000 });
const PAGE_SIZE = 500;
const REWATCH_MS = 20;

/**
 * A cache of one kind kept current by list and watch, with indexes. Objects are shared and must not be changed. It
 * lists again only when the server says that the revision is gone, and then reports differences only.
 */
export class Informer<T extends KubeObject = KubeObject> {
  readonly kind: ResourceKind<T>;
  readonly #transport: Transport;
  readonly #options: InformerOptions;
  #objects = new Map<string, Cached<T>>();
  readonly #byNamespace = new Map<string, Set<string>>();
  readonly #indexes = new Map<string, Index<T>>();
  readonly #handlers = new Set<InformerHandler<T>>();
  #resourceVersion = "";
  #synced = false;
  #failures = 0;
  #listFailure: unknown;
  #listedMs = 0;
  #expirations = 0;
  #state: "new" | "running" | "stopped" = "new";
  #watch: WatchHandle | undefined;
  #timer: Timer | undefined;
  #generation = 0;
  #waiting: (() => void)[] = [];
  #trying: (() => void)[] = [];
  readonly #abort = new AbortController();

  constructor(transport: Transport, kind: ResourceKind<T>, options: InformerOptions) {
    this.#transport = transport;
    this.kind = kind;
    this.#options = options;
  }

  get hasSynced(): boolean {
    return this.#synced;
  }

  /** Whether list and watch work at present. */
  get isHealthy(): boolean {
    return this.#synced && this.#failures === 0;
  }

  /** What the last list failed with, while there has been none yet. */
  get listFailure(): unknown {
    return this.#listFailure;
  }

  /** How long the list under way has brought nothing, not even a page. */
  get listSilentMs(): number {
    return this.#options.clock.monotonicMs() - this.#listedMs;
  }

  /** The revision the cache stands at; empty before the first list. */
  get resourceVersion(): string {
    return this.#resourceVersion;
  }

  get size(): number {
    return this.#objects.size;
  }

  /** `key` is `namespace/name`, or `name` for cluster-scoped kinds. */
  get(key: string): T | undefined {
    const cached = this.#objects.get(key);
    return cached === undefined ? undefined : objectOf(cached);
  }

  /** The same for who looks once: an object that lies encoded is not kept decoded for others. */
  glimpse(key: string): T | undefined {
    const cached = this.#objects.get(key);
    return cached === undefined ? undefined : glimpseOf(cached);
  }

  list(namespace?: string): T[] {
    return namespace === undefined
      ? Array.from(this.#objects.values(), objectOf<T>)
      : this.#named(this.#byNamespace.get(namespace));
  }

  #named(keys: ReadonlySet<string> | undefined): T[] {
    const found: T[] = [];
    if (keys !== undefined) for (const key of keys) found.push(objectOf(this.#objects.get(key) as Cached<T>));
    return found;
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  /** Adds an index; adding the same name again is harmless, so each user of a shared cache may ask for it. */
  addIndex(name: string, of: (object: T) => readonly string[]): void {
    if (this.#indexes.has(name)) return;
    const index: Index<T> = { of, entries: new Map() };
    this.#indexes.set(name, index);
    for (const [key, cached] of this.#objects)
      for (const value of of(glimpseOf(cached))) insert(index.entries, value, key);
  }

  hasIndex(name: string): boolean {
    return this.#indexes.has(name);
  }

  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new Error(`informer of ${this.kind.resource} has no index ${name}`);
    return this.#named(index.entries.get(value));
  }

  /** Adds a handler and tells it of everything the cache holds. Returns how to remove it. */
  handle(handler: InformerHandler<T>): () => void {
    this.#handlers.add(handler);
    if (handler.add !== undefined) for (const cached of this.#objects.values()) handler.add(glimpseOf(cached), true);
    return () => this.#handlers.delete(handler);
  }

  /** Begins list and watch; harmless when running. */
  start(): void {
    if (this.#state !== "new") return;
    this.#state = "running";
    void this.#list();
  }

  stop(): void {
    if (this.#state === "stopped") return;
    this.#state = "stopped";
    this.#generation++;
    this.#abort.abort();
    this.#watch?.stop();
    this.#timer?.cancel();
    this.#tellWaiting();
  }

  #tellWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
    this.#tellTrying();
  }

  #tellTrying(): void {
    const trying = this.#trying;
    this.#trying = [];
    for (const wake of trying) wake();
  }

  /** Resolves when the first list is in the cache, or when the informer was stopped. */
  whenSynced(): Promise<void> {
    if (this.#synced || this.#state === "stopped") return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** As `whenSynced`, or when a list has failed (`listFailure`), or after `limitMs`, whatever comes first. */
  whenTried(limitMs: number): Promise<void> {
    if (this.#synced || this.#state === "stopped") return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(limitMs, resolve);
      this.#trying.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  async #list(): Promise<void> {
    const generation = ++this.#generation;
    const { namespace, labelSelector, fieldSelector, transform, clock } = this.#options;
    this.#listedMs = clock.monotonicMs();
    try {
      const found = new Map<string, Cached<T>>();
      let token: string | undefined;
      let resourceVersion = "";
      do {
        const page = await this.#transport.list({
          group: this.kind.group,
          version: this.kind.version,
          resource: this.kind.resource,
          limit: PAGE_SIZE,
          signal: this.#abort.signal,
          ...(namespace === undefined ? {} : { namespace }),
          ...(labelSelector === undefined ? {} : { labelSelector }),
          ...(fieldSelector === undefined ? {} : { fieldSelector }),
          ...(token === undefined ? {} : { continue: token }),
        });
        if (generation !== this.#generation) return;
        this.#listedMs = clock.monotonicMs();
        for (const object of page.items)
          found.set(keyOf(object), cachedOf((transform === undefined ? object : transform(object)) as T));
        token = page.metadata.continue;
        resourceVersion = page.metadata.resourceVersion ?? "";
      } while (token);
      this.#resourceVersion = resourceVersion;
      this.#replace(found);
      this.#failures = 0;
      this.#listFailure = undefined;
      if (!this.#synced) {
        this.#synced = true;
        this.#tellWaiting();
      }
      this.#startWatch();
    } catch (error) {
      if (generation !== this.#generation) return;
      if (!this.#synced) this.#listFailure = error;
      this.#tellTrying();
      this.#retry(error, () => void this.#list());
    }
  }

  #replace(found: Map<string, Cached<T>>): void {
    const isInitial = !this.#synced;
    for (const [key, cached] of [...this.#objects]) if (!found.has(key)) this.#remove(key, objectOf(cached));
    for (const [key, cached] of found) {
      const before = this.#objects.get(key);
      if (before === cached) continue;
      // All of them are looked at once, one after the other: kept for others they would only drive each other out.
      const object = glimpseOf(cached);
      const old = before === undefined ? undefined : glimpseOf(before);
      if (old === undefined) {
        this.#put(key, object, undefined);
        for (const handler of this.#handlers) handler.add?.(object, isInitial);
      } else if (
        old.metadata.resourceVersion !== object.metadata.resourceVersion ||
        old.metadata.uid !== object.metadata.uid
      )
        this.#change(key, object, old);
    }
  }

  #startWatch(): void {
    if (this.#state !== "running") return;
    const generation = this.#generation;
    const { namespace, labelSelector, fieldSelector } = this.#options;
    this.#watch = this.#transport.watch(
      {
        group: this.kind.group,
        version: this.kind.version,
        resource: this.kind.resource,
        resourceVersion: this.#resourceVersion,
        allowWatchBookmarks: true,
        ...(namespace === undefined ? {} : { namespace }),
        ...(labelSelector === undefined ? {} : { labelSelector }),
        ...(fieldSelector === undefined ? {} : { fieldSelector }),
      },
      {
        event: (type, object) => {
          if (generation !== this.#generation) return;
          this.#failures = 0;
          this.#expirations = 0;
          this.#resourceVersion = object.metadata.resourceVersion ?? this.#resourceVersion;
          if (type === "BOOKMARK") return;
          const key = keyOf(object);
          const old = this.get(key);
          if (type === "DELETED") {
            if (old !== undefined) this.#remove(key, object as T);
            return;
          }
          const { transform } = this.#options;
          const kept = (transform === undefined ? object : transform(object)) as T;
          if (old === undefined) {
            this.#put(key, kept, undefined);
            for (const handler of this.#handlers) handler.add?.(kept, false);
          } else this.#change(key, kept, old);
        },
        closed: (error) => {
          if (generation !== this.#generation) return;
          // A watch that ends in order goes on where it was, but never in a tight loop with a server that is stopping.
          if (error === undefined) this.#timer = this.#options.clock.after(REWATCH_MS, () => this.#startWatch());
          else if (isExpired(error)) {
            // A server that calls its own list too old would be asked for ever.
            if (this.#expirations++ === 0) void this.#list();
            else this.#retry(error, () => void this.#list());
          } else this.#retry(error, () => this.#startWatch());
        },
      },
    );
  }

  #retry(error: unknown, again: () => void): void {
    if (this.#state !== "running") return;
    const delayMs = RETRY(this.#failures++);
    this.#options.log.debug("list or watch failed", { resource: this.kind.resource, delayMs, error });
    this.#options.onError?.(error);
    this.#timer = this.#options.clock.after(delayMs, again);
  }

  /** An object replaced by another of the same name is reported as gone and new: nobody may mistake one for the other. */
  #change(key: string, object: T, old: T): void {
    if (object.metadata.uid !== old.metadata.uid) {
      this.#remove(key, old);
      this.#put(key, object, undefined);
      for (const handler of this.#handlers) handler.add?.(object, false);
      return;
    }
    this.#put(key, object, old);
    for (const handler of this.#handlers) handler.update?.(object, old);
  }

  #put(key: string, object: T, old: T | undefined): void {
    this.#objects.set(key, cachedOf(object));
    const namespace = object.metadata.namespace;
    if (namespace !== undefined && old === undefined) insert(this.#byNamespace, namespace, key);
    for (const { of, entries } of this.#indexes.values()) {
      const values = of(object);
      const before = old === undefined ? NONE : of(old);
      if (isSame(values, before)) continue;
      for (const value of before) withdraw(entries, value, key);
      for (const value of values) insert(entries, value, key);
    }
  }

  #remove(key: string, object: T): void {
    const old = this.get(key);
    this.#objects.delete(key);
    const namespace = object.metadata.namespace;
    if (namespace !== undefined) withdraw(this.#byNamespace, namespace, key);
    if (old !== undefined)
      for (const { of, entries } of this.#indexes.values()) for (const value of of(old)) withdraw(entries, value, key);
    for (const handler of this.#handlers) handler.delete?.(object);
  }
}

const NONE: readonly string[] = [];

const isSame = (values: readonly string[], others: readonly string[]): boolean =>
  values.length === others.length && values.every((value, at) => value === others[at]);

function insert(entries: Map<string, Set<string>>, value: string, key: string): void {
  const members = entries.get(value);
  if (members === undefined) entries.set(value, new Set([key]));
  else members.add(key);
}

function withdraw(entries: Map<string, Set<string>>, value: string, key: string): void {
  const members = entries.get(value);
  members?.delete(key);
  if (members?.size === 0) entries.delete(value);
}
