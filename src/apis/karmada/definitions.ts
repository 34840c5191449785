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
 * The CRDs for an API server that is not ours: the aggregated kinds are CRDs there too, and versions are converted by the
 * webhook `clientConfig` names.
 */
export function guestCustomResourceDefinitions(clientConfig: object): readonly KubeObject[] {
  const webhook = { strategy: "Webhook", webhook: { clientConfig, conversionReviewVersions: ["v1"] } };
  return kindDefinitions
    .filter(({ persisted, group }) => persisted && group !== "operator.karmada.io")
    .map((definition) => {
      const asCustom = definition.aggregated
        ? {
            ...definition,
            versions: definition.versions.map((version) => ({
              ...version,
              subresources: { status: {} },
              // A CRD has no word for what an empty cell shows, nor for the format of the first column.
              additionalPrinterColumns: version.additionalPrinterColumns.map(
                ({ emptyValue: _empty, format, ...column }) => ({
                  ...column,
                  ...(format === undefined || format === "name" ? {} : { format }),
                }),
              ),
            })),
          }
        : definition;
      return toCustomResourceDefinition(asCustom, definition.versions.length > 1 ? webhook : undefined);
    });
}
