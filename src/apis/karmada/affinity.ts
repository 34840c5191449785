import type { ClusterAffinity, Placement } from "./parts.ts";
import type { Cluster } from "./generated-types.ts";
import { compileLabelSelector, LABEL_VALUE, type LabelSelector } from "#machinery";

interface FieldExpression {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

function matchesZones(zones: readonly string[], { operator, values = [] }: FieldExpression): boolean {
  switch (operator) {
    case "In":
      return values.some((value) => zones.includes(value));
    case "NotIn":
      return !values.some((value) => zones.includes(value));
    case "Exists":
      return zones.length > 0;
    case "DoesNotExist":
      return zones.length === 0;
    default:
      return false;
  }
}

/** Whether a cluster is one an affinity speaks of. */
export function matchesAffinity(affinity: ClusterAffinity, cluster: Cluster): boolean {
  const name = cluster.metadata.name ?? "";
  if (affinity.exclude?.includes(name)) return false;
  if (
    affinity.labelSelector !== undefined &&
    compileLabelSelector(affinity.labelSelector as LabelSelector)?.(cluster.metadata.labels) !== true
  )
    return false;
  if (affinity.fieldSelector !== undefined) {
    const expressions = (affinity.fieldSelector.matchExpressions ?? []) as readonly FieldExpression[];
    const fields: Record<string, string> = {};
    if (cluster.spec?.provider) fields["provider"] = cluster.spec.provider;
    if (cluster.spec?.region) fields["region"] = cluster.spec.region;
    const others = expressions.filter(({ key }) => key !== "zone");
    if (others.some(({ values = [] }) => values.some((value) => value.length > 63 || !LABEL_VALUE.test(value))))
      return false;
    if (compileLabelSelector({ matchExpressions: others }, { allowsComparison: true })?.(fields) !== true) return false;
    if (
      !expressions.every(
        (expression) => expression.key !== "zone" || matchesZones(cluster.spec?.zones ?? [], expression),
      )
    )
      return false;
  }
  return (
    affinity.clusterNames === undefined || affinity.clusterNames.length === 0 || affinity.clusterNames.includes(name)
  );
}

type Term = NonNullable<Placement["clusterAffinities"]>[number];

/** The inline affinity of a term, without its name and overflow tiers. */
export function inlineOf(term: Term): ClusterAffinity {
  const {
    affinityName: _name,
    overflowAffinities: _tiers,
    ...affinity
  } = term as Term & { readonly overflowAffinities?: unknown };
  return affinity as ClusterAffinity;
}

export function overflowOf(term: Term | undefined): readonly ClusterAffinity[] | undefined {
  return (term as { readonly overflowAffinities?: readonly ClusterAffinity[] } | undefined)?.overflowAffinities;
}

export function termNamed(placement: Placement, name: string | undefined): Term | undefined {
  return name === undefined || name === ""
    ? undefined
    : placement.clusterAffinities?.find(({ affinityName }) => affinityName === name);
}

const OVERFLOW_NONE = 1000;

/** 0 for a cluster of the term's own affinity, then one more for each overflow tier; 1000 for none of them. */
export function overflowOrder(placement: Placement, observedName: string | undefined, cluster: Cluster): number {
  if (placement.clusterAffinities === undefined || placement.clusterAffinities.length === 0) return 0;
  const term = termNamed(placement, observedName);
  if (term === undefined) return 0;
  if (matchesAffinity(inlineOf(term), cluster)) return 0;
  const tier = (overflowOf(term) ?? []).findIndex((affinity) => matchesAffinity(affinity, cluster));
  return tier < 0 ? OVERFLOW_NONE : tier + 1;
}
