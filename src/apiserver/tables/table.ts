import { getPath, goText, type KubeList, type KubeObject, type ObjectMeta, parseTime, writeJson } from "#machinery";
import { builtinSchemas } from "../builtin/schemas.ts";
import type { ResourceDefinition, TableColumn } from "../definition.ts";
import { ageOf } from "./ages.ts";
import { cellsOf } from "./cells.ts";
import { readFirst } from "./printer-path.ts";

const DEFAULT_COLUMNS: readonly TableColumn[] = [
  { name: "Name", type: "string", format: "name", priority: 0 },
  { name: "Age", type: "string", format: "", priority: 0 },
];

/** What of the object a row carries. */
export type IncludeObject = "None" | "Metadata" | "Object";

/** The Table form of objects, as `kubectl get` shows them. */
export function tableOf(
  definition: ResourceDefinition,
  answer: KubeObject | KubeList,
  include: IncludeObject,
  nowMs: number,
  withColumns = true,
): object {
  const isList = Array.isArray((answer as KubeList).items);
  const items = isList ? inShownOrder(definition, (answer as KubeList).items) : [answer as KubeObject];
  const columns = isScale(answer)
    ? SCALE_COLUMNS
    : definition.columns.length > 0
      ? definition.columns
      : DEFAULT_COLUMNS;
  const { resourceVersion, continue: token, remainingItemCount } = answer.metadata as KubeList["metadata"];
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: {
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(isList && token !== undefined ? { continue: token, remainingItemCount } : {}),
    },
    columnDefinitions: withColumns
      ? columns.map((column) => ({
          name: column.name,
          type: column.type,
          format: column.format ?? "",
          description: column.description || descriptionOf(column),
          priority: column.priority ?? 0,
        }))
      : null,
    rows:
      items.length === 0 && columns.some(isCreatedAt)
        ? // The table of a kind without columns of its own has no rows rather than none.
          null
        : items.map((object) => ({
            cells: rowOf(definition, object, columns, nowMs),
            ...endOf(definition, object),
            object: include === "None" ? null : include === "Object" ? object : partialOf(definition, object),
          })),
  };
}

/** Flow schemas are shown as they are tried: by their precedence. */
function inShownOrder({ kind }: ResourceDefinition, items: readonly KubeObject[]): readonly KubeObject[] {
  if (kind.group !== "flowcontrol.apiserver.k8s.io" || kind.kind !== "FlowSchema") return items;
  const precedence = (object: KubeObject) => Number(getPath(object, "spec", "matchingPrecedence") ?? 0);
  return [...items].sort((one, other) => precedence(one) - precedence(other));
}

const isCreatedAt = ({ name }: TableColumn) => name === "Created At";

/** Annotations that stand for fields older versions have no word for: metadata alone is shown without them. */
const STAND_INS: Readonly<Record<string, readonly string[]>> = {
  "apps/v1/DaemonSet": ["deprecated.daemonset.template.generation"],
  "autoscaling/v1/HorizontalPodAutoscaler": ["metrics", "behavior", "current-metrics", "conditions"].map(
    (name) => `autoscaling.alpha.kubernetes.io/${name}`,
  ),
};

/** A pod that is done says so in its row, which clients may leave out. */
function endOf({ kind }: ResourceDefinition, object: KubeObject): { readonly conditions?: readonly object[] } {
  const phase = kind.group === "" && kind.kind === "Pod" ? getPath(object, "status", "phase") : undefined;
  if (phase !== "Succeeded" && phase !== "Failed") return {};
  const message = phase === "Succeeded" ? "The pod has completed successfully." : "The pod failed.";
  return { conditions: [{ type: "Completed", status: "True", reason: phase, message }] };
}

/** What columns show that every kind has, in the words of its schema. */
function descriptionOf({ name, jsonPath }: TableColumn): string {
  const member = name === "Name" ? "name" : name === "Age" ? "creationTimestamp" : undefined;
  const metadata = builtinSchemas()["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]?.properties;
  if (jsonPath !== undefined) return `Custom resource definition column (in JSONPath format): ${jsonPath}`;
  return member === undefined ? "" : (metadata?.[member]?.description ?? "");
}

/** The metadata of an object alone. */
export function partialOf(
  { kind }: Pick<ResourceDefinition, "kind">,
  object: KubeObject,
): {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: unknown;
} {
  const standIns = STAND_INS[`${kind.group}/${kind.version}/${kind.kind}`];
  const metadata = standIns === undefined ? object.metadata : withoutAnnotations(object.metadata, standIns);
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata };
}

