/** Values beside a log message. Keys are the field's own words: `binding`, `cluster`, `durationMs`, `error`. */
export type LogFields = Readonly<Record<string, unknown>>;

/** A constant message and values beside it. Info for a change of state or a decision, debug for the road there. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  with(fields: LogFields): Logger;
}

/** Says nothing; for tests and for callers that did not hand in a logger. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLogger,
};
