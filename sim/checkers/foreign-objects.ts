import { ClusterPropagationPolicy, PropagationPolicy } from "#apis/karmada";
import { ConfigMap, Deployment } from "#apis/kubernetes";
import type { ResourceKind } from "#machinery";
import { allBindings } from "../expected.ts";
import { type Checker, type Foreign, isManaged, NAMESPACE, policiesOf, type World } from "../world.ts";

/** What a slow member is asked may be done so long after nobody wants it any more. */
const ON_ITS_WAY_MS = 10_000;

/**
 * Whether any policy lets us take over what a member has, or a binding that still says what a policy said once. Which one
 * claims what is not asked: it may have changed.
 */
async function mayTake(world: World): Promise<boolean> {
  const specs = [
    ...(await policiesOf(world, PropagationPolicy)),
    ...(await policiesOf(world, ClusterPropagationPolicy)),
    ...(await allBindings(world)).values(),
  ].map(({ spec }) => spec as { readonly conflictResolution?: string });
  return specs.some(({ conflictResolution }) => conflictResolution === "Overwrite");
}

/** No member object is touched that is not ours: what members own stays to the letter, and gets no mark of ours. */
async function check(world: World, couldTakeMs: number): Promise<number> {
  const nowMs = world.fleet.clock.monotonicMs();
  const canTakeMs = (await mayTake(world)) ? nowMs : couldTakeMs;
  const taken: Foreign[] = [];
  for (const own of world.foreign) {
    const { cluster, kind, name, uid, text } = own;
    const found = await world.fleet.member(cluster).find(kind, { namespace: NAMESPACE, name });
    if (found === undefined) throw new Error(`${kind.kind} ${name} of ${cluster}'s own was deleted`);
    if (found.metadata.uid !== uid) throw new Error(`${kind.kind} ${name} of ${cluster}'s own was replaced`);
    if (JSON.stringify(found) === text) continue;
    // A name no template ever has is nobody's to take, whatever policies say.
    if (isManaged(found) && nowMs - canTakeMs <= ON_ITS_WAY_MS && !name.startsWith("own-")) taken.push(own);
    else throw new Error(`${kind.kind} ${name} of ${cluster}'s own was changed: ${JSON.stringify(found)}`);
  }
  for (const own of taken) world.foreign.splice(world.foreign.indexOf(own), 1);
  for (const cluster of world.clusters)
    for (const kind of [ConfigMap, Deployment] as const)
      for (const { metadata } of (
        await world.fleet.member(cluster).list(kind as ResourceKind, { namespace: "kube-system" })
      ).items)
        if (metadata.labels?.["karmada.io/managed"] === "true")
          throw new Error(`${kind.kind} ${metadata.name} of ${cluster}'s system namespace carries our mark`);
  return canTakeMs;
}

export const foreignObjects: Checker = {
  name: "no member object is touched that is not ours",
  watch: async (world, before) => check(world, (before as number | undefined) ?? Number.NEGATIVE_INFINITY),
  settled: async (world) => void (await check(world, Number.NEGATIVE_INFINITY)),
};
