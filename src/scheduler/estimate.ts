import type { Cluster } from "#apis/karmada";
import { demandOf, estimateReplicas, estimateSets, UNLIMITED } from "#estimator";
import { usesSets } from "./facts.ts";
import type { Pass } from "./place.ts";
import type { AlgorithmOptions } from "./algorithm.ts";

const NO_REQUIREMENTS = "none";

/** What the general estimator says of each place in turn. */
function generalRoom(
  { spec, fleet, gates }: Pass,
  places: readonly number[],
  bySets: boolean,
  assumed: AlgorithmOptions["assumed"],
): Float64Array {
  const usesModels = gates.has("CustomizedClusterResourceModeling");
  const { replicaRequirements, components = [] } = spec;
  const room = new Float64Array(places.length);
  const ask = (cluster: Cluster, options: Parameters<typeof estimateReplicas>[2]) =>
    bySets
      ? estimateSets(cluster, components, options)
      : estimateReplicas(cluster, replicaRequirements ?? undefined, options);
  const unoccupied = { usesModels };
  if (bySets)
    for (let at = 0; at < places.length; at++)
      room[at] = ask(fleet.clusters[places[at] as number] as Cluster, unoccupied);
  else {
    const values = fleet.column(
      usesModels ? "replicas by models" : "replicas",
      replicaRequirements ? demandOf(replicaRequirements) : NO_REQUIREMENTS,
      (cluster) => ask(cluster, unoccupied),
    );
    for (let at = 0; at < places.length; at++) room[at] = values[places[at] as number] as number;
  }
  if (assumed === undefined || assumed.size === 0) return room;
  for (let at = 0; at < places.length; at++) {
    const own = assumed.get(fleet.names[places[at] as number] as string);
    if (own !== undefined)
      room[at] = ask(fleet.clusters[places[at] as number] as Cluster, { usesModels, assumed: own });
  }
  return room;
}

/** Room of each place in turn, the least of all estimators that know. */
export function estimateRoom(pass: Pass, places: readonly number[], options: AlgorithmOptions): Float64Array {
  const { spec, placement, gates, fleet } = pass;
  const components = spec.components ?? [];
  if ((spec.replicas ?? 0) === 0 && components.length === 0) return new Float64Array(places.length).fill(UNLIMITED);
  const bySets = usesSets(spec, placement, gates);
  const { record, estimators = [] } = options;
  const room = generalRoom(pass, places, bySets, options.assumed);
  record?.estimated("general-estimator", estimators.length === 0 ? room : room.slice());
  const clusters = estimators.length === 0 ? [] : places.map((place) => fleet.clusters[place] as Cluster);
  for (const estimator of estimators) {
    let answers: ReadonlyMap<string, number>;
    try {
      answers = bySets ? estimator.sets(clusters, components) : estimator.replicas(clusters, spec.replicaRequirements);
    } catch (error) {
      record?.estimated(estimator.name, error instanceof Error ? error.message : String(error));
      continue;
    }
    record?.estimated(estimator.name, answers);
    for (let at = 0; at < places.length; at++) {
      const answer = answers.get(fleet.names[places[at] as number] as string);
      // −1 and what is no number mean "does not know"; other negative answers are nothing.
      if (answer !== undefined && answer !== -1 && answer < (room[at] as number)) room[at] = Math.max(0, answer);
    }
  }
  const replicas = spec.replicas ?? 0;
  for (let at = 0; at < room.length; at++) if (room[at] === UNLIMITED) room[at] = replicas;
  return room;
}
