/** Refuses clusters the placement's affinity does not speak of. */
import { inlineOf, matchesAffinity, overflowOf, termNamed } from "#apis/karmada";
import { isWorkload } from "../../facts.ts";
import { definePassPlugin } from "../plugin.ts";

const REASON = "cluster(s) did not match the placement cluster affinity constraint";

export const clusterAffinity = definePassPlugin({
  name: "ClusterAffinity",
  prepareFilter({ spec, placement, observedAffinityName, fleet }) {
    const { clusterAffinity: affinity } = placement;
    const term = affinity === undefined ? termNamed(placement, observedAffinityName) : undefined;
    const tiers = term === undefined || !isWorkload(spec) ? [] : (overflowOf(term) ?? []);
    const inline = affinity ?? (term === undefined ? undefined : inlineOf(term));
    if (inline === undefined) return undefined;
    const { clusters } = fleet;
    return (place) => {
      const cluster = clusters[place];
      if (cluster === undefined || matchesAffinity(inline, cluster)) return undefined;
      return tiers.some((tier) => matchesAffinity(tier, cluster)) ? undefined : REASON;
    };
  },
  prepareScore: () => 0,
});
