/** The distributor against an API server of the same process. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { karmadaConversions, karmadaCustomResourceDefinitions, ResourceBinding } from "#apis/karmada";
import { ConfigMap, Deployment } from "#apis/kubernetes";
import type { RunningApiServer } from "#apiserver";
import { seededRandom, silentLogger, systemClock } from "#base";
import { type Client, createClient, retryOnConflict } from "#client";
import { createManager, type Manager } from "#controller-runtime";
import { createInterpreter } from "#interpreter";
import { aDeploymentThatNeeds, eventually, startTestApiServer } from "#testing";
import { dependenciesDistributor } from "./index.ts";

const at = (name: string) => ({ namespace: "default", name });

let api: RunningApiServer;
let client: Client;
let manager: Manager;

beforeEach(async () => {
  const random = seededRandom(1);
  api = await startTestApiServer({
    clock: systemClock,
    random,
    customResourceDefinitions: karmadaCustomResourceDefinitions(),
    conversions: karmadaConversions,
  });
  client = createClient(api.transport());
  manager = createManager({ transport: api.transport(), clock: systemClock, random, log: silentLogger });
  const kindOf = (apiVersion: string, kind: string) => {
    const [version = "", group = ""] = apiVersion.split("/").reverse();
    return api.server.registry.findKind(group, version, kind)?.kind;
  };
  const templateOf = async (resource: { apiVersion: string; kind: string; namespace?: string; name: string }) => {
    const kind = kindOf(resource.apiVersion, resource.kind);
    return kind === undefined ? undefined : client.find(kind, resource);
  };
  manager.add(dependenciesDistributor, { deps: { interpreter: createInterpreter(), kindOf, templateOf } });
  await manager.start();
});

afterEach(async () => {
  await manager.stop();
  api.stop();
});

async function workload(name: string, configMap: string, clusters: readonly string[], more: object = {}) {
  const template = await client.create(Deployment, aDeploymentThatNeeds(name, configMap));
  return client.create(ResourceBinding, {
    apiVersion: "work.karmada.io/v1alpha2",
    kind: "ResourceBinding",
    metadata: { ...at(`${name}-deployment`), labels: { "resourcebinding.karmada.io/permanent-id": `id-${name}` } },
    spec: {
      resource: { apiVersion: "apps/v1", kind: "Deployment", ...at(name), uid: template.metadata.uid ?? "" },
      propagateDeps: true,
      placement: {},
      clusters: clusters.map((cluster) => ({ name: cluster, replicas: 1 })),
      ...more,
    },
  } as unknown as ResourceBinding);
}
const settings = (name: string) =>
  client.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: at(name), data: { a: "1" } } as ConfigMap);
const attached = (name: string) => client.find(ResourceBinding, at(`${name}-configmap`));
const followers = async (name: string) =>
  (await attached(name))?.spec.requiredBy?.map(
    (snapshot) => `${snapshot.name}:${(snapshot.clusters ?? []).map((cluster) => cluster.name).join("+")}`,
  );
const edit = (name: string, change: (spec: ResourceBinding["spec"]) => ResourceBinding["spec"]) =>
  retryOnConflict(async () => {
    const present = await client.get(ResourceBinding, at(name));
    await client.update(ResourceBinding, { ...present, spec: change(present.spec) } as ResourceBinding);
  });

describe("what a workload needs", () => {
  test("goes where the workload goes, and follows it when it moves", async () => {
    await settings("app");
    await workload("web", "app", ["m1"]);
    const binding = await eventually(() => attached("app"));
    expect(binding.spec.placement).toBeUndefined();
    expect(binding.metadata.finalizers).toEqual(["karmada.io/binding-controller"]);
    expect(binding.metadata.ownerReferences?.[0]).toMatchObject({ kind: "ConfigMap", name: "app", controller: true });
    expect(Object.keys(binding.metadata.labels ?? {})[0]).toMatch(/^resourcebinding\.karmada\.io\/depended-by-/);
    expect(Object.values(binding.metadata.labels ?? {})).toEqual(["id-web"]);
    expect(binding.spec).toMatchObject({ conflictResolution: "Abort", preserveResourcesOnDeletion: false });
    await edit("web-deployment", (spec) => ({ ...spec, clusters: [{ name: "m2", replicas: 1 }] }));
    await eventually(async () => JSON.stringify(await followers("app")) === '["web-deployment:m2"]');
  });

  test("is picked up when it is created later", async () => {
    await workload("web", "late", ["m1"]);
    await eventually(async () =>
      (await client.get(ResourceBinding, at("web-deployment"))).metadata.annotations?.[
        "resourcebinding.karmada.io/dependencies"
      ]?.includes('"late"'),
    );
    await settings("late");
    await eventually(() => attached("late"));
  });

  test("is let go when the workload no longer wants it to follow, or is gone", async () => {
    await settings("app");
    await workload("one", "app", ["m1"]);
    await workload("two", "app", ["m2"]);
    await eventually(async () => (await followers("app"))?.length === 2);
    await edit("one-deployment", ({ propagateDeps: _off, ...spec }) => spec as ResourceBinding["spec"]);
    await eventually(async () => JSON.stringify(await followers("app")) === '["two-deployment:m2"]');
    await client.delete(ResourceBinding, at("two-deployment"));
    await eventually(async () => (await client.find(ResourceBinding, at("two-deployment"))) === undefined);
    const left = await attached("app");
    expect(left?.spec.requiredBy ?? []).toEqual([]);
    expect(left?.spec.preserveResourcesOnDeletion).toBeUndefined();
    expect(Object.keys(left?.metadata.labels ?? {})).toEqual([]);
  });

  test("shared by workloads that disagree takes the bolder and the more careful wish, and says so", async () => {
    await settings("app");
    await workload("one", "app", ["m1"], { conflictResolution: "Abort" });
    await eventually(() => attached("app"));
    await workload("two", "app", ["m1", "m2"], { conflictResolution: "Overwrite", preserveResourcesOnDeletion: true });
    await eventually(async () => (await followers("app"))?.length === 2);
    expect((await attached("app"))?.spec).toMatchObject({
      conflictResolution: "Overwrite",
      preserveResourcesOnDeletion: true,
    });
    await edit("two-deployment", ({ propagateDeps: _off, ...spec }) => spec as ResourceBinding["spec"]);
    await eventually(async () => (await attached("app"))?.spec.conflictResolution === "Abort");
  });

  test("that a policy selects as well keeps what the policy decided", async () => {
    const template = await settings("app");
    await client.create(ResourceBinding, {
      apiVersion: "work.karmada.io/v1alpha2",
      kind: "ResourceBinding",
      metadata: at("app-configmap"),
      spec: {
        resource: { apiVersion: "v1", kind: "ConfigMap", ...at("app"), uid: template.metadata.uid ?? "" },
        placement: {},
        conflictResolution: "Abort",
        clusters: [{ name: "m3" }],
      },
    } as unknown as ResourceBinding);
    await workload("web", "app", ["m1"], { conflictResolution: "Overwrite" });
    await eventually(async () => (await followers("app"))?.length === 1);
    expect((await attached("app"))?.spec).toMatchObject({ conflictResolution: "Abort", clusters: [{ name: "m3" }] });
  });
});
