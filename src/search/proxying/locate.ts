import { conflict, notFound, objectKey } from "#machinery";
import type { CachedKind } from "../cache/plan.ts";
import type { KindCache } from "../cache/member-caches.ts";
import { covers } from "../cached-objects.ts";

/** The one cache that has an object. Throws 404 where none has it and 409 where several have. */
export function locate(
  kind: CachedKind,
  caches: readonly KindCache[],
  namespace: string | undefined,
  name: string,
): KindCache {
  const key = objectKey(namespace, name);
  const having = caches.filter((cache) => covers(cache, namespace) && cache.informer.glimpse(key) !== undefined);
  const [only] = having;
  if (only === undefined) throw notFound(kind, name);
  if (having.length === 1) return only;
  const names = having.map(({ cluster }) => cluster).join(", ");
  throw conflict(kind, name, `ambiguous objects in clusters [${names}]`);
}
