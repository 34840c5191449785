import type { SimulatedMember } from "./simulated-member.ts";
import { NO_FAULTS } from "./faults.ts";

/** Faults by the names users give them, with what each does. */
export const faultNames = {
  up: "ends every fault",
  down: "connections are refused",
  slow: "each answer is late (--latency)",
  throttled: "everything but its health is answered with 429",
  hanging: "requests are accepted and never answered",
  flapping: "goes down and comes back, again and again (--period)",
  "nodes-lost": "nodes stop reporting (--nodes; default all)",
  "quota-full": "namespaces take no further pods",
} as const;

export type FaultName = keyof typeof faultNames;

export interface FaultRequest {
  readonly fault: FaultName;
  /** Default 500. */
  readonly latencyMs?: number;
  /** Default 5000. */
  readonly periodMs?: number;
  /** How many nodes are lost; default all. */
  readonly nodes?: number;
}

export const isFaultName = (text: string): text is FaultName => Object.hasOwn(faultNames, text);

/** Carries out a request. Faults add up; `up` ends them all. */
export async function applyFault(
  member: Pick<SimulatedMember, "name" | "setFaults" | "setNodesReady" | "setQuotaFull">,
  request: FaultRequest,
): Promise<void> {
  const { fault, latencyMs = 500, periodMs = 5000, nodes } = request;
  switch (fault) {
    case "up":
      member.setFaults(NO_FAULTS);
      await member.setNodesReady(true);
      await member.setQuotaFull(false);
      return;
    case "down":
      member.setFaults({ isDown: true });
      return;
    case "slow":
      member.setFaults({ latencyMs });
      return;
    case "throttled":
      member.setFaults({ isThrottling: true });
      return;
    case "hanging":
      member.setFaults({ isHanging: true });
      return;
    case "flapping":
      member.setFaults({ flapMs: periodMs });
      return;
    case "nodes-lost":
      await member.setNodesReady(
        false,
        nodes === undefined ? undefined : Array.from({ length: nodes }, (_, at) => `${member.name}-node-${at + 1}`),
      );
      return;
    case "quota-full":
      await member.setQuotaFull(true);
  }
}
