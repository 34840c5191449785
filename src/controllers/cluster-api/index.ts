/**
 * Cluster API: clusters a management cluster has provisioned are joined in push mode under their own name, and leave when
 * their object is deleted. It runs over caches of the management cluster, writes nothing there, and leaves alone every
 * Cluster that it did not join.
 */
import type { Cluster } from "#apis/karmada";
import { defineController } from "#controller-runtime";
import { keyOf, type ResourceKind, splitKey } from "#machinery";
import type { ClusterApiDeps } from "./context.ts";
import { departureOf, MANAGEMENT, OBJECT, OBJECT_UID, type ProvisionedCluster } from "./plan.ts";
import { type Memory, reconcileIn } from "./reconcile.ts";

export type { ClusterApiDeps } from "./context.ts";

/** Kind Cluster of Cluster API, in a version the management cluster serves. */
export const provisionedClusterKind = (version: string): ResourceKind<ProvisionedCluster> => ({
  group: "cluster.x-k8s.io",
  version,
  kind: "Cluster",
  resource: "clusters",
  namespaced: true,
});

/** The controller for one management cluster. */
export function clusterApiJoin(kind: ResourceKind<ProvisionedCluster>) {
  const memory: Memory = { departed: new Map(), settled: new Map(), told: new Map() };
  return defineController<ClusterApiDeps, Record<string, never>>({
    name: "cluster-api",
    reconciles: [kind],
    writes: [],
    options: {},
    concurrency: () => 3,
    start({ cache, deps, enqueue, signal }) {
      const objects = cache(kind);
      objects.addIndex("name", ({ metadata }) => [metadata.name ?? ""]);
      const unwatch = objects.handle({
        add: (object) => memory.departed.delete(keyOf(object)),
        delete: (object) => memory.departed.set(keyOf(object), departureOf(object)),
      });
      // What becomes of a Cluster matters to the object it came from, and its name to all that bear it.
      const wake = ({ metadata }: Cluster, isGone: boolean) => {
        const { [MANAGEMENT]: management, [OBJECT]: key, [OBJECT_UID]: uid } = metadata.annotations ?? {};
        if (isGone)
          for (const { metadata: other } of objects.byIndex("name", metadata.name ?? ""))
            enqueue({ namespace: other.namespace, name: other.name ?? "" });
        else if (management === deps.management && key !== undefined && objects.get(key)?.metadata.uid !== uid)
          enqueue(splitKey(key));
      };
      const unfollow = deps.clusters.handle({
        add: (cluster) => wake(cluster, false),
        update: (cluster) => wake(cluster, false),
        delete: (cluster) => wake(cluster, true),
      });
      signal.addEventListener("abort", () => {
        unwatch();
        unfollow();
      });
    },
    reconcile: reconcileIn(kind, memory),
  });
}
