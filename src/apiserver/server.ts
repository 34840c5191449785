import { type Clock, deepEqual, deepFreeze, type Logger, type Random, silentLogger } from "#base";
import {
  alreadyExists,
  apiError,
  apiVersionOf,
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  badRequest,
  conflict,
  type DeleteOptions,
  forbidden,
  formatTime,
  getPath,
  gvkOf,
  invalid,
  isJsonObject,
  type JsonPatchOperation,
  type KubeList,
  type KubeObject,
  type ListRequest,
  methodNotSupported,
  notFound,
  objectKey,
  PatchError,
  type RawRequest,
  type RawResponse,
  type ResourceAddress,
  type ResourceRequest,
  setPath,
  staleConflict,
  type Transport,
  type WatchHandle,
  type WatchRequest,
  type WatchSink,
  withMetadata,
  type WriteOptions,
} from "#machinery";
import type { Backend, BackendChange, BackendWatch } from "#store";
import { admit, type AdmissionPlugin, type AdmissionRequest } from "./admission.ts";
import { applyManaged, trackUpdate } from "./apply/apply.ts";
import { hasSpecFinalizers, planDeletion, successStatus } from "./deletion.ts";
import {
  hasSubresource,
  type RequestContext,
  type ResourceDefinition,
  systemUser,
  type User,
  type VersionConversion,
} from "./definition.ts";
import { decodeMetadata, metadataForCreate, metadataForUpdate, validateMetadata } from "./metadata.ts";
import { checkListOptions, ListPages, tooLargeVersion } from "./list-pages.ts";
import { ResourceRegistry } from "./registry.ts";
import { compileFilter } from "./selection.ts";
import { applyScale, scaleOf } from "./scale.ts";
import { ResourceStore, type StoredObject } from "./storage/resource-store.ts";
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
}

const ROOT = "/registry/";
/** Every lost try means that another writer won, so this many would have to be under way at once. */
const PATCH_TRIES_MAX = 200;
const GENERATED_NAME_TRIES_MAX = 8;

/**
 * An API server: verbs over stored resources, with admission and validation. It knows nothing of HTTP; `transport` gives
 * in-process clients the same behaviour without serialisation.
 */
export class ApiServer {
  readonly registry = new ResourceRegistry();
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly backend: Backend;
  readonly admission: AdmissionPlugin[];
  raw: ((request: RawRequest, user: User) => Promise<RawResponse>) | undefined;
  readonly #checksNamespaces: boolean;
  readonly #conversions: ReadonlyMap<string, VersionConversion> | undefined;
  readonly #stores = new Map<string, ResourceStore>();
  readonly #pages: ListPages;
  readonly #watch: BackendWatch;
  readonly #watches = new Set<{ close(error?: Error): void }>();
  /** Objects in other versions, made once for all readers. */
  readonly #converted = new WeakMap<ResourceDefinition, WeakMap<KubeObject, KubeObject>>();
  #isStopped = false;

