/**
 * Aggregated API server: the kinds that are no CRDs, served in the same process. `aggregatedDefinitions` gives Cluster and
 * ResourceRegistry with their rules, and the addresses of search; `clusterProxy` carries requests on to members as the caller.
 */
import { kindDefinitions } from "#apis/karmada";
import type { ResourceDefinition } from "#apiserver";
import type { Clock } from "#base";
import { type JsonSchema, methodNotAllowed, Schema } from "#machinery";
import { clusterStrategy } from "./cluster-strategy.ts";
import { resourceRegistryStrategy } from "./resource-registry-strategy.ts";

export { clusterProxy, type ClusterSource } from "./cluster-proxy/index.ts";
export { clusterErrors, clusterStrategy } from "./cluster-strategy.ts";
export { resourceRegistryStrategy } from "./resource-registry-strategy.ts";

const PROXY = {
  name: "proxy",
  kind: { group: "cluster.karmada.io", version: "v1alpha1", kind: "ClusterProxyOptions" },
  verbs: ["create", "delete", "get", "patch", "update"],
};
const VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/** What can be left out. */
export interface AggregatedOptions {
  readonly disableSearch?: boolean;
  readonly disableProxy?: boolean;
}

/** Verbs of what is no kind with objects: an address, behind which another path stands. */
const ADDRESS_VERBS: Readonly<Record<string, readonly string[]>> = {
  search: ["get"],
  proxying: ["create", "delete", "get", "patch", "update"],
};

export function aggregatedDefinitions(clock: Clock, options: AggregatedOptions = {}): readonly ResourceDefinition[] {
  const { disableSearch = false, disableProxy = false } = options;
  const isLeftOut = (resource: string) =>
    (disableSearch && resource === "search") || (disableProxy && resource === "proxying");
  return kindDefinitions
    .filter(({ aggregated, names }) => aggregated && !isLeftOut(names.plural ?? ""))
    .flatMap(({ group, names, persisted, upstreamPrefix, versions }) =>
      versions.map(({ name, schema, additionalPrinterColumns }): ResourceDefinition => {
        const own = { group, version: name, kind: names.kind };
        const resource = names.plural ?? "";
        const isCluster = resource === "clusters";
        return {
          kind: { ...own, resource, namespaced: false },
          singular: names.singular ?? resource,
          shortNames: names.shortNames,
          categories: names.categories,
          verbs: persisted ? VERBS : (ADDRESS_VERBS[resource] ?? []),
          subresources: persisted
            ? [...(isCluster ? [PROXY] : []), { name: "status", kind: own, verbs: ["get", "patch", "update"] }]
            : [],
          schema: Schema.compile(schema.openAPIV3Schema as JsonSchema),
          columns: additionalPrinterColumns.map((column) => ({
            name: column.name,
            type: column.type,
            format: column.format ?? "",
            priority: column.priority ?? 0,
          })),
          storage: {
            prefix: `/registry/${group}/${resource}/`,
            version: name,
            ...(upstreamPrefix === undefined ? {} : { formerPrefix: upstreamPrefix }),
          },
          origin: "aggregated",
          strategy: isCluster ? clusterStrategy(clock) : persisted ? resourceRegistryStrategy : {},
          hasGeneration: isCluster,
          // Only what stands behind such an address is answered.
          ...(persisted
            ? {}
            : {
                virtual: () => {
                  throw methodNotAllowed();
                },
              }),
        };
      }),
    );
}
