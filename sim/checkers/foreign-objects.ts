import { ConfigMap, Deployment } from "#apis/kubernetes";
import type { ResourceKind } from "#machinery";
import { type Checker, NAMESPACE, type World } from "../world.ts";

/** No member object is touched that is not ours: what members own stays to the letter, and gets no mark of ours. */
async function check(world: World): Promise<void> {
  for (const { cluster, kind, name, uid, text } of world.foreign) {
    const found = await world.fleet.member(cluster).find(kind, { namespace: NAMESPACE, name });
    if (found === undefined) throw new Error(`${kind.kind} ${name} of ${cluster}'s own was deleted`);
    if (found.metadata.uid !== uid) throw new Error(`${kind.kind} ${name} of ${cluster}'s own was replaced`);
    if (JSON.stringify(found) !== text)
      throw new Error(`${kind.kind} ${name} of ${cluster}'s own was changed: ${JSON.stringify(found)}`);
  }
  for (const cluster of world.clusters)
    for (const kind of [ConfigMap, Deployment] as const)
      for (const { metadata } of (
        await world.fleet.member(cluster).list(kind as ResourceKind, { namespace: "kube-system" })
      ).items)
        if (metadata.labels?.["karmada.io/managed"] === "true")
          throw new Error(`${kind.kind} ${metadata.name} of ${cluster}'s system namespace carries our mark`);
}

export const foreignObjects: Checker = {
  name: "no member object is touched that is not ours",
  watch: async (world) => check(world),
  settled: check,
};
