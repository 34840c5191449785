import type { StringMap } from "./meta.ts";
import { LABEL_VALUE, LABEL_VALUE_TEXT, labelKeyErrors } from "./name-formats.ts";

export interface LabelSelectorRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

/** The selector inside objects (`spec.selector`, policies). Absent selects nothing or everything, as the field says. */
export interface LabelSelector {
  readonly matchLabels?: StringMap;
  readonly matchExpressions?: readonly LabelSelectorRequirement[];
}

/** A compiled selector. */
export type Matcher = (labels: StringMap | undefined) => boolean;

export const matchesEverything: Matcher = () => true;
export const matchesNothing: Matcher = () => false;

function compileRequirement(key: string, operator: string, values: readonly string[]): Matcher | undefined {
  const first = values[0] ?? "";
  switch (operator) {
    case "In":
    case "=":
    case "==":
      return values.length === 0 ? undefined : (labels) => labels?.[key] !== undefined && values.includes(labels[key]);
    case "NotIn":
    case "!=":
      return values.length === 0 ? undefined : (labels) => labels?.[key] === undefined || !values.includes(labels[key]);
    case "Exists":
      return values.length > 0 ? undefined : (labels) => labels?.[key] !== undefined;
    case "DoesNotExist":
      return values.length > 0 ? undefined : (labels) => labels?.[key] === undefined;
    case "Gt":
    case "Lt": {
      if (values.length !== 1 || !/^[+-]?\d+$/.test(first)) return undefined;
      const bound = BigInt(first);
      return (labels) => {
        const value = labels?.[key];
        if (value === undefined || !/^[+-]?\d+$/.test(value)) return false;
        return operator === "Gt" ? BigInt(value) > bound : BigInt(value) < bound;
      };
    }
    default:
      return undefined;
  }
}

const OBJECT_OPERATORS = new Set(["In", "NotIn", "Exists", "DoesNotExist"]);

/** Compiles the selector of an object; `Gt` and `Lt` only where `allowsComparison`. `undefined` when an operator or its values are not allowed. `{}` matches all. */
export function compileLabelSelector(
  selector: LabelSelector,
  options: { readonly allowsComparison?: boolean } = {},
): Matcher | undefined {
  const matchers: Matcher[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {}))
    matchers.push((labels) => labels?.[key] === value);
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    if (!options.allowsComparison && !OBJECT_OPERATORS.has(operator)) return undefined;
    const matcher = compileRequirement(key, operator, values ?? []);
    if (matcher === undefined) return undefined;
    matchers.push(matcher);
  }
  if (matchers.length === 0) return matchesEverything;
  return (labels) => matchers.every((matches) => matches(labels));
}

/** Whether `labels` satisfy the selector; a selector that cannot be compiled matches nothing. */
export function matchesLabelSelector(selector: LabelSelector, labels: StringMap | undefined): boolean {
  return compileLabelSelector(selector)?.(labels) ?? false;
}

/** One term of a selector in its text form. */
export interface SelectorTerm {
  readonly key: string;
  readonly operator: "=" | "!=" | "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt";
  readonly values: readonly string[];
}

/** Reads `a=b,c!=d,e in (f,g),h,!i,j>3`. Throws an `Error` that says what was found where. */
export function parseLabelSelectorTerms(text: string): readonly SelectorTerm[] {
  const terms: SelectorTerm[] = [];
  let at = 0;
  const skip = () => {
    while (at < text.length && /\s/.test(text[at] as string)) at++;
  };
  const word = () => {
    skip();
    const start = at;
    while (at < text.length && !/[\s=!<>(),]/.test(text[at] as string)) at++;
    return text.slice(start, at);
  };
  const fail = (expected: string): never => {
    const found = /^(?:==|!=|[=!<>(),]|[^\s=!<>(),]+)/.exec(text.slice(at))?.[0] ?? "";
    // Kubernetes' own punctuation differs from place to place.
    if (expected === "'('") throw new Error(`unable to parse requirement: found '${found}' expected: ${expected}`);
    const head =
      expected.startsWith("!") || expected.includes("end of string") || expected.includes("after")
        ? ""
        : "unable to parse requirement: ";
    throw new Error(`${head}found '${found}', expected: ${expected}`);
  };
  skip();
  if (at === text.length) return terms;
  for (;;) {
    skip();
    // Signs are read as far as they mean something together.
    if (text[at] === "!" && text[at + 1] === "=") fail("!, identifier, or 'end of string'");
    if (text[at] === "!") {
      at++;
      const key = word();
      if (key === "") fail("identifier");
      mustBeKey(key);
      terms.push({ key, operator: "DoesNotExist", values: [] });
    } else {
      const key = word();
      if (key === "") fail("!, identifier, or 'end of string'");
      mustBeKey(key);
      const term = parseOperator(key);
      mustBeValues(term);
      terms.push(term);
    }
    skip();
    if (at === text.length) return terms;
    if (text[at] !== ",") fail("',' or 'end of string'");
    at++;
    skip();
    if (at === text.length || !/^!(?!=)|^[^\s=!<>(),]/.test(text.slice(at))) fail("identifier after ','");
  }
  function parseOperator(key: string): SelectorTerm {
    skip();
    const symbol = /^(==|=|!=|>|<)/.exec(text.slice(at))?.[1];
    if (symbol !== undefined) {
      at += symbol.length;
      const value = word();
      if (value === "" && at < text.length && text[at] !== ",") fail("identifier");
      if (symbol === ">" || symbol === "<") return { key, operator: symbol === ">" ? "Gt" : "Lt", values: [value] };
      return { key, operator: symbol === "!=" ? "!=" : "=", values: [value] };
    }
    if (at === text.length || text[at] === ",") return { key, operator: "Exists", values: [] };
    const name = word();
    if (name !== "in" && name !== "notin") {
      at -= name.length;
      fail("in, notin, =, ==, !=, gt, lt");
    }
    skip();
    if (text[at] !== "(") fail("'('");
    at++;
    const values: string[] = [];
    for (;;) {
      values.push(word());
      skip();
      if (values.length === 1 && values[0] === "" && text[at] !== "," && text[at] !== ")")
        fail("',', ')' or identifier");
      if (text[at] === ",") {
        at++;
        continue;
      }
      if (text[at] !== ")") fail("',' or ')'");
      at++;
      return { key, operator: name === "in" ? "In" : "NotIn", values: [...new Set(values)].sort() };
    }
  }
}

