/** Definitions and namespaces that vanish from the control plane, for instance in an upgrade: members lose nothing by it. */
import { afterEach, describe, expect, test } from "vitest";
import { ConfigMap, CustomResourceDefinition, Namespace } from "#apis/kubernetes";
import { Cluster, ClusterPropagationPolicy, PropagationPolicy, ResourceBinding, Work } from "#apis/karmada";
import type { KubeObject } from "#machinery";
import { aDefinition, aWidget, startVirtualFleet, type VirtualFleet, Widget } from "#testing";

let fleet: VirtualFleet;
afterEach(() => fleet.stop());

const definition = aDefinition(Widget);
const at = (name: string) => ({ namespace: "default", name });
const inMember = (name: string) => fleet.member("m1").find(Widget, at(name));
const definitionInMember = () => fleet.member("m1").find(CustomResourceDefinition, { name: "widgets.example.io" });
const placement = { clusterAffinity: { clusterNames: ["m1"] } };
const select = (apiVersion: string, kind: string, more: object = {}) => ({
  resourceSelectors: [{ apiVersion, kind, ...more }],
  placement,
});
const works = async () => (await fleet.plane.list(Work, { namespace: "karmada-es-m1" })).items;
const workOf = async (kind: string) =>
  (await works()).find(
    ({ spec }) => (spec?.workload?.manifests?.[0] as unknown as KubeObject | undefined)?.kind === kind,
  );
const held = async (kind: string) =>
  (await workOf(kind))?.status?.conditions?.find(({ type, status }) => type === "DeletionHeld" && status === "True");
const release = () =>
  fleet.plane.patch(Cluster, { name: "m1" }, "application/merge-patch+json", {
    metadata: {
      annotations: {
        "execution.flotilla.io/release-deletions-until": new Date(fleet.clock.now() + 60_000).toISOString(),
      },
    },
  });
const policies = async () => {
  await fleet.plane.create(ClusterPropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "ClusterPropagationPolicy",
    metadata: { name: "definitions" },
    spec: select("apiextensions.k8s.io/v1", "CustomResourceDefinition", { name: "widgets.example.io" }),
  } as unknown as ClusterPropagationPolicy);
  await fleet.plane.create(PropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: at("widgets"),
    spec: select("example.io/v1", "Widget"),
  } as unknown as PropagationPolicy);
};
async function withWidget() {
  fleet = await startVirtualFleet({ members: ["m1"] });
  await policies();
  await fleet.plane.create(CustomResourceDefinition, definition);
  await fleet.until(definitionInMember);
  await fleet.plane.create(Widget, aWidget("w"));
  await fleet.until(() => inMember("w"));
  return (await inMember("w"))?.metadata.uid;
}

