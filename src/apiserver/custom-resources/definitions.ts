import { apiVersionOf, type KubeObject, Schema } from "#machinery";
import type {
  ConversionWebhook,
  ResourceDefinition,
  ScalePaths,
  SubresourceDefinition,
  TableColumn,
} from "../definition.ts";
import { isColumnPath } from "../tables/printer-path.ts";
import { compareVersions } from "../discovery/discovery.ts";
import { type CrdNames, type CrdVersion, type CrdSpec, isConditionTrue, specOf, statusOf } from "./crd.ts";

const VERBS = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
const pathOf = (jsonPath: string) => jsonPath.split(".").filter(Boolean);

/** The names a CRD goes by: those it asks for, as far as they were accepted. */
export const namesOf = (crd: KubeObject): CrdNames => {
  const accepted = statusOf(crd).acceptedNames ?? {};
  const { names } = specOf(crd);
  const { plural, kind, listKind } = names;
  return {
    ...names,
    ...accepted,
    plural: accepted.plural || plural,
    kind: accepted.kind || kind,
    listKind: accepted.listKind || listKind || `${kind}List`,
  };
};

/** The definitions a CRD leads to: one a served version. */
export const definitionsOf = (crd: KubeObject, webhook?: ConversionWebhook): readonly ResourceDefinition[] => {
  const versions = everyVersionOf(crd, webhook);
  return specOf(crd)
    .versions.filter(({ served }) => served)
    .flatMap(({ name }) => versions.get(name) ?? []);
};

/** The same of all versions, by name. */
export function everyVersionOf(crd: KubeObject, webhook?: ConversionWebhook): ReadonlyMap<string, ResourceDefinition> {
  const spec = { ...specOf(crd), names: namesOf(crd) };
  const isTerminating = crd.metadata.deletionTimestamp !== undefined || isConditionTrue(crd, "Terminating");
  const versions = new Map<string, ResourceDefinition>();
  for (const version of spec.versions)
    versions.set(version.name, {
      ...definitionOf(spec, version, isTerminating),
      schemaRevision: Number(crd.metadata.resourceVersion ?? 0),
      ...(webhook === undefined ? {} : { webhook }),
      versions,
    });
  return versions;
}

function definitionOf(spec: CrdSpec, version: CrdVersion, isTerminating: boolean): ResourceDefinition {
  const { group, names } = spec;
  const stored = spec.versions.find(({ storage }) => storage)?.name ?? version.name;
  const scale = version.subresources?.scale;
  const paths: ScalePaths | undefined =
    scale === undefined
      ? undefined
      : {
          spec: pathOf(scale.specReplicasPath),
          status: pathOf(scale.statusReplicasPath),
          ...(scale.labelSelectorPath === undefined ? {} : { selector: pathOf(scale.labelSelectorPath) }),
        };
  const subresources: SubresourceDefinition[] = [];
  const verbs = ["get", "patch", "update"];
  if (version.subresources?.status !== undefined)
    subresources.push({ name: "status", kind: { group, version: version.name, kind: names.kind }, verbs });
  if (scale !== undefined)
    subresources.push({ name: "scale", kind: { group: "autoscaling", version: "v1", kind: "Scale" }, verbs });
  const schema = version.schema?.openAPIV3Schema;
  return {
    kind: {
      group,
      version: version.name,
      kind: names.kind,
      resource: names.plural,
      namespaced: spec.scope === "Namespaced",
    },
    singular: names.singular ?? names.kind.toLowerCase(),
    ...(names.listKind === undefined ? {} : { listKind: names.listKind }),
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    verbs: VERBS,
    subresources,
    schema: schema === undefined ? undefined : Schema.compile(schema),
    columns: [
      { name: "Name", type: "string", format: "name", priority: 0 },
      ...readableColumns(
        version.additionalPrinterColumns ?? [{ name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" }],
      ),
    ],
    storage: { prefix: `/registry/${group}/${names.plural}/`, version: stored },
    origin: "custom",
    strategy: {},
    hasGeneration: true,
    ...(paths === undefined ? {} : { scale: paths }),
    ...(isTerminating ? { isTerminating } : {}),
    ...(version.deprecated
      ? {
          deprecation: version.deprecationWarning ?? deprecationOf(spec, version),
        }
      : {}),
    ...(version.selectableFields === undefined
      ? {}
      : { selectableFields: version.selectableFields.map(({ jsonPath }) => jsonPath.replace(/^\./, "")) }),
  };
}

/** Columns up to the first whose path cannot be read: Kubernetes shows no more. */
function readableColumns(columns: readonly TableColumn[]): readonly TableColumn[] {
  const end = columns.findIndex(({ jsonPath = "" }) => !isColumnPath(jsonPath));
  return end < 0 ? columns : columns.slice(0, end);
}

/** What is said of a deprecated version where the CRD says nothing itself: that it is, and which newer one to use. */
function deprecationOf({ group, names, versions }: CrdSpec, { name }: CrdVersion): string {
  const of = (version: string) => `${apiVersionOf({ group, version })} ${names.kind}`;
  const [newest] = versions
    .filter((other) => other.served && !other.deprecated && compareVersions(other.name, name) < 0)
    .map((other) => other.name)
    .sort(compareVersions);
  return `${of(name)} is deprecated${newest === undefined ? "" : `; use ${of(newest)}`}`;
}
