/** `"%s of %d".format([…])`: the clauses s, d, f, e, b, x, X and o, in the words and forms Kubernetes gives them. */
import { type CelType, formatType, isDyn } from "../types.ts";
import {
  CelMap,
  CelRuntimeError,
  display,
  Duration,
  Timestamp,
  TypeValue,
  Uint,
  typeName,
  type Value,
} from "../values.ts";

/** A clause of a template, or what keeps it from being read. */
interface Clause {
  readonly verb: string;
  readonly precision: number | undefined;
}

const VERBS = "sdfebxXo";
const PRECISION = 6;
const PRECISION_MAX = 1_000;

/** Texts and clauses of a template in turn. Throws with what is wrong at the first place. */
export function readTemplate(template: string): readonly (string | Clause)[] {
  const parts: (string | Clause)[] = [];
  let text = "";
  for (let at = 0; at < template.length; at++) {
    if (template[at] !== "%") {
      text += template[at];
      continue;
    }
    const next = template[at + 1];
    if (next === undefined) throw new CelRuntimeError("unexpected end of string");
    if (next === "%") {
      text += "%";
      at++;
      continue;
    }
    const refuse = (why: string) => new CelRuntimeError(`could not parse formatting clause: ${why}`);
    let precision: number | undefined;
    if (next === ".") {
      const [digits = ""] = /^\d*/.exec(template.slice(at + 2)) ?? [];
      const wrong = (why: string) => refuse(`error while parsing precision: ${why}`);
      if (at + 2 + digits.length >= template.length) throw wrong("could not find end of precision specifier");
      if (digits === "")
        throw wrong('error while converting precision to integer: strconv.Atoi: parsing "": invalid syntax');
      precision = Number(digits);
      at += 1 + digits.length;
    }
    const verb = [...template.slice(at + 1)][0] ?? "";
    if (!VERBS.includes(verb) || verb === "") throw refuse(`unrecognized formatting clause ${JSON.stringify(verb)}`);
    if (text !== "") parts.push(text);
    text = "";
    parts.push({ verb, precision });
    at++;
  }
  if (text !== "") parts.push(text);
  return parts;
}

/** What a clause takes, by the names of types, and what is said of all others. */
const TAKEN: Readonly<Record<string, { readonly types: readonly string[]; readonly why: string }>> = {
  s: {
    types: ["string", "bool", "bytes", "int", "uint", "double", "list", "map", "type", "duration", "timestamp", "null"],
    why: "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps",
  },
  d: { types: ["int", "uint"], why: "decimal clause can only be used on integers" },
  f: { types: ["double", "string"], why: "fixed-point clause can only be used on doubles" },
  e: { types: ["double", "string"], why: "scientific clause can only be used on doubles" },
  b: { types: ["int", "uint", "bool"], why: "only integers and bools can be formatted as binary" },
  x: {
    types: ["int", "uint", "string", "bytes"],
    why: "only integers, byte buffers, and strings can be formatted as hex",
  },
  o: { types: ["int", "uint"], why: "octal clause can only be used on integers" },
};

const KEYS = ["int", "uint", "string", "bool"];

const refused = (verb: string, found: string) =>
  new CelRuntimeError(`error during formatting: ${TAKEN[verb.toLowerCase()]?.why}, was given ${found}`);

/** An argument as a checker sees it: its type, and what it is made of where it is written out. */
export interface Argument {
  readonly type: CelType;
  readonly parts?: readonly Argument[];
  /** Makes the error that is shown at its place. */
  refuse(why: string): Error;
}

/** What is wrong with a template and its arguments before anything runs; `undefined` where nothing is. */
export function templateMistake(
  template: string,
  args: readonly Argument[],
  refuse: (why: string) => Error,
): Error | undefined {
  let parts: readonly (string | Clause)[];
  try {
    parts = readTemplate(template);
  } catch (error) {
    // Clauses before the one that cannot be read come first.
    return argumentsMistake(clausesBefore(template), args, refuse) ?? refuse(textOf(error));
  }
  const clauses = parts.filter((part): part is Clause => typeof part !== "string");
  const mistake = argumentsMistake(clauses, args, refuse);
  if (mistake !== undefined) return mistake;
  return args.length > clauses.length
    ? refuse(`too many arguments supplied to string.format (expected ${clauses.length}, got ${args.length})`)
    : undefined;
}

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** The clauses of the longest beginning of a template that can be read. */
function clausesBefore(template: string): readonly Clause[] {
  for (let end = template.length - 1; end > 0; end--) {
    try {
      return readTemplate(template.slice(0, end)).filter((part): part is Clause => typeof part !== "string");
    } catch {
      // A clause is cut in two here.
    }
  }
  return [];
}

function argumentsMistake(
  clauses: readonly Clause[],
  args: readonly Argument[],
  refuse: (why: string) => Error,
): Error | undefined {
  for (const [at, { verb }] of clauses.entries()) {
    const argument = args[at];
    if (argument === undefined) return refuse(`index ${at} out of range`);
    const wrong = misfit(argument, verb.toLowerCase());
    if (wrong !== undefined) return wrong.refuse(refused(verb, nameOf(wrong.type)).message);
  }
  return undefined;
}

