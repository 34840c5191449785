/** Cluster health in virtual time: probes, thresholds, Leases, the monitor, automatic taints, and what a cluster reports. */
import { afterEach, describe, expect, test } from "vitest";
import { Event, Lease, Node, Pod } from "#apis/kubernetes";
import { Cluster, ClusterTaintPolicy } from "#apis/karmada";
import { retryOnConflict } from "#client";
import { startVirtualFleet, type VirtualFleet } from "#testing";

let fleet: VirtualFleet;
afterEach(() => fleet.stop());

const cluster = (name = "m1") => fleet.plane.get(Cluster, { name });
const condition = async (type: string, name = "m1") =>
  (await cluster(name)).status?.conditions?.find((found) => found.type === type);
const ready = async (name = "m1") => {
  const found = await condition("Ready", name);
  return found === undefined ? undefined : `${found.status}/${found.reason}`;
};
const taints = async (name = "m1") =>
  ((await cluster(name)).spec?.taints ?? []).map(({ key, effect }) => `${key.replace(/^.*\//, "")}:${effect}`);
const events = async (name = "m1") =>
  (await fleet.plane.list(Event, { namespace: "default" })).items
    .filter(({ involvedObject }) => involvedObject.kind === "Cluster" && involvedObject.name === name)
    .map(({ type, reason, message }) => `${type} ${reason} ${message}`);
const seconds = (ms: number) => ms / 1000;
const between = (ms: number, from: number, to: number) => {
  expect(seconds(ms)).toBeGreaterThanOrEqual(from);
  expect(seconds(ms)).toBeLessThanOrEqual(to + 1);
};

