/** Eviction in virtual time: taints and tolerations, pace, purge modes, tasks, what comes back, and brakes. */
import { afterEach, describe, expect, test } from "vitest";
import { ConfigMap, Deployment } from "#apis/kubernetes";
import { Cluster, PropagationPolicy, ResourceBinding, type GracefulEvictionTask } from "#apis/karmada";
import { retryOnConflict } from "#client";
import { aDeployment, aPropagationPolicy, type FailoverFleet, startFailoverFleet } from "#testing";

let fleet: FailoverFleet;
afterEach(() => fleet.stop());

const spread = [{ spreadByField: "cluster", minGroups: 2, maxGroups: 2 }];
const duplicated = (...names: string[]) => ({
  clusterAffinity: { clusterNames: names },
  replicaScheduling: { replicaSchedulingType: "Duplicated" },
});
const oneOf = (...names: string[]) => ({
  ...duplicated(...names),
  spreadConstraints: [{ spreadByField: "cluster", minGroups: 1, maxGroups: 1 }],
});
const weighted = (...weights: (readonly [string, number])[]) => ({
  clusterAffinity: { clusterNames: weights.map(([name]) => name) },
  replicaScheduling: {
    replicaSchedulingType: "Divided",
    replicaDivisionPreference: "Weighted",
    weightPreference: {
      staticWeightList: weights.map(([name, weight]) => ({ targetCluster: { clusterNames: [name] }, weight })),
    },
  },
});
const toleration = (key: string, tolerationSeconds?: number) => ({
  key,
  operator: "Exists",
  effect: "NoExecute",
  ...(tolerationSeconds === undefined ? {} : { tolerationSeconds }),
});

async function deploy(placement: object, replicas = 3, more: object = {}): Promise<void> {
  await fleet.plane.create(PropagationPolicy, aPropagationPolicy("web", placement, "default", more));
  await fleet.plane.create(Deployment, aDeployment("web", replicas));
  await settled();
}
/** Every copy runs. */
const settled = () =>
  fleet.until(async () => {
    const { spec, status } = await fleet.binding();
    return (
      (spec.clusters ?? []).length > 0 &&
      (spec.clusters ?? []).every(({ name }) =>
        status?.aggregatedStatus?.some((item) => item.clusterName === name && item.health === "Healthy"),
      )
    );
  });
const ready = async (name: string) =>
  (await fleet.plane.get(Cluster, { name })).status?.conditions?.find(({ type }) => type === "Ready")?.status;
const taints = async (name: string) =>
  ((await fleet.plane.get(Cluster, { name })).spec?.taints ?? []).map(
    ({ key, effect }) => `${key.replace(/^.*\//, "")}:${effect}`,
  );
const clusterNames = async () => ((await fleet.binding()).spec.clusters ?? []).map(({ name }) => name);

