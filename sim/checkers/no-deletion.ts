import { ConfigMap, Deployment } from "#apis/kubernetes";
import { executionNamespace, TEMPLATE_UID, Work, workName } from "#apis/karmada";
import type { KubeObject, ResourceKind } from "#machinery";
import { allPolicies, claimOf, isClaimed, isClaimedBy, isDuplicated, namedClusters } from "../expected.ts";
import { type Checker, NAMESPACE, templatesOf, type World } from "../world.ts";

interface Copy {
  /** The object's own identity in the member. */
  readonly uid: string;
  /** Whether its template wanted it when it was last looked at. */
  readonly isWanted: boolean;
  readonly templateUid: string | undefined;
}

type Seen = ReadonlyMap<string, Copy>;

/** Copies by `cluster kind/name`, and whether somebody wants them: a policy that claims the template, or nobody any more. */
async function look(world: World): Promise<Map<string, Copy>> {
  const [templates, policies] = await Promise.all([templatesOf(world), allPolicies(world)]);
  const byName = new Map(templates.map((template) => [`${template.kind}/${template.metadata.name}`, template]));
  // A deletion that was decided while the copy was not wanted may still be on its way to a slow member.
  const leaving = new Set(
    (await world.fleet.plane.list(Work)).items
      .filter(({ metadata }) => metadata.deletionTimestamp !== undefined)
      .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
  );
  const isWanted = (template: KubeObject | undefined, cluster: string): boolean => {
    if (template === undefined) return false;
    const work = workName(template.kind, template.metadata.name ?? "", NAMESPACE);
    if (leaving.has(`${executionNamespace(cluster)}/${work}`)) return false;
    const policy = claimOf(template, policies);
    // A template that no policy claims keeps the copies it has.
    if (policy === undefined) return !isClaimed(template);
    return isClaimedBy(template, policy) && isDuplicated(template, policy) && namedClusters(policy).includes(cluster);
  };
  const copies = new Map<string, Copy>();
  for (const cluster of world.clusters)
    for (const kind of [ConfigMap, Deployment] as const)
      for (const { metadata } of (
        await world.fleet.member(cluster).list(kind as ResourceKind, { namespace: NAMESPACE })
      ).items) {
        if (metadata.labels?.["karmada.io/managed"] !== "true" || metadata.deletionTimestamp !== undefined) continue;
        const key = `${kind.kind}/${metadata.name}`;
        const template = byName.get(key);
        copies.set(`${cluster} ${key}`, {
          uid: metadata.uid ?? "",
          // A copy of an earlier template of the same name goes with it.
          isWanted: isWanted(template, cluster) && metadata.annotations?.[TEMPLATE_UID] === template?.metadata.uid,
          templateUid: template?.metadata.uid,
        });
      }
  // What is wanted now although there is no copy: remembered under an empty identity.
  for (const [key, template] of byName)
    for (const cluster of world.clusters)
      if (!copies.has(`${cluster} ${key}`))
        copies.set(`${cluster} ${key}`, {
          uid: "",
          isWanted: isWanted(template, cluster),
          templateUid: template.metadata.uid,
        });
  return copies;
}

export const noDeletion: Checker = {
  name: "no object is deleted that a policy still wants",
  async watch(world, before) {
    const now = await look(world);
    for (const [key, copy] of (before as Seen | undefined) ?? new Map<string, Copy>()) {
      if (copy.uid === "" || !copy.isWanted) continue;
      const present = now.get(key);
      const isSameTemplate = present?.templateUid === copy.templateUid;
      if (present?.uid === copy.uid || !isSameTemplate || present?.isWanted !== true) continue;
      if (world.deletedInMembers.delete(key)) continue;
      throw new Error(`the copy ${key} was deleted although it was wanted before and after`);
    }
    return now;
  },
};
