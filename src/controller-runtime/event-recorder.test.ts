import { expect, it } from "vitest";
import { Event, Namespace } from "#apis/kubernetes";
import { seededRandom, silentLogger, silentMetrics, VirtualClock } from "#base";
import { createClient } from "#client";
import type { KubeObject } from "#machinery";
import { createTestServer, settle } from "#testing";
import { createEventRecorder } from "./event-recorder.ts";

const about = (name: string): KubeObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { namespace: "default", name, uid: `uid-of-${name}`, resourceVersion: "7" },
});

async function start() {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1), settle);
  const { inside } = await createTestServer({ clock });
  const client = createClient(inside);
  const recorder = createEventRecorder({
    client,
    clock,
    random: seededRandom(1),
    log: silentLogger,
    component: "tester",
  });
  const shown = async () =>
    (await client.list(Event)).items
      .map(({ involvedObject, reason, message, count, type, source }) => ({
        on: `${involvedObject.kind}/${involvedObject.name} ${involvedObject.uid} ${involvedObject.resourceVersion}`,
        says: `${type} ${reason} ${message} by ${source?.component}`,
        count,
      }))
      .sort((one, other) => (one.on + one.says < other.on + other.says ? -1 : 1));
  return { client, clock, recorder, shown };
}

it("writes equal events that come before it is written as one with their count, and counts on afterwards", async () => {
  const { recorder, shown } = await start();
  for (let at = 0; at < 3; at++) recorder.normal(about("web"), "Scaled", "up");
  recorder.warning(about("web"), "Scaled", "up");
  recorder.from("another").normal(about("web"), "Scaled", "up");
  recorder.normal(about("api"), "Scaled", "up");
  await recorder.flush();
  const first = [
    { on: "Deployment/api uid-of-api 7", says: "Normal Scaled up by tester", count: 1 },
    { on: "Deployment/web uid-of-web 7", says: "Normal Scaled up by another", count: 1 },
    { on: "Deployment/web uid-of-web 7", says: "Normal Scaled up by tester", count: 3 },
    { on: "Deployment/web uid-of-web 7", says: "Warning Scaled up by tester", count: 1 },
  ];
  expect(await shown()).toEqual(first);
  recorder.normal(about("web"), "Scaled", "up");
  recorder.normal(about("web"), "Scaled", "up");
  await recorder.flush();
  expect(await shown()).toEqual(first.with(2, { ...(first[2] as (typeof first)[0]), count: 5 }));
});

it("writes an event anew when somebody deleted it, and holds back who says too much", async () => {
  const { client, recorder, shown } = await start();
  recorder.normal(about("web"), "Scaled", "up");
  await recorder.flush();
  for (const { metadata } of (await client.list(Event)).items)
    await client.delete(Event, { namespace: metadata.namespace, name: metadata.name ?? "" });
  for (let at = 0; at < 100; at++) recorder.normal(about("web"), "Scaled", "up");
  await recorder.flush();
  // A burst of 25, one of which was spent before.
  expect(await shown()).toMatchObject([{ count: 24 }]);
});

it("loses one event only where it cannot be written", async () => {
  const { client, recorder, shown } = await start();
  recorder.normal({ ...about("web"), metadata: { namespace: "nowhere", name: "web" } }, "Scaled", "up");
  recorder.normal(about("api"), "Scaled", "up");
  await recorder.flush();
  expect((await shown()).map(({ on }) => on)).toEqual(["Deployment/api uid-of-api 7"]);
  expect(await client.find(Namespace, { name: "nowhere" })).toBeUndefined();
});

it("gives up what it cannot write before a stop has to be over", async () => {
  const { client, clock, shown } = await start();
  let answer = () => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const slow = {
    ...client,
    create: (async (...asked: Parameters<typeof client.create>) => {
      await answered;
      return client.create(...asked);
    }) as typeof client.create,
  };
  const recorder = createEventRecorder({
    client: slow,
    clock,
    random: seededRandom(1),
    log: silentLogger,
    component: "tester",
  });
  for (let at = 0; at < 40; at++) recorder.normal(about(`app-${at}`), "Scaled", "up");
  const flushed = recorder.flush(2_000);
  await clock.advance(2_000);
  answer();
  await flushed;
  // Those that were being written.
  expect(await shown()).toHaveLength(16);
});

it("drops the oldest when more come than are held, warnings last, and counts what is not written", async () => {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1), settle);
  const { inside } = await createTestServer({ clock });
  const client = createClient(inside);
  const drops: Record<string, number> = {};
  const told: string[] = [];
  const recorder = createEventRecorder({
    client,
    clock,
    random: seededRandom(1),
    log: { ...silentLogger, warn: (message) => void told.push(message) },
    component: "tester",
    pendingMax: 4,
    metrics: {
      ...silentMetrics,
      counter: () => ({
        add: (amount, labels) => {
          drops[labels?.["why"] ?? ""] = (drops[labels?.["why"] ?? ""] ?? 0) + amount;
        },
      }),
    },
  });
  recorder.warning(about("lame"), "Failed", "no");
  for (let at = 0; at < 6; at++) recorder.normal(about(`app-${at}`), "Scaled", "up");
  for (let at = 0; at < 30; at++) recorder.warning(about("loud"), "Failed", "again");
  recorder.warning({ ...about("lost"), metadata: { namespace: "nowhere", name: "lost" } }, "Failed", "no");
  await recorder.flush();
  const { items } = await client.list(Event);
  expect(items.map(({ involvedObject, count }) => `${involvedObject.name} ${count}`).sort()).toEqual([
    "app-5 1",
    "lame 1",
    "loud 25",
  ]);
  expect(drops).toEqual({ full: 5, rate: 5, refused: 1 });
  expect(told).toEqual(["events are dropped: more come than can be written"]);
});
