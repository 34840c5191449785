import { compileJsonPath } from "#machinery";

const MANY = /\[\*\]|\.\.|\[-|\[\d*:/;
const compiled = new Map<string, ((root: unknown) => string) | undefined>();
const COMPILED_MAX = 1000;

/** Whether a printer column's path may give several values; they stand in one cell, with spaces in between. */
export const givesMany = (path: string): boolean => MANY.test(path);

/** All values of such a path as one text; `undefined` where there is none, or where the path cannot be read. */
export function readMany(object: unknown, path: string): string | undefined {
  if (!compiled.has(path)) {
    if (compiled.size >= COMPILED_MAX) compiled.clear();
    compiled.set(path, compile(path));
  }
  try {
    return compiled.get(path)?.(object) || undefined;
  } catch {
    // A field on the way is absent: nothing to show.
    return undefined;
  }
}

function compile(path: string): ((root: unknown) => string) | undefined {
  try {
    return compileJsonPath(`{${path}}`);
  } catch {
    return undefined;
  }
}
