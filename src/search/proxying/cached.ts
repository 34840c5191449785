import { booleanOf, type FrontOutcome, type FrontRequest, listOptions, presentObject, presentWatch } from "#apiserver";
import type { Clock } from "#base";
import {
  type FieldTerm,
  type KubeList,
  type KubeObject,
  matchesEverything,
  notFound,
  objectKey,
  parseFieldSelector,
  parseLabelSelector,
  type ResourceAddress,
  kindKey,
} from "#machinery";
import type { KindCache, MemberCaches } from "../cache/member-caches.ts";
import type { CachedKind } from "../cache/plan.ts";
import { covers, inOrder, shownFrom } from "../cached-objects.ts";
import type { InnerRequest } from "../inner-request.ts";
import { listAcross, type Page, type PageRequest } from "./list.ts";
import { locate } from "./locate.ts";
import { mergedWatch, type WatchSource } from "./merged-watch.ts";
import {
  decodeContinuation,
  decodeVersions,
  encodeContinuation,
  encodeVersions,
  versionOf,
  withVersion,
} from "./tokens.ts";

export interface CachedParts {
  readonly caches: MemberCaches;
  readonly clock: Clock;
}

/** A read of a registered kind and who asks it. */
export interface CachedRequest {
  readonly request: FrontRequest;
  readonly inner: InnerRequest;
  readonly kind: CachedKind;
}

const CACHED = "0";

function addressOf({ kind, namespaces }: KindCache, namespace: string | undefined): ResourceAddress {
  const { group, version, resource } = kind;
  // One namespace is asked for by itself; of several, all are, and the others are left out.
  const only = namespace ?? (namespaces?.size === 1 ? [...namespaces][0] : undefined);
  return { group, version, resource, ...(only === undefined ? {} : { namespace: only }) };
}

export async function getCached({ caches, clock }: CachedParts, asked: CachedRequest): Promise<FrontOutcome> {
  const { request, inner, kind } = asked;
  const { namespace, name = "", query } = inner;
  const cache = locate(kind, caches.caching(kind), namespace, name);
  const versions = decodeVersions(query.get("resourceVersion") ?? undefined);
  const resourceVersion = versionOf(versions, cache.cluster);
  const object =
    resourceVersion === CACHED
      ? cache.informer.get(objectKey(namespace, name))
      : await cache.member.transport.send({
          verb: "get",
          ...addressOf(cache, namespace),
          name,
          ...(resourceVersion === "" ? {} : { resourceVersion }),
        });
  if (object === undefined) throw notFound(kind, name);
  const shown = encodeVersions(withVersion(decodeVersions(undefined), cache.cluster, object.metadata.resourceVersion));
  return presentObject(kind, request, shownFrom(object, cache.cluster, shown), clock);
}

export async function listCached({ caches, clock }: CachedParts, asked: CachedRequest): Promise<FrontOutcome> {
  const { request, inner, kind } = asked;
  const { namespace, query } = inner;
  const { timeoutSeconds: _time, continue: token, limit, resourceVersion, ...options } = listOptions(query);
  const from = decodeContinuation(token);
  const versions = decodeVersions(resourceVersion);
  const caching = new Map(caches.caching(kind).map((cache) => [cache.cluster, cache]));
  if (caching.size === 0)
    return presentObject(kind, request, { apiVersion: "v1", kind: "List", metadata: {}, items: [] } as KubeList, clock);
  const ask = (cluster: string, page: PageRequest): Promise<Page> =>
    pageOf(caching.get(cluster) as KindCache, namespace, options, page);
  // Whoever takes what is cached gets all of it.
  const isLimited = limit !== undefined && !versions.isZero;
  const found = await listAcross(
    [...caching.keys()],
    { versions, ...(isLimited ? { limit } : {}), ...(from === undefined ? {} : { from }) },
    ask,
  );
  const next = encodeContinuation(found.next);
  const list: KubeList = {
    apiVersion: kind.group === "" ? kind.version : `${kind.group}/${kind.version}`,
    kind: `${kind.kind}List`,
    metadata: { resourceVersion: encodeVersions(found.versions), ...(next === "" ? {} : { continue: next }) },
    items: found.items.map(([cluster, object]) => shownFrom(object, cluster)),
  };
  return presentObject(kind, request, list, clock);
}

