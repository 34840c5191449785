import { deepEqual } from "#base";
import { goText, isJsonObject, type Schema, setOwn, writeJson } from "#machinery";
import { type FieldSet, holdsSelf, LEAF, nodeOf, shownKeys } from "./field-set.ts";

type JsonObject = Readonly<Record<string, unknown>>;

/** How a list merges: by keys, as a set, or not at all. */
function listKind(schema: Schema | undefined): "map" | "set" | "atomic" {
  const kind = schema?.listType;
  if (kind === "map" || kind === "set") return kind;
  // Built-in kinds without list types say it by their patch strategy.
  if (kind === undefined && schema?.patchStrategy.includes("merge"))
    return schema.patchMergeKey === undefined ? "set" : "map";
  return "atomic";
}

function listKeys(schema: Schema | undefined): readonly string[] {
  if (schema === undefined) return [];
  const keys =
    schema.listMapKeys.length > 0
      ? schema.listMapKeys
      : schema.patchMergeKey === undefined
        ? []
        : [schema.patchMergeKey];
  return [...keys].sort();
}

const own = (object: JsonObject, key: string): unknown => (Object.hasOwn(object, key) ? object[key] : undefined);
/** A map that is one value: declared so, or JSON that Go keeps as it came. */
const isAtomicMap = (schema: Schema | undefined) =>
  schema?.mapType === "atomic" || schema?.goName === "RawExtension" || schema?.goName === "FieldsV1";

/** What identifies an item of a list in a field set. */
function elementOf(item: unknown, kind: "map" | "set", keys: readonly string[], schema: Schema | undefined): string {
  if (kind === "set") return `v:${writeJson(item)}`;
  const named: Record<string, unknown> = {};
  for (const key of keys) {
    const given = isJsonObject(item) ? own(item, key) : undefined;
    const value = given === undefined ? schema?.items?.property(key)?.defaultValue : given;
    if (value !== undefined) named[key] = value;
  }
  return `k:${writeJson(named)}`;
}

/** Why an item cannot be told from others by its keys; one key of several is enough. */
function keyMistake(item: unknown, keys: readonly string[], schema: Schema): string | undefined {
  if (item === null) return "associative list with keys may not have a null element";
  if (!isJsonObject(item)) return "associative list with keys may not have non-map elements";
  const isThere = (key: string) =>
    own(item, key) !== undefined || schema.items?.property(key)?.defaultValue !== undefined;
  if (keys.some(isThere)) return undefined;
  return `associative list with keys has an element that omits all key fields [${keys.map((key) => JSON.stringify(key)).join(" ")}] (and doesn't have default values for any key fields)`;
}

/** Why an item of a set cannot be told from others by its value. */
function memberMistake(item: unknown): string | undefined {
  if (item === null) return "associative list without keys has an element that's an explicit null";
  if (Array.isArray(item)) return "not supported: associative list with lists as elements";
  return isJsonObject(item) ? "associative list without keys has an element that's a map type" : undefined;
}

/** Items by what identifies them; `undefined` for a list that is one value. */
function itemsOf(list: readonly unknown[], schema: Schema | undefined): Map<string, unknown> | undefined {
  const kind = listKind(schema);
  if (kind === "atomic") return undefined;
  const keys = listKeys(schema);
  const items = new Map<string, unknown>();
  for (const item of list) {
    const element = elementOf(item, kind, keys, schema);
    if (!items.has(element)) items.set(element, item);
  }
  return items;
}

/** Thrown for values whose owners cannot be told: an item of a list does not say which it is. */
export class Untold extends Error {}

/** Items that share what identifies them: they are owned together, as one. */
class Repeated {
  readonly items: unknown[];
  constructor(items: unknown[]) {
    this.items = items;
  }
}

