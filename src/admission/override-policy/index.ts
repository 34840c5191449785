/** Admission of OverridePolicy and ClusterOverridePolicy. */
import {
  type AnyOverridePolicy,
  APPLIED_CLUSTER_OVERRIDES,
  APPLIED_OVERRIDES,
  clusterOfExecutionNamespace,
  fieldSelectorErrors,
  type Overriders,
  RESOURCE_BINDING_NAMESPACE,
  Work,
} from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import type { Client } from "#client";
import {
  annotationMapErrors,
  type FieldError,
  fieldInvalid,
  fieldRequired,
  type KubeObject,
  labelMapErrors,
} from "#machinery";
import { denied } from "../denied.ts";

interface Operation {
  readonly operator: string;
  readonly subPath?: string;
  readonly value?: unknown;
}

const POINTER_TEXT = 'JSON pointer must be empty or start with a "/"\nJSON pointer error';
const isPointer = (text: string) => text === "" || text.startsWith("/");

function overriderErrors(overriders: Overriders, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [at, { value }] of (overriders.annotationsOverrider ?? []).entries())
    errors.push(...annotationMapErrors(value, `${path}.annotationsOverrider[${at}].value`));
  for (const [at, { value }] of (overriders.labelsOverrider ?? []).entries())
    errors.push(...labelMapErrors(value, `${path}.labelsOverrider[${at}].value`));
  for (const [at, image] of (overriders.imageOverrider ?? []).entries()) {
    const pointer = (image as { readonly predicate?: { readonly path: string } }).predicate?.path;
    if (pointer !== undefined && !isPointer(pointer))
      errors.push(fieldInvalid(`${path}.imageOverrider[${at}].predicate.path`, pointer, POINTER_TEXT));
  }
  for (const [at, field] of (
    (overriders.fieldOverrider ?? []) as readonly {
      readonly fieldPath: string;
      readonly json?: readonly Operation[];
      readonly yaml?: readonly Operation[];
    }[]
  ).entries()) {
    const where = `${path}.fieldOverrider[${at}]`;
    const hasJson = (field.json ?? []).length > 0;
    const hasYaml = (field.yaml ?? []).length > 0;
    if (!isPointer(field.fieldPath)) errors.push(fieldInvalid(`${where}.fieldPath`, field.fieldPath, POINTER_TEXT));
    if (hasJson && hasYaml)
      errors.push(fieldInvalid(where, field, "FieldOverrider has both YAML and JSON set. Only one is allowed"));
    if (!hasJson && !hasYaml) errors.push(fieldRequired(where, "FieldOverrider must have either JSON or YAML set"));
    for (const [kind, operations] of [
      ["json", field.json ?? []],
      ["yaml", field.yaml ?? []],
    ] as const)
      for (const [operationAt, { operator, subPath = "", value }] of operations.entries()) {
        const each = `${where}.${kind}[${operationAt}]`;
        if (!isPointer(subPath)) errors.push(fieldInvalid(`${each}.subPath`, subPath, POINTER_TEXT));
        if (operator !== "remove" && value === undefined)
          errors.push(fieldInvalid(`${each}.value`, null, "value is required for add or replace operation"));
        if (operator === "remove" && value !== undefined)
          errors.push(fieldInvalid(`${each}.value`, value, "value is not allowed for remove operation"));
      }
  }
  return errors;
}

/** Clusters whose copies an override changes now; `namespace` is absent for a cluster-wide one. */
async function clustersChangedBy(
  namespace: string | undefined,
  name: string,
  client: Client,
): Promise<readonly string[]> {
  const key = namespace === undefined ? APPLIED_CLUSTER_OVERRIDES : APPLIED_OVERRIDES;
  const { items } = await client.list(Work);
  const clusters = items
    .filter(
      ({ metadata: { annotations = {} } }) =>
        annotations[key]?.includes(`"policyName":${JSON.stringify(name)}`) &&
        (namespace === undefined || annotations[RESOURCE_BINDING_NAMESPACE] === namespace),
    )
    .map(({ metadata }) => clusterOfExecutionNamespace(metadata.namespace) ?? "");
  return [...new Set(clusters)].sort();
}

export function overridePolicyAdmission(isCluster: boolean, client?: () => Client): AdmissionPlugin {
  const webhook = isCluster ? "clusteroverridepolicy.karmada.io" : "overridepolicy.karmada.io";
  const resource = isCluster ? "clusteroverridepolicies" : "overridepolicies";
  return {
    name: webhook,
    handles: ({ definition, subresource }) =>
      definition.kind.group === "policy.karmada.io" &&
      definition.kind.resource === resource &&
      subresource === undefined,
    mutate({ object }) {
      if (isCluster) return object;
      const policy = object as AnyOverridePolicy;
      const { namespace } = policy.metadata;
      const selectors = policy.spec.resourceSelectors?.map((selector) =>
        selector.namespace || namespace === undefined ? selector : { ...selector, namespace },
      );
      return (
        selectors === undefined ? policy : { ...policy, spec: { ...policy.spec, resourceSelectors: selectors } }
      ) as KubeObject;
    },
    async validate({ object, operation, warn, namespace, name }) {
      if (operation === "DELETE") {
        const clusters =
          client === undefined ? [] : await clustersChangedBy(isCluster ? undefined : namespace, name, client());
        if (clusters.length > 0)
          warn(
            `copies in ${clusters.join(", ")} are rendered without this override at once, unless no policy claims them any more; see the guide on withdrawing workloads`,
          );
        return;
      }
      const policy = object as AnyOverridePolicy;
      const { spec } = policy;
      const errors = fieldSelectorErrors(spec.targetCluster, "spec.targetCluster");
      if (spec.overrideRules !== undefined && spec.targetCluster !== undefined)
        errors.push(
          fieldInvalid("spec.targetCluster", spec.targetCluster, "overrideRules and targetCluster can't co-exist"),
        );
      const hasOld = Object.values(spec.overriders ?? {}).some((list) => Array.isArray(list) && list.length > 0);
      if (spec.overrideRules !== undefined && hasOld)
        errors.push(fieldInvalid("spec.overriders", spec.overriders, "overrideRules and overriders can't co-exist"));
      // The older form is carried out like a rule, so its content is looked at in the same way.
      if (spec.overriders !== undefined) errors.push(...overriderErrors(spec.overriders, "spec.overriders"));
      for (const [at, rule] of (spec.overrideRules ?? []).entries())
        errors.push(
          ...overriderErrors(rule.overriders, `spec.overrideRules[${at}].overriders`),
          ...fieldSelectorErrors(rule.targetCluster, `spec.overrideRules[${at}].targetCluster`),
        );
      if (!isCluster)
        for (const [at, { namespace }] of (spec.resourceSelectors ?? []).entries())
          if (namespace !== policy.metadata.namespace)
            errors.push(
              fieldInvalid(
                `spec.resourceSelectors[${at}].namespace`,
                namespace ?? "",
                "namespace of resource selector must be the same as the namespace of the policy",
              ),
            );
      if (errors.length > 0) throw denied(webhook, errors);
    },
  };
}