describe("an outage, failover configured (§20.2)", () => {
  test("[O-4] [GF-1] [GF-2] [GF-27] [GF-28] [GF-29] [GF-30] [GF-31] [GF-33] [GF-36] [GF-38] [GF-39] [GF-40] S11 E1 §20.2 §20.4: Duplicated on two of m1, m2, m3, m5: one is replaced one for one, the other is not touched, m4 is never used", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2", "m3", "m4", "m5"] });
    await fleet.addOutagePolicies();
    await deploy({ ...duplicated("m1", "m2", "m3", "m5"), spreadConstraints: spread });
    expect(await fleet.targets()).toBe("m1:3,m2:3");
    const untouched = (await fleet.work("m1"))?.metadata.generation;
    const { uid } = (await fleet.copy("m1"))?.metadata ?? {};
    fleet.simulated("m2").setFaults({ isDown: true });
    await fleet.until(async () => (await ready("m2")) === "False");
    await fleet.advance(500);
    expect(await taints("m2")).toEqual(["not-ready:NoSchedule", "not-ready:NoExecute"]);
    expect(await fleet.targets()).toBe("m1:3,m3:3");
    expect(await fleet.tasks()).toEqual(["m2 Gracefully TaintUntolerated TaintManager 3"]);
    const [task] = (await fleet.binding()).spec.gracefulEvictionTasks as [GracefulEvictionTask];
    expect(Object.keys(task).sort()).toEqual([
      "creationTimestamp",
      "fromCluster",
      "producer",
      "purgeMode",
      "reason",
      "replicas",
    ]);
    // The old copy's Work is kept until the new copy is healthy.
    expect((await fleet.work("m2"))?.metadata.deletionTimestamp).toBeUndefined();
    await fleet.until(async () => (await fleet.tasks()).length === 0, 60_000);
    expect((await fleet.work("m2"))?.metadata.deletionTimestamp).toBeDefined();
    for (const [kind, name] of [
      ["ResourceBinding", "web-deployment"],
      ["Deployment", "web"],
    ] as const)
      expect(await fleet.eventsOf(kind, name)).toContain(
        "Normal EvictWorkloadFromClusterSucceed Evict from cluster m2 succeed.",
      );
    expect((await fleet.work("m1"))?.metadata.generation).toBe(untouched);
    expect((await fleet.copy("m1"))?.metadata.uid).toBe(uid);
    // The dead member still has its copy; when it comes back the copy goes at once, and nothing moves back.
    expect(await fleet.copy("m2")).toBeDefined();
    fleet.simulated("m2").setFaults({ isDown: false });
    await fleet.until(async () => (await ready("m2")) === "True", 60_000);
    await fleet.until(async () => (await fleet.copy("m2")) === undefined, 15_000);
    await fleet.advance(600_000);
    expect(await fleet.targets()).toBe("m1:3,m3:3");
    expect(await fleet.copy("m4")).toBeUndefined();
  });

  test("[GF-34] [GF-35] [GF-37] [GF-41] S13 §20.2: static weights 1:2, m1 dies: m2 takes its replica, and keeps it when m1 is back", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2", "m3"] });
    await fleet.addOutagePolicies();
    await deploy(weighted(["m1", 1], ["m2", 2]));
    expect(await fleet.targets()).toBe("m1:1,m2:2");
    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.until(async () => (await fleet.tasks()).length === 1, 60_000);
    await fleet.advance(500);
    expect(await fleet.targets()).toBe("m2:3");
    expect(await fleet.tasks()).toEqual(["m1 Gracefully TaintUntolerated TaintManager 1"]);
    expect((await fleet.work("m1"))?.metadata.deletionTimestamp).toBeUndefined();
    await fleet.until(async () => (await fleet.tasks()).length === 0, 60_000);
    fleet.simulated("m1").setFaults({ isDown: false });
    await fleet.until(async () => (await fleet.copy("m1")) === undefined, 120_000);
    await fleet.advance(600_000);
    expect(await fleet.targets()).toBe("m2:3");
  });

  test("[GF-32] S12 SC-6 §20.2: too few candidates: the healthy copy stays, nothing else is chosen, the task lives its 600 s", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2", "m4"] });
    await fleet.addOutagePolicies();
    await deploy({ ...duplicated("m1", "m2", "m3", "m5"), spreadConstraints: spread });
    fleet.simulated("m2").setFaults({ isDown: true });
    await fleet.until(async () => (await fleet.tasks()).length === 1, 60_000);
    await fleet.advance(599_000);
    expect(await fleet.targets()).toBe("m1:3");
    expect((await fleet.binding()).status?.conditions?.find(({ type }) => type === "Scheduled")).toMatchObject({
      status: "False",
      reason: "SchedulerError",
    });
    expect(await fleet.tasks()).toHaveLength(1);
    await fleet.advance(3_000);
    expect(await fleet.tasks()).toEqual([]);
  });

  test("S15 TM-4 §20.4: a cluster that recovers while it is tolerated loses nothing", async () => {
    fleet = await startFailoverFleet();
    await fleet.addOutagePolicies();
    await deploy({
      ...oneOf("m1", "m2"),
      clusterTolerations: [toleration("cluster.karmada.io/not-ready", 120)],
    });
    const [first] = (await clusterNames()) as [string];
    const before = await fleet.binding();
    fleet.simulated(first).setFaults({ isDown: true });
    await fleet.until(async () => (await ready(first)) === "False");
    await fleet.advance(60_000);
    fleet.simulated(first).setFaults({ isDown: false });
    await fleet.until(async () => (await ready(first)) === "True");
    await fleet.advance(600_000);
    expect((await fleet.binding()).spec).toEqual(before.spec);
  });

  test("TM-3 §20.2: with tolerationSeconds the eviction comes at timeAdded plus those seconds, and a restart does not lengthen it", async () => {
    fleet = await startFailoverFleet();
    await fleet.addOutagePolicies();
    await deploy({ ...oneOf("m1", "m2"), clusterTolerations: [toleration("cluster.karmada.io/not-ready", 900)] });
    const [first] = (await clusterNames()) as [string];
    fleet.simulated(first).setFaults({ isDown: true });
    await fleet.until(async () => (await ready(first)) === "False");
    const startMs = fleet.clock.now();
    await fleet.advance(400_000);
    await fleet.restart();
    await fleet.until(async () => (await fleet.tasks()).length === 1);
    expect((fleet.clock.now() - startMs) / 1000).toBeGreaterThanOrEqual(899);
    expect((fleet.clock.now() - startMs) / 1000).toBeLessThanOrEqual(901);
  });

  test("D-3 §20.4: when nothing could replace the copy and the cluster is back, the eviction is taken back and the copy stays", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2", "m3"] });
    await fleet.addOutagePolicies();
    await deploy(duplicated("m1"));
    const { uid } = (await fleet.copy("m1"))?.metadata ?? {};
    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.until(async () => (await fleet.tasks()).length === 1);
    expect(await fleet.targets()).toBe("");
    expect((await fleet.binding()).status?.conditions?.find(({ type }) => type === "Scheduled")?.reason).toBe(
      "NoClusterFit",
    );
    fleet.simulated("m1").setFaults({ isDown: false });
    await fleet.until(async () => (await ready("m1")) === "True");
    await fleet.advance(5_000);
    expect([await fleet.targets(), await fleet.tasks()]).toEqual(["m1:3", []]);
    expect((await fleet.copy("m1"))?.metadata.uid).toBe(uid);
  });
});

