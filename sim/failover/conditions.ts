import { Cluster, ClusterTaintPolicy } from "#apis/karmada";
import { retryOnConflict } from "#client";
import { formatTime, isNotFound } from "#machinery";
import { aCluster, act, editCluster, type FailoverWorld, NETWORK_TAINT, withTaints } from "./world.ts";

const POLICY = "network";

async function say(world: FailoverWorld, name: string, status: "True" | "False" | "Unknown"): Promise<void> {
  const { plane, clock } = world.fleet;
  const condition = { type: "NetworkReady", status, reason: "Told", lastTransitionTime: formatTime(clock.now()) };
  await retryOnConflict(async () => {
    const cluster = await plane.get(Cluster, { name });
    const others = (cluster.status?.conditions ?? []).filter(({ type }) => type !== "NetworkReady");
    await plane.updateStatus(Cluster, {
      ...cluster,
      status: { ...cluster.status, conditions: [...others, condition] },
    } as Cluster);
  });
}

/** No condition and no policy taints a cluster any more. */
export async function calmNetworks(world: FailoverWorld): Promise<void> {
  for (const cluster of world.clusters) await say(world, cluster, "True");
  await world.fleet.advance(5_000);
  await dropPolicy(world);
  // A policy that went before its condition was over leaves the taint behind.
  for (const name of world.clusters)
    await editCluster(world, name, (cluster) =>
      withTaints(
        cluster,
        (cluster.spec?.taints ?? []).filter(({ key }) => key !== NETWORK_TAINT),
      ),
    );
}

async function dropPolicy(world: FailoverWorld): Promise<boolean> {
  try {
    await world.fleet.plane.delete(ClusterTaintPolicy, { name: POLICY });
    return true;
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return false;
  }
}

/** Conditions that others report, and a ClusterTaintPolicy that makes taints of them. */
export const conditionActions = [
  act("somebody reports on a network", 3, async (world) => {
    const cluster = aCluster(world);
    const status = world.pick(["True", "False", "Unknown"] as const);
    await say(world, cluster, status);
    return `the network of ${cluster} is ${status}`;
  }),
  act("a policy taints by networks, or no longer", 2, async (world) => {
    if (world.chance(0.3)) return (await dropPolicy(world)) ? "no policy taints by networks any more" : undefined;
    if ((await world.fleet.plane.find(ClusterTaintPolicy, { name: POLICY })) !== undefined) return undefined;
    await world.fleet.plane.create(ClusterTaintPolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "ClusterTaintPolicy",
      metadata: { name: POLICY },
      spec: {
        addOnConditions: [{ conditionType: "NetworkReady", operator: "In", statusValues: ["False"] }],
        removeOnConditions: [{ conditionType: "NetworkReady", operator: "NotIn", statusValues: ["False"] }],
        taints: [
          { key: NETWORK_TAINT, effect: "NoSchedule" },
          { key: NETWORK_TAINT, effect: "NoExecute" },
        ],
      },
    } as unknown as ClusterTaintPolicy);
    return "a policy taints clusters whose network is down";
  }),
];
