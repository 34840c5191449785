import { CustomResourceDefinition } from "#apis/kubernetes";
import { type Client, retryOnConflict } from "#client";
import { isAlreadyExists, type KubeObject, type ResourceKind } from "#machinery";
import { copiesIn } from "../actions/members.ts";
import { metadata, NAMES } from "../actions/templates.ts";
import { type Action, NAMESPACE, templatesOf, type World } from "../world.ts";

export const Widget: ResourceKind = {
  group: "sim.example.io",
  version: "v1",
  kind: "Widget",
  resource: "widgets",
  namespaced: true,
};

const NAME = "widgets.sim.example.io";
/** Where the control plane stands among the clusters a definition can be dropped from. */
export const PLANE = "the control plane";

const definition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: NAME },
  spec: {
    group: Widget.group,
    scope: "Namespaced",
    names: { kind: "Widget", plural: "widgets", singular: "widget", listKind: "WidgetList" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      },
    ],
  },
} as unknown as CustomResourceDefinition;

const clientOf = ({ fleet }: World, where: string): Client => (where === PLANE ? fleet.plane : fleet.member(where));

const present = async (client: Client) => client.find(CustomResourceDefinition, { name: NAME });

/** Gives a cluster the definition unless it has it; a deletion under way is waited for by asking again. */
export async function install(world: World, where: string): Promise<boolean> {
  const client = clientOf(world, where);
  if ((await present(client)) !== undefined) return false;
  try {
    await client.create(CustomResourceDefinition, definition);
    return true;
  } catch (error) {
    if (isAlreadyExists(error)) return false;
    throw error;
  }
}

/** Waits until every member has the definition: without, nothing of the kind can come to rest there. */
export async function installInMembers(world: World): Promise<void> {
  for (const cluster of world.clusters)
    await world.fleet.until(async () => {
      await install(world, cluster);
      const found = await present(world.fleet.member(cluster));
      return found !== undefined && found.metadata.deletionTimestamp === undefined;
    }, 600_000);
}

async function drop(world: World, where: string): Promise<string | undefined> {
  const client = clientOf(world, where);
  const found = await present(client);
  if (found === undefined || found.metadata.deletionTimestamp !== undefined) return undefined;
  world.droppedMs.set(where, world.fleet.clock.monotonicMs());
  if (where !== PLANE)
    for (const { kind, metadata: own } of await copiesIn(world, where))
      if (kind === Widget.kind) world.deletedInMembers.add(`${where} ${kind}/${own.name}`);
  await client.delete(CustomResourceDefinition, { name: NAME });
  return `dropped the definition of ${where}`;
}

const make: Action = {
  name: "create a custom resource",
  weight: 4,
  async run(world) {
    const name = world.pick(NAMES);
    const object = {
      apiVersion: "sim.example.io/v1",
      kind: "Widget",
      metadata: metadata(world, name),
      spec: { value: String(world.random.below(100)) },
    } as unknown as KubeObject;
    if (((await present(world.fleet.plane))?.status?.conditions ?? []).every(({ type }) => type !== "Established"))
      return undefined;
    const isThere = (await templatesOf(world)).some(
      ({ kind, metadata: own }) => kind === "Widget" && own.name === name,
    );
    if (isThere) return undefined;
    try {
      await retryOnConflict(() => world.fleet.plane.create(Widget, object));
    } catch {
      // Its definition is going, or an object of that name is.
      return undefined;
    }
    return `created Widget ${name} in ${NAMESPACE} (${JSON.stringify(object.metadata.labels?.["tier"])})`;
  },
};

export const definitionActions: readonly Action[] = [
  make,
  { name: "drop the definition of the control plane", weight: 0.4, run: (world) => drop(world, PLANE) },
  { name: "drop the definition of a member", weight: 0.4, run: (world) => drop(world, world.pick(world.clusters)) },
  {
    name: "install the definition where it is missing",
    weight: 3,
    async run(world) {
      const done: string[] = [];
      for (const where of [PLANE, ...world.clusters]) if (await install(world, where)) done.push(where);
      return done.length === 0 ? undefined : `installed the definition in ${done.join(", ")}`;
    },
  },
];