describe("a push cluster", () => {
  test("[GF-3] [GF-5] [GF-7] [GF-10] [GF-11] [GF-17] [GF-18] S1 S25 ST-5 TA-1 TA-2 TA-3 §20.1: its API server stops, Ready holds 30 s and then falls with NoSchedule only", async () => {
    fleet = await startVirtualFleet();
    expect(await ready()).toBe("True/ClusterReady");
    const before = await cluster();
    expect(before.status?.conditions?.map(({ type }) => type)).toEqual(["CompleteAPIEnablements", "Ready"]);
    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.advance(29_000);
    expect(await ready()).toBe("True/ClusterReady");
    between(29_000 + (await fleet.until(async () => (await ready())?.startsWith("False"))), 30, 40);
    expect(await condition("Ready")).toMatchObject({
      status: "False",
      reason: "ClusterNotReachable",
      message: "cluster is not reachable",
    });
    expect(await taints()).toEqual(["not-ready:NoSchedule"]);
    expect((await cluster()).spec?.taints?.[0]?.timeAdded).toMatch(/^2026-01-01T/);
    expect(await events()).toContain(
      "Normal TaintClusterSucceed Taint cluster succeed: cluster now has taints([{Key:cluster.karmada.io/not-ready,Effect:NoSchedule}]).",
    );
    // What was collected while it was well stays as it was.
    expect((await cluster()).status?.resourceSummary).toEqual(before.status?.resourceSummary);
    await fleet.advance(3_600_000);
    expect(await ready()).toBe("False/ClusterNotReachable");
    expect(await taints()).toEqual(["not-ready:NoSchedule"]);
    fleet.simulated("m1").setFaults({ isDown: false });
    between(await fleet.until(async () => (await ready())?.startsWith("True")), 30, 40);
    expect(await taints()).toEqual([]);
    expect(await events()).toContain(
      "Normal TaintClusterSucceed Taint cluster succeed: cluster now does not have taints.",
    );
  });

  test("S2 ST-2: a health endpoint that answers badly for a while makes it not ready, and says why", async () => {
    fleet = await startVirtualFleet({ members: ["m1", "m2"] });
    fleet.simulated("m1").setFaults({ healthStatus: 500 });
    between(await fleet.until(async () => (await ready())?.startsWith("False")), 30, 40);
    expect(await condition("Ready")).toMatchObject({
      reason: "ClusterNotReady",
      message: "cluster is reachable but health endpoint responded without ok",
    });
  });

  test("[GF-23] S3 ST-5: an outage of 20 s leaves no trace", async () => {
    fleet = await startVirtualFleet({ members: ["m1"] });
    const before = await condition("Ready");
    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.advance(20_000);
    fleet.simulated("m1").setFaults({ isDown: false });
    await fleet.advance(120_000);
    expect(await condition("Ready")).toEqual(before);
    expect(await taints()).toEqual([]);
  });

  test("ST-3 ST-5: each change of what is observed starts the clock anew, for each cluster by itself", async () => {
    fleet = await startVirtualFleet({ members: ["m1", "m2"] });
    fleet.simulated("m2").setFaults({ isDown: true });
    // Never 30 s in one state, and seen in both: m1 keeps its condition for as long as that goes on.
    for (let at = 0; at < 6; at++) {
      fleet.simulated("m1").setFaults({ isDown: true });
      await fleet.advance(20_000);
      expect(await ready("m1")).toBe("True/ClusterReady");
      fleet.simulated("m1").setFaults({ isDown: false });
      await fleet.advance(20_000);
      expect(await ready("m1")).toBe("True/ClusterReady");
      if (at > 1) expect(await ready("m2")).toBe("False/ClusterNotReachable");
    }
    fleet.simulated("m1").setFaults({ isDown: true });
    between(await fleet.until(async () => (await ready("m1"))?.startsWith("False")), 30, 40);
  });

  test("§20.1 black hole: packets vanish, each probe costs its whole timeout, and the others are probed as ever", async () => {
    fleet = await startVirtualFleet({ members: ["m1", "m2"] });
    fleet.simulated("m1").setFaults({ isHanging: true });
    between(await fleet.until(async () => (await ready())?.startsWith("False")), 70, 84);
    expect(await ready()).toBe("False/ClusterNotReachable");
    fleet.simulated("m2").setFaults({ isDown: true });
    between(await fleet.until(async () => (await ready("m2"))?.startsWith("False")), 30, 40);
  });

  test("ST-4 D-15: a restart of the control plane in an outage does not shorten the threshold", async () => {
    fleet = await startVirtualFleet({ members: ["m1", "m2"] });
    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.restart();
    await fleet.advance(25_000);
    expect(await ready()).toBe("True/ClusterReady");
    between(25_000 + (await fleet.until(async () => (await ready())?.startsWith("False"))), 30, 40);
  });

  test("ST-6 StatusCollectionFailed: credentials that are no use count as an outage", async () => {
    fleet = await startVirtualFleet({ members: ["m1"] });
    await fleet.plane.create(Cluster, {
      apiVersion: "cluster.karmada.io/v1alpha1",
      kind: "Cluster",
      metadata: { name: "bare" },
      spec: {
        syncMode: "Push",
        apiEndpoint: "https://bare.test",
        secretRef: { namespace: "karmada-cluster", name: "x" },
      },
    } as unknown as Cluster);
    await fleet.until(async () => (await ready("bare")) !== undefined);
    expect(await condition("Ready", "bare")).toMatchObject({
      status: "False",
      reason: "StatusCollectionFailed",
      message: 'failed to create a ClusterClient: secrets "x" not found',
    });
    expect(await taints("bare")).toEqual(["not-ready:NoSchedule"]);
  });
});

