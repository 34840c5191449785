/** What must hold although somebody lies, edits by hand, or answers in another's place. */
import { afterEach, describe, expect, test } from "vitest";
import { ConfigMap, Deployment, Event } from "#apis/kubernetes";
import { Cluster, PropagationPolicy } from "#apis/karmada";
import { retryOnConflict } from "#client";
import { aDeployment, aPropagationPolicy, type FailoverFleet, startFailoverFleet } from "#testing";

let fleet: FailoverFleet;
afterEach(() => fleet.stop());

const duplicated = (...clusterNames: string[]) => ({
  clusterAffinity: { clusterNames },
  replicaScheduling: { replicaSchedulingType: "Duplicated" },
});
const oneOf = (...names: string[]) => ({
  ...duplicated(...names),
  spreadConstraints: [{ spreadByField: "cluster", minGroups: 1, maxGroups: 1 }],
});
async function deploy(placement: object, more: object = {}): Promise<void> {
  await fleet.plane.create(PropagationPolicy, aPropagationPolicy("web", placement, "default", more));
  await fleet.plane.create(Deployment, aDeployment("web", 2));
  await fleet.until(async () => (await fleet.copy("m1"))?.status?.readyReplicas === 2);
  await fleet.advance(5_000);
}
const cluster = (name: string) => fleet.plane.get(Cluster, { name });
const ready = async (name: string) =>
  (await cluster(name)).status?.conditions?.find(({ type }) => type === "Ready")?.status;
const taints = async (name: string) =>
  ((await cluster(name)).spec?.taints ?? []).map(({ key, effect }) => `${key.replace(/^.*\//, "")}:${effect}`);
const setTaints = (name: string, edit: (present: readonly object[]) => readonly object[]) =>
  retryOnConflict(async () => {
    const present = await cluster(name);
    await fleet.plane.update(Cluster, {
      ...present,
      spec: { ...present.spec, taints: edit(present.spec?.taints ?? []) },
    } as Cluster);
  });
const claim = (name: string, status: string, lastTransitionTime: string) =>
  retryOnConflict(async () => {
    const present = await cluster(name);
    const conditions = (present.status?.conditions ?? []).map((condition) =>
      condition.type === "Ready" ? { ...condition, status, reason: "Claimed", lastTransitionTime } : condition,
    );
    await fleet.plane.updateStatus(Cluster, { ...present, status: { ...present.status, conditions } } as Cluster);
  });

describe("another cluster under the same address", () => {
  test.each([
    ["at once", 0],
    ["after an outage of two minutes", 120_000],
  ])(
    "%s: what is to run there is made anew, although its caches' versions exist in both, and an event names the identities",
    async (_what, outageMs) => {
      fleet = await startFailoverFleet({ members: ["m1", "m2"] });
      await deploy(duplicated("m1"));
      const { uid } = (await fleet.copy("m1"))?.metadata ?? {};
      if (outageMs > 0) {
        fleet.simulated("m1").setFaults({ isDown: true });
        await fleet.advance(outageMs);
      }
      await fleet.replaceMember("m1");
      // Its history is longer than the old one's: a watch that goes on by version would see nothing missing.
      for (let at = 0; at < 500; at++)
        await fleet.member("m1").create(ConfigMap, {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { namespace: "default", name: `filler-${at}` },
        });
      await fleet.until(async () => (await fleet.copy("m1"))?.status?.readyReplicas === 2, 60_000);
      expect((await fleet.copy("m1"))?.metadata.uid).not.toBe(uid);
      await fleet.until(async () => (await ready("m1")) === "True", 60_000);
      await fleet.until(
        async () => (await fleet.binding()).status?.aggregatedStatus?.[0]?.health === "Healthy",
        60_000,
      );
      expect((await cluster("m1")).status?.nodeSummary).toEqual({ totalNum: 3, readyNum: 3 });
      expect((await fleet.eventsOf("Cluster", "m1")).join("\n")).toMatch(
        /Warning ClusterIdentityChanged Another cluster answers for cluster\(m1\): its id is [0-9a-f-]{36}, not [0-9a-f-]{36}\./,
      );
    },
  );

  test("a cluster whose id is not the one that joined is named once, and served", async () => {
    fleet = await startFailoverFleet({ members: ["m1"], joins: false });
    await fleet.join("m1");
    await retryOnConflict(async () => {
      const present = await cluster("m1");
      await fleet.plane.update(Cluster, { ...present, spec: { ...present.spec, id: "another" } } as Cluster);
    });
    await fleet.until(async () => (await ready("m1")) === "True", 60_000);
    await fleet.advance(120_000);
    const named = (await fleet.eventsOf("Cluster", "m1")).filter((text) => text.includes("ClusterIdentityChanged"));
    expect(named).toHaveLength(1);
    expect(named[0]).toContain("not another");
  });
});

