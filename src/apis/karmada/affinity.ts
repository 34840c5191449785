import type { ClusterAffinity, Placement } from "./parts.ts";
import type { Cluster } from "./generated-types.ts";
import { compileLabelSelector, type LabelSelector, matchesEverything } from "#machinery";

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

type ClusterMatcher = (cluster: Cluster) => boolean;

const nowhere: ClusterMatcher = () => false;

/** Fields are compared as plain strings, whatever characters a provider gives its regions (docs/decisions/0513). */
function compile({ exclude = [], labelSelector, fieldSelector, clusterNames = [] }: ClusterAffinity): ClusterMatcher {
  const excluded = new Set(exclude);
  const named = clusterNames.length === 0 ? undefined : new Set(clusterNames);
  const byLabels =
    labelSelector === undefined ? matchesEverything : compileLabelSelector(labelSelector as LabelSelector);
  const expressions = (fieldSelector?.matchExpressions ?? []) as readonly FieldExpression[];
  const byFields = compileLabelSelector(
    { matchExpressions: expressions.filter(({ key }) => key !== "zone") },
    { allowsComparison: true },
  );
  if (byLabels === undefined || byFields === undefined) return nowhere;
  const ofZones = expressions.filter(({ key }) => key === "zone");
  const hasFields = ofZones.length < expressions.length;
  return ({ metadata: { name = "", labels }, spec }) => {
    if (excluded.has(name) || !byLabels(labels)) return false;
    if (hasFields) {
      const fields: Record<string, string> = {};
      if (spec?.provider) fields["provider"] = spec.provider;
      if (spec?.region) fields["region"] = spec.region;
      if (!byFields(fields)) return false;
    }
    if (!ofZones.every((expression) => matchesZones(spec?.zones ?? [], expression))) return false;
    return named === undefined || named.has(name);
  };
}

/** Affinities are immutable, and each is asked about every cluster: compiled once. */
const compiled = new WeakMap<ClusterAffinity, ClusterMatcher>();

/** Whether a cluster is one an affinity speaks of. */
export function matchesAffinity(affinity: ClusterAffinity, cluster: Cluster): boolean {
  let matches = compiled.get(affinity);
  if (matches === undefined) compiled.set(affinity, (matches = compile(affinity)));
  return matches(cluster);
}

type Term = NonNullable<Placement["clusterAffinities"]>[number];

const inlined = new WeakMap<Term, ClusterAffinity>();

/** The inline affinity of a term, without its name and overflow tiers; the same object each time it is asked for. */
export function inlineOf(term: Term): ClusterAffinity {
  let inline = inlined.get(term);
  if (inline === undefined) {
    const {
      affinityName: _name,
      overflowAffinities: _tiers,
      ...affinity
    } = term as Term & { readonly overflowAffinities?: unknown };
    inlined.set(term, (inline = affinity as ClusterAffinity));
  }
  return inline;
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
