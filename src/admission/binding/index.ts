/** Admission of ResourceBinding and ClusterResourceBinding: a permanent id on creation. */
import { CLUSTER_RESOURCE_BINDING_ID, RESOURCE_BINDING_ID } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import type { Random } from "#base";
import { withLabels } from "#machinery";

export function bindingAdmission(isCluster: boolean, random: Random): AdmissionPlugin {
  const label = isCluster ? CLUSTER_RESOURCE_BINDING_ID : RESOURCE_BINDING_ID;
  const resource = isCluster ? "clusterresourcebindings" : "resourcebindings";
  return {
    name: isCluster ? "clusterresourcebinding.karmada.io" : "resourcebinding.karmada.io",
    handles: ({ definition, operation, subresource }) =>
      definition.kind.group === "work.karmada.io" &&
      definition.kind.resource === resource &&
      operation === "CREATE" &&
      subresource === undefined,
    mutate: ({ object }) => (object.metadata.labels?.[label] ? object : withLabels(object, { [label]: random.uuid() })),
  };
}
