import { writeJson } from "../json.ts";
import { isJsonObject, setOwn } from "../paths.ts";

const own = (object: Readonly<Record<string, unknown>>, key: string): unknown =>
  Object.hasOwn(object, key) ? object[key] : undefined;

/** RFC 7386: objects merge, `null` removes, everything else replaces. What is not touched is shared. */
export function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch;
  const result: Record<string, unknown> = isJsonObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else setOwn(result, key, isJsonObject(value) ? applyMergePatch(own(result, key), value) : value);
  }
  return result;
}

/** The merge patch that turns `before` into `after`; `undefined` when they are equal. */
export function diffMergePatch(before: unknown, after: unknown): unknown {
  if (before === after) return undefined;
  if (!isJsonObject(before) || !isJsonObject(after)) return writeJson(before) === writeJson(after) ? undefined : after;
  const patch: Record<string, unknown> = {};
  for (const key of Object.keys(before))
    if (own(after, key) === undefined && before[key] !== undefined) setOwn(patch, key, null);
  for (const [key, value] of Object.entries(after)) {
    if (value === undefined) continue;
    const present = own(before, key);
    const inner = present === undefined ? value : diffMergePatch(present, value);
    if (inner !== undefined) setOwn(patch, key, inner);
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}
