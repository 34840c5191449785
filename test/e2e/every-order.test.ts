/** Template, dependency, policy and override come, change and go in every order; the end is always the same. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConfigMap, Deployment } from "#apis/kubernetes";
import { OverridePolicy, PropagationPolicy, ResourceBinding, Work } from "#apis/karmada";
import { retryOnConflict } from "#client";
import { getPath, type KubeObject, type ResourceKind } from "#machinery";
import { aDeploymentThatNeeds, startVirtualFleet, type VirtualFleet } from "#testing";

let fleet: VirtualFleet;
beforeAll(async () => {
  fleet = await startVirtualFleet({ members: ["m1", "m2"] });
});
afterAll(() => fleet.stop());

const at = (name: string) => ({ namespace: "default", name });
const clusters = (...clusterNames: string[]) => ({ clusterAffinity: { clusterNames } });

function ordersOf<T>(items: readonly T[]): readonly (readonly T[])[] {
  return items.length < 2
    ? [items]
    : items.flatMap((item, at) => ordersOf(items.filter((_, other) => other !== at)).map((rest) => [item, ...rest]));
}
/** Nothing, a moment or long between two steps, so that they meet, follow closely, or find everything at rest. */
const pauseMs = (order: number, step: number) => [0, 20, 5_000][(order + step) % 3] as number;

const make: Readonly<Record<string, (name: string) => Promise<unknown>>> = {
  template: (name) => fleet.plane.create(Deployment, aDeploymentThatNeeds(name, name)),
  dependency: (name) =>
    fleet.plane.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: at(name), data: { a: "1" } }),
  policy: (name) =>
    fleet.plane.create(PropagationPolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "PropagationPolicy",
      metadata: at(name),
      spec: {
        resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name }],
        placement: clusters("m1"),
        propagateDeps: true,
      },
    } as unknown as PropagationPolicy),
  override: (name) =>
    fleet.plane.create(OverridePolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "OverridePolicy",
      metadata: at(name),
      spec: {
        resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name }],
        overrideRules: [{ overriders: { imageOverrider: [{ component: "Tag", operator: "replace", value: "over" }] } }],
      },
    } as unknown as OverridePolicy),
};
const KINDS: Readonly<Record<string, ResourceKind>> = {
  template: Deployment as ResourceKind,
  dependency: ConfigMap as ResourceKind,
  policy: PropagationPolicy as ResourceKind,
  override: OverridePolicy as ResourceKind,
};
const edit = (what: string, name: string, change: (object: KubeObject & { spec: object }) => object) =>
  retryOnConflict(async () => {
    const kind = KINDS[what] as ResourceKind;
    await fleet.plane.update(kind, change((await fleet.plane.get(kind, at(name))) as never) as KubeObject);
  });
const changes: Readonly<Record<string, (name: string) => Promise<unknown>>> = {
  template: (name) => edit("template", name, ({ spec, ...rest }) => ({ ...rest, spec: { ...spec, replicas: 3 } })),
  dependency: (name) => edit("dependency", name, (object) => ({ ...object, data: { a: "2" } })),
  policy: (name) =>
    edit("policy", name, ({ spec, ...rest }) => ({ ...rest, spec: { ...spec, placement: clusters("m2") } })),
  override: (name) =>
    edit("override", name, ({ spec, ...rest }) => ({
      ...rest,
      spec: {
        ...spec,
        overrideRules: [{ overriders: { imageOverrider: [{ component: "Tag", operator: "replace", value: "new" }] } }],
      },
    })),
};
/** What stands in both members of a name, as far as it was said. */
async function standing(name: string) {
  const found: Record<string, unknown> = {};
  for (const cluster of ["m1", "m2"]) {
    const copy = await fleet.member(cluster).find(Deployment, at(name));
    const needed = await fleet.member(cluster).find(ConfigMap, at(name));
    if (copy !== undefined)
      found[`${cluster} workload`] =
        `${getPath(copy, "spec", "template", "spec", "containers", "0", "image")} x${copy.spec?.replicas}`;
    if (needed !== undefined) found[`${cluster} dependency`] = needed.data?.["a"];
  }
  return found;
}
const comesTo = (names: readonly string[], expected: object) =>
  fleet.until(async () => {
    for (const name of names) expect(await standing(name)).toEqual(expected);
    return true;
  });

describe("4. 5.3 6.10 in every order", () => {
  const all = ordersOf(Object.keys(make));
  const names = all.map((order) => `o-${order.map(([first]) => first).join("")}`);

  test("they come: every workload stands overridden beside what it needs", async () => {
    for (const [number, order] of all.entries())
      for (const [step, what] of order.entries()) {
        await make[what]?.(names[number] as string);
        await fleet.advance(pauseMs(number, step));
      }
    await comesTo(names, { "m1 workload": "nginx:over x1", "m1 dependency": "1" });
  });

  test("they change: every workload has moved, with what it needs, and nothing is left behind", async () => {
    for (const [number, order] of all.entries())
      for (const [step, what] of order.entries()) {
        await changes[what]?.(names[number] as string);
        await fleet.advance(pauseMs(number, step + 1));
      }
    await comesTo(names, { "m2 workload": "nginx:new x3", "m2 dependency": "2" });
  });

  test("they go: whatever went first, nothing is left in members, bindings or Works", async () => {
    for (const [number, order] of all.entries())
      for (const [step, what] of order.entries()) {
        await fleet.plane.delete(KINDS[what] as ResourceKind, at(names[number] as string));
        await fleet.advance(pauseMs(number, step + 2));
      }
    await comesTo(names, {});
    await fleet.until(async () => (await fleet.plane.list(ResourceBinding)).items.length === 0);
    const works = (await fleet.plane.list(Work)).items.filter(
      ({ spec }) =>
        (spec?.workload?.manifests?.[0] as unknown as KubeObject | undefined)?.metadata.namespace === "default",
    );
    expect(works).toEqual([]);
  });
});
