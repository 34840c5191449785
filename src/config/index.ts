/**
 * Config: every option and feature gate in one table each, and the only reader of command line flags and of the
 * environment's `FLOTILLA_…`. Upstream's names are kept; what is not in a table is refused by name, never ignored.
 *
 * A new flag is one entry in `server-flags.ts` (its key becomes the field of the config); one we know and cannot honour
 * is one entry in `refused-flags.ts`. `npm run generate` then writes the reference pages.
 */
export { type AgentConfig, agentFlags } from "./agent-flags.ts";
export { controllerNames, isControllerWanted } from "./controller-names.ts";
export { defaultGates, type FeatureGate, featureGates, parseFeatureGates } from "./feature-gates.ts";
export { type ConfigOf, environmentName, flag, type FlagEntry, type FlagTable } from "./flag.ts";
export { flagHelp, type FlagSources, readFlags } from "./read-flags.ts";
export { type RefusedFlag, refusedFlags } from "./refused-flags.ts";
export {
  type EngineConfig,
  type GuestConfig,
  guestFlags,
  parseFlags,
  parseGuestFlags,
  type ServerConfig,
  serverFlags,
} from "./server-flags.ts";
export {
  type DeschedulerConfig,
  deschedulerFlags,
  type EstimatorClientConfig,
  type EstimatorConfig,
  estimatorFlags,
  type SchedulerConfig,
  schedulerFlags,
} from "./scheduling-flags.ts";
export * from "./values.ts";
export { BUILD, VERSION } from "./version.ts";
