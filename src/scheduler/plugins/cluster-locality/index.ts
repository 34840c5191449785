/** Prefers clusters that hold the workload already. */
import { targetNamed } from "../../facts.ts";
import { definePlugin } from "../plugin.ts";

export const clusterLocality = definePlugin({
  name: "ClusterLocality",
  score: ({ spec }, cluster) => (targetNamed(spec, cluster.metadata.name ?? "") === undefined ? 0 : 100),
});
