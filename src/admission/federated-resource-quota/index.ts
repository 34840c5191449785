/** Admission of FederatedResourceQuota: amounts that make sense, and assignments that fit into the whole. */
import type { FederatedResourceQuota } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import {
  addQuantities,
  compareQuantities,
  type FieldError,
  fieldInvalid,
  qualifiedNameErrors,
  type Quantity,
  zeroQuantity,
} from "#machinery";
import { denied } from "../denied.ts";
import { amountOf, clusterNameErrors } from "../formats.ts";

type Amounts = Readonly<Record<string, number | string>>;

const NAME_LENGTH_MAX = 63;
const COMPUTE = ["cpu", "memory", "ephemeral-storage"];
const COUNTED = [
  "pods",
  "resourcequotas",
  "services",
  "replicationcontrollers",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "services.nodeports",
  "services.loadbalancers",
];
const STANDARD = new Set([
  ...COMPUTE,
  ...COMPUTE.flatMap((name) => [`requests.${name}`, `limits.${name}`]),
  "requests.storage",
  ...COUNTED,
]);
const NANO = 1_000_000_000n;

function amountErrors(amounts: Amounts | undefined, path: string): FieldError[] {
  return Object.entries(amounts ?? {}).flatMap(([resource, text]) => {
    const where = `${path}[${resource}]`;
    const errors = qualifiedNameErrors(resource, where);
    const isStandard = STANDARD.has(resource) || /^(requests\.)?hugepages-/.test(resource);
    if (!resource.includes("/") && !isStandard) {
      // `storage` is a resource of Kubernetes, but none that a quota counts.
      if (resource !== "storage")
        errors.push(fieldInvalid(where, resource, "must be a standard resource type or fully qualified"));
      errors.push(fieldInvalid(where, resource, "must be a standard resource for quota"));
    }
    const amount = amountOf(text);
    if (amount === undefined) return errors;
    if (amount.nano < 0n) errors.push(fieldInvalid(where, String(text), "must be greater than or equal to 0"));
    const isWhole = COUNTED.includes(resource) || resource.includes("/");
    if (isWhole && amount.nano % NANO !== 0n) errors.push(fieldInvalid(where, String(text), "must be an integer"));
    return errors;
  });
}

export function federatedResourceQuotaErrors(quota: FederatedResourceQuota): FieldError[] {
  const { spec, status, metadata } = quota;
  const errors: FieldError[] = [];
  const name = metadata.name ?? "";
  if (name.length > NAME_LENGTH_MAX)
    errors.push(fieldInvalid("metadata.name", name, `must be no more than ${NAME_LENGTH_MAX} characters`));
  errors.push(...amountErrors(spec.overall, "spec.overall"));
  const assigned = new Map<string, Quantity>();
  for (const [at, { clusterName, hard }] of (spec.staticAssignments ?? []).entries()) {
    const path = `spec.staticAssignments[${at}]`;
    errors.push(...clusterNameErrors(clusterName, `${path}.clusterName`), ...amountErrors(hard, `${path}.hard`));
    for (const [resource, text] of Object.entries(hard)) {
      if (spec.overall[resource] === undefined)
        errors.push(
          fieldInvalid(`${path}.hard[${resource}]`, resource, "assignment resourceName is not exist in overall"),
        );
      assigned.set(resource, addQuantities(assigned.get(resource) ?? zeroQuantity, amountOf(text) ?? zeroQuantity));
    }
  }
  for (const [resource, text] of Object.entries(spec.overall))
    if (compareQuantities(amountOf(text) ?? zeroQuantity, assigned.get(resource) ?? zeroQuantity) < 0)
      errors.push(fieldInvalid(`spec.overall[${resource}]`, String(text), "overall is less than assignments"));
  errors.push(
    ...amountErrors(status?.overall, "status.overall"),
    ...amountErrors(status?.overallUsed, "status.overallUsed"),
  );
  for (const [at, { hard, used }] of (status?.aggregatedStatus ?? []).entries())
    errors.push(
      ...amountErrors(hard, `status.aggregatedStatus[${at}].hard`),
      ...amountErrors(used, `status.aggregatedStatus[${at}].used`),
    );
  return errors;
}

export const federatedResourceQuotaAdmission: AdmissionPlugin = {
  name: "federatedresourcequota.karmada.io",
  handles: ({ definition, operation, subresource }) =>
    definition.kind.group === "policy.karmada.io" &&
    definition.kind.resource === "federatedresourcequotas" &&
    operation !== "DELETE" &&
    subresource === undefined,
  validate({ object }) {
    const errors = federatedResourceQuotaErrors(object as FederatedResourceQuota);
    if (errors.length > 0) throw denied("federatedresourcequota.karmada.io", errors);
  },
};
