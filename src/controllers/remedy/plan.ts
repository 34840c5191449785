import type { Cluster, Remedy } from "#apis/karmada";

type Match = NonNullable<NonNullable<Remedy["spec"]["decisionMatches"]>[number]["clusterConditionMatch"]>;

/** Whether a Remedy is about a cluster; without an affinity it is about all, with an empty list about none. */
export function concerns({ spec }: Remedy, cluster: string): boolean {
  return spec.clusterAffinity === undefined || (spec.clusterAffinity.clusterNames ?? []).includes(cluster);
}

function holds({ conditionType, operator, conditionStatus }: Match, cluster: Cluster): boolean {
  const condition = cluster.status?.conditions?.find(({ type }) => type === conditionType);
  if (condition === undefined) return false;
  if (operator === "Equal") return condition.status === conditionStatus;
  return operator === "NotEqual" && condition.status !== conditionStatus;
}

/** What all Remedies together ask for in a cluster, sorted; each action once. */
export function planActions(cluster: Cluster, remedies: readonly Remedy[]): readonly string[] {
  const actions = new Set<string>();
  for (const remedy of remedies) {
    if (!concerns(remedy, cluster.metadata.name ?? "")) continue;
    const matches = remedy.spec.decisionMatches ?? [];
    const isWanted =
      matches.length === 0 ||
      matches.some(
        ({ clusterConditionMatch }) => clusterConditionMatch !== undefined && holds(clusterConditionMatch, cluster),
      );
    if (isWanted) for (const action of remedy.spec.actions ?? []) actions.add(action);
  }
  return [...actions].sort();
}
