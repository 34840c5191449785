import { afterAll, beforeAll, expect, test } from "vitest";
import { Deployment, HorizontalPodAutoscaler } from "#apis/kubernetes";
import type { RunningApiServer } from "#apiserver";
import { seededRandom, silentLogger, systemClock } from "#base";
import { type Client, createClient } from "#client";
import { createManager, type Manager } from "#controller-runtime";
import { aDeployment, eventually, startTestApiServer } from "#testing";
import { hpaScaleTargetMarker } from "./index.ts";

let api: RunningApiServer;
let client: Client;
let manager: Manager;
beforeAll(async () => {
  api = await startTestApiServer({
    clock: systemClock,
    random: seededRandom(1),
  });
  client = createClient(api.transport());
  manager = createManager({
    transport: api.transport(),
    clock: systemClock,
    random: seededRandom(2),
    log: silentLogger,
  });
  manager.add(hpaScaleTargetMarker, {
    deps: {
      kindOf: (apiVersion, kind) =>
        api.server.registry.findKind(apiVersion.split("/")[0] ?? "", apiVersion.split("/")[1] ?? "", kind)?.kind,
    },
  });
  await manager.start();
});
afterAll(async () => {
  await manager.stop();
  api.stop();
});

const at = (name: string) => ({ namespace: "default", name });
const label = async (name: string) =>
  (await client.get(Deployment, at(name))).metadata.labels?.["resourcetemplate.karmada.io/retain-replicas"];
const autoscaler = (target: string, labels: Record<string, string>) =>
  ({
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { ...at("hpa"), labels },
    spec: { maxReplicas: 3, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: target } },
  }) as HorizontalPodAutoscaler;

test("the target of a propagated autoscaler keeps the members' replicas, and only as long as it is the target", async () => {
  await client.create(Deployment, aDeployment("one"));
  await client.create(Deployment, aDeployment("two"));
  const plain = await client.create(HorizontalPodAutoscaler, autoscaler("one", {}));
  await manager.whenIdle();
  expect(await label("one")).toBeUndefined();
  const claimed = await client.update(HorizontalPodAutoscaler, {
    ...plain,
    metadata: { ...plain.metadata, labels: { "propagationpolicy.karmada.io/permanent-id": "p" } },
  } as HorizontalPodAutoscaler);
  await eventually(async () => (await label("one")) === "true");
  await client.update(HorizontalPodAutoscaler, {
    ...claimed,
    spec: autoscaler("two", {}).spec,
  } as HorizontalPodAutoscaler);
  await eventually(async () => (await label("two")) === "true" && (await label("one")) === undefined);
  await client.delete(HorizontalPodAutoscaler, at("hpa"));
  await eventually(async () => (await label("two")) === undefined);
});
