import { deepEqual } from "#base";
import { isJsonObject, type Schema } from "#machinery";

/**
 * Sets of fields in the form of `managedFields.fieldsV1`: a tree whose keys are `f:name`, `k:{"key":"value"}` and
 * `v:value`, and `.` for the element itself. An empty tree is a leaf.
 */
export interface FieldSet {
  readonly [element: string]: FieldSet;
}

const LEAF: FieldSet = {};

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
  return schema.listMapKeys.length > 0
    ? schema.listMapKeys
    : schema.patchMergeKey === undefined
      ? []
      : [schema.patchMergeKey];
}

export function elementOf(item: unknown, schema: Schema | undefined): string {
  const keys: Record<string, unknown> = {};
  for (const key of [...listKeys(schema)].sort()) {
    const value = isJsonObject(item) ? (item[key] ?? schema?.items?.property(key)?.defaultValue) : undefined;
    if (value !== undefined) keys[key] = value;
  }
  return `k:${JSON.stringify(keys)}`;
}

const isAtomicMap = (schema: Schema | undefined) => schema?.mapType === "atomic";

/** All fields a value has. */
export function fieldsOf(value: unknown, schema: Schema | undefined): FieldSet {
  if (isJsonObject(value)) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    if (members.length === 0 || isAtomicMap(schema)) return LEAF;
    const set: Record<string, FieldSet> = {};
    for (const [key, member] of members) set[`f:${key}`] = fieldsOf(member, schema?.property(key));
    return set;
  }
  if (Array.isArray(value) && value.length > 0) {
    const kind = listKind(schema);
    if (kind === "atomic") return LEAF;
    const set: Record<string, FieldSet> = {};
    for (const item of value) {
      if (kind === "set") set[`v:${JSON.stringify(item)}`] = LEAF;
      else set[elementOf(item, schema)] = { ".": LEAF, ...fieldsOf(item, schema?.items) };
    }
    return set;
  }
  return LEAF;
}

const isLeaf = (set: FieldSet) => Object.keys(set).length === 0;

export function union(left: FieldSet, right: FieldSet): FieldSet {
  const result: Record<string, FieldSet> = { ...left };
  for (const [key, child] of Object.entries(right))
    result[key] = result[key] === undefined ? child : union(result[key], child);
  return result;
}

/** What is in `left` and not in `right`; `undefined` when nothing is left. */
export function difference(left: FieldSet, right: FieldSet | undefined): FieldSet | undefined {
  if (right === undefined) return left;
  if (isLeaf(left)) return undefined;
  const result: Record<string, FieldSet> = {};
  for (const [key, child] of Object.entries(left)) {
    const kept = difference(child, right[key]);
    if (kept !== undefined) result[key] = kept;
  }
  return Object.keys(result).length === 0 ? undefined : result;
}

/** Finds the child a path element names in a value, with its schema. */
export function childAt(
  value: unknown,
  schema: Schema | undefined,
  element: string,
): { readonly value: unknown; readonly schema: Schema | undefined } {
  if (element.startsWith("f:")) {
    const name = element.slice(2);
    return { value: isJsonObject(value) ? value[name] : undefined, schema: schema?.property(name) };
  }
  if (!Array.isArray(value)) return { value: undefined, schema: schema?.items };
  if (element.startsWith("k:"))
    return { value: value.find((item) => elementOf(item, schema) === element), schema: schema?.items };
  const wanted: unknown = JSON.parse(element.slice(2));
  return { value: value.find((item) => deepEqual(item, wanted)), schema: schema?.items };
}

/** Paths of leaves that both sets hold and whose values differ. */
export function conflictsOf(
  mine: FieldSet,
  theirs: FieldSet,
  applied: unknown,
  live: unknown,
  schema: Schema | undefined,
  path: string,
): string[] {
  const found: string[] = [];
  if (isLeaf(mine) || isLeaf(theirs)) return deepEqual(applied, live) ? [] : [path];
  for (const [key, child] of Object.entries(mine)) {
    const other = theirs[key];
    if (key === "." || other === undefined) continue;
    const left = childAt(applied, schema, key);
    const right = childAt(live, schema, key);
    found.push(...conflictsOf(child, other, left.value, right.value, left.schema, path + shownElement(key)));
  }
  return found;
}

function shownElement(element: string): string {
  if (element.startsWith("f:")) return `.${element.slice(2)}`;
  if (element.startsWith("k:")) {
    const keys = JSON.parse(element.slice(2)) as Record<string, unknown>;
    return `[${Object.entries(keys)
      .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
      .join(",")}]`;
  }
  return `[=${element.slice(2)}]`;
}