type Selection = Pick<ReturnType<typeof listOptions>, "labelSelector" | "fieldSelector" | "resourceVersionMatch">;

/** Fields that every object has; others only the member knows to compare. */
const PLAIN_FIELDS = new Set(["metadata.name", "metadata.namespace"]);

/** One cluster's part of a list: from memory where that is good enough, else from the member. */
async function pageOf(
  cache: KindCache,
  namespace: string | undefined,
  { labelSelector, fieldSelector, resourceVersionMatch }: Selection,
  page: PageRequest,
): Promise<Page> {
  const isEmpty = namespace !== undefined && !covers(cache, namespace);
  const terms = fieldSelector === undefined ? [] : parseFieldSelector(fieldSelector);
  if (page.resourceVersion === CACHED && terms.every(({ field }) => PLAIN_FIELDS.has(field))) {
    const matches = labelSelector === undefined ? matchesEverything : parseLabelSelector(labelSelector);
    const items = isEmpty
      ? []
      : inOrder(cache, namespace).filter(
          ({ metadata }) =>
            covers(cache, metadata.namespace) &&
            matches(metadata.labels) &&
            terms.every((term) => isField(term, metadata)),
        );
    return { items, resourceVersion: cache.informer.resourceVersion };
  }
  const { metadata, items } = await cache.member.transport.list({
    ...addressOf(cache, isEmpty ? undefined : namespace),
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
    ...(isEmpty ? { limit: 1 } : page),
    // How a version is meant goes with the version.
    ...(page.resourceVersion === undefined || resourceVersionMatch === undefined || isEmpty
      ? {}
      : { resourceVersionMatch }),
  });
  return {
    items: isEmpty ? [] : items.filter((object) => covers(cache, object.metadata.namespace)),
    resourceVersion: metadata.resourceVersion ?? "",
    ...(metadata.continue && !isEmpty ? { continue: metadata.continue } : {}),
  };
}

function isField({ field, value, operator }: FieldTerm, metadata: KubeObject["metadata"]): boolean {
  const has = field === "metadata.name" ? metadata.name : metadata.namespace;
  return ((has ?? "") === value) === (operator === "=");
}

export function watchCached({ caches, clock }: CachedParts, asked: CachedRequest): FrontOutcome {
  const { request, inner, kind } = asked;
  const { namespace, name, query } = inner;
  const { resourceVersion, limit: _limit, continue: _token, ...options } = listOptions(query);
  const versions = decodeVersions(resourceVersion);
  const allowWatchBookmarks = booleanOf(query, "allowWatchBookmarks") ?? false;
  const sendInitialEvents = booleanOf(query, "sendInitialEvents");
  const named = name === undefined ? {} : { fieldSelector: `metadata.name=${name}` };
  const { resourceVersionMatch, ...selection } = options;
  return presentWatch(
    kind,
    request,
    (sink) => {
      const sources = caches
        .caching(kind)
        .filter((cache) => namespace === undefined || covers(cache, namespace))
        .map((cache): WatchSource => {
          const part = versionOf(versions, cache.cluster);
          return {
            cluster: cache.cluster,
            covers: ({ metadata }) => covers(cache, metadata.namespace),
            start: (own) =>
              cache.member.transport.watch(
                {
                  ...addressOf(cache, namespace),
                  ...selection,
                  ...named,
                  ...(part === "" ? {} : { resourceVersion: part }),
                  ...(resourceVersionMatch === "NotOlderThan" ? { resourceVersionMatch } : {}),
                  ...(sendInitialEvents === undefined ? {} : { sendInitialEvents }),
                  allowWatchBookmarks,
                },
                own,
              ),
          };
        });
      let stop: () => void = () => undefined;
      // With another cluster, or one less, what was listed is no longer the whole: clients list anew.
      const leave = caches.follow((key) => {
        if (key !== kindKey(kind)) return;
        stop();
        sink.closed();
      });
      const merged = mergedWatch(sources, versions, {
        event: (type, object) => sink.event(type, object),
        closed: (error) => {
          leave();
          sink.closed(error);
        },
      });
      stop = () => {
        leave();
        merged.stop();
      };
      return { stop };
    },
    clock,
  );
}
