import { deepEqual } from "#base";
import { isJsonObject, setOwn } from "../paths.ts";
import type { Schema } from "../schema/schema.ts";
import { PatchError } from "./json-patch.ts";

type JsonObject = Readonly<Record<string, unknown>>;

const DIRECTIVE = "$patch";
const RETAIN_KEYS = "$retainKeys";
const DELETE_FROM = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER = "$setElementOrder/";

/** Kubernetes' strategic merge patch: lists merge by the key their schema names. Works on built-in kinds only. */
export function applyStrategicMergePatch(target: unknown, patch: unknown, schema: Schema | undefined): unknown {
  if (!isJsonObject(patch)) throw new PatchError("a strategic merge patch must be an object");
  return mergeObject(isJsonObject(target) ? target : {}, patch, schema);
}

const own = (object: JsonObject, key: string): unknown => (Object.hasOwn(object, key) ? object[key] : undefined);

function listIn(patch: JsonObject, key: string, name: string): readonly unknown[] | undefined {
  const value = own(patch, key);
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw new PatchError(`invalid patch format of ${name}`);
  return value as readonly unknown[];
}

function mergeObject(target: JsonObject, patch: JsonObject, schema: Schema | undefined): JsonObject {
  const directive = own(patch, DIRECTIVE);
  if (directive === "replace") return without(patch, DIRECTIVE);
  if (directive === "delete") return {};
  if (directive !== undefined && directive !== "merge")
    throw new PatchError(`unknown patch type: ${goText(directive)} in map: ${goText(patch)}`);
  const result: Record<string, unknown> = { ...target };
  const retained = listIn(patch, RETAIN_KEYS, "retainKeys");
  if (retained !== undefined) {
    for (const key of Object.keys(patch))
      if (!key.startsWith("$") && !retained.includes(key)) throw new PatchError("invalid patch format of retainKeys");
    for (const key of Object.keys(result)) if (!retained.includes(key)) delete result[key];
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key === DIRECTIVE || key === RETAIN_KEYS || key.startsWith(ELEMENT_ORDER)) continue;
    if (key.startsWith(DELETE_FROM)) {
      const doomed = listIn(patch, key, "primitive list") ?? [];
      const name = key.slice(DELETE_FROM.length);
      const present = own(result, name);
      if (Array.isArray(present))
        setOwn(
          result,
          name,
          present.filter((item) => !doomed.some((gone) => deepEqual(gone, item))),
        );
      continue;
    }
    const present = own(result, key);
    const child = schema?.property(key);
    if (value === null) delete result[key];
    else if (isJsonObject(value)) {
      if (isJsonObject(present) && child?.patchStrategy.includes("replace") !== true)
        setOwn(result, key, mergeObject(present, value, child));
      else if (own(value, DIRECTIVE) === "delete") delete result[key];
      else setOwn(result, key, mergeObject({}, value, child));
    } else if (Array.isArray(value) && child?.patchStrategy.includes("merge"))
      setOwn(result, key, mergeList(Array.isArray(present) ? present : [], value, child, orderIn(patch, key)));
    else setOwn(result, key, value);
  }
  for (const key of Object.keys(patch)) {
    if (!key.startsWith(ELEMENT_ORDER)) continue;
    const name = key.slice(ELEMENT_ORDER.length);
    const wanted = orderIn(patch, name) as readonly unknown[];
    const present = own(result, name);
    if (own(patch, name) === undefined && Array.isArray(present))
      setOwn(result, name, order(present, wanted, own(target, name), schema?.property(name)?.patchMergeKey));
  }
  return result;
}

const orderIn = (patch: JsonObject, name: string) => listIn(patch, ELEMENT_ORDER + name, "setElementOrder list");

