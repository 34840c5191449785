import { executionNamespace, KEPT, type ResourceBinding, Work, workName } from "#apis/karmada";
import { getPath, isNotFound, type KubeObject } from "#machinery";
import {
  allBindings,
  allPolicies,
  bindingFor,
  claimOf,
  clustersOf,
  isClaimed,
  isClaimedBy,
  isDuplicated,
  isSuspendedIn,
  namedClusters,
  neededIn,
  type Policies,
  rendered,
} from "../expected.ts";
import {
  type Checker,
  isManaged,
  kindOf,
  NAMESPACE,
  objectsOf,
  type Policy,
  templatesOf,
  type World,
} from "../world.ts";

const nameOf = ({ kind, metadata }: KubeObject) => `${kind} ${metadata.name}`;

const CONTENT: Readonly<Record<string, readonly (string | number)[]>> = {
  ConfigMap: ["data"],
  Deployment: ["spec", "template", "spec", "containers", 0, "image"],
  Widget: ["spec"],
};

/** Everything the template says of itself stands in the copy; members may add, and keep what they had before. */
function mustCarry(copy: KubeObject, wanted: KubeObject, where: string, hadOwn = false): void {
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
    if (!hadOwn && copy.metadata[map]?.[key] !== wanted.metadata[map]?.[key])
      differ(`${map}.${key}`, copy.metadata[map]?.[key], wanted.metadata[map]?.[key]);
  const path = CONTENT[wanted.kind] ?? [];
  const [got, expected] = [getPath(copy, ...path), getPath(wanted, ...path)];
  if (JSON.stringify(got) !== JSON.stringify(expected)) differ(path.join("."), got, expected);
}

interface Standing {
  /** Clusters with an object of the template's name, ours or not. */
  readonly objects: ReadonlyMap<string, KubeObject>;
  readonly works: ReadonlyMap<string, Work>;
}

async function standingOf(world: World, template: KubeObject): Promise<Standing> {
  const objects = new Map<string, KubeObject>();
  const works = new Map<string, Work>();
  const name = template.metadata.name ?? "";
  for (const cluster of world.clusters) {
    const object = await world.fleet.member(cluster).find(kindOf(world, template), { namespace: NAMESPACE, name });
    if (object !== undefined) objects.set(cluster, object);
    const work = await world.fleet.plane.find(Work, {
      namespace: executionNamespace(cluster),
      name: workName(template.kind, name, NAMESPACE),
    });
    if (work !== undefined) works.set(cluster, work);
  }
  return { objects, works };
}

/** Whether a member has won a contest over a field of the copy: what keeps flipping is left to it, on purpose. */
const isContested = (work: Work | undefined): boolean =>
  work?.status?.conditions?.some(({ type, status }) => type === "Contested" && status === "True") === true;

/** A Work that stays although its template went with its kind. */
const isKept = (work: Work | undefined): boolean => work?.metadata.annotations?.[KEPT] !== undefined;

const isHeldBack = (binding: ResourceBinding | undefined, cluster: string): boolean =>
  binding !== undefined && isSuspendedIn(binding as unknown as Policy, cluster);

/** A template that no policy claims: what depends on it decides, and it keeps what it had. */
function checkUnclaimed(
  template: KubeObject,
  { objects, works }: Standing,
  binding: ResourceBinding | undefined,
  needed: readonly string[],
): void {
  if (isClaimed(template)) throw new Error(`${nameOf(template)} carries marks of a policy that does not claim it`);
  for (const cluster of needed)
    if (objects.get(cluster) === undefined && !isHeldBack(binding, cluster))
      throw new Error(`${nameOf(template)} is missing in ${cluster}, where it is needed`);
  // A released binding keeps what it had.
  if (binding?.spec.placement !== undefined) return;
  for (const [cluster, object] of objects)
    if (isManaged(object) && !needed.includes(cluster) && !isKept(works.get(cluster)))
      throw new Error(`${nameOf(template)} stands in ${cluster}, where nothing needs it`);
}

