import { Cluster, ResourceRegistry } from "#apis/karmada";
import { type Clock, deepEqual, exponentialBackoff, type Logger, type Timer } from "#base";
import { createInformers, createKindMapper, Informer, type Informers, type KindMapper } from "#client";
import { ApiError, apiVersionOf, type KubeObject, type Transport, kindKey } from "#machinery";
import type { Member, MemberPool } from "#member";
import {
  type CachedKind,
  type CachePlan,
  type ClusterPlan,
  isFollowable,
  type KindPlan,
  planCaches,
  selectorKey,
  type StorePlan,
} from "./plan.ts";

/** Where changes of a cluster's objects are written to beside memory. Neither method throws or waits. */
export interface ObjectStore {
  put(object: KubeObject): void;
  remove(object: KubeObject): void;
  stop(): void;
}

/** The objects of one kind in one cluster, kept current. */
export interface KindCache {
  readonly cluster: string;
  readonly member: Member;
  readonly kind: CachedKind;
  /** Namespaces that registries name; absent for all of them. */
  readonly namespaces?: ReadonlySet<string>;
  readonly informer: Informer;
}

export interface MemberCachesParts {
  /** The control plane: registries, clusters and kinds are read there. */
  readonly transport: Transport;
  readonly members: MemberPool;
  /** Opens or finds the connection to a member. It asks the control plane only. */
  readonly connect: (cluster: Cluster) => Promise<Member>;
  readonly openStore: (cluster: string, plan: StorePlan) => ObjectStore;
  /** Whether this process is the one that writes to stores, where several keep the same caches. */
  readonly writesStores: () => boolean;
  /** Whether objects are needed beyond the namespaces registries name; then whole kinds are kept. */
  readonly needsAllNamespaces: boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Changes that come together are looked at once. */
const GATHER_MS = 50;
/** What cannot be planned yet, such as kinds nobody knows, is looked at again. */
const TROUBLE_PAUSE = exponentialBackoff({ baseMs: 2_000, maxMs: 60_000 });
/** Credentials change without a change of the Cluster. */
const LOOK_AGAIN_MS = 60_000;
const UNAUTHORIZED = 401;
const NO_PLAN: CachePlan = { registered: new Map(), clusters: [] };

interface HeldCache extends KindCache {
  /** The one namespace it holds; absent where it holds all. */
  readonly only?: string;
}

interface Running {
  readonly member: Member;
  readonly kinds: Map<string, HeldCache>;
  store?: { readonly plan: StorePlan; readonly store: ObjectStore; readonly leave: Map<Informer, () => void> };
}

/**
 * Keeps what ResourceRegistries register: one cache for each kind in each ready cluster they choose. A single worker brings what
 * runs in line with what is planned, whenever registries or clusters change. Without a registry nothing runs.
 */
export class MemberCaches {
  readonly #parts: MemberCachesParts;
  readonly #informers: Informers;
  readonly #kinds: KindMapper;
  readonly #running = new Map<string, Running>();
  readonly #followers = new Set<(key: string) => void>();
  readonly #abort = new AbortController();
  #plan = NO_PLAN;
  #followsClusters: (() => void) | undefined;
  #timer: Timer | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;
  #pass: Promise<void> | undefined;
  #isDirty = false;
  /** Passes in a row that could not do everything. */
  #troubles = 0;
  #hasPlanned = false;
  #waiting: (() => void)[] = [];

  constructor(parts: MemberCachesParts) {
    this.#parts = parts;
    const { transport, clock, log } = parts;
    this.#informers = createInformers(transport, { clock, log });
    this.#kinds = createKindMapper(transport, clock);
  }

  start(): void {
    const registries = this.#informers.of(ResourceRegistry);
    registries.handle({
      add: () => this.wake(),
      update: ({ spec, metadata }, old) => {
        if (!deepEqual(spec, old.spec) || metadata.deletionTimestamp !== old.metadata.deletionTimestamp) this.wake();
      },
      delete: () => this.wake(),
    });
    this.#informers.start();
    void registries.whenSynced().then(() => this.wake());
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#timer?.cancel();
    this.#informers.stop();
    this.#tellPlanned();
    await this.#pass;
    for (const name of [...this.#running.keys()]) this.#leave(name);
  }

  /** Looks at everything again, soon. */
  wake(): void {
    this.#wakeIn(GATHER_MS);
  }

  /** The kind at an address, where a registry registers it. */
  registered(kind: Pick<CachedKind, "group" | "version" | "resource">): CachedKind | undefined {
    return this.#plan.registered.get(kindKey(kind));
  }

  /** Caches of a kind that have been filled, by the order of their clusters. */
  caching(kind: Pick<CachedKind, "group" | "version" | "resource">): readonly KindCache[] {
    const key = kindKey(kind);
    return this.#plan.clusters.flatMap(({ cluster }) => {
      const cache = this.#running.get(cluster.metadata.name ?? "")?.kinds.get(key);
      return cache?.informer.hasSynced === true ? [cache] : [];
    });
  }

