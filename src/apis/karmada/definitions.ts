import type { KubeObject } from "#machinery";
import { definitionsJson } from "./generated-definitions.ts";

/** One kind of a `karmada.io` group (or `multicluster.x-k8s.io`) as its server publishes it. */
export interface KindDefinition {
  readonly group: string;
  readonly names: {
    readonly kind: string;
    readonly plural: string;
    readonly singular?: string;
    readonly listKind?: string;
    readonly shortNames?: readonly string[];
    readonly categories?: readonly string[];
  };
  readonly scope: "Namespaced" | "Cluster";
  /** Served by an aggregated server and not by a CRD. */
  readonly aggregated?: boolean;
  readonly conversion?: unknown;
  readonly versions: readonly {
    readonly name: string;
    readonly served: boolean;
    readonly storage: boolean;
    readonly subresources?: Readonly<Record<string, unknown>> | null;
    readonly additionalPrinterColumns?: readonly unknown[] | null;
    readonly schema: { readonly openAPIV3Schema: Readonly<Record<string, unknown>> };
  }[];
}

let parsed: readonly KindDefinition[] | undefined;

export function kindDefinitions(): readonly KindDefinition[] {
  parsed ??= JSON.parse(definitionsJson) as readonly KindDefinition[];
  return parsed;
}

/** The CRDs a control plane installs. The operator's kind lives in a host cluster and is left out. */
export function karmadaCustomResourceDefinitions(): readonly KubeObject[] {
  return kindDefinitions()
    .filter(
      ({ aggregated, scope, group, names }) =>
        !aggregated && scope !== null && group !== "operator.karmada.io" && names.plural !== null,
    )
    .filter(({ versions }) => versions.some(({ served }) => served))
    .map(({ group, names, scope, versions }) => ({
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${names.plural}.${group}` },
      spec: {
        group,
        names: { listKind: `${names.kind}List`, singular: names.kind.toLowerCase(), ...names },
        scope,
        conversion: { strategy: "None" },
        versions: versions.map((version) => ({
          name: version.name,
          served: version.served,
          storage: version.storage,
          schema: version.schema,
          ...(version.subresources && Object.keys(version.subresources).length > 0
            ? { subresources: version.subresources }
            : {}),
          ...(version.additionalPrinterColumns && version.additionalPrinterColumns.length > 0
            ? { additionalPrinterColumns: version.additionalPrinterColumns }
            : {}),
        })),
      },
    }));
}