/** Compiles the text form of a label selector. Throws an `Error` with kube-apiserver's wording. */
export function parseLabelSelector(text: string): Matcher {
  const matchers = parseLabelSelectorTerms(text).map(({ key, operator, values }) => {
    const matcher = compileRequirement(key, operator, values);
    if (matcher === undefined)
      throw new Error(`values: Invalid value: ${JSON.stringify(values)}: not allowed for operator ${operator}`);
    return matcher;
  });
  if (matchers.length === 0) return matchesEverything;
  return (labels) => matchers.every((matches) => matches(labels));
}

/** Throws for keys no label can have, in kube-apiserver's words. */
function mustBeKey(key: string): void {
  const [wrongKey] = labelKeyErrors(key);
  if (wrongKey !== undefined)
    throw new Error(`unable to parse requirement: <nil>: Invalid value: ${JSON.stringify(key)}: ${wrongKey}`);
}

/** Throws for values no label can have. */
function mustBeValues({ key, operator, values }: SelectorTerm): void {
  const isComparison = operator === "Gt" || operator === "Lt";
  const mistakes: string[] = [];
  for (const [at, value] of values.entries()) {
    const shown = `Invalid value: ${JSON.stringify(value)}`;
    if (isComparison && !/^[+-]?\d+$/.test(value))
      mistakes.push(`values[${at}]: ${shown}: for 'Gt', 'Lt' operators, the value must be an integer`);
    const wrong =
      value.length > 63 ? "must be no more than 63 bytes" : LABEL_VALUE.test(value) ? undefined : LABEL_VALUE_TEXT;
    if (wrong !== undefined) mistakes.push(`values[${at}][${key}]: ${shown}: ${wrong}`);
  }
  if (mistakes.length === 0) return;
  throw new Error(`unable to parse requirement: ${mistakes.length === 1 ? mistakes[0] : `[${mistakes.join(", ")}]`}`);
}

/** The text form of a selector, as kubectl and client libraries write it. */
export function formatLabelSelector(selector: LabelSelector): string {
  const parts: (readonly [key: string, text: string])[] = Object.entries(selector.matchLabels ?? {}).map(
    ([key, value]) => [key, `${key}=${value}`],
  );
  for (const { key, operator, values = [] } of selector.matchExpressions ?? [])
    parts.push([
      key,
      operator === "Exists"
        ? key
        : operator === "DoesNotExist"
          ? `!${key}`
          : `${key} ${operator === "In" ? "in" : "notin"} (${[...values].sort().join(",")})`,
    ]);
  return parts
    .sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0))
    .map(([, text]) => text)
    .join(",");
}

/** A value of a field selector: what separates terms stands behind a backslash in it. */
function unescaped(value: string): string {
  return value.replace(/\\([\s\S]?)|=/g, (sign, escaped: string | undefined) => {
    if (sign === "=") throw new Error("invalid field selector: unescaped character in value: 61");
    if (escaped === "\\" || escaped === "," || escaped === "=") return escaped;
    throw new Error(`invalid field selector: invalid escape sequence: ${sign}`);
  });
}

/** One term of a field selector. */
export interface FieldTerm {
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
}

/** Reads `metadata.name=x,status.phase!=Running` with `\,`, `\=` and `\\` escapes. */
export function parseFieldSelector(text: string): readonly FieldTerm[] {
  if (text === "") return [];
  const terms: FieldTerm[] = [];
  const parts = (text.match(/(?:\\.|[^,\\]|\\$)+/g) ?? []).sort();
  for (const part of parts) {
    const match = /^((?:\\.|(?!!=)[^=\\])*)(==|=|!=)([\s\S]*)$/.exec(part);
    if (match === null) throw new Error(`invalid selector: '${text}'; can't understand '${part}'`);
    const [, field = "", operator = "=", value = ""] = match;
    terms.push({ field, operator: operator === "!=" ? "!=" : "=", value: unescaped(value) });
  }
  return terms;
}
