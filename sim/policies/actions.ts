import { ClusterPropagationPolicy, PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { ConfigMap, Deployment } from "#apis/kubernetes";
import { getPath, isAlreadyExists, type KubeObject, type ResourceKind, setPath, withAnnotations } from "#machinery";
import { memberActions } from "../actions/members.ts";
import { placement, policyActions, put, selector } from "../actions/policies.ts";
import { deployment, NAMES, templateActions } from "../actions/templates.ts";
import { restart } from "../actions/index.ts";
import { type Action, change, kindOf, NAMESPACE, templatesOf, type World } from "../world.ts";
import { definitionActions, Widget } from "./definitions.ts";

const KINDS = [
  { apiVersion: "v1", kind: "ConfigMap" },
  { apiVersion: "apps/v1", kind: "Deployment" },
  { apiVersion: "sim.example.io/v1", kind: "Widget" },
];

const anySelector = (world: World) => selector(world, KINDS);
const named = (world: World) => ({ ...world.pick(KINDS), namespace: NAMESPACE, name: world.pick(NAMES) });

function suspension(world: World): object {
  if (!world.chance(0.25)) return {};
  const clusterNames = world.clusters.filter(() => world.chance(0.5));
  return {
    suspension:
      world.chance(0.5) || clusterNames.length === 0
        ? { dispatching: true }
        : { dispatchingOnClusters: { clusterNames } },
  };
}

/** Everything a policy may say that changes how what it claims is carried out. */
function spec(world: World): object {
  const isPreempting = world.chance(0.25);
  const select = isPreempting ? named : anySelector;
  return {
    resourceSelectors: Array.from({ length: 1 + world.random.below(2) }, () => select(world)),
    placement: placement(world),
    priority: world.random.below(4),
    ...(isPreempting ? { preemption: "Always" } : {}),
    ...(world.chance(0.2) ? { conflictResolution: "Overwrite" } : {}),
    ...(world.chance(0.4) ? { propagateDeps: true } : {}),
    ...(world.chance(0.25) ? { activationPreference: "Lazy" } : {}),
    ...(world.chance(0.25) ? { preserveResourcesOnDeletion: true } : {}),
    ...suspension(world),
  };
}

const policy = (world: World): readonly [ResourceKind, string] =>
  world.chance(0.7)
    ? [PropagationPolicy as ResourceKind, world.pick(["p1", "p2", "p3"])]
    : [ClusterPropagationPolicy as ResourceKind, world.pick(["x1", "x2"])];

/** Changes one thing a present policy says, as a user does who edits it. */
const edit: Action = {
  name: "change one thing of a propagation policy",
  weight: 5,
  async run(world) {
    const [kind, name] = policy(world);
    const [field, value] = world.pick<readonly [string, unknown]>([
      ["activationPreference", world.pick([undefined, "Lazy"])],
      ["suspension", (suspension(world) as { readonly suspension?: object }).suspension],
      ["suspension", undefined],
      ["preserveResourcesOnDeletion", world.chance(0.5)],
      ["propagateDeps", world.chance(0.6)],
      ["conflictResolution", world.pick(["Abort", "Overwrite"])],
      ["priority", world.random.below(4)],
      ["placement", placement(world)],
    ]);
    const done = await change(world, kind, name, (present) => {
      const { [field]: _before, ...rest } = (present as unknown as { readonly spec: Record<string, unknown> }).spec;
      return { ...present, spec: value === undefined ? rest : { ...rest, [field]: value } } as unknown as KubeObject;
    });
    return done ? `changed ${kind.kind} ${name}: ${field} is ${JSON.stringify(value)}` : undefined;
  },
};

/** Somebody stops and resumes scheduling of one binding, which no policy says anything about. */
const suspendScheduling: Action = {
  name: "suspend or resume scheduling",
  weight: 2,
  async run(world) {
    const { items } = await world.fleet.plane.list(ResourceBinding, { namespace: NAMESPACE });
    if (items.length === 0) return undefined;
    const { metadata } = world.pick(items);
    const scheduling = world.chance(0.5);
    const done = await change(world, ResourceBinding as ResourceKind, metadata.name ?? "", (present) =>
      setPath(present, ["spec", "suspension", "scheduling"], scheduling),
    );
    return done ? `${scheduling ? "suspended" : "resumed"} scheduling of ${metadata.name}` : undefined;
  },
};

const withReferences = (world: World, object: KubeObject): KubeObject =>
  setPath(
    object,
    ["spec", "template", "spec", "containers", 0, "envFrom"],
    NAMES.filter(() => world.chance(0.35)).map((name) => ({ configMapRef: { name, optional: true } })),
  );

const makeWorkload: Action = {
  name: "create a workload that needs ConfigMaps",
  weight: 4,
  async run(world) {
    const name = world.pick(NAMES);
    const object = withReferences(world, deployment(world, name) as unknown as KubeObject);
    try {
      await world.fleet.plane.create(Deployment as ResourceKind, object);
    } catch (error) {
      if (isAlreadyExists(error)) return undefined;
      throw error;
    }
    return `created Deployment ${name} ${JSON.stringify(object.metadata.labels?.["tier"])} that needs ${references(object)}`;
  },
};

const references = (object: KubeObject): string => {
  const sources = getPath(object, "spec", "template", "spec", "containers", 0, "envFrom");
  return JSON.stringify(sources ?? []);
};

const editReferences: Action = {
  name: "change what a workload needs",
  weight: 3,
  async run(world) {
    const workloads = (await templatesOf(world)).filter(({ kind }) => kind === "Deployment");
    if (workloads.length === 0) return undefined;
    const name = world.pick(workloads).metadata.name ?? "";
    let said = "";
    const done = await change(world, Deployment as ResourceKind, name, (present) => {
      const wanted = withReferences(world, present);
      said = references(wanted);
      return wanted;
    });
    return done ? `changed what Deployment ${name} needs: ${said}` : undefined;
  },
};

/** An object of a member's own under a name a template may want as well. */
const own: Action = {
  name: "make an object of the member's own under a template's name",
  weight: 2,
  async run(world) {
    const cluster = world.pick(world.clusters);
    const name = world.pick(NAMES);
    const object = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: NAMESPACE, name, labels: { owner: "member" } },
      data: { mine: String(world.random.below(100)) },
    } as unknown as ConfigMap;
    try {
      const made = await world.fleet.member(cluster).create(ConfigMap, object);
      const kind = ConfigMap as ResourceKind;
      world.foreign.push({ cluster, kind, name, uid: made.metadata.uid ?? "", text: JSON.stringify(made) });
    } catch (error) {
      if (isAlreadyExists(error)) return undefined;
      throw error;
    }
    return `made an own ConfigMap ${name} in ${cluster}`;
  },
};

/** Touches every template, as a user who wants a lazily activated policy to take effect. */
export async function touchAll(world: World): Promise<void> {
  for (const template of await templatesOf(world))
    await change(world, kindOf(world, template), template.metadata.name ?? "", (present) =>
      withAnnotations(present, { touched: "at the end" }),
    );
}

export const actions: readonly Action[] = [
  ...templateActions,
  ...policyActions.filter(({ name }) => name !== "say a propagation policy"),
  ...memberActions,
  restart,
  ...definitionActions,
  put("say a propagation policy", 8, policy, spec),
  edit,
  suspendScheduling,
  makeWorkload,
  editReferences,
  own,
];

export { Widget };
