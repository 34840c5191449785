/** Lazy activation, preemption and long names, on a whole control plane. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigMap } from "#apis/kubernetes";
import { PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { type Client, createClient, retryOnConflict } from "#client";
import type { Fleet } from "#controlplane";
import { eventually, startTestFleet } from "#testing";

let fleet: Fleet;
let plane: Client;
beforeAll(async () => {
  fleet = await startTestFleet(["member1"], ["--feature-gates=PropagationPolicyPreemption=true"]);
  plane = createClient(fleet.controlPlane.transport);
});
afterAll(() => fleet.stop());

const at = (name: string) => ({ namespace: "default", name });
const settings = (name: string) =>
  plane.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: at(name), data: { a: "1" } } as ConfigMap);
const policy = (name: string, target: string, spec: object = {}) =>
  plane.create(PropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: at(name),
    spec: {
      resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: target }],
      placement: { clusterAffinity: { clusterNames: ["member1"] } },
      ...spec,
    },
  } as unknown as PropagationPolicy);
const edit = (name: string, spec: object) =>
  retryOnConflict(async () => {
    const present = await plane.get(PropagationPolicy, at(name));
    await plane.update(PropagationPolicy, { ...present, spec: { ...present.spec, ...spec } } as PropagationPolicy);
  });
const claim = async (name: string) =>
  (await plane.get(ConfigMap, at(name))).metadata.annotations?.["propagationpolicy.karmada.io/name"];
const binding = (name: string) => plane.find(ResourceBinding, at(`${name}-configmap`));
const touch = (name: string) =>
  retryOnConflict(async () => {
    const present = await plane.get(ConfigMap, at(name));
    await plane.update(ConfigMap, {
      ...present,
      metadata: { ...present.metadata, annotations: { ...present.metadata.annotations, touched: String(Date.now()) } },
    } as ConfigMap);
  });

test("a lazy policy claims what waits and takes effect when the user next changes it", async () => {
  const before = fleet.controlPlane.manager.processed;
  await settings("waiting");
  await eventually(() => fleet.controlPlane.manager.processed > before);
  await fleet.controlPlane.manager.whenIdle();
  await policy("lazy", "waiting", { activationPreference: "Lazy" });
  await eventually(async () => (await claim("waiting")) === "lazy");
  await fleet.controlPlane.manager.whenIdle();
  expect(await binding("waiting")).toBeUndefined();
  await touch("waiting");
  await eventually(() => binding("waiting"));
  await edit("lazy", { conflictResolution: "Overwrite" });
  await fleet.controlPlane.manager.whenIdle();
  expect((await binding("waiting"))?.spec.conflictResolution).toBe("Abort");
  await edit("lazy", { activationPreference: undefined });
  await eventually(async () => (await binding("waiting"))?.spec.conflictResolution === "Overwrite");
});

test("a lazy policy that is there first acts at once on a new template", async () => {
  await policy("lazy-first", "fresh", { activationPreference: "Lazy" });
  await settings("fresh");
  await eventually(() => binding("fresh"));
});

test("a policy of higher priority preempts, also when the other's priority sinks", async () => {
  await settings("wanted");
  await policy("holder", "wanted", { priority: 5 });
  await eventually(async () => (await claim("wanted")) === "holder");
  await policy("weaker", "wanted", { priority: 3, preemption: "Always" });
  await fleet.controlPlane.manager.whenIdle();
  expect(await claim("wanted")).toBe("holder");
  await edit("holder", { priority: 1 });
  await eventually(async () => (await claim("wanted")) === "weaker");
  await policy("stronger", "wanted", { priority: 9, preemption: "Always" });
  await eventually(
    async () => (await binding("wanted"))?.metadata.annotations?.["propagationpolicy.karmada.io/name"] === "stronger",
  );
});

test("a policy as high as the holder was preempts once the holder's priority sinks", async () => {
  await settings("level");
  await policy("level-holder", "level", { priority: 5 });
  await eventually(async () => (await claim("level")) === "level-holder");
  await policy("level-other", "level", { priority: 5, preemption: "Always" });
  await fleet.controlPlane.manager.whenIdle();
  expect(await claim("level")).toBe("level-holder");
  await edit("level-holder", { priority: 1 });
  await eventually(async () => (await claim("level")) === "level-other");
});

test("a template a lazy policy preempted stays as it is when the policy it was taken from changes or goes", async () => {
  await settings("taken");
  await policy("loser", "taken", { priority: 1 });
  await eventually(() => binding("taken"));
  await policy("lazy-winner", "taken", {
    priority: 5,
    preemption: "Always",
    activationPreference: "Lazy",
    conflictResolution: "Overwrite",
  });
  await eventually(async () => (await claim("taken")) === "lazy-winner");
  await edit("loser", { preserveResourcesOnDeletion: true });
  await fleet.controlPlane.manager.whenIdle();
  expect((await binding("taken"))?.spec.conflictResolution).toBe("Abort");
  await plane.delete(PropagationPolicy, at("loser"));
  await eventually(async () => (await plane.find(PropagationPolicy, at("loser"))) === undefined);
  await fleet.controlPlane.manager.whenIdle();
  expect(await claim("taken")).toBe("lazy-winner");
  await touch("taken");
  await eventually(async () => (await binding("taken"))?.spec.conflictResolution === "Overwrite");
});

test.each([53, 63, 253])(
  "[DR-43] [DR-44] a name of %i characters reaches the member and reports back",
  async (length) => {
    const name = `x${"n".repeat(length - 1)}`;
    await policy(`long-${length}`, name);
    await settings(name);
    const member = createClient(fleet.members.get("member1")?.api.transport() as never);
    await eventually(() => member.find(ConfigMap, at(name)));
    await eventually(async () =>
      (await plane.list(ResourceBinding, { namespace: "default" })).items.some(
        ({ spec, status }) => spec.resource.name === name && status?.aggregatedStatus?.[0]?.applied === true,
      ),
    );
  },
);
