import { copyWith, copyWithout } from "#base";
import type { ManagedFieldsEntry } from "#machinery";
import { type FieldSet, readFieldSet, union } from "./field-set.ts";

/** Who writes, and how the entry in `managedFields` is to read. */
export interface Manager {
  readonly manager: string;
  readonly apiVersion: string;
  readonly subresource: string | undefined;
  readonly time: string;
  readonly force: boolean;
}

/** An entry of `managedFields` whose set was read. */
export interface Owner {
  readonly entry: ManagedFieldsEntry;
  readonly fields: FieldSet;
}

const UPDATERS_MAX = 10;

/** Owners as they were written down. `undefined` when any of it cannot be read. */
export function readOwners(entries: readonly ManagedFieldsEntry[]): Owner[] | undefined {
  const owners: Owner[] = [];
  for (const entry of entries) {
    const fields = readFieldSet(entry.fieldsV1 ?? {});
    if (fields === undefined || (entry.operation !== "Apply" && entry.operation !== "Update")) return undefined;
    // Of two entries by one name the later one counts.
    const twin = owners.findIndex((owner) => isNamedAs(owner.entry, entry));
    if (twin >= 0) owners.splice(twin, 1);
    if (Object.keys(fields).length > 0) owners.push({ entry, fields });
  }
  return owners;
}

const isNamedAs = (one: ManagedFieldsEntry, other: ManagedFieldsEntry): boolean =>
  one.manager === other.manager &&
  one.operation === other.operation &&
  one.subresource === other.subresource &&
  (one.operation === "Apply" || one.apiVersion === other.apiVersion);

/** Whether a client asks to forget all owners: one entry that says nothing. */
export const isReset = (entries: readonly ManagedFieldsEntry[] | undefined): boolean =>
  entries?.length === 1 && Object.keys(entries[0] as object).length === 0;

export function newEntry(manager: Manager, operation: "Apply" | "Update"): ManagedFieldsEntry {
  const { apiVersion, subresource, time } = manager;
  const entry = { manager: manager.manager, operation, apiVersion, time, fieldsType: "FieldsV1" };
  // Writes through a Scale carry no time in Kubernetes.
  const timed = subresource === "scale" ? copyWithout(entry, "time") : entry;
  return subresource === undefined ? timed : copyWith(timed, { subresource });
}

/** Whether an owner is the one who writes now. */
export const isBy = (manager: Manager, operation: "Apply" | "Update", { entry }: Owner): boolean =>
  entry.operation === operation &&
  entry.manager === manager.manager &&
  entry.subresource === manager.subresource &&
  (operation === "Apply" || entry.apiVersion === manager.apiVersion);

/** The entries to store: the oldest updaters become one when they are too many, and all stand in a fixed order. */
export function writeOwners(owners: readonly Owner[]): readonly ManagedFieldsEntry[] | undefined {
  const seconds = ({ entry }: Owner) => (entry.time === undefined ? 0 : Date.parse(entry.time));
  const order = (a: Owner, b: Owner): number => {
    const texts = (owner: Owner) => [owner.entry.manager, owner.entry.apiVersion, owner.entry.subresource ?? ""];
    if (a.entry.operation !== b.entry.operation) return a.entry.operation === "Apply" ? -1 : 1;
    if (seconds(a) !== seconds(b)) return seconds(a) - seconds(b);
    const [left, right] = [texts(a).join("\u0000"), texts(b).join("\u0000")];
    return left < right ? -1 : left > right ? 1 : 0;
  };
  let sorted = [...owners].sort(order);
  const isUpdater = ({ entry }: Owner) => entry.operation === "Update";
  for (;;) {
    const updaters = sorted.filter(isUpdater);
    if (updaters.length <= UPDATERS_MAX) break;
    const [oldest, next] = updaters as [Owner, Owner];
    const partner = updaters.slice(1).find(({ entry }) => entry.apiVersion === oldest.entry.apiVersion) ?? next;
    const ancient: Owner = {
      entry: { ...partner.entry, manager: "ancient-changes" },
      fields: union(oldest.fields, partner.fields) as FieldSet,
    };
    sorted = [ancient, ...sorted.filter((owner) => owner !== oldest && owner !== partner)].sort(order);
  }
  if (sorted.length === 0) return undefined;
  return sorted.map(({ entry, fields }) => {
    const { subresource } = entry;
    const more = { fieldsV1: fields };
    return copyWith(
      copyWithout(entry, "subresource"),
      subresource === undefined ? more : copyWith(more, { subresource }),
    );
  });
}
