/**
 * Lua patterns (§5.4.1 of the reference manual), matched here rather than by the machine's own library: a pattern can
 * take time exponential in its length, and here every step counts against the caller's budget.
 */
const ESCAPE = 37;
const CAPTURES_MAX = 32;
const DEPTH_MAX = 200;
const POSITION = -2;
const OPEN = -1;

interface Capture {
  readonly start: number;
  length: number;
}

export interface Match {
  readonly start: number;
  readonly end: number;
  /** Texts, or positions (1-based) of empty captures. */
  readonly captures: readonly (Uint8Array | number)[];
}

const isBetween = (byte: number, low: number, high: number) => byte >= low && byte <= high;
const isUpper = (byte: number) => isBetween(byte, 65, 90);
const isLower = (byte: number) => isBetween(byte, 97, 122);
const isDigit = (byte: number) => isBetween(byte, 48, 57);
const isPrintable = (byte: number) => isBetween(byte, 33, 126);
const CLASSES: Readonly<Record<string, (byte: number) => boolean>> = {
  a: (byte) => isUpper(byte) || isLower(byte),
  c: (byte) => byte < 32 || byte === 127,
  d: isDigit,
  g: isPrintable,
  l: isLower,
  p: (byte) => isPrintable(byte) && !isUpper(byte) && !isLower(byte) && !isDigit(byte),
  s: (byte) => byte === 32 || isBetween(byte, 9, 13),
  u: isUpper,
  w: (byte) => isUpper(byte) || isLower(byte) || isDigit(byte),
  x: (byte) => isDigit(byte) || isBetween(byte, 65, 70) || isBetween(byte, 97, 102),
  z: (byte) => byte === 0,
};

function isOfClass(byte: number, name: number): boolean {
  const rule = CLASSES[String.fromCharCode(name).toLowerCase()];
  if (rule === undefined) return byte === name;
  return rule(byte) !== isUpper(name);
}

/** Finds the first match of `pattern` at or after `from` (0-based), or `undefined`. Throws on a malformed pattern. */
export function matchPattern(
  source: Uint8Array,
  pattern: Uint8Array,
  from: number,
  step: () => void,
): Match | undefined {
  const isAnchored = pattern[0] === 94;
  for (let start = from; start <= source.length; start++) {
    const matcher = new Matcher(source, pattern, step);
    const end = matcher.match(start, isAnchored ? 1 : 0, 0);
    if (end >= 0) return { start, end, captures: matcher.found() };
    if (isAnchored) return undefined;
  }
  return undefined;
}

class Matcher {
  readonly #source: Uint8Array;
  readonly #pattern: Uint8Array;
  readonly #step: () => void;
  #captures: Capture[] = [];

  constructor(source: Uint8Array, pattern: Uint8Array, step: () => void) {
    this.#source = source;
    this.#pattern = pattern;
    this.#step = step;
  }

