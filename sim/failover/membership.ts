import { Cluster, TAINT_UNSCHEDULABLE } from "#apis/karmada";
import { loadDrain } from "#cli";
import { simulateSchedule } from "#scheduler";
import { isConflict, isNotFound } from "#machinery";
import { aCluster, act, editCluster, type FailoverWorld, seeing, withTaints } from "./world.ts";

// Loaded before anything runs: time must not stand still for a file to be read.
const { drainCluster } = await loadDrain();

/** So many clusters always stay, so that there is somewhere to go. */
const CLUSTERS_MIN = 2;
/** Longest a removal may take: what cannot be removed from a member that hangs must first be known to be unreachable. */
const LEAVING_MS_MAX = 900_000;

/** Clusters that left and are gone. */
const gone = (world: FailoverWorld) =>
  world.clusters.filter((cluster) => !world.joined.has(cluster) && !world.chronicle.clusters.has(cluster));

async function replaceMember(world: FailoverWorld, cluster: string): Promise<void> {
  await world.fleet.replaceMember(cluster);
  world.chronicle.followMember(cluster);
  for (const key of [...world.orphans]) if (key.startsWith(`${cluster} `)) world.orphans.delete(key);
  seeing(world, cluster);
}

async function joinAgain(world: FailoverWorld, cluster: string): Promise<void> {
  await world.fleet.join(cluster);
  world.joined.add(cluster);
}

/** Every cluster belongs to the fleet again and takes workloads. */
export async function reunite(world: FailoverWorld): Promise<void> {
  const { fleet, chronicle } = world;
  for (const cluster of world.clusters) {
    if (!world.joined.has(cluster)) {
      await fleet.until(() => !chronicle.clusters.has(cluster), LEAVING_MS_MAX);
      await joinAgain(world, cluster);
    }
    await open(world, cluster);
  }
}

const open = (world: FailoverWorld, name: string) =>
  editCluster(world, name, (cluster) =>
    withTaints(
      cluster,
      (cluster.spec?.taints ?? []).filter(({ key }) => key !== TAINT_UNSCHEDULABLE),
    ),
  );

function drain(world: FailoverWorld, cluster: string): string {
  const { fleet } = world;
  const isForced = world.chance(0.3);
  const gracePeriodSeconds = world.chance(0.5) ? 60 : undefined;
  const told: string[] = [];
  void drainCluster(cluster, {
    client: fleet.plane,
    clock: fleet.clock,
    simulate: (snapshot, changes) =>
      Promise.resolve(simulateSchedule(snapshot, changes, { gates: fleet.gates, nowMs: fleet.clock.now() })),
    isForced,
    isDryRun: false,
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    timeoutMs: 300_000,
    say: (line) => told.push(line),
  }).then(
    ({ moved, left, pending }) =>
      world.history.push(`   ${cluster} drained: ${moved.length} moved, ${left.length} stay, ${pending.length} wait`),
    // It ends as the command would when the cluster leaves meanwhile or nobody answers.
    (error: Error) => world.history.push(`   the drain of ${cluster} ended: ${error.message}`),
  );
  return `drains ${cluster}${isForced ? " by force" : ""}`;
}

/** Clusters that leave, come back as themselves or as others, and are emptied for maintenance. */
export const membershipActions = [
  act("a cluster leaves", 2, async (world) => {
    if (world.joined.size <= CLUSTERS_MIN) return undefined;
    const cluster = aCluster(world);
    await world.fleet.plane.delete(Cluster, { name: cluster });
    world.joined.delete(cluster);
    return `${cluster} leaves`;
  }),
  act("a cluster joins again", 4, async (world) => {
    const [cluster] = gone(world);
    if (cluster === undefined) return undefined;
    const isOther = world.chance(0.5);
    if (isOther) await replaceMember(world, cluster);
    await joinAgain(world, cluster);
    return `${cluster} joins again${isOther ? " as another cluster" : ""}`;
  }),
  act("another cluster stands in a member's place", 1, async (world) => {
    const cluster = aCluster(world);
    await replaceMember(world, cluster);
    return `another cluster stands in the place of ${cluster}`;
  }),
  act("a cluster is drained", 2, (world) => drain(world, aCluster(world))),
  act("a cluster is opened again", 3, async (world) => {
    const cluster = aCluster(world);
    try {
      await open(world, cluster);
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
      return undefined;
    }
    return `opened ${cluster} again`;
  }),
];
