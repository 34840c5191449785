/**
 * Testing: what tests share. `startTestFleet` gives a whole control plane with simulated members in memory, `eventually`
 * waits for something to come true without sleeping longer than it must, `kubectl` runs the machine's real one.
 */
export { aDeployment, aPropagationPolicy } from "./builders.ts";
export { eventually } from "./eventually.ts";
export { startTestFleet } from "./fleet.ts";
export { hasKubectl, kubectl } from "./kubectl.ts";
