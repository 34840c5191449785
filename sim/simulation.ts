/**
 * Simulation: a control plane and its members on a clock that only moves when told to, with everything that may happen to
 * them chosen by one seed. A failure is a seed: the same one does the same again, and becomes a test named for the symptom.
 */
import { type FailoverFleet, startVirtualFleet, type VirtualFleet } from "#testing";
import type { Random } from "#base";
import { actions as allActions, chooseAction, pauseMs } from "./actions/index.ts";
import { checkers as allCheckers } from "./checkers/index.ts";
import { type Action, type Checker, createWorld, type World } from "./world.ts";

/** What every world has, whatever is simulated in it. */
interface Stage {
  readonly fleet: VirtualFleet | FailoverFleet;
  readonly random: Random;
  readonly history: string[];
}

/** A field of what may go wrong: its world, what happens in it, and what must hold. */
export interface Profile<W extends Stage> {
  readonly name: string;
  start(seed: number): Promise<W & { stop(): Promise<void> }>;
  readonly actions: readonly Action<W>[];
  readonly checkers: readonly Checker<W>[];
  /** Virtual milliseconds that pass after an action. */
  pauseMs(world: W): number;
  /** Mends whatever is broken: from then on everything must come to rest. */
  heal(world: W): void | Promise<void>;
}

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

/** Propagation: templates, policies and members that change while members fail. */
function propagationProfile(options: SimulationOptions): Profile<World> {
  return {
    name: "propagation",
    async start(seed) {
      const fleet = await startVirtualFleet({
        members: options.members ?? ["m1", "m2", "m3"],
        flags: ["--cluster-status-update-frequency=60s"],
      });
      return { ...createWorld(fleet, seed), stop: () => fleet.stop() };
    },
    actions: options.actions ?? allActions,
    checkers: options.checkers ?? allCheckers,
    pauseMs,
    heal({ fleet, clusters }) {
      for (const cluster of clusters)
        fleet.simulated(cluster).setFaults({ isDown: false, isHanging: false, latencyMs: 0, flapMs: 0 });
    },
  };
}

export const runSimulation = (options: SimulationOptions): Promise<SimulationResult> =>
  runProfile(propagationProfile(options), options);

export async function runProfile<W extends Stage>(
  { start, actions, checkers, pauseMs: pauseOf, heal }: Profile<W>,
  { seed, steps, settleMs = 3_600_000 }: Pick<SimulationOptions, "seed" | "steps" | "settleMs">,
): Promise<SimulationResult> {
  const world = await start(seed);
  const { fleet } = world;
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
    await watchAll();
    for (let step = 0; step < steps; step++) {
      current = "actions";
      const action = chooseAction(world, actions);
      const told = await action.run(world);
      if (told !== undefined) world.history.push(`${step + 1}. ${told}`);
      await watchAll();
      const pause = pauseOf(world);
      if (pause === 0) continue;
      await fleet.advance(pause);
      world.history.push(`   ${pause} ms pass`);
      await watchAll();
    }
    await heal(world);
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
    await world.stop();
  }
}
