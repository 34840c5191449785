/** Prefers clusters that hold the workload already. */
import { definePassPlugin } from "../plugin.ts";

export const clusterLocality = definePassPlugin({
  name: "ClusterLocality",
  prepareScore: ({ present }) => (present.isNowhere ? 0 : (place) => (present.isAt(place) ? 100 : 0)),
});