describe("what a cluster reports", () => {
  test("[GF-9] ST-10 §3.3 D-8 D-25: nodes, resources and models follow change; full nodes are passed over, foreign conditions stay", async () => {
    fleet = await startVirtualFleet({ members: ["m1"], nodes: [{ count: 2, cpu: "8", memory: "32Gi", pods: 2 }] });
    const status = async () => (await cluster()).status;
    expect(await status()).toMatchObject({
      nodeSummary: { totalNum: 2, readyNum: 2 },
      resourceSummary: { allocatable: { cpu: "16", memory: "64Gi", pods: "4" } },
    });
    expect((await status())?.kubernetesVersion).toMatch(/^v1\./);
    const counts = async () =>
      ((await status())?.resourceSummary?.allocatableModelings ?? [])
        .filter(({ count }) => count > 0)
        .map(({ grade, count }) => `${grade}:${count}`);
    expect(await counts()).toEqual(["3:2"]);
    const pod = (name: string, nodeName: string) =>
      ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { namespace: "default", name },
        spec: {
          nodeName,
          containers: [{ name: "a", image: "a", resources: { requests: { cpu: "500m", memory: "1Gi" } } }],
          initContainers: [{ name: "i", image: "i", resources: { requests: { cpu: "2" } } }],
        },
      }) as unknown as Pod;
    for (const name of ["a", "b"]) await fleet.member("m1").create(Pod, pod(name, "m1-node-1"));
    await retryOnConflict(async () => {
      const latest = await cluster();
      await fleet.plane.updateStatus(Cluster, {
        ...latest,
        status: {
          ...latest.status,
          conditions: [
            ...(latest.status?.conditions ?? []),
            {
              type: "NetworkReady",
              status: "True",
              reason: "",
              message: "",
              lastTransitionTime: "2026-01-01T00:00:00Z",
            },
          ],
        },
      } as Cluster);
    });
    await fleet.advance(11_000);
    // An init container counts within its own pod: two of 2 CPU each, not one of 2 CPU for both.
    expect((await status())?.resourceSummary?.allocated).toEqual({ cpu: "4", memory: "2Gi", pods: "2" });
    expect(await counts()).toEqual(["3:1"]);
    expect((await condition("NetworkReady"))?.status).toBe("True");
    const [node] = (await fleet.member("m1").list(Node)).items;
    await fleet.member("m1").delete(Node, { name: node?.metadata.name ?? "" });
    await fleet.advance(11_000);
    expect((await status())?.nodeSummary).toEqual({ totalNum: 1, readyNum: 1 });
  });

  test("ST-10: nothing is written while nothing changes", async () => {
    fleet = await startVirtualFleet({ members: ["m1", "m2"] });
    await fleet.advance(60_000);
    const { resourceVersion } = (await cluster()).metadata;
    const { revision } = fleet.controlPlane.api.server.backend;
    await fleet.advance(600_000);
    expect((await cluster()).metadata.resourceVersion).toBe(resourceVersion);
    expect(fleet.controlPlane.api.server.backend.revision).toBe(revision);
  });
});

