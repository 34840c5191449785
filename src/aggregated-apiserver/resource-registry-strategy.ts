import { fieldSelectorErrors, type ResourceRegistry } from "#apis/karmada";
import type { Strategy } from "#apiserver";
import { deepEqual } from "#base";
import { type FieldError, fieldInvalid, isJsonObject, type KubeObject, labelErrors } from "#machinery";

type Spec = NonNullable<ResourceRegistry["spec"]>;

/** Go reads an API version as one name, or a group and a version with one slash between them. */
const isApiVersion = (text: string): boolean => text.split("/").length <= 2;

function isHttpAddress(text: string): boolean {
  const [, scheme, host] = /^(https?):\/\/([^/?#]+)/i.exec(text) ?? [];
  return scheme !== undefined && host !== undefined && URL.canParse(text);
}

/** What is wrong with a ResourceRegistry, by field. */
export function resourceRegistryErrors({ spec }: ResourceRegistry): FieldError[] {
  const { targetCluster, resourceSelectors, backendStore } = (spec ?? {}) as Partial<Spec>;
  return [
    ...fieldSelectorErrors(targetCluster, "spec.targetCluster"),
    ...(resourceSelectors ?? []).flatMap(({ apiVersion = "", namespace = "" }, at) => {
      const path = `spec.resourceSelectors[${at}]`;
      return [
        ...(isApiVersion(apiVersion)
          ? []
          : [fieldInvalid(`${path}.apiVersion`, apiVersion, `unexpected GroupVersion string: ${apiVersion}`)]),
        ...(namespace === "" ? [] : labelErrors(namespace, `${path}.namespace`)),
      ];
    }),
    ...(backendStore?.openSearch?.addresses ?? []).flatMap((address, at) =>
      isHttpAddress(address)
        ? []
        : [
            fieldInvalid(
              `spec.backendStore.openSearch.addresses[${at}]`,
              address,
              "must be a valid http or https URL with non-empty scheme and host",
            ),
          ],
    ),
  ];
}

type Loose = Readonly<Record<string, unknown>>;

/** What upstream's types write where nothing was sent: required fields are never missing there, and never refused. */
function withZeroValues(object: KubeObject): KubeObject {
  const { spec = {} } = object as KubeObject & { readonly spec?: unknown };
  if (!isJsonObject(spec)) return object;
  const openSearch = isJsonObject(spec["backendStore"]) ? spec["backendStore"]["openSearch"] : undefined;
  const next = {
    ...object,
    spec: {
      ...spec,
      ...(isJsonObject(openSearch)
        ? { backendStore: { ...(spec["backendStore"] as Loose), openSearch: { ...EMPTY_STORE, ...openSearch } } }
        : {}),
      targetCluster: spec["targetCluster"] ?? {},
      resourceSelectors: Array.isArray(spec["resourceSelectors"])
        ? spec["resourceSelectors"].map((one: unknown) =>
            isJsonObject(one) ? { ...one, apiVersion: one["apiVersion"] ?? "", kind: one["kind"] ?? "" } : one,
          )
        : (spec["resourceSelectors"] ?? []),
    },
  };
  return deepEqual(next, object) ? object : next;
}

const EMPTY_STORE = { addresses: [], secretRef: { name: "", namespace: "" } };

export const resourceRegistryStrategy: Strategy = {
  normalise: withZeroValues,
  validate: (object) => resourceRegistryErrors(object as ResourceRegistry),
};