describe("the profile of v1.3 (§19, §20.5)", () => {
  const v13 = ["--failover-profile=v1.3"];

  test("[GF-20] [GF-21] [GF-24] [GF-25] [GF-26] S7 S9 §20.5: NoExecute after 5 minutes, tolerated 600 s, old copy released when the new one runs", async () => {
    fleet = await startFailoverFleet({ flags: v13 });
    await deploy(oneOf("m1", "m2"));
    const policy = await fleet.plane.get(PropagationPolicy, { namespace: "default", name: "web" });
    expect(policy.spec.placement?.clusterTolerations).toEqual([
      toleration("cluster.karmada.io/not-ready", 600),
      toleration("cluster.karmada.io/unreachable", 600),
    ]);
    const [first] = (await clusterNames()) as [string];
    const t0 = fleet.clock.now();
    fleet.simulated(first).setFaults({ isDown: true });
    await fleet.until(async () => (await ready(first)) === "False");
    const f = fleet.clock.now();
    expect(await taints(first)).toEqual(["not-ready:NoSchedule"]);
    await fleet.advance(299_000);
    expect(await taints(first)).toEqual(["not-ready:NoSchedule"]);
    await fleet.until(async () => (await taints(first)).length === 2);
    expect(await taints(first)).toEqual(["not-ready:NoSchedule", "not-ready:NoExecute"]);
    expect((fleet.clock.now() - f) / 1000).toBeLessThanOrEqual(305);
    await fleet.until(async () => (await fleet.tasks()).length === 1);
    expect((fleet.clock.now() - t0) / 1000).toBeGreaterThanOrEqual(15 * 60 + 29);
    expect((fleet.clock.now() - t0) / 1000).toBeLessThanOrEqual(15 * 60 + 45);
    await fleet.until(async () => (await fleet.tasks()).length === 0, 60_000);
    expect(await clusterNames()).not.toContain(first);
    fleet.simulated(first).setFaults({ isDown: false });
    await fleet.until(async () => (await taints(first)).length === 0, 60_000);
  });

  test("[GF-22] [GF-23] S8 §19: a pull cluster gets unreachable:NoExecute, swapped when it turns False; recovery before leaves no trace", async () => {
    fleet = await startFailoverFleet({ flags: v13, pull: ["m1"] });
    await fleet.agent("m1").kill();
    await fleet.until(async () => (await ready("m1")) === "Unknown");
    await fleet.advance(290_000);
    expect(await taints("m1")).toEqual(["unreachable:NoSchedule"]);
    await fleet.agent("m1").start();
    await fleet.until(async () => (await ready("m1")) === "True");
    await fleet.advance(600_000);
    expect(await taints("m1")).toEqual([]);
    await fleet.agent("m1").kill();
    await fleet.until(async () => (await taints("m1")).includes("unreachable:NoExecute"), 400_000);
    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.agent("m1").start();
    await fleet.until(async () => (await ready("m1")) === "False", 60_000);
    expect((await taints("m1")).sort()).toEqual(["not-ready:NoExecute", "not-ready:NoSchedule"]);
  });

  test("§19 clock skew: an agent whose clock is an hour behind does not bring the NoExecute taint forward, nor does one ahead hold it back", async () => {
    for (const skew of ["2025-12-31T23:00:00Z", "2026-01-02T00:00:00Z"]) {
      fleet = await startFailoverFleet({ flags: v13, members: ["m1", "m2"], pull: ["m1"] });
      await fleet.agent("m1").kill();
      await retryOnConflict(async () => {
        const present = await fleet.plane.get(Cluster, { name: "m1" });
        const conditions = (present.status?.conditions ?? []).map((condition) =>
          condition.type === "Ready"
            ? { ...condition, status: "False", reason: "ClusterNotReady", lastTransitionTime: skew }
            : condition,
        );
        await fleet.plane.updateStatus(Cluster, { ...present, status: { ...present.status, conditions } } as Cluster);
      });
      const startMs = fleet.clock.now();
      await fleet.until(async () => (await taints("m1")).some((text) => text.endsWith("NoExecute")), 3_600_000);
      expect((fleet.clock.now() - startMs) / 1000).toBeGreaterThanOrEqual(299);
      expect((fleet.clock.now() - startMs) / 1000).toBeLessThanOrEqual(360);
      await fleet.stop();
    }
    fleet = await startFailoverFleet({ members: ["m1"] });
  });

  test("S9 S10: a user's own toleration stays as it is; without the profile none is added; v1.12 adds 300 s", async () => {
    const own = { ...oneOf("m1"), clusterTolerations: [toleration("cluster.karmada.io/not-ready", 30)] };
    const make = async (flags: readonly string[], placement: object) => {
      fleet = await startFailoverFleet({ members: ["m1"], flags });
      const made = await fleet.plane.create(PropagationPolicy, aPropagationPolicy("p", placement));
      return made.spec.placement?.clusterTolerations;
    };
    expect(await make(v13, own)).toEqual([
      toleration("cluster.karmada.io/not-ready", 30),
      toleration("cluster.karmada.io/unreachable", 600),
    ]);
    await fleet.stop();
    expect(await make([], oneOf("m1"))).toBeUndefined();
    await fleet.stop();
    expect(await make(["--failover-profile=v1.12"], oneOf("m1"))).toEqual([
      toleration("cluster.karmada.io/not-ready", 300),
      toleration("cluster.karmada.io/unreachable", 300),
    ]);
  });

  test("S24 RN-18 §19: older purge modes are stored under their present names", async () => {
    fleet = await startFailoverFleet({ members: ["m1"] });
    const made = await fleet.plane.create(
      PropagationPolicy,
      aPropagationPolicy("p", {}, "default", {
        propagateDeps: true,
        failover: {
          application: { decisionConditions: { tolerationSeconds: 30 }, purgeMode: "Graciously" },
          cluster: { purgeMode: "Immediately" },
        },
      }),
    );
    expect(made.spec.failover).toMatchObject({
      application: { purgeMode: "Gracefully", gracePeriodSeconds: 600 },
      cluster: { purgeMode: "Directly" },
    });
  });
});