function misfit(argument: Argument, verb: string): Argument | undefined {
  const { type, parts = [] } = argument;
  if (isDyn(type) || type.kind === "param") return undefined;
  if (TAKEN[verb]?.types.includes(nameOf(type)) !== true) return argument;
  for (const part of parts) {
    const wrong = misfit(part, verb);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

const nameOf = (type: CelType): string =>
  type.kind === "list" || type.kind === "map"
    ? type.kind
    : type.kind === "optional"
      ? "optional_type"
      : formatType(type);

/** The text of a template with its arguments. */
export function format(template: string, args: readonly Value[]): string {
  let at = 0;
  return readTemplate(template)
    .map((part) => {
      if (typeof part === "string") return part;
      const value = args[at];
      if (value === undefined) throw new CelRuntimeError(`index ${at} out of range`);
      at++;
      return formatOne(part, value);
    })
    .join("");
}

function formatOne({ verb, precision }: Clause, value: Value): string {
  const refuse = () => refused(verb, typeName(value));
  const whole = typeof value === "bigint" ? value : value instanceof Uint ? value.value : undefined;
  switch (verb) {
    case "s":
      return textValue(value);
    case "d":
      if (whole === undefined) throw refuse();
      return String(whole);
    case "f":
    case "e": {
      const number = doubleOf(value);
      if (number === undefined) throw refuse();
      if (Number.isNaN(number)) return "NaN";
      if (!Number.isFinite(number)) return number > 0 ? "∞" : "-∞";
      return verb === "f" ? grouped(fixed(number, precision ?? PRECISION)) : scientific(number);
    }
    case "b":
      if (typeof value === "boolean") return value ? "1" : "0";
      if (whole === undefined) throw refuse();
      return whole.toString(2);
    case "o":
      if (whole === undefined) throw refuse();
      return whole.toString(8);
    default: {
      const hex =
        whole?.toString(16) ??
        (typeof value === "string"
          ? hexOf(new TextEncoder().encode(value))
          : value instanceof Uint8Array
            ? hexOf(value)
            : undefined);
      if (hex === undefined) throw refuse();
      return verb === "X" ? hex.toUpperCase() : hex;
    }
  }
}

const WORDS: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
};

function doubleOf(value: Value): number | undefined {
  if (typeof value === "number") return value;
  return typeof value === "string" && Object.hasOwn(WORDS, value) ? WORDS[value] : undefined;
}

const hexOf = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** The exact decimal digits of a double, rounded half to even. */
function fixed(value: number, precision: number): string {
  const digits = Math.min(precision, PRECISION_MAX);
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, Math.abs(value));
  const bits = view.getBigUint64(0);
  const exponent = Number(bits >> 52n);
  const fraction = bits & ((1n << 52n) - 1n);
  const mantissa = exponent === 0 ? fraction : fraction | (1n << 52n);
  const power = Math.max(exponent, 1) - 1075;
  const scaled = mantissa * 10n ** BigInt(digits);
  let amount: bigint;
  if (power >= 0) amount = scaled << BigInt(power);
  else {
    const divisor = 1n << BigInt(-power);
    amount = scaled / divisor;
    const rest = (scaled % divisor) * 2n;
    if (rest > divisor || (rest === divisor && amount % 2n === 1n)) amount += 1n;
  }
  const text = amount.toString().padStart(digits + 1, "0");
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  return digits === 0 ? sign + text : `${sign}${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** Digits before the point in groups of three, as in English. */
const grouped = (text: string): string => {
  const [whole = "", fraction] = text.split(".");
  const shown = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? shown : `${shown}.${fraction}`;
};

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** Six digits behind the point, whatever precision is asked for, and the exponent above the line. */
function scientific(value: number): string {
  const [mantissa = "", exponent = "0"] = value.toExponential(PRECISION).split("e");
  const power = Number(exponent);
  const digits = String(Math.abs(power)).padStart(2, "0");
  const raised = [...digits].map((digit) => SUPERSCRIPTS[Number(digit)]).join("");
  return `${mantissa}×10${power < 0 ? "⁻" : ""}${raised}`;
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function textValue(value: Value, isInside = false): string {
  if (Array.isArray(value)) return `[${value.map((item: Value) => textValue(item, true)).join(", ")}]`;
  if (value instanceof CelMap)
    return `{${value
      .keys()
      .map((key) => {
        if (!KEYS.includes(typeName(key))) throw refused("s", typeName(key));
        return `${textValue(key, true)}:${textValue(value.get(key) as Value, true)}`;
      })
      .sort()
      .join(", ")}}`;
  if (typeof value === "string") return isInside ? JSON.stringify(value) : value;
  if (typeof value === "number" && isInside) return fixed(value, PRECISION);
  if (value instanceof Uint8Array) {
    let text: string;
    try {
      text = decoder.decode(value);
    } catch {
      throw new CelRuntimeError("invalid UTF-8 in bytes, cannot convert to string");
    }
    return isInside ? `b${JSON.stringify(text)}` : text;
  }
  if (isInside && value instanceof Timestamp) return `timestamp(${JSON.stringify(display(value))})`;
  if (isInside && value instanceof Duration) return `duration(${JSON.stringify(display(value))})`;
  if (
    value === null ||
    typeof value !== "object" ||
    value instanceof Uint ||
    value instanceof Timestamp ||
    value instanceof Duration ||
    value instanceof TypeValue
  )
    return display(value);
  throw refused("s", typeName(value));
}
