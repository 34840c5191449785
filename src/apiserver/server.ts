import { type Clock, type Logger, type Metrics, type Random, silentLogger, sleep } from "#base";
import {
  forwardingTransport,
  type KubeList,
  type KubeObject,
  type ListRequest,
  methodNotAllowed,
  notServed,
  objectKey,
  serviceUnavailable,
  type RawRequest,
  type RawResponse,
  type ResourceAddress,
  type ResourceRequest,
  type Transport,
  type WatchHandle,
  type WatchRequest,
  type WatchSink,
  withMetadata,
} from "#machinery";
import { type Backend, type BackendChange, type BackendWatch, isCompacted } from "#store";
import type { AdmissionPlugin } from "./admission.ts";
import {
  hasSubresource,
  type RequestContext,
  type ResourceDefinition,
  systemUser,
  unheard,
  type User,
  type VersionConversion,
} from "./definition.ts";
import { ListPages } from "./list-pages.ts";
import { ResourceRegistry } from "./registry.ts";
import type { Encryption } from "./storage/encryption.ts";
import { ResourceStore } from "./storage/resource-store.ts";
import { countObjects, type ResourceSize, storeMeasures } from "./storage/store-measures.ts";
import { namespaceMismatch } from "./metadata.ts";
import { admitBody, isKnownIn } from "./verbs/body.ts";
import { createObject } from "./verbs/creation.ts";
import { trackFields } from "./verbs/field-owners.ts";
import { deleteCollection, deleteObject } from "./verbs/deletion.ts";
import type { ConnectHandler, VerbHost } from "./verbs/host.ts";
import { patchObject } from "./verbs/patch.ts";
import { getObject, listObjects } from "./verbs/reading.ts";
import { createSubresource } from "./verbs/subresources.ts";
import { updateObject } from "./verbs/update.ts";
import { Versions } from "./verbs/versions.ts";
import { startWatch } from "./watch-session.ts";

export interface ApiServerOptions {
  readonly backend: Backend;
  readonly clock: Clock;
  readonly random: Random;
  readonly log?: Logger;
  readonly admission?: readonly AdmissionPlugin[];
  /** Answers in-process requests for paths that are no resources; set by the HTTP layer. */
  readonly raw?: (request: RawRequest, user: User) => Promise<RawResponse>;
  /** Whether objects need an existing namespace; default true. */
  readonly checksNamespaces?: boolean;
  /** Conversions of custom resources, by `group/version/resource`; without one, versions differ in their name only. */
  readonly conversions?: ReadonlyMap<string, VersionConversion>;
  /** How values of resources are kept in the store; default plain. */
  readonly encryption?: Encryption;
  /** Where requests to the store are measured; default nowhere. */
  readonly measures?: Metrics;
}

const ROOT = "/registry/";
const RELOAD_AGAIN_MS = 100;
const RELOAD_AGAIN_MAX_MS = 5_000;

/**
 * An API server: verbs over stored resources, with admission and validation. It knows nothing of HTTP; `transport` gives
 * in-process clients the same behaviour without serialisation.
 */
export class ApiServer implements VerbHost {
  readonly registry = new ResourceRegistry();
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly backend: Backend;
  readonly admission: AdmissionPlugin[];
  raw: ((request: RawRequest, user: User) => Promise<RawResponse>) | undefined;
  /** How the control plane itself reaches kinds of aggregated servers, which are not stored here; absent: not at all. */
  remote: Transport | undefined;
  readonly checksNamespaces: boolean;
  readonly pages: ListPages;
  /** Further subresources one can post to, by `group/resource/subresource`. */
  readonly connect = new Map<string, ConnectHandler>();
  readonly #versions: Versions;
  readonly #encryption: Encryption | undefined;
  readonly #measure: ReturnType<typeof storeMeasures> | undefined;
  readonly #stores = new Map<string, ResourceStore>();
  #watch: BackendWatch;
  #applied: number;
  #isRouting = false;
  readonly #watches = new Set<{ close(error?: Error): void }>();
  #isStopped = false;

  constructor(options: ApiServerOptions) {
    this.backend = options.backend;
    this.clock = options.clock;
    this.random = options.random;
    this.log = options.log ?? silentLogger;
    this.admission = [...(options.admission ?? [])];
    this.raw = options.raw;
    this.#encryption = options.encryption;
    if (options.measures !== undefined) {
      this.#measure = storeMeasures(options.measures);
      countObjects(() => this.#sizes(), options.measures);
    }
    this.pages = new ListPages(options.clock);
    this.#versions = new Versions(options.conversions);
    this.checksNamespaces = options.checksNamespaces ?? true;
    this.#applied = this.backend.revision;
    this.#watch = this.#follow();
  }

  #follow(): BackendWatch {
    return this.backend.watch(ROOT, this.#applied, {
      changes: (changes) => this.#route(changes),
      closed: (error) => {
        if (this.#isStopped || error === undefined) return;
        this.log.error("store watch ended", { error });
        if (isCompacted(error)) void this.#catchUp();
      },
    });
  }

