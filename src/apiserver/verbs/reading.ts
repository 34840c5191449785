import {
  apiVersionOf,
  badRequest,
  getPath,
  internalError,
  isExpired,
  type KubeList,
  type KubeObject,
  type ListRequest,
  notFound,
  objectKey,
  plainFailure,
  type ResourceAddress,
} from "#machinery";
import type { ResourceDefinition } from "../definition.ts";
import {
  checkListOptions,
  continueExpired,
  type Listed,
  prefixOf,
  readToken,
  tooLargeVersion,
  versionNumber,
} from "../list-pages.ts";
import { scaleOf } from "../scale.ts";
import { compileFilter, selectsOneName } from "../selection.ts";
import { HeldRevision, type StoredObject } from "../storage/held-revision.ts";
import type { VerbHost } from "./host.ts";

/** The stored object; throws 404 where there is none. */
export function readStored(
  host: VerbHost,
  definition: ResourceDefinition,
  namespace: string | undefined,
  name: string,
): StoredObject {
  const found = host.store(definition).get(objectKey(definition.kind.namespaced ? namespace : undefined, name));
  if (found === undefined) throw notFound(definition.kind, name);
  return found;
}

/** The object in the asked version, or its Scale. */
export async function getObject(
  host: VerbHost,
  definition: ResourceDefinition,
  request: ResourceAddress & { readonly name: string; readonly resourceVersion?: string },
): Promise<KubeObject> {
  if (definition.computed !== undefined) {
    const made = definition.computed.find(request.namespace, request.name);
    if (made === undefined) throw notFound(definition.kind, request.name);
    return made;
  }
  const wanted = versionNumber(request.resourceVersion, plainFailure);
  const present = host.store(definition).revision;
  if (wanted > present) throw tooLargeVersion(wanted, present);
  const stored = readStored(host, definition, request.namespace, request.name);
  const object = stored instanceof HeldRevision ? stored.glimpse : stored.object;
  await host.prepare(definition, [object]);
  const shown = host.convert(object, definition);
  if (request.subresource === "scale") {
    const path = definition.origin === "custom" ? definition.scale?.spec : undefined;
    if (path !== undefined && getPath(shown, ...path) === undefined)
      throw internalError(new Error(`the spec replicas field ${JSON.stringify(`.${path.join(".")}`)} does not exist`));
    return scaleOf(definition, shown);
  }
  return shown;
}

const listKindOf = ({ kind, listKind }: ResourceDefinition) => listKind ?? `${kind.kind}List`;

/** One page of what the selection finds, as of one revision. */
export async function listObjects(host: VerbHost, request: ListRequest): Promise<KubeList> {
  const definition = host.definition(request);
  const { computed } = definition;
  if (computed !== undefined) {
    const filter = compileFilter(definition, request.labelSelector, request.fieldSelector, request.name);
    const items = computed.list(definition.kind.namespaced ? request.namespace : undefined);
    return {
      apiVersion: apiVersionOf(definition.kind),
      kind: listKindOf(definition),
      metadata: {},
      items: filter === undefined ? items : items.filter(filter),
    };
  }
  const store = host.store(definition);
  const loading = store.load();
  if (loading !== undefined) await loading;
  const head = { apiVersion: apiVersionOf(definition.kind), kind: listKindOf(definition) };
  checkListOptions(request);
  const { labelSelector, fieldSelector, resourceVersionMatch: match } = request;
  const filter = compileFilter(definition, labelSelector, fieldSelector, request.name);
  // One object has no pages.
  const limit = selectsOneName(fieldSelector) ? undefined : request.limit;
  if (request.continue) {
    readToken(request.continue);
    if ((request.resourceVersion ?? "0") !== "0")
      throw badRequest("specifying resource version is not allowed when using continue");
  }
  const wanted = versionNumber(request.resourceVersion, (why) => badRequest(`invalid resource version: ${why}`));
  const namespace = definition.kind.namespaced ? request.namespace : undefined;
  const scope = JSON.stringify([head, namespace, labelSelector ?? "", fieldSelector ?? "", request.name ?? ""]);
  const isSelected = filter !== undefined;
  const show = ([, { object }]: Listed) => host.convert(object, definition);
  let lastKey: string | undefined;
  const take = async (given: Iterable<readonly [string, StoredObject]>, afterKey = "", isIncluded = false) => {
    const items: Listed[] = [];
    let range: Iterable<Listed> = given;
    if (definition.webhook !== undefined) {
      const all = Array.from(given, ([key, { object }]) => [key, { object }] as const);
      await host.prepare(
        definition,
        all.map(([, { object }]) => object),
      );
      range = all.map(([key, { object }]) => [key, { object: host.convert(object, definition) }] as const);
    }
    for (const listed of range) {
      const [key] = listed;
      if (key < afterKey || (key === afterKey && !isIncluded)) continue;
      lastKey = key;
      // What nobody selects by is decoded when its page is asked for.
      if (filter === undefined || filter(show(listed))) items.push(listed);
    }
    return items;
  };
  if (request.continue) {
    const kept = host.pages.kept(request.continue, scope);
    if (kept !== undefined) {
      const { items, from, revision } = kept;
      // Whoever reads thousands in this process lets others have their turn, and the store let go of what it has read.
      await new Promise((resolve) => setImmediate(resolve));
      return host.pages.cut(head, items, revision, {
        limit,
        scope,
        isSelected,
        show,
        from,
        lastKey: kept.lastKey,
        namespace,
      });
    }
    const point = readToken(request.continue);
    // The page before may be another replica's, of a moment this one has not come to yet.
    if (point.revision === "present" || point.revision > store.revision) await host.settle();
    const revision = point.revision === "present" ? store.revision : point.revision;
    if (revision > store.revision) throw continueExpired(point);
    const afterKey = prefixOf(namespace) + point.afterKey;
    let range: Iterable<readonly [string, StoredObject]>;
    try {
      range =
        revision === store.revision && point.isIncluded !== true
          ? store.range(namespace, afterKey)
          : store.rangeAt(revision, namespace);
    } catch (error) {
      if (isExpired(error)) throw continueExpired(point);
      throw error;
    }
    const rest = await take(range, afterKey, point.isIncluded);
    return host.pages.cut(head, rest, revision, { limit, scope, isSelected, show, lastKey, namespace });
  }
  // Who names no version asks for what is there now; one that is not known here may be another replica's.
  if (!request.resourceVersion || wanted > store.revision) await host.settle();
  if (wanted > store.revision) throw tooLargeVersion(wanted, store.revision);
  const isExact = match === "Exact" || (match === undefined && wanted !== 0 && limit !== undefined && limit > 0);
  const items = await take(isExact ? store.rangeAt(wanted, namespace) : store.range(namespace));
  return host.pages.cut(head, items, isExact ? wanted : store.revision, {
    limit,
    scope,
    isSelected,
    show,
    lastKey,
    namespace,
  });
}
