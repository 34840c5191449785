import { UsageError, unknownFlag } from "./errors.ts";

/** One flag of a command. */
export interface FlagSpec {
  readonly name: string;
  readonly short?: string;
  readonly default?: string;
  readonly isSwitch?: boolean;
  /** What it means where it stands alone: a value of it needs an equals sign. */
  readonly bare?: string;
  readonly meaning: string;
}

export interface Parsed {
  readonly args: readonly string[];
  get(name: string): string | undefined;
  /** The parts of a list: its values are separated by commas, and it may stand several times. */
  list(name: string): readonly string[];
  /** Every value of a flag that may stand several times. */
  all(name: string): readonly string[];
  isOn(name: string): boolean;
}

/** Prints a command's help and stops it. */
export class HelpAsked extends Error {}

/** Reads flags before, between and after arguments. Throws on a flag nobody knows. */
export function parseArguments(words: readonly string[], specs: readonly FlagSpec[], usage: string): Parsed {
  const given: (readonly [name: string, value: string])[] = [];
  const args: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    if (word === "--help" || word === "-h") {
      const rows = specs.map(({ name, short, meaning, default: fallback = "" }) => {
        const words = `${short === undefined ? "    " : `-${short}, `}--${name}`;
        return `  ${words.padEnd(34)} ${meaning}${fallback === "" ? "" : ` (default ${fallback})`}`;
      });
      throw new HelpAsked(`Usage:\n  ${usage}\n${rows.length === 0 ? "" : `\nFlags:\n${rows.join("\n")}\n`}`);
    }
    if (word === "--") {
      args.push(...words.slice(at + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      args.push(word);
      continue;
    }
    const equals = word.indexOf("=");
    const text = equals < 0 ? word : word.slice(0, equals);
    const spec = specs.find(({ name, short }) => text === `--${name}` || (short !== undefined && text === `-${short}`));
    if (spec === undefined) throw unknownFlag(text);
    if (equals >= 0) {
      const value = word.slice(equals + 1);
      given.push([spec.name, spec.isSwitch ? booleanOf(value, spec) : value]);
    } else if (spec.isSwitch) given.push([spec.name, "true"]);
    else if (spec.bare !== undefined) given.push([spec.name, spec.bare]);
    else {
      const value = words[++at];
      if (value === undefined) throw new UsageError(`flag needs an argument: ${text}`);
      given.push([spec.name, value]);
    }
  }
  const values = new Map(given);
  return {
    args,
    list: (name) => {
      const own = given.filter(([other]) => other === name).map(([, value]) => value);
      const texts = own.length > 0 ? own : [specs.find((spec) => spec.name === name)?.default ?? ""];
      return texts.flatMap((text) => text.split(",")).filter((text) => text !== "");
    },
    all: (name) => given.filter(([own]) => own === name).map(([, value]) => value),
    get: (name) => values.get(name) ?? specs.find((spec) => spec.name === name)?.default,
    isOn: (name) => values.get(name) === "true",
  };
}

/** The words for yes and no that upstream's commands take, and no others. */
function booleanOf(value: string, { name, short }: FlagSpec): "true" | "false" {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return "true";
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return "false";
  const flag = short === undefined ? `--${name}` : `-${short}, --${name}`;
  throw new UsageError(
    `invalid argument ${JSON.stringify(value)} for ${JSON.stringify(flag)} flag: strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`,
  );
}

/** Runs a command's body; a request for help is an answer, not a failure. */
export async function withHelp(body: () => Promise<number>): Promise<number> {
  try {
    return await body();
  } catch (error) {
    if (!(error instanceof HelpAsked)) throw error;
    process.stdout.write(error.message);
    return 0;
  }
}
