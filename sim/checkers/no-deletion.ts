import { executionNamespace, KEPT, TEMPLATE_UID, Work, workName } from "#apis/karmada";
import { getPath, type KubeObject } from "#machinery";
import {
  allBindings,
  allPolicies,
  bindingFor,
  claimOf,
  clustersOf,
  isClaimed,
  isClaimedBy,
  isDuplicated,
  isLazy,
  namedClusters,
  neededIn,
} from "../expected.ts";
import { type Checker, NAMESPACE, objectsOf, templatesOf, type World } from "../world.ts";

interface Copy {
  /** The object's own identity in the member. */
  readonly uid: string;
  /** Whether its template wanted it when it was last looked at. */
  readonly isWanted: boolean;
  readonly templateUid: string | undefined;
  /** Of the binding that decides, where it does: what flips in between is not seen. */
  readonly generation: number | undefined;
}

type Seen = ReadonlyMap<string, Copy>;

const KEPT_TEMPLATE = "kept";
/** So long after a definition was dropped, what a cluster says it serves may still lag behind. */
const LAG_MS = 300_000;

/** Copies by `cluster kind/name`, and whether somebody wants them: a policy that claims the template, or nobody any more. */
async function look(world: World): Promise<Map<string, Copy>> {
  const [templates, policies, bindings] = await Promise.all([
    templatesOf(world),
    allPolicies(world),
    allBindings(world),
  ]);
  const byName = new Map(templates.map((template) => [`${template.kind}/${template.metadata.name}`, template]));
  const works = new Map(
    (await world.fleet.plane.list(Work)).items.map((work) => [
      `${work.metadata.namespace}/${work.metadata.name}`,
      work,
    ]),
  );
  const workOf = (kind: string, name: string, cluster: string) =>
    works.get(`${executionNamespace(cluster)}/${workName(kind, name, NAMESPACE)}`);
  const isWanted = (template: KubeObject | undefined, cluster: string): boolean => {
    if (template === undefined) return false;
    // A deletion that was decided while the copy was not wanted may still be on its way to a slow member.
    if (workOf(template.kind, template.metadata.name ?? "", cluster)?.metadata.deletionTimestamp !== undefined)
      return false;
    const binding = bindingFor(bindings, template);
    const needed = neededIn(template, templates, bindings);
    if (needed.includes(cluster)) return clustersOf(binding).includes(cluster) || isRequired(binding, cluster);
    const policy = claimOf(template, policies);
    // A template that no policy claims keeps the copies it has, unless it only followed others.
    if (policy === undefined)
      return (
        !isClaimed(template) && (binding?.spec.placement === undefined ? false : clustersOf(binding).includes(cluster))
      );
    if (!isClaimedBy(template, policy) || !isDuplicated(template, policy)) return false;
    // What is not scheduled is wanted nowhere yet, whoever else has needed it.
    const isSuspended =
      (binding?.spec.suspension as { readonly scheduling?: boolean } | undefined)?.scheduling === true;
    if (isSuspended && !clustersOf(binding).includes(cluster)) return false;
    if (!isLazy(policy)) return namedClusters(policy).includes(cluster);
    // Until its user touches the template, what the policy said when he last did holds.
    const names = getPath(binding ?? {}, "spec", "placement", "clusterAffinity", "clusterNames");
    return Array.isArray(names) && names.includes(cluster) && clustersOf(binding).includes(cluster);
  };
  const copies = new Map<string, Copy>();
  for (const cluster of world.clusters)
    for (const { kind, metadata } of await objectsOf(world, world.fleet.member(cluster))) {
      if (metadata.labels?.["karmada.io/managed"] !== "true" || metadata.deletionTimestamp !== undefined) continue;
      const key = `${kind}/${metadata.name}`;
      const template = byName.get(key);
      const isKept = workOf(kind, metadata.name ?? "", cluster)?.metadata.annotations?.[KEPT] !== undefined;
      copies.set(`${cluster} ${key}`, {
        uid: metadata.uid ?? "",
        // A copy of an earlier template of the same name goes with it.
        isWanted:
          (template === undefined && isKept) ||
          (isWanted(template, cluster) && metadata.annotations?.[TEMPLATE_UID] === template?.metadata.uid),
        templateUid: template?.metadata.uid ?? (isKept ? KEPT_TEMPLATE : undefined),
        generation: template === undefined ? undefined : bindingFor(bindings, template)?.metadata.generation,
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
          generation: bindingFor(bindings, template)?.metadata.generation,
        });
  return copies;
}

const isRequired = (binding: ReturnType<typeof bindingFor>, cluster: string) =>
  binding?.spec.requiredBy?.some(({ clusters }) => clusters?.some(({ name }) => name === cluster)) === true;

/** Whether a definition went lately, in the member or in the control plane. */
const isDropped = ({ droppedMs, fleet }: World, where: string): boolean =>
  fleet.clock.monotonicMs() - (droppedMs.get(where) ?? Number.NEGATIVE_INFINITY) < LAG_MS;

export const noDeletion: Checker = {
  name: "no object is deleted that a policy still wants",
  async watch(world, before) {
    const now = await look(world);
    for (const [key, copy] of (before as Seen | undefined) ?? new Map<string, Copy>()) {
      if (copy.uid === "" || !copy.isWanted) continue;
      const present = now.get(key);
      if (present?.uid === copy.uid) continue;
      const [cluster = "", name = ""] = key.split(" ");
      const isCustom = name.startsWith("Widget/");
      if (isCustom && isDropped(world, cluster)) continue;
      // A kind that went took its templates along; nobody decided anything about their copies.
      const isOrphanOfKind =
        isCustom && present?.templateUid === undefined && !world.deletedTemplates.has(copy.templateUid ?? "");
      const isSameTemplate = present?.templateUid === copy.templateUid;
      if (!isOrphanOfKind && (!isSameTemplate || present?.isWanted !== true)) continue;
      if (world.deletedInMembers.delete(key)) continue;
      const isSteady = Math.abs((present?.generation ?? 0) - (copy.generation ?? 0)) < 2;
      if (!isOrphanOfKind && world.kinds.length > 2 && !isSteady) continue;
      throw new Error(`the copy ${key} was deleted although it was wanted before and after`);
    }
    return now;
  },
};
