/** Propagation rules that depend on the order of things: renames, namespaces with policies, overrides that go, deletions held. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigMap, Deployment, Event, Namespace } from "#apis/kubernetes";
import {
  Cluster,
  ClusterPropagationPolicy,
  OverridePolicy,
  PropagationPolicy,
  ResourceBinding,
  Work,
} from "#apis/karmada";
import { type Client, createClient } from "#client";
import type { Fleet } from "#controlplane";
import type { KubeObject } from "#machinery";
import { aDeployment, eventually, startTestFleet } from "#testing";

let fleet: Fleet;
let plane: Client;
const member = (name: string) => createClient(fleet.members.get(name)?.api.transport() as never);
const at = (name: string, namespace = "default") => ({ namespace, name });
const policy = (name: string, selector: object, clusters: readonly string[], more: object = {}) =>
  ({
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: { namespace: "default", name },
    spec: { resourceSelectors: [selector], placement: { clusterAffinity: { clusterNames: clusters } }, ...more },
  }) as unknown as PropagationPolicy;
const merge = "application/merge-patch+json";

const release = (name: string) =>
  plane.patch(Cluster, { name }, merge, {
    metadata: {
      annotations: { "execution.flotilla.io/release-deletions-until": new Date(Date.now() + 600_000).toISOString() },
    },
  });

beforeAll(async () => {
  fleet = await startTestFleet(
    ["member1", "member2"],
    ["--mass-deletion-share=0.3", "--mass-deletion-floor=2", "--feature-gates=PropagationPolicyPreemption=true"],
  );
  plane = createClient(fleet.controlPlane.transport);
  await release("member1");
});
afterAll(() => fleet.stop());

test("an override that renames an object leaves neither the old Work nor the old copy, and the status comes back", async () => {
  await plane.create(Deployment, aDeployment("web", 1));
  await plane.create(
    PropagationPolicy,
    policy("web", { apiVersion: "apps/v1", kind: "Deployment", name: "web" }, ["member1", "member2"]),
  );
  await eventually(() => member("member1").find(Deployment, at("web")));
  await plane.create(OverridePolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "OverridePolicy",
    metadata: { namespace: "default", name: "renamed" },
    spec: {
      resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name: "web" }],
      overrideRules: [
        {
          targetCluster: { clusterNames: ["member1"] },
          overriders: { plaintext: [{ operator: "replace", path: "/metadata/name", value: "web-one" }] },
        },
      ],
    },
  } as unknown as OverridePolicy);
  await eventually(() => member("member1").find(Deployment, at("web-one")));
  await eventually(async () => (await member("member1").find(Deployment, at("web"))) === undefined);
  const { metadata } = await plane.get(ResourceBinding, at("web-deployment"));
  const id = metadata.labels?.["resourcebinding.karmada.io/permanent-id"] ?? "";
  await eventually(async () => {
    const works = (await plane.list(Work, { labelSelector: `resourcebinding.karmada.io/permanent-id=${id}` })).items;
    return works.length === 2;
  });
  await eventually(async () => {
    const { status } = await plane.get(ResourceBinding, at("web-deployment"));
    return (
      status?.aggregatedStatus?.length === 2 &&
      status.aggregatedStatus.every(({ health }) => health === "Healthy") &&
      status.conditions?.some(({ type, status: state }) => type === "FullyApplied" && state === "True")
    );
  });
});

test("deleting an override that changes copies warns, and an event on the template says which copies changed", async () => {
  const warnings: string[] = [];
  await plane.transport.send({
    verb: "delete",
    group: OverridePolicy.group,
    version: OverridePolicy.version,
    resource: OverridePolicy.resource,
    ...at("renamed"),
    onWarning: (text) => warnings.push(text),
  });
  expect(warnings.join()).toContain("copies in member1 are rendered without this override at once");
  await eventually(() => member("member1").find(Deployment, at("web")));
  await eventually(async () =>
    (await plane.list(Event, { namespace: "default" })).items.some(
      ({ reason, message }) =>
        reason === "OverridePolicyWithdrawn" &&
        message?.includes("cluster(member1) is rendered without override policy"),
    ),
  );
});

test("a namespace that a ClusterPropagationPolicy selects keeps one Work, and stays when the policy lets go", async () => {
  await plane.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } } as Namespace);
  await eventually(() => member("member2").find(Namespace, { name: "shop" }));
  await plane.create(ClusterPropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "ClusterPropagationPolicy",
    metadata: { name: "shop" },
    spec: {
      resourceSelectors: [{ apiVersion: "v1", kind: "Namespace", name: "shop" }],
      placement: { clusterAffinity: { clusterNames: ["member1", "member2"] } },
    },
  } as unknown as ClusterPropagationPolicy);
  const workIn = async (cluster: string) =>
    (await plane.list(Work, { namespace: `karmada-es-${cluster}` })).items.find(({ metadata }) =>
      metadata.name?.startsWith("shop-"),
    );
  const idOf = (work: Work | undefined) => work?.metadata.labels?.["clusterresourcebinding.karmada.io/permanent-id"];
  await eventually(async () => idOf(await workIn("member2")) !== undefined);
  // Nobody overwrites anybody: the Work comes to rest.
  await fleet.controlPlane.manager.whenIdle();
  const settled = await workIn("member2");
  await plane.patch(Namespace, { name: "shop" }, merge, { metadata: { labels: { team: "a" } } });
  await eventually(
    async () => (await member("member2").get(Namespace, { name: "shop" })).metadata.labels?.["team"] === "a",
  );
  expect((await workIn("member2"))?.metadata.generation).toBeLessThanOrEqual((settled?.metadata.generation ?? 0) + 2);
  const uid = (await member("member2").get(Namespace, { name: "shop" })).metadata.uid;
  await plane.patch(ClusterPropagationPolicy, { name: "shop" }, merge, {
    spec: { placement: { clusterAffinity: { clusterNames: ["member1"] } } },
  });
  await eventually(async () => idOf(await workIn("member2")) === undefined);
  await fleet.controlPlane.manager.whenIdle();
  expect((await member("member2").get(Namespace, { name: "shop" })).metadata).toMatchObject({ uid });
  expect((await workIn("member2"))?.metadata.deletionTimestamp).toBeUndefined();
});

test("[DR-46] more deletions than a share of a member are held, said so, and go on when released", async () => {
  const names = Array.from({ length: 8 }, (_, index) => `bulk-${index}`);
  for (const name of names)
    await plane.create(ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: at(name),
      data: {},
    } as unknown as ConfigMap);
  await plane.create(PropagationPolicy, policy("bulk", { apiVersion: "v1", kind: "ConfigMap" }, ["member2"]));
  const present = async () =>
    (await member("member2").list(ConfigMap, { namespace: "default" })).items.filter(({ metadata }) =>
      metadata.name?.startsWith("bulk-"),
    ).length;
  await eventually(async () => (await present()) === names.length);
  for (const name of names) await plane.delete(ConfigMap, at(name));
  const held = async () =>
    (await plane.list(Work, { namespace: "karmada-es-member2" })).items.filter((work) =>
      work.status?.conditions?.some(({ type, status }) => type === "DeletionHeld" && status === "True"),
    ).length;
  await eventually(
    async () => (await held()) >= 3 && (await held()) + (names.length - (await present())) === names.length,
  );
  await release("member2");
  await eventually(async () => (await present()) === 0);
  expect(await held()).toBe(0);
  await plane.delete(PropagationPolicy, at("bulk"));
  await eventually(async () => (await plane.find(PropagationPolicy, at("bulk"))) === undefined);
});

test("a policy of higher priority that preempts takes the template, in whatever order they come", async () => {
  const selector = { apiVersion: "v1", kind: "ConfigMap", name: "taken" };
  await plane.create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: at("taken"),
    data: { a: "1" },
  } as unknown as ConfigMap);
  await plane.create(PropagationPolicy, policy("low", selector, ["member1"], { priority: 1 }));
  await eventually(() => member("member1").find(ConfigMap, at("taken")));
  await plane.create(PropagationPolicy, policy("high", selector, ["member2"], { priority: 5, preemption: "Always" }));
  await eventually(() => member("member2").find(ConfigMap, at("taken")));
  await eventually(async () => (await member("member1").find(ConfigMap, at("taken"))) === undefined);
  const claimedBy = async () =>
    ((await plane.get(ConfigMap, at("taken"))) as KubeObject).metadata.annotations?.[
      "propagationpolicy.karmada.io/name"
    ];
  expect(await claimedBy()).toBe("high");
  // The one that lost does not come back by preempting with less.
  await plane.patch(PropagationPolicy, at("low"), merge, { spec: { preemption: "Always" } });
  await fleet.controlPlane.manager.whenIdle();
  expect(await claimedBy()).toBe("high");
  // Let go, the template looks for another policy.
  await plane.delete(PropagationPolicy, at("high"));
  await eventually(async () => (await claimedBy()) === "low");
  await eventually(() => member("member1").find(ConfigMap, at("taken")));
});