  /** Goes on after changes were compacted unread: what they led to is read anew. */
  async #catchUp(): Promise<void> {
    this.#applied = this.backend.revision;
    this.#watch = this.#follow();
    for (const store of this.#stores.values()) {
      for (let waitMs = RELOAD_AGAIN_MS; !this.#isStopped; waitMs = Math.min(RELOAD_AGAIN_MAX_MS, waitMs * 2)) {
        try {
          await store.reload();
          break;
        } catch (error) {
          this.log.error("a resource could not be read anew", { prefix: store.prefix, error });
        }
        await sleep(this.clock, waitMs);
      }
    }
  }

  /** Ends all watches in order; requests after it fail. */
  stop(): void {
    this.#isStopped = true;
    this.#watch.stop();
    for (const watch of [...this.#watches]) watch.close();
  }

  /** How many objects there are of each resource anybody asked for; versions of one resource are one. */
  *#sizes(): Generator<ResourceSize> {
    const told = new Set<string>();
    for (const { kind, storage } of this.registry.all) {
      const store = this.#stores.get(storage.prefix);
      if (store?.isLoaded !== true || told.has(`${kind.group}/${kind.resource}`)) continue;
      told.add(`${kind.group}/${kind.resource}`);
      yield { group: kind.group, resource: kind.resource, size: store.size };
    }
  }

  /** The store of a resource; all versions share one. */
  store(definition: ResourceDefinition): ResourceStore {
    let store = this.#stores.get(definition.storage.prefix);
    if (store === undefined) {
      const { leaseSeconds, prefix } = definition.storage;
      const cipher = this.#encryption?.cipherOf(definition.kind.group, definition.kind.resource);
      store = new ResourceStore(this.backend, prefix, () => this.#shown(), {
        ...(leaseSeconds === undefined ? {} : { leaseSeconds }),
        ...(cipher === undefined ? {} : { cipher }),
        ...(this.#measure === undefined
          ? {}
          : { measure: this.#measure(definition.storage.group ?? definition.kind.group, definition.kind.resource) }),
      });
      this.#stores.set(definition.storage.prefix, store);
    }
    return store;
  }

  /** The revision all stores show: the backend's, but for the moment in which its changes are being handed on. */
  #shown(): number {
    return this.#isRouting ? this.#applied : Math.max(this.#applied, this.backend.revision);
  }

  #route(changes: readonly BackendChange[]): void {
    this.#isRouting = true;
    for (const change of changes) {
      const first = change.key.indexOf("/", ROOT.length);
      if (first < 0) continue;
      const second = change.key.indexOf("/", first + 1);
      const store =
        (second < 0 ? undefined : this.#stores.get(change.key.slice(0, second + 1))) ??
        this.#stores.get(change.key.slice(0, first + 1));
      store?.apply(change);
    }
    this.#applied = Math.max(this.#applied, changes[changes.length - 1]?.revision ?? 0);
    this.#isRouting = false;
  }

  /** Whether the answer could be wrong for not knowing yet what another replica wrote. */
  #isBehindFor(definition: ResourceDefinition, request: ResourceRequest): boolean {
    if (this.backend.settle === undefined) return false;
    if (request.verb === "get" || request.verb === "deletecollection") return true;
    const { namespace } = request;
    // Writes compare with the store itself; what they could miss is that an object is there at all.
    if (request.verb !== "create")
      return (
        this.store(definition).get(objectKey(definition.kind.namespaced ? namespace : undefined, request.name)) ===
        undefined
      );
    const namespaces = this.registry.find("", "v1", "namespaces");
    return namespace !== undefined && namespaces !== undefined && this.store(namespaces).get(namespace) === undefined;
  }

  /**
   * Resolves when reads show everything that was acknowledged before the call, by any replica. Free where no other
   * process writes to the store.
   */
  settle(): Promise<void> | undefined {
    return this.backend.settle?.();
  }

  definition(address: ResourceAddress): ResourceDefinition {
    const definition = this.registry.find(address.group, address.version, address.resource);
    if (definition === undefined) throw notServed();
    return definition;
  }

  /**
   * In-process access as a user; default: the control plane itself, which may do everything. The owners of what it writes
   * are recorded where somebody cares already, with `tracksFields` always.
   */
  transport(user: User = systemUser, { tracksFields = false }: { readonly tracksFields?: boolean } = {}): Transport {
    const elsewhere = forwardingTransport(() => this.#remoteFor(user));
    return {
      send: (request) =>
        this.#isElsewhere(request)
          ? elsewhere.send(request)
          : this.execute(request, { ...this.#context(user, request.onWarning), tracksFields }),
      list: (request) => (this.#isElsewhere(request) ? elsewhere.list(request) : this.list(request)),
      watch: (request, sink) =>
        this.#isElsewhere(request) ? elsewhere.watch(request, sink) : this.watch(request, sink),
      raw: (request) => {
        if (this.raw === undefined) throw notServed();
        return this.raw(request, user);
      },
    };
  }

  #isElsewhere({ group, version, resource }: ResourceAddress): boolean {
    return this.registry.find(group, version, resource)?.origin === "remote";
  }

  /** Others than the control plane itself ask aggregated servers over HTTPS, where they are known by who they are. */
  #remoteFor(user: User): Transport {
    if (this.remote === undefined || user !== systemUser)
      throw serviceUnavailable("kinds of aggregated servers are asked for over HTTPS");
    return this.remote;
  }

  #context(user: User, warn: ((message: string) => void) | undefined): RequestContext {
    return { user, warn: warn ?? unheard };
  }

  async execute(request: ResourceRequest, context: RequestContext): Promise<KubeObject> {
    const definition = this.definition(request);
    if (!definition.verbs.includes(request.verb) && request.subresource === undefined) throw methodNotAllowed();
    if (request.subresource !== undefined && !hasSubresource(definition, request.subresource)) throw notServed();
    if (definition.virtual !== undefined) {
      if (request.verb !== "create") throw methodNotAllowed();
      const { namespace, body, options = {} } = request;
      const asked = admitBody(definition, body, options, context, isKnownIn(this));
      if (asked.metadata.namespace && namespace !== undefined && asked.metadata.namespace !== namespace)
        throw namespaceMismatch();
      const owned = await trackFields(this, definition, undefined, asked, options, undefined, context);
      return definition.virtual(withMetadata(owned, namespace === undefined ? {} : { namespace }), context);
    }
    const loading = this.store(definition).load();
    if (loading !== undefined) await loading;
    const settling = this.#isBehindFor(definition, request) ? this.settle() : undefined;
    if (settling !== undefined) await settling;
    switch (request.verb) {
      case "get":
        return await getObject(this, definition, request);
      case "create":
        if (request.subresource !== undefined) return createSubresource(this, definition, request, context);
        return createObject(this, definition, request.namespace, request.body, request.options ?? {}, context);
      case "update":
        return updateObject(this, definition, request, context);
      case "patch":
        return patchObject(this, definition, request, context);
      case "delete":
        return deleteObject(this, definition, request.namespace, request.name, request.options ?? {}, context);
      case "deletecollection":
        return deleteCollection(this, definition, request, context);
    }
  }

  prepare(definition: ResourceDefinition, objects: readonly KubeObject[]): Promise<void> | undefined {
    return this.#versions.prepare(definition, objects);
  }

  prepareStore(definition: ResourceDefinition, object: KubeObject): Promise<void> | undefined {
    return this.#versions.prepareStore(definition, object);
  }

  /** The object in the version that was asked for. */
  convert(object: KubeObject, definition: ResourceDefinition): KubeObject {
    return this.#versions.convert(object, definition);
  }

  rewritten(object: KubeObject, from: ResourceDefinition, to: ResourceDefinition): KubeObject | Promise<KubeObject> {
    return this.#versions.rewritten(object, from, to);
  }

  forStore(definition: ResourceDefinition, object: KubeObject, stored?: KubeObject): KubeObject {
    return this.#versions.forStore(definition, object, stored);
  }

  list(request: ListRequest): Promise<KubeList> {
    return listObjects(this, request);
  }

  watch(request: WatchRequest, sink: WatchSink): WatchHandle {
    const served = {
      clock: this.clock,
      watches: this.#watches,
      isStopped: this.#isStopped,
      definition: () => this.definition(request),
      store: (definition: ResourceDefinition) => this.store(definition),
      prepare: (definition: ResourceDefinition, objects: readonly KubeObject[]) => this.prepare(definition, objects),
      convert: (object: KubeObject, definition: ResourceDefinition) => this.convert(object, definition),
      settle: () => this.settle(),
    };
    return startWatch(served, request, sink);
  }
}
