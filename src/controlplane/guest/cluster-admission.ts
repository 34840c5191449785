import { clusterStrategy } from "#aggregated-apiserver";
import type { AdmissionPlugin } from "#apiserver";
import type { Clock } from "#base";
import { invalid } from "#machinery";

/** The rules of the aggregated kind Cluster, for API servers where it is a CRD. */
export function clusterAdmission(clock: Clock): AdmissionPlugin {
  const strategy = clusterStrategy(clock);
  return {
    name: "cluster.karmada.io",
    handles: ({ definition, operation, subresource }) =>
      definition.kind.group === "cluster.karmada.io" &&
      definition.kind.resource === "clusters" &&
      operation !== "DELETE" &&
      subresource === undefined,
    mutate: ({ object, oldObject, user, warn }) =>
      (oldObject === undefined
        ? strategy.prepareForCreate?.(object, { user, warn })
        : strategy.prepareForUpdate?.(object, oldObject, { user, warn })) ?? object,
    validate({ object, definition }) {
      const errors = object === undefined ? [] : (strategy.validate?.(object) ?? []);
      if (errors.length > 0) throw invalid(definition.kind, object?.metadata.name ?? "", errors);
    },
  };
}
