import { compileJsonPath } from "#machinery";

const MANY = /\[\*\]|\.\.|\[-|\[\d*:/;
const compiled = new Map<string, ((root: unknown) => string) | undefined>();
const COMPILED_MAX = 1000;

/** Stands behind each value, and in no text. */
const END = "\u0001";

/** Whether a printer column's path may give several values, of which the cell shows the first. */
export const givesMany = (path: string): boolean => MANY.test(path);

/** The first value of such a path as a text; `undefined` where there is none, or where the path cannot be read. */
export function readFirst(object: unknown, path: string): string | undefined {
  if (!compiled.has(path)) {
    if (compiled.size >= COMPILED_MAX) compiled.clear();
    compiled.set(path, compile(path));
  }
  try {
    return compiled.get(path)?.(object).split(END)[0] || undefined;
  } catch {
    // A field on the way is absent: nothing to show.
    return undefined;
  }
}

function compile(path: string): ((root: unknown) => string) | undefined {
  try {
    return compileJsonPath(`{range ${path}}{@}{"${END}"}{end}`);
  } catch {
    return undefined;
  }
}
