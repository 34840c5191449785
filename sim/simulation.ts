/**
 * Simulation: a control plane and its members on a clock that only moves when told to, with everything that may happen to
 * them chosen by one seed. A failure is a seed: the same one does the same again, and becomes a test named for the symptom.
 */
import { startVirtualFleet } from "#testing";
import { actions as allActions, chooseAction, pauseMs } from "./actions/index.ts";
import { checkers as allCheckers } from "./checkers/index.ts";
import { type Action, type Checker, createWorld, type World } from "./world.ts";

export interface SimulationOptions {
  readonly seed: number;
  readonly steps: number;
  readonly members?: readonly string[];
  readonly actions?: readonly Action[];
  readonly checkers?: readonly Checker[];
  /** Virtual time everything gets to come to rest in; default an hour. */
  readonly settleMs?: number;
}

export interface SimulationResult {
  readonly seed: number;
  /** What did not hold, and what had happened until then; `undefined` when all is well. */
  readonly failure: { readonly checker: string; readonly message: string } | undefined;
  readonly history: readonly string[];
  /** Virtual milliseconds until everything held. */
  readonly settledAfterMs: number;
}

/** Heals whatever is broken: from here on everything must come to rest. */
function healAll({ fleet, clusters }: World): void {
  for (const cluster of clusters)
    fleet.simulated(cluster).setFaults({ isDown: false, isHanging: false, latencyMs: 0, flapMs: 0 });
}

export async function runSimulation(options: SimulationOptions): Promise<SimulationResult> {
  const { seed, steps, actions = allActions, checkers = allCheckers, settleMs = 3_600_000 } = options;
  const fleet = await startVirtualFleet({
    members: options.members ?? ["m1", "m2", "m3"],
    flags: ["--cluster-status-update-frequency=60s"],
  });
  const world = createWorld(fleet, seed);
  const memory = new Map<string, unknown>();
  let settledAfterMs = 0;
  let current = "";
  const watchAll = async () => {
    for (const { name, watch } of checkers) {
      if (watch === undefined) continue;
      current = name;
      memory.set(name, await watch(world, memory.get(name)));
    }
  };
  try {
    for (let step = 0; step < steps; step++) {
      current = "actions";
      const action = chooseAction(world, actions);
      const told = await action.run(world);
      if (told !== undefined) world.history.push(`${step + 1}. ${told}`);
      await watchAll();
      const pause = pauseMs(world);
      if (pause === 0) continue;
      await fleet.advance(pause);
      world.history.push(`   ${pause} ms pass`);
      await watchAll();
    }
    healAll(world);
    current = "settling";
    await fleet.advance(1_000);
    let last = "";
    settledAfterMs = await fleet.until(async () => {
      await watchAll();
      for (const { name, settled } of checkers) {
        if (settled === undefined) continue;
        current = name;
        last = name;
        await settled(world);
      }
      return true;
    }, settleMs);
    current = last;
    return { seed, failure: undefined, history: world.history, settledAfterMs };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { seed, failure: { checker: current, message }, history: world.history, settledAfterMs };
  } finally {
    await fleet.stop();
  }
}
