import { Deployment } from "#apis/kubernetes";
import { Cluster, evicted, OverridePolicy, type ResourceBinding, WorkloadRebalancer } from "#apis/karmada";
import { retryOnConflict } from "#client";
import { formatTime, isAlreadyExists, isNotFound } from "#machinery";
import type { Action } from "../world.ts";
import { conditionActions } from "./conditions.ts";
import { membershipActions } from "./membership.ts";
import {
  aCluster,
  act,
  blind,
  editBinding,
  editCluster,
  type FailoverWorld,
  seeing,
  TAINT,
  withTaints,
} from "./world.ts";
import { templateOf } from "./workloads.ts";

type FailoverAction = Action<FailoverWorld>;

/** Something wrong between the control plane and a member; what runs in the member goes on. */
function fault(name: string, weight: number, faults: (world: FailoverWorld) => object): FailoverAction {
  return act(name, weight, (world) => {
    const cluster = world.pick(world.clusters);
    const change = faults(world);
    world.fleet.simulated(cluster).setFaults(change);
    blind(world, cluster);
    return `${name}: ${cluster} ${JSON.stringify(change)}`;
  });
}

const heal = act("heal a member", 6, async (world) => {
  const broken = world.clusters.filter((cluster) => world.blindUntilMs.get(cluster) === Number.POSITIVE_INFINITY);
  if (broken.length === 0) return undefined;
  const cluster = world.pick(broken);
  await healMember(world, cluster);
  return `healed ${cluster}`;
});

export async function healMember(world: FailoverWorld, cluster: string): Promise<void> {
  const member = world.fleet.simulated(cluster);
  member.setFaults({ isDown: false, isHanging: false, latencyMs: 0, flapMs: 0, healthStatus: undefined });
  await member.setNodesReady(true);
  seeing(world, cluster);
}

const lostNodes = act("nodes of a member stop", 2, async (world) => {
  const cluster = world.pick(world.clusters);
  await world.fleet.simulated(cluster).setNodesReady(false);
  blind(world, cluster);
  return `nodes of ${cluster} stopped`;
});

const cut = act("cut a member's watches", 1, (world) => {
  const cluster = world.pick(world.clusters);
  const member = world.fleet.simulated(cluster);
  const { isDown } = member.faults;
  member.setFaults({ isDown: true });
  member.setFaults({ isDown });
  if (world.blindUntilMs.get(cluster) !== Number.POSITIVE_INFINITY) seeing(world, cluster);
  return `cut the watches of ${cluster}`;
});

const agents: readonly FailoverAction[] = [
  act("an agent is killed", 1, async (world) => {
    const [cluster] = [...world.agents];
    if (cluster === undefined) return undefined;
    await world.fleet.agent(cluster).kill();
    world.agents.delete(cluster);
    blind(world, cluster);
    return `killed the agent of ${cluster}`;
  }),
  act("an agent is cut off from the control plane", 1, (world) => {
    const [cluster] = [...world.agents];
    if (cluster === undefined) return undefined;
    world.fleet.agent(cluster).setFaults({ isDown: true });
    blind(world, cluster);
    return `cut off the agent of ${cluster}`;
  }),
  act("an agent works again", 3, async (world) => {
    const [cluster] = world.pull;
    if (cluster === undefined) return undefined;
    return (await reviveAgent(world, cluster)) ? `the agent of ${cluster} works again` : undefined;
  }),
];

export async function reviveAgent(world: FailoverWorld, cluster: string): Promise<boolean> {
  const agent = world.fleet.agent(cluster);
  agent.setFaults({ isDown: false });
  const isDead = !world.agents.has(cluster);
  if (isDead) await agent.start();
  world.agents.add(cluster);
  if (world.blindUntilMs.get(cluster) === Number.POSITIVE_INFINITY) seeing(world, cluster);
  return isDead;
}

