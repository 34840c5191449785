/**
 * Control plane: the composition root. `startControlPlane` puts API server, controllers and scheduler together over one
 * store; `startFleet` adds simulated members of the same process and joins them. Nothing here decides anything.
 */
export { encryptionOf } from "./access.ts";
export { type ControlPlane, type ControlPlaneOptions, startControlPlane } from "./control-plane.ts";
export { type Fleet, type FleetMember, startFleet } from "./fleet.ts";
export { createInterpretation } from "./interpretation.ts";
export { startGuest, uninstall } from "./guest/index.ts";
export { createLogger } from "./logger.ts";
export { loadSharedPki } from "./shared-pki.ts";
export { createMetrics } from "./metrics.ts";
export { type RunningMember, startMember } from "./member.ts";
export { type Program, type ProgramOptions, startDescheduler, startEstimator, startScheduler } from "./programs.ts";
export { realRandom } from "./real-random.ts";
export { pluginUrl } from "./scheduling.ts";
export { startPlainListeners } from "./plain-listeners.ts";
