/**
 * What Kubernetes says of a text that is no expression (wire): its parser is generated from CEL's grammar and names the
 * token it stumbled over and those it would have taken. Asked only about texts that could not be parsed.
 */
interface Token {
  readonly text: string;
  readonly offset: number;
  readonly kind: "operand" | "identifier" | "sign" | "end";
}

export interface SyntaxMistake {
  readonly summary: string;
  readonly offset: number;
}

const STARTS =
  "'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER";
const ARGUMENT_STARTS = STARTS.replace("'(',", "'(', ')',");
const INDEX_STARTS = STARTS.replace("'!',", "'!', '?',");

const ESCAPE = "\\\\(?:[abfnrtv\"'\\\\?`]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})";
const SPACE = "\\s+|//[^\\n]*";
const LONG_TEXT = `"""[\\s\\S]*?"""|'''[\\s\\S]*?'''`;
const TEXT = `(?:[rR][bB]?|[bB][rR]?)?(?:${LONG_TEXT}|"(?:${ESCAPE}|[^"\\\\\\n\\r])*"|'(?:${ESCAPE}|[^'\\\\\\n\\r])*')`;
const NUMBER =
  "\\d+\\.\\d+(?:[eE][+-]?\\d+)?|\\d+[eE][+-]?\\d+|\\.\\d+(?:[eE][+-]?\\d+)?|0x[0-9a-fA-F]+[uU]?|\\d+[uU]?";
const SIGN = "==|!=|<=|>=|&&|\\|\\||[<>\\[\\]{}().,!?:+*/%-]";
const TOKEN = new RegExp(
  `(?<space>${SPACE})|(?<text>${TEXT})|(?<number>${NUMBER})|(?<word>[A-Za-z_]\\w*)|(?<sign>${SIGN})`,
  "y",
);
const OPEN_TEXT = /(?:"(?:\\.|[^"\\\n])*|'(?:\\.|[^'\\\n])*)/y;

class Stumble extends Error {
  readonly mistakes: readonly SyntaxMistake[];
  constructor(mistakes: readonly SyntaxMistake[]) {
    super("no expression");
    this.mistakes = mistakes;
  }
}

const quoted = (text: string) => `'${text.replace(/\n/g, "\\n").replace(/\t/g, "\\t").replace(/\r/g, "\\r")}'`;

/** How far a token that is none was read: up to the character that ended the hope. */
function unreadable(source: string, at: number): string {
  const char = source[at] as string;
  if (char === "&" || char === "|" || char === "=") return source.slice(at, at + 2);
  if (char !== '"' && char !== "'") return char;
  const bad = new RegExp(`${char}(?:\\\\[abfnrtv"'\\\\?\`]|[^\\\\${char}\\n])*(?:\\\\[\\s\\S]?|\\n)`, "y");
  bad.lastIndex = at;
  OPEN_TEXT.lastIndex = at;
  return bad.exec(source)?.[0] ?? OPEN_TEXT.exec(source)?.[0] ?? char;
}

function tokensOf(source: string, mistakes: SyntaxMistake[]): readonly Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < source.length; ) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(source);
    if (found === null) {
      const text = unreadable(source, at);
      mistakes.push({ summary: `Syntax error: token recognition error at: ${quoted(text)}`, offset: at });
      at += text.length;
      continue;
    }
    const { text, number, word, sign } = found.groups ?? {};
    const isLiteral = text !== undefined || number !== undefined || /^(?:true|false|null)$/.test(word ?? "");
    if (isLiteral) tokens.push({ text: found[0], offset: at, kind: "operand" });
    else if (word !== undefined && word !== "in") tokens.push({ text: word, offset: at, kind: "identifier" });
    else if (word !== undefined || sign !== undefined) tokens.push({ text: found[0], offset: at, kind: "sign" });
    at += found[0].length;
  }
  return [...tokens, { text: "<EOF>", offset: source.length, kind: "end" }];
}

const BINARY = new Set(["==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%", "&&", "||"]);
const startsOperand = ({ kind, text }: Token) =>
  kind === "operand" || kind === "identifier" || ["[", "{", "(", ".", "-", "!"].includes(text);

class Reader {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(source: string, tokens: readonly Token[]) {
    this.#source = source;
    this.#tokens = tokens;
  }

