import { copyWithout, deepEqual } from "#base";
import {
  ApiError,
  apiError,
  gvkOf,
  isJsonObject,
  type KubeObject,
  type ManagedFieldsEntry,
  type ObjectMeta,
  plainFailure,
  type Schema,
  withMetadata,
} from "#machinery";
import { difference, type FieldSet, intersection, only, pathsOf, union } from "./field-set.ts";
import { keepLastApplied, lastApplied } from "./last-applied.ts";
import { isBy, isReset, type Manager, newEntry, type Owner, readOwners, writeOwners } from "./managers.ts";
import { type Comparison, compare, fieldsOf, mergeApplied, removeFields, typedErrors, Untold } from "./typed.ts";

export type { Manager } from "./managers.ts";

/** What of a kind matters for the owners of its fields. */
export interface OwnedKind {
  readonly schema: Schema | undefined;
  /** An empty object of the kind: those of Go types hold their structs, custom resources nothing. */
  readonly empty: Readonly<Record<string, unknown>>;
  /** Whether the status is written through its own subresource only. */
  readonly hasStatus: boolean;
  /** Whether its objects may hold values of other types than the schema names: it can be another than it was. */
  readonly isLoose?: boolean;
  /** Whether the spec is given once and belongs to nobody. */
  readonly isSpecFixed?: boolean;
  /** Members of the metadata that a write to the status leaves alone; absent where it takes none. */
  readonly statusLeaves?: readonly string[] | undefined;
}

/** How objects of a kind read in another of its versions, where that differs in more than its name. */
export interface OtherVersion {
  readonly kind: OwnedKind;
  of(object: KubeObject): KubeObject | Promise<KubeObject>;
  /** An object of that version in this one. */
  back(object: KubeObject): KubeObject | Promise<KubeObject>;
}

/** The other version an owner wrote in; `undefined` where it has the same fields. Throws where it is none. */
export type FindVersion = (apiVersion: string) => OtherVersion | undefined;

/** Metadata that nobody owns: it identifies the object or belongs to the server. */
const UNOWNED = new Set([
  "name",
  "namespace",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "managedFields",
  "selfLink",
]);

const holdsNothing = (value: unknown) => typeof value === "object" && value !== null && Object.keys(value).length === 0;

/**
 * The part of an object whose fields are owned by managers. `isKept` leaves out what is empty in its metadata, of which Go
 * keeps nothing.
 */
function owned(object: KubeObject, isKept = false): Readonly<Record<string, unknown>> {
  const metadata = Object.fromEntries(
    Object.entries(object.metadata ?? {}).filter(
      ([key, value]) => !UNOWNED.has(key) && !(isKept && holdsNothing(value)),
    ),
  );
  return { metadata, ...copyWithout(object, "apiVersion", "kind", "metadata") };
}

/** A new object does not go yet, whatever it says. */
const withoutEnd = (object: KubeObject): KubeObject =>
  withMetadata(object, { deletionTimestamp: undefined, deletionGracePeriodSeconds: undefined });

/** Fields a request can write: the status through its subresource alone, everything else through the object. */
function writable(
  fields: FieldSet | undefined,
  kind: OwnedKind,
  subresource: string | undefined,
): FieldSet | undefined {
  const kept =
    subresource === "status"
      ? withStatus(fields, kind)
      : kind.hasStatus
        ? only(fields, (member) => member !== "f:status" && !(kind.isSpecFixed === true && member === "f:spec"))
        : fields;
  if (kept !== undefined && Object.keys(kept).length === 0) return undefined;
  // An empty object of metadata is not a field.
  const metadata = kept?.["f:metadata"];
  return metadata !== undefined && Object.keys(metadata).every((key) => key === ".")
    ? only(kept, (member) => member !== "f:metadata")
    : kept;
}

