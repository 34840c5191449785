import { deepEqual } from "#base";
import { isJsonObject } from "../paths.ts";
import type { Schema } from "../schema/schema.ts";
import { PatchError } from "./json-patch.ts";

type JsonObject = Readonly<Record<string, unknown>>;

/** Kubernetes' strategic merge patch: lists merge by the key their schema names. Works on built-in kinds only. */
export function applyStrategicMergePatch(target: unknown, patch: unknown, schema: Schema | undefined): unknown {
  if (!isJsonObject(patch)) throw new PatchError("a strategic merge patch must be an object");
  return mergeObject(isJsonObject(target) ? target : {}, patch, schema);
}

function mergeObject(target: JsonObject, patch: JsonObject, schema: Schema | undefined): unknown {
  const directive = patch["$patch"];
  if (directive === "replace") return without(patch, "$patch");
  if (directive === "delete") return {};
  const result: Record<string, unknown> = { ...target };
  const retained = patch["$retainKeys"];
  if (Array.isArray(retained)) for (const key of Object.keys(result)) if (!retained.includes(key)) delete result[key];
  for (const [key, value] of Object.entries(patch)) {
    if (key === "$patch" || key === "$retainKeys" || key.startsWith("$setElementOrder/")) continue;
    if (key.startsWith("$deleteFromPrimitiveList/")) {
      const name = key.slice("$deleteFromPrimitiveList/".length);
      const doomed = Array.isArray(value) ? value : [];
      if (Array.isArray(result[name])) result[name] = result[name].filter((item) => !doomed.includes(item));
      continue;
    }
    const child = schema?.property(key);
    if (value === null) delete result[key];
    else if (isJsonObject(value)) {
      const present = result[key];
      if (isJsonObject(present)) result[key] = mergeObject(present, value, child);
      else if (value["$patch"] === "delete") delete result[key];
      else result[key] = mergeObject({}, value, child);
    } else if (Array.isArray(value) && child?.patchStrategy.includes("merge")) {
      const present = result[key];
      const merged = mergeList(Array.isArray(present) ? present : [], value, child);
      result[key] = order(merged, patch[`$setElementOrder/${key}`], child.patchMergeKey);
    } else result[key] = value;
  }
  for (const [key, value] of Object.entries(patch)) {
    if (!key.startsWith("$setElementOrder/")) continue;
    const name = key.slice("$setElementOrder/".length);
    const child = schema?.property(name);
    if (patch[name] === undefined && Array.isArray(result[name]))
      result[name] = order(result[name], value, child?.patchMergeKey);
  }
  return result;
}

function mergeList(target: readonly unknown[], patch: readonly unknown[], schema: Schema): readonly unknown[] {
  const key = schema.patchMergeKey;
  if (key === undefined) {
    // A list of scalars that merges is a set.
    const added = patch.filter((item) => !target.some((present) => deepEqual(present, item)));
    return [...target, ...added];
  }
  if (patch.some((item) => isJsonObject(item) && item["$patch"] === "replace"))
    return patch
      .filter((item) => !(isJsonObject(item) && item["$patch"] === "replace" && Object.keys(item).length === 1))
      .map((item) => (isJsonObject(item) ? without(item, "$patch") : item));
  let result = [...target];
  for (const item of patch) {
    if (!isJsonObject(item)) throw new PatchError(`an element of a list that merges by ${key} must be an object`);
    const value = item[key];
    if (value === undefined)
      throw new PatchError(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
    const isSame = (other: unknown) => isJsonObject(other) && other[key] === value;
    if (item["$patch"] === "delete") {
      result = result.filter((other) => !isSame(other));
      continue;
    }
    const at = result.findIndex(isSame);
    if (at < 0) result.push(mergeObject({}, item, schema.items));
    else result[at] = mergeObject(result[at] as JsonObject, item, schema.items);
  }
  return result;
}

/** Sorts by the order the client gave; what it does not name keeps its place among its neighbours. */
function order(list: readonly unknown[], wanted: unknown, key: string | undefined): readonly unknown[] {
  if (!Array.isArray(wanted)) return list;
  const keyOf = (item: unknown) => JSON.stringify(key === undefined ? item : isJsonObject(item) ? item[key] : item);
  const position = new Map(wanted.map((item, at) => [keyOf(item), at]));
  const named = list
    .filter((item) => position.has(keyOf(item)))
    .sort((a, b) => (position.get(keyOf(a)) ?? 0) - (position.get(keyOf(b)) ?? 0));
  const others = list.filter((item) => !position.has(keyOf(item)));
  return [...named, ...others];
}

function without(object: JsonObject, key: string): JsonObject {
  const { [key]: _removed, ...rest } = object;
  return rest;
}