describe("a pull cluster", () => {
  const lease = () => fleet.plane.get(Lease, { namespace: "karmada-cluster", name: "m1" });
  const startPull = () => startVirtualFleet({ members: ["m1", "m2"], pull: ["m1"] }).then((made) => (fleet = made));

  test("[GF-4] [GF-6] [GF-8] [GF-12] [GF-13] [GF-14] S4 ST-11: its Lease is renewed about every 10 s, whether or not the member is well", async () => {
    await startPull();
    expect(await ready()).toBe("True/ClusterReady");
    const first = await lease();
    expect(first.spec).toMatchObject({ holderIdentity: "m1", leaseDurationSeconds: 40 });
    expect(first.metadata.ownerReferences).toMatchObject([{ kind: "Cluster", name: "m1" }]);
    const renewals = new Set<string>();
    fleet.simulated("m1").setFaults({ isDown: true });
    for (let at = 0; at < 100; at++) {
      await fleet.advance(1_000);
      renewals.add((await lease()).spec?.renewTime ?? "");
    }
    expect(renewals.size).toBeGreaterThanOrEqual(10);
    expect(renewals.size).toBeLessThanOrEqual(11);
    // The agent reports its member's outage, so the cluster is False and never Unknown.
    expect(await ready()).toBe("False/ClusterNotReachable");
    expect(await taints()).toEqual(["not-ready:NoSchedule"]);
  });

  test("[GF-15] [GF-16] [GF-19] S5 S6 HM-3 HM-4 §20.3 §20.4: a dead agent makes it Unknown, its return heals at once, and a dead member is False", async () => {
    await startPull();
    await fleet.agent("m1").kill();
    between(await fleet.until(async () => (await ready())?.startsWith("Unknown")), 29.6, 50);
    expect(await condition("Ready")).toMatchObject({
      reason: "ClusterStatusUnknown",
      message: "Cluster status controller stopped posting cluster status.",
    });
    expect(await taints()).toEqual(["unreachable:NoSchedule"]);
    await fleet.agent("m1").start();
    between(await fleet.until(async () => (await ready())?.startsWith("True")), 0, 1);
    await fleet.until(async () => (await taints()).length === 0);
    fleet.simulated("m1").setFaults({ isDown: true });
    between(await fleet.until(async () => (await ready())?.startsWith("False")), 30, 40);
    expect(await taints()).toEqual(["not-ready:NoSchedule"]);
  });

  test("ST-7 HM-6: a network cut between agent and control plane heals at the next pass", async () => {
    await startPull();
    fleet.agent("m1").setFaults({ isDown: true });
    await fleet.until(async () => (await ready())?.startsWith("Unknown"));
    fleet.agent("m1").setFaults({ isDown: false });
    between(await fleet.until(async () => (await ready())?.startsWith("True")), 0, 20);
  });

  test("HM-4 HM-5: an agent that never reports is noticed after the startup grace; one that renews its Lease is left alone", async () => {
    fleet = await startVirtualFleet({ members: ["m2"] });
    for (const name of ["silent", "renewing"])
      await fleet.plane.create(Cluster, {
        apiVersion: "cluster.karmada.io/v1alpha1",
        kind: "Cluster",
        metadata: { name },
        spec: { syncMode: "Pull" },
      } as unknown as Cluster);
    const renew = async () => {
      const at = { namespace: "karmada-cluster", name: "renewing" };
      const renewTime = new Date(fleet.clock.now()).toISOString().replace("Z", "000Z");
      const present = await fleet.plane.find(Lease, at);
      const spec = { holderIdentity: "renewing", renewTime };
      if (present === undefined)
        await fleet.plane.create(Lease, { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: at, spec });
      else await fleet.plane.update(Lease, { ...present, spec });
    };
    let silentMs: number | undefined;
    const startMs = fleet.clock.now();
    for (let at = 0; at < 20; at++) {
      await renew();
      await fleet.advance(5_000);
      if (silentMs === undefined && (await ready("silent")) !== undefined) silentMs = fleet.clock.now() - startMs;
    }
    between(silentMs ?? 0, 60, 65);
    expect(await condition("Ready", "silent")).toMatchObject({
      status: "Unknown",
      reason: "ClusterStatusNeverUpdated",
      message: "Cluster status controller never posted cluster status.",
    });
    expect(await ready("renewing")).toBeUndefined();
    expect(await taints("renewing")).toEqual(["not-ready:NoSchedule"]);
  });

  test("HM-1: clusters are judged every 5 s; a judgement that cannot be written is tried for 100 ms, then left to the next one", async () => {
    fleet = await startVirtualFleet({ members: ["m2"] });
    const silent = async (name: string) => {
      await fleet.plane.create(Cluster, {
        apiVersion: "cluster.karmada.io/v1alpha1",
        kind: "Cluster",
        metadata: { name },
        spec: { syncMode: "Pull" },
      } as unknown as Cluster);
      return fleet.clock.now();
    };
    await silent("first");
    await fleet.until(async () => (await ready("first")) !== undefined);
    // When clusters are judged, from now on every five seconds.
    const judgedMs = fleet.clock.now();
    const lateBy = (ms: number) => (fleet.clock.now() - judgedMs - ms) % 5_000;
    await fleet.advance(1_500);
    for (const [name, cutMs, isWritten] of [
      ["second", 60, true],
      ["third", 400, false],
    ] as const) {
      await silent(name);
      // Its minute is over by then, and was not five seconds before.
      const dueMs = judgedMs + Math.ceil((fleet.clock.now() + 60_000 - judgedMs) / 5_000) * 5_000;
      await fleet.advance(dueMs - fleet.clock.now() - 10);
      const mend = fleet.cutLeader();
      await fleet.advance(cutMs);
      mend();
      await fleet.advance(100);
      expect((await ready(name)) !== undefined, name).toBe(isWritten);
      await fleet.advance(5_000);
      expect(await ready(name)).toBe("Unknown/ClusterStatusNeverUpdated");
      expect(lateBy(cutMs + 90)).toBe(0);
      await fleet.advance(1_410 - cutMs);
    }
  });

  test("HM-2: the monitor never makes a push cluster Unknown", async () => {
    fleet = await startVirtualFleet({ members: ["m1"] });
    fleet.simulated("m1").setFaults({ isHanging: true });
    await fleet.advance(1_800_000);
    expect(await ready()).toBe("False/ClusterNotReachable");
  });
});

