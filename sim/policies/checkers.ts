import { executionNamespace, type ResourceBinding, Work, workName } from "#apis/karmada";
import { deepEqual } from "#base";
import type { KubeObject } from "#machinery";
import { checkers as common } from "../checkers/index.ts";
import { allBindings, allPolicies, bindingFor, claimOf, isClaimedBy, isLazy } from "../expected.ts";
import { type Checker, isManaged, NAMESPACE, objectsOf, templatesOf, type World } from "../world.ts";

/** So long nothing must have been done for what was done before to have had its effect in the control plane. */
const REST_MS = 5_000;

/** Compares states that are at least `REST_MS` apart, so that nothing of before the first is still under way. */
function paced<T>(
  name: string,
  look: (world: World) => Promise<T>,
  compare: (before: T, now: T, world: World) => void,
  /** Looks at what happens between the two states: gives the first anew when it must not be compared as it was. */
  meanwhile?: (before: T, world: World) => Promise<T>,
): Checker {
  interface Memory {
    readonly seen: T;
    readonly atMs: number;
    /** How long nothing had been done before it was seen. */
    readonly isAtRest: boolean;
    readonly lastMs: number;
  }
  return {
    name,
    async watch(world, before) {
      const nowMs = world.fleet.clock.monotonicMs();
      const memory = before as Memory | undefined;
      const isAtRest = memory !== undefined && nowMs - memory.lastMs >= REST_MS;
      if (memory !== undefined && !isAtRest)
        return { ...memory, seen: (await meanwhile?.(memory.seen, world)) ?? memory.seen, lastMs: nowMs };
      const seen = await look(world);
      if (memory?.isAtRest) compare(memory.seen, seen, world);
      return { seen, atMs: nowMs, isAtRest, lastMs: nowMs };
    },
  };
}

/** What a policy decides of a binding, apart from what its own administrator does. */
const decided = (binding: ResourceBinding | undefined): unknown => {
  // Without a placement it is there for others only.
  if (binding?.spec.placement === undefined) return undefined;
  const { placement, propagateDeps, conflictResolution, preserveResourcesOnDeletion, suspension } = binding.spec;
  const { scheduling: _own, ...dispatching } = (suspension ?? {}) as Readonly<Record<string, unknown>>;
  return { placement, propagateDeps, conflictResolution, preserveResourcesOnDeletion, dispatching };
};

interface Waiting {
  readonly template: string | undefined;
  readonly edits: number;
  readonly policy: string;
  readonly generation: number;
  readonly decided: unknown;
}

async function waiting(world: World): Promise<ReadonlyMap<string, Waiting>> {
  const [templates, policies, bindings] = await Promise.all([
    templatesOf(world),
    allPolicies(world),
    allBindings(world),
  ]);
  const found = new Map<string, Waiting>();
  for (const template of templates) {
    const policy = claimOf(template, policies);
    if (policy === undefined || !isLazy(policy) || !isClaimedBy(template, policy)) continue;
    found.set(`${template.kind} ${template.metadata.name}`, {
      template: template.metadata.uid,
      edits: world.edits.get(template.metadata.uid ?? "") ?? 0,
      policy: `${policy.kind} ${policy.metadata.uid}`,
      generation: policy.metadata.generation ?? 0,
      decided: decided(bindingFor(bindings, template)),
    });
  }
  return found;
}

const laziness = paced<ReadonlyMap<string, Waiting>>(
  "a lazily activated policy changes nothing until its user changes the template",
  waiting,
  (before, now) => {
    for (const [key, old] of before) {
      const present = now.get(key);
      const isLeftAlone =
        present !== undefined &&
        present.template === old.template &&
        present.policy === old.policy &&
        present.generation - old.generation < 2 &&
        present.edits === old.edits;
      if (isLeftAlone && !deepEqual(present.decided, old.decided))
        throw new Error(
          `the binding of ${key} says ${JSON.stringify(present.decided)} instead of ${JSON.stringify(old.decided)}, nobody changed its template`,
        );
    }
  },
  // A template that went to another policy and came back is claimed anew, which takes effect.
  async (before, world) => {
    const now = await waiting(world);
    return new Map([...before].filter(([key, { policy }]) => now.get(key)?.policy === policy));
  },
);

const scheduling = paced<ReadonlyMap<string, ResourceBinding>>(
  "a binding whose scheduling is suspended keeps its clusters",
  allBindings,
  (before, now) => {
    for (const [name, old] of before) {
      const present = now.get(name);
      const isSuspended = (binding: ResourceBinding | undefined) =>
        (binding?.spec.suspension as { readonly scheduling?: boolean } | undefined)?.scheduling === true;
      if (present?.metadata.uid !== old.metadata.uid || !isSuspended(old) || !isSuspended(present)) continue;
      const isFlipped = (present?.metadata.generation ?? 0) - (old.metadata.generation ?? 0) > 1;
      if (!isFlipped && !deepEqual(old.spec.clusters, present?.spec.clusters))
        throw new Error(
          `${name} was given ${JSON.stringify(present?.spec.clusters)} instead of ${JSON.stringify(old.spec.clusters)}`,
        );
    }
  },
);

interface Held {
  readonly work: Work;
  readonly copy: KubeObject | undefined;
}

const content = (object: KubeObject | undefined): unknown => {
  if (object === undefined) return undefined;
  const {
    resourceVersion: _version,
    managedFields: _fields,
    generation: _generation,
    annotations,
    ...metadata
  } = object.metadata;
  const { "deployment.kubernetes.io/revision": _revision, ...own } = annotations ?? {};
  const { status: _status, ...rest } = object as KubeObject & { readonly status?: unknown };
  return { ...rest, metadata: { ...metadata, annotations: own } };
};

