/**
 * Admission of ResourceBinding and ClusterResourceBinding: a permanent id on creation. ResourceBindings are also looked at:
 * what they depend on, names of components, and what federated quotas have room for. ClusterResourceBindings never are.
 */
import {
  BINDING_DEPENDENCIES,
  CLUSTER_RESOURCE_BINDING_ID,
  RESOURCE_BINDING_ID,
  type ResourceBinding,
} from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import type { Random } from "#base";
import { type FieldError, fieldInvalid, withLabels } from "#machinery";
import { denied } from "../denied.ts";
import { enforceQuotas, type QuotaAccess } from "./enforce.ts";

export interface BindingAdmissionOptions {
  /** Checks names of components (gate MultiplePodTemplatesScheduling). */
  readonly checksComponents: boolean;
  /** Charges FederatedResourceQuotas (gate FederatedQuotaEnforcement); absent: does not. */
  readonly quotas?: QuotaAccess;
}

export function bindingErrors(binding: ResourceBinding, checksComponents: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const dependencies = binding.metadata.annotations?.[BINDING_DEPENDENCIES];
  if (dependencies !== undefined && !isReferenceList(dependencies))
    errors.push(
      fieldInvalid(
        `metadata.annotations.${BINDING_DEPENDENCIES}`,
        dependencies,
        "annotation value must be a valid JSON",
      ),
    );
  if (!checksComponents) return errors;
  const names = new Set<string>();
  for (const [at, { name }] of (binding.spec.components ?? []).entries()) {
    const path = `spec.components[${at}].name`;
    if (name === "") errors.push(fieldInvalid(path, name, "component names must be non-empty"));
    else if (names.has(name)) errors.push(fieldInvalid(path, name, "component names must be unique"));
    names.add(name);
  }
  return errors;
}

function isReferenceList(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return (
      value === null ||
      (Array.isArray(value) && value.every((item) => typeof item === "object" && item !== null && !Array.isArray(item)))
    );
  } catch {
    return false;
  }
}

export function bindingAdmission(
  isCluster: boolean,
  random: Random,
  options: BindingAdmissionOptions = { checksComponents: false },
): AdmissionPlugin {
  const label = isCluster ? CLUSTER_RESOURCE_BINDING_ID : RESOURCE_BINDING_ID;
  const resource = isCluster ? "clusterresourcebindings" : "resourcebindings";
  const webhook = isCluster ? "clusterresourcebinding.karmada.io" : "resourcebinding.karmada.io";
  return {
    name: webhook,
    handles: ({ definition, operation, subresource }) =>
      definition.kind.group === "work.karmada.io" &&
      definition.kind.resource === resource &&
      operation !== "DELETE" &&
      subresource === undefined,
    mutate: ({ object, operation }) =>
      operation !== "CREATE" || object.metadata.labels?.[label]
        ? object
        : withLabels(object, { [label]: random.uuid() }),
    async validate(request) {
      const { object, oldObject, operation } = request;
      if (isCluster) return;
      const binding = object as ResourceBinding;
      const errors = bindingErrors(binding, options.checksComponents);
      if (errors.length > 0) throw denied(webhook, errors);
      if (options.quotas === undefined || (operation === "CREATE" && (binding.spec.clusters ?? []).length === 0))
        return;
      await enforceQuotas(options.quotas, binding, oldObject as ResourceBinding | undefined, request);
    },
  };
}