/** Items by what identifies them, for who owns them. */
function ownableItemsOf(list: readonly unknown[], schema: Schema | undefined): Map<string, unknown> | undefined {
  const items = itemsOf(list, schema);
  const kind = listKind(schema);
  if (items === undefined || schema === undefined || kind === "atomic") return items;
  const keys = listKeys(schema);
  for (const item of items.values()) {
    const mistake = kind === "map" ? keyMistake(item, keys, schema) : memberMistake(item);
    if (mistake !== undefined) throw new Untold(mistake);
  }
  if (items.size === list.length) return items;
  const groups = new Map<string, unknown[]>();
  for (const item of list) {
    const element = elementOf(item, kind, keys, schema);
    const group = groups.get(element);
    if (group === undefined) groups.set(element, [item]);
    else group.push(item);
  }
  return new Map([...groups].map(([key, group]) => [key, group.length === 1 ? group[0] : new Repeated(group)]));
}

/** Whether a value has no field: lists that are owned by their items and have none, and what holds nothing else. */
function ownsNothing(value: unknown, schema: Schema | undefined): boolean {
  if (Array.isArray(value)) return value.length === 0 && listKind(schema) !== "atomic";
  if (!isJsonObject(value) || isEmpty(value) || isAtomicMap(schema)) return false;
  return Object.entries(value).every(([key, member]) => ownsNothing(member, schema?.property(key)));
}

/** All fields a value has: its leaves, and the items of lists. With `isWhole` also what holds them. */
export function fieldsOf(value: unknown, schema: Schema | undefined, isWhole = false): FieldSet {
  if (value instanceof Repeated) return LEAF;
  if (isJsonObject(value) && !isAtomicMap(schema)) {
    const children: Record<string, FieldSet> = {};
    for (const [key, member] of Object.entries(value))
      if (member !== undefined && (isWhole || !ownsNothing(member, schema?.property(key))))
        children[`f:${key}`] = fieldsOf(member, schema?.property(key), isWhole || isUndescribed(schema, key));
    return nodeOf(isWhole, children) ?? LEAF;
  }
  if (Array.isArray(value)) {
    const items = ownableItemsOf(value, schema);
    if (items === undefined) return LEAF;
    const children: Record<string, FieldSet> = {};
    for (const [element, item] of items) {
      const fields = element.startsWith("v:") ? LEAF : fieldsOf(item, schema?.items, isWhole);
      children[element] = holdsSelf(fields) ? fields : (nodeOf(true, fields) as FieldSet);
    }
    return nodeOf(isWhole, children) ?? LEAF;
  }
  return LEAF;
}

/** Whether a schema takes a member and says nothing of it: what is in there is owned with what holds it. */
const isUndescribed = (schema: Schema | undefined, key: string): boolean =>
  schema !== undefined && schema.property(key) === undefined && !isHead(schema, key);

/** Whether an object inside another has a member because every object has it. */
const isHead = ({ source }: Schema, key: string): boolean =>
  source["x-kubernetes-embedded-resource"] === true && HEAD.has(key);

/** The fields in which two values differ. */
export interface Comparison {
  /** Fields of the second value that are new or have another value. */
  readonly changed: FieldSet | undefined;
  /** Fields only the first one has. */
  readonly removed: FieldSet | undefined;
}

const SAME: Comparison = { changed: undefined, removed: undefined };
const NEW_LEAF: Comparison = { changed: LEAF, removed: undefined };

