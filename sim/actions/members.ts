import { ConfigMap } from "#apis/kubernetes";
import { isAlreadyExists, type KubeObject, type ResourceKind } from "#machinery";
import { type Action, isManaged, kindOf, NAMESPACE, objectsOf, type World } from "../world.ts";

/** Managed copies of a member, as its own administrator sees them. */
export async function copiesIn(world: World, cluster: string): Promise<readonly KubeObject[]> {
  return (await objectsOf(world, world.fleet.member(cluster))).filter(isManaged);
}

const merge = "application/merge-patch+json";

const DRIFTS: Readonly<Record<string, object>> = {
  ConfigMap: { data: { value: "drifted" } },
  Deployment: { spec: { replicas: 9 } },
  Widget: { spec: { value: "drifted" } },
};

const drift: Action = {
  name: "change a copy in a member",
  weight: 3,
  async run(world) {
    const cluster = world.pick(world.clusters);
    const copies = await copiesIn(world, cluster);
    if (copies.length === 0) return undefined;
    const copy = world.pick(copies);
    const name = copy.metadata.name ?? "";
    const body = DRIFTS[copy.kind];
    world.changedInMembers.add(`${cluster} ${copy.kind}/${name}`);
    await world.fleet.member(cluster).patch(kindOf(world, copy), { namespace: NAMESPACE, name }, merge, body);
    return `changed the copy of ${copy.kind} ${name} in ${cluster}`;
  },
};

const remove: Action = {
  name: "delete a copy in a member",
  weight: 2,
  async run(world) {
    const cluster = world.pick(world.clusters);
    const copies = await copiesIn(world, cluster);
    if (copies.length === 0) return undefined;
    const copy = world.pick(copies);
    const name = copy.metadata.name ?? "";
    world.deletedInMembers.add(`${cluster} ${copy.kind}/${name}`);
    world.changedInMembers.add(`${cluster} ${copy.kind}/${name}`);
    await world.fleet.member(cluster).delete(kindOf(world, copy), { namespace: NAMESPACE, name });
    return `deleted the copy of ${copy.kind} ${name} in ${cluster}`;
  },
};

/** An object under a name of its own, or under one a template may want as well. */
const own: Action = {
  name: "make an object of the member's own",
  weight: 2,
  async run(world) {
    const cluster = world.pick(world.clusters);
    const name = world.pick(["own-1", "own-2"]);
    const object = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: NAMESPACE, name, labels: { sim: "template", owner: "member" } },
      data: { mine: String(world.random.below(100)) },
    } as unknown as ConfigMap;
    try {
      const made = await world.fleet.member(cluster).create(ConfigMap, object);
      world.foreign.push({
        cluster,
        kind: ConfigMap as ResourceKind,
        name,
        uid: made.metadata.uid ?? "",
        text: JSON.stringify(made),
      });
    } catch (error) {
      if (isAlreadyExists(error)) return undefined;
      throw error;
    }
    return `made an own ConfigMap ${name} in ${cluster}`;
  },
};

function fault(name: string, weight: number, change: (world: World) => object): Action {
  return {
    name,
    weight,
    run(world) {
      const cluster = world.pick(world.clusters);
      const faults = change(world);
      world.fleet.simulated(cluster).setFaults(faults);
      return Promise.resolve(`${name}: ${cluster} ${JSON.stringify(faults)}`);
    },
  };
}

const heal: Action = {
  name: "heal a member",
  weight: 4,
  run(world) {
    const broken = world.clusters.filter((cluster) => {
      const { isDown, isHanging, latencyMs } = world.fleet.simulated(cluster).faults;
      return isDown || isHanging || latencyMs > 0;
    });
    if (broken.length === 0) return Promise.resolve(undefined);
    const cluster = world.pick(broken);
    world.fleet.simulated(cluster).setFaults({ isDown: false, isHanging: false, latencyMs: 0 });
    return Promise.resolve(`healed ${cluster}`);
  },
};

/** Every watch of a member ends and starts anew: events in between are lost, and what is there is told again. */
const cut: Action = {
  name: "cut a member's watches",
  weight: 2,
  run(world) {
    const cluster = world.pick(world.clusters);
    const member = world.fleet.simulated(cluster);
    const { isDown } = member.faults;
    member.setFaults({ isDown: true });
    member.setFaults({ isDown });
    return Promise.resolve(`cut the watches of ${cluster}`);
  },
};

export const memberActions: readonly Action[] = [
  drift,
  remove,
  own,
  fault("a member goes down", 2, () => ({ isDown: true })),
  fault("a member hangs", 1, () => ({ isHanging: true })),
  fault("a member is slow", 2, (world) => ({ latencyMs: 100 + world.random.below(3_000) })),
  heal,
  cut,
];