  constructor(options: ApiServerOptions) {
    this.backend = options.backend;
    this.clock = options.clock;
    this.random = options.random;
    this.log = options.log ?? silentLogger;
    this.admission = [...(options.admission ?? [])];
    this.raw = options.raw;
    this.#pages = new ListPages(options.clock, options.random);
    this.#conversions = options.conversions;
    this.#checksNamespaces = options.checksNamespaces ?? true;
    this.#watch = this.backend.watch(ROOT, this.backend.revision, {
      changes: (changes) => this.#route(changes),
      closed: (error) => {
        if (!this.#isStopped && error !== undefined) this.log.error("store watch ended", { error });
      },
    });
  }

  /** Ends all watches in order; requests after it fail. */
  stop(): void {
    this.#isStopped = true;
    this.#watch.stop();
    for (const watch of [...this.#watches]) watch.close();
  }

  /** The store of a resource; all versions share one. */
  store(definition: ResourceDefinition): ResourceStore {
    let store = this.#stores.get(definition.storage.prefix);
    if (store === undefined) {
      store = new ResourceStore(this.backend, definition.storage.prefix);
      this.#stores.set(definition.storage.prefix, store);
    }
    return store;
  }

  #route(changes: readonly BackendChange[]): void {
    for (const change of changes) {
      const first = change.key.indexOf("/", ROOT.length);
      if (first < 0) continue;
      const second = change.key.indexOf("/", first + 1);
      const store =
        (second < 0 ? undefined : this.#stores.get(change.key.slice(0, second + 1))) ??
        this.#stores.get(change.key.slice(0, first + 1));
      store?.apply(change);
    }
  }

  definition(address: ResourceAddress): ResourceDefinition {
    const definition = this.registry.find(address.group, address.version, address.resource);
    if (definition === undefined) throw apiError(404, "NotFound", "the server could not find the requested resource");
    return definition;
  }

  /** In-process access as a user; default: the control plane itself, which may do everything. */
  transport(user: User = systemUser): Transport {
    return {
      send: (request) => this.execute(request, this.#context(user, request.onWarning)),
      list: (request) => this.list(request),
      watch: (request, sink) => this.watch(request, sink),
      raw: (request) => {
        if (this.raw === undefined) throw apiError(404, "NotFound", "the server could not find the requested resource");
        return this.raw(request, user);
      },
    };
  }

  #context(user: User, warn: ((message: string) => void) | undefined): RequestContext {
    return { user, warn: warn ?? (() => {}) };
  }

  async execute(request: ResourceRequest, context: RequestContext): Promise<KubeObject> {
    const definition = this.definition(request);
    if (!definition.verbs.includes(request.verb) && request.subresource === undefined)
      throw methodNotSupported(definition.kind, request.verb);
    if (request.subresource !== undefined && !hasSubresource(definition, request.subresource))
      throw apiError(404, "NotFound", "the server could not find the requested resource");
    if (definition.virtual !== undefined) {
      if (request.verb !== "create") throw methodNotSupported(definition.kind, request.verb);
      return definition.virtual(
        withMetadata(request.body, request.namespace === undefined ? {} : { namespace: request.namespace }),
        context,
      );
    }
    const loading = this.store(definition).load();
    if (loading !== undefined) await loading;
    switch (request.verb) {
      case "get":
        return this.#get(definition, request);
      case "create":
        if (request.subresource !== undefined) return this.#createSubresource(definition, request, context);
        return this.#create(definition, request.namespace, request.body, request.options ?? {}, context);
      case "update":
        return this.#update(definition, request, context);
      case "patch":
        return this.#patch(definition, request, context);
      case "delete":
        return this.#delete(definition, request.namespace, request.name, request.options ?? {}, context);
      case "deletecollection": {
        const { items, ...list } = await this.list({ ...request, ...request.selection });
        for (const { metadata } of items) {
          try {
            await this.#delete(definition, metadata.namespace, metadata.name ?? "", request.options ?? {}, context);
          } catch (error) {
            if (!(error instanceof Error && "reason" in error && error.reason === "NotFound")) throw error;
          }
        }
        return { ...list, items } as unknown as KubeObject;
      }
    }
  }

  #read(definition: ResourceDefinition, namespace: string | undefined, name: string): StoredObject {
    const found = this.store(definition).get(objectKey(definition.kind.namespaced ? namespace : undefined, name));
    if (found === undefined) throw notFound(definition.kind, name);
    return found;
  }

  #get(definition: ResourceDefinition, request: ResourceAddress & { readonly name: string }): KubeObject {
    const { object } = this.#read(definition, request.namespace, request.name);
    const shown = this.convert(object, definition);
    if (request.subresource === "scale") return scaleOf(definition, shown);
    return shown;
  }

  /** The object in the version that was asked for. */
  convert(object: KubeObject, definition: ResourceDefinition): KubeObject {
    const { kind } = definition;
    const apiVersion = apiVersionOf(kind);
    if (object.apiVersion === apiVersion && object.kind === kind.kind) return object;
    let cache = this.#converted.get(definition);
    if (cache === undefined) this.#converted.set(definition, (cache = new WeakMap()));
    let shown = cache.get(object);
    if (shown === undefined) {
      shown = deepFreeze({
        ...(this.#conversionOf(definition)?.fromStored(object) ?? object),
        apiVersion,
        kind: kind.kind,
      });
      cache.set(object, shown);
    }
    return shown;
  }

  /** The body of a request with a head that can be relied upon: texts where texts must be, and metadata. */
  #decodeHead(definition: ResourceDefinition, body: unknown): KubeObject {
    const { kind } = definition;
    const refuse = (detail: string) =>
      badRequest(
        `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${detail}`,
      );
    if (!isJsonObject(body)) throw badRequest("the body of the request must be an object");
    for (const name of ["apiVersion", "kind"])
      if (body[name] !== undefined && typeof body[name] !== "string")
        throw badRequest(
          `couldn't get version/kind; json parse error: json: cannot unmarshal ${Array.isArray(body[name]) ? "array" : typeof body[name]} into Go struct field .${name} of type string`,
        );
    const metadata = decodeMetadata(body["metadata"], refuse);
    return (metadata === body["metadata"] ? body : { ...body, metadata }) as unknown as KubeObject;
  }

  /** Decodes what a client sent: drops unknown members as `fieldValidation` says, and fills in defaults. */
  #admitBody(
    definition: ResourceDefinition,
    sentBody: KubeObject,
    options: WriteOptions,
    context: RequestContext,
  ): KubeObject {
    const { schema, kind } = definition;
    const body = this.#decodeHead(definition, sentBody);
    const { group, version, kind: sent } = gvkOf({ apiVersion: body.apiVersion ?? "", kind: body.kind ?? "" });
    if (body.kind !== undefined && (sent !== kind.kind || group !== kind.group || version !== kind.version))
      throw badRequest(
        `${body.kind} in version ${JSON.stringify(body.apiVersion ?? "")} cannot be handled as a ${kind.kind}: converting (${body.apiVersion}, Kind=${sent}) to (${apiVersionOf(kind)}, Kind=${kind.kind}): unknown conversion`,
      );
    let object: KubeObject = { ...body, apiVersion: apiVersionOf(kind), kind: kind.kind };
    object = definition.strategy.normalise?.(object) ?? object;
    if (schema !== undefined) {
      if (definition.origin === "builtin") {
        const mismatch = schema.validate(object).find(({ type }) => type === "FieldValueTypeInvalid");
        if (mismatch !== undefined)
          throw badRequest(
            `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: json: cannot unmarshal ${mismatch.message.match(/: "(\w+)"$/)?.[1] ?? "value"} into Go struct field ${kind.kind}.${mismatch.field} of type ${mismatch.message.match(/of type (\S+):/)?.[1] ?? "value"}`,
          );
      }
      const unknown: string[] = [];
      object = schema.prune(object, unknown) as KubeObject;
      if (unknown.length > 0) {
        if (options.fieldValidation === "Strict")
          throw badRequest(
            `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: strict decoding error: ${unknown.map((path) => `unknown field ${JSON.stringify(path)}`).join(", ")}`,
          );
        if (options.fieldValidation !== "Ignore")
          for (const path of unknown) context.warn(`unknown field ${JSON.stringify(path)}`);
      }
      object = schema.applyDefaults(object) as KubeObject;
    }
    return definition.strategy.applyDefaults?.(object) ?? object;
  }

  #validate(definition: ResourceDefinition, object: KubeObject, old: KubeObject | undefined): void {
    const { strategy, schema, kind } = definition;
    const errors = [...validateMetadata(definition, object, old)];
    if (schema !== undefined) {
      let found = schema.validate(object);
      // A status nobody has written yet is filled with empty parts; what they lack is no mistake of the client.
      if (definition.origin === "builtin")
        found = found.filter(({ type, field }) => type !== "FieldValueRequired" || !field.startsWith("status."));
      // A value that was wrong before and did not change is no new mistake.
      if (found.length > 0 && old !== undefined && definition.origin !== "builtin") {
        const known = new Set(schema.validate(old).map(({ field, message }) => `${field} ${message}`));
        found = found.filter(({ field, message }) => !known.has(`${field} ${message}`));
      }
      errors.push(...found);
    }
    if (errors.length === 0) {
      errors.push(...(strategy.validate?.(object) ?? []));
      if (old !== undefined) errors.push(...(strategy.validateUpdate?.(object, old) ?? []));
    }
    if (errors.length > 0) throw invalid(kind, object.metadata.name ?? "", errors);
  }

  #checkNamespace(definition: ResourceDefinition, namespace: string | undefined, name: string): void {
    if (!this.#checksNamespaces || !definition.kind.namespaced) return;
    const namespaces = this.registry.find("", "v1", "namespaces");
    if (namespaces === undefined) return;
    const found = this.store(namespaces).get(namespace ?? "");
    if (found === undefined) throw notFound({ group: "", resource: "namespaces" }, namespace ?? "");
    if (found.object.metadata.deletionTimestamp === undefined) return;
    const error = forbidden(
      definition.kind,
      name,
      `unable to create new content in namespace ${namespace} because it is being terminated`,
    );
    throw apiError(403, "Forbidden", error.message, {
      ...error.status.details,
      causes: [
        {
          reason: "NamespaceTerminating",
          message: `namespace ${namespace} is being terminated`,
          field: "metadata.namespace",
        },
      ],
    });
  }

  async #create(
    definition: ResourceDefinition,
    namespace: string | undefined,
    sentBody: KubeObject,
    options: WriteOptions,
    context: RequestContext,
    tries = 1,
  ): Promise<KubeObject> {
    const body = this.#decodeHead(definition, sentBody);
    const { strategy } = definition;
    const at = definition.kind.namespaced ? (namespace ?? (body.metadata?.namespace || undefined)) : undefined;
    if (definition.kind.namespaced && at === undefined)
      throw badRequest("an empty namespace may not be set during creation");
    let object = this.#admitBody(definition, body, options, context);
    const metadata = metadataForCreate(definition, object.metadata, at, this.clock.now(), this.random);
    object = { ...object, metadata };
    if (hasSubresource(definition, "status") && !strategy.keepsStatusOnCreate) {
      const hasStatus = (object as { status?: unknown }).status !== undefined;
      object = withoutStatus(object);
      if (definition.origin === "builtin" && (hasStatus || strategy.emptyStatus !== undefined))
        object = { ...object, status: strategy.emptyStatus ?? {} } as KubeObject;
    }
    object = strategy.prepareForCreate?.(object, context) ?? object;
    const namespaces = this.registry.find("", "v1", "namespaces");
    if (namespaces !== undefined) await this.store(namespaces).load();
    this.#checkNamespace(definition, at, metadata.name ?? "");
    const request = this.#admission(
      "CREATE",
      definition,
      object,
      undefined,
      undefined,
      options.dryRun ?? false,
      context,
    );
    object = (await admit(this.admission, request, (changed) => {
      const settled = this.#track(
        definition,
        undefined,
        this.#settle(definition, changed, object),
        options,
        undefined,
        context,
      );
      this.#validate(definition, settled, undefined);
      return settled;
    })) as KubeObject;
    const key = objectKey(at, object.metadata.name ?? "");
    if (options.dryRun) {
      if (this.store(definition).get(key) !== undefined)
        throw alreadyExists(definition.kind, object.metadata.name ?? "");
      return object;
    }
    const written = await this.store(definition).put(key, this.#forStore(definition, object), 0);
    if ("found" in written) {
      if (metadata.generateName !== undefined && !body.metadata?.name && tries < GENERATED_NAME_TRIES_MAX)
        return this.#create(definition, namespace, body, options, context, tries + 1);
      throw alreadyExists(definition.kind, object.metadata.name ?? "");
    }
    return this.convert(written.object, definition);
  }

  /** What a mutating plugin made is defaulted again, as its patch could have removed something. */
  #settle(definition: ResourceDefinition, changed: KubeObject, before: KubeObject): KubeObject {
    if (changed === before) return changed;
    const pruned = (definition.schema?.prune(changed, []) ?? changed) as KubeObject;
    const filled = (definition.schema?.applyDefaults(pruned) ?? pruned) as KubeObject;
    return definition.strategy.applyDefaults?.(filled) ?? filled;
  }

  #conversionOf(definition: ResourceDefinition): VersionConversion | undefined {
    const { group, version, resource } = definition.kind;
    return definition.conversion ?? this.#conversions?.get(`${group}/${version}/${resource}`);
  }

  #forStore(definition: ResourceDefinition, object: KubeObject, stored?: KubeObject): KubeObject {
    const { version, group = definition.kind.group } = definition.storage;
    return version === definition.kind.version && group === definition.kind.group
      ? object
      : {
          ...(this.#conversionOf(definition)?.toStored(object, stored) ?? object),
          apiVersion: apiVersionOf({ group, version }),
        };
  }

  #admission(
    operation: AdmissionRequest["operation"],
    definition: ResourceDefinition,
    object: KubeObject | undefined,
    oldObject: KubeObject | undefined,
    subresource: string | undefined,
    isDryRun: boolean,
    context: RequestContext,
  ): AdmissionRequest {
    const metadata = (object ?? oldObject)?.metadata ?? {};
    return {
      operation,
      definition,
      object,
      oldObject,
      subresource,
      namespace: metadata.namespace,
      name: metadata.name ?? "",
      user: context.user,
      isDryRun,
      warn: context.warn,
    };
  }

  async #update(
    definition: ResourceDefinition,
    request: Extract<ResourceRequest, { verb: "update" }>,
    context: RequestContext,
  ): Promise<KubeObject> {
    const { name, namespace, subresource, options = {} } = request;
    const head = this.#decodeHead(definition, request.body);
    const sentName = head.metadata.name || undefined;
    if (sentName !== undefined && sentName !== name)
      throw badRequest(`the name of the object (${sentName}) does not match the name on the URL (${name})`);
    const sentNamespace = head.metadata.namespace;
    if (definition.kind.namespaced && sentNamespace && namespace !== undefined && sentNamespace !== namespace)
      throw badRequest(
        `the namespace of the object (${sentNamespace}) does not match the namespace on the request (${namespace})`,
      );
    if (subresource === "scale") {
      return this.#modify(
        definition,
        request,
        options,
        context,
        (old) => applyScale(definition, old, head),
        undefined,
        (result) => scaleOf(definition, result),
      );
    }
    const found = this.store(definition).get(objectKey(definition.kind.namespaced ? namespace : undefined, name));
    if (found === undefined) {
      if (
        definition.strategy.createsOnUpdate !== true ||
        subresource !== undefined ||
        request.body.metadata?.resourceVersion
      )
        throw notFound(definition.kind, name);
      return this.#create(definition, namespace, request.body, options, context);
    }
    if (
      (definition.origin === "custom" || definition.strategy.needsVersionOnUpdate === true) &&
      subresource === undefined &&
      !request.body.metadata?.resourceVersion
    )
      throw invalid(definition.kind, name, [
        {
          type: "FieldValueInvalid",
          field: "metadata.resourceVersion",
          message: "Invalid value: 0: must be specified for an update",
        },
      ]);
    const body = this.#admitBody(definition, request.body, options, context);
    return this.#modify(definition, request, options, context, () => body, request.body.metadata?.resourceVersion);
  }

  /**
   * The road of every change of an existing object: make the new one from the present one, admit it, and write it if the
   * present one is still the present one.
   */
  async #modify(
    definition: ResourceDefinition,
    address: ResourceAddress & { readonly name: string },
    options: WriteOptions,
    context: RequestContext,
    change: (old: KubeObject) => KubeObject,
    expectedVersion: string | undefined,
    show: (result: KubeObject) => KubeObject = (result) => result,
    isApply = false,
  ): Promise<KubeObject> {
    const store = this.store(definition);
    const key = objectKey(definition.kind.namespaced ? address.namespace : undefined, address.name);
    for (let tries = 0; ; tries++) {
      const present = store.get(key);
      if (present === undefined) throw notFound(definition.kind, address.name);
      if (expectedVersion !== undefined && expectedVersion !== "" && expectedVersion !== String(present.revision))
        throw staleConflict(definition.kind, address.name);
      const old = this.convert(present.object, definition);
      const changed = change(old);
      const metadata = metadataForUpdate(definition, changed.metadata, old);
      let object = this.#separate(definition, { ...changed, metadata }, old, address.subresource);
      object = definition.strategy.prepareForUpdate?.(object, old, context) ?? object;
      object = this.#countGeneration(definition, object, old);
      const request = this.#admission(
        "UPDATE",
        definition,
        object,
        old,
        address.subresource,
        options.dryRun ?? false,
        context,
      );
      object = (await admit(this.admission, request, (mutated) => {
        const settled = this.#settle(definition, mutated, object);
        const counted = settled === object ? settled : this.#countGeneration(definition, settled, old);
        if (deepEqual(counted, old)) return counted;
        this.#validate(definition, counted, old);
        return isApply ? counted : this.#track(definition, old, counted, options, address.subresource, context);
      })) as KubeObject;
      if (options.dryRun || deepEqual(object, old)) return show(options.dryRun ? object : old);
      const isGone =
        old.metadata.deletionTimestamp !== undefined &&
        (object.metadata.finalizers ?? []).length === 0 &&
        (old.metadata.deletionGracePeriodSeconds ?? 0) === 0;
      if (isGone && !hasSpecFinalizers(object)) {
        const removed = await store.delete(key, present.revision);
        if (!("found" in removed)) return show(object);
      } else {
        const written = await store.put(key, this.#forStore(definition, object, present.object), present.revision);
        if (!("found" in written)) return show(this.convert(written.object, definition));
      }
      if (expectedVersion || tries >= PATCH_TRIES_MAX) throw staleConflict(definition.kind, address.name);
    }
  }

  /** A write to `/status` changes the status only, any other write everything else. */
  #separate(
    definition: ResourceDefinition,
    object: KubeObject,
    old: KubeObject,
    subresource: string | undefined,
  ): KubeObject {
    if (subresource === "status") {
      const status = (object as { status?: unknown }).status;
      // Conditions and the like may be written together with the metadata of custom resources.
      const metadata = {
        ...old.metadata,
        ...(object.metadata.managedFields === undefined ? {} : { managedFields: object.metadata.managedFields }),
      };
      const { status: _old, ...rest } = old as KubeObject & { status?: unknown };
      return { ...rest, metadata, ...(status === undefined ? {} : { status }) } as KubeObject;
    }
    // An approval decides by conditions; the rest of the status is the signer's.
    if (subresource === "approval") {
      const conditions = getPath(object, "status", "conditions");
      return setPath(
        { ...old, metadata: { ...old.metadata, managedFields: object.metadata.managedFields } } as KubeObject,
        ["status", "conditions"],
        conditions,
      );
    }
    if (subresource === "finalize")
      return setPath(old, ["spec", "finalizers"], getPath(object, "spec", "finalizers") ?? []);
    if (!hasSubresource(definition, "status")) return object;
    const { status: _sent, ...rest } = object as KubeObject & { status?: unknown };
    const status = (old as { status?: unknown }).status;
    return (status === undefined ? rest : { ...rest, status }) as KubeObject;
  }

  #countGeneration(definition: ResourceDefinition, object: KubeObject, old: KubeObject): KubeObject {
    if (!definition.hasGeneration) return object;
    const { metadata: _m, status: _s, ...after } = object as KubeObject & { status?: unknown };
    const { metadata: _om, status: _os, ...before } = old as KubeObject & { status?: unknown };
    const generation = (old.metadata.generation ?? 0) + (deepEqual(after, before) ? 0 : 1);
    return generation === (object.metadata.generation ?? 0) ? object : withMetadata(object, { generation });
  }

  async #patch(
    definition: ResourceDefinition,
    request: Extract<ResourceRequest, { verb: "patch" }>,
    context: RequestContext,
  ): Promise<KubeObject> {
    const { options = {}, name, namespace, patchType, body } = request;
    if (patchType === "application/apply-patch+yaml") return this.#apply(definition, request, context);
    const version = isJsonObject(body) ? getPath(body, "metadata", "resourceVersion") : undefined;
    const isScale = request.subresource === "scale";
    const change = (old: KubeObject): KubeObject => {
      const target = isScale ? scaleOf(definition, old) : old;
      let patched: unknown;
      try {
        if (patchType === "application/json-patch+json") {
          if (!Array.isArray(body)) throw new PatchError("a JSON patch must be an array of operations");
          patched = applyJsonPatch<unknown>(target, body as readonly JsonPatchOperation[]);
        } else if (patchType === "application/merge-patch+json") patched = applyMergePatch(target, body);
        else if (patchType === "application/strategic-merge-patch+json") {
          if (definition.origin !== "builtin")
            throw apiError(
              415,
              "UnsupportedMediaType",
              "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            );
          patched = applyStrategicMergePatch(target, body, definition.schema);
        } else
          throw apiError(
            415,
            "UnsupportedMediaType",
            `the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml`,
          );
      } catch (error) {
        if (error instanceof PatchError) {
          if (patchType === "application/json-patch+json" && Array.isArray(body))
            throw apiError(422, "Invalid", `the server rejected our request due to an error in our request`, {
              causes: [{ message: error.message }],
            });
          throw badRequest(error.message);
        }
        throw error;
      }
      if (!isJsonObject(patched)) throw badRequest("the patched object is no object");
      if (isScale) return applyScale(definition, old, patched as unknown as KubeObject);
      const sent = patched as unknown as KubeObject;
      if (sent.metadata?.name !== name)
        throw invalid(definition.kind, name, [
          {
            type: "FieldValueInvalid",
            field: "metadata.name",
            message: `Invalid value: ${JSON.stringify(sent.metadata?.name ?? "")}: field is immutable`,
          },
        ]);
      return this.#admitBody(definition, sent, options, context);
    };
    const loaded = this.store(definition).get(objectKey(definition.kind.namespaced ? namespace : undefined, name));
    if (loaded === undefined) throw notFound(definition.kind, name);
    return this.#modify(
      definition,
      request,
      options,
      context,
      change,
      typeof version === "string" && !isScale ? version : undefined,
      isScale ? (result) => scaleOf(definition, result) : undefined,
    );
  }

  async #apply(
    definition: ResourceDefinition,
    request: Extract<ResourceRequest, { verb: "patch" }>,
    context: RequestContext,
  ): Promise<KubeObject> {
    const { options = {}, name, namespace, body, subresource } = request;
    if (!options.fieldManager)
      throw invalid({ group: "meta.k8s.io", kind: "PatchOptions" }, "", [
        { type: "FieldValueRequired", field: "fieldManager", message: "Required value: is required for apply patch" },
      ]);
    if (!isJsonObject(body)) throw badRequest("an apply patch must be an object");
    const applied = body as unknown as KubeObject;
    if (!applied.apiVersion || !applied.kind) throw badRequest("apiVersion and kind must be set in an apply patch");
    if (applied.metadata?.managedFields !== undefined) throw badRequest("metadata.managedFields must be nil");
    const manager = {
      manager: options.fieldManager,
      apiVersion: apiVersionOf(definition.kind),
      subresource,
      time: formatTime(this.clock.now()),
      force: options.force ?? false,
    };
    const key = objectKey(definition.kind.namespaced ? namespace : undefined, name);
    if (this.store(definition).get(key) === undefined) {
      if (subresource !== undefined) throw notFound(definition.kind, name);
      const made = applyManaged(
        undefined,
        { ...applied, metadata: { ...applied.metadata, name } },
        definition.schema,
        manager,
      );
      return this.#create(definition, namespace, made, options, context);
    }
    return this.#modify(
      definition,
      request,
      options,
      context,
      (old) => this.#admitBody(definition, applyManaged(old, applied, definition.schema, manager), options, context),
      applied.metadata?.resourceVersion,
      undefined,
      true,
    );
  }

  /** Keeps the owners of fields: for clients outside always, for our own writes where somebody cares already. */
  #track(
    definition: ResourceDefinition,
    old: KubeObject | undefined,
    object: KubeObject,
    options: WriteOptions,
    subresource: string | undefined,
    context: RequestContext,
  ): KubeObject {
    const isApplied =
      old === undefined && object.metadata.managedFields?.some(({ operation }) => operation === "Apply");
    if (isApplied || (!context.tracksFields && old?.metadata.managedFields === undefined)) return object;
    return trackUpdate(old, object, definition.schema, {
      manager: options.fieldManager ?? "unknown",
      apiVersion: apiVersionOf(definition.kind),
      subresource,
      time: formatTime(this.clock.now()),
      force: false,
    });
  }

  async #createSubresource(
    definition: ResourceDefinition,
    request: Extract<ResourceRequest, { verb: "create" }>,
    context: RequestContext,
  ): Promise<KubeObject> {
    const { namespace, subresource, body } = request;
    const name = request.name ?? "";
    if (subresource === "binding" && definition.kind.resource === "pods") {
      const node = getPath(body, "target", "name");
      if (typeof node !== "string" || node === "")
        throw invalid({ group: "", kind: "Binding" }, name, [
          { type: "FieldValueRequired", field: "target.name", message: "Required value" },
        ]);
      await this.#modify(
        definition,
        { ...request, name, subresource: "binding" },
        {},
        context,
        (old) => {
          const present = getPath(old, "spec", "nodeName");
          if (present)
            throw conflict(
              { group: "", resource: "pods/binding" },
              name,
              `pod ${name} is already assigned to node ${JSON.stringify(present)}`,
            );
          if (old.metadata.deletionTimestamp !== undefined)
            throw conflict(
              { group: "", resource: "pods/binding" },
              name,
              `pod ${name} is being deleted, cannot be assigned to a host`,
            );
          const conditions = (getPath(old, "status", "conditions") as readonly { type: string }[] | undefined) ?? [];
          const scheduled = {
            type: "PodScheduled",
            status: "True",
            lastProbeTime: null,
            lastTransitionTime: formatTime(this.clock.now()),
          };
          const bound = setPath(old, ["spec", "nodeName"], node);
          return setPath(
            bound,
            ["status", "conditions"],
            [...conditions.filter(({ type }) => type !== "PodScheduled"), scheduled],
          );
        },
        undefined,
      );
      return successStatus(undefined, 201) as unknown as KubeObject;
    }
    if (subresource === "eviction" && definition.kind.resource === "pods") {
      await this.#delete(
        definition,
        namespace,
        name,
        (body as { deleteOptions?: DeleteOptions }).deleteOptions ?? {},
        context,
      );
      return successStatus(undefined, 201) as unknown as KubeObject;
    }
    const handler = this.connect.get(`${definition.kind.group}/${definition.kind.resource}/${subresource}`);
    if (handler !== undefined) return handler(this.#read(definition, namespace, name).object, body, context);
    throw methodNotSupported(definition.kind, "create");
  }

  /** Further subresources one can post to, by `group/resource/subresource`. */
  readonly connect = new Map<
    string,
    (object: KubeObject, body: KubeObject, context: RequestContext) => Promise<KubeObject> | KubeObject
  >();

  async #delete(
    definition: ResourceDefinition,
    namespace: string | undefined,
    name: string,
    options: DeleteOptions,
    context: RequestContext,
  ): Promise<KubeObject> {
    const store = this.store(definition);
    const key = objectKey(definition.kind.namespaced ? namespace : undefined, name);
    for (let tries = 0; ; tries++) {
      const present = store.get(key);
      if (present === undefined) throw notFound(definition.kind, name);
      const old = this.convert(present.object, definition);
      const { preconditions } = options;
      if (preconditions?.uid !== undefined && preconditions.uid !== "" && preconditions.uid !== old.metadata.uid)
        throw conflict(
          definition.kind,
          name,
          `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${old.metadata.uid}`,
        );
      if (preconditions?.resourceVersion && preconditions.resourceVersion !== old.metadata.resourceVersion)
        throw conflict(
          definition.kind,
          name,
          `Precondition failed: ResourceVersion in precondition: ${preconditions.resourceVersion}, ResourceVersion in object meta: ${old.metadata.resourceVersion}`,
        );
      await admit(
        this.admission,
        this.#admission("DELETE", definition, undefined, old, undefined, options.dryRun ?? false, context),
        (object) => object,
      );
      const plan = planDeletion(definition, old, options, this.clock.now());
      if (options.dryRun)
        return plan.type === "remove"
          ? (successStatus(old, 200, definition.kind) as unknown as KubeObject)
          : plan.object;
      if (plan.type === "keep") return plan.object;
      if (plan.type === "remove") {
        const removed = await store.delete(key, present.revision);
        if (!("found" in removed)) return successStatus(old, 200, definition.kind) as unknown as KubeObject;
      } else {
        const written = await store.put(key, this.#forStore(definition, plan.object, present.object), present.revision);
        if (!("found" in written)) return this.convert(written.object, definition);
      }
      if (tries >= PATCH_TRIES_MAX) throw staleConflict(definition.kind, name);
    }
  }

  async list(request: ListRequest): Promise<KubeList> {
    const definition = this.definition(request);
    const store = this.store(definition);
    const loading = store.load();
    if (loading !== undefined) await loading;
    const head = { apiVersion: apiVersionOf(definition.kind), kind: `${definition.kind.kind}List` };
    checkListOptions(request);
    if (request.continue) return this.#pages.next(head, request.continue, request.limit);
    const filter = compileFilter(definition, request.labelSelector, request.fieldSelector, request.name);
    const wanted =
      request.resourceVersion === undefined || request.resourceVersion === "" ? 0 : Number(request.resourceVersion);
    if (!Number.isInteger(wanted) || wanted < 0)
      throw badRequest(`invalid resource version: ${request.resourceVersion}`);
    if (wanted > store.revision) throw tooLargeVersion(wanted, store.revision);
    const isExact =
      request.resourceVersionMatch === "Exact" ||
      (request.resourceVersionMatch === undefined && wanted !== 0 && request.limit !== undefined && request.limit > 0);
    const namespace = definition.kind.namespaced ? request.namespace : undefined;
    const items: KubeObject[] = [];
    for (const [, { object }] of isExact ? store.rangeAt(wanted, namespace) : store.range(namespace)) {
      const shown = this.convert(object, definition);
      if (filter === undefined || filter(shown)) items.push(shown);
    }
    return this.#pages.cut(head, items, isExact ? wanted : store.revision, request.limit);
  }

  watch(request: WatchRequest, sink: WatchSink): WatchHandle {
    const served = {
      clock: this.clock,
      watches: this.#watches,
      isStopped: this.#isStopped,
      definition: () => this.definition(request),
      store: (definition: ResourceDefinition) => this.store(definition),
      convert: (object: KubeObject, definition: ResourceDefinition) => this.convert(object, definition),
    };
    return startWatch(served, request, sink);
  }
}

function withoutStatus(object: KubeObject): KubeObject {
  const { status: _status, ...rest } = object as KubeObject & { status?: unknown };
  return rest as KubeObject;
}