describe("a CustomResourceDefinition", () => {
  test("that vanishes and comes back leaves copies and the copied definition as they are, and takes them up again", async () => {
    const uid = await withWidget();
    const definitionUid = (await definitionInMember())?.metadata.uid;
    await fleet.plane.delete(CustomResourceDefinition, { name: "widgets.example.io" });
    await fleet.until(async () => (await held("CustomResourceDefinition")) !== undefined);
    await fleet.advance(600_000);
    expect((await inMember("w"))?.metadata.uid).toBe(uid);
    expect((await definitionInMember())?.metadata.uid).toBe(definitionUid);
    expect(await held("CustomResourceDefinition")).toMatchObject({
      reason: "InUse",
      message: expect.stringContaining("Widget default/w is there"),
    });
    expect((await workOf("Widget"))?.metadata.annotations?.["binding.flotilla.io/kept"]).toBe("KindVanished");
    await fleet.plane.create(CustomResourceDefinition, definition);
    await fleet.until(async () => {
      await fleet.plane.create(Widget, { ...aWidget("w"), spec: { n: 2 } } as KubeObject);
      return true;
    });
    await fleet.until(async () => ((await inMember("w")) as { spec?: { n?: number } } | undefined)?.spec?.n === 2);
    await fleet.until(async () => (await held("CustomResourceDefinition")) === undefined);
    expect((await inMember("w"))?.metadata.uid).toBe(uid);
    expect((await definitionInMember())?.metadata.uid).toBe(definitionUid);
    for (const kind of ["Widget", "CustomResourceDefinition"])
      expect(JSON.stringify((await workOf(kind))?.metadata.annotations)).not.toMatch(/kept|delete-when-unused/);
    await fleet.until(async () =>
      (await fleet.plane.get(ResourceBinding, at("w-widget"))).status?.conditions?.some(
        ({ type, status }) => type === "FullyApplied" && status === "True",
      ),
    );
  });

  test("that is deleted after its objects goes from members as well; so does one that somebody releases", async () => {
    await withWidget();
    await fleet.plane.delete(Widget, at("w"));
    await fleet.until(async () => (await inMember("w")) === undefined);
    await fleet.plane.delete(CustomResourceDefinition, { name: "widgets.example.io" });
    await fleet.until(async () => (await definitionInMember()) === undefined);
    expect(await workOf("CustomResourceDefinition")).toBeUndefined();
    await fleet.plane.create(CustomResourceDefinition, definition);
    await fleet.until(definitionInMember);
    await fleet.member("m1").create(Widget, aWidget("own"));
    await fleet.plane.delete(CustomResourceDefinition, { name: "widgets.example.io" });
    await fleet.until(async () => (await held("CustomResourceDefinition")) !== undefined);
    await fleet.advance(60_000);
    expect(await inMember("own")).toBeDefined();
    await release();
    await fleet.until(async () => (await definitionInMember()) === undefined);
  });

  test.each([
    "works.work.karmada.io",
    "resourcebindings.work.karmada.io",
    "clusterresourcebindings.work.karmada.io",
    "clusters.cluster.karmada.io",
    "propagationpolicies.policy.karmada.io",
    "clusterpropagationpolicies.policy.karmada.io",
  ])("of the control plane itself, %s: what its objects made stays in members", async (name) => {
    const uid = await withWidget();
    await fleet.plane.delete(CustomResourceDefinition, { name });
    await fleet.until(async () => (await fleet.plane.find(CustomResourceDefinition, { name })) === undefined);
    await fleet.advance(60_000);
    expect((await inMember("w"))?.metadata.uid).toBe(uid);
    expect(await definitionInMember()).toBeDefined();
  });
});

test("10.3 a namespace goes with its content; with the brake on it waits for what is held of it", async () => {
  fleet = await startVirtualFleet({
    members: ["m1"],
    flags: ["--mass-deletion-share=0.1", "--mass-deletion-floor=3"],
  });
  await fleet.plane.create(ClusterPropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "ClusterPropagationPolicy",
    metadata: { name: "settings" },
    spec: select("v1", "ConfigMap"),
  } as unknown as ClusterPropagationPolicy);
  const fill = async (namespace: string, count: number) => {
    await fleet.plane.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    for (let at = 0; at < count; at++)
      await fleet.plane.create(ConfigMap, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { namespace, name: `c${at}` },
      } as ConfigMap);
    await fleet.until(async () => (await copies(namespace)) === count);
  };
  const copies = async (namespace: string) =>
    (await fleet.member("m1").list(ConfigMap, { namespace })).items.filter(
      ({ metadata }) => metadata.labels?.["karmada.io/managed"] === "true",
    ).length;
  const isThere = async (name: string) => (await fleet.member("m1").find(Namespace, { name })) !== undefined;
  await fill("small", 2);
  await fill("large", 8);
  await fleet.plane.delete(Namespace, { name: "small" });
  await fleet.until(async () => !(await isThere("small")));
  await fleet.advance(600_000);
  await fleet.plane.delete(Namespace, { name: "large" });
  await fleet.until(async () => (await held("Namespace")) !== undefined);
  await fleet.advance(60_000);
  expect(await isThere("large")).toBe(true);
  expect(await copies("large")).toBe(5);
  await release();
  await fleet.until(async () => !(await isThere("large")));
});
