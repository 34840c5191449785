import { copyWith } from "#base";
import { isJsonObject, writeJson } from "#machinery";

/**
 * Sets of fields in the form of `managedFields.fieldsV1`: a tree whose keys are `f:name`, `k:{"key":"value"}` and
 * `v:value`. A node stands for itself when it is empty or has the key `.`, and for what its other keys lead to.
 */
export interface FieldSet {
  readonly [element: string]: FieldSet;
}

export const LEAF: FieldSet = {};
const SELF = ".";
const ONLY_SELF: FieldSet = { [SELF]: LEAF };

const isEmpty = (set: FieldSet): boolean => {
  for (const _element in set) return false;
  return true;
};

export const holdsSelf = (set: FieldSet | undefined): boolean =>
  set !== undefined && (set[SELF] !== undefined || isEmpty(set));

/** A node of a set; `undefined` when it stands for nothing. */
export function nodeOf(isSelf: boolean, children: Readonly<Record<string, FieldSet>>): FieldSet | undefined {
  if (isEmpty(children)) return isSelf ? LEAF : undefined;
  return isSelf ? copyWith(ONLY_SELF, children) : children;
}

export function union(left: FieldSet | undefined, right: FieldSet | undefined): FieldSet | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  const children: Record<string, FieldSet> = {};
  for (const [key, child] of Object.entries(left)) if (key !== SELF) children[key] = child;
  for (const [key, child] of Object.entries(right))
    if (key !== SELF) children[key] = union(children[key], child) as FieldSet;
  return nodeOf(holdsSelf(left) || holdsSelf(right), children);
}

/** What is in `left` and not in `right`. */
export function difference(left: FieldSet | undefined, right: FieldSet | undefined): FieldSet | undefined {
  if (left === undefined || right === undefined) return left;
  const children: Record<string, FieldSet> = {};
  for (const [key, child] of Object.entries(left)) {
    if (key === SELF) continue;
    const kept = difference(child, right[key]);
    if (kept !== undefined) children[key] = kept;
  }
  return nodeOf(holdsSelf(left) && !holdsSelf(right), children);
}

export function intersection(left: FieldSet | undefined, right: FieldSet | undefined): FieldSet | undefined {
  if (left === undefined || right === undefined) return undefined;
  const children: Record<string, FieldSet> = {};
  for (const [key, child] of Object.entries(left)) {
    if (key === SELF) continue;
    const kept = intersection(child, right[key]);
    if (kept !== undefined) children[key] = kept;
  }
  return nodeOf(holdsSelf(left) && holdsSelf(right), children);
}

/** The set with everything below some members taken out, or with nothing but them. */
export function only(set: FieldSet | undefined, keeps: (member: string) => boolean): FieldSet | undefined {
  if (set === undefined) return undefined;
  return nodeOf(
    set[SELF] !== undefined,
    Object.fromEntries(Object.entries(set).filter(([key]) => key !== SELF && keeps(key))),
  );
}

/** Paths of a set as messages name them: `.spec.containers[name="c"].image`, all members of a node before what is below them. */
export function pathsOf(set: FieldSet): string[] {
  return [...(holdsSelf(set) ? [""] : []), ...pathsBelow(set, "")];
}

function pathsBelow(set: FieldSet, path: string): string[] {
  const inside = Object.entries(set)
    .filter(([key]) => key !== SELF)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, child]) => [path + shownElement(key), child as FieldSet] as const);
  return [
    ...inside.flatMap(([at, child]) => (holdsSelf(child) ? [at] : [])),
    ...inside.flatMap(([at, child]) => pathsBelow(child, at)),
  ];
}

export function shownElement(element: string): string {
  if (element.startsWith("f:")) return `.${element.slice(2)}`;
  if (element.startsWith("k:")) return `[${shownKeys(JSON.parse(element.slice(2)) as Record<string, unknown>)}]`;
  return `[=${element.slice(2)}]`;
}

export const shownKeys = (keys: Readonly<Record<string, unknown>>): string =>
  Object.entries(keys)
    .map(([key, value]) => `${key}=${shownKey(value)}`)
    .join(",");

/** A key that is no scalar is a mistake, and shown in a form of its own. */
function shownKey(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shownKey).join(",")}]`;
  if (!isJsonObject(value)) return writeJson(value);
  return Object.entries(value)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, member]) => `${name}=${shownKey(member)}`)
    .join("");
}

const DEPTH_MAX = 200;

/** A set as somebody wrote it; `undefined` when it is none. */
export function readFieldSet(value: unknown, depth = 0): FieldSet | undefined {
  if (!isJsonObject(value) || depth > DEPTH_MAX) return undefined;
  for (const [key, child] of Object.entries(value)) {
    if (key !== SELF && !isElement(key)) return undefined;
    if (readFieldSet(child, depth + 1) === undefined) return undefined;
  }
  return value as FieldSet;
}

function isElement(key: string): boolean {
  if (key.startsWith("f:")) return true;
  if (!key.startsWith("k:") && !key.startsWith("v:") && !key.startsWith("i:")) return false;
  try {
    const value = JSON.parse(key.slice(2)) as unknown;
    return key.startsWith("k:") ? isJsonObject(value) : key.startsWith("i:") ? Number.isInteger(value) : true;
  } catch {
    return false;
  }
}
