import { Deployment } from "#apis/kubernetes";
import { Cluster, PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { type Random, seededRandom } from "#base";
import { retryOnConflict } from "#client";
import { type FailoverFleet, startFailoverFleet } from "#testing";
import { type Chronicle, keepChronicle } from "./chronicle.ts";
import type { Action } from "../world.ts";
import { CLUSTERS, policyOf, templateOf, type Workload, workloads } from "./workloads.ts";

/** `--graceful-eviction-timeout` of the simulation. */
export const TIMEOUT_SECONDS = 180;
export const TAINT = "fail-test";
export const NETWORK_TAINT = "network-down";
const WORKLOADS = 5;

/** What a simulation of failover acts on, and what it must remember to judge. */
export interface FailoverWorld {
  readonly fleet: FailoverFleet;
  readonly random: Random;
  readonly clusters: readonly string[];
  readonly pull: readonly string[];
  readonly replicas: number;
  readonly history: string[];
  readonly workloads: readonly Workload[];
  readonly chronicle: Chronicle;
  /** Until when what a cluster reports may differ from what runs there, in milliseconds; infinite while it is broken. */
  readonly blindUntilMs: Map<string, number>;
  /** Clusters that belong to the fleet at present; others were asked to leave. */
  readonly joined: Set<string>;
  /** Copies that were left in a member when its cluster was removed: `cluster name`. Nobody looks after them. */
  readonly orphans: Set<string>;
  /** Agents that run at present. */
  readonly agents: Set<string>;
  /** Mends the leader's way to the store, while it is cut. */
  mend: (() => void) | undefined;
  /** What must never happen and did, found between two looks. */
  readonly breaches: string[];
  pick<T>(items: readonly T[]): T;
  chance(share: number): boolean;
  stop(): Promise<void>;
}

/** Ways of running a control plane that a seed may choose beside the usual one. */
const WAYS: readonly (readonly [chance: number, flag: string])[] = [
  [0.3, "--fail-back-after=120s"],
  [0.2, "--no-execute-taint-eviction-purge-mode=Directly"],
  [0.3, "--eviction-brake-share=0.5"],
  [0.25, "--resource-eviction-rate=0.5"],
  [0.15, "--failover-profile=v1.3"],
  [0.15, "--enable-empty-workload-propagation=true"],
];

/** Flags by a chance of their own, so that what happens afterwards is the same with and without them. */
function waysOf(seed: number): readonly string[] {
  const random = seededRandom(seed + 1_000_003);
  return WAYS.filter(([chance]) => random.next() < chance).map(([, flag]) => flag);
}

/** A fleet with workloads; run in the usual way unless it `varies`. */
export async function startWorld(seed: number, varies = true): Promise<FailoverWorld> {
  const random = seededRandom(seed);
  const ways = varies ? waysOf(seed) : [];
  const chance = (share: number) => random.next() < share;
  const pull = chance(0.5) ? ["m4"] : [];
  const replicas = chance(0.35) ? 2 : 1;
  const fleet = await startFailoverFleet({
    members: CLUSTERS,
    pull,
    replicas,
    flags: [
      "--feature-gates=Failover=true,StatefulFailoverInjection=true",
      `--graceful-eviction-timeout=${TIMEOUT_SECONDS}s`,
      ...ways,
    ],
  });
  const left = [...workloads];
  const chosen = Array.from({ length: WORKLOADS }, () => left.splice(random.below(left.length), 1)[0] as Workload);
  const world: FailoverWorld = {
    fleet,
    random,
    clusters: CLUSTERS,
    pull,
    replicas,
    history: [
      `${replicas} process(es); ${pull.join() || "no cluster"} in pull mode; ${[...chosen.map(({ name }) => name), ...ways].join(", ")}`,
    ],
    workloads: chosen,
    chronicle: keepChronicle(fleet),
    blindUntilMs: new Map(),
    joined: new Set(CLUSTERS),
    orphans: new Set(),
    agents: new Set(pull),
    mend: undefined,
    breaches: [],
    pick: (items) => items[random.below(items.length)] as (typeof items)[number],
    chance,
    async stop() {
      world.mend?.();
      world.chronicle.stop();
      await fleet.stop();
    },
  };
  world.chronicle.onCluster((cluster, { now }) => {
    if (now !== undefined) return;
    for (const key of world.chronicle.copies.keys()) if (key.startsWith(`${cluster} `)) world.orphans.add(key);
  });
  world.chronicle.onWork((cluster, name, { now }) => {
    if (now !== undefined) world.orphans.delete(`${cluster} ${name}`);
  });
  await fleet.addOutagePolicies();
  for (const workload of chosen) {
    await fleet.plane.create(PropagationPolicy, policyOf(workload));
    await fleet.plane.create(Deployment, templateOf(workload.name, 1 + random.below(4)));
  }
  await fleet.advance(20_000);
  return world;
}

/** An action of this world, of its name, weight and deed. */
export function act(
  name: string,
  weight: number,
  run: (world: FailoverWorld) => string | undefined | Promise<string | undefined>,
): Action<FailoverWorld> {
  return { name, weight, run: async (world) => run(world) };
}

/** One of the clusters that belong to the fleet. */
export const aCluster = (world: FailoverWorld): string => world.pick([...world.joined].sort());

/** How long after a repair what a member reports is what runs there: its watches must come back first. */
const SIGHT_MS = 60_000;

/** Until it is mended, what a cluster reports may differ from what runs there. */
export const blind = (world: FailoverWorld, cluster: string) =>
  world.blindUntilMs.set(cluster, Number.POSITIVE_INFINITY);

export const seeing = (world: FailoverWorld, cluster: string) =>
  world.blindUntilMs.set(cluster, world.fleet.clock.now() + SIGHT_MS);

export const editCluster = (world: FailoverWorld, name: string, edit: (cluster: Cluster) => Cluster) =>
  retryOnConflict(async () => {
    await world.fleet.plane.update(Cluster, edit(await world.fleet.plane.get(Cluster, { name })));
  });

export const withTaints = (cluster: Cluster, taints: readonly object[]): Cluster =>
  ({ ...cluster, spec: { ...cluster.spec, taints } }) as Cluster;

export const workloadOf = ({ workloads: all }: FailoverWorld, name: string): Workload | undefined =>
  all.find((workload) => workload.name === name);

/** Writes what `edit` makes of a workload's binding; false when there is none. */
export function editBinding(
  { fleet }: FailoverWorld,
  name: string,
  edit: (binding: ResourceBinding) => ResourceBinding | undefined,
): Promise<boolean> {
  return retryOnConflict(async () => {
    const present = await fleet.plane.find(ResourceBinding, { namespace: "default", name: `${name}-deployment` });
    const next = present === undefined ? undefined : edit(present);
    if (next === undefined) return false;
    await fleet.plane.update(ResourceBinding, next);
    return true;
  });
}
