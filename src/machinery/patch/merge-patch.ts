import { isJsonObject } from "../paths.ts";

/** RFC 7386: objects merge, `null` removes, everything else replaces. What is not touched is shared. */
export function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch;
  const result: Record<string, unknown> = isJsonObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (isJsonObject(value)) result[key] = applyMergePatch(result[key], value);
    else result[key] = value;
  }
  return result;
}

/** The merge patch that turns `before` into `after`; `undefined` when they are equal. */
export function diffMergePatch(before: unknown, after: unknown): unknown {
  if (before === after) return undefined;
  if (!isJsonObject(before) || !isJsonObject(after))
    return JSON.stringify(before) === JSON.stringify(after) ? undefined : after;
  const patch: Record<string, unknown> = {};
  for (const key of Object.keys(before)) if (after[key] === undefined && before[key] !== undefined) patch[key] = null;
  for (const [key, value] of Object.entries(after)) {
    if (value === undefined) continue;
    if (before[key] === undefined) patch[key] = value;
    else {
      const inner = diffMergePatch(before[key], value);
      if (inner !== undefined) patch[key] = inner;
    }
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}
