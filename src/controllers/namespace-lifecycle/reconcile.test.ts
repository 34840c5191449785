import { afterEach, expect, it } from "vitest";
import { ConfigMap, Event, Namespace, Secret } from "#apis/kubernetes";
import { seededRandom, silentLogger, VirtualClock } from "#base";
import { createClient } from "#client";
import { createManager } from "#controller-runtime";
import { type KubeObject, type ResourceKind, withLabels, withMetadata } from "#machinery";
import { createTestServer, eventually, settle, startTestFleet } from "#testing";
import { namespaceLifecycle } from "./index.ts";

let stop: (() => Promise<void>) | undefined;
afterEach(async () => {
  await stop?.();
});

it("takes what is in a namespace along, its Events too", async () => {
  const fleet = await startTestFleet([]);
  stop = () => fleet.stop();
  const client = createClient(fleet.controlPlane.transport);
  const at = { namespace: "leaving", name: "a" };
  await client.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "leaving" } });
  await client.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: at, data: { k: "v" } });
  await client.create(Event, {
    apiVersion: "v1",
    kind: "Event",
    metadata: at,
    involvedObject: { kind: "ConfigMap", namespace: "leaving", name: "a" },
    reason: "Made",
    type: "Normal",
  } as unknown as KubeObject);
  await client.delete(Namespace, { name: "leaving" });
  await eventually(async () => (await client.find(Namespace, { name: "leaving" })) === undefined, 60_000);
  expect(await client.find(Event, at)).toBeUndefined();
  expect(await client.find(ConfigMap, at)).toBeUndefined();
}, 120_000);

it("looks more and more seldom at what does not go, fifteen seconds apart at most, and ends when it has gone", async () => {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1), settle);
  const { inside, send, stop: stopServer } = await createTestServer({ clock });
  const looks: number[] = [];
  const manager = createManager({
    transport: {
      ...inside,
      list: (request) => {
        if (request.resource === "configmaps") looks.push(clock.monotonicMs() - deletedMs);
        return inside.list(request);
      },
    },
    clock,
    random: seededRandom(1),
    log: silentLogger,
  });
  let deletedMs = 0;
  stop = async () => {
    await manager.stop();
    stopServer();
  };
  manager.add(namespaceLifecycle, { deps: { kinds: { list: () => [ConfigMap as ResourceKind] } } });
  await manager.start();
  const client = createClient(inside);
  const at = { namespace: "held", name: "a" };
  await client.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "held" } });
  await client.create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { ...at, finalizers: ["example.io/hold"] },
  });
  deletedMs = clock.monotonicMs();
  await client.delete(Namespace, { name: "held" });
  await clock.advance(300_000);
  const waits = looks.slice(1).map((atMs, number) => atMs - (looks[number] as number));
  // Soon at first, each wait about a quarter of the time that has passed, then every fifteen seconds.
  expect(looks.filter((atMs) => atMs <= 1_000).length).toBeGreaterThan(3);
  expect(looks.filter((atMs) => atMs > 10_000 && atMs <= 60_000).length).toBeLessThan(12);
  expect(Math.max(...waits)).toBe(15_000);
  expect(new Set(waits.slice(-5))).toEqual(new Set([15_000]));
  const said = (await client.get(Namespace, { name: "held" })).status;
  expect(said?.phase).toBe("Terminating");
  expect(said?.conditions?.map(({ type, status, message }) => `${type} ${status} ${message}`)).toEqual([
    "NamespaceDeletionContentFailure False All content successfully deleted, may be waiting on finalization",
    "NamespaceContentRemaining True Some resources are remaining: configmaps. has 1 resource instances",
    "NamespaceFinalizersRemaining True Some content in the namespace has finalizers remaining: example.io/hold in 1 resource instances",
  ]);
  const held = await client.get(ConfigMap, at);
  await send("update", "v1/configmaps", { ...at, body: withMetadata(held, { finalizers: [] }) });
  await clock.advance(15_000);
  expect(await client.find(Namespace, { name: "held" })).toBeUndefined();
});

it("deletes what it may when a kind is kept from it, and says why that one stays", async () => {
  const fleet = await startTestFleet([]);
  stop = () => fleet.stop();
  const client = createClient(fleet.controlPlane.transport);
  const at = { namespace: "guarded", name: "a" };
  await client.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "guarded" } });
  const labels = { "resourcetemplate.karmada.io/deletion-protected": "Always" };
  await client.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: { ...at, labels } });
  await client.create(Secret, { apiVersion: "v1", kind: "Secret", metadata: at });
  await client.delete(Namespace, { name: "guarded" });
  await eventually(async () => {
    const { status } = await client.get(Namespace, { name: "guarded" });
    const failure = status?.conditions?.find(({ type }) => type === "NamespaceDeletionContentFailure");
    return failure?.status === "True" && failure.message?.includes("This resource is protected");
  }, 60_000);
  await eventually(async () => (await client.find(Secret, at)) === undefined, 60_000);
  const guarded = await client.get(ConfigMap, at);
  await client.update(ConfigMap, withLabels(guarded, { "resourcetemplate.karmada.io/deletion-protected": undefined }));
  await eventually(async () => (await client.find(Namespace, { name: "guarded" })) === undefined, 60_000);
}, 240_000);