/** Compares two values of one schema; absent is `undefined`. */
export function compare(before: unknown, after: unknown, schema: Schema | undefined): Comparison {
  if (before === after) return SAME;
  if (before === undefined) {
    const changed = fieldsOf(after, schema, true);
    return changed === LEAF ? NEW_LEAF : { changed, removed: undefined };
  }
  if (after === undefined) return { changed: undefined, removed: fieldsOf(before, schema, true) };
  if (before instanceof Repeated || after instanceof Repeated) return compareRepeated(before, after);
  // Where nothing was, something that holds nothing is a value all the same.
  if (before === null && isEmpty(after)) return NEW_LEAF;
  const isMap = (value: unknown) => isJsonObject(value) && !isAtomicMap(schema);
  if (isMap(after) && (isMap(before) || before === null))
    return compareObjects((before ?? {}) as JsonObject, after as JsonObject, schema);
  if (Array.isArray(after) && (Array.isArray(before) || before === null)) {
    const now = ownableItemsOf(after, schema);
    const past = ownableItemsOf((before ?? []) as readonly unknown[], schema);
    if (now !== undefined && past !== undefined) return compareItems(past, now, schema?.items);
  }
  // A list that Go has none of any more: its items are gone.
  if (after === null && Array.isArray(before)) {
    const past = ownableItemsOf(before, schema);
    if (past !== undefined) return compareItems(past, new Map(), schema?.items);
  }
  if (deepEqual(before, after)) return SAME;
  // A value of another shape is a new one, and what was in the old one is gone.
  const { ".": _self, ...gone } = isMap(before) ? fieldsOf(before, schema, true) : {};
  return { changed: isMap(after) ? fieldsOf(after, schema, true) : LEAF, removed: nodeOf(false, gone) };
}

function compareRepeated(before: unknown, after: unknown): Comparison {
  const itemsIn = (value: unknown) => (value instanceof Repeated ? value.items : [value]);
  return deepEqual(itemsIn(before), itemsIn(after)) ? SAME : NEW_LEAF;
}

/** Every write comes here for each object in it: no map is made of its members, as one is of the items of a list. */
function compareObjects(before: JsonObject, after: JsonObject, schema: Schema | undefined): Comparison {
  const changed: Record<string, FieldSet> = {};
  const removed: Record<string, FieldSet> = {};
  for (const key of Object.keys(after)) {
    const value = after[key];
    if (value === undefined) continue;
    const found = compare(own(before, key), value, schema?.property(key));
    if (found.changed !== undefined) changed[`f:${key}`] = found.changed;
    if (found.removed !== undefined) removed[`f:${key}`] = found.removed;
  }
  for (const key of Object.keys(before))
    if (before[key] !== undefined && own(after, key) === undefined)
      removed[`f:${key}`] = fieldsOf(before[key], schema?.property(key), true);
  return differing(changed, removed);
}

function compareItems(
  before: ReadonlyMap<string, unknown>,
  after: ReadonlyMap<string, unknown>,
  items: Schema | undefined,
): Comparison {
  const changed: Record<string, FieldSet> = {};
  const removed: Record<string, FieldSet> = {};
  const schemaOf = (element: string) => (element.startsWith("v:") ? undefined : items);
  for (const [element, value] of after) {
    const found = compare(before.get(element), value, schemaOf(element));
    if (found.changed !== undefined) changed[element] = found.changed;
    if (found.removed !== undefined) removed[element] = found.removed;
  }
  for (const [element, value] of before)
    if (!after.has(element)) removed[element] = fieldsOf(value, schemaOf(element), true);
  return differing(changed, removed);
}

const differing = (
  changed: Readonly<Record<string, FieldSet>>,
  removed: Readonly<Record<string, FieldSet>>,
): Comparison => ({ changed: nodeOf(false, changed), removed: nodeOf(false, removed) });

/** Merges what is applied into what is there, as the schema's list and map types say. */
export function mergeApplied(live: unknown, applied: unknown, schema: Schema | undefined): unknown {
  if (isJsonObject(applied) && isJsonObject(live) && !isAtomicMap(schema)) {
    const result: Record<string, unknown> = { ...live };
    for (const [key, value] of Object.entries(applied))
      setOwn(result, key, mergeApplied(own(live, key), value, schema?.property(key)));
    return result;
  }
  if (Array.isArray(applied) && Array.isArray(live) && listKind(schema) !== "atomic")
    return mergeItems(live, applied, schema);
  return applied === null && hasParts(live, schema) ? live : applied;
}

/**
 * Merges lists whose items are told apart. Applied items stand in the order they were applied in; each item that is there
 * already follows the one it followed, as far as that order leaves it to.
 */
