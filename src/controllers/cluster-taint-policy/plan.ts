import { type Cluster, type ClusterTaintPolicy, matchesAffinity } from "#apis/karmada";
import { formatTime } from "#machinery";

type Taints = NonNullable<NonNullable<Cluster["spec"]>["taints"]>;

interface MatchCondition {
  readonly conditionType: string;
  readonly operator: string;
  readonly statusValues: readonly string[];
}

/** Whether a non-empty list of conditions holds; a condition the cluster does not have is no match. */
function holds(cluster: Cluster, list: readonly MatchCondition[] | undefined): boolean {
  if (list === undefined || list.length === 0) return false;
  return list.every(({ conditionType, operator, statusValues }) => {
    const status = cluster.status?.conditions?.find(({ type }) => type === conditionType)?.status;
    if (status === undefined) return false;
    if (operator === "In") return statusValues.includes(status);
    return operator === "NotIn" && !statusValues.includes(status);
  });
}

/** A cluster's taints after every policy, the oldest first; the same list when nothing changes. */
export function planPolicyTaints(cluster: Cluster, policies: readonly ClusterTaintPolicy[], nowMs: number): Taints {
  const present: Taints = cluster.spec?.taints ?? [];
  let taints = present;
  const ordered = [...policies].sort(
    (a, b) =>
      (a.metadata.creationTimestamp ?? "").localeCompare(b.metadata.creationTimestamp ?? "") ||
      (a.metadata.name ?? "").localeCompare(b.metadata.name ?? ""),
  );
  for (const { spec } of ordered) {
    if (spec.targetClusters !== undefined && !matchesAffinity(spec.targetClusters, cluster)) continue;
    const same = (taint: Taints[number], wanted: { readonly key: string; readonly effect: string }) =>
      taint.key === wanted.key && taint.effect === wanted.effect;
    if (holds(cluster, spec.addOnConditions as readonly MatchCondition[] | undefined))
      for (const { key, effect, value } of spec.taints)
        if (!taints.some((taint) => same(taint, { key, effect })))
          taints = [
            ...taints,
            { key, effect, ...(value === undefined ? {} : { value }), timeAdded: formatTime(nowMs) },
          ];
    if (holds(cluster, spec.removeOnConditions as readonly MatchCondition[] | undefined)) {
      const left = taints.filter((taint) => !spec.taints.some((wanted) => same(taint, wanted)));
      if (left.length !== taints.length) taints = left;
    }
  }
  return taints;
}
