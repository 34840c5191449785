/** Refuses clusters whose taints the placement does not tolerate; clusters in use stay. */
import { tolerates } from "#machinery";
import { targetNamed } from "../../facts.ts";
import { definePlugin } from "../plugin.ts";

interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
}

export const taintToleration = definePlugin({
  name: "TaintToleration",
  filter({ spec, placement }, cluster) {
    if (targetNamed(spec, cluster.metadata.name ?? "") !== undefined) return undefined;
    const tolerations = placement.clusterTolerations ?? [];
    for (const taint of (cluster.spec?.taints ?? []) as readonly Taint[]) {
      if (taint.effect !== "NoSchedule" && taint.effect !== "NoExecute") continue;
      if (tolerations.some((toleration) => tolerates(toleration, taint))) continue;
      return `cluster(s) had untolerated taint {${taint.key}${taint.value ? `=${taint.value}` : ""}:${taint.effect}}`;
    }
    return undefined;
  },
});