const processes: readonly FailoverAction[] = [
  act("the leader is killed", 2, async (world) => {
    if (world.mend !== undefined) return undefined;
    await world.fleet.crash();
    return "killed the leader";
  }),
  act("the leader steps down", 1, async (world) => {
    if (world.mend !== undefined) return undefined;
    await world.fleet.stepDown();
    return "the leader stepped down";
  }),
  act("the leader is cut off from the store", 1, (world) => {
    if (world.mend !== undefined || world.replicas < 2) return undefined;
    world.mend = world.fleet.cutLeader();
    return "cut the leader off from the store";
  }),
  act("the store is back", 3, (world) => {
    if (world.mend === undefined) return undefined;
    world.mend();
    world.mend = undefined;
    return "mended the way to the store";
  }),
];

const taints: readonly FailoverAction[] = [
  act("somebody taints a cluster", 3, async (world) => {
    const cluster = aCluster(world);
    await world.fleet.taint(cluster, true, TAINT);
    return `tainted ${cluster}`;
  }),
  act("somebody takes the taint away", 4, async (world) => {
    const cluster = aCluster(world);
    await world.fleet.taint(cluster, false, TAINT);
    return `took the taint of ${cluster} away`;
  }),
  act("somebody edits all taints by hand", 1, async (world) => {
    const name = aCluster(world);
    const timeAdded = formatTime(world.fleet.clock.now() + world.pick([-3_600_000, 3_600_000]));
    const how = world.pick(["none", "doubled values", "other times"]);
    await editCluster(world, name, (cluster) => {
      const present = cluster.spec?.taints ?? [];
      if (how === "none") return withTaints(cluster, []);
      if (how === "other times")
        return withTaints(
          cluster,
          present.map((taint) => ({ ...taint, timeAdded })),
        );
      return withTaints(
        cluster,
        present.map((taint) => ({ ...taint, value: "edited" })),
      );
    });
    return `edited the taints of ${name}: ${how}`;
  }),
  act("somebody lies about a cluster's readiness", 1, async (world) => {
    const name = aCluster(world);
    const status = world.pick(["True", "False", "Unknown"]);
    const lastTransitionTime = formatTime(world.fleet.clock.now() + world.pick([-7_200_000, 0, 7_200_000]));
    await retryOnConflict(async () => {
      const cluster = await world.fleet.plane.get(Cluster, { name });
      const conditions = (cluster.status?.conditions ?? []).map((condition) =>
        condition.type === "Ready"
          ? { ...condition, status, reason: "Lie", message: "", lastTransitionTime }
          : condition,
      );
      await world.fleet.plane.updateStatus(Cluster, {
        ...cluster,
        status: { ...cluster.status, conditions },
      } as Cluster);
    });
    return `lied: ${name} is ${status} since ${lastTransitionTime}`;
  }),
];