const dispatching = paced<ReadonlyMap<string, Held>>(
  "nothing is carried out in members while dispatching is suspended",
  async (world) => {
    const works = (await world.fleet.plane.list(Work)).items.filter(
      ({ spec, status }) =>
        spec?.suspendDispatching === true &&
        status?.conditions?.some((condition) => condition.type === "Dispatching" && condition.status === "False"),
    );
    const found = new Map<string, Held>();
    for (const cluster of world.clusters) {
      const objects = await objectsOf(world, world.fleet.member(cluster));
      for (const work of works) {
        if (work.metadata.namespace !== `karmada-es-${cluster}`) continue;
        const [manifest] = (work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
        if (manifest?.metadata.namespace !== NAMESPACE) continue;
        const copy = objects.find(
          ({ kind, metadata }) => kind === manifest.kind && metadata.name === manifest.metadata.name,
        );
        found.set(`${cluster} ${manifest.kind}/${manifest.metadata.name}`, { work, copy });
      }
    }
    return found;
  },
  (before, now, world) => {
    for (const [key, old] of before) {
      const present = now.get(key);
      const isResumed =
        present === undefined ||
        present.work.metadata.uid !== old.work.metadata.uid ||
        present.work.metadata.deletionTimestamp !== undefined ||
        (present.work.metadata.generation ?? 0) - (old.work.metadata.generation ?? 0) > 1;
      const [cluster = "", name = ""] = key.split(" ");
      const isOther =
        world.changedInMembers.has(key) ||
        world.foreign.some((own) => own.cluster === cluster && `${own.kind.kind}/${own.name}` === name) ||
        (name.startsWith("Widget/") && world.droppedMs.has(cluster));
      // What was on its way when it was suspended may still have arrived at a slow member.
      if (isResumed || isOther || world.fleet.simulated(cluster).faults.latencyMs > 0) continue;
      if (!deepEqual(content(old.copy), content(present.copy)))
        throw new Error(
          `${key} was ${JSON.stringify(content(old.copy))}, is ${JSON.stringify(content(present.copy))} while it is suspended`,
        );
    }
    world.changedInMembers.clear();
  },
);

interface Preserved {
  readonly uid: string;
  readonly work: Work | undefined;
  readonly template: string | undefined;
  readonly isPreserved: boolean;
}

/** Copies of templates that go while policy, binding and Work agree that they are to be preserved. */
const preservation: Checker = {
  name: "what is to be preserved when its template goes stays in members",
  async watch(world, before) {
    const [templates, policies, bindings] = await Promise.all([
      templatesOf(world),
      allPolicies(world),
      allBindings(world),
    ]);
    const works = new Map(
      (await world.fleet.plane.list(Work)).items.map((work) => [
        `${work.metadata.namespace} ${work.metadata.annotations?.["resourcebinding.karmada.io/name"]}`,
        work,
      ]),
    );
    const named = new Map(
      [...works.values()].map((work) => [`${work.metadata.namespace} ${work.metadata.name}`, work]),
    );
    const now = new Map<string, Preserved>();
    for (const cluster of world.clusters)
      for (const copy of await objectsOf(world, world.fleet.member(cluster))) {
        if (!isManaged(copy)) world.preserved.add(copy.metadata.uid ?? "");
        const template = templates.find(
          ({ kind, metadata }) => kind === copy.kind && metadata.name === copy.metadata.name,
        );
        const policy = template === undefined ? undefined : claimOf(template, policies);
        const binding = template === undefined ? undefined : bindingFor(bindings, template);
        const work = works.get(`karmada-es-${cluster} ${binding?.metadata.name}`);
        now.set(`${cluster} ${copy.kind}/${copy.metadata.name}`, {
          uid: copy.metadata.uid ?? "",
          work: named.get(`${executionNamespace(cluster)} ${workName(copy.kind, copy.metadata.name ?? "", NAMESPACE)}`),
          template: template?.metadata.uid,
          isPreserved:
            isManaged(copy) &&
            policy?.spec["preserveResourcesOnDeletion"] === true &&
            binding?.spec.preserveResourcesOnDeletion === true &&
            work?.spec?.preserveResourcesOnDeletion === true &&
            work.metadata.deletionTimestamp === undefined,
        });
      }
    for (const [key, { uid, work }] of (before as ReadonlyMap<string, Preserved> | undefined) ?? now)
      if (work?.spec?.preserveResourcesOnDeletion === true && work.metadata.uid !== now.get(key)?.work?.metadata.uid)
        world.preserved.add(uid);
    for (const [key, copy] of (before as ReadonlyMap<string, Preserved> | undefined) ?? new Map<string, Preserved>()) {
      if (!copy.isPreserved || now.get(key)?.uid === copy.uid) continue;
      const [cluster = ""] = key.split(" ");
      // While it is there another policy may have taken it, which says otherwise.
      if (templates.some(({ metadata }) => metadata.uid === copy.template)) continue;
      if (world.deletedInMembers.has(key) || (key.includes(" Widget/") && world.droppedMs.has(cluster))) continue;
      throw new Error(`the copy ${key} was to be preserved and is gone`);
    }
    return now;
  },
};

export const checkers: readonly Checker[] = [preservation, ...common, laziness, scheduling, dispatching];
