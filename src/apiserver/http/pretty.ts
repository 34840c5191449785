import { headerOf, type Headers } from "../authentication/headers.ts";
import type { FrontAnswer, FrontOutcome, FrontPieces } from "./exchange.ts";

const LINE_END = 0x0a;
const TRUE = new Set(["1", "t", "T", "true", "TRUE", "True"]);
/** Programs whose users read answers themselves. */
const READ_BY_PEOPLE = ["curl", "Wget", "Mozilla/5.0"];

/** Whether JSON is wanted in lines: as the form or `pretty` says, else as the program that asks lets expect. */
function isWanted(url: string, headers: Headers): boolean {
  if (/;\s*pretty=1\s*(?:[,;]|$)/.test(headerOf(headers, "accept") ?? "")) return true;
  const query = url.indexOf("?");
  const said = query < 0 ? null : new URLSearchParams(url.slice(query + 1)).get("pretty");
  if (said) return TRUE.has(said);
  const agent = headerOf(headers, "user-agent") ?? "";
  return READ_BY_PEOPLE.some((name) => agent.startsWith(name));
}

/** The answer, with objects of the API in lines where somebody wants to read them. Other JSON ends no line and stays. */
export function inLines(
  { url, headers }: { readonly url: string; readonly headers: Headers },
  answer: FrontOutcome,
): FrontOutcome {
  if (!("headers" in answer) || answer.headers?.["content-type"] !== "application/json") return answer;
  const isAnswer = "body" in answer || "pieces" in answer;
  if (!isAnswer || !isWanted(url, headers)) return answer;
  if ("pieces" in answer) return { ...(answer as FrontPieces), pieces: indented((answer as FrontPieces).pieces) };
  const whole = answer as FrontAnswer;
  if (whole.body.at(-1) !== LINE_END) return answer;
  return { ...whole, body: Buffer.concat([...indented([whole.body])]) };
}

/** JSON without spaces, set in lines as Go's encoder indents it. Texts and numbers stay letter by letter. */
export function* indented(pieces: Iterable<Buffer>): Generator<Buffer, void> {
  let depth = 0;
  let isInText = false;
  let isEscaped = false;
  let isOpened = false;
  const line = () => `\n${"  ".repeat(depth)}`;
  for (const piece of pieces) {
    let out = "";
    for (const letter of piece.toString("latin1")) {
      if (isInText) {
        out += letter;
        if (isEscaped) isEscaped = false;
        else if (letter === "\\") isEscaped = true;
        else if (letter === '"') isInText = false;
        continue;
      }
      if (letter === "\n") continue;
      const isClosing = letter === "}" || letter === "]";
      if (isOpened && !isClosing) out += line();
      if (letter === "{" || letter === "[") {
        depth++;
        isOpened = true;
        out += letter;
        continue;
      }
      if (isClosing) {
        depth--;
        out += isOpened ? letter : line() + letter;
      } else if (letter === ",") out += letter + line();
      else if (letter === ":") out += ": ";
      else {
        isInText = letter === '"';
        out += letter;
      }
      isOpened = false;
    }
    if (out !== "") yield Buffer.from(out, "latin1");
  }
}
