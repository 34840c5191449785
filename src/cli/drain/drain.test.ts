/** Draining and forecasts on a live fleet, in virtual time. */
import { afterEach, expect, test } from "vitest";
import { Deployment } from "#apis/kubernetes";
import { Cluster, PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { type Client, retryOnConflict } from "#client";
import { simulateSchedule } from "#scheduler";
import { aDeployment, aPropagationPolicy, type FailoverFleet, startFailoverFleet } from "#testing";
import { setSchedulable } from "../connection.ts";
import { forecastFailover, forecastText } from "../what-if/failover.ts";
import type { Simulate } from "../what-if/scheduler-flags.ts";
import { takeSnapshot } from "../what-if/snapshot.ts";
import { drainCluster, type DrainOptions, type DrainResult } from "./drain.ts";

let fleet: FailoverFleet;
afterEach(() => fleet.stop());

async function deploy(name: string, clusterNames: readonly string[], more: object = {}, replicas = 2): Promise<void> {
  await fleet.plane.create(
    PropagationPolicy,
    aPropagationPolicy(
      name,
      {
        clusterAffinity: { clusterNames },
        spreadConstraints: [{ spreadByField: "cluster", minGroups: 1, maxGroups: 1 }],
        ...more,
      },
      "default",
      { resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name }] },
    ),
  );
  await fleet.plane.create(Deployment, aDeployment(name, replicas));
  await fleet.until(async () => (await fleet.copy(clusterNames[0] as string, name)) !== undefined);
}

const simulate: Simulate = (snapshot, changes) =>
  Promise.resolve(simulateSchedule(snapshot, changes, { gates: fleet.gates, nowMs: fleet.clock.now() }));

async function drain(name: string, more: Partial<DrainOptions> = {}) {
  const lines: string[] = [];
  let result: DrainResult | undefined;
  const work = drainCluster(name, {
    client: fleet.plane,
    clock: fleet.clock,
    simulate,
    isForced: false,
    isDryRun: false,
    timeoutMs: 900_000,
    say: (line) => lines.push(line),
    ...more,
  }).then((found) => (result = found));
  await fleet.until(() => result !== undefined);
  await work;
  return { ...(result as unknown as DrainResult), lines };
}

test("a cluster is drained gracefully: what has another place moves before its old copy goes, what has none stays", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2"] });
  await deploy("web", ["m1", "m2"]);
  await deploy("bound", ["m1"]);
  await fleet.advance(10_000);
  const dry = await drain("m1", { isDryRun: true });
  expect(dry.lines).toEqual([
    expect.stringMatching(/^Deployment default\/bound stays: 0\/1 clusters are available/),
    "Deployment default/web would move to m2",
  ]);
  expect((await fleet.plane.get(Cluster, { name: "m1" })).spec?.taints).toBeUndefined();
  const seen: string[] = [];
  const stop = fleet.member("m1").watch(
    Deployment,
    { namespace: "default" },
    {
      event: (type, object) => {
        if (type === "DELETED") seen.push(`${object.metadata.name}`);
      },
      closed() {},
    },
  );
  const { moved, left, pending, lines } = await drain("m1");
  stop.stop();
  expect([moved, left.map(({ workload }) => workload), pending]).toEqual([
    ["Deployment default/web"],
    ["Deployment default/bound"],
    [],
  ]);
  expect(lines.slice(1)).toEqual([
    "m1 cluster cordoned",
    "0 of 1 workloads have left m1",
    "1 of 1 workloads have left m1",
  ]);
  await fleet.advance(5_000);
  expect([await fleet.targets("web"), await fleet.targets("bound"), seen]).toEqual(["m2:2", "m1:2", ["web"]]);
  // Forced, it leaves even what has no other place, and the old copy stays for the grace period.
  const forced = await drain("m1", { isForced: true, gracePeriodSeconds: 30 });
  expect([forced.moved, forced.left]).toEqual([["Deployment default/bound"], []]);
  await fleet.advance(5_000);
  expect(await fleet.copy("m1", "bound")).toBeUndefined();
  await expect(
    drainCluster("m9", { ...({} as DrainOptions), client: fleet.plane, clock: fleet.clock }),
  ).rejects.toThrow('there is no cluster "m9"');
});

