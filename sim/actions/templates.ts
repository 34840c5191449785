import { ConfigMap, Deployment } from "#apis/kubernetes";
import { isAlreadyExists, type KubeObject, type ResourceKind } from "#machinery";
import { type Action, change, kindOf, NAMESPACE, templatesOf, type World } from "../world.ts";

export const NAMES = ["a", "b", "c", "d"];
const TIERS = ["front", "back"];

export function metadata(world: World, name: string) {
  return { namespace: NAMESPACE, name, labels: { sim: "template", tier: world.pick(TIERS) } };
}

export const configMap = (world: World, name: string) =>
  ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: metadata(world, name),
    data: { value: String(world.random.below(100)) },
  }) as unknown as ConfigMap;

export const deployment = (world: World, name: string) =>
  ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: metadata(world, name),
    spec: {
      replicas: 1 + world.random.below(6),
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          containers: [{ name: "app", image: `registry.io/${name}:1`, resources: { requests: { cpu: "10m" } } }],
        },
      },
    },
  }) as unknown as Deployment;

const make: Action = {
  name: "create a template",
  weight: 6,
  async run(world) {
    const name = world.pick(NAMES);
    const isMap = world.chance(0.5);
    const [kind, object] = isMap ? [ConfigMap, configMap(world, name)] : [Deployment, deployment(world, name)];
    try {
      await world.fleet.plane.create(kind as ResourceKind, object as KubeObject);
    } catch (error) {
      if (isAlreadyExists(error)) return undefined;
      throw error;
    }
    return `created ${kind.kind} ${name} (${JSON.stringify(object.metadata.labels?.["tier"])})`;
  },
};

const edit: Action = {
  name: "change a template",
  weight: 8,
  async run(world) {
    const templates = await templatesOf(world);
    if (templates.length === 0) return undefined;
    const template = world.pick(templates);
    const name = template.metadata.name ?? "";
    const value = world.random.below(100);
    const what = world.pick(["content", "content", "labels"]);
    const done = await change(world, kindOf(world, template), name, (present) => {
      if (what === "labels") {
        const labels = { ...present.metadata.labels, tier: world.pick(TIERS), extra: String(value) };
        return { ...present, metadata: { ...present.metadata, labels } };
      }
      if (present.kind === "Widget") return { ...present, spec: { value: String(value) } } as KubeObject;
      if (present.kind === "ConfigMap") return { ...present, data: { value: String(value) } } as KubeObject;
      const { spec } = present as unknown as Deployment;
      return { ...present, spec: { ...spec, replicas: 1 + (value % 6) } } as unknown as KubeObject;
    });
    return done ? `changed ${what} of ${template.kind} ${name} (${value})` : undefined;
  },
};

const remove: Action = {
  name: "delete a template",
  weight: 2,
  async run(world) {
    const templates = await templatesOf(world);
    if (templates.length === 0) return undefined;
    const template = world.pick(templates);
    const name = template.metadata.name ?? "";
    world.deletedTemplates.add(template.metadata.uid ?? "");
    await world.fleet.plane.delete(kindOf(world, template), { namespace: NAMESPACE, name });
    return `deleted ${template.kind} ${name}`;
  },
};

export const templateActions: readonly Action[] = [make, edit, remove];
