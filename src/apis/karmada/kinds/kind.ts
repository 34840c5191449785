import { object, type Schema, string } from "./schema.ts";

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly jsonPath: string;
  readonly format?: string;
  /** 1: shown by `-o wide` only. */
  readonly priority?: number;
  /** What a cell shows where the object has nothing; for kinds of the aggregated API. */
  readonly emptyValue?: string;
}

export interface KindVersion {
  readonly name: string;
  readonly served: boolean;
  readonly storage: boolean;
  readonly subresources: Readonly<Record<string, unknown>>;
  readonly additionalPrinterColumns: readonly Column[];
  readonly schema: { readonly openAPIV3Schema: Schema };
}

/** One kind of a `karmada.io` group (or `multicluster.x-k8s.io`), defined once: everything else is made from this. */
export interface KindDefinition {
  readonly group: string;
  readonly names: {
    readonly kind: string;
    /** `null` for a kind that is only a payload. */
    readonly plural: string | null;
    readonly singular: string | null;
    readonly listKind: string | null;
    readonly shortNames: readonly string[];
    readonly categories: readonly string[];
  };
  readonly scope: "Namespaced" | "Cluster" | null;
  /** Served by an aggregated server and not by a CRD. */
  readonly aggregated: boolean;
  /** Never stored: an address to connect to, or a payload. */
  readonly persisted: boolean;
  readonly conversion: { readonly strategy: "None" | "Webhook" };
  /** Where upstream's own server keeps it, if that is not where kube-apiserver keeps a kind of this name. */
  readonly upstreamPrefix?: string;
  readonly versions: readonly KindVersion[];
}

interface VersionInput {
  readonly name: string;
  readonly description: string;
  /** Top-level fields beside `apiVersion`, `kind` and `metadata`. */
  readonly fields: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly hasStatus?: boolean;
  readonly columns?: readonly Column[];
  readonly isStored?: boolean;
}

interface KindInput {
  readonly group: string;
  readonly kind: string;
  readonly plural: string | null;
  readonly scope: "Namespaced" | "Cluster" | null;
  readonly shortNames?: readonly string[];
  /** Whether `kubectl get karmada-io` shows it. */
  readonly isListedWithAll?: boolean;
  readonly isAggregated?: boolean;
  readonly isPersisted?: boolean;
  readonly isConverted?: boolean;
  readonly upstreamPrefix?: string;
  readonly subresources?: Readonly<Record<string, unknown>>;
  readonly versions: readonly VersionInput[];
}

export const AGE: Column = { name: "AGE", type: "date", jsonPath: ".metadata.creationTimestamp" };

export function column(name: string, jsonPath: string, type = "string", extra: Partial<Column> = {}): Column {
  return { name, type, jsonPath, ...extra };
}

export function defineKind(input: KindInput): KindDefinition {
  const { kind, plural } = input;
  const isPersisted = input.isPersisted ?? true;
  return {
    group: input.group,
    names: {
      kind,
      plural,
      singular: plural === null ? null : kind.toLowerCase(),
      listKind: isPersisted ? `${kind}List` : null,
      shortNames: input.shortNames ?? [],
      categories: input.isListedWithAll ? ["karmada-io"] : [],
    },
    scope: input.scope,
    aggregated: input.isAggregated ?? false,
    persisted: isPersisted,
    conversion: { strategy: input.isConverted ? "Webhook" : "None" },
    ...(input.upstreamPrefix === undefined ? {} : { upstreamPrefix: input.upstreamPrefix }),
    versions: input.versions.map((version) => ({
      name: version.name,
      served: plural !== null,
      storage: isPersisted && (version.isStored ?? true),
      subresources: input.subresources ?? (version.hasStatus ? { status: {} } : {}),
      additionalPrinterColumns: version.columns ?? [],
      schema: {
        openAPIV3Schema: object(
          version.description,
          {
            apiVersion: string("Group and version of this form of the object."),
            kind: string("Name of the kind, in camel case."),
            ...(isPersisted
              ? { metadata: { description: "Name, labels, annotations and the like.", type: "object" } }
              : {}),
            ...version.fields,
          },
          version.required ?? [],
        ),
      },
    })),
  };
}
