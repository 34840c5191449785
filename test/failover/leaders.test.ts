/** Processes of the control plane that die, step down and are cut off while workloads move. */
import { afterEach, expect, test } from "vitest";
import { Deployment } from "#apis/kubernetes";
import { PropagationPolicy } from "#apis/karmada";
import { aDeployment, aPropagationPolicy, type FailoverFleet, startFailoverFleet } from "#testing";

let fleet: FailoverFleet;
afterEach(() => fleet.stop());

const oneOf = (...clusterNames: string[]) => ({
  clusterAffinity: { clusterNames },
  replicaScheduling: { replicaSchedulingType: "Duplicated" },
  spreadConstraints: [{ spreadByField: "cluster", minGroups: 1, maxGroups: 1 }],
});

/** A workload in m1 that is on its way to m2, whose nodes are not there yet: its task lives. */
async function inMidEviction(replicas: number): Promise<void> {
  fleet = await startFailoverFleet({ members: ["m1", "m2"], replicas });
  await fleet.plane.create(PropagationPolicy, aPropagationPolicy("web", oneOf("m1", "m2")));
  await fleet.plane.create(Deployment, aDeployment("web", 3));
  await fleet.until(async () => (await fleet.copy("m1"))?.status?.readyReplicas === 3);
  await fleet.advance(5_000);
  await fleet.simulated("m2").setNodesReady(false);
  await fleet.taint("m1", true);
  await fleet.until(async () => (await fleet.tasks()).length === 1);
  await fleet.until(async () => (await fleet.copy("m2")) !== undefined);
}
const task = async () => (await fleet.binding()).spec.gracefulEvictionTasks?.[0];

test.each([
  ["the only process is killed and another started", 1, () => fleet.crash()],
  ["the leader is killed and another takes over", 2, () => fleet.crash()],
  ["the leader steps down", 2, () => fleet.stepDown()],
  [
    "the leader is cut off from the store for a minute",
    2,
    async () => {
      const mend = fleet.cutLeader();
      await fleet.advance(60_000);
      mend();
    },
  ],
])(
  "in mid-eviction %s: the old copy stays, the task keeps its time, and goes when the new copy runs",
  async (_what, replicas, trouble) => {
    await inMidEviction(replicas);
    const before = await task();
    await trouble();
    await fleet.advance(60_000);
    expect(await task()).toEqual(before);
    expect(before?.creationTimestamp).toBeDefined();
    expect((await fleet.copy("m1"))?.status?.readyReplicas).toBe(3);
    await fleet.simulated("m2").setNodesReady(true);
    await fleet.until(async () => (await fleet.tasks()).length === 0, 120_000);
    expect((await fleet.copy("m2"))?.status?.readyReplicas).toBe(3);
    await fleet.until(async () => (await fleet.copy("m1")) === undefined, 30_000);
    expect(await fleet.targets()).toBe("m2:3");
  },
);

test("TM-3: a toleration that runs out while no process leads is acted on by the next leader, at most a lease later", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2"], replicas: 2 });
  await fleet.plane.create(
    PropagationPolicy,
    aPropagationPolicy("web", {
      ...oneOf("m1", "m2"),
      clusterTolerations: [{ key: "fail-test", operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 }],
    }),
  );
  await fleet.plane.create(Deployment, aDeployment("web", 1));
  await fleet.until(async () => (await fleet.copy("m1"))?.status?.readyReplicas === 1);
  await fleet.taint("m1", true);
  const startMs = fleet.clock.now();
  await fleet.advance(58_000);
  await fleet.crash();
  await fleet.until(async () => (await fleet.targets()) === "m2:1", 60_000);
  const seconds = (fleet.clock.now() - startMs) / 1000;
  expect(seconds).toBeGreaterThanOrEqual(59);
  expect(seconds).toBeLessThanOrEqual(58 + 15 + 2);
});

test("a control plane that stops does not wait for members that hang", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2", "m3"] });
  await fleet.plane.create(
    PropagationPolicy,
    aPropagationPolicy("web", { clusterAffinity: { clusterNames: ["m1", "m2"] } }),
  );
  await fleet.plane.create(Deployment, aDeployment("web", 1));
  await fleet.until(async () => (await fleet.copy("m2"))?.status?.readyReplicas === 1);
  for (const name of ["m1", "m3"]) fleet.simulated(name).setFaults({ isHanging: true });
  await fleet.plane.patch(Deployment, { namespace: "default", name: "web" }, "application/merge-patch+json", {
    spec: { replicas: 2 },
  });
  await fleet.advance(11_000);
  const startMs = fleet.clock.now();
  await fleet.stepDown();
  expect((fleet.clock.now() - startMs) / 1000).toBeLessThanOrEqual(3);
  for (const name of ["m1", "m3"]) fleet.simulated(name).setFaults({ isHanging: false });
  await fleet.until(async () => (await fleet.copy("m1"))?.status?.readyReplicas === 2, 60_000);
});
