/**
 * Aggregated API server: the kinds that are no CRDs, served in the same process. `aggregatedDefinitions` gives Cluster and
 * ResourceRegistry with their rules. It proxies nothing by itself.
 */
import { kindDefinitions } from "#apis/karmada";
import type { ResourceDefinition } from "#apiserver";
import type { Clock } from "#base";
import { type JsonSchema, Schema } from "#machinery";
import { clusterStrategy } from "./cluster-strategy.ts";

export { clusterErrors } from "./cluster-strategy.ts";

const VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

export function aggregatedDefinitions(clock: Clock): readonly ResourceDefinition[] {
  return kindDefinitions()
    .filter(
      ({ aggregated, names }) =>
        aggregated === true && (names.plural === "clusters" || names.plural === "resourceregistries"),
    )
    .flatMap(({ group, names, versions }) =>
      versions.map(({ name, schema }): ResourceDefinition => {
        const own = { group, version: name, kind: names.kind };
        return {
          kind: { ...own, resource: names.plural, namespaced: false },
          singular: names.singular ?? names.kind.toLowerCase(),
          shortNames: names.shortNames ?? [],
          categories: names.categories ?? [],
          verbs: VERBS,
          subresources: [{ name: "status", kind: own, verbs: ["get", "patch", "update"] }],
          schema: Schema.compile(schema.openAPIV3Schema as JsonSchema),
          columns: names.plural === "clusters" ? CLUSTER_COLUMNS : [],
          storage: { prefix: `/registry/${group}/${names.plural}/`, version: name },
          origin: "aggregated",
          strategy: names.plural === "clusters" ? clusterStrategy(clock) : {},
          hasGeneration: true,
        };
      }),
    );
}

const CLUSTER_COLUMNS = [
  ["Name", 0],
  ["Version", 0],
  ["Mode", 0],
  ["Ready", 0],
  ["Age", 0],
  ["Zones", 1],
  ["Region", 1],
  ["Provider", 1],
  ["API-Endpoint", 1],
  ["Proxy-URL", 1],
].map(([name, priority]) => ({
  name: String(name),
  type: "string",
  format: name === "Name" ? "name" : "",
  priority: Number(priority),
}));