describe("lies about a cluster", () => {
  test("a status that calls a dead cluster ready brings nothing back to it, and is put right at the next pass", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2", "m3"] });
    await fleet.addOutagePolicies();
    await deploy(oneOf("m1", "m2"));
    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.until(async () => (await fleet.targets()) === "m2:2", 60_000);
    await claim("m1", "True", "2026-01-01T00:00:00Z");
    await fleet.advance(60_000);
    expect(await ready("m1")).toBe("False");
    expect(await fleet.targets()).toBe("m2:2");
    expect((await taints("m1")).sort()).toEqual(["not-ready:NoExecute", "not-ready:NoSchedule"]);
  });

  test.each(["2020-01-01T00:00:00Z", "2040-01-01T00:00:00Z"])(
    "a status that calls a healthy cluster dead since %s is put right, and a workload that tolerates a minute stays",
    async (since) => {
      fleet = await startFailoverFleet({ members: ["m1", "m2", "m3"] });
      await fleet.addOutagePolicies();
      await deploy({
        ...oneOf("m1", "m2"),
        clusterTolerations: [
          { key: "cluster.karmada.io/not-ready", operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 },
        ],
      });
      const before = (await fleet.binding()).spec;
      await claim("m1", "False", since);
      await fleet.until(async () => (await ready("m1")) === "True", 60_000);
      await fleet.advance(600_000);
      expect(await taints("m1")).toEqual([]);
      expect((await fleet.binding()).spec).toEqual(before);
    },
  );

  test("ST-2: an API server that says it is well and refuses everything else keeps its condition; its copies are reported as before", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"] });
    await deploy(duplicated("m1", "m2"));
    await fleet.advance(11_000);
    const before = await cluster("m1");
    fleet.simulated("m1").setFaults({ isLying: true });
    await fleet.advance(150_000);
    // Its APIs cannot be read, and a change of the cluster has everything there scheduled again.
    await fleet.plane.patch(Cluster, { name: "m1" }, "application/merge-patch+json", {
      metadata: { labels: { changed: "yes" } },
    });
    await fleet.advance(150_000);
    expect(await ready("m1")).toBe("True");
    expect((await cluster("m1")).status?.resourceSummary).toEqual(before.status?.resourceSummary);
    expect(await fleet.targets()).toBe("m1:2,m2:2");
    // Whoever looks learns that what is known of its APIs is of before, and why; nothing is taken from it.
    const apis = async () =>
      (await cluster("m1")).status?.conditions?.find(({ type }) => type === "CompleteAPIEnablements");
    expect(await apis()).toMatchObject({ status: "False", reason: "Partial" });
    expect((await cluster("m1")).status?.apiEnablements).toEqual(before.status?.apiEnablements);
    const told = (await fleet.plane.list(Event)).items.filter(({ reason }) => reason === "StatusCollectionFailed");
    expect(told.map(({ message, count }) => [count, message])).toEqual([
      [1, expect.stringMatching(/^cluster\(m1\) is reachable, but what it serves cannot be listed: .* m1 fails$/)],
    ]);
    fleet.simulated("m1").setFaults({ isLying: false });
    await fleet.until(async () => (await apis())?.status === "True", 60_000);
    await fleet.plane.patch(Deployment, { namespace: "default", name: "web" }, "application/merge-patch+json", {
      spec: { replicas: 3 },
    });
    await fleet.until(async () => (await fleet.copy("m1"))?.status?.readyReplicas === 3, 60_000);
  });

  test("ST-9: nodes and pods that cannot be listed in time: the pass fails, not even Ready is written, and it heals by itself", async () => {
    fleet = await startFailoverFleet({ members: ["m1"], joins: false, flags: ["--cluster-cache-sync-timeout=30s"] });
    fleet.simulated("m1").setFaults({ isLying: true });
    await fleet.join("m1");
    await fleet.advance(300_000);
    expect((await cluster("m1")).status?.conditions ?? []).toEqual([]);
    expect(await taints("m1")).toEqual(["not-ready:NoSchedule"]);
    // Said once each, with what the member answered.
    const told = async () =>
      (await fleet.plane.list(Event)).items.filter(({ reason }) => reason === "StatusCollectionFailed");
    await fleet.until(async () => (await told()).length > 1);
    expect((await told()).map(({ message, count }) => `${count} ${message}`).sort()).toEqual(
      ["its nodes and pods", "what it serves"].map((what) =>
        expect.stringMatching(
          new RegExp(`^1 cluster\\(m1\\) is reachable, but ${what} cannot be listed: .*the API server of m1 fails$`),
        ),
      ),
    );
    fleet.simulated("m1").setFaults({ isLying: false });
    await fleet.until(async () => (await ready("m1")) === "True", 120_000);
    expect((await cluster("m1")).status?.nodeSummary).toEqual({ totalNum: 3, readyNum: 3 });
  });
});

