import type { ReplicaRequirements } from "#apis/karmada";
import type { NodeSelectorRequirement, Taint } from "#apis/kubernetes";
import { compileLabelSelector, tolerates } from "#machinery";
import type { NodeClass } from "./node-accounts.ts";

/** What a replica asks of the node it runs on. */
export type NodeClaim = NonNullable<ReplicaRequirements["nodeClaim"]>;
type Matches = (node: NodeClass) => boolean;

const UNSCHEDULABLE: Taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

function matchesName({ key, operator, values = [] }: NodeSelectorRequirement, name: string): boolean {
  if (key !== "metadata.name") return false;
  if (operator === "In") return values.includes(name);
  return operator === "NotIn" && !values.includes(name);
}

interface Term {
  readonly matchExpressions?: readonly NodeSelectorRequirement[];
  readonly matchFields?: readonly NodeSelectorRequirement[];
}

/** A term without expressions and fields, and one with an expression that cannot be read, matches no node. */
function compileTerm({ matchExpressions = [], matchFields = [] }: Term): Matches | undefined {
  if (matchExpressions.length === 0 && matchFields.length === 0) return undefined;
  const labels = compileLabelSelector({ matchExpressions }, { allowsComparison: true });
  if (labels === undefined) return undefined;
  return (node) => labels(node.labels) && matchFields.every((field) => matchesName(field, node.name));
}

/** Whether replicas with this claim may run on a node: selector, required affinity, taints; readiness is not looked at. */
export function compileClaim(claim: NodeClaim | undefined): Matches {
  const selector = Object.entries(claim?.nodeSelector ?? {});
  const tolerations = claim?.tolerations ?? [];
  const affinity = claim?.hardNodeAffinity;
  const terms =
    affinity === undefined ? undefined : (affinity.nodeSelectorTerms ?? []).flatMap((term) => compileTerm(term) ?? []);
  const isTolerated = (taint: Taint) => tolerations.some((toleration) => tolerates(toleration, taint));
  const toleratesCordon = isTolerated(UNSCHEDULABLE);
  return (node) =>
    selector.every(([key, value]) => node.labels[key] === value) &&
    (terms === undefined || terms.some((term) => term(node))) &&
    (!node.isUnschedulable || toleratesCordon) &&
    node.taints.every((taint) => (taint.effect !== "NoSchedule" && taint.effect !== "NoExecute") || isTolerated(taint));
}
