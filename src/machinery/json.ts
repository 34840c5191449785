/**
 * JSON whose whole numbers of 64 bits keep all their digits, as they do in Kubernetes: where a double cannot hold one, it is
 * a `bigint`. Numbers that are larger, or have a fraction, are doubles.
 */

/** Stands before the digits of such a number while JSON's own reader and writer see a text in its place. */
const MARKS = ["\u0001", "\u0002", "\u0003", "\u0004"] as const;
const MARKED = Object.fromEntries(
  MARKS.map((mark) => [mark, new RegExp(`"${escaped(mark).replace("\\", "\\\\")}(-?\\d+)"`, "g")]),
) as Readonly<Record<(typeof MARKS)[number], RegExp>>;
const CANDIDATE = /[:,[\s]-?[1-9]\d{15}/;
/** Texts are passed over; numbers are taken whole. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gs;
const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;

/** Reads JSON. Throws `SyntaxError` for what is none. */
export function parseJson(text: string): unknown {
  if (!CANDIDATE.test(text)) return JSON.parse(text) as unknown;
  // A text can only begin with a mark that stands escaped in the source.
  const mark = MARKS.find((one) => !text.includes(escaped(one)));
  if (mark === undefined) return JSON.parse(text) as unknown;
  const marked = text.replace(TOKEN, (token) => (isLarge(token) ? `"${escaped(mark)}${token}"` : token));
  if (marked === text) return JSON.parse(text) as unknown;
  return JSON.parse(marked, (_key, value: unknown) =>
    typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
  ) as unknown;
}

function escaped(mark: string): string {
  return JSON.stringify(mark).slice(1, -1);
}

function isLarge(token: string): boolean {
  return /^-?\d{16,19}$/.test(token) && wholeNumber(BigInt(token)) === undefined && isInRange(BigInt(token));
}

const isInRange = (value: bigint) => value >= LEAST && value <= MOST;
const wholeNumber = (value: bigint): number | undefined =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;

/** A whole number from elsewhere in the form `parseJson` gives it: large only where it must be. */
export const asJsonNumber = (value: bigint): number | bigint =>
  wholeNumber(value) ?? (isInRange(value) ? value : Number(value));

/** The mark large numbers are written with now; absent while nobody asked for their digits. */
let writtenWith: string | undefined;
let written = 0;

// Whoever writes JSON without this module loses digits, as with any double, but does not fail.
Object.defineProperty(BigInt.prototype, "toJSON", {
  configurable: true,
  writable: true,
  value(this: bigint): unknown {
    if (writtenWith === undefined) return Number(this);
    written++;
    return `${writtenWith}${this}`;
  },
});

/** Writes JSON; `replace` may change members, as with `JSON.stringify`. */
export function writeJson(value: unknown, replace?: (key: string, value: unknown) => unknown): string {
  for (const mark of MARKS) {
    writtenWith = mark;
    written = 0;
    let text: string;
    try {
      text = JSON.stringify(value, replace);
    } finally {
      writtenWith = undefined;
    }
    if (written === 0) return text;
    let found = 0;
    const exact = text.replace(MARKED[mark], (_marked, digits: string) => {
      found++;
      return digits;
    });
    // A text that looks like a marked number is to stay a text.
    if (found === written) return exact;
  }
  return JSON.stringify(value, replace);
}
