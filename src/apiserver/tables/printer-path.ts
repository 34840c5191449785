import { compileJsonPathValues } from "#machinery";

type Read = (root: unknown) => readonly unknown[];
const compiled = new Map<string, Read | undefined>();
const COMPILED_MAX = 1000;

function readerOf(path: string): Read | undefined {
  if (!compiled.has(path)) {
    if (compiled.size >= COMPILED_MAX) compiled.clear();
    compiled.set(path, compile(path));
  }
  return compiled.get(path);
}

/** The first value a printer column's path leads to; `undefined` where there is none, or where the path cannot be read. */
export function readFirst(object: unknown, path: string): unknown {
  try {
    return readerOf(path)?.(object)[0];
  } catch {
    // A field on the way is absent: nothing to show.
    return undefined;
  }
}

/** Whether a printer column's path can be read. */
export const isColumnPath = (path: string): boolean => readerOf(path) !== undefined;

/** Names in brackets are paths themselves, as kubectl reads them: what they have dots in must be escaped. */
function compile(path: string): Read | undefined {
  if (/\["/.test(path)) return undefined;
  try {
    return compileJsonPathValues(path.replace(/\['([^']*)'\]/g, ".$1"));
  } catch {
    return undefined;
  }
}