  get #here(): Token {
    return this.#tokens[this.#at] as Token;
  }

  get #next(): Token {
    return this.#tokens[this.#at + 1] ?? (this.#tokens[this.#tokens.length - 1] as Token);
  }

  #takes(text: string): boolean {
    if (this.#here.kind !== "sign" || this.#here.text !== text) return false;
    this.#at++;
    return true;
  }

  #refuse(how: string, wanted: string): never {
    throw new Stumble([
      {
        summary: `Syntax error: ${how} input ${quoted(this.#here.text)} expecting ${wanted}`,
        offset: this.#here.offset,
      },
    ]);
  }

  whole(): void {
    this.#expression();
    if (this.#here.kind !== "end") this.#refuse(this.#next.kind === "end" ? "extraneous" : "mismatched", "<EOF>");
  }

  #expression(starts = STARTS): void {
    this.#binary(starts);
    if (!this.#takes("?")) return;
    this.#binary(STARTS);
    if (!this.#takes(":")) this.#refuse("mismatched", "':'");
    this.#expression();
  }

  #binary(starts: string): void {
    this.#unary(starts);
    while (BINARY.has(this.#here.text) && this.#here.kind === "sign") {
      this.#at++;
      this.#unary(STARTS);
    }
  }

  #unary(starts: string): void {
    const isSigned = this.#here.text === "!" || this.#here.text === "-";
    while (this.#takes("!") || this.#takes("-"));
    this.#primary(starts, isSigned);
    for (;;) {
      if (this.#takes(".")) this.#member();
      else if (this.#takes("[")) {
        this.#takes("?");
        this.#expression(INDEX_STARTS);
        this.#close("]", "']'");
      } else return;
      if (this.#takes("(")) this.#elements(")", "')'", ARGUMENT_STARTS);
    }
  }

  #member(): void {
    this.#takes("?");
    const { kind, text, offset } = this.#here;
    if (kind === "identifier" || text === "`") {
      this.#at++;
      return;
    }
    const dot = this.#tokens[this.#at - 1] as Token;
    const shown = kind === "end" ? dot.text : this.#source.slice(dot.offset, offset + text.length);
    throw new Stumble([{ summary: `Syntax error: no viable alternative at input ${quoted(shown)}`, offset }]);
  }

  #primary(starts: string, isSigned: boolean): void {
    const { kind, text } = this.#here;
    if (kind === "operand") this.#at++;
    else if (kind === "identifier" || (text === "." && this.#next.kind === "identifier")) {
      this.#at += kind === "identifier" ? 1 : 2;
      if (this.#takes("(")) this.#elements(")", "')'", ARGUMENT_STARTS);
      else if (this.#here.text === "{" && kind === "identifier") {
        this.#at++;
        this.#entries();
      }
    } else if (this.#takes("(")) {
      this.#expression();
      this.#close(")", "')'");
    } else if (this.#takes("[")) this.#elements("]", "']'", STARTS);
    else if (this.#takes("{")) this.#entries();
    else this.#noOperand(starts, isSigned);
  }

  #noOperand(starts: string, isSigned: boolean): never {
    const isExtra = isSigned ? this.#here.kind === "end" : startsOperand(this.#next);
    if (isExtra || this.#here.kind === "end" || this.#next.kind !== "end")
      this.#refuse(isExtra ? "extraneous" : "mismatched", `{${starts}}`);
    // A last token that is wrong leaves nothing to go on with.
    throw new Stumble(
      [this.#here, this.#next].map((token) => ({
        summary: `Syntax error: mismatched input ${quoted(token.text)} expecting {${starts}}`,
        offset: token.offset,
      })),
    );
  }

  /** Values between commas, up to what closes them. */
  #elements(closer: string, shown: string, starts: string): void {
    if (this.#takes(closer)) return;
    for (let first = starts; ; first = STARTS) {
      if (closer === "]") this.#takes("?");
      this.#expression(first);
      if (this.#takes(closer)) return;
      if (!this.#takes(",")) this.#refuse("mismatched", `{${shown}, ','}`);
      if (closer !== "]") continue;
      if (this.#takes(closer)) return;
      if (this.#here.text === ",") this.#refuse("mismatched", shown);
    }
  }

  #entries(): void {
    if (this.#takes("}")) return;
    for (;;) {
      this.#takes("?");
      this.#expression();
      if (!this.#takes(":")) this.#missing("':'", startsOperand(this.#here));
      this.#expression();
      if (this.#takes("}")) return;
      if (!this.#takes(",")) this.#refuse("mismatched", "{'}', ','}");
      if (this.#takes("}")) return;
    }
  }

  #close(closer: string, shown: string): void {
    if (!this.#takes(closer)) this.#missing(shown, !startsOperand(this.#here));
  }

  #missing(shown: string, couldFollow: boolean): never {
    if (!couldFollow) this.#refuse("mismatched", shown);
    throw new Stumble([
      { summary: `Syntax error: missing ${shown} at ${quoted(this.#here.text)}`, offset: this.#here.offset },
    ]);
  }
}

/** What is wrong with a text, in order of place; nothing when the grammar has no objection. */
export function syntaxMistakes(source: string): readonly SyntaxMistake[] {
  const mistakes: SyntaxMistake[] = [];
  const tokens = tokensOf(source, mistakes);
  try {
    new Reader(source, tokens).whole();
  } catch (error) {
    if (!(error instanceof Stumble)) throw error;
    mistakes.push(...error.mistakes);
  }
  return mistakes;
}