function mergeItems(
  live: readonly unknown[],
  applied: readonly unknown[],
  schema: Schema | undefined,
): readonly unknown[] {
  const [kind, keys] = [listKind(schema) as "map" | "set", listKeys(schema)];
  const elementsOf = (list: readonly unknown[]) => list.map((item) => elementOf(item, kind, keys, schema));
  const [present, wanted] = [elementsOf(live), elementsOf(applied)];
  const isWanted = new Set(wanted);
  const found = itemsOf(live, schema) ?? new Map<string, unknown>();
  const shared = wanted.filter((element) => found.has(element));
  const result: unknown[] = [];
  let nextShared = 0;
  let next = 0;
  const take = () => {
    const element = wanted[next] as string;
    const isThere = found.has(element);
    result.push(isThere ? mergeApplied(found.get(element), applied[next], schema?.items) : applied[next]);
    if (isThere) nextShared++;
    next++;
  };
  for (const [at, item] of live.entries()) {
    const element = present[at] as string;
    if (!isWanted.has(element)) result.push(item);
    else if (element === shared[nextShared]) while (shared[nextShared] === element) take();
  }
  while (next < applied.length) take();
  return result;
}

/** Whether a value has members that are owned one by one: nothing takes the place of none of them. */
function hasParts(value: unknown, schema: Schema | undefined): boolean {
  if (isJsonObject(value)) return !isAtomicMap(schema) && !isEmpty(value);
  return Array.isArray(value) && value.length > 0 && itemsOf(value, schema) !== undefined;
}

/** Removes the fields of a set from a value. What holds nothing afterwards goes too, unless `kept` holds it. */
export function removeFields(
  value: unknown,
  fields: FieldSet,
  kept: FieldSet | undefined,
  schema: Schema | undefined,
): unknown {
  if (isJsonObject(value)) {
    const result: Record<string, unknown> = { ...value };
    for (const [element, child] of Object.entries(fields)) {
      const name = element.slice(2);
      if (!element.startsWith("f:") || own(value, name) === undefined) continue;
      const below = kept?.[element];
      // Members of a struct are owned with what is in them, those of a map by themselves.
      const isKept = schema === undefined || schema.declares(name) ? below !== undefined : holdsSelf(below);
      if (!isKept && holdsSelf(child)) {
        delete result[name];
        continue;
      }
      const left = removeFields(value[name], child, below, schema?.property(name));
      // Of a list whose items are all gone nothing stays.
      if (isEmpty(left) && (Array.isArray(left) || !holdsSelf(below))) delete result[name];
      else setOwn(result, name, left);
    }
    return result;
  }
  if (Array.isArray(value)) {
    const items = itemsOf(value, schema);
    if (items === undefined) return value;
    for (const [element, item] of items) {
      const child = fields[element];
      if (child === undefined) continue;
      const below = kept?.[element];
      if (holdsSelf(child) && !holdsSelf(below)) items.delete(element);
      else items.set(element, removeFields(item, child, below, schema?.items));
    }
    return [...items.values()];
  }
  return value;
}

const isEmpty = (value: unknown) =>
  Array.isArray(value) ? value.length === 0 : isJsonObject(value) && Object.keys(value).length === 0;

/** An object as Go makes an empty one of a published kind nobody described: the structs it always holds, and the lists it always names. */
export function emptyOf(schema: Schema | undefined): unknown {
  const members: Record<string, unknown> = {};
  for (const name of Object.keys(schema?.source.properties ?? {})) {
    const child = schema?.property(name);
    if (child === undefined) continue;
    if (isEmpty(child.defaultValue) && isJsonObject(child.defaultValue)) members[name] = emptyOf(child);
    else if (schema?.source.required?.includes(name)) members[name] = null;
  }
  return members;
}

/** Members that every object inside another may have. */
const HEAD = new Set(["apiVersion", "kind", "metadata"]);
/** Go types that write themselves: to Kubernetes' typed values they are scalars of no type. */
const SELF_WRITTEN = new Set(["Quantity", "Time", "MicroTime"]);

