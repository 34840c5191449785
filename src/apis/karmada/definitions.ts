import type { KubeObject } from "#machinery";
import { kindDefinitions } from "./kinds/index.ts";
import type { KindDefinition } from "./kinds/kind.ts";
import type { Schema } from "./kinds/schema.ts";

/** An API server brings its own description of metadata and refuses another. */
function withPlainMetadata(schema: Schema): object {
  const { properties } = schema as { readonly properties?: Readonly<Record<string, unknown>> };
  return properties?.["metadata"] === undefined
    ? schema
    : { ...schema, properties: { ...properties, metadata: { type: "object" } } };
}

/** A definition as the CustomResourceDefinition that serves it. */
function toCustomResourceDefinition(
  { group, names, scope, versions }: KindDefinition,
  conversion: object = { strategy: "None" },
): KubeObject {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${names.plural}.${group}` },
    spec: {
      group,
      names,
      scope,
      conversion,
      versions: versions.map(({ name, served, storage, schema, subresources, additionalPrinterColumns }) => ({
        name,
        served,
        storage,
        schema: { openAPIV3Schema: withPlainMetadata(schema.openAPIV3Schema) },
        ...(Object.keys(subresources).length > 0 ? { subresources } : {}),
        ...(additionalPrinterColumns.length > 0 ? { additionalPrinterColumns } : {}),
      })),
    },
  } as KubeObject;
}

/** The CRDs a control plane installs. The operator's kind lives in a host cluster and is left out. */
export function karmadaCustomResourceDefinitions(): readonly KubeObject[] {
  return kindDefinitions
    .filter(({ aggregated, persisted, group }) => !aggregated && persisted && group !== "operator.karmada.io")
    .map((definition) => toCustomResourceDefinition(definition));
}

/**
 * The version by which aggregated kinds are reached past an APIService that has taken `v1alpha1` over. As long as that name, so that
 * texts keep their length; it sorts behind it, so that no client chooses it by itself.
 */
export const KEPT_VERSION = "v1direct";

/**
 * The CRDs for an API server that is not ours: the aggregated kinds are CRDs there too, and versions are converted by the
 * webhook `clientConfig` names. Without one, the version that is stored is the only one.
 */
export function guestCustomResourceDefinitions(clientConfig: object | undefined): readonly KubeObject[] {
  const webhook = { strategy: "Webhook", webhook: { clientConfig, conversionReviewVersions: ["v1"] } };
  return kindDefinitions
    .filter(({ persisted, group }) => persisted && group !== "operator.karmada.io")
    .map((definition) => {
      const asCustom = definition.aggregated
        ? {
            ...definition,
            versions: definition.versions
              .flatMap((version) => [version, { ...version, name: KEPT_VERSION, storage: false }])
              .map((version) => ({
                ...version,
                subresources: { status: {} },
                // The first column of a CRD is the name, always; it has no word for what an empty cell shows.
                additionalPrinterColumns: version.additionalPrinterColumns
                  .filter(({ jsonPath }) => jsonPath !== ".metadata.name")
                  .map(({ emptyValue: _empty, ...column }) => column),
              })),
          }
        : definition;
      if (definition.versions.length < 2) return toCustomResourceDefinition(asCustom);
      const versions = asCustom.versions.filter(({ storage }) => storage);
      return clientConfig === undefined
        ? toCustomResourceDefinition({ ...asCustom, versions })
        : toCustomResourceDefinition(asCustom, webhook);
    });
}
