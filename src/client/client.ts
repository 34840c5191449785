import {
  apiVersionOf,
  type DeleteOptions,
  isNotFound,
  type KubeList,
  type KubeObject,
  type ListOptions,
  type PatchType,
  type ResourceAddress,
  type ResourceKind,
  type Transport,
  type WatchHandle,
  type WatchRequest,
  type WatchSink,
  type WriteOptions,
} from "#machinery";

/** Addresses one object. `namespace` must be absent for cluster-scoped kinds. */
export interface ObjectName {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** Typed access to one API server. Every method rejects with `ApiError` for an answer that is no success. */
export interface Client {
  readonly transport: Transport;
  get<T extends KubeObject>(kind: ResourceKind<T>, at: ObjectName, signal?: AbortSignal): Promise<T>;
  /** Like `get`, with absence as `undefined`. */
  find<T extends KubeObject>(kind: ResourceKind<T>, at: ObjectName, signal?: AbortSignal): Promise<T | undefined>;
  list<T extends KubeObject>(
    kind: ResourceKind<T>,
    options?: ListOptions & { readonly namespace?: string; readonly signal?: AbortSignal },
  ): Promise<KubeList<T>>;
  create<T extends KubeObject>(kind: ResourceKind<T>, object: T, options?: WriteOptions): Promise<T>;
  update<T extends KubeObject>(kind: ResourceKind<T>, object: T, options?: WriteOptions): Promise<T>;
  updateStatus<T extends KubeObject>(kind: ResourceKind<T>, object: T, options?: WriteOptions): Promise<T>;
  patch<T extends KubeObject>(
    kind: ResourceKind<T>,
    at: ObjectName,
    type: PatchType,
    body: unknown,
    options?: WriteOptions & { readonly subresource?: string },
  ): Promise<T>;
  /** Server-side apply. */
  apply<T extends KubeObject>(
    kind: ResourceKind<T>,
    object: T,
    options: WriteOptions & { readonly fieldManager: string; readonly subresource?: string },
  ): Promise<T>;
  /** Resolves also when the object is gone already; `false` then. */
  delete(kind: ResourceKind, at: ObjectName, options?: DeleteOptions): Promise<boolean>;
  /** Sends to a subresource such as `scale`, `token` or `eviction`. */
  subresource(
    kind: ResourceKind,
    at: ObjectName,
    subresource: string,
    verb: "get" | "create" | "update",
    body?: KubeObject,
  ): Promise<KubeObject>;
  watch<T extends KubeObject>(
    kind: ResourceKind<T>,
    options: Omit<WatchRequest, keyof ResourceAddress> & { readonly namespace?: string },
    sink: WatchSink,
  ): WatchHandle;
}

export interface ClientOptions {
  /** Recorded as the owner of written fields; default `flotilla`. */
  readonly fieldManager?: string;
  /** Called before each write with the kind and subresource; throws to refuse it. */
  readonly guard?: (verb: string, kind: ResourceKind, subresource: string | undefined) => void;
}

/** A client over any transport. It keeps no state of its own. */
export function createClient(transport: Transport, clientOptions: ClientOptions = {}): Client {
  const { fieldManager = "flotilla", guard } = clientOptions;
  const address = (kind: ResourceKind, at: ObjectName): ResourceAddress & { readonly name: string } => ({
    group: kind.group,
    version: kind.version,
    resource: kind.resource,
    name: at.name,
    ...(at.namespace === undefined || !kind.namespaced ? {} : { namespace: at.namespace }),
  });
  const addressOf = (kind: ResourceKind, object: KubeObject) =>
    address(kind, { namespace: object.metadata.namespace, name: object.metadata.name ?? "" });
  const written = (options: WriteOptions | undefined): WriteOptions => ({ fieldManager, ...options });
  const named = <T extends KubeObject>(kind: ResourceKind, object: T): T =>
    object.kind === undefined || object.apiVersion === undefined
      ? { ...object, apiVersion: apiVersionOf(kind), kind: kind.kind }
      : object;

  const client: Client = {
    transport,
    get: async (kind, at, signal) =>
      (await transport.send({ verb: "get", ...address(kind, at), ...(signal && { signal }) })) as never,
    find: async (kind, at, signal) => {
      try {
        return await client.get(kind, at, signal);
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },
    list: async (kind, options = {}) =>
      (await transport.list({
        group: kind.group,
        version: kind.version,
        resource: kind.resource,
        ...options,
      })) as never,
    create: async (kind, object, options) => {
      guard?.("create", kind, undefined);
      const { name: _name, ...at } = addressOf(kind, object);
      return (await transport.send({
        verb: "create",
        ...at,
        body: named(kind, object),
        options: written(options),
      })) as never;
    },
    update: async (kind, object, options) => {
      guard?.("update", kind, undefined);
      return (await transport.send({
        verb: "update",
        ...addressOf(kind, object),
        body: named(kind, object),
        options: written(options),
      })) as never;
    },
    updateStatus: async (kind, object, options) => {
      guard?.("update", kind, "status");
      return (await transport.send({
        verb: "update",
        ...addressOf(kind, object),
        subresource: "status",
        body: named(kind, object),
        options: written(options),
      })) as never;
    },
    patch: async (kind, at, type, body, options = {}) => {
      const { subresource, ...rest } = options;
      guard?.("patch", kind, subresource);
      return (await transport.send({
        verb: "patch",
        ...address(kind, at),
        ...(subresource === undefined ? {} : { subresource }),
        patchType: type,
        body,
        options: written(rest),
      })) as never;
    },
    apply: async (kind, object, { subresource, ...options }) => {
      guard?.("patch", kind, subresource);
      return (await transport.send({
        verb: "patch",
        ...addressOf(kind, object),
        ...(subresource === undefined ? {} : { subresource }),
        patchType: "application/apply-patch+yaml",
        body: named(kind, object),
        options: written(options),
      })) as never;
    },
    delete: async (kind, at, options) => {
      guard?.("delete", kind, undefined);
      try {
        await transport.send({ verb: "delete", ...address(kind, at), ...(options === undefined ? {} : { options }) });
        return true;
      } catch (error) {
        if (isNotFound(error)) return false;
        throw error;
      }
    },
    subresource: async (kind, at, subresource, verb, body) => {
      if (verb === "get") return transport.send({ verb, ...address(kind, at), subresource });
      guard?.(verb, kind, subresource);
      return transport.send({
        verb,
        ...address(kind, at),
        subresource,
        body: body as KubeObject,
        options: written({}),
      });
    },
    watch: (kind, options, sink) =>
      transport.watch({ group: kind.group, version: kind.version, resource: kind.resource, ...options }, sink),
  };
  return client;
}