/** What a write to the status can change: some take metadata along. */
function withStatus(fields: FieldSet | undefined, { statusLeaves: left }: OwnedKind): FieldSet | undefined {
  const kept = only(fields, (member) => member === "f:status" || (member === "f:metadata" && left !== undefined));
  const metadata = kept?.["f:metadata"];
  if (metadata === undefined || left === undefined || left.length === 0) return kept;
  const taken = only(metadata, (member) => !left.some((name) => member === `f:${name}`));
  const rest = only(kept, (member) => member !== "f:metadata");
  return taken === undefined ? rest : union(rest, { "f:metadata": taken });
}

const without = (owners: readonly Owner[], fields: FieldSet | undefined): Owner[] =>
  fields === undefined
    ? [...owners]
    : owners.flatMap((owner) => {
        const left = difference(owner.fields, fields);
        return left === undefined ? [] : [{ ...owner, fields: left }];
      });

/**
 * Server-side apply: the object after `applied` took effect, with ownership kept in `metadata.managedFields`. Fields of
 * others that would change are a 409 unless `manager.force`.
 */
export async function applyManaged(
  live: KubeObject | undefined,
  applied: KubeObject,
  kind: OwnedKind,
  manager: Manager,
  findVersion: FindVersion = () => undefined,
): Promise<KubeObject> {
  const { schema } = kind;
  const wanted = owned(live === undefined ? withoutEnd(applied) : applied);
  const mine = writable(fieldsOf(wanted, schema), kind, manager.subresource);
  if (live === undefined)
    return withMetadata(applied, {
      managedFields:
        mine === undefined ? undefined : writeOwners([{ entry: newEntry(manager, "Apply"), fields: mine }]),
    });
  const mistake = kind.isLoose === true ? typeMistake(live, kind, true) : undefined;
  if (mistake !== undefined) throw plainFailure(`failed to create typed live object (${addressIn(live)}): ${mistake}`);
  const present = owned(live);
  const owners = ownersBeforeApply(live, present, kind, manager);
  const versions = new VersionViews(manager.apiVersion, findVersion);
  for (const { entry } of owners) await versions.read(live, entry);
  const before = owners.find((owner) => isBy(manager, "Apply", owner));
  const others = owners.filter((owner) => owner !== before);
  const unpruned = mergeApplied(present, wanted, schema);
  const whole = (value: unknown) => wholeObject(value, applied, live);
  const then = before === undefined ? undefined : versions.of(before.entry);
  const merged =
    before === undefined || then === undefined
      ? withoutGiven(unpruned, before?.fields, mine, others, schema)
      : await prunedThrough(then, unpruned, before, { mine, others, schema, versions, whole });
  const { changed: allChanged, removed: allRemoved } = compare(present, merged, schema);
  const changed = writable(allChanged, kind, manager.subresource);
  const removed = writable(allRemoved, kind, manager.subresource);
  const taken = await Promise.all(
    others.map(async ({ entry }) =>
      versions.of(entry) === undefined
        ? { changed, removed }
        : await versions.changes(live, whole(merged), entry, manager.subresource),
    ),
  );
  const last = appliedLast(live, applied, present, kind, manager);
  const conflicts = others.flatMap((owner, at) => {
    const contested = versions.of(owner.entry) === undefined ? difference(changed, last) : taken[at]?.changed;
    const both = intersection(owner.fields, contested);
    return both === undefined ? [] : [{ entry: owner.entry, paths: pathsOf(both) }];
  });
  if (conflicts.length > 0 && !manager.force) throw conflictError(conflicts);
  const left = others.flatMap((owner, at) => without(without([owner], taken[at]?.changed), taken[at]?.removed));
  const isSame = deepEqual(present, merged) && saysNothingElse(applied, live);
  // A write that changes no field does not move the time of its manager.
  const { time: _time, ...timeless } = newEntry(manager, "Apply");
  const entry = isSame ? (before?.entry ?? timeless) : newEntry(manager, "Apply");
  const managedFields = writeOwners(mine === undefined ? left : [...left, { entry, fields: mine }]);
  return keepLastApplied(withMetadata(whole(merged), { managedFields }), applied, manager);
}

