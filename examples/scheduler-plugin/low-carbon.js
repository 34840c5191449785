// A scheduler plugin of one's own: `flotilla server --scheduler-plugin ./low-carbon.js`.
//
// Clusters say how clean their power is by the label `example.com/carbon` (grams a kilowatt-hour). The plugin refuses
// clusters above the limit a workload asks for by annotation, prefers cleaner ones, and lets no cluster under repair
// take more than its label `example.com/max-replicas` says.

const LABEL = "example.com/carbon";
const LIMIT = "example.com/max-carbon";
const ROOM = "example.com/max-replicas";

const carbonOf = (cluster) => Number(cluster.metadata.labels?.[LABEL] ?? Number.NaN);

/** @type {import("../../src/scheduler/index.ts").UserPlugin} */
export default {
  apiVersion: "flotilla.io/scheduler-plugin/v1",
  name: "LowCarbon",

  filter({ binding, cluster }) {
    const limit = Number(binding.metadata.annotations?.[LIMIT] ?? Number.NaN);
    if (Number.isNaN(limit)) return undefined;
    return carbonOf(cluster) <= limit ? undefined : "cluster(s) had too much carbon in their power";
  },

  score({ cluster }) {
    return Number.isNaN(carbonOf(cluster)) ? 1000 : carbonOf(cluster);
  },

  // The cleanest gets 100, the dirtiest 0.
  normalizeScores({ scores }) {
    const highest = Math.max(1, ...Object.values(scores));
    return Object.fromEntries(Object.entries(scores).map(([cluster, carbon]) => [cluster, 100 - (100 * carbon) / highest]));
  },

  estimate({ cluster }) {
    const room = cluster.metadata.labels?.[ROOM];
    return room === undefined ? -1 : Number(room);
  },
};