describe("taints by policy", () => {
  const setConditions = (name: string, wanted: Readonly<Record<string, string>>) =>
    retryOnConflict(async () => {
      const latest = await cluster(name);
      const others = (latest.status?.conditions ?? []).filter(({ type }) => wanted[type] === undefined);
      const made = Object.entries(wanted).map(([type, status]) => ({
        type,
        status,
        reason: "",
        message: "",
        lastTransitionTime: "2026-01-01T00:00:00Z",
      }));
      await fleet.plane.updateStatus(Cluster, {
        ...latest,
        status: { ...latest.status, conditions: [...others, ...made] },
      } as Cluster);
      await fleet.advance(0);
    });
  const policy = (name: string, spec: object) =>
    fleet.plane.create(ClusterTaintPolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "ClusterTaintPolicy",
      metadata: { name },
      spec,
    } as unknown as ClusterTaintPolicy);
  const on = (conditionType: string, ...statusValues: string[]) => ({ conditionType, operator: "In", statusValues });
  const flags = ["--feature-gates=Failover=true", "--allow-no-execute-taint-policy=true"];

  test("E8 E9 E10 TA-4 TA-5 TA-6 TA-7 TA-8: conditions add and remove taints; all entries of a list must hold; both effects go together", async () => {
    fleet = await startVirtualFleet({ members: ["m1", "m2"], flags });
    await policy("network", {
      targetClusters: { clusterNames: ["m2"] },
      addOnConditions: [on("NetworkReady", "False", "Unknown")],
      removeOnConditions: [on("NetworkReady", "True")],
      taints: [
        { key: "testing/network-not-ready", effect: "NoSchedule" },
        { key: "testing/network-not-ready", effect: "NoExecute" },
      ],
    });
    await policy("both", {
      addOnConditions: [on("NetworkReady", "False"), on("StorageReady", "False")],
      removeOnConditions: [on("NetworkReady", "True"), on("StorageReady", "True")],
      taints: [{ key: "both", effect: "NoSchedule" }],
    });
    await setConditions("m1", { NetworkReady: "False" });
    await setConditions("m2", { NetworkReady: "False" });
    expect([await taints("m1"), await taints("m2")]).toEqual([
      [],
      ["network-not-ready:NoSchedule", "network-not-ready:NoExecute"],
    ]);
    expect((await events("m2")).filter((text) => text.includes("Update Cluster(m2) with taints("))).toEqual([
      "Normal TaintClusterSucceed Update Cluster(m2) with taints(cluster now has taints([{Key:testing/network-not-ready,Effect:NoSchedule},{Key:testing/network-not-ready,Effect:NoExecute}])) succeed",
    ]);
    await setConditions("m1", { StorageReady: "False" });
    expect(await taints("m1")).toEqual(["both:NoSchedule"]);
    await setConditions("m1", { StorageReady: "True" });
    expect(await taints("m1")).toEqual(["both:NoSchedule"]);
    await setConditions("m1", { NetworkReady: "True" });
    await setConditions("m2", { NetworkReady: "True" });
    expect([await taints("m1"), await taints("m2")]).toEqual([[], []]);
    // A taint somebody takes away by hand comes back only with a change of conditions.
    await setConditions("m2", { NetworkReady: "Unknown" });
    const latest = await cluster("m2");
    await fleet.plane.update(Cluster, { ...latest, spec: { ...latest.spec, taints: [] } } as Cluster);
    await fleet.advance(60_000);
    expect(await taints("m2")).toEqual([]);
  });

  test("TA-5 D-17: of policies made in the same second the one whose name comes later has the last word", async () => {
    fleet = await startVirtualFleet({ members: ["m1"], flags });
    const adding = { addOnConditions: [on("NetworkReady", "False")] };
    const removing = { removeOnConditions: [on("NetworkReady", "False")] };
    const taintsOf = (key: string) => ({ taints: [{ key, effect: "NoSchedule" }] });
    await policy("b-adds", { ...adding, ...taintsOf("stays") });
    await policy("a-removes", { ...removing, ...taintsOf("stays") });
    await policy("d-removes", { ...removing, ...taintsOf("goes") });
    await policy("c-adds", { ...adding, ...taintsOf("goes") });
    const born = (await fleet.plane.list(ClusterTaintPolicy)).items.map(({ metadata }) => metadata.creationTimestamp);
    expect(new Set(born).size).toBe(1);
    await setConditions("m1", { NetworkReady: "False" });
    expect(await taints("m1")).toEqual(["stays:NoSchedule"]);
  });
});