describe("taints and tolerations", () => {
  test("E1 E2 TM-5 TM-6: a person's taint, tolerated for 3 s: the server notes when, the workload leaves, the old copy goes", async () => {
    fleet = await startFailoverFleet();
    await deploy({ ...oneOf("m1", "m2"), clusterTolerations: [toleration("fail-test", 3)] }, 3, {
      failover: { cluster: { purgeMode: "Gracefully" } },
    });
    const [first] = (await clusterNames()) as [string];
    await fleet.taint(first, true);
    expect((await fleet.plane.get(Cluster, { name: first })).spec?.taints?.[0]?.timeAdded).toBeDefined();
    const ms = await fleet.until(async () => (await fleet.tasks()).length === 1);
    expect(ms / 1000).toBeGreaterThanOrEqual(2);
    expect(ms / 1000).toBeLessThanOrEqual(3);
    await fleet.until(async () => (await fleet.tasks()).length === 0);
    expect(await clusterNames()).not.toContain(first);
    await fleet.until(async () => (await fleet.copy(first)) === undefined, 10_000);
  });

  test("TA-11 TM-2: who tolerates for ever stays; of several matching tolerations the first counts; taking the taint away in mid-wait cancels", async () => {
    fleet = await startFailoverFleet();
    await deploy({ ...oneOf("m1", "m2"), clusterTolerations: [{ operator: "Exists" }, toleration("fail-test", 0)] });
    const [first] = (await clusterNames()) as [string];
    await fleet.taint(first, true);
    await fleet.advance(3_600_000);
    expect([await clusterNames(), await fleet.tasks()]).toEqual([[first], []]);
    const policy = await fleet.plane.get(PropagationPolicy, { namespace: "default", name: "web" });
    await fleet.plane.update(PropagationPolicy, {
      ...policy,
      spec: {
        ...policy.spec,
        placement: { ...policy.spec.placement, clusterTolerations: [toleration("fail-test", 7200)] },
      },
    } as PropagationPolicy);
    await fleet.advance(1_800_000);
    await fleet.taint(first, false);
    await fleet.advance(7_200_000);
    expect([await clusterNames(), await fleet.tasks()]).toEqual([[first], []]);
  });

  test("TM-1: a binding that comes to a tainted cluster later is judged as well", async () => {
    fleet = await startFailoverFleet();
    await fleet.taint("m1", true);
    await fleet.advance(0);
    const startMs = fleet.clock.now();
    await fleet.plane.create(
      PropagationPolicy,
      aPropagationPolicy("web", { ...duplicated("m1"), clusterTolerations: [toleration("fail-test", 60)] }),
    );
    await fleet.plane.create(Deployment, aDeployment("web", 1));
    await fleet.until(async () => (await fleet.targets()) === "m1:1");
    await fleet.until(async () => (await fleet.tasks()).length === 1);
    expect((fleet.clock.now() - startMs) / 1000).toBeLessThanOrEqual(61);
  });

  test("D-5: a toleration whose time is over does not let the workload come back to be evicted again", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"] });
    await deploy({ ...duplicated("m1", "m2"), clusterTolerations: [toleration("fail-test", 30)] });
    await fleet.taint("m1", true);
    await fleet.until(async () => (await fleet.targets()) === "m2:3");
    await fleet.advance(3_600_000);
    expect([await fleet.targets(), await fleet.tasks()]).toEqual(["m2:3", []]);
    await fleet.taint("m1", false);
    await fleet.until(async () => (await fleet.targets()) === "m1:3,m2:3", 60_000);
  });

  test("D-11: what a workload depends on stays in the cluster it drains from until its old copy goes", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"] });
    await fleet.plane.create(ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: "default", name: "settings" },
      data: { a: "1" },
    } as ConfigMap);
    await fleet.plane.create(
      PropagationPolicy,
      aPropagationPolicy("web", oneOf("m1", "m2"), "default", { propagateDeps: true }),
    );
    const made = aDeployment("web", 1);
    const pod = made.spec?.template.spec;
    await fleet.plane.create(Deployment, {
      ...made,
      spec: {
        ...made.spec,
        template: {
          ...made.spec?.template,
          spec: { ...pod, volumes: [{ name: "v", configMap: { name: "settings" } }] },
        },
      },
    } as unknown as Deployment);
    await settled();
    const settings = (name: string) => fleet.member(name).find(ConfigMap, { namespace: "default", name: "settings" });
    expect(await settings("m1")).toBeDefined();
    await fleet.simulated("m2").setNodesReady(false);
    await fleet.taint("m1", true);
    await fleet.until(async () => (await fleet.tasks()).length === 1);
    await fleet.advance(60_000);
    expect(await clusterNames()).toEqual(["m2"]);
    expect([await settings("m1"), await settings("m2")]).not.toContain(undefined);
    await fleet.simulated("m2").setNodesReady(true);
    await fleet.until(async () => (await fleet.tasks()).length === 0, 120_000);
    await fleet.advance(10_000);
    expect(await settings("m1")).toBeUndefined();
  });

  test("E11 SC-2: of three tainted clusters only the tolerated one is used", async () => {
    fleet = await startFailoverFleet();
    for (const name of ["m1", "m2", "m3"]) {
      const present = await fleet.plane.get(Cluster, { name });
      const taint = { key: "cluster-toleration.karmada.io", value: name, effect: "NoSchedule" };
      await fleet.plane.update(Cluster, { ...present, spec: { ...present.spec, taints: [taint] } } as Cluster);
    }
    await deploy({
      ...duplicated("m1", "m2", "m3"),
      clusterTolerations: [
        { key: "cluster-toleration.karmada.io", operator: "Equal", value: "m1", effect: "NoSchedule" },
      ],
    });
    expect(await fleet.targets()).toBe("m1:3");
  });
});