/** The same in another version of the group that describes tables and metadata. */
export function inVersion<T extends object>(value: T, version: "v1" | "v1beta1"): T {
  if (version === "v1") return value;
  const { rows, items } = value as { readonly rows?: readonly Row[] | null; readonly items?: readonly object[] };
  return {
    ...value,
    apiVersion: `meta.k8s.io/${version}`,
    ...(Array.isArray(items) ? { items: (items as readonly object[]).map((item) => inVersion(item, version)) } : {}),
    ...(Array.isArray(rows) ? { rows: (rows as readonly Row[]).map((row) => rowInVersion(row, version)) } : {}),
  };
}

interface Row {
  readonly object: KubeObject | null;
}

const rowInVersion = (row: Row, version: "v1" | "v1beta1"): Row =>
  row.object?.kind === "PartialObjectMetadata" ? { ...row, object: inVersion(row.object, version) } : row;

function withoutAnnotations(metadata: ObjectMeta, names: readonly string[]): ObjectMeta {
  const { annotations, ...rest } = metadata;
  if (annotations === undefined || !names.some((name) => annotations[name] !== undefined)) return metadata;
  const kept = Object.fromEntries(Object.entries(annotations).filter(([name]) => !names.includes(name)));
  return Object.keys(kept).length === 0 ? rest : { ...rest, annotations: kept };
}

export function partialListOf(
  definition: Pick<ResourceDefinition, "kind">,
  list: KubeList,
): {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: unknown;
  readonly items: readonly unknown[];
} {
  return {
    kind: "PartialObjectMetadataList",
    apiVersion: "meta.k8s.io/v1",
    metadata: list.metadata,
    items: list.items.map((object) => partialOf(definition, object)),
  };
}

/** How much is asked for, and how much there is. */
const SCALE_COLUMNS: readonly TableColumn[] = [
  { name: "Name", type: "string", format: "name" },
  { name: "Desired", type: "integer", description: "Number of desired replicas" },
  { name: "Available", type: "integer", description: "Number of actual replicas" },
  { name: "Age", type: "date" },
];

const isScale = ({ apiVersion, kind }: { readonly apiVersion?: string; readonly kind?: string }) =>
  apiVersion === "autoscaling/v1" && kind === "Scale";

function rowOf(
  definition: ResourceDefinition,
  object: KubeObject,
  columns: readonly TableColumn[],
  nowMs: number,
): unknown[] {
  if (isScale(object))
    return [
      object.metadata.name ?? "",
      getPath(object, "spec", "replicas") ?? 0,
      getPath(object, "status", "replicas") ?? 0,
      ageOf(object.metadata.creationTimestamp, nowMs),
    ];
  const special = cellsOf(definition.kind.group, definition.kind.kind, object, nowMs);
  if (special !== undefined)
    // Addresses have a cell more than they have columns.
    return [
      ...columns.map((column, at) => special[at] ?? defaultCell(column, object, nowMs)),
      ...special.slice(columns.length),
    ];
  return columns.map((column) => {
    if (column.jsonPath === undefined) return defaultCell(column, object, nowMs);
    const value = readFirst(object, column.jsonPath);
    return value === undefined ? null : typedCell(column.type, value, nowMs);
  });
}

/** A number as Go makes a whole one of it: what is too large for one becomes the least of them. */
const toInt64 = (value: number): number | bigint => (Math.abs(value) < 2 ** 63 ? Math.trunc(value) : -(2n ** 63n));

/** A value in a cell of a column's type; nothing where it is of another one. */
function typedCell(type: string, value: unknown, nowMs: number): unknown {
  switch (type) {
    case "date":
      if (typeof value !== "string") return null;
      return value !== "" && parseTime(value) === undefined ? "<invalid>" : ageOf(value, nowMs);
    case "integer":
      return typeof value === "number" ? toInt64(value) : typeof value === "bigint" ? value : null;
    case "number":
      return typeof value === "number" || typeof value === "bigint" ? value : null;
    case "boolean":
      return typeof value === "boolean" ? value : null;
    default:
      // As Go's templates show it.
      return value === null ? "<no value>" : typeof value === "object" ? writeJson(value) : goText(value);
  }
}

function defaultCell(column: TableColumn, object: KubeObject, nowMs: number): unknown {
  const name = column.name.toLowerCase();
  if (name === "name") return object.metadata.name ?? "";
  if (name === "age" || name === "created at")
    return name === "age" ? ageOf(object.metadata.creationTimestamp, nowMs) : (object.metadata.creationTimestamp ?? "");
  return "<none>";
}
