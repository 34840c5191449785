/**
 * Request scripts: what is sent to two servers to see whether they answer the same.
 *
 * A file is a group. `== title` opens a script; `=* title` opens a series, in which every request is a script of its own
 * with a namespace of its own. Each further line is a request:
 *
 *   METHOD PATH [| Header: value]… [| BODY]
 *
 * `JSON-PATCH`, `MERGE`, `STRATEGIC` and `APPLY` are PATCH with the content type of that patch. A body that opens with `{`
 * or `[` is YAML and sent as JSON; `text:` sends what follows as it is, `base64:` bytes; `\n` in a text is a line feed.
 * Indented lines continue the line before. `$ns` is a namespace of the script's own, created before its first request where
 * the script names it; `$id` is unique to the script. `${2.metadata.uid}` is taken from the answer to the second request.
 * `$hooks` is where a server of webhooks listens (`hooks.ts`) and `$authority` the certificates it is trusted by.
 * `UNTIL what METHOD …` repeats a request until its answer has the status `what`, a warning (`warned`) or a text in it
 * (`text:…`), for at most ten seconds: servers take some writes in later. `anonymous` in place of a header leaves the client certificate out. `def NAME text` makes `@NAME` stand for the text in
 * the rest of the file. `ranges A,B` before the first title has the file's scripts played against servers of their own, which
 * give Services addresses of these ranges. Lines that begin with `//` are comments.
 */
import { parse } from "yaml";

export interface Step {
  readonly line: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  /** How the body's text is meant. */
  readonly encoding: "yaml" | "text" | "base64";
  readonly isAnonymous: boolean;
  /** The request is repeated until its answer is like this. */
  readonly until: string | undefined;
}

export interface Script {
  readonly group: string;
  readonly title: string;
  /** The ranges its servers give Services addresses of, where they are others than usual. */
  readonly ranges?: string;
  readonly steps: readonly Step[];
}

const PATCHES: Readonly<Record<string, string>> = {
  "JSON-PATCH": "application/json-patch+json",
  MERGE: "application/merge-patch+json",
  STRATEGIC: "application/strategic-merge-patch+json",
  APPLY: "application/apply-patch+yaml",
};
const METHODS = new Set(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", ...Object.keys(PATCHES)]);

/** Reads a file of scripts. Throws with file and line for what it does not understand. */
export function parseScripts(group: string, text: string): readonly Script[] {
  const definitions = new Map<string, string>();
  const scripts: { title: string; isSeries: boolean; steps: Step[] }[] = [];
  let ranges: string | undefined;
  for (const { number, line } of logicalLines(text)) {
    const fail = (what: string) => new Error(`${group}, line ${number}: ${what}`);
    if (/^=[=*] /.test(line)) {
      const title = line.slice(3).trim();
      if (scripts.some((script) => script.title === title)) throw fail(`${JSON.stringify(title)} is there twice`);
      scripts.push({ title, isSeries: line.startsWith("=*"), steps: [] });
    } else if (line.startsWith("ranges ")) {
      if (scripts.length > 0) throw fail("ranges stand before the first title");
      ranges = line.slice("ranges ".length).trim();
    } else if (line.startsWith("def ")) {
      const [, name, value] = /^def (\w+) (.*)$/s.exec(line) ?? [];
      if (name === undefined || value === undefined) throw fail("a definition is `def NAME text`");
      definitions.set(name, expand(value, definitions, fail));
    } else {
      const script = scripts.at(-1);
      if (script === undefined) throw fail("a request must stand below a title");
      script.steps.push(parseStep(expand(line, definitions, fail), fail));
    }
  }
  const empty = scripts.find(({ steps }) => steps.length === 0);
  if (empty !== undefined) throw new Error(`${group}: ${JSON.stringify(empty.title)} has no request`);
  const shared = { group, ...(ranges === undefined ? {} : { ranges }) };
  return scripts.flatMap(({ title, isSeries, steps }) =>
    isSeries
      ? steps.map((step, at) => ({ ...shared, title: `${title} (${at + 1})`, steps: [step] }))
      : [{ ...shared, title, steps }],
  );
}

function expand(text: string, definitions: ReadonlyMap<string, string>, fail: (what: string) => Error): string {
  return text.replace(/@([A-Z][A-Z0-9_]*)\b/g, (_, name: string) => {
    const value = definitions.get(name);
    if (value === undefined) throw fail(`@${name} is not defined above`);
    return value;
  });
}

function* logicalLines(text: string): Generator<{ readonly number: number; readonly line: string }> {
  let pending: { number: number; line: string } | undefined;
  for (const [at, raw] of text.split("\n").entries()) {
    if (raw.trim() === "" || raw.startsWith("//")) continue;
    if (/^\s/.test(raw) && pending !== undefined) {
      pending.line += `\n${raw.trim()}`;
      continue;
    }
    if (pending !== undefined) yield pending;
    pending = { number: at + 1, line: raw.trimEnd() };
  }
  if (pending !== undefined) yield pending;
}

function parseStep(whole: string, fail: (what: string) => Error): Step {
  const [, until, line = whole] = /^UNTIL (\S+) (.*)$/s.exec(whole) ?? [];
  const [first = "", ...segments] = splitSegments(line);
  const [word = "", path = "", ...rest] = first.trim().split(/\s+/);
  if (!METHODS.has(word)) throw fail(`unknown method ${JSON.stringify(word)}`);
  if (!path.startsWith("/") || rest.length > 0) throw fail(`${JSON.stringify(first)} is no METHOD /PATH`);
  const headers: Record<string, string> = {};
  let body: string | undefined;
  let encoding: Step["encoding"] = "yaml";
  let isAnonymous = false;
  for (const segment of segments) {
    const header = /^([A-Za-z][\w%.-]*): ?(.*)$/s.exec(segment);
    if (segment === "anonymous") isAnonymous = true;
    else if (/^[{[]/.test(segment)) body = segment;
    else if (/^(text|base64):/.test(segment)) {
      encoding = segment.startsWith("text") ? "text" : "base64";
      body = segment.slice(segment.indexOf(":") + 1);
    } else if (header !== null) headers[(header[1] as string).toLowerCase()] = header[2] as string;
    else throw fail(`${JSON.stringify(segment)} is neither a header nor a body`);
  }
  const patch = PATCHES[word];
  return {
    line,
    method: patch === undefined ? word : "PATCH",
    path,
    headers: patch === undefined ? headers : { "content-type": patch, ...headers },
    body,
    encoding,
    isAnonymous,
    until,
  };
}

/** A body is the last segment and may hold ` | ` itself. */
function splitSegments(line: string): string[] {
  const segments: string[] = [];
  let rest = line;
  for (;;) {
    const at = /^(?:[{[]|text:|base64:)/.test(rest) ? -1 : rest.indexOf(" | ");
    if (at < 0) break;
    segments.push(rest.slice(0, at).trim());
    rest = rest.slice(at + 3).trimStart();
  }
  return [...segments, rest.trim()];
}

/** The bytes of a step's body after variables were put in. */
export function bodyOf(step: Step, text: string): Buffer {
  switch (step.encoding) {
    case "yaml":
      return Buffer.from(JSON.stringify(parse(text, { merge: true, uniqueKeys: false })));
    case "text":
      return Buffer.from(text.replace(/\\n/g, "\n"));
    case "base64":
      return Buffer.from(text.replace(/\s/g, ""), "base64");
  }
}