describe("pace", () => {
  test("TM-7 D-7 §20.2: at upstream's rate of 0.5 the n-th binding leaves floor(n/3) × 2 s after the first", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"], flags: ["--resource-eviction-rate=0.5"] });
    await fleet.plane.create(PropagationPolicy, aPropagationPolicy("web", oneOf("m1", "m2")));
    const names = Array.from({ length: 10 }, (_, at) => `app-${at}`);
    for (const name of names) await fleet.plane.create(Deployment, aDeployment(name, 1));
    await fleet.advance(20_000);
    const victims = (await Promise.all(names.map(async (name) => [name, await fleet.targets(name)] as const))).filter(
      ([, at]) => at === "m1:1",
    );
    const startMs = fleet.clock.now();
    const left = new Map<string, number>();
    const stop = fleet.plane.watch(
      ResourceBinding,
      { namespace: "default" },
      {
        event: (_type, object) => {
          const tasks = (object as ResourceBinding).spec.gracefulEvictionTasks ?? [];
          const { name = "" } = object.metadata;
          if (tasks.length > 0 && !left.has(name)) left.set(name, fleet.clock.now() - startMs);
        },
        closed() {},
      },
    );
    await fleet.taint("m1", true);
    await fleet.advance(60_000);
    stop.stop();
    expect(victims.length).toBeGreaterThan(3);
    expect([...left.values()].map((ms) => Math.round(ms / 100) / 10)).toEqual(
      victims.map((_, at) => Math.floor(at / 3) * 2),
    );
  });

  test("TM-7: rate 0 lets three go and then nobody for half an hour", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"], flags: ["--resource-eviction-rate=0"] });
    await fleet.plane.create(PropagationPolicy, aPropagationPolicy("web", duplicated("m1")));
    const names = Array.from({ length: 5 }, (_, at) => `app-${at}`);
    for (const name of names) await fleet.plane.create(Deployment, aDeployment(name, 1));
    await fleet.advance(20_000);
    await fleet.taint("m1", true);
    await fleet.advance(1_799_000);
    const gone = async () =>
      (await Promise.all(names.map((name) => fleet.targets(name)))).filter((targets) => targets === "").length;
    expect(await gone()).toBe(3);
    await fleet.advance(5_000);
    expect(await gone()).toBe(5);
  });
});

