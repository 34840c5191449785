import {
  apiError,
  type KubeObject,
  type ManagedFieldsEntry,
  type ObjectMeta,
  type Schema,
  withMetadata,
} from "#machinery";
import {
  changedFields,
  conflictsOf,
  difference,
  existing,
  type FieldSet,
  fieldsOf,
  mergeApplied,
  removeFields,
  union,
} from "./field-set.ts";

/** Who writes, and how the entry in `managedFields` is to read. */
export interface Manager {
  readonly manager: string;
  readonly apiVersion: string;
  readonly subresource: string | undefined;
  readonly time: string;
  readonly force: boolean;
}

/** Metadata that nobody owns: it identifies the object or belongs to the server. */
const UNOWNED = new Set([
  "name",
  "namespace",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "managedFields",
  "selfLink",
  "generateName",
]);
const UPDATE_MANAGERS_MAX = 10;

/** The part of an object whose fields are owned by managers. */
function owned(object: KubeObject): Readonly<Record<string, unknown>> {
  const { apiVersion: _a, kind: _k, metadata, ...rest } = object as KubeObject & Readonly<Record<string, unknown>>;
  const kept = Object.fromEntries(Object.entries(metadata ?? {}).filter(([key]) => !UNOWNED.has(key)));
  return Object.keys(kept).length === 0 ? rest : { metadata: kept, ...rest };
}

function entryOf(manager: Manager, operation: "Apply" | "Update", fields: FieldSet): ManagedFieldsEntry {
  return {
    manager: manager.manager,
    operation,
    apiVersion: manager.apiVersion,
    time: manager.time,
    fieldsType: "FieldsV1",
    fieldsV1: fields,
    ...(manager.subresource === undefined ? {} : { subresource: manager.subresource }),
  };
}

const fieldsIn = (entry: ManagedFieldsEntry) => (entry.fieldsV1 ?? {}) as FieldSet;

/**
 * Server-side apply: the object after `applied` took effect, with ownership kept in `metadata.managedFields`. Fields of
 * others that would change are a 409 unless `manager.force`.
 */
export function applyManaged(
  live: KubeObject | undefined,
  applied: KubeObject,
  schema: Schema | undefined,
  manager: Manager,
): KubeObject {
  const wanted = owned(applied);
  const mine = fieldsOf(wanted, schema);
  if (live === undefined) return withMetadata(applied, { managedFields: [entryOf(manager, "Apply", mine)] });
  let entries = live.metadata.managedFields ?? [];
  const present = owned(live);
  if (entries.length === 0)
    entries = [
      entryOf(
        { ...manager, manager: "before-first-apply", subresource: undefined },
        "Update",
        fieldsOf(present, schema),
      ),
    ];
  const isMine = (entry: ManagedFieldsEntry) =>
    entry.operation === "Apply" && entry.manager === manager.manager && entry.subresource === manager.subresource;
  const before = entries.find(isMine);
  let others = entries.filter((entry) => !isMine(entry));
  const conflicts = others.map((entry) => ({
    entry,
    paths: conflictsOf(mine, fieldsIn(entry), wanted, present, schema, ""),
  }));
  const failing = conflicts.filter(({ paths }) => paths.length > 0);
  if (failing.length > 0 && !manager.force) throw conflictError(failing);
  if (failing.length > 0)
    others = conflicts.flatMap(({ entry, paths }) => {
      if (paths.length === 0) return [entry];
      const changed = changedFields(present, mergeApplied(present, wanted, schema), schema);
      const left = difference(fieldsIn(entry), changed);
      return left === undefined ? [] : [{ ...entry, fieldsV1: left }];
    });
  let merged = mergeApplied(present, wanted, schema);
  if (before !== undefined) {
    let given = difference(fieldsIn(before), mine);
    for (const entry of others) if (given !== undefined) given = difference(given, fieldsIn(entry));
    if (given !== undefined) merged = removeFields(merged, given, schema);
  }
  const { metadata, ...rest } = merged as Readonly<Record<string, unknown>> & { readonly metadata?: ObjectMeta };
  const kept = Object.fromEntries(Object.entries(live.metadata).filter(([key]) => UNOWNED.has(key)));
  const isSame = before !== undefined && JSON.stringify(before.fieldsV1) === JSON.stringify(mine);
  return {
    apiVersion: applied.apiVersion,
    kind: applied.kind,
    ...rest,
    metadata: { ...kept, ...metadata, managedFields: [...others, isSame ? before : entryOf(manager, "Apply", mine)] },
  } as KubeObject;
}

function conflictError(
  failing: readonly { readonly entry: ManagedFieldsEntry; readonly paths: readonly string[] }[],
): Error {
  const causes = failing.flatMap(({ entry, paths }) =>
    paths.map((field) => ({
      reason: "FieldManagerConflict",
      message: `conflict with ${JSON.stringify(entry.manager)}${entry.subresource === undefined ? "" : ` with subresource ${JSON.stringify(entry.subresource)}`}${entry.operation === "Update" ? ` using ${entry.apiVersion}` : ""}`,
      field,
    })),
  );
  const groups = failing.map(({ paths }, at) => {
    const message = causes.filter((cause) => failing[at]?.paths.includes(cause.field))[0]?.message ?? "";
    return paths.length === 1
      ? `${message}: ${paths[0]}`
      : `${message}:\n${paths.map((path) => `- ${path}`).join("\n")}`;
  });
  const count = causes.length;
  const text = groups.length === 1 ? groups[0] : groups.map((group) => `${group}`).join("\n");
  return apiError(409, "Conflict", `Apply failed with ${count} conflict${count === 1 ? "" : "s"}: ${text}`, { causes });
}

/** Ownership after a plain write: changed fields go to the writer, fields that are gone belong to nobody. */
export function trackUpdate(
  before: KubeObject | undefined,
  after: KubeObject,
  schema: Schema | undefined,
  manager: Manager,
): KubeObject {
  const present = owned(after);
  const changed = changedFields(before === undefined ? undefined : owned(before), present, schema);
  const entries = after.metadata.managedFields ?? before?.metadata.managedFields ?? [];
  if (changed === undefined) return after;
  const isMine = (entry: ManagedFieldsEntry) =>
    entry.operation === "Update" &&
    entry.manager === manager.manager &&
    entry.subresource === manager.subresource &&
    entry.apiVersion === manager.apiVersion;
  const others = entries
    .filter((entry) => !isMine(entry))
    .flatMap((entry) => {
      const left = difference(fieldsIn(entry), changed);
      const still = left === undefined ? undefined : existing(left, present, schema);
      return still === undefined ? [] : [{ ...entry, fieldsV1: still }];
    });
  const mine = entries.find(isMine);
  const all = mine === undefined ? changed : union(fieldsIn(mine), changed);
  const kept = existing(all, present, schema) ?? {};
  let updates = [...others, entryOf(manager, "Update", kept)];
  while (updates.filter((entry) => entry.operation === "Update").length > UPDATE_MANAGERS_MAX) {
    const [first, second] = updates.filter((entry) => entry.operation === "Update") as [
      ManagedFieldsEntry,
      ManagedFieldsEntry,
    ];
    const ancient: ManagedFieldsEntry = {
      ...second,
      manager: "ancient-changes",
      fieldsV1: union(fieldsIn(first), fieldsIn(second)),
    };
    updates = [ancient, ...updates.filter((entry) => entry !== first && entry !== second)];
  }
  return withMetadata(after, { managedFields: updates });
}
