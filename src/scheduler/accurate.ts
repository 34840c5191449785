import type { AnyBinding, Cluster, ReplicaRequirements, ResourceBinding } from "#apis/karmada";
import type { AssumedWorkload, EstimatorPool } from "#estimator";
import { type Gates, isRescheduleTriggered, usesSets } from "./facts.ts";
import { feasibleClusters } from "./filter-score.ts";
import type { AlgorithmOptions, Estimator } from "./algorithm.ts";

/** Upstream's name of the accurate estimator. */
const NAME = "scheduler-estimator";

export interface Question {
  readonly binding: AnyBinding;
  readonly clusters: readonly Cluster[];
  readonly peers: readonly ResourceBinding[];
  readonly gates: Gates;
  readonly algorithm: AlgorithmOptions;
  readonly assumed?: ReadonlyMap<string, readonly AssumedWorkload[]>;
}

/** Clusters the pass may look at: those feasible for any term it may try. */
function clustersToAsk({ binding, clusters, peers, gates, algorithm }: Question): readonly string[] {
  const { spec, status } = binding;
  const { placement } = spec;
  if (placement === undefined) return [];
  const terms = placement.clusterAffinities ?? [];
  const observedAt = terms.findIndex(({ affinityName }) => affinityName === status?.schedulerObservingAffinityName);
  const tried = terms.slice(isRescheduleTriggered(spec, status) ? 0 : Math.max(0, observedAt));
  const names: readonly (string | undefined)[] =
    terms.length === 0 ? [status?.schedulerObservingAffinityName] : tried.map(({ affinityName }) => affinityName);
  const found = new Set<string>();
  for (const observedAffinityName of names)
    try {
      const input = { spec, status, placement, observedAffinityName, clusters, gates, peers, self: binding };
      for (const { metadata } of feasibleClusters(input, { plugins: algorithm.plugins }))
        found.add(metadata.name ?? "");
    } catch {
      // Nothing fits this term, or a plugin fails: the pass itself will say so.
    }
  return [...found];
}

/** Asks the accurate estimators once for all terms of a pass; `undefined` when nothing needs estimating. */
export async function askAccurate(pool: EstimatorPool, question: Question): Promise<Estimator | undefined> {
  const { binding, gates } = question;
  const { spec } = binding;
  const components = spec.components ?? [];
  if (pool.isEmpty || spec.placement === undefined || ((spec.replicas ?? 0) === 0 && components.length === 0))
    return undefined;
  const clusters = clustersToAsk(question);
  if (clusters.length === 0) return undefined;
  const { apiVersion, kind, namespace, name } = spec.resource;
  const of = {
    clusters,
    object: { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }) },
    ...(question.assumed === undefined ? {} : { assumed: question.assumed }),
  };
  const bySets = usesSets(spec, spec.placement, gates);
  const answers = bySets
    ? await pool.maxSets(components, namespace, of)
    : await pool.maxReplicas(spec.replicaRequirements as ReplicaRequirements | undefined, of);
  return { name: NAME, replicas: () => answers, sets: () => answers };
}
