/** Admission of MultiClusterService: a permanent id, one exposure type that stays, ports and clusters with proper names. */
import { MULTI_CLUSTER_SERVICE_ID, type MultiClusterService } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import { deepEqual, type Random } from "#base";
import { fieldDuplicate, type FieldError, fieldInvalid, label1035Errors, labelErrors, withLabels } from "#machinery";
import { denied } from "../denied.ts";
import { clusterNameErrors } from "../formats.ts";

const TYPES = ["CrossCluster", "LoadBalancer"];
const PORT_MAX = 65_535;

export function multiClusterServiceErrors(
  service: MultiClusterService,
  old: MultiClusterService | undefined,
): FieldError[] {
  const { spec, metadata } = service;
  const errors = label1035Errors(metadata.name ?? "", "metadata.name");
  if (old !== undefined && !deepEqual(old.spec.types, spec.types))
    errors.push(fieldInvalid("spec.types", old.spec.types, "MultiClusterService types are immutable"));
  const names = new Set<string>();
  for (const [at, { name, port }] of (spec.ports ?? []).entries()) {
    if (name) {
      errors.push(...labelErrors(name, `spec.ports[${at}].name`));
      if (names.has(name)) errors.push(fieldDuplicate(`spec.ports[${at}].name`, name));
      names.add(name);
    }
    if (port < 1 || port > PORT_MAX)
      errors.push(fieldInvalid(`spec.ports[${at}].port`, port, `must be between 1 and ${PORT_MAX}, inclusive`));
  }
  for (const [at, type] of spec.types.entries())
    if (!TYPES.includes(type)) errors.push(fieldInvalid(`spec.types[${at}]`, type, "ExposureType Error"));
  if (new Set(spec.types).size > 1)
    errors.push(
      fieldInvalid("spec.types", spec.types, "MultiClusterService types should not contain more than one type"),
    );
  // Clients match on these paths, although the fields stand directly under spec.
  for (const field of ["providerClusters", "consumerClusters"] as const)
    for (const [at, { name }] of (spec[field] ?? []).entries())
      errors.push(...clusterNameErrors(name, `spec.range.${field}[${at}]`));
  return errors;
}

export function multiClusterServiceAdmission(random: Random): AdmissionPlugin {
  return {
    name: "multiclusterservice.karmada.io",
    handles: ({ definition, operation, subresource }) =>
      definition.kind.group === "networking.karmada.io" &&
      definition.kind.resource === "multiclusterservices" &&
      operation !== "DELETE" &&
      subresource === undefined,
    mutate: ({ object }) =>
      object.metadata.labels?.[MULTI_CLUSTER_SERVICE_ID]
        ? object
        : withLabels(object, { [MULTI_CLUSTER_SERVICE_ID]: random.uuid() }),
    validate({ object, oldObject }) {
      const errors = multiClusterServiceErrors(
        object as MultiClusterService,
        oldObject as MultiClusterService | undefined,
      );
      if (errors.length > 0) throw denied("multiclusterservice.karmada.io", errors);
    },
  };
}
