/** Kubernetes objects as plain JSON: functions act on them, classes do not wrap them, nobody changes one in place. */

export type StringMap = Readonly<Record<string, string>>;

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ManagedFieldsEntry {
  readonly manager?: string;
  readonly operation?: "Apply" | "Update";
  readonly apiVersion?: string;
  readonly time?: string;
  readonly fieldsType?: string;
  readonly fieldsV1?: Readonly<Record<string, unknown>>;
  readonly subresource?: string;
}

export interface ObjectMeta {
  readonly name?: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string | null;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: StringMap;
  readonly annotations?: StringMap;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
  readonly managedFields?: readonly ManagedFieldsEntry[];
  readonly selfLink?: string;
}

/** Any Kubernetes object. `spec`, `status` and other members are read through the kind's own type or `getPath`. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

/** An object whose kind is known only at run time: every member may be read as `unknown`. */
export interface UnstructuredObject extends KubeObject {
  readonly [member: string]: unknown;
}

export interface ListMeta {
  readonly resourceVersion?: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

export interface KubeList<T extends KubeObject = KubeObject> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ListMeta;
  readonly items: readonly T[];
}

export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export interface GroupVersionResource {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
}

/** What a client must know of a kind to address it. `T` is the shape of its objects. */
export interface ResourceKind<T extends KubeObject = KubeObject> {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** Plural name in paths, such as `deployments`. */
  readonly resource: string;
  readonly namespaced: boolean;
  /** Phantom: carries the object type; never present at run time. */
  readonly type?: T;
}

/** `GROUP/VERSION/RESOURCE`: one text for each kind that is served. */
export const kindKey = ({ group, version, resource }: Pick<ResourceKind, "group" | "version" | "resource">): string =>
  `${group}/${version}/${resource}`;

/** Splits `apps/v1` or `v1`; the core group is the empty string. */
export function parseApiVersion(apiVersion: string): { readonly group: string; readonly version: string } {
  const slash = apiVersion.indexOf("/");
  return slash < 0
    ? { group: "", version: apiVersion }
    : { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

/** `apps/v1`, or `v1` for the core group. */
export function apiVersionOf(kind: { readonly group: string; readonly version: string }): string {
  return kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
}

export function gvkOf(object: { readonly apiVersion: string; readonly kind: string }): GroupVersionKind {
  const { group, version } = parseApiVersion(object.apiVersion);
  return { group, version, kind: object.kind };
}

/** `namespace/name`, or `name` for cluster-scoped objects: the key of caches and queues. */
export function keyOf(object: { readonly metadata: ObjectMeta }): string {
  const { namespace, name = "" } = object.metadata;
  return namespace ? `${namespace}/${name}` : name;
}

export function objectKey(namespace: string | undefined, name: string): string {
  return namespace ? `${namespace}/${name}` : name;
}

export function splitKey(key: string): { readonly namespace?: string; readonly name: string } {
  const slash = key.indexOf("/");
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The reference that says `owner` controls the object it is put on. */
export function controllerReference(owner: KubeObject): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name ?? "",
    uid: owner.metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}

export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((reference) => reference.controller === true);
}

export function isBeingDeleted(object: KubeObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

export function hasFinalizer(object: KubeObject, finalizer: string): boolean {
  return object.metadata.finalizers?.includes(finalizer) ?? false;
}

/** A copy with `change` merged into metadata; a member given as `undefined` is removed. Everything else is shared. */
export function withMetadata<T extends KubeObject>(
  object: T,
  change: { readonly [K in keyof ObjectMeta]?: ObjectMeta[K] | undefined },
): T {
  // Nothing is deleted from a copy: that would make it a slow one.
  const metadata: Record<string, unknown> = {};
  const changed = change as Readonly<Record<string, unknown>>;
  for (const key in object.metadata)
    if (!Object.hasOwn(changed, key)) metadata[key] = object.metadata[key as keyof ObjectMeta];
    else if (changed[key] !== undefined) metadata[key] = changed[key];
  for (const key in changed)
    if (changed[key] !== undefined && !Object.hasOwn(metadata, key)) metadata[key] = changed[key];
  return { ...object, metadata };
}

/** A copy of a label or annotation map with `change` merged in; `undefined` removes a key, an empty result is absent. */
export function withKeys(
  map: StringMap | undefined,
  change: Readonly<Record<string, string | undefined>>,
): StringMap | undefined {
  const result: Record<string, string> = { ...map };
  for (const [key, value] of Object.entries(change)) {
    if (value === undefined) delete result[key];
    else result[key] = value;
  }
  return Object.keys(result).length === 0 ? undefined : result;
}

export function withLabels<T extends KubeObject>(object: T, change: Readonly<Record<string, string | undefined>>): T {
  return withMetadata(object, { labels: withKeys(object.metadata.labels, change) });
}

export function withAnnotations<T extends KubeObject>(
  object: T,
  change: Readonly<Record<string, string | undefined>>,
): T {
  return withMetadata(object, { annotations: withKeys(object.metadata.annotations, change) });
}

export function withFinalizer<T extends KubeObject>(object: T, finalizer: string): T {
  if (hasFinalizer(object, finalizer)) return object;
  return withMetadata(object, { finalizers: [...(object.metadata.finalizers ?? []), finalizer] });
}

export function withoutFinalizer<T extends KubeObject>(object: T, finalizer: string): T {
  if (!hasFinalizer(object, finalizer)) return object;
  const left = object.metadata.finalizers?.filter((other) => other !== finalizer) ?? [];
  return withMetadata(object, { finalizers: left.length === 0 ? undefined : left });
}

let formattedSecond = Number.NaN;
let formatted = "";

/** Kubernetes' `Time`: RFC 3339 in UTC with whole seconds. */
export function formatTime(epochMs: number): string {
  const second = Math.floor(epochMs / 1000);
  // Most times asked for are now; many fall into one second.
  if (second !== formattedSecond) {
    formatted = `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
    formattedSecond = second;
  }
  return formatted;
}

/** Kubernetes' `MicroTime`: RFC 3339 in UTC with microseconds. */
export function formatMicroTime(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 23)}000Z`;
}

/** Milliseconds since the epoch of an RFC 3339 time; `undefined` for absent or unreadable ones. */
export function parseTime(text: string | null | undefined): number | undefined {
  if (!text) return undefined;
  const epochMs = Date.parse(text);
  return Number.isNaN(epochMs) ? undefined : epochMs;
}

/** Where kubectl keeps what it applied on the client's side last. */
export const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/** What kubectl applied on the client's side last; `undefined` where that is not known. */
export function lastAppliedOf({ metadata }: KubeObject): unknown {
  try {
    return JSON.parse(metadata.annotations?.[LAST_APPLIED] ?? "");
  } catch {
    return undefined;
  }
}
