import {
  apiVersionOf,
  badRequest,
  type KubeList,
  type KubeObject,
  type ListRequest,
  notFound,
  objectKey,
  type ResourceAddress,
} from "#machinery";
import type { ResourceDefinition } from "../definition.ts";
import { checkListOptions, tooLargeVersion } from "../list-pages.ts";
import { scaleOf } from "../scale.ts";
import { compileFilter } from "../selection.ts";
import type { StoredObject } from "../storage/resource-store.ts";
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
export function getObject(
  host: VerbHost,
  definition: ResourceDefinition,
  request: ResourceAddress & { readonly name: string },
): KubeObject {
  if (definition.computed !== undefined) {
    const made = definition.computed.find(request.namespace, request.name);
    if (made === undefined) throw notFound(definition.kind, request.name);
    return made;
  }
  const { object } = readStored(host, definition, request.namespace, request.name);
  const shown = host.convert(object, definition);
  if (request.subresource === "scale") return scaleOf(definition, shown);
  return shown;
}

/** One page of what the selection finds, as of one revision. */
export async function listObjects(host: VerbHost, request: ListRequest): Promise<KubeList> {
  const definition = host.definition(request);
  const { computed } = definition;
  if (computed !== undefined) {
    const filter = compileFilter(definition, request.labelSelector, request.fieldSelector, request.name);
    const items = computed.list(definition.kind.namespaced ? request.namespace : undefined);
    return {
      apiVersion: apiVersionOf(definition.kind),
      kind: `${definition.kind.kind}List`,
      metadata: {},
      items: filter === undefined ? items : items.filter(filter),
    };
  }
  const store = host.store(definition);
  const loading = store.load();
  if (loading !== undefined) await loading;
  const head = { apiVersion: apiVersionOf(definition.kind), kind: `${definition.kind.kind}List` };
  checkListOptions(request);
  if (request.continue) return host.pages.next(head, request.continue, request.limit);
  const filter = compileFilter(definition, request.labelSelector, request.fieldSelector, request.name);
  const wanted =
    request.resourceVersion === undefined || request.resourceVersion === "" ? 0 : Number(request.resourceVersion);
  if (!Number.isInteger(wanted) || wanted < 0) throw badRequest(`invalid resource version: ${request.resourceVersion}`);
  // `0` is content with what is here; an older revision is here for sure.
  const settling =
    request.resourceVersion === undefined || request.resourceVersion === "" || wanted > store.revision
      ? host.settle()
      : undefined;
  if (settling !== undefined) await settling;
  if (wanted > store.revision) throw tooLargeVersion(wanted, store.revision);
  const isExact =
    request.resourceVersionMatch === "Exact" ||
    (request.resourceVersionMatch === undefined && wanted !== 0 && request.limit !== undefined && request.limit > 0);
  const namespace = definition.kind.namespaced ? request.namespace : undefined;
  const items: KubeObject[] = [];
  for (const [, { object }] of isExact ? store.rangeAt(wanted, namespace) : store.range(namespace)) {
    const shown = host.convert(object, definition);
    if (filter === undefined || filter(shown)) items.push(shown);
  }
  return host.pages.cut(head, items, isExact ? wanted : store.revision, request.limit);
}