  found(): readonly (Uint8Array | number)[] {
    return this.#captures.map(({ start, length }) => {
      if (length === OPEN) throw new Error("unfinished capture");
      return length === POSITION ? start + 1 : this.#source.subarray(start, start + length);
    });
  }

  /** The end of the match of `pattern[p…]` at `source[s…]`, or -1. */
  match(from: number, at: number, depth: number): number {
    if (depth > DEPTH_MAX) throw new Error("pattern too complex");
    const pattern = this.#pattern;
    let s = from;
    let p = at;
    for (;;) {
      this.#step();
      if (p === pattern.length) return s;
      const byte = pattern[p] as number;
      if (byte === 40) return this.#open(s, p, depth);
      if (byte === 41) return this.#close(s, p + 1, depth);
      if (byte === 36 && p + 1 === pattern.length) return s === this.#source.length ? s : -1;
      if (byte === ESCAPE) {
        const next = pattern[p + 1];
        if (next === 98) {
          s = this.#balance(s, p + 2);
          if (s < 0) return -1;
          p += 4;
          continue;
        }
        if (next === 102) {
          p += 2;
          if (pattern[p] !== 91) throw new Error("missing '[' after '%f' in pattern");
          const end = this.#classEnd(p);
          const before = s === 0 ? 0 : (this.#source[s - 1] as number);
          if (this.#isInSet(before, p, end - 1) || !this.#isInSet(this.#source[s] ?? 0, p, end - 1)) return -1;
          p = end;
          continue;
        }
        if (next !== undefined && isDigit(next)) {
          s = this.#again(s, next);
          if (s < 0) return -1;
          p += 2;
          continue;
        }
      }
      const end = this.#classEnd(p);
      const repeat = pattern[end];
      if (repeat === 42) return this.#most(s, p, end, 0, depth);
      if (repeat === 43) return this.#most(s, p, end, 1, depth);
      if (repeat === 45) return this.#least(s, p, end, depth);
      const isHere = this.#isSingle(s, p, end);
      if (repeat === 63) {
        if (isHere) {
          const found = this.match(s + 1, end + 1, depth + 1);
          if (found >= 0) return found;
        }
        p = end + 1;
        continue;
      }
      if (!isHere) return -1;
      s++;
      p = end;
    }
  }

  #open(s: number, p: number, depth: number): number {
    if (this.#captures.length >= CAPTURES_MAX) throw new Error("too many captures");
    const isPosition = this.#pattern[p + 1] === 41;
    this.#captures.push({ start: s, length: isPosition ? POSITION : OPEN });
    const level = this.#captures.length;
    const end = this.match(s, p + (isPosition ? 2 : 1), depth + 1);
    if (end < 0) this.#captures.length = level - 1;
    return end;
  }

  #close(s: number, p: number, depth: number): number {
    const open = this.#captures.findLast(({ length }) => length === OPEN);
    if (open === undefined) throw new Error("invalid pattern capture");
    open.length = s - open.start;
    const end = this.match(s, p, depth + 1);
    if (end < 0) open.length = OPEN;
    return end;
  }

  #most(s: number, p: number, end: number, least: number, depth: number): number {
    let count = 0;
    while (this.#isSingle(s + count, p, end)) {
      this.#step();
      count++;
    }
    for (; count >= least; count--) {
      const found = this.match(s + count, end + 1, depth + 1);
      if (found >= 0) return found;
    }
    return -1;
  }

  #least(from: number, p: number, end: number, depth: number): number {
    for (let s = from; ; s++) {
      const found = this.match(s, end + 1, depth + 1);
      if (found >= 0) return found;
      if (!this.#isSingle(s, p, end)) return -1;
    }
  }

  #balance(s: number, p: number): number {
    const open = this.#pattern[p];
    const close = this.#pattern[p + 1];
    if (open === undefined || close === undefined) throw new Error("malformed pattern (missing arguments to '%b')");
    if (this.#source[s] !== open) return -1;
    let level = 1;
    for (let at = s + 1; at < this.#source.length; at++) {
      this.#step();
      const byte = this.#source[at];
      if (byte === close) {
        if (--level === 0) return at + 1;
      } else if (byte === open) level++;
    }
    return -1;
  }

  #again(s: number, digit: number): number {
    const capture = this.#captures[digit - 49];
    if (capture === undefined || capture.length < 0)
      throw new Error(`invalid capture index %${String.fromCharCode(digit)}`);
    const text = this.#source.subarray(capture.start, capture.start + capture.length);
    for (let at = 0; at < text.length; at++) if (this.#source[s + at] !== text[at]) return -1;
    return s + text.length;
  }

  #classEnd(at: number): number {
    let p = at;
    const byte = this.#pattern[p++];
    if (byte === ESCAPE) {
      if (p >= this.#pattern.length) throw new Error("malformed pattern (ends with '%')");
      return p + 1;
    }
    if (byte !== 91) return p;
    if (this.#pattern[p] === 94) p++;
    do {
      if (p >= this.#pattern.length) throw new Error("malformed pattern (missing ']')");
      if (this.#pattern[p++] === ESCAPE) p++;
    } while (this.#pattern[p] !== 93);
    return p + 1;
  }

  #isSingle(s: number, p: number, end: number): boolean {
    const byte = this.#source[s];
    if (byte === undefined) return false;
    switch (this.#pattern[p]) {
      case 46:
        return true;
      case ESCAPE:
        return isOfClass(byte, this.#pattern[p + 1] as number);
      case 91:
        return this.#isInSet(byte, p, end - 1);
      default:
        return this.#pattern[p] === byte;
    }
  }

  /** Whether a byte is in the set that starts with `[` at `start` and ends with `]` at `last`. */
  #isInSet(byte: number, start: number, last: number): boolean {
    const pattern = this.#pattern;
    let p = start + 1;
    const isWanted = pattern[p] !== 94;
    if (!isWanted) p++;
    for (; p < last; p++) {
      const one = pattern[p] as number;
      if (one === ESCAPE) {
        p++;
        if (isOfClass(byte, pattern[p] as number)) return isWanted;
      } else if (pattern[p + 1] === 45 && p + 2 < last) {
        if (isBetween(byte, one, pattern[p + 2] as number)) return isWanted;
        p += 2;
      } else if (one === byte) return isWanted;
    }
    return !isWanted;
  }
}
