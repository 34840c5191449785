/**
 * JSONPath templates as Kubernetes writes them: text, with expressions in braces. `{.a.b}`, `{.a['b']}`, `{.a[0]}`,
 * `{.a[-1]}`, `{.a[0:2]}`, `{.a[*]}`, `{..a}`, `{.a[?(@.b=="c")]}`, `{.a['b','c']}`, `{"text"}`, `{range .a[*]}…{end}`.
 * A key that is not there is an error: a path that was mistyped must not read as empty.
 */
export class JsonPathError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "JsonPathError";
  }
}

type Step =
  | { readonly kind: "field"; readonly names: readonly string[] }
  | { readonly kind: "index"; readonly at: readonly number[] }
  | { readonly kind: "slice"; readonly from: number | undefined; readonly to: number | undefined; readonly by: number }
  | { readonly kind: "all" }
  | { readonly kind: "descend" }
  | { readonly kind: "filter"; readonly left: Operand; readonly operator: string; readonly right: Operand | undefined };

type Operand = { readonly path: readonly Step[] } | { readonly value: unknown };

type Part =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "path"; readonly steps: readonly Step[] }
  | { readonly kind: "range"; readonly steps: readonly Step[]; readonly body: readonly Part[] };

const LENGTH_MAX = 4_096;
/** Values one expression may give, so that `{..}` on a large status ends. */
const RESULTS_MAX = 10_000;

/** A template that was read once and may be evaluated often. Throws `JsonPathError` when it cannot be read. */
export function compileJsonPath(template: string): (root: unknown) => string {
  if (template.length > LENGTH_MAX) throw new JsonPathError(`longer than ${LENGTH_MAX} characters`);
  const { parts, at } = readParts(template, 0, false);
  if (at !== template.length) throw new JsonPathError("not in range, nothing to end");
  return (root) => print(parts, root);
}

/** The values a single path leads to, such as `.a[*].b`; keys that are not there are passed over. Throws `JsonPathError` when it cannot be read. */
export function compileJsonPathValues(path: string): (root: unknown) => readonly unknown[] {
  if (path.length > LENGTH_MAX) throw new JsonPathError(`longer than ${LENGTH_MAX} characters`);
  const steps = readSteps(path);
  return (root) => walk([root], steps, true);
}

