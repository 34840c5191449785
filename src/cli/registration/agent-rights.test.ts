import { afterEach, expect, test } from "vitest";
import { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from "#apis/kubernetes";
import { Cluster } from "#apis/karmada";
import { startVirtualFleet, type VirtualFleet } from "#testing";
import { grantAgentRights } from "./agent-rights.ts";

let fleet: VirtualFleet;
afterEach(() => fleet.stop());

const wide = (name: string) => ({ name: `system:karmada:${name}:agent` });
const narrow = { namespace: "karmada-cluster", name: "system:karmada:edge:agent-secret" };

test("cli 13 D20: an agent's rights go with its pull cluster, also over a restart, and those of an agent registered anew stay", async () => {
  fleet = await startVirtualFleet({ members: ["m1"] });
  const { plane } = fleet;
  const register = () =>
    plane.create(Cluster, {
      apiVersion: "cluster.karmada.io/v1alpha1",
      kind: "Cluster",
      metadata: { name: "edge" },
      spec: { syncMode: "Pull", id: "edge" },
    } as unknown as Cluster);
  const leave = async () => {
    await plane.delete(Cluster, { name: "edge" });
    await fleet.until(async () => (await plane.find(Cluster, { name: "edge" })) === undefined);
  };
  const rights = async (name = "edge") => [
    (await plane.find(ClusterRole, wide(name))) !== undefined,
    (await plane.find(ClusterRoleBinding, wide(name))) !== undefined,
  ];
  const end = async () =>
    (await plane.find(ClusterRoleBinding, wide("edge")))?.metadata.annotations?.["cluster.flotilla.io/rights-end"];
  const marks = { labels: { "karmada.io/system": "true" } };
  await plane.create(ClusterRole, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "system:karmada:edge:own", ...marks },
    rules: [],
  });
  // Rights come before their Cluster does; those of a push cluster are nobody's business.
  for (const name of ["edge", "m1"]) await grantAgentRights(plane, name, "karmada-cluster");
  await fleet.advance(600_000);
  expect([await rights(), await rights("m1")]).toEqual([
    [true, true],
    [true, true],
  ]);

  await register();
  await fleet.advance(20_000);
  await leave();
  // Whoever unregisters with the agent's rights sees that the Cluster is gone.
  expect(await rights()).toEqual([true, true]);
  expect([await plane.find(Role, narrow), await plane.find(RoleBinding, narrow)]).toEqual([undefined, undefined]);
  await fleet.advance(60_000);
  await fleet.restart();
  expect(await rights()).toEqual([true, true]);
  await fleet.until(async () => (await rights()).join() === "false,false", 120_000);
  expect(await rights("m1")).toEqual([true, true]);
  expect(await plane.find(ClusterRole, { name: "system:karmada:edge:own" })).toBeDefined();

  // Registered anew by our command, before the end has come.
  await grantAgentRights(plane, "edge", "karmada-cluster");
  await register();
  await fleet.advance(20_000);
  await leave();
  expect(await end()).toBeDefined();
  await grantAgentRights(plane, "edge", "karmada-cluster");
  expect(await end()).toBeUndefined();
  await fleet.advance(300_000);
  expect(await rights()).toEqual([true, true]);
  // By one that takes what is there: the new Cluster takes the end away.
  await register();
  await fleet.advance(20_000);
  await leave();
  expect(await end()).toBeDefined();
  await register();
  await fleet.until(async () => (await end()) === undefined);
  await fleet.advance(300_000);
  expect(await rights()).toEqual([true, true]);
}, 120_000);

test("cli 13 D20: rights without the mark of register stay", async () => {
  fleet = await startVirtualFleet({ members: ["m1"] });
  const { plane } = fleet;
  await grantAgentRights(plane, "edge", "karmada-cluster");
  for (const [kind, at] of [
    [ClusterRole, wide("edge")],
    [ClusterRoleBinding, wide("edge")],
    [Role, narrow],
    [RoleBinding, narrow],
  ] as const)
    await plane.patch(kind as typeof Role, at, "application/merge-patch+json", { metadata: { labels: null } });
  await plane.create(Cluster, {
    apiVersion: "cluster.karmada.io/v1alpha1",
    kind: "Cluster",
    metadata: { name: "edge" },
    spec: { syncMode: "Pull", id: "edge" },
  } as unknown as Cluster);
  await fleet.advance(20_000);
  await plane.delete(Cluster, { name: "edge" });
  await fleet.until(async () => (await plane.find(Cluster, { name: "edge" })) === undefined);
  await fleet.advance(300_000);
  expect([
    (await plane.find(ClusterRole, wide("edge"))) !== undefined,
    (await plane.find(ClusterRoleBinding, wide("edge"))) !== undefined,
    (await plane.find(Role, narrow)) !== undefined,
    (await plane.find(RoleBinding, narrow)) !== undefined,
  ]).toEqual([true, true, true, true]);
}, 120_000);
