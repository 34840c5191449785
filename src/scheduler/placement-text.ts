import type { Placement } from "#apis/karmada";

/** Members of an object in the order the API lists them; a member that is an object or a list of objects has its own. */
interface Order {
  readonly [member: string]: Order | true;
}

const requirement: Order = { key: true, operator: true, values: true };
const affinity: Order = {
  labelSelector: { matchLabels: true, matchExpressions: requirement },
  fieldSelector: { matchExpressions: requirement },
  clusterNames: true,
  exclude: true,
};
const placementOrder: Order = {
  clusterAffinity: affinity,
  clusterAffinities: { affinityName: true, ...affinity, overflowAffinities: affinity },
  clusterTolerations: { key: true, operator: true, value: true, effect: true, tolerationSeconds: true },
  spreadConstraints: { spreadByField: true, spreadByLabel: true, maxGroups: true, minGroups: true },
  replicaScheduling: {
    replicaSchedulingType: true,
    replicaDivisionPreference: true,
    weightPreference: { staticWeightList: { targetCluster: affinity, weight: true }, dynamicWeight: true },
  },
  workloadAffinity: { affinity: { groupByLabelKey: true }, antiAffinity: { groupByLabelKey: true } },
};

function inOrder(value: unknown, order: Order | true): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((entry: unknown) => inOrder(entry, order));
  const source = value as Readonly<Record<string, unknown>>;
  const result: Record<string, unknown> = {};
  // Maps of users' own keys, such as matchLabels, stand by key; unknown members come last, so that nothing is lost.
  if (order !== true)
    for (const [member, own] of Object.entries(order))
      if (source[member] !== undefined) result[member] = inOrder(source[member], own);
  for (const member of Object.keys(source).sort())
    if (source[member] !== undefined && !(member in result)) result[member] = inOrder(source[member], true);
  return result;
}

const texts = new WeakMap<Placement, string>();

/** A placement as the applied-placement annotation holds it: compact, members in the order of the API (wire). */
export function placementText(placement: Placement): string {
  let text = texts.get(placement);
  if (text === undefined) texts.set(placement, (text = JSON.stringify(inOrder(placement, placementOrder))));
  return text;
}