test("[O-47a] [O-47b] 40 000 pods of 40 Deployments leave a member of 2 000 nodes within fifteen minutes at upstream's rate of 0.5, and old copies wait for new ones", async () => {
  fleet = await startFailoverFleet({
    members: ["m1", "m2", "m3", "m4", "m5"],
    isSummarised: true,
    nodes: [{ count: 2_000, cpu: "32", memory: "128Gi" }],
    flags: ["--resource-eviction-rate=0.5"],
  });
  await fleet.addOutagePolicies();
  const placement = (clusterNames: readonly string[]) => ({
    clusterAffinities: [
      { affinityName: "home", clusterNames: ["m1"] },
      { affinityName: "away", clusterNames },
    ],
    replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" },
  });
  await fleet.plane.create(PropagationPolicy, aPropagationPolicy("all", placement(["m2", "m3", "m4", "m5"])));
  const names = Array.from({ length: 40 }, (_, at) => `app-${at}`);
  for (const name of names) await fleet.plane.create(Deployment, aDeployment(name, 1_000));
  const shown = async () => {
    const { items } = await fleet.plane.list(Deployment, { namespace: "default" });
    return items.reduce((sum, { status }) => sum + (status?.readyReplicas ?? 0), 0);
  };
  await fleet.until(async () => (await shown()) === 40_000);
  const at = async () =>
    (await Promise.all(names.map((name) => fleet.targets(name)))).flatMap((text) => text.split(","));
  expect(new Set(await at())).toEqual(new Set(["m1:1000"]));
  fleet.simulated("m1").setFaults({ isDown: true });
  await fleet.until(async () => (await ready("m1")) === "False");
  const movedMs = await fleet.until(async () => {
    const targets = await at();
    const tasks = await Promise.all(names.map((name) => fleet.tasks(name)));
    return targets.every((text) => !text.startsWith("m1:")) && tasks.flat().length === 0;
  });
  expect(movedMs).toBeLessThan(15 * 60_000);
  expect(await shown()).toBe(40_000);
});

describe("eviction tasks", () => {
  const addTask = (task: object) =>
    retryOnConflict(async () => {
      const binding = await fleet.binding();
      await fleet.plane.update(ResourceBinding, {
        ...binding,
        spec: {
          ...binding.spec,
          clusters: (binding.spec.clusters ?? []).filter(({ name }) => name !== "m1"),
          gracefulEvictionTasks: [{ fromCluster: "m1", reason: "Maintenance", producer: "somebody", ...task }],
        },
      } as ResourceBinding);
    });

  test("[GF-42] [GF-43] [GF-44] S14 GE-1 GE-2 GE-3 GE-4 GE-5: a third party's task is honoured: until the new copy is healthy, at the latest after its grace period", async () => {
    fleet = await startFailoverFleet();
    await deploy(oneOf("m1", "m2"));
    const before = await fleet.binding();
    await addTask({ purgeMode: "Gracefully" });
    await fleet.advance(0);
    const during = await fleet.binding();
    expect(during.spec.gracefulEvictionTasks?.[0]?.creationTimestamp).toBeDefined();
    expect(during.metadata.generation).toBeGreaterThan((before.metadata.generation ?? 0) + 2);
    await fleet.until(async () => (await fleet.tasks()).length === 0, 30_000);
    expect(await fleet.copy("m1")).toBeUndefined();
    expect(await fleet.targets()).toBe("m2:3");
  });

  test("[GF-43] S14 GE-2: a new copy that never becomes healthy releases the old one at creation + 600 s, or at the task's own grace period", async () => {
    for (const [grace, limit] of [
      [undefined, 600],
      [45, 45],
    ] as const) {
      fleet = await startFailoverFleet();
      await deploy(oneOf("m1", "m2"), 1);
      const template = await fleet.plane.get(Deployment, { namespace: "default", name: "web" });
      fleet.simulated("m2").setFaults({ latencyMs: 0 });
      await fleet.member("m2").list(Deployment);
      await fleet.simulated("m2").setNodesReady(false);
      expect(template.metadata.name).toBe("web");
      await addTask({ purgeMode: "Gracefully", ...(grace === undefined ? {} : { gracePeriodSeconds: grace }) });
      const ms = await fleet.until(async () => (await fleet.tasks()).length === 0);
      expect(ms / 1000).toBeGreaterThanOrEqual(limit - 1);
      expect(ms / 1000).toBeLessThanOrEqual(limit + 1);
      await fleet.until(async () => (await fleet.copy("m1")) === undefined, 5_000);
      await fleet.stop();
    }
    fleet = await startFailoverFleet({ members: ["m1"] });
  });

  test("§7: suppressDeletion true keeps the old copy, false gives it up; Never waits for a person; Directly removes the old copy before the new one is made", async () => {
    fleet = await startFailoverFleet();
    await deploy(oneOf("m1", "m2"));
    await addTask({ purgeMode: "Never", suppressDeletion: true });
    await fleet.advance(3_600_000);
    expect(await fleet.tasks()).toHaveLength(1);
    expect([await fleet.copy("m1"), await fleet.copy("m2")]).not.toContain(undefined);
    await retryOnConflict(async () => {
      const binding = await fleet.binding();
      const [task] = binding.spec.gracefulEvictionTasks as [GracefulEvictionTask];
      await fleet.plane.update(ResourceBinding, {
        ...binding,
        spec: { ...binding.spec, gracefulEvictionTasks: [{ ...task, suppressDeletion: false }] },
      } as ResourceBinding);
    });
    await fleet.until(async () => (await fleet.copy("m1")) === undefined, 5_000);
    expect(await fleet.tasks()).toEqual([]);
  });

  test("D-2 §7: Directly on a cluster that is down does not wait for what cannot be deleted", async () => {
    fleet = await startFailoverFleet();
    await fleet.addOutagePolicies();
    await deploy(oneOf("m1", "m2"), 3, { failover: { cluster: { purgeMode: "Directly" } } });
    const [first] = (await clusterNames()) as [string];
    fleet.simulated(first).setFaults({ isDown: true });
    await fleet.until(async () => (await fleet.tasks()).length === 1);
    const other = first === "m1" ? "m2" : "m1";
    await fleet.until(async () => (await fleet.copy(other)) !== undefined, 30_000);
    expect((await fleet.work(first))?.metadata.deletionTimestamp).toBeDefined();
  });
});

