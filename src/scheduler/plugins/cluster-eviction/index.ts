/** Refuses clusters the workload is being moved away from. */
import { definePlugin } from "../plugin.ts";

export const clusterEviction = definePlugin({
  name: "ClusterEviction",
  filter({ spec }, cluster) {
    const isLeaving = (spec.gracefulEvictionTasks ?? []).some(
      ({ fromCluster }) => fromCluster === cluster.metadata.name,
    );
    return isLeaving ? "cluster(s) is in the process of eviction" : undefined;
  },
});
