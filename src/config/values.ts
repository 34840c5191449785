/** How the text of a flag becomes a value. `type` is what the reference page and `--help` call it. */
export interface ValueReader<T> {
  readonly type: string;
  /** Whether the flag may stand without a value, which then is `true`. */
  readonly isSwitch?: boolean;
  /** Whether the flag given several times means all of its values; otherwise the last one holds. */
  readonly isList?: boolean;
  /** Throws an error that begins with `label`, the flag or variable the text came from. */
  read(text: string, label: string): T;
}

const wrong = (label: string, text: string, must: string): Error =>
  new Error(`${label}: ${JSON.stringify(text)} ${must}`);

export const text: ValueReader<string> = { type: "text", read: (value) => value };

export const nonEmptyText: ValueReader<string> = {
  type: "text",
  read(value, label) {
    if (value === "") throw new Error(`${label} must not be empty`);
    return value;
  },
};

/** Text, or `undefined` where it is empty. */
export const optionalText: ValueReader<string | undefined> = {
  type: "text",
  read: (value) => (value === "" ? undefined : value),
};

export const boolean: ValueReader<boolean> = {
  type: "true|false",
  isSwitch: true,
  read(value, label) {
    if (value !== "true" && value !== "false") throw wrong(label, value, "must be true or false");
    return value === "true";
  },
};

/** A whole number of at least `min` and at most `max`. */
export const wholeNumber = (min: number, max = Number.MAX_SAFE_INTEGER): ValueReader<number> => ({
  type: "number",
  read(value, label) {
    const number = /^-?\d+$/.test(value.trim()) ? Number(value) : Number.NaN;
    if (Number.isInteger(number) && number >= min && number <= max) return number;
    throw wrong(
      label,
      value,
      max === Number.MAX_SAFE_INTEGER
        ? `must be a whole number of at least ${min}`
        : `must be a whole number from ${min} to ${max}`,
    );
  },
});

export const port = wholeNumber(0, 65535);
export const workers = wholeNumber(1, 10_000);

/** A number of at least 0. */
export const amount: ValueReader<number> = {
  type: "number",
  read(value, label) {
    const number = value.trim() === "" ? Number.NaN : Number(value);
    if (!Number.isFinite(number) || number < 0) throw wrong(label, value, "must be a number of at least 0");
    return number;
  },
};

/** A share from 0 to 1. */
export const share: ValueReader<number> = {
  type: "share",
  read(value, label) {
    const number = amount.read(value, label);
    if (number > 1) throw wrong(label, value, "must be a share from 0 to 1");
    return number;
  },
};

const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A Go duration such as `10s`, `2m30s`, `500ms` or `0`, in milliseconds. */
export const duration: ValueReader<number> = {
  type: "duration",
  read(value, label) {
    if (value === "0") return 0;
    const parts = [...value.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g)];
    if (parts.length === 0 || parts.map(([part]) => part).join("") !== value)
      throw wrong(label, value, /^-/.test(value) ? "must not be negative" : "is no duration such as 10s or 2m");
    return parts.reduce((sum, [, number, unit]) => sum + Number(number) * (UNITS_MS[unit as string] ?? 0), 0);
  },
};

export const positiveDuration: ValueReader<number> = {
  type: "duration",
  read(value, label) {
    const ms = duration.read(value, label);
    if (ms <= 0) throw wrong(label, value, "must be greater than 0");
    return ms;
  },
};

export function oneOf<const T extends string>(...choices: readonly T[]): ValueReader<T> {
  return {
    type: choices.join("|"),
    read(value, label) {
      const found = choices.find((choice) => choice === value);
      if (found === undefined) throw wrong(label, value, `must be one of ${choices.join(", ")}`);
      return found;
    },
  };
}

const split = (value: string): readonly string[] =>
  value
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);

export const list: ValueReader<readonly string[]> = { type: "list", isList: true, read: split };

/** A list that stays text. */
export const words: ValueReader<string> = { type: "list", isList: true, read: (value) => value };

/** Regular expressions that each match a whole name. */
export const patterns: ValueReader<readonly string[]> = {
  type: "list of regular expressions",
  isList: true,
  read(value, label) {
    const items = split(value);
    for (const item of items)
      try {
        new RegExp(`^(?:${item})$`);
      } catch {
        throw wrong(label, item, "is no regular expression");
      }
    return items;
  },
};

/** `HOST:PORT` or `:PORT` of a plain listener; `0` and nothing mean none. */
export const address: ValueReader<{ readonly host: string; readonly port: number } | undefined> = {
  type: "address",
  read(value, label) {
    if (value === "" || value === "0") return undefined;
    const colon = value.lastIndexOf(":");
    const number = colon < 0 ? Number.NaN : Number(value.slice(colon + 1));
    if (!Number.isInteger(number) || number < 0 || number > 65535 || colon === value.length - 1)
      throw wrong(label, value, "must be HOST:PORT, :PORT or 0 for none");
    return { host: value.slice(0, colon).replace(/^\[|\]$/g, "") || "0.0.0.0", port: number };
  },
};
