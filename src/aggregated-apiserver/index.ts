/**
 * Aggregated API server: the kinds that are no CRDs, served in the same process. `aggregatedDefinitions` gives Cluster and
 * ResourceRegistry with their rules, `clusterProxy` carries requests on to members as the caller.
 */
import { kindDefinitions } from "#apis/karmada";
import type { ResourceDefinition } from "#apiserver";
import type { Clock } from "#base";
import { type JsonSchema, Schema } from "#machinery";
import { clusterStrategy } from "./cluster-strategy.ts";

export { clusterProxy, type ClusterSource } from "./cluster-proxy/index.ts";
export { clusterErrors, clusterStrategy } from "./cluster-strategy.ts";

const PROXY = {
  name: "proxy",
  kind: { group: "cluster.karmada.io", version: "v1alpha1", kind: "ClusterProxyOptions" },
  verbs: ["create", "delete", "get", "patch", "update"],
};
const VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

export function aggregatedDefinitions(clock: Clock): readonly ResourceDefinition[] {
  return kindDefinitions
    .filter(({ aggregated, persisted }) => aggregated && persisted)
    .flatMap(({ group, names, upstreamPrefix, versions }) =>
      versions.map(({ name, schema, additionalPrinterColumns }): ResourceDefinition => {
        const own = { group, version: name, kind: names.kind };
        const resource = names.plural ?? "";
        return {
          kind: { ...own, resource, namespaced: false },
          singular: names.singular ?? resource,
          shortNames: names.shortNames,
          categories: names.categories,
          verbs: VERBS,
          subresources: [
            ...(resource === "clusters" ? [PROXY] : []),
            { name: "status", kind: own, verbs: ["get", "patch", "update"] },
          ],
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
          strategy: resource === "clusters" ? clusterStrategy(clock) : {},
          hasGeneration: true,
        };
      }),
    );
}
