import { beforeAll, describe, expect, it } from "vitest";
import { karmadaConversions, karmadaCustomResourceDefinitions } from "#apis/karmada";
import type { ApiError, KubeObject } from "#machinery";
import { createTestServer, settle, type TestServer, watchInto } from "#testing";

let server: TestServer;
const OLD = "work.karmada.io/v1alpha1/resourcebindings";
const NEW = "work.karmada.io/v1alpha2/resourcebindings";

beforeAll(async () => {
  server = await createTestServer({
    customResourceDefinitions: karmadaCustomResourceDefinitions(),
    conversions: karmadaConversions,
  });
  await settle();
});

const binding = (name: string) =>
  ({
    apiVersion: "work.karmada.io/v1alpha2",
    kind: "ResourceBinding",
    metadata: { name },
    spec: {
      resource: { apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name: "web" },
      replicas: 2,
      clusters: [{ name: "m1", replicas: 2 }],
      propagateDeps: true,
    },
  }) as unknown as KubeObject;

describe("a kind served in two versions", () => {
  it("is written in the old one without loss of what only the new one knows", async () => {
    const at = { namespace: "default", name: "a" };
    await server.send("create", NEW, { namespace: "default", body: binding("a") });
    const old = await server.send("get", OLD, at);
    expect(old).toMatchObject({
      apiVersion: "work.karmada.io/v1alpha1",
      spec: { resource: { name: "web", replicas: 2 } },
    });
    expect(old).not.toHaveProperty("spec.propagateDeps");
    await server.send("patch", OLD, {
      ...at,
      patchType: "application/merge-patch+json",
      body: { spec: { clusters: [{ name: "m2", replicas: 2 }] } },
    });
    expect(await server.send("get", NEW, at)).toMatchObject({
      apiVersion: "work.karmada.io/v1alpha2",
      metadata: { generation: 2 },
      spec: { propagateDeps: true, replicas: 2, clusters: [{ name: "m2", replicas: 2 }] },
    });
  });

  it("is watched in the version that was asked for, as one object for all watchers", async () => {
    const watches = [
      watchInto(server, OLD, { namespace: "default", labelSelector: "watched" }),
      watchInto(server, OLD, { namespace: "default", labelSelector: "watched" }),
    ];
    await settle();
    await server.send("create", NEW, {
      namespace: "default",
      body: { ...binding("b"), metadata: { name: "b", labels: { watched: "yes" } } },
    });
    await settle();
    expect(watches[0]?.objects[0]?.apiVersion).toBe("work.karmada.io/v1alpha1");
    expect(watches[0]?.objects[0]).toBe(watches[1]?.objects[0]);
    for (const watch of watches) watch.stop();
  });

  it("takes an update only with the version it was made from", async () => {
    await server.send("create", NEW, { namespace: "default", body: binding("c") });
    const refused = await server
      .send("update", NEW, { namespace: "default", name: "c", body: binding("c") })
      .catch((error: ApiError) => error);
    expect(refused).toMatchObject({
      reason: "Invalid",
      message:
        'resourcebindings.work.karmada.io "c" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update',
    });
  });
});
