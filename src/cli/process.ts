import { randomBytes, randomUUID } from "node:crypto";
import type { Logger, Random } from "#base";
import { createLogger } from "#controlplane";

export { systemClock } from "#base";

/** Chance from the operating system, for real runs. */
export function realRandom(): Random {
  const next = () => randomBytes(4).readUInt32LE(0) / 4294967296;
  return { next, below: (limit) => Math.floor(next() * limit), uuid: () => randomUUID() };
}

/** From this `-v` on everything is logged. */
const VERBOSE = 4;

/** The log a command's flags ask for. */
export const loggerOf = (config: {
  readonly logLevel: string;
  readonly verbosity: number;
  readonly loggingFormat: "text" | "json";
}): Logger => createLogger(config.verbosity >= VERBOSE ? "debug" : config.logLevel, { format: config.loggingFormat });
