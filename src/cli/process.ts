import type { Logger } from "#base";
import { createLogger } from "#controlplane";

export { systemClock } from "#base";
export { realRandom } from "#controlplane";

/** From this `-v` on everything is logged. */
const VERBOSE = 4;

/** The log a command's flags ask for. */
export const loggerOf = (config: {
  readonly logLevel: string;
  readonly verbosity: number;
  readonly loggingFormat: "text" | "json";
}): Logger => createLogger(config.verbosity >= VERBOSE ? "debug" : config.logLevel, { format: config.loggingFormat });
