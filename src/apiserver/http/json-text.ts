import { GO_ESCAPES } from "#machinery";

/** What is wrong with a text that should be JSON, in Go's words, and what JSON readers silently drop. */
export interface JsonScan {
  /** Paths of members that appear twice in one object, such as `spec.containers[0].name`, in order. */
  readonly duplicates: readonly string[];
  /** Whether objects and lists are nested deeper than the limit. */
  readonly isTooDeep: boolean;
  /** The first syntax error, as Go's decoder says it. */
  readonly error: string | undefined;
  /** The first number that is larger than any that Go or JavaScript can hold. */
  readonly tooLarge?: string;
}

const QUOTE = 34;
const BACKSLASH = 92;
const DUPLICATES_MAX = 100;

interface Level {
  readonly isObject: boolean;
  readonly keys: Set<string> | undefined;
  key: string;
  index: number;
  expects: "key" | "key or end" | "colon" | "value" | "value or end" | "comma";
}

const AFTER: Readonly<Record<Level["expects"], string>> = {
  key: "looking for beginning of object key string",
  "key or end": "looking for beginning of object key string",
  colon: "after object key",
  value: "looking for beginning of value",
  "value or end": "looking for beginning of value",
  comma: "after array element",
};

/** Reads through a text once without making values of it; `isBytes` says that each letter stands for a byte. */
export function scanJson(text: string, depthMax: number, isBytes = false): JsonScan {
  const stack: Level[] = [];
  const duplicates: string[] = [];
  let isTooDeep = false;
  let isDone = false;
  let at = 0;
  const end = text.length;
  let tooLarge: string | undefined;
  const result = (error?: string): JsonScan => ({
    duplicates,
    isTooDeep,
    error,
    ...(tooLarge === undefined ? {} : { tooLarge }),
  });
  const finishValue = () => {
    const level = stack[stack.length - 1];
    if (level === undefined) isDone = true;
    else level.expects = "comma";
  };
  const pathOf = (key: string) =>
    stack
      .map((level) => (level.isObject ? `.${level === stack[stack.length - 1] ? key : level.key}` : `[${level.index}]`))
      .join("")
      .slice(1);
  for (;;) {
    let code = text.charCodeAt(at);
    while (code === 32 || code === 10 || code === 13 || code === 9) code = text.charCodeAt(++at);
    if (at >= end) return result(isDone ? undefined : "unexpected end of JSON input");
    const level = stack[stack.length - 1];
    const invalid = (why: string) => result(`invalid character ${shownCharacter(text, at, isBytes)} ${why}`);
    if (isDone) return invalid("after top-level value");
    const character = text[at] as string;
    const expects = level?.expects ?? "value";
    if (character === "}" && level?.isObject && (expects === "key or end" || expects === "comma")) {
      stack.pop();
      finishValue();
      at++;
      continue;
    }
    if (character === "]" && level?.isObject === false && (expects === "value or end" || expects === "comma")) {
      stack.pop();
      finishValue();
      at++;
      continue;
    }
    if (expects === "comma") {
      if (character !== ",") return invalid(level?.isObject ? "after object key:value pair" : AFTER.comma);
      if (level !== undefined) {
        level.expects = level.isObject ? "key" : "value";
        level.index++;
      }
      at++;
      continue;
    }
    if (expects === "colon") {
      if (character !== ":") return invalid(AFTER.colon);
      if (level !== undefined) level.expects = "value";
      at++;
      continue;
    }
    const wantsKey = expects === "key" || expects === "key or end";
    if (wantsKey && code !== QUOTE) return invalid(AFTER.key);
    if (code === QUOTE) {
      const start = at;
      let hasEscapes = false;
      for (at++; at < end; at++) {
        const inside = text.charCodeAt(at);
        if (inside === BACKSLASH) {
          hasEscapes = true;
          at++;
        } else if (inside === QUOTE) break;
        else if (inside < 32) return result(`invalid character ${shownCharacter(text, at, isBytes)} in string literal`);
      }
      if (at >= end) return result("unexpected end of JSON input");
      at++;
      if (!wantsKey) {
        finishValue();
        continue;
      }
      let key = text.slice(start + 1, at - 1);
      if (hasEscapes)
        try {
          key = JSON.parse(text.slice(start, at)) as string;
        } catch {
          return result("invalid character in string escape code");
        }
      const holder = level as Level;
      if (holder.keys?.has(key) && duplicates.length < DUPLICATES_MAX) duplicates.push(pathOf(key));
      holder.keys?.add(key);
      holder.key = key;
      holder.expects = "colon";
      continue;
    }
    if (character === "{" || character === "[") {
      if (stack.length >= depthMax) {
        isTooDeep = true;
        return result();
      }
      const isObject = character === "{";
      stack.push({
        isObject,
        keys: isObject ? new Set() : undefined,
        key: "",
        index: 0,
        expects: isObject ? "key or end" : "value or end",
      });
      at++;
      continue;
    }
    const literal = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)/y;
    literal.lastIndex = at;
    const match = literal.exec(text);
    if (match === null) {
      for (const word of ["true", "false", "null"])
        if (character === word[0]) {
          let same = 0;
          while (same < word.length && text[at + same] === word[same]) same++;
          at += same;
          return result(
            `invalid character ${shownCharacter(text, at, isBytes)} in literal ${word} (expecting '${word[same] ?? ""}')`,
          );
        }
      const isSign = character === "-";
      if (isSign) return result(`invalid character ${shownCharacter(text, at + 1, isBytes)} in numeric literal`);
      return invalid(AFTER.value);
    }
    at += match[0].length;
    if (match[0].length > 4 && tooLarge === undefined && !Number.isFinite(Number(match[0])) && /\d/.test(match[0]))
      tooLarge = match[0];
    finishValue();
    const unfinished =
      /[.eE]/.test(text[at] ?? "") && /\d$/.test(match[0]) ? unfinishedNumber(text, at, match[0], isBytes) : undefined;
    if (unfinished !== undefined) return result(unfinished);
  }
}

/** What is wrong with a number behind its point or exponent, if it may have one there. */
function unfinishedNumber(text: string, at: number, before: string, isBytes: boolean): string | undefined {
  const isPoint = text[at] === ".";
  if (isPoint ? /[.eE]/.test(before) : /[eE]/.test(before)) return undefined;
  const next = at + (!isPoint && /[+-]/.test(text[at + 1] ?? "") ? 2 : 1);
  return `invalid character ${shownCharacter(text, next, isBytes)} ${isPoint ? "after decimal point" : "in exponent of"} ${isPoint ? "in " : ""}numeric literal`;
}

const ESCAPED: Readonly<Record<string, string>> = { ...GO_ESCAPES, "'": "\\'" };

/** A character as Go quotes it: it knows bytes only, so that of a longer one the first is shown. */
function shownCharacter(text: string, at: number, isBytes: boolean): string {
  // Go reads one more space where a text ends within a number or word.
  if (at >= text.length) return "' '";
  const [byte = 0] = Buffer.from(String.fromCodePoint(text.codePointAt(at) ?? 0), isBytes ? "latin1" : "utf8");
  const character = String.fromCharCode(byte);
  const escaped = ESCAPED[character];
  if (escaped !== undefined) return `'${escaped}'`;
  if (byte < 0x20 || byte === 0x7f) return `'\\x${byte.toString(16).padStart(2, "0")}'`;
  if ((byte >= 0x80 && byte <= 0xa0) || byte === 0xad) return `'\\u${byte.toString(16).padStart(4, "0")}'`;
  return `'${character}'`;
}
