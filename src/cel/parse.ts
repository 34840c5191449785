import { type ASTNode, Environment, ParseError } from "@marcbachmann/cel-js";
import { syntaxMistakes } from "./syntax-mistakes.ts";

/** The nodes of an expression, as the parser gives them before its own macros are expanded. */
export type Node = ASTNode;

/** A mistake found before an expression runs, at a place of its text. */
export class CelCompileError extends Error {
  override readonly name: string = "CelCompileError";
  readonly summary: string;
  readonly #offset: number;
  constructor(summary: string, source: string, offset: number) {
    super(located(summary, source, offset));
    this.summary = summary;
    this.#offset = offset;
  }

  /** One error for several mistakes, in the order of their places. */
  static all(mistakes: readonly CelCompileError[]): CelCompileError {
    const sorted = mistakes.toSorted((one, other) => one.#offset - other.#offset);
    const first = sorted[0] as CelCompileError;
    first.message = [...new Set(sorted.map(({ message }) => message))].join("\n");
    return first;
  }
}

/** The form in which Kubernetes shows mistakes: place, line, and a caret below. */
function located(summary: string, source: string, offset: number): string {
  const before = source.slice(0, offset);
  const line = before.split("\n").length;
  const column = offset - (before.lastIndexOf("\n") + 1);
  const text = source.split("\n")[line - 1] ?? "";
  return `ERROR: <input>:${line}:${column + 1}: ${summary}\n | ${text}\n | ${".".repeat(column)}^`;
}

export interface Parsed {
  readonly ast: Node;
  /** Whether an element or entry that starts here was marked optional (`[?x]`, `{?"a": x}`). */
  isOptional(start: number): boolean;
  /** Where a mistake of a node is shown: at its dot, operator or parenthesis. */
  place(node: Node): number;
}

const parser = new Environment({ enableOptionalTypes: true, homogeneousAggregateLiterals: false });
/** The call `Name{field: value}` is rewritten to: the parser has no words for messages. */
export const CONSTRUCT = "__construct";

interface Prepared {
  readonly text: string;
  /** Offsets of the written text, one a character of the prepared one. */
  readonly offsets: readonly number[];
  readonly optionals: readonly number[];
}

const STRING = /(?:[rR]?[bB]?|[bB][rR])("""[\s\S]*?"""|'''[\s\S]*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')/y;
const RAW_STRING = /(?:[bB]?[rR])("""[\s\S]*?"""|'''[\s\S]*?'''|"[^"\n]*"|'[^'\n]*')/y;
const MESSAGE = /[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*\s*\{/y;
const IDENTIFIER = /[A-Za-z_]\w*/y;

const matchAt = (pattern: RegExp, source: string, at: number): string | undefined => {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0];
};

/** Brings what the parser cannot read into what it can, and remembers where each character came from. */
function prepare(source: string): Prepared {
  let text = "";
  const offsets: number[] = [];
  const optionals: number[] = [];
  const closers: string[] = [];
  const put = (part: string, from: number, isInserted = false) => {
    for (let at = 0; at < part.length; at++) offsets.push(isInserted ? from : from + at);
    text += part;
  };
  let previous = "";
  for (let at = 0; at < source.length; ) {
    const char = source[at] as string;
    const literal = matchAt(RAW_STRING, source, at) ?? matchAt(STRING, source, at);
    const comment = source.startsWith("//", at) ? (/[^\n]*/.exec(source.slice(at))?.[0] ?? "") : undefined;
    const message = literal === undefined && previous !== "word" ? matchAt(MESSAGE, source, at) : undefined;
    const part = literal ?? comment ?? matchAt(IDENTIFIER, source, at);
    if (message?.endsWith("{") && !/^in\s*\{$/.test(message)) {
      put(message.slice(0, -1).trimEnd(), at);
      put(`.${CONSTRUCT}({`, at + message.length - 1, true);
      closers.push("})");
      at += message.length;
      previous = "{";
      continue;
    }
    if (part !== undefined) {
      put(part, at);
      at += part.length;
      if (comment === undefined) previous = "word";
      continue;
    }
    if (char === "`") {
      const end = source.indexOf("`", at + 1);
      if (end > 0 && text.trimEnd().endsWith(".")) {
        const kept = text.trimEnd().length - 1;
        text = text.slice(0, kept);
        offsets.length = kept;
        put(`[${JSON.stringify(source.slice(at + 1, end))}]`, at, true);
        at = end + 1;
        previous = "word";
        continue;
      }
    }
    if (char === "{") closers.push("}");
    if (char === "?" && (previous === "{" || previous === "," || (previous === "[" && !isIndex(text)))) {
      optionals.push(text.length);
      put(" ", at);
    } else if (char === "}") put(closers.pop() ?? "}", at, true);
    else put(char, at);
    if (!/\s/.test(char)) previous = char;
    at++;
  }
  return { text, offsets, optionals };
}

/** Kubernetes points at the sign that makes a node what it is. */
function anchor(node: Node, text: string): number {
  const after = (sign: string, from: number) => {
    const at = text.indexOf(sign, from);
    return at < 0 ? node.pos : at;
  };
  switch (node.op) {
    case "value":
    case "id":
    case "!_":
    case "-_":
    case "list":
    case "map":
      return node.pos;
    case ".":
    case ".?":
      return text.lastIndexOf(".", node.pos);
    case "[]":
    case "[?]":
      return after("[", node.args[0].end);
    case "call":
      return after("(", node.start);
    case "rcall":
      return after("(", node.args[1].end);
    case "?:":
      return after("?", node.args[0].end);
    default:
      return after(node.op, node.args[0].end);
  }
}

/** Whether the bracket that ends the text opens an index rather than a list. */
const isIndex = (text: string) => /[\w\])}"'`]\s*\[$/.test(text);

/** The parser's own objections in Kubernetes' words, where there are some. */
function worded(summary: string): string {
  const reserved = /^Reserved identifier: (\w+)/.exec(summary)?.[1];
  if (reserved !== undefined) return `reserved identifier: ${reserved}`;
  if (summary.endsWith("invalid predicate iteration variable")) return "argument must be a simple name";
  return `Syntax error: ${summary}`;
}

/** Parses an expression; throws `CelCompileError` with the place of the mistake. */
export function parseExpression(source: string): Parsed {
  const { text, offsets, optionals } = prepare(source);
  const offset = (position: number) => offsets[position] ?? source.length;
  try {
    const { ast } = parser.parse(text);
    return {
      ast,
      place: (node) => offset(anchor(node, text)),
      isOptional: (start) => optionals.some((mark) => mark < start && /^[\s(]*$/.test(text.slice(mark, start))),
    };
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    const mistakes = syntaxMistakes(source).map(({ summary, offset: at }) => new CelCompileError(summary, source, at));
    // What the grammar has no objection to is refused in the parser's own words.
    if (mistakes.length === 0)
      mistakes.push(new CelCompileError(worded(error.summary), source, offset(error.range?.start ?? 0)));
    throw CelCompileError.all(mistakes);
  }
}
