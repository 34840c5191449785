/** The scheduler's plugins, in the order filters run. `--plugins` chooses among them by upstream's names. */
import { apiEnablement } from "./api-enablement/index.ts";
import { clusterAffinity } from "./cluster-affinity/index.ts";
import { clusterEviction } from "./cluster-eviction/index.ts";
import { clusterLocality } from "./cluster-locality/index.ts";
import type { SchedulerPlugin } from "./plugin.ts";
import { spreadConstraint } from "./spread-constraint/index.ts";
import { taintToleration } from "./taint-toleration/index.ts";
import { workloadAffinity, workloadAntiAffinity } from "./workload-affinity/index.ts";

export const builtinPlugins: readonly SchedulerPlugin[] = [
  apiEnablement,
  taintToleration,
  clusterAffinity,
  spreadConstraint,
  clusterEviction,
  clusterLocality,
  workloadAffinity,
  workloadAntiAffinity,
];

/** Reads `--plugins`: `*` is all, `-name` leaves one out, unknown names are ignored. */
export function choosePlugins(
  value: string,
  plugins: readonly SchedulerPlugin[] = builtinPlugins,
): readonly SchedulerPlugin[] {
  const words = value.split(",").map((word) => word.trim());
  const chosen = new Set(words.includes("*") ? plugins.map(({ name }) => name) : []);
  for (const word of words) {
    if (word.startsWith("-") && chosen.size > 0) chosen.delete(word.slice(1));
    else if (plugins.some(({ name }) => name === word)) chosen.add(word);
  }
  return plugins.filter(({ name }) => chosen.has(name));
}
