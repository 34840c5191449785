/** Keeps workloads of one group together, or apart (gate `WorkloadAffinity`). */
import { bindingName, type ResourceBinding } from "#apis/karmada";
import type { SchedulingInput } from "../../facts.ts";
import { definePassPlugin } from "../plugin.ts";

type Groups = { readonly affinityGroup?: string; readonly antiAffinityGroup?: string } | undefined;

function peersOf(input: SchedulingInput, of: (groups: Groups) => string | undefined): readonly ResourceBinding[] {
  const group = input.gates.has("WorkloadAffinity") ? of(input.spec.workloadAffinityGroups) : undefined;
  if (!group) return [];
  const { namespace, name, kind } = input.spec.resource;
  const own = bindingName(kind, name);
  return (input.peers ?? []).filter(
    (peer) =>
      (peer.metadata.namespace ?? "") === (namespace ?? "") &&
      peer.metadata.name !== own &&
      of(peer.spec.workloadAffinityGroups) === group &&
      (peer.spec.clusters ?? []).length > 0,
  );
}

/** How many of the peers are on each cluster. */
function countByCluster(peers: readonly ResourceBinding[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { spec } of peers)
    for (const name of new Set((spec.clusters ?? []).map((target) => target.name)))
      counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

export const workloadAffinity = definePassPlugin({
  name: "WorkloadAffinity",
  prepareFilter(pass) {
    const placed = peersOf(pass, (groups) => groups?.affinityGroup);
    if (placed.length === 0) return undefined;
    const { fleet, present } = pass;
    const counts = countByCluster(placed);
    return (place) =>
      counts.get(fleet.names[place] ?? "") === placed.length || present.isAt(place)
        ? undefined
        : "ResourceBinding with the same affinity group does not target this cluster";
  },
});

export const workloadAntiAffinity = definePassPlugin({
  name: "WorkloadAntiAffinity",
  prepareFilter(pass) {
    const placed = peersOf(pass, (groups) => groups?.antiAffinityGroup);
    if (placed.length === 0) return undefined;
    const { fleet, present } = pass;
    const counts = countByCluster(placed);
    return (place) =>
      !counts.has(fleet.names[place] ?? "") || present.isAt(place)
        ? undefined
        : "cluster already has workload with the same anti-affinity group";
  },
});