  /** The kind at an address, registered or not; asks what the control plane serves when it is unknown. */
  async served({ group, version, resource }: Pick<CachedKind, "group" | "version" | "resource">) {
    const find = () =>
      this.#kinds.served.find(
        (known) => known.group === group && known.version === version && known.resource === resource,
      );
    const known = this.registered({ group, version, resource }) ?? find();
    if (known !== undefined) return known;
    // A kind that no object has is missing, and what is missing is asked for, though not by each request.
    await this.#kinds.find(apiVersionOf({ group, version }), "", this.#abort.signal);
    return find();
  }

  /** Told the `kindKey` of a kind whose caches became more, fewer or others. Returns how to stop. */
  follow(react: (key: string) => void): () => void {
    this.#followers.add(react);
    return () => this.#followers.delete(react);
  }

  /** Resolves when it is known what is registered, or after `limitMs`. */
  async whenPlanned(limitMs: number): Promise<void> {
    if (this.#hasPlanned || this.#abort.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = this.#parts.clock.after(limitMs, resolve);
      this.#waiting.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  /** Resolves when every cache of a kind has been filled or has failed once, or after `limitMs`. */
  async whenTried(kind: Pick<CachedKind, "group" | "version" | "resource">, limitMs: number): Promise<void> {
    const key = kindKey(kind);
    await Promise.all(
      [...this.#running.values()].flatMap(({ kinds }) => {
        const cache = kinds.get(key);
        return cache === undefined ? [] : [cache.informer.whenTried(limitMs)];
      }),
    );
  }

  #wakeIn(delayMs: number): void {
    if (this.#abort.signal.aborted) return;
    if (this.#pass !== undefined) {
      this.#isDirty ||= delayMs <= GATHER_MS;
      if (this.#isDirty) return;
    }
    const { clock } = this.#parts;
    const dueMs = clock.monotonicMs() + delayMs;
    if (this.#timer !== undefined && this.#timerDueMs <= dueMs) return;
    this.#timer?.cancel();
    this.#timerDueMs = dueMs;
    this.#timer = clock.after(delayMs, () => {
      this.#timer = undefined;
      this.#run();
    });
  }

  #run(): void {
    if (this.#abort.signal.aborted || this.#pass !== undefined) return;
    this.#isDirty = false;
    let againMs: number | undefined;
    this.#pass = this.#reconcile()
      .then(
        (isWhole) => {
          if (!isWhole) againMs = TROUBLE_PAUSE(this.#troubles++);
          else {
            this.#troubles = 0;
            if (this.#plan !== NO_PLAN) againMs = LOOK_AGAIN_MS;
          }
        },
        (error: unknown) => {
          if (!this.#abort.signal.aborted) this.#parts.log.warn("caches of members could not be planned", { error });
          againMs = TROUBLE_PAUSE(this.#troubles++);
        },
      )
      .finally(() => {
        this.#pass = undefined;
        if (this.#isDirty) this.wake();
        else if (againMs !== undefined) this.#wakeIn(againMs);
      });
  }

  #tellPlanned(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const told of waiting) told();
  }

  /** One pass; gives whether everything could be done that is to be done. */
  async #reconcile(): Promise<boolean> {
    const registries = this.#informers.of(ResourceRegistry).list();
    if (registries.length === 0) {
      this.#forgetClusters();
      this.#adopt(NO_PLAN);
      return true;
    }
    const clusters = this.#followClusters();
    await clusters.whenSynced();
    const known = await this.#kindsOf(registries);
    if (this.#abort.signal.aborted) return true;
    this.#adopt(planCaches(registries, clusters.list(), known.kinds));
    let isWhole = known.isWhole;
    for (const plan of this.#plan.clusters)
      try {
        const member = await this.#parts.connect(plan.cluster);
        if (this.#abort.signal.aborted) return true;
        this.#bring(plan, member);
      } catch (error) {
        isWhole = false;
        const cluster = plan.cluster.metadata.name ?? "";
        this.#parts.log.warn("a member cannot be reached for search", { cluster, error });
        this.#leave(cluster);
      }
    this.#hasPlanned = true;
    this.#tellPlanned();
    return isWhole;
  }

  /** Takes a plan over; clusters that have no part in it any more are left. */
  #adopt(plan: CachePlan): void {
    this.#plan = plan;
    const planned = new Set(plan.clusters.map(({ cluster }) => cluster.metadata.name ?? ""));
    for (const name of [...this.#running.keys()]) if (!planned.has(name)) this.#leave(name);
    if (plan === NO_PLAN) {
      this.#hasPlanned = true;
      this.#tellPlanned();
    }
  }

  #followClusters(): Informer<Cluster> {
    const clusters = this.#informers.of(Cluster);
    this.#followsClusters ??= clusters.handle({
      add: () => this.wake(),
      update: (cluster, old) => {
        const isSame =
          isFollowable(cluster) === isFollowable(old) &&
          cluster.metadata.uid === old.metadata.uid &&
          deepEqual(cluster.metadata.labels, old.metadata.labels) &&
          deepEqual(cluster.spec, old.spec) &&
          deepEqual(cluster.status?.apiEnablements, old.status?.apiEnablements);
        if (!isSame) this.wake();
      },
      delete: () => this.wake(),
    });
    return clusters;
  }

  #forgetClusters(): void {
    this.#followsClusters?.();
    this.#followsClusters = undefined;
    this.#informers.drop(Cluster);
  }

  /** What the control plane calls the kinds that registries select; those nobody knows may come. */
  async #kindsOf(registries: readonly ResourceRegistry[]) {
    const kinds = new Map<string, CachedKind>();
    let isWhole = true;
    for (const { spec } of registries)
      for (const { apiVersion, kind } of spec?.resourceSelectors ?? []) {
        if (kinds.has(selectorKey(apiVersion, kind))) continue;
        const found = await this.#kinds.find(apiVersion, kind, this.#abort.signal);
        if (found === undefined) isWhole = false;
        // What cannot be followed has no cache.
        else if (found.verbs.includes("list") && found.verbs.includes("watch"))
          kinds.set(selectorKey(apiVersion, kind), found);
      }
    return { kinds, isWhole };
  }

  /** Brings the caches of one cluster in line with its plan. */
  #bring(plan: ClusterPlan, member: Member): void {
    const name = plan.cluster.metadata.name ?? "";
    let running = this.#running.get(name);
    if (running !== undefined && running.member !== member) {
      this.#end(running);
      running = undefined;
    }
    if (running === undefined) this.#running.set(name, (running = { member, kinds: new Map() }));
    for (const [key, cache] of [...running.kinds]) if (!plan.kinds.has(key)) this.#endKind(running, key, cache);
    this.#bringStore(name, running, plan.store);
    for (const [key, wanted] of plan.kinds) this.#bringKind(name, running, key, wanted);
  }

  #bringKind(cluster: string, running: Running, key: string, { kind, namespaces }: KindPlan): void {
    const present = running.kinds.get(key);
    const only = namespaces?.size === 1 && !this.#parts.needsAllNamespaces ? ([...namespaces][0] as string) : undefined;
    const scope = only === undefined ? {} : { namespace: only };
    const head = {
      cluster,
      member: running.member,
      kind,
      ...(namespaces === undefined ? {} : { namespaces }),
      ...(only === undefined ? {} : { only }),
    };
    if (present !== undefined) {
      const isSame = deepEqual([...(namespaces ?? [""])].sort(), [...(present.namespaces ?? [""])].sort());
      if (isSame) return;
      if (only === present.only) {
        running.kinds.set(key, { ...head, informer: present.informer });
        this.#tell(key);
        return;
      }
      this.#endKind(running, key, present);
    }
    const { clock, log } = this.#parts;
    const informer = new Informer(running.member.transport, kind, {
      ...scope,
      clock,
      log: log.with({ cluster }),
      onError: (error) => {
        if (error instanceof ApiError && error.code === UNAUTHORIZED) this.wake();
      },
    });
    running.kinds.set(key, { ...head, informer });
    this.#feed(running, informer);
    informer.start();
    void informer.whenSynced().then(() => {
      if (informer.hasSynced && running.kinds.get(key)?.informer === informer) this.#tell(key);
    });
  }

  #bringStore(cluster: string, running: Running, plan: StorePlan | undefined): void {
    const wanted = this.#parts.writesStores() ? plan : undefined;
    const { store: present } = running;
    const isSame =
      deepEqual(present?.plan.addresses, wanted?.addresses) && deepEqual(present?.plan.secret, wanted?.secret);
    if (isSame) return;
    if (present !== undefined) {
      for (const leave of present.leave.values()) leave();
      present.store.stop();
      delete running.store;
    }
    if (wanted === undefined) return;
    running.store = { plan: wanted, store: this.#parts.openStore(cluster, wanted), leave: new Map() };
    for (const { informer } of running.kinds.values()) this.#feed(running, informer);
  }

  /** Lets a cluster's store hear of a cache, where it has one. */
  #feed({ store: held }: Running, informer: Informer): void {
    if (held === undefined) return;
    const { store, leave } = held;
    leave.set(
      informer,
      informer.handle({
        add: (object) => store.put(object),
        update: (object) => store.put(object),
        delete: (object) => store.remove(object),
      }),
    );
  }

  #endKind(running: Running, key: string, { informer }: KindCache): void {
    running.kinds.delete(key);
    const leave = running.store?.leave;
    leave?.get(informer)?.();
    leave?.delete(informer);
    informer.stop();
    this.#tell(key);
  }

  #end(running: Running): void {
    for (const [key, cache] of [...running.kinds]) this.#endKind(running, key, cache);
    running.store?.store.stop();
    delete running.store;
  }

  #leave(name: string): void {
    const running = this.#running.get(name);
    this.#running.delete(name);
    if (running !== undefined) this.#end(running);
    this.#parts.members.disconnect(name);
  }

  #tell(key: string): void {
    for (const react of [...this.#followers]) react(key);
  }
}
