import type { LogFields, Logger } from "#base";

const LEVELS = ["debug", "info", "warn", "error", "silent"];

export interface LoggerOptions {
  /** Lines for people, or one JSON object a line; default `text`. */
  readonly format?: "text" | "json";
  readonly write?: (line: string) => void;
}

/** Lines on standard error: time, level, message, values. Errors show their message. */
export function createLogger(level: string, options: LoggerOptions = {}): Logger {
  const { format = "text", write = (line: string) => void process.stderr.write(line) } = options;
  const threshold = LEVELS.indexOf(level);
  const make = (fixed: LogFields): Logger => {
    const say = (name: string) => (message: string, fields?: LogFields) => {
      if (LEVELS.indexOf(name) < threshold) return;
      const ts = new Date().toISOString();
      if (format === "json") {
        const values = Object.entries({ ...fixed, ...fields }).map(([key, value]) => [
          key,
          value instanceof Error ? value.message : value,
        ]);
        write(`${JSON.stringify({ ts, level: name, msg: message, ...Object.fromEntries(values) })}\n`);
        return;
      }
      const parts = Object.entries({ ...fixed, ...fields }).map(([key, value]) => `${key}=${shown(value)}`);
      write(`${ts} ${name.toUpperCase().padEnd(5)} ${message}${parts.length === 0 ? "" : ` ${parts.join(" ")}`}\n`);
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
