import { expect, it } from "vitest";
import { type ApiError, getPath, type KubeObject } from "#machinery";
import { createTestServer, type TestServer } from "#testing";

const at = { namespace: "default" } as const;

const aPod = (name: string): KubeObject =>
  ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: "web" } },
    spec: { nodeName: "n1", containers: [{ name: "c", image: "i" }] },
  }) as unknown as KubeObject;

const status = (server: TestServer, path: string, name: string, body: object) =>
  server.send("patch", path, {
    ...at,
    name,
    subresource: "status",
    patchType: "application/merge-patch+json",
    body: { status: body },
  });

const evict = (server: TestServer, name: string, options = {}) =>
  server
    .send("create", "v1/pods", {
      ...at,
      name,
      subresource: "eviction",
      body: { apiVersion: "policy/v1", kind: "Eviction", metadata: { name } },
      options,
    })
    .then(
      () => "evicted",
      ({ status: { code, details } }: ApiError) => `${code} ${details?.causes?.[0]?.message ?? ""}`,
    );

async function aServerWithPods(count: number): Promise<TestServer> {
  const server = await createTestServer();
  for (let n = 0; n < count; n++) {
    await server.send("create", "v1/pods", { ...at, body: aPod(`p${n}`) });
    await status(server, "v1/pods", `p${n}`, { phase: "Running", conditions: [{ type: "Ready", status: "True" }] });
  }
  return server;
}

const budget = (server: TestServer, spec = {}) =>
  server.send("create", "policy/v1/poddisruptionbudgets", {
    ...at,
    body: {
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata: { name: "web" },
      spec: { minAvailable: 1, selector: { matchLabels: { app: "web" } }, ...spec },
    },
  });

it("takes evictions at the same time off a budget one by one, and refuses what is left", async () => {
  const server = await aServerWithPods(4);
  await budget(server);
  expect(await evict(server, "p0")).toBe("429 The disruption budget web is still being processed by the server.");
  const counted = {
    observedGeneration: 1,
    disruptionsAllowed: 2,
    currentHealthy: 4,
    desiredHealthy: 2,
    expectedPods: 4,
  };
  await status(server, "policy/v1/poddisruptionbudgets", "web", counted);
  expect(await evict(server, "p0", { dryRun: true })).toBe("evicted");
  const outcomes = await Promise.all(["p0", "p1", "p2", "p3"].map((name) => evict(server, name)));
  expect(outcomes.filter((outcome) => outcome === "evicted")).toHaveLength(2);
  expect(new Set(outcomes.filter((outcome) => outcome !== "evicted"))).toEqual(
    new Set(["429 The disruption budget web does not allow evicting pods currently"]),
  );
  const after = await server.send("get", "policy/v1/poddisruptionbudgets", { ...at, name: "web" });
  expect(getPath(after, "status")).toMatchObject({
    disruptionsAllowed: 0,
    conditions: [{ type: "DisruptionAllowed", status: "False", reason: "InsufficientPods" }],
  });
  expect(Object.keys(getPath(after, "status", "disruptedPods") as object)).toHaveLength(2);
  server.stop();
});

it("lets pods that are not ready go where their budget says so, and marks why they go", async () => {
  const server = await aServerWithPods(1);
  await budget(server, { unhealthyPodEvictionPolicy: "AlwaysAllow" });
  expect(await evict(server, "p0")).toMatch(/^429/);
  await status(server, "v1/pods", "p0", { conditions: [{ type: "Ready", status: "False" }] });
  expect(await evict(server, "p0")).toBe("evicted");
  const pod = await server.send("get", "v1/pods", { ...at, name: "p0" });
  expect(pod.metadata.deletionTimestamp).toBeDefined();
  expect(getPath(pod, "status", "conditions")).toContainEqual(
    expect.objectContaining({ type: "DisruptionTarget", status: "True", reason: "EvictionByEvictionAPI" }),
  );
  server.stop();
});
