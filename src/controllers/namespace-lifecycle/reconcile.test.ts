import { afterEach, expect, it } from "vitest";
import { ConfigMap, Event, Namespace } from "#apis/kubernetes";
import { createClient } from "#client";
import type { KubeObject } from "#machinery";
import { eventually, startTestFleet } from "#testing";

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
