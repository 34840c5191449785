/** Keeps workloads of one group together, or apart (gate `WorkloadAffinity`). */
import { bindingName } from "#apis/karmada";
import { type SchedulingInput, targetNamed } from "../../facts.ts";
import { definePlugin } from "../plugin.ts";

type Groups = { readonly affinityGroup?: string; readonly antiAffinityGroup?: string } | undefined;

function peersOf(input: SchedulingInput, of: (groups: Groups) => string | undefined) {
  const group = of(input.spec.workloadAffinityGroups);
  if (!group) return [];
  const { namespace, name, kind } = input.spec.resource;
  const own = bindingName(kind, name);
  return (input.peers ?? []).filter(
    (peer) =>
      (peer.metadata.namespace ?? "") === (namespace ?? "") &&
      peer.metadata.name !== own &&
      of(peer.spec.workloadAffinityGroups) === group,
  );
}

export const workloadAffinity = definePlugin({
  name: "WorkloadAffinity",
  filter(input, cluster) {
    const name = cluster.metadata.name ?? "";
    if (!input.gates.has("WorkloadAffinity") || targetNamed(input.spec, name) !== undefined) return undefined;
    const placed = peersOf(input, (groups) => groups?.affinityGroup).filter(
      (peer) => (peer.spec.clusters ?? []).length > 0,
    );
    return placed.every((peer) => targetNamed(peer.spec, name) !== undefined)
      ? undefined
      : "ResourceBinding with the same affinity group does not target this cluster";
  },
});

export const workloadAntiAffinity = definePlugin({
  name: "WorkloadAntiAffinity",
  filter(input, cluster) {
    const name = cluster.metadata.name ?? "";
    if (!input.gates.has("WorkloadAffinity") || targetNamed(input.spec, name) !== undefined) return undefined;
    const isTaken = peersOf(input, (groups) => groups?.antiAffinityGroup).some(
      (peer) => targetNamed(peer.spec, name) !== undefined,
    );
    return isTaken ? "cluster already has workload with the same anti-affinity group" : undefined;
  },
});