function mergeList(
  target: readonly unknown[],
  patch: readonly unknown[],
  schema: Schema,
  wanted: readonly unknown[] | undefined,
): readonly unknown[] {
  const key = schema.patchMergeKey;
  if (key === undefined) {
    // A list of scalars that merges is a set.
    const added = patch.filter((item) => !target.some((present) => deepEqual(present, item)));
    return order([...target, ...new Set(added)], checked(wanted, patch, undefined) ?? patch, target, undefined);
  }
  for (const item of patch) {
    if (!isJsonObject(item)) throw new PatchError(`an element of a list that merges by ${key} must be an object`);
    const directive = own(item, DIRECTIVE);
    if (directive !== undefined && !["merge", "replace", "delete"].includes(directive as string))
      throw new PatchError(`unknown patch type: ${goText(directive)} in map: ${goText(item)}`, true);
  }
  const items = patch as readonly JsonObject[];
  if (items.some((item) => own(item, DIRECTIVE) === "replace"))
    return items
      .filter((item) => !(own(item, DIRECTIVE) === "replace" && Object.keys(item).length === 1))
      .map((item) => without(item, DIRECTIVE));
  let result = [...target];
  for (const item of items) {
    const value = own(item, key);
    if (value === undefined)
      throw new PatchError(`map: ${goText(item)} does not contain declared merge key: ${key}`, true);
    const isSame = (other: unknown) => isJsonObject(other) && deepEqual(own(other, key), value);
    if (own(item, DIRECTIVE) === "delete") {
      result = result.filter((other) => !isSame(other));
      continue;
    }
    const at = result.findIndex(isSame);
    // A new element is taken as it was sent, with directives that stand in it.
    if (at < 0) result.push(own(item, DIRECTIVE) === undefined ? item : without(item, DIRECTIVE));
    else result[at] = mergeObject(result[at] as JsonObject, item, schema.items);
  }
  const kept = items.filter((item) => own(item, DIRECTIVE) !== "delete");
  return order(result, checked(wanted, kept, key) ?? kept, target, key);
}

/** What identifies an element: its merge key, or itself. An order names elements by objects that hold just the key. */
const identityOf = (item: unknown, key: string | undefined) =>
  JSON.stringify(key === undefined ? item : isJsonObject(item) ? own(item, key) : item);

/** The order a client gave, which must not contradict the order of its own elements. */
function checked(
  wanted: readonly unknown[] | undefined,
  patch: readonly unknown[],
  key: string | undefined,
): readonly unknown[] | undefined {
  if (wanted === undefined) return undefined;
  const position = new Map(wanted.map((item, at) => [identityOf(item, key), at]));
  let last = -1;
  for (const item of patch) {
    const at = position.get(identityOf(item, key));
    if (at === undefined || at < last)
      throw new PatchError(
        `The order in patch list:\n${goText(patch)}\n doesn't match $setElementOrder list:\n${goText(wanted)}\n`,
      );
    last = at;
  }
  return wanted;
}

/**
 * Elements in the order that is wanted, then those nobody named, in their own order; what the server had in front of a
 * named element stays in front of it.
 */
function order(
  list: readonly unknown[],
  wanted: readonly unknown[],
  server: unknown,
  key: string | undefined,
): readonly unknown[] {
  const positions = (items: readonly unknown[]) => new Map(items.map((item, at) => [identityOf(item, key), at]));
  const wantedAt = positions(wanted);
  const serverAt = positions(Array.isArray(server) ? server : []);
  const named: unknown[] = [];
  const others: unknown[] = [];
  for (const item of list) (wantedAt.has(identityOf(item, key)) ? named : others).push(item);
  if (named.length === 0) return list;
  named.sort((a, b) => (wantedAt.get(identityOf(a, key)) ?? 0) - (wantedAt.get(identityOf(b, key)) ?? 0));
  const result: unknown[] = [];
  let next = 0;
  for (const item of named) {
    const at = serverAt.get(identityOf(item, key));
    for (; at !== undefined && next < others.length; next++) {
      const before = serverAt.get(identityOf(others[next], key));
      if (before === undefined || before > at) break;
      result.push(others[next]);
    }
    result.push(item);
  }
  return [...result, ...others.slice(next)];
}

/** A value as Go prints it in kube-apiserver's messages. */
export function goText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goText).join(" ")}]`;
  if (isJsonObject(value))
    return `map[${Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => `${key}:${goText(member)}`)
      .join(" ")}]`;
  return value === null ? "<nil>" : String(value);
}

function without(object: JsonObject, key: string): JsonObject {
  const { [key]: _removed, ...rest } = object;
  return rest;
}
