import { ClusterOverridePolicy, ClusterPropagationPolicy, OverridePolicy, PropagationPolicy } from "#apis/karmada";
import { isAlreadyExists, type KubeObject, type ResourceKind } from "#machinery";
import { type Action, change, NAMESPACE, policiesOf, type World } from "../world.ts";

const KINDS = [
  { apiVersion: "v1", kind: "ConfigMap" },
  { apiVersion: "apps/v1", kind: "Deployment" },
];

export function selector(world: World, kinds: readonly object[] = KINDS): object {
  const of = world.pick(kinds);
  if (world.chance(0.35)) return { ...of, namespace: NAMESPACE, name: world.pick(["a", "b", "c", "d"]) };
  const tier = world.pick(["front", "back"]);
  if (world.chance(0.5))
    return { ...of, namespace: NAMESPACE, labelSelector: { matchLabels: { sim: "template", tier } } };
  return { ...of, namespace: NAMESPACE, labelSelector: { matchLabels: { sim: "template" } } };
}

function someClusters(world: World): readonly string[] {
  const chosen = world.clusters.filter(() => world.chance(0.6));
  return chosen.length > 0 ? chosen : [world.pick(world.clusters)];
}

export function placement(world: World): object {
  const clusterNames = someClusters(world);
  const affinity = { clusterAffinity: { clusterNames } };
  if (world.chance(0.5)) return affinity;
  return {
    ...affinity,
    replicaScheduling: {
      replicaSchedulingType: "Divided",
      replicaDivisionPreference: "Weighted",
      weightPreference: {
        staticWeightList: clusterNames.map((name) => ({
          targetCluster: { clusterNames: [name] },
          weight: 1 + world.random.below(3),
        })),
      },
    },
  };
}

const spec = (world: World) => ({
  resourceSelectors: Array.from({ length: 1 + world.random.below(2) }, () => selector(world)),
  placement: placement(world),
  priority: world.random.below(3),
  ...(world.chance(0.2) ? { conflictResolution: "Overwrite" } : {}),
});

function propagation(world: World): readonly [kind: ResourceKind, name: string] {
  return world.chance(0.7)
    ? [PropagationPolicy as ResourceKind, world.pick(["p1", "p2", "p3"])]
    : [ClusterPropagationPolicy as ResourceKind, world.pick(["x1", "x2"])];
}

function overriding(world: World): readonly [kind: ResourceKind, name: string] {
  return world.chance(0.7)
    ? [OverridePolicy as ResourceKind, world.pick(["o1", "o2"])]
    : [ClusterOverridePolicy as ResourceKind, world.pick(["y1", "y2"])];
}

const overrideSpec = (world: World) => ({
  resourceSelectors: [selector(world)],
  overrideRules: [
    {
      targetCluster: { clusterNames: someClusters(world) },
      overriders: world.pick([
        { labelsOverrider: [{ operator: "add", value: { stage: world.pick(["one", "two"]) } }] },
        { annotationsOverrider: [{ operator: "add", value: { note: world.pick(["x", "y"]) } }] },
        { imageOverrider: [{ component: "Tag", operator: "replace", value: world.pick(["2", "3"]) }] },
      ]),
    },
  ],
});

/** Creates a policy, or replaces what it says when it is there already. */
export function put(
  name: string,
  weight: number,
  choose: (world: World) => readonly [ResourceKind, string],
  say: (world: World) => object,
): Action {
  return {
    name,
    weight,
    async run(world) {
      const [kind, own] = choose(world);
      const wanted = say(world);
      const object = {
        apiVersion: "policy.karmada.io/v1alpha1",
        kind: kind.kind,
        metadata: { ...(kind.namespaced ? { namespace: NAMESPACE } : {}), name: own },
        spec: wanted,
      } as unknown as KubeObject;
      try {
        await world.fleet.plane.create(kind, object);
        return `created ${kind.kind} ${own} ${JSON.stringify(wanted)}`;
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
      const done = await change(world, kind, own, (present) => ({ ...present, spec: wanted }) as KubeObject);
      return done ? `changed ${kind.kind} ${own} ${JSON.stringify(wanted)}` : undefined;
    },
  };
}

function remove(name: string, weight: number, kinds: readonly Parameters<typeof policiesOf>[1][]): Action {
  return {
    name,
    weight,
    async run(world) {
      const kind = world.pick(kinds);
      const policies = await policiesOf(world, kind);
      if (policies.length === 0) return undefined;
      const own = world.pick(policies).metadata.name ?? "";
      await world.fleet.plane.delete(kind as ResourceKind, {
        namespace: kind.namespaced ? NAMESPACE : undefined,
        name: own,
      });
      return `deleted ${kind.kind} ${own}`;
    },
  };
}

export const policyActions: readonly Action[] = [
  put("say a propagation policy", 7, propagation, spec),
  put("say an override policy", 4, overriding, overrideSpec),
  remove("delete a propagation policy", 2, [PropagationPolicy, ClusterPropagationPolicy]),
  remove("delete an override policy", 2, [OverridePolicy, ClusterOverridePolicy]),
];
