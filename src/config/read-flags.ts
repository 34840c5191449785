import { type ConfigOf, environmentName, type FlagTable } from "./flag.ts";
import { refusedFlag } from "./refused-flags.ts";

/** Where values come from besides the command line. */
export interface FlagSources {
  /** Environment; a variable gives a flag the command line leaves out. Default none. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Defaults of the caller in place of the table's, by flag. */
  readonly defaults?: Readonly<Record<string, string>>;
}

/**
 * Reads `--name=value`, `--name value`, and `--name` for switches; the last of several wins, values of lists add up. Throws on the first flag
 * nobody knows and on one that cannot be honoured, by its name, and on a value that is none, by its flag or variable.
 */
export function readFlags<T extends FlagTable>(
  table: T,
  words: readonly string[],
  { env = {}, defaults = {} }: FlagSources = {},
): ConfigOf<T> {
  const entries = Object.entries(table);
  const byFlag = new Map(entries.map(([, entry]) => [entry.flag, entry]));
  const given = new Map<string, string>();
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    if (!/^-[^-]|^--./.test(word)) throw new Error(`unknown argument: ${word}`);
    const equals = word.indexOf("=");
    const shown = equals < 0 ? word : word.slice(0, equals);
    const name = shown.replace(/^--?/, "").replaceAll("_", "-");
    const entry = shown.startsWith("--") || name.length === 1 ? byFlag.get(name) : undefined;
    const refused = entry === undefined ? refusedFlag(name) : undefined;
    let value: string | undefined;
    if (equals >= 0) value = word.slice(equals + 1);
    else if ((entry?.reader ?? refused)?.isSwitch === true) value = "true";
    else if (entry !== undefined || refused !== undefined) {
      value = words[++at];
      if (value === undefined) throw new Error(`flag needs an argument: ${shown}`);
    }
    if (refused !== undefined && value !== undefined) refused.check(value, shown);
    else if (entry === undefined) throw new Error(`unknown flag: ${shown}`);
    else if (value !== undefined)
      given.set(name, entry.reader.isList && given.has(name) ? `${given.get(name)},${value}` : value);
  }
  const config: Record<string, unknown> = {};
  for (const [field, { flag, reader, default: fallback }] of entries) {
    const variable = environmentName(flag);
    const value = given.get(flag);
    const fromEnvironment = value === undefined ? env[variable] : undefined;
    config[field] =
      fromEnvironment === undefined
        ? reader.read(value ?? defaults[flag] ?? fallback, flag.length === 1 ? `-${flag}` : `--${flag}`)
        : reader.read(fromEnvironment, variable);
  }
  return Object.freeze(config) as ConfigOf<T>;
}

/** The lines of `--help` for a table, with other defaults where given. */
export function flagHelp(table: FlagTable, defaults: Readonly<Record<string, string>> = {}): string {
  return Object.values(table)
    .map(({ flag, meaning, reader, ...entry }) => {
      const fallback = defaults[flag] ?? entry.default;
      const name = `${flag.length === 1 ? "-" : "--"}${flag}`;
      return `  ${name.padEnd(48)} ${meaning} (${reader.type}${fallback === "" ? "" : `, default ${fallback}`})`;
    })
    .join("\n");
}
