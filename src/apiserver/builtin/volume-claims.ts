/** What claims on storage must keep to, whether they stand alone or in a pod or a StatefulSet. */
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  parseQuantity,
} from "#machinery";
import { labelSelectorErrors, listAt, valueAt } from "./checks.ts";
import { dnsLabelErrors, subdomainErrorsAt } from "./name-checks.ts";
import type { Json } from "./pod-defaults.ts";

const ACCESS_MODES = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const SNAPSHOT_GROUP = "snapshot.storage.k8s.io";

/** Ways to use a volume, at least one. */
export function accessModeErrors(spec: Json, path: string, text = ""): FieldError[] {
  const modes = listAt(spec, "accessModes") as unknown as readonly string[];
  if (modes.length === 0) return [fieldRequired(`${path}.accessModes`, text)];
  const errors = modes
    .filter((mode) => !ACCESS_MODES.includes(mode))
    .map((mode) => fieldNotSupported(`${path}.accessModes`, mode, ACCESS_MODES));
  if (modes.includes("ReadWriteOncePod") && modes.some((mode) => mode !== "ReadWriteOncePod"))
    errors.push(fieldForbidden(`${path}.accessModes`, "may not use ReadWriteOncePod with other access modes"));
  return errors;
}

/** Mistakes of a claim's spec. Where `before`, its spec until now, named the group of a source, any name is taken for one. */
export function claimSpecErrors(spec: Json, path: string, before: Json = {}): FieldError[] {
  const hadGroup = ["dataSource", "dataSourceRef"].some((part) => valueAt(before, `${part}.apiGroup`) !== undefined);
  const errors = accessModeErrors(spec, path, "at least 1 access mode is required");
  if (spec["selector"] !== undefined) errors.push(...labelSelectorErrors(spec["selector"], `${path}.selector`));
  const storage = valueAt(spec, "resources.requests.storage") as string | undefined;
  const where = `${path}.resources[storage]`;
  if (storage === undefined) errors.push(fieldRequired(where));
  else {
    const quantity = parseQuantity(storage);
    if (quantity !== undefined && quantity.nano <= 0n)
      errors.push(fieldInvalid(where, storage, "must be greater than zero"));
  }
  if (spec["storageClassName"]) errors.push(...subdomainErrorsAt(spec["storageClassName"], `${path}.storageClassName`));
  const mode = spec["volumeMode"];
  if (mode !== undefined && mode !== "Block" && mode !== "Filesystem")
    errors.push(fieldNotSupported(`${path}.volumeMode`, mode, ["Block", "Filesystem"]));
  for (const part of ["dataSource", "dataSourceRef"]) {
    const source = spec[part] as Json | undefined;
    if (source !== undefined) errors.push(...sourceErrors(source, `${path}.${part}`, hadGroup));
  }
  const reference = spec["dataSourceRef"] as Json | undefined;
  if (reference?.["namespace"])
    errors.push(...dnsLabelErrors(reference["namespace"], `${path}.dataSourceRef.namespace`));
  const attributes = spec["volumeAttributesClassName"];
  if (attributes) errors.push(...subdomainErrorsAt(attributes, `${path}.volumeAttributesClassName`));
  return errors;
}

function sourceErrors(source: Json, path: string, hadGroup: boolean): FieldError[] {
  const errors: FieldError[] = [];
  if (!source["name"]) errors.push(fieldRequired(`${path}.name`));
  if (!source["kind"]) errors.push(fieldRequired(`${path}.kind`));
  const group = String(source["apiGroup"] ?? "");
  if (group === "" && source["kind"] !== "PersistentVolumeClaim")
    errors.push(
      fieldInvalid(path, source["kind"] ?? "", "must be 'PersistentVolumeClaim' when referencing the default apiGroup"),
    );
  if (group !== "" && group !== SNAPSHOT_GROUP && !hadGroup)
    errors.push(...subdomainErrorsAt(group, `${path}.apiGroup`));
  return errors;
}
