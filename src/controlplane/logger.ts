import type { LogFields, Logger } from "#base";

const LEVELS = ["debug", "info", "warn", "error", "silent"];

/** Lines on standard error: time, level, message, values. Errors show their message, at debug level their stack. */
export function createLogger(
  level: string,
  write: (line: string) => void = (line) => process.stderr.write(line),
): Logger {
  const threshold = LEVELS.indexOf(level);
  const make = (fixed: LogFields): Logger => {
    const say = (name: string) => (message: string, fields?: LogFields) => {
      if (LEVELS.indexOf(name) < threshold) return;
      const parts = Object.entries({ ...fixed, ...fields }).map(([key, value]) => `${key}=${shown(value)}`);
      write(
        `${new Date().toISOString()} ${name.toUpperCase().padEnd(5)} ${message}${parts.length === 0 ? "" : ` ${parts.join(" ")}`}\n`,
      );
    };
    return {
      debug: say("debug"),
      info: say("info"),
      warn: say("warn"),
      error: say("error"),
      with: (fields) => make({ ...fixed, ...fields }),
    };
  };
  return make({});
}

function shown(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(value.message);
  return typeof value === "string" && /^[\w./:-]+$/.test(value) ? value : JSON.stringify(value);
}
