/** Refuses clusters whose taints the placement does not tolerate; clusters in use stay. */
import type { Toleration } from "#apis/karmada";
import { parseTime, tolerates } from "#machinery";
import { targetNamed } from "../../facts.ts";
import { definePlugin } from "../plugin.ts";

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

export const taintToleration = definePlugin({
  name: "TaintToleration",
  filter({ spec, placement, nowMs }, cluster) {
    if (targetNamed(spec, cluster.metadata.name ?? "") !== undefined) return undefined;
    const tolerations = placement.clusterTolerations ?? [];
    for (const taint of (cluster.spec?.taints ?? []) as readonly Taint[]) {
      if (taint.effect !== "NoSchedule" && taint.effect !== "NoExecute") continue;
      if (isTolerated(tolerations, taint, nowMs)) continue;
      return `cluster(s) had untolerated taint {${taint.key}${taint.value ? `=${taint.value}` : ""}:${taint.effect}}`;
    }
    return undefined;
  },
});
