/** Refuses clusters whose taints the placement does not tolerate; clusters in use stay. */
import type { Cluster, Toleration } from "#apis/karmada";
import { parseTime, tolerates } from "#machinery";
import { definePassPlugin } from "../plugin.ts";

interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
  readonly timeAdded?: string | null;
}

/**
 * Whether a placement lets workloads come to a tainted cluster. A toleration whose time is over does not: what was evicted
 * for it would be evicted again. The first that matches counts, as for evictions.
 */
function isTolerated(tolerations: readonly Toleration[], taint: Taint, nowMs: number | undefined): boolean {
  const match = tolerations.find((toleration) => tolerates(toleration, taint));
  if (match === undefined || taint.effect !== "NoExecute" || match.tolerationSeconds === undefined)
    return match !== undefined;
  const addedMs = parseTime(taint.timeAdded);
  return nowMs === undefined || addedMs === undefined || addedMs + match.tolerationSeconds * 1000 > nowMs;
}

const isRepelling = ({ effect }: Taint): boolean => effect === "NoSchedule" || effect === "NoExecute";
const repelling = ({ spec }: Cluster) => ((spec?.taints ?? []) as readonly Taint[]).filter(isRepelling);

export const taintToleration = definePassPlugin({
  name: "TaintToleration",
  prepareFilter({ placement, nowMs, fleet, present }) {
    const tolerations = placement.clusterTolerations ?? [];
    const isTainted = fleet.column("taints", "repelling", (cluster) => repelling(cluster).length);
    const { clusters } = fleet;
    return (place) => {
      if (isTainted[place] === 0 || present.isAt(place)) return undefined;
      for (const taint of repelling(clusters[place] as Cluster)) {
        if (isTolerated(tolerations, taint, nowMs)) continue;
        return `cluster(s) had untolerated taint {${taint.key}${taint.value ? `=${taint.value}` : ""}:${taint.effect}}`;
      }
      return undefined;
    };
  },
});
