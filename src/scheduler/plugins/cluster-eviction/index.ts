/** Refuses clusters the workload is being moved away from. */
import { definePassPlugin } from "../plugin.ts";

export const clusterEviction = definePassPlugin({
  name: "ClusterEviction",
  prepareFilter({ spec, fleet }) {
    const leaving = new Set((spec.gracefulEvictionTasks ?? []).map(({ fromCluster }) => fromCluster));
    if (leaving.size === 0) return undefined;
    const { names } = fleet;
    return (place) => (leaving.has(names[place] ?? "") ? "cluster(s) is in the process of eviction" : undefined);
  },
});