const editTemplate = async (world: FailoverWorld, name: string, edit: (deployment: Deployment) => Deployment) => {
  try {
    await retryOnConflict(async () => {
      await world.fleet.plane.update(
        Deployment,
        edit(await world.fleet.plane.get(Deployment, { namespace: "default", name })),
      );
    });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
};

const users: readonly FailoverAction[] = [
  act("a workload is scaled", 3, async (world) => {
    const { name } = world.pick(world.workloads);
    const replicas = 1 + world.random.below(6);
    const done = await editTemplate(
      world,
      name,
      (present) => ({ ...present, spec: { ...present.spec, replicas } }) as Deployment,
    );
    return done ? `scaled ${name} to ${replicas}` : undefined;
  }),
  act("a workload goes and comes back", 1, async (world) => {
    const { name } = world.pick(world.workloads);
    try {
      await world.fleet.plane.delete(Deployment, { namespace: "default", name });
      return `deleted ${name}`;
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    await restore(world, name);
    return `created ${name}`;
  }),
  act("a workload is placed anew", 1, async (world) => {
    const { name } = world.pick(world.workloads);
    const own = `again-${world.random.below(1_000_000)}`;
    await world.fleet.plane.create(WorkloadRebalancer, {
      apiVersion: "apps.karmada.io/v1alpha1",
      kind: "WorkloadRebalancer",
      metadata: { name: own },
      spec: {
        workloads: [{ apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name }],
        ttlSecondsAfterFinished: 1,
      },
    } as unknown as WorkloadRebalancer);
    return `asked to place ${name} anew`;
  }),
  act("a third party evicts", 2, async (world) => {
    const { name } = world.pick(world.workloads);
    const purgeMode = world.pick(["Gracefully", "Gracefully", "Directly", "Never"]);
    let from = "";
    const done = await editBinding(world, name, (binding) => {
      const targets = binding.spec.clusters ?? [];
      if (targets.length === 0) return undefined;
      from = world.pick(targets).name;
      return evicted(binding, from, {
        producer: "somebody",
        reason: "Maintenance",
        purgeMode,
        ...(purgeMode === "Never" ? { suppressDeletion: true } : {}),
      });
    });
    return done ? `evicted ${name} from ${from} ${purgeMode}` : undefined;
  }),
  act("somebody lets a kept copy go", 2, async (world) => {
    const { name } = world.pick(world.workloads);
    const done = await editBinding(world, name, released);
    return done ? `let kept copies of ${name} go` : undefined;
  }),
  act("a workload is broken in a cluster", 2, async (world) => {
    const cluster = aCluster(world);
    const { name } = world.pick(world.workloads);
    try {
      await world.fleet.plane.create(OverridePolicy, {
        apiVersion: "policy.karmada.io/v1alpha1",
        kind: "OverridePolicy",
        metadata: { namespace: "default", name: `break-${name}-${cluster}` },
        spec: {
          resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name }],
          overrideRules: [
            {
              targetCluster: { clusterNames: [cluster] },
              overriders: {
                plaintext: [
                  { path: "/spec/template/spec/containers/0/image", operator: "replace", value: "fake/never:1" },
                ],
              },
            },
          ],
        },
      } as unknown as OverridePolicy);
    } catch (error) {
      if (isAlreadyExists(error)) return undefined;
      throw error;
    }
    return `broke ${name} in ${cluster}`;
  }),
  act("what is broken is mended", 3, async (world) => {
    const { items } = await world.fleet.plane.list(OverridePolicy, { namespace: "default" });
    if (items.length === 0) return undefined;
    const { name = "" } = world.pick(items).metadata;
    await world.fleet.plane.delete(OverridePolicy, { namespace: "default", name });
    return `took ${name} away`;
  }),
];

/** The binding with every task that is kept for a person let go; nothing when there is none. */
export function released(binding: ResourceBinding): ResourceBinding | undefined {
  const tasks = binding.spec.gracefulEvictionTasks ?? [];
  if (!tasks.some(({ suppressDeletion }) => suppressDeletion === true)) return undefined;
  return {
    ...binding,
    spec: {
      ...binding.spec,
      gracefulEvictionTasks: tasks.map((task) =>
        task.suppressDeletion === true ? { ...task, suppressDeletion: false } : task,
      ),
    },
  } as ResourceBinding;
}

export async function restore(world: FailoverWorld, name: string): Promise<void> {
  try {
    await world.fleet.plane.create(Deployment, templateOf(name, 1 + world.random.below(4)));
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

/** What happens to a fleet whose clusters stay. */
export const steadyActions: readonly FailoverAction[] = [
  fault("a member goes down", 4, () => ({ isDown: true })),
  fault("a member hangs", 2, () => ({ isHanging: true })),
  fault("a member is slow", 1, (world) => ({ latencyMs: 100 + world.random.below(3_000) })),
  fault("a member flaps", 1, (world) => ({ flapMs: 5_000 + world.random.below(60_000) })),
  fault("a member says it is not well", 1, () => ({ healthStatus: 500 })),
  heal,
  lostNodes,
  cut,
  ...agents,
  ...processes,
  ...taints,
  ...users,
];

export const failoverActions: readonly FailoverAction[] = [...steadyActions, ...membershipActions, ...conditionActions];

/** Time that passes after an action, in milliseconds: thresholds are half a minute, tasks live for three. */
export function failoverPauseMs(world: FailoverWorld): number {
  if (world.chance(0.3)) return 0;
  if (world.chance(0.4)) return world.random.below(3_000);
  return world.chance(0.8) ? world.random.below(60_000) : world.random.below(300_000);
}