describe("taints edited by hand", () => {
  const outage = async (tolerationSeconds?: number) => {
    fleet = await startFailoverFleet({ members: ["m1", "m2", "m3"] });
    await fleet.addOutagePolicies();
    await deploy({
      ...oneOf("m1", "m2"),
      ...(tolerationSeconds === undefined
        ? {}
        : {
            clusterTolerations: [
              { key: "cluster.karmada.io/not-ready", operator: "Exists", effect: "NoExecute", tolerationSeconds },
            ],
          }),
    });
    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.until(async () => (await taints("m1")).length === 2, 60_000);
  };

  test("TA-1 TM-4: all taken away while an eviction waits: the automatic one comes back at once, and nobody is evicted", async () => {
    await outage(120);
    await fleet.advance(60_000);
    await setTaints("m1", () => []);
    await fleet.advance(600_000);
    expect(await taints("m1")).toEqual(["not-ready:NoSchedule"]);
    expect([await fleet.targets(), await fleet.tasks()]).toEqual(["m1:2", []]);
  });

  test("TM-3: a later timeAdded puts the eviction off, an earlier one brings it on, and one without is noted by the server", async () => {
    await outage(120);
    const at = (offsetMs: number) => new Date(fleet.clock.now() + offsetMs).toISOString().replace(/\.\d+Z/, "Z");
    const date = (timeAdded: string | undefined) =>
      setTaints("m1", (present) => present.map((taint) => ({ ...taint, timeAdded })));
    await date(at(600_000));
    await fleet.advance(300_000);
    expect(await fleet.targets()).toBe("m1:2");
    await date(undefined);
    const startMs = fleet.clock.now();
    await fleet.advance(100_000);
    expect(await fleet.targets()).toBe("m1:2");
    await fleet.until(async () => (await fleet.targets()) === "m2:2", 60_000);
    expect((fleet.clock.now() - startMs) / 1000).toBeGreaterThanOrEqual(119);
    expect((fleet.clock.now() - startMs) / 1000).toBeLessThanOrEqual(121);
    await fleet.stop();
    await outage(3_600);
    await date(at(-7_200_000));
    await fleet.advance(1_000);
    expect(await fleet.targets()).toBe("m2:2");
  });

  test("taken away in mid-eviction: the task goes on, the new copy stays, the old one goes when the new one runs", async () => {
    await outage();
    await fleet.simulated("m2").setNodesReady(false);
    await fleet.until(async () => (await fleet.tasks()).length === 1, 60_000);
    await setTaints("m1", () => []);
    await fleet.advance(60_000);
    expect(await fleet.targets()).toBe("m2:2");
    expect(await fleet.tasks()).toEqual(["m1 Gracefully TaintUntolerated TaintManager 2"]);
    await fleet.simulated("m2").setNodesReady(true);
    await fleet.until(async () => (await fleet.tasks()).length === 0, 120_000);
    expect(await fleet.targets()).toBe("m2:2");
  });

  test("doubled and contradictory taints are refused by name, and nothing of them is stored", async () => {
    fleet = await startFailoverFleet({ members: ["m1"] });
    const same = { key: "a", effect: "NoExecute" };
    await expect(setTaints("m1", () => [same, { ...same, value: "b" }])).rejects.toThrow(
      /taints must be unique by key and effect pair/,
    );
    await expect(setTaints("m1", () => [{ key: "a", effect: "Sometimes" }])).rejects.toThrow(
      /spec\.taints\[0\]\.effect/,
    );
    expect(await taints("m1")).toEqual([]);
  });
});

test("§19: without the gate GracefulEviction a workload leaves without a task, and the old copy goes at once", async () => {
  fleet = await startFailoverFleet({
    members: ["m1", "m2"],
    flags: ["--feature-gates=Failover=true,GracefulEviction=false"],
  });
  await deploy(oneOf("m1", "m2"));
  await fleet.simulated("m2").setNodesReady(false);
  await fleet.taint("m1", true);
  await fleet.until(async () => (await fleet.targets()) === "m2:2", 10_000);
  expect(await fleet.tasks()).toEqual([]);
  await fleet.until(async () => (await fleet.copy("m1")) === undefined, 10_000);
});