/** An object of its owned part, with the metadata nobody owns of the one it was made from. */
function wholeObject(part: unknown, { apiVersion, kind }: KubeObject, live: KubeObject): KubeObject {
  const { metadata, ...rest } = part as Readonly<Record<string, unknown>> & { readonly metadata?: ObjectMeta };
  const kept = Object.fromEntries(Object.entries(live.metadata).filter(([key]) => UNOWNED.has(key)));
  return { apiVersion, kind, ...rest, metadata: { ...kept, ...metadata } } as KubeObject;
}

/** Without what the applier gave up and nobody else owns. */
function withoutGiven(
  merged: unknown,
  before: FieldSet | undefined,
  mine: FieldSet | undefined,
  others: readonly Owner[],
  schema: Schema | undefined,
): unknown {
  const given = others.reduce<FieldSet | undefined>(
    (left, owner) => difference(left, owner.fields),
    difference(before, mine),
  );
  if (given === undefined) return merged;
  const kept = others.reduce<FieldSet | undefined>((sum, owner) => union(sum, owner.fields), mine);
  return removeFields(merged, given, kept, schema);
}

/** The same where the applier applied in another version last: it gives up what it owned there. */
async function prunedThrough(
  then: OtherVersion,
  merged: unknown,
  before: Owner,
  {
    mine,
    others,
    schema,
    versions,
    whole,
  }: {
    readonly mine: FieldSet | undefined;
    readonly others: readonly Owner[];
    readonly schema: Schema | undefined;
    readonly versions: VersionViews;
    readonly whole: (part: unknown) => KubeObject;
  },
): Promise<unknown> {
  const asThen = await versions
    .see(then, whole(merged))
    .catch((error: unknown) =>
      refuse(`failed to prune fields: failed to convert merged object to last applied version: ${textOf(error)}`),
    );
  const ofThen = others.filter(({ entry }) => entry.apiVersion === before.entry.apiVersion);
  const left = withoutGiven(owned(asThen), before.fields, undefined, ofThen, then.kind.schema);
  const pruned = owned(await then.back(wholeObject(left, asThen, asThen)));
  // What others own in this version stays, and what is applied now.
  const kept = others
    .filter((owner) => versions.of(owner.entry) === undefined)
    .reduce<FieldSet | undefined>(
      (sum, owner) => union(sum, owner.fields),
      union(fieldsOf(pruned, schema, true), mine),
    );
  const given = difference(fieldsOf(merged, schema, true), kept);
  return given === undefined ? merged : removeFields(merged, given, kept, schema);
}