describe("the brake", () => {
  test("a control plane cut off from all members evicts nothing, says so, and goes on by itself when they are back", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2", "m3", "m4"] });
    await fleet.addOutagePolicies();
    await deploy({ ...duplicated("m1", "m2", "m3", "m4"), spreadConstraints: spread });
    const before = await fleet.targets();
    for (const [, member] of fleet.members) member.setFaults({ isDown: true });
    await fleet.advance(600_000);
    expect([await fleet.targets(), await fleet.tasks()]).toEqual([before, []]);
    const held = async (name: string) =>
      (await fleet.plane.get(Cluster, { name })).status?.conditions?.find(({ type }) => type === "EvictionHeld");
    expect(await held("m1")).toMatchObject({ status: "True", reason: "TooManyClustersFailed" });
    expect((await fleet.eventsOf("Cluster", "m1")).join("\n")).toContain("Warning EvictionHeld 4 of 4 clusters fail");
    // They come back one after the other: the rest must not be evicted as soon as the share falls.
    for (const [, member] of fleet.members) {
      member.setFaults({ isDown: false });
      await fleet.advance(15_000);
    }
    await fleet.advance(600_000);
    expect([await fleet.targets(), await fleet.tasks()]).toEqual([before, []]);
    expect(await held("m1")).toMatchObject({ status: "False", reason: "Released" });
  });

  test("what is held stays held over a restart, until clusters that come back one by one have settled", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2", "m3", "m4"] });
    await fleet.addOutagePolicies();
    await deploy({ ...duplicated("m1", "m2", "m3", "m4"), spreadConstraints: spread });
    const before = await fleet.targets();
    for (const [, member] of fleet.members) member.setFaults({ isDown: true });
    await fleet.advance(300_000);
    for (const [, member] of fleet.members) {
      member.setFaults({ isDown: false });
      await fleet.advance(20_000);
      await fleet.crash();
      await fleet.advance(20_000);
    }
    await fleet.advance(600_000);
    expect([await fleet.targets(), await fleet.tasks()]).toEqual([before, []]);
    const { status } = await fleet.plane.get(Cluster, { name: "m1" });
    expect(status?.conditions?.find(({ type }) => type === "EvictionHeld")?.status).toBe("False");
  });

  test("evictions that are held go on when a person releases them", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"], flags: ["--eviction-brake-share=0.4"] });
    await fleet.addOutagePolicies();
    await deploy(oneOf("m1", "m2"));
    const [first] = (await clusterNames()) as [string];
    fleet.simulated(first).setFaults({ isDown: true });
    await fleet.advance(300_000);
    expect([await clusterNames(), await fleet.tasks()]).toEqual([[first], []]);
    const present = await fleet.plane.get(Cluster, { name: first });
    await fleet.plane.update(Cluster, {
      ...present,
      metadata: {
        ...present.metadata,
        annotations: { "failover.flotilla.io/release-evictions-until": "2026-02-01T00:00:00Z" },
      },
    });
    await fleet.advance(1_000);
    expect(await clusterNames()).not.toContain(first);
  });

  test("a person's taint on clusters that are well is never held", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"], flags: ["--eviction-brake-share=0.1"] });
    await deploy(oneOf("m1", "m2"));
    const [first] = (await clusterNames()) as [string];
    await fleet.taint(first, true);
    await fleet.advance(1_000);
    expect(await clusterNames()).not.toContain(first);
  });
});

