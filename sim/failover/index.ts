/**
 * Failover: clusters that die, flap, lie, leave and come back as themselves or as others, maintenance, taints edited by hand, and processes of the control plane that are
 * killed, step down or are cut off, all while workloads move.
 */
import { OverridePolicy } from "#apis/karmada";
import type { Profile } from "../simulation.ts";
import {
  failoverActions,
  failoverPauseMs,
  healMember,
  released,
  restore,
  reviveAgent,
  steadyActions,
} from "./actions.ts";
import { failoverCheckers } from "./checkers.ts";
import { calmNetworks } from "./conditions.ts";
import { reunite } from "./membership.ts";
import { editBinding, type FailoverWorld, startWorld, TAINT } from "./world.ts";

export const failoverProfile: Profile<FailoverWorld> = {
  name: "failover",
  start: (seed) => startWorld(seed),
  actions: failoverActions,
  checkers: failoverCheckers,
  pauseMs: failoverPauseMs,
  async heal(world) {
    world.mend?.();
    world.mend = undefined;
    for (const cluster of world.clusters) await healMember(world, cluster);
    for (const cluster of world.pull) await reviveAgent(world, cluster);
    await reunite(world);
    await calmNetworks(world);
    for (const cluster of world.clusters) await world.fleet.taint(cluster, false, TAINT);
    for (const { metadata } of (await world.fleet.plane.list(OverridePolicy, { namespace: "default" })).items)
      await world.fleet.plane.delete(OverridePolicy, { namespace: "default", name: metadata.name ?? "" });
    for (const { name } of world.workloads) {
      await restore(world, name);
      await editBinding(world, name, released);
    }
  },
};

/** A fleet whose clusters stay, run in the usual way. Seeds of tests named for a symptom were found with it. */
export const steadyProfile: Profile<FailoverWorld> = {
  ...failoverProfile,
  start: (seed) => startWorld(seed, false),
  actions: steadyActions,
};
