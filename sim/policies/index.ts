/**
 * Policies in full: lazy activation, suspension, dependencies, preservation, preemption, objects of members' own under the
 * names of templates, and definitions that come and go, on top of all that happens in the simulation of propagation.
 */
import { ResourceBinding } from "#apis/karmada";
import { ConfigMap, Deployment } from "#apis/kubernetes";
import { type ResourceKind, setPath } from "#machinery";
import { startVirtualFleet } from "#testing";
import { pauseMs } from "../actions/index.ts";
import type { Profile } from "../simulation.ts";
import { change, createWorld, NAMESPACE, type World } from "../world.ts";
import { actions, touchAll } from "./actions.ts";
import { checkers } from "./checkers.ts";
import { install, installInMembers, PLANE, Widget } from "./definitions.ts";

/** What there is when it begins, so that what happens meets something: actions by name, and how often. */
const BEGINNING: Readonly<Record<string, number>> = {
  "create a template": 3,
  "create a workload that needs ConfigMaps": 3,
  "create a custom resource": 2,
  "say a propagation policy": 3,
};

export const policiesProfile: Profile<World> = {
  name: "policies",
  async start(seed) {
    const fleet = await startVirtualFleet({
      members: ["m1", "m2", "m3"],
      ...(seed % 4 === 0 ? { pull: ["m3"] } : {}),
      flags: ["--cluster-status-update-frequency=60s", "--feature-gates=PropagationPolicyPreemption=true"],
    });
    const world = createWorld(fleet, seed, [ConfigMap as ResourceKind, Deployment as ResourceKind, Widget]);
    for (const where of [PLANE, ...world.clusters]) await install(world, where);
    await fleet.advance(61_000);
    for (const { name, run } of actions)
      for (let times = BEGINNING[name] ?? 0; times > 0; times--) {
        const told = await run(world);
        if (told !== undefined) world.history.push(`0. ${told}`);
      }
    await fleet.advance(1_000);
    return { ...world, stop: () => fleet.stop() };
  },
  actions,
  checkers,
  pauseMs,
  async heal(world) {
    for (const cluster of world.clusters)
      world.fleet.simulated(cluster).setFaults({ isDown: false, isHanging: false, latencyMs: 0, flapMs: 0 });
    await installInMembers(world);
    const { items } = await world.fleet.plane.list(ResourceBinding, { namespace: NAMESPACE });
    const isSuspended = ({ spec }: ResourceBinding) =>
      (spec.suspension as { readonly scheduling?: boolean } | undefined)?.scheduling === true;
    for (const { metadata } of items.filter(isSuspended))
      await change(world, ResourceBinding as ResourceKind, metadata.name ?? "", (present) =>
        setPath(present, ["spec", "suspension", "scheduling"], false),
      );
    await touchAll(world);
  },
};