/**
 * What is wrong with a value that is to be merged by its schema, in the words of Kubernetes' typed values. With
 * `allowsRepeated` items may share what identifies them.
 */
export function typedErrors(
  value: unknown,
  schema: Schema | undefined,
  { path = "", allowsRepeated = false }: { readonly path?: string; readonly allowsRepeated?: boolean } = {},
): string[] {
  if (value === null || value === undefined || schema === undefined || schema.isIntOrString) return [];
  // Kubernetes shows what it found in three ways, by what it looked for.
  const expected = (what: string, got = `&{${goText(value)}}`) => [`${path}: expected ${what}, got ${got}`];
  if (schema.goName !== undefined && SELF_WRITTEN.has(schema.goName))
    return typeof value === "object" ? expected("any scalar") : [];
  if (schema.goName === "RawExtension") return [];
  switch (schema.type) {
    case "string":
      return typeof value === "string" ? [] : expected("string", `&value.valueUnstructured{Value:${goSyntax(value)}}`);
    case "boolean":
      return typeof value === "boolean" ? [] : expected("boolean");
    case "integer":
    case "number":
      return typeof value === "number" || typeof value === "bigint"
        ? []
        : expected("numeric (int or float)", goTypeOf(value));
    case "array": {
      if (!Array.isArray(value)) return expected("list");
      const kind = listKind(schema);
      const keys = listKeys(schema);
      const seen = new Set<string>();
      const errors: string[] = [];
      for (const [at, item] of (value as readonly unknown[]).entries()) {
        // What cannot be told from others ends the list.
        const mistake =
          kind === "map" ? keyMistake(item, keys, schema) : kind === "set" ? memberMistake(item) : undefined;
        if (mistake !== undefined) return [...errors, `${path}: element ${at}: ${mistake}`];
        const element = kind === "atomic" ? undefined : elementOf(item, kind, keys, schema);
        if (element !== undefined && seen.has(element) && !allowsRepeated)
          errors.push(
            kind === "set"
              ? `${path}: duplicate entries for key [=${element.slice(2)}]`
              : `${path}: duplicate entries for key [${shownKeys(JSON.parse(element.slice(2)) as JsonObject)}]`,
          );
        if (element !== undefined) seen.add(element);
        errors.push(
          ...typedErrors(item, schema.items, {
            path: path + (element === undefined ? `[${at}]` : shownOf(element, kind)),
            allowsRepeated,
          }),
        );
      }
      return errors;
    }
    case "object": {
      if (!isJsonObject(value)) return expected("map");
      const isOpen = schema.preservesUnknown || schema.source.additionalProperties === true;
      const errors: string[] = [];
      for (const [key, member] of Object.entries(value)) {
        const child = schema.property(key);
        if (child === undefined && isHead(schema, key)) continue;
        if (child !== undefined) errors.push(...typedErrors(member, child, { path: `${path}.${key}`, allowsRepeated }));
        // One field that is not declared ends the map.
        else if (!isOpen) return [...errors, `${path}.${key}: field not declared in schema`];
      }
      return errors;
    }
    default:
      return [];
  }
}

const shownOf = (element: string, kind: string) =>
  kind === "set" ? `[=${element.slice(2)}]` : `[${shownKeys(JSON.parse(element.slice(2)) as JsonObject)}]`;

function goTypeOf(value: unknown): string {
  if (Array.isArray(value)) return "[]interface {}";
  return isJsonObject(value) ? "map[string]interface {}" : typeof value === "boolean" ? "bool" : typeof value;
}

/** A value as Go writes it in its own syntax. */
function goSyntax(value: unknown): string {
  if (Array.isArray(value)) return `[]interface {}{${value.map(goSyntax).join(", ")}}`;
  if (isJsonObject(value))
    return `map[string]interface {}{${Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => `${JSON.stringify(key)}:${goSyntax(member)}`)
      .join(", ")}}`;
  if (typeof value === "number") return goText(value);
  return value === null ? "interface {}(nil)" : JSON.stringify(value);
}
