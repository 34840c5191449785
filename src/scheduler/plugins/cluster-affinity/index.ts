/** Refuses clusters the placement's affinity does not speak of. */
import { inlineOf, matchesAffinity, overflowOf, termNamed } from "#apis/karmada";
import { isWorkload } from "../../facts.ts";
import { definePlugin } from "../plugin.ts";

const REASON = "cluster(s) did not match the placement cluster affinity constraint";

export const clusterAffinity = definePlugin({
  name: "ClusterAffinity",
  filter({ spec, placement, observedAffinityName }, cluster) {
    if (placement.clusterAffinity !== undefined)
      return matchesAffinity(placement.clusterAffinity, cluster) ? undefined : REASON;
    const term = termNamed(placement, observedAffinityName);
    if (term === undefined || matchesAffinity(inlineOf(term), cluster)) return undefined;
    const tiers = isWorkload(spec) ? (overflowOf(term) ?? []) : [];
    return tiers.some((affinity) => matchesAffinity(affinity, cluster)) ? undefined : REASON;
  },
  score: () => 0,
});
