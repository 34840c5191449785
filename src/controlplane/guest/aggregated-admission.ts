import { clusterStrategy, resourceRegistryStrategy } from "#aggregated-apiserver";
import type { AdmissionPlugin, Strategy } from "#apiserver";
import type { Clock } from "#base";
import { invalid } from "#machinery";

/** The rules of aggregated kinds, for API servers where they are CRDs. */
export const aggregatedAdmission = (clock: Clock): readonly AdmissionPlugin[] => [
  rulesOf("cluster.karmada.io", "clusters", clusterStrategy(clock)),
  rulesOf("search.karmada.io", "resourceregistries", resourceRegistryStrategy),
];

function rulesOf(group: string, resource: string, strategy: Strategy): AdmissionPlugin {
  return {
    name: group,
    handles: ({ definition, operation, subresource }) =>
      definition.kind.group === group &&
      definition.kind.resource === resource &&
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
