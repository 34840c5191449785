import type { ManagedFieldsEntry } from "#machinery";
import { difference, type FieldSet, intersection, LEAF } from "./field-set.ts";
import { type Owner, readOwners, writeOwners } from "./managers.ts";

/** Where the replicas of a kind stand, by the version an entry was written in; `undefined` for versions unknown. */
export type ReplicasPath = (apiVersion: string) => readonly string[] | undefined;

const SCALE = "autoscaling/v1";
const REPLICAS = ["spec", "replicas"];

const fieldAt = (path: readonly string[]): FieldSet =>
  path.reduceRight<FieldSet>((child, name) => ({ [`f:${name}`]: child }), LEAF);

const isOwnedBy = ({ fields }: Owner, path: readonly string[]) => intersection(fields, fieldAt(path)) !== undefined;

/** Who owns the replicas of an object, as owners of its Scale. */
export function ownersOfScale(
  entries: readonly ManagedFieldsEntry[],
  pathIn: ReplicasPath,
): readonly ManagedFieldsEntry[] | undefined {
  return writeOwners(
    (readOwners(entries) ?? []).flatMap((owner) => {
      const path = pathIn(owner.entry.apiVersion ?? "");
      if (path === undefined || !isOwnedBy(owner, path)) return [];
      return [{ entry: { ...owner.entry, apiVersion: SCALE }, fields: fieldAt(REPLICAS) }];
    }),
  );
}

/**
 * The owners of an object after its Scale was written: who owns the replicas there owns them here, nobody else does. Only
 * an applier is recognised as who it was; others come back as new ones, without a time, as in Kubernetes.
 */
export function ownersAfterScale(
  entries: readonly ManagedFieldsEntry[],
  ofScale: readonly ManagedFieldsEntry[],
  pathIn: ReplicasPath,
  { apiVersion, isCustom }: { readonly apiVersion: string; readonly isCustom: boolean },
): readonly ManagedFieldsEntry[] | undefined {
  const owners: Owner[] = [];
  const left = new Set((readOwners(ofScale) ?? []).filter((owner) => isOwnedBy(owner, REPLICAS)));
  for (const owner of readOwners(entries) ?? []) {
    const path = pathIn(owner.entry.apiVersion ?? "");
    if (path === undefined) continue;
    if (!isOwnedBy(owner, path)) {
      owners.push(owner);
      continue;
    }
    const same = [...left].find((other) => isSameApplier(owner, other));
    if (same !== undefined) {
      left.delete(same);
      owners.push(owner);
      continue;
    }
    const fields = difference(owner.fields, fieldAt(path));
    if (fields !== undefined) owners.push({ ...owner, fields });
  }
  for (const { entry } of left) {
    const { time: _time, ...timeless } = entry;
    // Whoever owns other fields of a custom object by the same name keeps those, and loses the replicas.
    if (isCustom && owners.some((owner) => isSameOwner(owner.entry, { ...timeless, apiVersion }))) continue;
    owners.push({ entry: { ...timeless, apiVersion }, fields: fieldAt(pathIn(apiVersion) ?? REPLICAS) });
  }
  return writeOwners(owners);
}

const isSameOwner = (one: ManagedFieldsEntry, other: ManagedFieldsEntry): boolean =>
  one.operation === other.operation &&
  one.manager === other.manager &&
  one.apiVersion === other.apiVersion &&
  one.subresource === other.subresource;

const isSameApplier = ({ entry: one }: Owner, { entry: other }: Owner): boolean =>
  one.operation === "Apply" &&
  other.operation === "Apply" &&
  one.manager === other.manager &&
  one.subresource === other.subresource;