function checkClaimed(
  template: KubeObject,
  policy: Policy,
  { objects, works }: Standing,
  binding: ResourceBinding | undefined,
  needed: readonly string[],
  policies: Policies,
  preserved: ReadonlySet<string>,
): void {
  if (!isClaimedBy(template, policy))
    throw new Error(
      `${nameOf(template)} must be claimed by ${nameOf(policy)}, carries ${JSON.stringify(template.metadata.labels)}`,
    );
  const named = new Set([...namedClusters(policy), ...needed]);
  const mustHave = isDuplicated(template, policy) ? named : new Set([...needed, ...clustersOf(binding)]);
  for (const [cluster, object] of objects)
    if (isManaged(object) && !named.has(cluster) && !isKept(works.get(cluster)))
      throw new Error(`${nameOf(template)} stands in ${cluster}, which ${nameOf(policy)} does not name`);
  const replicas = new Map((binding?.spec.clusters ?? []).map((target) => [target.name, target.replicas ?? 0]));
  for (const cluster of mustHave) {
    const where = `${nameOf(template)} in ${cluster}`;
    const work = works.get(cluster);
    if (work === undefined) throw new Error(`${where} has no Work`);
    if (isKept(work)) throw new Error(`the Work of ${where} is kept as one whose kind vanished`);
    const isSuspended = isSuspendedIn(policy, cluster);
    if ((work.spec?.suspendDispatching ?? false) !== isSuspended)
      throw new Error(`the Work of ${where} says suspendDispatching ${String(work.spec?.suspendDispatching)}`);
    const isPreserved = policy.spec["preserveResourcesOnDeletion"] === true;
    if ((work.spec?.preserveResourcesOnDeletion ?? false) !== isPreserved)
      throw new Error(`the Work of ${where} says preserveResourcesOnDeletion ${String(!isPreserved)}`);
    const wanted = rendered(template, cluster, policies);
    const [manifest] = (work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
    if (manifest !== undefined) mustCarry(manifest, wanted, `the manifest of ${where}`);
    const object = objects.get(cluster);
    if (isSuspended) {
      if (!work.status?.conditions?.some(({ type, status }) => type === "Dispatching" && status === "False"))
        throw new Error(`the Work of ${where} does not say that it is suspended`);
      continue;
    }
    if (object === undefined) throw new Error(`${nameOf(template)} is missing in ${cluster}`);
    if (!isManaged(object)) {
      if (policy.spec["conflictResolution"] === "Overwrite")
        throw new Error(`${where} is not ours, and ${nameOf(policy)} says Overwrite`);
      if (work.status?.conditions?.some(({ type, status }) => type === "Applied" && status === "True"))
        throw new Error(`the Work of ${where} says it is applied, the object is not ours`);
      continue;
    }
    if (isContested(work)) continue;
    mustCarry(object, wanted, where, preserved.has(object.metadata.uid ?? ""));
    const count = Number(getPath(object, "spec", "replicas"));
    if (template.kind === "Deployment" && count !== replicas.get(cluster))
      throw new Error(`${where} has ${count} replicas, was given ${String(replicas.get(cluster))}`);
  }
  if (template.kind === "Deployment") mustConserve(template, policy, [...replicas.values()]);
}

function mustConserve(template: KubeObject, policy: Policy, numbers: readonly number[]): void {
  const wanted = Number(getPath(template, "spec", "replicas"));
  const sum = numbers.reduce((total, count) => total + count, 0);
  if (isDuplicated(template, policy) ? numbers.some((count) => count !== wanted) : sum !== wanted)
    throw new Error(`${nameOf(template)} wants ${wanted} replicas, clusters were given ${JSON.stringify(numbers)}`);
}

async function check(world: World): Promise<void> {
  const [templates, policies, bindings] = await Promise.all([
    templatesOf(world),
    allPolicies(world),
    allBindings(world),
  ]);
  for (const template of templates) {
    const policy = claimOf(template, policies);
    const standing = await standingOf(world, template);
    const needed = neededIn(template, templates, bindings);
    const binding = bindingFor(bindings, template);
    if (policy === undefined) checkUnclaimed(template, standing, binding, needed);
    else checkClaimed(template, policy, standing, binding, needed, policies, world.preserved);
  }
  await nothingLeft(world, templates, bindings);
}

/**
 * Whether a Work's binding is still there, and its kind is not: the control plane stopped as the definition went. Nobody can
 * say then whether the template was deleted; everything stays until the definition is there again.
 */
async function waitsForItsKind(
  world: World,
  { metadata }: Work,
  manifest: KubeObject,
  bindings: ReadonlyMap<string, ResourceBinding>,
): Promise<boolean> {
  if (!bindings.has(metadata.annotations?.["resourcebinding.karmada.io/name"] ?? "")) return false;
  return world.fleet.plane.list(kindOf(world, manifest), { namespace: NAMESPACE }).then(
    () => false,
    (error: unknown) => isNotFound(error),
  );
}

/** No Work and no copy is left of a template that is gone, unless its kind went as well. */
async function nothingLeft(
  world: World,
  templates: readonly KubeObject[],
  bindings: ReadonlyMap<string, ResourceBinding>,
): Promise<void> {
  const names = new Set(templates.map(({ kind, metadata }) => workName(kind, metadata.name ?? "", NAMESPACE)));
  const keys = new Set(templates.map(nameOf));
  for (const cluster of world.clusters) {
    const { items } = await world.fleet.plane.list(Work, { namespace: executionNamespace(cluster) });
    const keptNames = new Set(items.filter(isKept).map(({ metadata }) => metadata.name ?? ""));
    for (const work of items) {
      const { metadata, spec } = work;
      const [manifest] = (spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
      const name = metadata.name ?? "";
      if (manifest?.metadata.namespace !== NAMESPACE || names.has(name) || keptNames.has(name)) continue;
      if (await waitsForItsKind(world, work, manifest, bindings)) keptNames.add(name);
      else throw new Error(`the Work ${metadata.name} of ${cluster} is left of a template that is gone`);
    }
    for (const copy of await objectsOf(world, world.fleet.member(cluster)))
      if (
        isManaged(copy) &&
        !keys.has(nameOf(copy)) &&
        !keptNames.has(workName(copy.kind, copy.metadata.name ?? "", NAMESPACE))
      )
        throw new Error(`a copy of ${nameOf(copy)} is left in ${cluster}`);
  }
}

export const convergence: Checker = {
  name: "members come to the state that is computed directly, and replicas are conserved",
  settled: check,
};