function readParts(template: string, start: number, isInRange: boolean): { parts: readonly Part[]; at: number } {
  const parts: Part[] = [];
  let at = start;
  while (at < template.length) {
    const open = template.indexOf("{", at);
    if (open < 0) {
      parts.push({ kind: "text", text: template.slice(at) });
      at = template.length;
      break;
    }
    if (open > at) parts.push({ kind: "text", text: template.slice(at, open) });
    const close = closingBrace(template, open + 1);
    const source = template.slice(open + 1, close).trim();
    at = close + 1;
    if (source === "end") {
      if (!isInRange) throw new JsonPathError("not in range, nothing to end");
      return { parts, at };
    }
    if (source.startsWith("range ") || source === "range") {
      const path = source.slice("range".length).trim();
      const body = readParts(template, at, true);
      parts.push({ kind: "range", steps: readSteps(path), body: body.parts });
      at = body.at;
      continue;
    }
    const quoted = /^(["'])([\s\S]*)\1$/.exec(source);
    if (quoted !== null) parts.push({ kind: "text", text: unquote(quoted[2] ?? "") });
    else parts.push({ kind: "path", steps: readSteps(source) });
  }
  if (isInRange) throw new JsonPathError("unterminated range: {end} is missing");
  return { parts, at };
}

const unquote = (text: string) =>
  text.replace(/\\(["'\\nt])/g, (_all, mark: string) => (mark === "n" ? "\n" : mark === "t" ? "\t" : mark));

function closingBrace(template: string, start: number): number {
  let quote = "";
  for (let at = start; at < template.length; at++) {
    const mark = template[at] as string;
    if (quote !== "") {
      if (mark === "\\") at++;
      else if (mark === quote) quote = "";
    } else if (mark === '"' || mark === "'") quote = mark;
    else if (mark === "}") return at;
  }
  throw new JsonPathError("unclosed action: } is missing");
}

/** Reads `.a['b'][0]…`; a leading `$` or `@` stands for the value at hand. */
function readSteps(source: string): readonly Step[] {
  const steps: Step[] = [];
  let rest = source.replace(/^[$@]/, "");
  if (rest !== "" && !/^[.[]/.test(rest)) rest = `.${rest}`;
  while (rest !== "") {
    if (rest.startsWith("..")) {
      steps.push({ kind: "descend" });
      rest = rest.slice(1);
      if (rest === "." || rest.startsWith(".[")) rest = rest.slice(1);
      continue;
    }
    if (rest === ".") break;
    if (rest.startsWith(".")) {
      const word = /^\.((?:\\.|[^.[\]{}\s'"()])+)/.exec(rest);
      if (word === null) throw new JsonPathError(`unrecognized character in ${JSON.stringify(source)}`);
      const name = (word[1] as string).replace(/\\(.)/g, "$1");
      steps.push(name === "*" ? { kind: "all" } : { kind: "field", names: [name] });
      rest = rest.slice(word[0].length);
      continue;
    }
    if (!rest.startsWith("[")) throw new JsonPathError(`unrecognized character in ${JSON.stringify(source)}`);
    const end = closingBracket(rest, source);
    steps.push(readBracket(rest.slice(1, end).trim(), source));
    rest = rest.slice(end + 1);
  }
  return steps;
}

function closingBracket(text: string, source: string): number {
  let depth = 0;
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const mark = text[at] as string;
    if (quote !== "") {
      if (mark === "\\") at++;
      else if (mark === quote) quote = "";
    } else if (mark === '"' || mark === "'") quote = mark;
    else if (mark === "[") depth++;
    else if (mark === "]" && --depth === 0) return at;
  }
  throw new JsonPathError(`unterminated array in ${JSON.stringify(source)}`);
}

function readBracket(inside: string, source: string): Step {
  if (inside === "*") return { kind: "all" };
  const filter = /^\?\(([\s\S]*)\)$/.exec(inside);
  if (filter !== null) return readFilter((filter[1] ?? "").trim());
  if (/^(['"])/.test(inside)) {
    const names = [...inside.matchAll(/'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)"/g)];
    if (names.map(([all]) => all).join(",") !== inside.replace(/\s*,\s*/g, ","))
      throw new JsonPathError(`invalid array index ${inside} in ${JSON.stringify(source)}`);
    return { kind: "field", names: names.map(([, single, double]) => unquote(single ?? double ?? "")) };
  }
  if (/^-?\d+(\s*,\s*-?\d+)*$/.test(inside)) return { kind: "index", at: inside.split(",").map(Number) };
  const slice = /^(-?\d*):(-?\d*)(?::(\d*))?$/.exec(inside);
  if (slice === null) throw new JsonPathError(`invalid array index ${inside} in ${JSON.stringify(source)}`);
  const bound = (text: string | undefined) => (text === undefined || text === "" ? undefined : Number(text));
  const by = bound(slice[3]) ?? 1;
  if (by < 1) throw new JsonPathError("step must be greater than 0");
  return { kind: "slice", from: bound(slice[1]), to: bound(slice[2]), by };
}

function readFilter(text: string): Step {
  const match = /^([\s\S]*?)\s*(==|!=|<=|>=|<|>)\s*([\s\S]+)$/.exec(text);
  if (match === null) return { kind: "filter", left: readOperand(text), operator: "exists", right: undefined };
  return {
    kind: "filter",
    left: readOperand((match[1] as string).trim()),
    operator: match[2] as string,
    right: readOperand((match[3] as string).trim()),
  };
}

function readOperand(text: string): Operand {
  if (/^[@$]/.test(text)) return { path: readSteps(text) };
  const quoted = /^(["'])([\s\S]*)\1$/.exec(text);
  if (quoted !== null) return { value: unquote(quoted[2] ?? "") };
  if (text === "true" || text === "false") return { value: text === "true" };
  const number = Number(text);
  if (text === "" || Number.isNaN(number)) throw new JsonPathError(`unrecognized operand ${JSON.stringify(text)}`);
  return { value: number };
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function walk(values: readonly unknown[], steps: readonly Step[], isLenient = false): readonly unknown[] {
  let found = values;
  for (const [at, step] of steps.entries()) {
    const passesOver = isLenient || steps[at - 1]?.kind === "descend";
    found = found.flatMap((value) => take(value, step, passesOver));
    if (found.length > RESULTS_MAX) throw new JsonPathError(`more than ${RESULTS_MAX} results`);
  }
  return found;
}

/** What one step gives from one value. After `..` values that do not have the key are passed over. */
function take(value: unknown, step: Step, isLenient: boolean): readonly unknown[] {
  switch (step.kind) {
    case "field":
      return step.names.flatMap((name) => {
        if (isMap(value) && Object.hasOwn(value, name)) return [value[name]];
        if (isLenient) return [];
        throw new JsonPathError(`${name} is not found`);
      });
    case "index":
      return step.at.flatMap((at) => {
        if (!Array.isArray(value)) {
          if (isLenient) return [];
          throw new JsonPathError("is not array or slice");
        }
        const position = at < 0 ? value.length + at : at;
        if (position < 0 || position >= value.length)
          throw new JsonPathError(`array index out of bounds: index ${at}, length ${value.length}`);
        return [value[position] as unknown];
      });
    case "slice":
      if (!Array.isArray(value)) throw new JsonPathError("is not array or slice");
      return value.slice(step.from, step.to).filter((_value, at) => at % step.by === 0) as unknown[];
    case "all":
      return Array.isArray(value) ? (value as unknown[]) : isMap(value) ? Object.values(value) : [];
    case "descend":
      return descendants(value);
    case "filter":
      if (!Array.isArray(value)) throw new JsonPathError("is not array or slice and cannot be filtered");
      return (value as unknown[]).filter((element) => passes(element, step));
  }
}

function descendants(value: unknown): readonly unknown[] {
  const below = Array.isArray(value) ? (value as unknown[]) : isMap(value) ? Object.values(value) : [];
  return [value, ...below.flatMap(descendants)];
}

function passes(element: unknown, step: Step & { readonly kind: "filter" }): boolean {
  const read = (operand: Operand): unknown => {
    if ("value" in operand) return operand.value;
    try {
      return walk([element], operand.path)[0];
    } catch (error) {
      if (error instanceof JsonPathError) return undefined;
      throw error;
    }
  };
  const left = read(step.left);
  if (step.right === undefined) return left !== undefined;
  const right = read(step.right);
  if (left === undefined || right === undefined) return false;
  switch (step.operator) {
    case "==":
      return left === right;
    case "!=":
      return left !== right;
    case "<":
      return (left as number) < (right as number);
    case "<=":
      return (left as number) <= (right as number);
    case ">":
      return (left as number) > (right as number);
    default:
      return (left as number) >= (right as number);
  }
}

function print(parts: readonly Part[], root: unknown): string {
  return parts.map((part) => printPart(part, root)).join("");
}

function printPart(part: Part, root: unknown): string {
  if (part.kind === "text") return part.text;
  const values = walk([root], part.steps);
  return part.kind === "path" ? values.map(textOf).join(" ") : values.map((value) => print(part.body, value)).join("");
}

/** Maps and lists as JSON, whole numbers plainly, other numbers as Go writes doubles. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value !== "number" || Number.isInteger(value)) return JSON.stringify(value ?? null);
  const size = Math.abs(value);
  if (size >= 0.0001 && size < 1_000_000) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}