describe("fail-back", () => {
  const terms = {
    clusterAffinities: [
      { affinityName: "home", clusterNames: ["m1"] },
      { affinityName: "standby", clusterNames: ["m2"] },
    ],
    replicaScheduling: { replicaSchedulingType: "Duplicated" },
  };
  const outage = async (name: string) => {
    await fleet.addOutagePolicies();
    fleet.simulated(name).setFaults({ isDown: true });
    await fleet.until(async () => (await fleet.tasks()).length === 1);
    await fleet.until(async () => (await fleet.tasks()).length === 0);
    fleet.simulated(name).setFaults({ isDown: false });
    await fleet.until(async () => (await ready(name)) === "True");
  };

  test("[RN-4] an opted-in workload returns to its preferred cluster once that has been well for a time, without a gap", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"] });
    await deploy(terms);
    const policy = await fleet.plane.get(PropagationPolicy, { namespace: "default", name: "web" });
    await fleet.plane.update(PropagationPolicy, {
      ...policy,
      metadata: { ...policy.metadata, annotations: { "failover.flotilla.io/fail-back-after": "10m" } },
    });
    await outage("m1");
    expect(await fleet.targets()).toBe("m2:3");
    await fleet.advance(590_000);
    expect(await fleet.targets()).toBe("m2:3");
    await fleet.until(async () => (await fleet.targets()) === "m1:3", 30_000);
    expect(await fleet.tasks()).toEqual(["m2 Gracefully FailBack fail-back 3"]);
    // The copy in the standby cluster runs until the one at home does.
    expect((await fleet.copy("m2"))?.status?.readyReplicas).toBe(3);
    await fleet.until(async () => (await fleet.copy("m2")) === undefined, 60_000);
    expect((await fleet.copy("m1"))?.status?.readyReplicas).toBe(3);
    expect((await fleet.binding()).metadata.annotations).not.toHaveProperty("failover.flotilla.io/left-clusters");
    expect((await fleet.eventsOf("ResourceBinding", "web-deployment")).join("\n")).toContain(
      "Normal FailBack Returning to cluster m1",
    );
  });

  test("§20.4: whoever did not opt in stays; with the flag static weights are divided anew", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"] });
    await deploy(terms);
    await outage("m1");
    await fleet.advance(3_600_000);
    expect(await fleet.targets()).toBe("m2:3");
    await fleet.stop();
    fleet = await startFailoverFleet({ members: ["m1", "m2"], flags: ["--fail-back-after=5m"] });
    await deploy(weighted(["m1", 1], ["m2", 2]));
    await outage("m1");
    await fleet.advance(280_000);
    expect(await fleet.targets()).toBe("m2:3");
    await fleet.until(async () => (await fleet.targets()) === "m1:1,m2:2", 60_000);
  });

  test("a workload that would not be placed in its old cluster any more stays, and says so", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"], flags: ["--fail-back-after=60s"] });
    await fleet.addOutagePolicies();
    await deploy(oneOf("m2"));
    await retryOnConflict(async () => {
      const policy = await fleet.plane.get(PropagationPolicy, { namespace: "default", name: "web" });
      await fleet.plane.update(PropagationPolicy, {
        ...policy,
        spec: { ...policy.spec, placement: oneOf("m1", "m2") },
      } as PropagationPolicy);
    });
    await fleet.advance(5_000);
    expect(await fleet.targets()).toBe("m2:3");
    fleet.simulated("m2").setFaults({ isDown: true });
    await fleet.until(async () => (await fleet.targets()) === "m1:3" && (await fleet.tasks()).length === 0, 120_000);
    fleet.simulated("m2").setFaults({ isDown: false });
    await fleet.advance(300_000);
    expect(await fleet.targets()).toBe("m1:3");
    expect(await fleet.eventsOf("ResourceBinding", "web-deployment")).toContain(
      "Normal FailBackNotPreferred Not returning to cluster m2, which has been well for 60 s: placed anew it would go to m1.",
    );
  });

  test("a cluster that flaps is not returned to before it has been well for the whole time", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"], flags: ["--fail-back-after=10m"] });
    await deploy(terms);
    await outage("m1");
    for (let flap = 0; flap < 4; flap++) {
      await fleet.advance(300_000);
      fleet.simulated("m1").setFaults({ isDown: true });
      await fleet.advance(60_000);
      fleet.simulated("m1").setFaults({ isDown: false });
      await fleet.advance(60_000);
      expect(await fleet.targets()).toBe("m2:3");
    }
    await fleet.until(async () => (await fleet.targets()) === "m1:3", 700_000);
  });
});
