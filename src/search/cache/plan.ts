import { type Cluster, matchesAffinity, type ResourceRegistry } from "#apis/karmada";
import type { DiscoveredResource } from "#client";
import { kindKey } from "#machinery";

/** A kind as discovery has it: what requests address, and what objects are called. */
export type CachedKind = Pick<DiscoveredResource, "group" | "version" | "resource" | "kind" | "namespaced">;

/** What is kept of one kind in one cluster. */
export interface KindPlan {
  readonly kind: CachedKind;
  /** Namespaces that registries name; absent for all of them. */
  readonly namespaces?: ReadonlySet<string>;
}

/** Where the objects of a cluster are written to beside memory. */
export interface StorePlan {
  readonly registry: ResourceRegistry;
  readonly addresses: readonly string[];
  readonly secret: { readonly namespace: string; readonly name: string };
}

export interface ClusterPlan {
  readonly cluster: Cluster;
  /** By `kindKey`. */
  readonly kinds: ReadonlyMap<string, KindPlan>;
  readonly store?: StorePlan;
}

export interface CachePlan {
  /** Every kind that is registered, whether or not any cluster has it. By `kindKey`. */
  readonly registered: ReadonlyMap<string, CachedKind>;
  /** By the order of their names. */
  readonly clusters: readonly ClusterPlan[];
}

export const selectorKey = (apiVersion: string, kind: string): string => `${apiVersion} ${kind}`;

/** A cluster whose objects can be followed. */
export const isFollowable = ({ metadata, status }: Cluster): boolean =>
  metadata.deletionTimestamp === undefined &&
  (status?.conditions ?? []).some((condition) => condition.type === "Ready" && condition.status === "True");

/** Whether a cluster says that it does not serve a kind; one that has not said all it serves says nothing. */
export function lacks({ status }: Cluster, apiVersion: string, kind: string): boolean {
  const isComplete = (status?.conditions ?? []).some(
    (condition) => condition.type === "CompleteAPIEnablements" && condition.status === "True",
  );
  if (!isComplete) return false;
  return !(status?.apiEnablements ?? []).some(
    ({ groupVersion, resources }) =>
      groupVersion === apiVersion && (resources ?? []).some((resource) => resource.kind === kind),
  );
}

/**
 * What is to be kept, cluster by cluster: the union of what registries that choose the cluster select. `kinds` has those that
 * the control plane knows, by `selectorKey`; selectors of others are left out.
 */
export function planCaches(
  registries: readonly ResourceRegistry[],
  clusters: readonly Cluster[],
  kinds: ReadonlyMap<string, CachedKind>,
): CachePlan {
  const registered = new Map<string, CachedKind>();
  const byName = <T extends { readonly metadata: { readonly name?: string } }>(all: readonly T[]): readonly T[] =>
    [...all].sort((one, other) => ((one.metadata.name ?? "") < (other.metadata.name ?? "") ? -1 : 1));
  const ordered = byName(registries.filter(({ metadata }) => metadata.deletionTimestamp === undefined));
  for (const { spec } of ordered)
    for (const { apiVersion, kind } of spec?.resourceSelectors ?? []) {
      const known = kinds.get(selectorKey(apiVersion, kind));
      if (known !== undefined) registered.set(kindKey(known), known);
    }
  const planned = byName(clusters.filter(isFollowable)).flatMap((cluster): ClusterPlan[] => {
    const choosing = ordered.filter(({ spec }) => matchesAffinity(spec?.targetCluster ?? {}, cluster));
    const own = kindsOf(cluster, choosing, kinds);
    if (own.size === 0) return [];
    const store = storeOf(choosing);
    return [{ cluster, kinds: own, ...(store === undefined ? {} : { store }) }];
  });
  return { registered, clusters: planned };
}

function kindsOf(
  cluster: Cluster,
  registries: readonly ResourceRegistry[],
  kinds: ReadonlyMap<string, CachedKind>,
): ReadonlyMap<string, KindPlan> {
  const own = new Map<string, { readonly kind: CachedKind; namespaces: Set<string> | undefined }>();
  for (const { spec } of registries)
    for (const { apiVersion, kind: name, namespace = "" } of spec?.resourceSelectors ?? []) {
      const kind = kinds.get(selectorKey(apiVersion, name));
      if (kind === undefined || lacks(cluster, apiVersion, name)) continue;
      const isWhole = namespace === "" || !kind.namespaced;
      const present = own.get(kindKey(kind));
      if (present === undefined)
        own.set(kindKey(kind), { kind, namespaces: isWhole ? undefined : new Set([namespace]) });
      else if (isWhole) present.namespaces = undefined;
      else present.namespaces?.add(namespace);
    }
  return new Map(
    [...own].map(([key, { kind, namespaces }]) => [key, { kind, ...(namespaces === undefined ? {} : { namespaces }) }]),
  );
}

/** The store of the first registry, by name, that has one. */
function storeOf(registries: readonly ResourceRegistry[]): StorePlan | undefined {
  for (const registry of registries) {
    const store = registry.spec?.backendStore?.openSearch;
    if (store !== undefined && store.addresses.length > 0)
      return {
        registry,
        addresses: store.addresses,
        secret: { namespace: store.secretRef.namespace, name: store.secretRef.name },
      };
  }
  return undefined;
}