function refuse(text: string): never {
  throw plainFailure(text);
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Objects as owners in other versions of their kind see them; each is looked up once. */
class VersionViews {
  readonly #own: string;
  readonly #find: FindVersion;
  readonly #found = new Map<string, OtherVersion | undefined>();

  constructor(own: string, find: FindVersion) {
    this.#own = own;
    this.#find = find;
  }

  /** The version an owner wrote in; `undefined` where it has the fields of this one. */
  of({ apiVersion = "" }: ManagedFieldsEntry): OtherVersion | undefined {
    if (apiVersion === this.#own) return undefined;
    if (!this.#found.has(apiVersion)) this.#found.set(apiVersion, this.#find(apiVersion));
    return this.#found.get(apiVersion);
  }

  /** An object in another version. Throws where that cannot hold it. */
  async see(version: OtherVersion, object: KubeObject): Promise<KubeObject> {
    const seen = await version.of(object);
    const mistake = version.kind.isLoose === true ? typeMistake(seen, version.kind) : undefined;
    if (mistake !== undefined) throw plainFailure(mistake);
    return seen;
  }

  /** Throws where an owner's version cannot hold an object. */
  async read(object: KubeObject, entry: ManagedFieldsEntry): Promise<void> {
    const version = this.of(entry);
    if (version?.kind.isLoose === true) await this.see(version, object);
  }

  /** What changes between two objects as an owner sees it. */
  async changes(
    before: KubeObject,
    after: KubeObject,
    entry: ManagedFieldsEntry,
    subresource: string | undefined,
  ): Promise<Comparison> {
    const version = this.of(entry);
    if (version === undefined) return { changed: undefined, removed: undefined };
    const past = await this.see(version, before).catch((error: unknown) =>
      refuse(`failed to convert old object: ${textOf(error)}`),
    );
    const now = await this.see(version, after).catch((error: unknown) =>
      refuse(`failed to convert new object: ${textOf(error)}`),
    );
    const { changed, removed } = compare(owned(past), owned(now), version.kind.schema);
    return {
      changed: writable(changed, version.kind, subresource),
      removed: writable(removed, version.kind, subresource),
    };
  }
}

/** Why an object is none of its kind by the types of its values; `undefined` when it is. */
function typeMistake(object: KubeObject, { schema }: OwnedKind, allowsRepeated = false): string | undefined {
  const errors = typedErrors(copyWithout(object, "apiVersion", "kind"), schema, { allowsRepeated });
  if (errors.length === 0) return undefined;
  return errors.length === 1 ? errors[0] : `errors:\n${errors.map((error) => `  ${error}`).join("\n")}`;
}

/** Whether what an applied object says of metadata that nobody owns is what the present one says. */
const saysNothingElse = ({ metadata }: KubeObject, live: KubeObject): boolean =>
  Object.entries(metadata ?? {}).every(
    ([key, value]) => !UNOWNED.has(key) || deepEqual(value, live.metadata[key as keyof ObjectMeta]),
  );

/** Fields that still are what kubectl applied on the client's side. Where that cannot be read as the kind, there are none. */
function appliedLast(
  live: KubeObject,
  applied: KubeObject,
  present: Readonly<Record<string, unknown>>,
  kind: OwnedKind,
  manager: Manager,
): FieldSet | undefined {
  const last = lastApplied(live, manager);
  if (last === undefined || last.apiVersion !== applied.apiVersion || last.kind !== applied.kind) return undefined;
  if (typeMistake(last, kind) !== undefined) return undefined;
  const said = owned(last);
  const { changed, removed } = compare(said, present, kind.schema);
  return writable(difference(difference(fieldsOf(said, kind.schema), changed), removed), kind, manager.subresource);
}

/** An object nobody applied before belongs, as far as it is known, to whoever wrote it before. */
function ownersBeforeApply(
  live: KubeObject,
  present: Readonly<Record<string, unknown>>,
  kind: OwnedKind,
  manager: Manager,
): readonly Owner[] {
  const owners = readOwners(live.metadata.managedFields ?? []) ?? [];
  if (owners.length > 0) return owners;
  const { changed } = compare({ metadata: {}, ...kind.empty }, present, kind.schema);
  const fields = writable(changed, kind, manager.subresource);
  if (fields === undefined) return [];
  return [{ entry: newEntry({ ...manager, manager: "before-first-apply" }, "Update"), fields }];
}

/** Throws for an applied object whose values are not of their types: a plain failure, as Kubernetes has it. */
export function mustFitTypes(applied: KubeObject, kind: OwnedKind): void {
  const mistake = typeMistake(applied, kind);
  if (mistake !== undefined)
    throw plainFailure(`failed to create typed patch object (${addressIn(applied)}): ${mistake}`);
}

/** An object in messages, however little of its metadata is what it should be. */
export function addressIn(object: KubeObject): string {
  const { group, version, kind } = gvkOf(object);
  const metadata: unknown = object.metadata;
  const textAt = (name: string) => {
    const value = isJsonObject(metadata) ? metadata[name] : undefined;
    return typeof value === "string" ? value : "";
  };
  return `${textAt("namespace")}/${textAt("name")}; ${group}/${version}, Kind=${kind}`;
}

function ownerText({ manager, subresource, operation, apiVersion }: ManagedFieldsEntry): string {
  const place = subresource === undefined ? "" : ` with subresource ${JSON.stringify(subresource)}`;
  return `${JSON.stringify(manager ?? "")}${place}${operation === "Update" ? ` using ${apiVersion}` : ""}`;
}

function conflictError(
  conflicts: readonly { readonly entry: ManagedFieldsEntry; readonly paths: readonly string[] }[],
): Error {
  const causes = conflicts.flatMap(({ entry, paths }) =>
    paths.map((field) => ({
      reason: "FieldManagerConflict",
      message: `conflict with ${ownerText(entry)}`,
      field,
    })),
  );
  const text =
    causes.length === 1
      ? `1 conflict: ${causes[0]?.message}: ${causes[0]?.field}`
      : `${causes.length} conflicts: ${conflicts
          .map(({ entry, paths }) =>
            [`conflicts with ${ownerText(entry)}:`, ...paths.map((path) => `- ${path}`)].join("\n"),
          )
          .sort()
          .join("\n")}`;
  return apiError(409, "Conflict", `Apply failed with ${text}`, { causes });
}

/**
 * Ownership after a plain write: changed fields go to the writer, fields that are gone belong to nobody. Of an object whose
 * owners cannot be told nobody owns anything.
 */
export async function trackUpdate(
  before: KubeObject | undefined,
  after: KubeObject,
  kind: OwnedKind,
  manager: Manager,
  findVersion: FindVersion = () => undefined,
): Promise<KubeObject> {
  try {
    return await tracked(before, after, kind, manager, new VersionViews(manager.apiVersion, findVersion));
  } catch (error) {
    // Versions that cannot hold the object, or webhooks that do not answer.
    if (error instanceof Untold || error instanceof ApiError) return withMetadata(after, { managedFields: undefined });
    throw error;
  }
}

async function tracked(
  before: KubeObject | undefined,
  after: KubeObject,
  kind: OwnedKind,
  manager: Manager,
  versions: VersionViews,
): Promise<KubeObject> {
  const { schema } = kind;
  const sent = after.metadata.managedFields;
  const stored = before?.metadata.managedFields ?? [];
  // A part of an object does not speak for all of it.
  const forgets = isReset(sent) && manager.subresource === undefined;
  const known = forgets ? [] : ((isReset(sent) ? undefined : usable(sent)) ?? readOwners(stored) ?? []);
  // Nobody cares for the owners of an object that has none, until somebody applies it.
  if (before !== undefined && known.length === 0) return withMetadata(after, { managedFields: undefined });
  // What was wrong before may stay; what a part of the object says of the rest is wrong, and left out later.
  for (const object of kind.isLoose === true ? [before, after] : []) {
    const mistake = object === undefined ? undefined : typeMistake(object, kind, true);
    if (mistake !== undefined) throw new Untold(mistake);
  }
  const owners = known.filter(isOfGroup(manager));
  const past = before === undefined ? { metadata: {}, ...kind.empty } : owned(before);
  const now = owned(before === undefined ? withoutEnd(after) : after, true);
  const comparison = compare(past, now, schema);
  const changed = writable(comparison.changed, kind, manager.subresource);
  const removed = writable(comparison.removed, kind, manager.subresource);
  const self = owners.find((owner) => isBy(manager, "Update", owner));
  const taken = union(changed, removed);
  const others: Owner[] = [];
  for (const owner of owners) {
    if (owner === self) continue;
    if (before === undefined || versions.of(owner.entry) === undefined) {
      others.push(...without([owner], taken));
      continue;
    }
    const theirs = await versions.changes(before, after, owner.entry, manager.subresource);
    others.push(...without([owner], union(theirs.changed, theirs.removed)));
  }
  const fields = difference(union(self?.fields, changed), removed);
  const entry = changed === undefined && self !== undefined ? self.entry : newEntry(manager, "Update");
  const managedFields = writeOwners(fields === undefined ? others : [...others, { entry, fields }]);
  if (deepEqual(managedFields, sent)) return after;
  return withMetadata(after, { managedFields });
}

/** Owners through another group are forgotten, as Kubernetes cannot read their fields in this one. */
const isOfGroup = ({ apiVersion }: Manager) => {
  const { group } = gvkOf({ apiVersion, kind: "" });
  return ({ entry }: Owner) => gvkOf({ apiVersion: entry.apiVersion ?? "", kind: "" }).group === group;
};

/** What a client wrote into `managedFields` itself, if it can be read; clients that know nothing of it change nothing. */
const usable = (sent: readonly ManagedFieldsEntry[] | undefined) =>
  sent === undefined || sent.length === 0 ? undefined : readOwners(sent);
