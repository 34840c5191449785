import type { Component, ReplicaRequirements } from "#apis/karmada";
import type { ResourceQuota } from "#apis/kubernetes";
import { clampAnswer, type Demand, demandOf, isNodeResource, UNLIMITED } from "./amounts.ts";
import type { AssumedWorkload } from "./general.ts";
import type { NodeClass } from "./node-accounts.ts";
import { compileClaim, type NodeClaim } from "./node-claim.ts";
import { fitsOnAll, type NodeGroup, packSets, type Part, place } from "./packing.ts";
import { estimateByQuotas } from "./quota.ts";

/** What is known of one member cluster at one moment. */
export interface MemberFacts {
  readonly nodes: readonly NodeClass[];
  readonly quotas?: readonly ResourceQuota[];
}

export interface NodeEstimateOptions {
  /** Gate `ResourceQuotaEstimate`; default off. */
  readonly usesQuotas?: boolean;
  readonly assumed?: readonly AssumedWorkload[];
  /** Told how long each part took; left out where nobody measures. */
  readonly took?: (part: EstimatePart, durationMs: number) => void;
}

/** Upstream's names of the parts of an estimate (wire). */
export type EstimatePart = "NodeResourceEstimator" | "ResourceQuotaEstimator";

function timed<T>(took: NodeEstimateOptions["took"], part: EstimatePart, run: () => T): T {
  if (took === undefined) return run();
  const startedMs = performance.now();
  try {
    return run();
  } finally {
    took(part, performance.now() - startedMs);
  }
}

interface Requirements {
  readonly nodeClaim?: NodeClaim | undefined;
  readonly resourceRequest?: Readonly<Record<string, number | string>> | undefined;
}

const knownDemands = new WeakMap<Demand, Demand>();

/** Names no node scheduler knows are left out. */
function nodeDemand(requirements: Requirements | undefined): Demand {
  const demand = demandOf(requirements as Pick<ReplicaRequirements, "resourceRequest"> | undefined);
  let known = knownDemands.get(demand);
  if (known === undefined)
    knownDemands.set(demand, (known = new Map([...demand].filter(([name]) => isNodeResource(name)))));
  return known;
}

function partOf(nodes: readonly NodeClass[], replicas: number, requirements: Requirements | undefined): Part {
  const claim = compileClaim(requirements?.nodeClaim);
  const verdicts: (boolean | undefined)[] = [];
  const usable = (index: number) => (verdicts[index] ??= claim(nodes[index] as NodeClass));
  return { replicas, demand: nodeDemand(requirements), usable };
}

function groupsOf(nodes: readonly NodeClass[], assumed: readonly AssumedWorkload[]): readonly NodeGroup[] {
  let groups: readonly NodeGroup[] = nodes.map(({ count, free, pods }, index) => ({ count, free, pods, index }));
  for (const { components = [] } of assumed)
    for (const { replicas, replicaRequirements } of components)
      groups = place(groups, partOf(nodes, replicas, replicaRequirements)).groups;
  return groups;
}

/** Replicas the cluster's nodes and quotas leave room for. */
export function estimateNodeReplicas(
  facts: MemberFacts,
  requirements: ReplicaRequirements | undefined,
  options: NodeEstimateOptions = {},
): number {
  const { assumed = [], usesQuotas = false, took } = options;
  const { nodes, quotas = [] } = facts;
  if (nodes.length === 0) return 0;
  const onNodes = timed(took, "NodeResourceEstimator", () =>
    fitsOnAll(groupsOf(nodes, assumed), partOf(nodes, 1, requirements)),
  );
  if (!usesQuotas || requirements === undefined) return clampAnswer(onNodes);
  const one: Component = { name: "", replicas: 1, replicaRequirements: requirements };
  const byQuotas = timed(took, "ResourceQuotaEstimator", () =>
    estimateByQuotas(quotas, { namespace: requirements.namespace, components: [one], assumed }),
  );
  return clampAnswer(Math.min(onNodes, byQuotas));
}

/** Whole component sets the cluster's nodes and quotas leave room for. */
export function estimateNodeSets(
  facts: MemberFacts,
  components: readonly Component[],
  namespace: string | undefined,
  options: NodeEstimateOptions = {},
): number {
  const { assumed = [], usesQuotas = false, took } = options;
  const { nodes, quotas = [] } = facts;
  if (components.length === 0) return UNLIMITED;
  if (nodes.length === 0) return 0;
  const podsPerSet = components.reduce((sum, { replicas }) => sum + replicas, 0);
  const groups = groupsOf(nodes, assumed);
  const slots = groups.reduce((sum, { count, pods }) => sum + count * pods, 0);
  const bound = podsPerSet <= 0 ? UNLIMITED : Math.floor(slots / podsPerSet);
  const byQuotas = usesQuotas
    ? timed(took, "ResourceQuotaEstimator", () => estimateByQuotas(quotas, { namespace, components, assumed }))
    : UNLIMITED;
  const parts = components.map(({ replicas, replicaRequirements }) => partOf(nodes, replicas, replicaRequirements));
  return timed(took, "NodeResourceEstimator", () => clampAnswer(packSets(groups, parts, Math.min(bound, byQuotas))));
}