test("E25: what cannot go back to a cluster yet, since its old copy there is still being removed, is waited for", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2"] });
  await deploy("web", ["m1", "m2"]);
  await fleet.advance(10_000);
  // It never becomes healthy anywhere, so that a task lasts as long as its grace period.
  await fleet.plane.patch(Deployment, { namespace: "default", name: "web" }, "application/merge-patch+json", {
    spec: {
      strategy: { type: "Recreate", rollingUpdate: null },
      template: { spec: { containers: [{ name: "app", image: "fake/none" }] } },
    },
  });
  await fleet.advance(10_000);
  const leaveM2 = (task: object) =>
    retryOnConflict(async () => {
      const present = await fleet.binding("web");
      const leaving = { fromCluster: "m2", reason: "Maintenance", producer: "somebody", ...task };
      await fleet.plane.update(ResourceBinding, {
        ...present,
        spec: { ...present.spec, gracefulEvictionTasks: [leaving] },
      } as unknown as ResourceBinding);
    });
  const stays = "Deployment default/web stays: 0/1 clusters are available: 1 cluster(s) is in the process of eviction.";
  // Held by a person, it is not waited for.
  await leaveM2({ purgeMode: "Never", suppressDeletion: true });
  expect((await drain("m1")).lines).toEqual([stays, "m1 cluster cordoned", "0 of 0 workloads have left m1"]);
  await leaveM2({ purgeMode: "Gracefully", gracePeriodSeconds: 60 });
  expect((await drain("m1", { isDryRun: true })).lines).toEqual([stays]);
  const awaited = "Deployment default/web is still leaving another cluster";
  expect((await drain("m1", { timeoutMs: 2_000 })).lines).toEqual([awaited, stays, "0 of 0 workloads have left m1"]);
  const { moved, left, lines } = await drain("m1", { gracePeriodSeconds: 5 });
  expect([moved, left, await fleet.targets("web")]).toEqual([["Deployment default/web"], [], "m2:2"]);
  expect(lines).toEqual([awaited, "0 of 1 workloads have left m1", "1 of 1 workloads have left m1"]);
});

test("E25: a cordon loses no taint that is set between its look and its write", async () => {
  fleet = await startFailoverFleet({ members: ["m1"] });
  const keys = async () => ((await fleet.plane.get(Cluster, { name: "m1" })).spec?.taints ?? []).map(({ key }) => key);
  /** A client that is slow to write: somebody else taints the cluster once it has looked. */
  const slow = (key: string): Client => {
    let isFirst = true;
    return {
      ...fleet.plane,
      async get(kind, at) {
        const found = await fleet.plane.get(kind, at);
        if (isFirst) {
          isFirst = false;
          await fleet.taint("m1", true, key);
        }
        return found;
      },
    };
  };
  expect(await setSchedulable(slow("first"), "m1", false)).toBe(true);
  expect(new Set(await keys())).toEqual(new Set(["cluster.karmada.io/unschedulable", "first"]));
  expect(await setSchedulable(slow("second"), "m1", true)).toBe(true);
  expect(new Set(await keys())).toEqual(new Set(["first", "second"]));
});

test("[GF-1] what if: who moves where, what does not fit, how long it takes; and the failover that follows does just that", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2", "m3"] });
  await deploy("web", ["m1", "m2"]);
  await deploy("bound", ["m1"]);
  await deploy("patient", ["m1", "m3"], {
    clusterTolerations: [
      { key: "cluster.karmada.io/not-ready", operator: "Exists", effect: "NoExecute", tolerationSeconds: 90 },
    ],
  });
  await deploy("stubborn", ["m1"], { clusterTolerations: [{ operator: "Exists" }] });
  await fleet.advance(10_000);
  const settings = { simulate, evictionsPerSecond: 1.5, brakeShare: 0.75 };
  const snapshot = await takeSnapshot(fleet.plane, fleet.clock.now());
  const { revision } = fleet.controlPlane.api.server.backend;
  const forecast = await forecastFailover(snapshot, ["m1"], settings);
  expect(forecast.simulation.bindings.map(({ resource, after, outcome }) => [resource, outcome, after])).toEqual([
    ["apps/v1 Deployment default/bound", "failed", []],
    ["apps/v1 Deployment default/patient", "changed", [{ name: "m3", replicas: 2 }]],
    ["apps/v1 Deployment default/web", "changed", [{ name: "m2", replicas: 2 }]],
  ]);
  expect(forecast.staying).toEqual(["Deployment default/stubborn"]);
  expect([forecast.firstSeconds, forecast.lastSeconds, forecast.isHeld]).toEqual([0, 90, false]);
  const text = forecastText(forecast);
  expect(text).toContain("Deployment default/stubborn tolerates the outage and stays where it is");
  expect(text).toContain("the first workload leaves after 0 s and the last after 90 s");
  expect(fleet.controlPlane.api.server.backend.revision).toBe(revision);
  expect(forecastText(await forecastFailover(snapshot, ["m1", "m2", "m3"], settings))).toContain(
    "flotilla release evictions",
  );
  await expect(forecastFailover(snapshot, ["m9"], settings)).rejects.toThrow('there is no cluster "m9"');
  // The real thing.
  await fleet.addOutagePolicies();
  fleet.simulated("m1").setFaults({ isDown: true });
  await fleet.advance(200_000);
  expect([
    await fleet.targets("web"),
    await fleet.targets("patient"),
    await fleet.targets("bound"),
    await fleet.targets("stubborn"),
  ]).toEqual(["m2:2", "m3:2", "", "m1:2"]);
});