/** Merges what is applied into what is there, as the schema's list and map types say. */
export function mergeApplied(live: unknown, applied: unknown, schema: Schema | undefined): unknown {
  if (isJsonObject(applied) && isJsonObject(live) && !isAtomicMap(schema)) {
    const result: Record<string, unknown> = { ...live };
    for (const [key, value] of Object.entries(applied))
      result[key] = mergeApplied(live[key], value, schema?.property(key));
    return result;
  }
  if (Array.isArray(applied) && Array.isArray(live)) {
    const kind = listKind(schema);
    if (kind === "set")
      return [...live, ...applied.filter((item) => !live.some((present) => deepEqual(present, item)))];
    if (kind === "map") {
      const result = [...live];
      for (const item of applied) {
        const element = elementOf(item, schema);
        const at = result.findIndex((present) => elementOf(present, schema) === element);
        if (at < 0) result.push(item);
        else result[at] = mergeApplied(result[at], item, schema?.items);
      }
      return result;
    }
  }
  return applied;
}

/** Removes the fields of a set from a value; elements whose `.` is removed go whole. */
export function removeFields(value: unknown, fields: FieldSet, schema: Schema | undefined): unknown {
  if (isJsonObject(value)) {
    const result: Record<string, unknown> = { ...value };
    for (const [key, child] of Object.entries(fields)) {
      if (!key.startsWith("f:")) continue;
      const name = key.slice(2);
      if (result[name] === undefined) continue;
      if (isLeaf(child)) delete result[name];
      else {
        const left = removeFields(result[name], child, schema?.property(name));
        if (isJsonObject(left) && Object.keys(left).length === 0) delete result[name];
        else if (Array.isArray(left) && left.length === 0) delete result[name];
        else result[name] = left;
      }
    }
    return result;
  }
  if (Array.isArray(value)) {
    const kind = listKind(schema);
    return value.flatMap((item: unknown) => {
      const element = kind === "set" ? `v:${JSON.stringify(item)}` : elementOf(item, schema);
      const child = fields[element];
      if (child === undefined) return [item];
      if (isLeaf(child) || child["."] !== undefined) return [];
      return [removeFields(item, child, schema?.items)];
    });
  }
  return value;
}

/** The fields in which two values differ, as fields of the second. */
export function changedFields(before: unknown, after: unknown, schema: Schema | undefined): FieldSet | undefined {
  if (before === after || deepEqual(before, after)) return undefined;
  if (before === undefined) return fieldsOf(after, schema);
  if (isJsonObject(before) && isJsonObject(after) && !isAtomicMap(schema)) {
    const set: Record<string, FieldSet> = {};
    for (const [key, value] of Object.entries(after)) {
      const changed = changedFields(before[key], value, schema?.property(key));
      if (changed !== undefined) set[`f:${key}`] = changed;
    }
    return Object.keys(set).length === 0 ? undefined : set;
  }
  if (Array.isArray(before) && Array.isArray(after)) {
    const kind = listKind(schema);
    if (kind === "atomic") return LEAF;
    const set: Record<string, FieldSet> = {};
    for (const item of after) {
      if (kind === "set") {
        if (!before.some((present) => deepEqual(present, item))) set[`v:${JSON.stringify(item)}`] = LEAF;
        continue;
      }
      const element = elementOf(item, schema);
      const present = before.find((other) => elementOf(other, schema) === element);
      if (present === undefined) set[element] = { ".": LEAF, ...fieldsOf(item, schema?.items) };
      else {
        const changed = changedFields(present, item, schema?.items);
        if (changed !== undefined) set[element] = changed;
      }
    }
    return Object.keys(set).length === 0 ? undefined : set;
  }
  return LEAF;
}

/** The part of a set whose fields the value still has. */
export function existing(set: FieldSet, value: unknown, schema: Schema | undefined): FieldSet | undefined {
  if (value === undefined) return undefined;
  if (isLeaf(set)) return set;
  const result: Record<string, FieldSet> = {};
  for (const [key, child] of Object.entries(set)) {
    if (key === ".") {
      result[key] = child;
      continue;
    }
    const found = childAt(value, schema, key);
    const kept = existing(child, found.value, found.schema);
    if (kept !== undefined) result[key] = kept;
  }
  return Object.keys(result).length === 0 ? undefined : result;
}
