/**
 * Actions: what may happen in a simulation. A new kind of trouble is a file here and a line in this table; `time` says how
 * long nothing happens after each action.
 */
import type { Action, World } from "../world.ts";
import { memberActions } from "./members.ts";
import { policyActions } from "./policies.ts";
import { templateActions } from "./templates.ts";

export const restart: Action = {
  name: "restart the control plane",
  weight: 1,
  async run(world) {
    await world.fleet.restart();
    return "restarted the control plane";
  },
};

export const actions: readonly Action[] = [...templateActions, ...policyActions, ...memberActions, restart];

/** One of the actions, by weight. */
export function chooseAction<W extends Pick<World, "random">>(world: W, from: readonly Action<W>[]): Action<W> {
  let at = world.random.next() * from.reduce((sum, { weight }) => sum + weight, 0);
  for (const action of from) {
    at -= action.weight;
    if (at < 0) return action;
  }
  return from[0] as Action<W>;
}

/** Time that passes after an action, in milliseconds: mostly little, so that things meet. */
export function pauseMs(world: World): number {
  if (world.chance(0.4)) return 0;
  return world.chance(0.7) ? world.random.below(500) : world.random.below(30_000);
}
