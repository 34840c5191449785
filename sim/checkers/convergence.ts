import { ConfigMap, Deployment } from "#apis/kubernetes";
import { executionNamespace, Work, workName } from "#apis/karmada";
import { getPath, type KubeObject, type ResourceKind } from "#machinery";
import { allPolicies, claimOf, isClaimed, isClaimedBy, isDuplicated, namedClusters, rendered } from "../expected.ts";
import { type Checker, NAMESPACE, templatesOf, type World } from "../world.ts";

const kindOf = ({ kind }: KubeObject): ResourceKind => (kind === "ConfigMap" ? ConfigMap : Deployment) as ResourceKind;
const nameOf = ({ kind, metadata }: KubeObject) => `${kind} ${metadata.name}`;

/** Everything the template says of itself stands in the copy; members may add. */
function mustCarry(copy: KubeObject, wanted: KubeObject, where: string): void {
  const differ = (what: string, got: unknown, expected: unknown): never => {
    throw new Error(`${what} of ${where} is ${JSON.stringify(got)}, not ${JSON.stringify(expected)}`);
  };
  for (const map of ["labels", "annotations"] as const)
    for (const [key, value] of Object.entries(wanted.metadata[map] ?? {}))
      if (copy.metadata[map]?.[key] !== value) differ(`${map}.${key}`, copy.metadata[map]?.[key], value);
  for (const [map, key] of [
    ["labels", "stage"],
    ["annotations", "note"],
  ] as const)
    if (copy.metadata[map]?.[key] !== wanted.metadata[map]?.[key])
      differ(`${map}.${key}`, copy.metadata[map]?.[key], wanted.metadata[map]?.[key]);
  const paths = wanted.kind === "ConfigMap" ? [["data"]] : [["spec", "template", "spec", "containers", 0, "image"]];
  for (const path of paths) {
    const [got, expected] = [getPath(copy, ...path), getPath(wanted, ...path)];
    if (JSON.stringify(got) !== JSON.stringify(expected)) differ(path.join("."), got, expected);
  }
}

async function copiesOf(world: World, template: KubeObject): Promise<ReadonlyMap<string, KubeObject>> {
  const found = new Map<string, KubeObject>();
  for (const cluster of world.clusters) {
    const copy = await world.fleet
      .member(cluster)
      .find(kindOf(template), { namespace: NAMESPACE, name: template.metadata.name ?? "" });
    if (copy?.metadata.labels?.["karmada.io/managed"] === "true") found.set(cluster, copy);
  }
  return found;
}

/** Clusters whose member has won a contest over a field of the copy. */
async function contestedClusters(world: World, { kind, metadata }: KubeObject): Promise<ReadonlySet<string>> {
  const name = workName(kind, metadata.name ?? "", NAMESPACE);
  const found = new Set<string>();
  for (const cluster of world.clusters) {
    const work = await world.fleet.plane.find(Work, { namespace: executionNamespace(cluster), name });
    if (work?.status?.conditions?.some(({ type, status }) => type === "Contested" && status === "True"))
      found.add(cluster);
  }
  return found;
}

async function check(world: World): Promise<void> {
  const [templates, policies] = await Promise.all([templatesOf(world), allPolicies(world)]);
  for (const template of templates) {
    const policy = claimOf(template, policies);
    if (policy === undefined) {
      if (isClaimed(template)) throw new Error(`${nameOf(template)} carries marks of a policy that does not claim it`);
      continue;
    }
    if (!isClaimedBy(template, policy))
      throw new Error(
        `${nameOf(template)} must be claimed by ${nameOf(policy)}, carries ${JSON.stringify(template.metadata.labels)}`,
      );
    const named = namedClusters(policy);
    const copies = await copiesOf(world, template);
    for (const cluster of copies.keys())
      if (!named.includes(cluster))
        throw new Error(`${nameOf(template)} stands in ${cluster}, which ${nameOf(policy)} does not name`);
    if (isDuplicated(template, policy))
      for (const cluster of named)
        if (!copies.has(cluster)) throw new Error(`${nameOf(template)} is missing in ${cluster}`);
    const contested = await contestedClusters(world, template);
    // What keeps flipping is left to the member, on purpose.
    if (contested.size > 0) continue;
    for (const [cluster, copy] of copies)
      mustCarry(copy, rendered(template, cluster, policies), `${nameOf(template)} in ${cluster}`);
    if (template.kind !== "Deployment") continue;
    const wanted = Number(getPath(template, "spec", "replicas"));
    const numbers = [...copies.values()].map((copy) => Number(getPath(copy, "spec", "replicas")));
    const sum = numbers.reduce((total, count) => total + count, 0);
    if (isDuplicated(template, policy) ? numbers.some((count) => count !== wanted) : sum !== wanted)
      throw new Error(`${nameOf(template)} wants ${wanted} replicas, copies have ${JSON.stringify(numbers)}`);
  }
  await nothingLeft(world, templates);
}

/** No Work and no copy is left of a template that is gone. */
async function nothingLeft(world: World, templates: readonly KubeObject[]): Promise<void> {
  const names = new Set(templates.map(({ kind, metadata }) => workName(kind, metadata.name ?? "", NAMESPACE)));
  const keys = new Set(templates.map(nameOf));
  for (const cluster of world.clusters) {
    for (const { metadata, spec } of (await world.fleet.plane.list(Work, { namespace: executionNamespace(cluster) }))
      .items) {
      const [manifest] = (spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
      if (manifest?.metadata.namespace === NAMESPACE && !names.has(metadata.name ?? ""))
        throw new Error(`the Work ${metadata.name} of ${cluster} is left of a template that is gone`);
    }
    for (const kind of [ConfigMap, Deployment] as const)
      for (const copy of (await world.fleet.member(cluster).list(kind as ResourceKind, { namespace: NAMESPACE })).items)
        if (copy.metadata.labels?.["karmada.io/managed"] === "true" && !keys.has(nameOf({ ...copy, kind: kind.kind })))
          throw new Error(`a copy of ${kind.kind} ${copy.metadata.name} is left in ${cluster}`);
  }
}

export const convergence: Checker = {
  name: "members come to the state that is computed directly, and replicas are conserved",
  settled: check,
};
