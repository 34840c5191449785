import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { karmadaCustomResourceDefinitions, type Placement, ResourceBinding } from "#apis/karmada";
import type { RunningApiServer } from "#apiserver";
import { seededRandom, silentLogger, VirtualClock } from "#base";
import { Event } from "#apis/kubernetes";
import { createManager, type Manager } from "#controller-runtime";
import { createEstimatorPool } from "#estimator";
import { settle, startTestApiServer } from "#testing";
import { deschedulerController } from "./index.ts";

const AGGREGATED: Placement = {
  replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" },
};

let clock: VirtualClock;
let api: RunningApiServer;
let manager: Manager;
const asked: { readonly cluster: string; readonly thresholdMs: number }[] = [];

beforeEach(async () => {
  asked.length = 0;
  clock = new VirtualClock(Date.parse("2026-01-01T00:00:00Z"), settle);
  const random = seededRandom(1);
  api = await startTestApiServer({
    clock,
    random,
    customResourceDefinitions: karmadaCustomResourceDefinitions(),
  });
  const estimators = createEstimatorPool({ clock, log: silentLogger });
  for (const [cluster, stuck] of [
    ["m1", 2],
    ["m2", 9],
  ] as const) {
    const unschedulableReplicas = (_: unknown, thresholdMs: number) => {
      asked.push({ cluster, thresholdMs });
      return stuck;
    };
    estimators.set(cluster, { maxReplicas: () => -1, maxSets: () => -1, unschedulableReplicas });
  }
  manager = createManager({
    transport: api.transport(),
    clock,
    random,
    log: silentLogger,
    component: "karmada-descheduler",
  });
  manager.add(deschedulerController, { deps: { estimators } });
  manager.informers.start();
  await manager.start();
  await settle();
});
afterEach(async () => {
  await manager.stop();
  api.stop();
});

async function addBinding(name: string, applied: Placement | undefined, ready: readonly number[]): Promise<void> {
  const made = await manager.client.create(ResourceBinding, {
    apiVersion: "work.karmada.io/v1alpha2",
    kind: "ResourceBinding",
    metadata: {
      name,
      namespace: "default",
      ...(applied === undefined
        ? {}
        : { annotations: { "policy.karmada.io/applied-placement": JSON.stringify(applied) } }),
    },
    spec: {
      resource: { apiVersion: "apps/v1", kind: "Deployment", name, namespace: "default" },
      placement: AGGREGATED,
      replicas: 8,
      clusters: [
        { name: "m1", replicas: 5 },
        { name: "m2", replicas: 3 },
      ],
    },
  });
  const aggregatedStatus = ready.map((readyReplicas, at) => ({ clusterName: `m${at + 1}`, status: { readyReplicas } }));
  await manager.client.updateStatus(ResourceBinding, { ...made, status: { aggregatedStatus } });
}

const targets = async (name: string) =>
  (await manager.client.get(ResourceBinding, { namespace: "default", name })).spec.clusters;

describe("the running descheduler", () => {
  it("takes away what found no node once an interval, in place, and says so on binding and resource", async () => {
    await addBinding("web", AGGREGATED, [3, 3]);
    await clock.advance(119_000);
    expect(asked).toEqual([]);
    await clock.advance(2_000);
    expect(await targets("web")).toEqual([
      { name: "m1", replicas: 3 },
      { name: "m2", replicas: 3 },
    ]);
    expect(asked).toEqual([{ cluster: "m1", thresholdMs: 300_000 }]);
    await manager.events.flush();
    const events = (await manager.client.list(Event, { namespace: "default" })).items;
    expect(
      events
        .map(({ involvedObject, reason, message, source }) => [involvedObject.kind, reason, message, source?.component])
        .sort(),
    ).toEqual(
      ["Deployment", "ResourceBinding"].map((kind) => [
        kind,
        "DescheduleBindingSucceed",
        "Binding has been descheduled, 2 replica(s) in cluster(m1), 2 total descheduled replica(s)",
        "karmada-descheduler",
      ]),
    );
  });

  it("leaves rolling updates, duplicated and never scheduled bindings alone", async () => {
    await addBinding("rolling", AGGREGATED, [5, 1]);
    await addBinding("copies", { replicaScheduling: { replicaSchedulingType: "Duplicated" } }, [0, 0]);
    await addBinding("new", undefined, [0, 0]);
    await clock.advance(121_000);
    for (const name of ["rolling", "copies", "new"])
      expect(await targets(name)).toEqual([
        { name: "m1", replicas: 5 },
        { name: "m2", replicas: 3 },
      ]);
    expect(asked).toEqual([{ cluster: "m2", thresholdMs: 300_000 }]);
  });
});
