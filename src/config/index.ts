/**
 * Config: every option and feature gate in one table each, and the only reader of command line flags. Upstream's names
 * are kept; what is not in the table is refused by name, never ignored.
 */
export { defaultGates, type FeatureGate, featureGates, parseFeatureGates } from "./feature-gates.ts";
export { parseDuration, parseFlags, type ServerConfig, serverFlags } from "./server-flags.ts";
