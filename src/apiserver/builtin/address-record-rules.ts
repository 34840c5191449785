/** ServiceCIDRs and IPAddresses: where Services get their addresses from, and whose each of them is. */
import { deepEqual } from "#base";
import { type FieldError, fieldInvalid, fieldRequired, type KubeObject, subdomainErrors } from "#machinery";
import type { Strategy } from "../definition.ts";
import { segmentErrors } from "./address-checks.ts";
import { canonicalAddress, cidrErrors, ipErrors, listAt, valueAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";
import { familyOf } from "./service-ranges.ts";

const rangesOf = (object: KubeObject) => listAt(object, "spec.cidrs") as unknown as readonly string[];

function newCidrErrors(object: KubeObject): FieldError[] {
  const ranges = rangesOf(object);
  if (ranges.length === 0) return [fieldRequired("spec.cidrs", "at least one CIDR required")];
  if (ranges.length > 2) return [fieldInvalid("spec.cidrs", { CIDRs: ranges }, "may only hold up to 2 values")];
  const errors = ranges.flatMap((range, at) => rangeErrors(range, `spec.cidrs[${at}]`));
  const families = new Set(ranges.map(familyOf));
  return errors.length === 0 && families.size < ranges.length
    ? [
        fieldInvalid(
          "spec.cidrs",
          ranges,
          "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ),
      ]
    : errors;
}

/** A range, written as it should be. */
function rangeErrors(range: string, path: string): FieldError[] {
  const errors = cidrErrors(range, path);
  const [address = "", bits = ""] = range.split("/");
  const canonical = `${canonicalAddress(address)}/${bits}`;
  return errors.length > 0 || canonical === range ? errors : [fieldInvalid(path, range, canonicalText(canonical))];
}

const canonicalText = (text: string) => `must be in canonical form (${JSON.stringify(text)})`;

/** Ranges stay; one of the other family may be added. */
function changedCidrErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const [ranges, before] = [rangesOf(object), rangesOf(old)];
  const isAdded = before.length === 1 && ranges.length === 2;
  if (ranges.length !== before.length && !isAdded)
    return [fieldInvalid("spec.cidrs", valueAt(object, "spec.cidrs") ?? null, "field is immutable")];
  return [
    ...before.flatMap((range, at) =>
      ranges[at] === range ? [] : [fieldInvalid(`spec.cidrs[${at}]`, ranges[at], "field is immutable")],
    ),
    ...(isAdded ? newCidrErrors(object) : []),
  ];
}

/** The record of an address is named by it, and says whose it is. */
function addressErrors(object: KubeObject): FieldError[] {
  const name = object.metadata.name ?? "";
  const wrong = ipErrors(name, "metadata.name");
  const canonical = canonicalAddress(name);
  const parent = valueAt(object, "spec.parentRef") as Json | undefined;
  const path = "spec.parentRef";
  const segment = (field: "resource" | "namespace" | "name") => {
    const value = String(parent?.[field] ?? "");
    return value === "" && field !== "namespace"
      ? [fieldRequired(`${path}.${field}`)]
      : segmentErrors(value, `${path}.${field}`);
  };
  return [
    ...(wrong.length > 0 || canonical === name
      ? wrong
      : [fieldInvalid("metadata.name", name, canonicalText(canonical))]),
    ...(parent === undefined
      ? [fieldRequired(path)]
      : [
          ...(parent["group"] ? subdomainErrors(String(parent["group"]), `${path}.group`) : []),
          ...segment("resource"),
          ...segment("namespace"),
          ...segment("name"),
        ]),
  ];
}

const shownParent = (parent: Json) => ({
  Group: parent["group"] ?? "",
  Resource: parent["resource"] ?? "",
  Namespace: parent["namespace"] ?? "",
  Name: parent["name"] ?? "",
});

export const addressRecordRules: Readonly<Record<string, Strategy>> = {
  "networking.k8s.io/ServiceCIDR": {
    rulesAreWhole: true,
    validateCreate: newCidrErrors,
    validateUpdate: changedCidrErrors,
  },
  "networking.k8s.io/IPAddress": {
    rulesAreWhole: true,
    validate: addressErrors,
    validateUpdate: (object, old) => {
      const [parent, before] = [object, old].map((one) => valueAt(one, "spec.parentRef") as Json | undefined);
      return deepEqual(parent, before)
        ? []
        : [fieldInvalid("spec.parentRef", parent === undefined ? null : shownParent(parent), "field is immutable")];
    },
  },
};
