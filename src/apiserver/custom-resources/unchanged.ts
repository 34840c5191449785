import { deepEqual } from "#base";
import { isJsonObject, type Schema } from "#machinery";

/**
 * Whether the value a message names is what it was before. Items of lists that have keys are found by them; any other list
 * counts as one value, and so does what lacks a member that a message names.
 */
export function isUnchanged(field: string, now: unknown, before: unknown, schema: Schema): boolean {
  let rest = field;
  let [value, old]: [unknown, unknown] = [now, before];
  let at: Schema | undefined = schema;
  for (;;) {
    if (old === undefined) return false;
    rest = rest.replace(/^\./, "");
    if (rest === "") return deepEqual(value, old);
    if (Array.isArray(value)) {
      const [whole, index] = /^\[(\d+)\]/.exec(rest) ?? [];
      const item: unknown = index === undefined ? undefined : (value as readonly unknown[])[Number(index)];
      if (whole === undefined || at?.listType !== "map" || !Array.isArray(old)) return deepEqual(value, old);
      const keys: readonly string[] = at.listMapKeys;
      old = (old as readonly unknown[]).find((other) => hasKeysOf(other, item, keys));
      [value, at, rest] = [item, at.items, rest.slice(whole.length)];
      continue;
    }
    const name = isJsonObject(value) ? memberIn(rest, Object.keys(value)) : undefined;
    if (name === undefined || !isJsonObject(value)) return deepEqual(value, old);
    old = isJsonObject(old) && Object.hasOwn(old, name) ? old[name] : undefined;
    [value, at, rest] = [value[name], at?.property(name), rest.slice(name.length)];
  }
}

/** The member a path begins with: the longest, for names may hold points. */
function memberIn(path: string, names: readonly string[]): string | undefined {
  const fitting = names.filter((name) => path.startsWith(name) && /^(?:$|\.|\[)/.test(path.slice(name.length)));
  return fitting.sort((one, other) => other.length - one.length)[0];
}

function hasKeysOf(one: unknown, other: unknown, keys: readonly string[]): boolean {
  return isJsonObject(one) && isJsonObject(other) && keys.every((key) => deepEqual(one[key], other[key]));
}
