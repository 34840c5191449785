/** JSON texts inside objects: read so that untouched parts come back as they were, to the digit and in their order. */

/** A number whose digits JavaScript would change, such as a 64-bit id or `1.0`. */
class ExactNumber {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** A document and the order of keys its objects had; JavaScript moves keys that look like numbers to the front. */
export interface JsonText {
  readonly value: unknown;
  readonly orders: WeakMap<object, readonly string[]>;
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them raw in strings.
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\n\r]*/y;
const WORDS: readonly (readonly [string, unknown])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
];
/** Deeper documents are refused rather than overflowing the stack. */
const DEPTH_MAX = 1_000;

/** Reads a JSON text. Throws a SyntaxError where it is none. */
export function readJsonText(text: string): JsonText {
  const orders = new WeakMap<object, readonly string[]>();
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const fail = (): never => {
    throw new SyntaxError(
      at >= text.length ? "unexpected end" : `unexpected ${JSON.stringify(text[at])} at position ${at}`,
    );
  };
  const isNext = (mark: string): boolean => {
    take(SPACE);
    if (text[at] !== mark) return false;
    at++;
    return true;
  };
  const expectNext = (mark: string) => isNext(mark) || fail();
  const string = (): string => JSON.parse(take(STRING) ?? fail()) as string;

  function read(depth: number): unknown {
    if (depth > DEPTH_MAX) throw new SyntaxError("nested too deeply");
    take(SPACE);
    if (isNext("{")) return readObject(depth);
    if (isNext("[")) return readArray(depth);
    if (text[at] === '"') return string();
    for (const [word, value] of WORDS)
      if (text.startsWith(word, at)) {
        at += word.length;
        return value;
      }
    const digits = take(NUMBER) ?? fail();
    const number = Number(digits);
    return String(number) === digits ? number : new ExactNumber(digits);
  }

  function readObject(depth: number): unknown {
    const entries = new Map<string, unknown>();
    if (!isNext("}")) {
      do {
        take(SPACE);
        const key = string();
        expectNext(":");
        entries.set(key, read(depth + 1));
      } while (isNext(","));
      expectNext("}");
    }
    const value: object = Object.fromEntries(entries);
    orders.set(value, [...entries.keys()]);
    return value;
  }

  function readArray(depth: number): unknown {
    const items: unknown[] = [];
    if (isNext("]")) return items;
    do items.push(read(depth + 1));
    while (isNext(","));
    expectNext("]");
    return items;
  }

  const value = read(0);
  take(SPACE);
  if (at < text.length) fail();
  return { value, orders };
}

/** Characters Go's encoder escapes in strings. */
const escaped = (text: string) =>
  JSON.stringify(text).replace(
    /[<>&\u2028\u2029]/g,
    (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

/** Compact text of `value`, which came from `source` by changes: keys keep the order they had there, new ones follow. */
export function writeJsonText(value: unknown, source: JsonText): string {
  const write = (part: unknown, before: unknown): string => {
    if (part instanceof ExactNumber) return part.text;
    if (typeof part === "string") return escaped(part);
    if (Array.isArray(part))
      return `[${part.map((item, at) => write(item, Array.isArray(before) ? before[at] : undefined)).join(",")}]`;
    if (typeof part !== "object" || part === null) return JSON.stringify(part);
    const had = typeof before === "object" && before !== null ? source.orders.get(before) : undefined;
    const keys = new Set([...(source.orders.get(part) ?? had ?? []), ...Object.keys(part)]);
    const old = before as Readonly<Record<string, unknown>> | undefined;
    const members = [...keys]
      .filter((key) => Object.hasOwn(part, key))
      .map(
        (key) =>
          `${escaped(key)}:${write((part as Readonly<Record<string, unknown>>)[key], had === undefined ? undefined : old?.[key])}`,
      );
    return `{${members.join(",")}}`;
  };
  return write(value, source.value);
}
