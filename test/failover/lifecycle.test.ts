/** Clusters, their Works and their labels over time: what waits for a member, what goes with it, and what must not. */
import { afterEach, describe, expect, test } from "vitest";
import { Deployment, Lease, Namespace } from "#apis/kubernetes";
import { APPLIED_PLACEMENT, Cluster, OverridePolicy, PropagationPolicy, ResourceBinding, Work } from "#apis/karmada";
import { retryOnConflict } from "#client";
import { parseFlags } from "#config";
import { aDeployment, aPropagationPolicy, type FailoverFleet, startFailoverFleet } from "#testing";

let fleet: FailoverFleet;
afterEach(() => fleet.stop());

const deploy = async (placement: object, replicas = 2) => {
  await fleet.plane.create(PropagationPolicy, aPropagationPolicy("web", placement));
  await fleet.plane.create(Deployment, aDeployment("web", replicas));
};
const cluster = (name: string) => fleet.plane.get(Cluster, { name });
const ready = async (name: string) =>
  (await cluster(name)).status?.conditions?.find(({ type }) => type === "Ready")?.status;
const label = (name: string, value: string | null) =>
  fleet.plane.patch(Cluster, { name }, "application/merge-patch+json", { metadata: { labels: { tier: value } } });

test("E22 SC-5: a cluster whose label no longer matches loses its copy, and gets it back with the label", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2"] });
  for (const name of ["m1", "m2"]) await label(name, "front");
  await deploy({ clusterAffinity: { labelSelector: { matchLabels: { tier: "front" } } } });
  await fleet.until(async () => (await fleet.copy("m2"))?.status?.readyReplicas === 2, 60_000);
  await label("m2", "back");
  await fleet.until(async () => (await fleet.copy("m2")) === undefined, 30_000);
  expect(await fleet.targets()).toBe("m1:2");
  await label("m2", "front");
  await fleet.until(async () => (await fleet.copy("m2"))?.status?.readyReplicas === 2, 30_000);
  expect(await fleet.targets()).toBe("m1:2,m2:2");
});

describe("Works of a cluster that is not ready", () => {
  test("CL-20 CL-21 D-4: changes and deletions wait with their finalizer, and are carried out within seconds of its return", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"] });
    await deploy({ clusterAffinity: { clusterNames: ["m1", "m2"] } });
    await fleet.until(async () => (await fleet.copy("m1"))?.status?.readyReplicas === 2, 60_000);
    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.until(async () => (await ready("m1")) === "False");
    await fleet.plane.patch(Deployment, { namespace: "default", name: "web" }, "application/merge-patch+json", {
      spec: { replicas: 3 },
    });
    // Hours of trying must not make the next try hours late.
    await fleet.advance(4 * 3_600_000);
    expect((await fleet.copy("m1"))?.spec?.replicas).toBe(2);
    fleet.simulated("m1").setFaults({ isDown: false });
    await fleet.until(async () => (await ready("m1")) === "True");
    await fleet.until(async () => (await fleet.copy("m1"))?.spec?.replicas === 3, 3_000);

    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.until(async () => (await ready("m1")) === "False");
    await fleet.plane.delete(Deployment, { namespace: "default", name: "web" });
    await fleet.advance(4 * 3_600_000);
    const left = await fleet.work("m1");
    expect(left?.metadata.deletionTimestamp).toBeDefined();
    expect(left?.metadata.finalizers).toEqual(["karmada.io/execution-controller"]);
    expect([await fleet.work("m2"), await fleet.copy("m2")]).toEqual([undefined, undefined]);
    fleet.simulated("m1").setFaults({ isDown: false });
    await fleet.until(async () => (await ready("m1")) === "True");
    await fleet.until(async () => (await fleet.copy("m1")) === undefined, 3_000);
    await fleet.until(async () => (await fleet.work("m1")) === undefined, 3_000);
  });

  test("CL-24: a binding that needs a Work which is still going says so, and has it as soon as it is gone", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"] });
    await label("m1", "on");
    await deploy({ clusterAffinity: { labelSelector: { matchLabels: { tier: "on" } } } });
    await fleet.until(async () => (await fleet.copy("m1"))?.status?.readyReplicas === 2, 60_000);
    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.until(async () => (await ready("m1")) === "False");
    const tolerating = { clusterTolerations: [{ operator: "Exists" }] };
    await fleet.plane.patch(PropagationPolicy, { namespace: "default", name: "web" }, "application/merge-patch+json", {
      spec: { placement: tolerating },
    });
    await label("m2", "on");
    await label("m1", null);
    await fleet.until(async () => (await fleet.work("m1"))?.metadata.deletionTimestamp !== undefined, 30_000);
    await label("m1", "on");
    await fleet.advance(30_000);
    expect(await fleet.targets()).toBe("m1:2,m2:2");
    expect((await fleet.eventsOf("ResourceBinding", "web-deployment")).join("\n")).toMatch(
      /Warning SyncWorkFailed work karmada-es-m1\/web-\w+ is being deleted/,
    );
    fleet.simulated("m1").setFaults({ isDown: false });
    await fleet.until(async () => (await ready("m1")) === "True");
    await fleet.until(async () => (await fleet.work("m1"))?.metadata.deletionTimestamp === undefined, 60_000);
    await fleet.until(async () => (await fleet.copy("m1"))?.status?.readyReplicas === 2, 60_000);
  });

  test("CL-23: a Work of a cluster nobody knows is carried out nowhere, and can be deleted all the same", async () => {
    fleet = await startFailoverFleet({ members: ["m1"] });
    const at = { namespace: "karmada-es-ghost", name: "lost" };
    await fleet.plane.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: at.namespace } });
    await fleet.plane.create(Work, {
      apiVersion: "work.karmada.io/v1alpha1",
      kind: "Work",
      metadata: { ...at, finalizers: ["karmada.io/execution-controller"] },
      spec: { workload: { manifests: [aDeployment("lost", 1)] } },
    } as unknown as Work);
    await fleet.advance(600_000);
    expect((await fleet.plane.get(Work, at)).status?.conditions).toBeUndefined();
    await fleet.plane.delete(Work, at);
    await fleet.until(async () => (await fleet.plane.find(Work, at)) === undefined, 60_000);
  });
});

describe("a cluster's own life", () => {
  test("CL-14: nothing is collected before the finalizer is there", async () => {
    fleet = await startFailoverFleet({ members: ["m1"], joins: false });
    const seen: string[] = [];
    const { stop } = fleet.store.watch("/registry/cluster.karmada.io/clusters/", fleet.store.revision, {
      changes: (changes) => {
        for (const { value } of changes) {
          const { metadata, status } = JSON.parse(Buffer.from(value ?? []).toString()) as Cluster;
          const hasFinalizer = (metadata.finalizers ?? []).includes("karmada.io/cluster-controller");
          seen.push(`${hasFinalizer ? "finalizer" : "-"} ${(status?.conditions ?? []).length}`);
        }
      },
      closed() {},
    });
    await fleet.join("m1");
    await fleet.until(async () => (await ready("m1")) === "True", 60_000);
    stop();
    const first = seen.findIndex((text) => !text.endsWith(" 0"));
    expect(seen.slice(0, first).some((text) => text === "- 0")).toBe(true);
    expect(seen.slice(first).every((text) => text.startsWith("finalizer"))).toBe(true);
  });

  test("CL-18: when it is gone its connection, its Lease and what was remembered of its health go with it; joined anew it starts afresh", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"], pull: ["m2"] });
    expect(await fleet.plane.find(Lease, { namespace: "karmada-cluster", name: "m2" })).toBeDefined();
    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.until(async () => (await ready("m1")) === "False");
    await fleet.agent("m2").kill();
    for (const name of ["m1", "m2"]) await fleet.plane.delete(Cluster, { name });
    await fleet.until(async () => (await fleet.plane.list(Cluster)).items.length === 0, 120_000);
    await fleet.until(
      async () => (await fleet.plane.find(Lease, { namespace: "karmada-cluster", name: "m2" })) === undefined,
      60_000,
    );
    expect(fleet.controlPlane.members.get("m1")).toBeUndefined();
    fleet.simulated("m1").setFaults({ isDown: false });
    await fleet.until(async () => (await fleet.plane.find(Namespace, { name: "karmada-es-m1" })) === undefined);
    const startMs = fleet.clock.now();
    await fleet.plane.create(Cluster, {
      apiVersion: "cluster.karmada.io/v1alpha1",
      kind: "Cluster",
      metadata: { name: "m1" },
      spec: {
        syncMode: "Push",
        apiEndpoint: "https://m1.members.test",
        secretRef: { namespace: "karmada-cluster", name: "m1" },
      },
    } as unknown as Cluster);
    await fleet.until(async () => (await ready("m1")) === "True", 60_000);
    expect(fleet.clock.now() - startMs).toBeLessThanOrEqual(5_000);
  });

  test("AG-2 AG-5: what is done in a pull member its agent does, all else the control plane; and it comes out as in push mode", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"], pull: ["m2"] });
    expect([fleet.controlPlane.members.get("m1"), fleet.controlPlane.members.get("m2")]).toEqual([
      expect.anything(),
      undefined,
    ]);
    await fleet.agent("m2").kill();
    const policy = (name: string, more: object = {}) =>
      fleet.plane.create(
        PropagationPolicy,
        aPropagationPolicy(name, { clusterAffinity: { clusterNames: ["m1", "m2"] } }, "default", {
          resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name }],
          ...more,
        }),
      );
    await policy("web");
    await policy("held", { suspension: { dispatching: true } });
    await policy("clash");
    for (const name of ["m1", "m2"]) await fleet.member(name).create(Deployment, aDeployment("clash", 1));
    for (const name of ["web", "held", "clash"]) await fleet.plane.create(Deployment, aDeployment(name, 2));
    await fleet.advance(10_000);
    const shown = async (cluster: string, name: string) => {
      const item = (await fleet.binding(name)).status?.aggregatedStatus?.find((one) => one.clusterName === cluster);
      const work = await fleet.work(cluster, name);
      return JSON.parse(
        JSON.stringify({
          applied: item?.applied,
          health: item?.health,
          message: item?.appliedMessage,
          status: item?.status,
          conditions: work?.status?.conditions?.map(({ type, status, reason, message }) => [
            type,
            status,
            reason,
            message,
          ]),
          replicas: (await fleet.copy(cluster, name))?.spec?.replicas,
        }).replaceAll(cluster, "CLUSTER"),
      ) as Readonly<Record<string, unknown>>;
    };
    // Scheduled, with a Work, by the control plane; carried out and reported on by nobody yet.
    expect(await fleet.targets()).toBe("m1:2,m2:2");
    expect(await fleet.work("m2")).toBeDefined();
    expect(await shown("m1", "web")).toMatchObject({ applied: true, health: "Healthy", replicas: 2 });
    expect(await shown("m2", "web")).toEqual({ health: "Unknown" });
    await fleet.agent("m2").start();
    await fleet.advance(20_000);
    for (const name of ["web", "held", "clash"]) expect(await shown("m2", name)).toEqual(await shown("m1", name));
    expect(await shown("m2", "web")).toMatchObject({ applied: true, health: "Healthy", replicas: 2 });
    expect(await fleet.copy("m2", "held")).toBeUndefined();
    expect(await shown("m2", "held")).toMatchObject({
      conditions: [["Dispatching", "False", expect.anything(), expect.anything()]],
    });
    expect(await shown("m2", "clash")).toMatchObject({ message: expect.stringMatching(/conflict|exist/), replicas: 1 });
  });

  test("ST-1 ST-8 D-1: a member without /readyz is asked for /healthz; without modelling its nodes are left alone", async () => {
    fleet = await startFailoverFleet({
      members: ["m1"],
      joins: false,
      flags: ["--enable-cluster-resource-modeling=false"],
    });
    await fleet.join("m1");
    await fleet.until(async () => (await ready("m1")) === "True", 60_000);
    const { status } = await cluster("m1");
    expect([status?.nodeSummary, status?.resourceSummary]).toEqual([undefined, undefined]);
    expect(status?.kubernetesVersion).toMatch(/^v1\./);
    fleet.simulated("m1").setFaults({ healthStatus: 404 });
    await fleet.until(async () => (await ready("m1")) === "False", 60_000);
    expect((await fleet.eventsOf("Cluster", "m1")).join("\n")).toContain(
      "Warning ClusterNotReady cluster is reachable but health endpoint responded without ok: /healthz answered 404",
    );
  });
});

test.each([
  [
    "that no policy claims any more",
    () => fleet.plane.delete(PropagationPolicy, { namespace: "default", name: "web" }),
  ],
  [
    "whose scheduling is suspended",
    () =>
      fleet.plane.patch(PropagationPolicy, { namespace: "default", name: "web" }, "application/merge-patch+json", {
        spec: { suspension: { scheduling: true } },
      }),
  ],
])("[DR-47] CL-15: the removal of a cluster ends although it stands in a binding %s", async (_title, hold) => {
  fleet = await startFailoverFleet({ members: ["m1", "m2"] });
  await deploy({ clusterAffinity: { clusterNames: ["m1", "m2"] } });
  await fleet.until(async () => (await fleet.copy("m2"))?.status?.readyReplicas === 2, 60_000);
  await hold();
  await fleet.advance(10_000);
  expect(await fleet.targets()).toBe("m1:2,m2:2");
  await fleet.plane.delete(Cluster, { name: "m2" });
  await fleet.until(async () => (await fleet.plane.find(Cluster, { name: "m2" })) === undefined, 60_000);
  expect(await fleet.targets()).toBe("m1:2");
  expect((await fleet.copy("m1"))?.status?.readyReplicas).toBe(2);
});

test("D-24 TM-4: a record of the applied placement that cannot be read gives way to the placement itself", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2"] });
  await deploy({
    clusterAffinity: { clusterNames: ["m1", "m2"] },
    spreadConstraints: [{ spreadByField: "cluster", minGroups: 1, maxGroups: 1 }],
    clusterTolerations: [{ key: "fail-test", operator: "Exists", effect: "NoExecute", tolerationSeconds: 30 }],
  });
  await fleet.until(async () => (await fleet.copy("m1"))?.status?.readyReplicas === 2, 60_000);
  // Suspended, so that the scheduler does not write the record anew.
  await retryOnConflict(async () => {
    const present = await fleet.binding();
    await fleet.plane.update(ResourceBinding, {
      ...present,
      metadata: { ...present.metadata, annotations: { ...present.metadata.annotations, [APPLIED_PLACEMENT]: "{" } },
      spec: { ...present.spec, suspension: { scheduling: true } },
    } as ResourceBinding);
  });
  await fleet.taint("m1", true);
  const startMs = fleet.clock.now();
  await fleet.until(async () => (await fleet.tasks()).length === 1, 120_000);
  const seconds = (fleet.clock.now() - startMs) / 1000;
  expect(seconds).toBeGreaterThanOrEqual(29);
  expect(seconds).toBeLessThanOrEqual(31);
});

test("D-6 GE-2: a cluster that was healthy with fewer replicas does not end the task before it runs those it was given", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2"] });
  await deploy(
    {
      clusterAffinity: { clusterNames: ["m1", "m2"] },
      replicaScheduling: {
        replicaSchedulingType: "Divided",
        replicaDivisionPreference: "Weighted",
        weightPreference: {
          staticWeightList: ["m1", "m2"].map((name) => ({ targetCluster: { clusterNames: [name] }, weight: 1 })),
        },
      },
    },
    4,
  );
  await fleet.until(async () => (await fleet.copy("m2"))?.status?.readyReplicas === 2, 60_000);
  await fleet.advance(5_000);
  // The two that run go on; no further one finds a node.
  await fleet.simulated("m2").setQuotaFull(true);
  await fleet.taint("m1", true);
  await fleet.until(async () => (await fleet.targets()) === "m2:4", 30_000);
  await fleet.advance(120_000);
  expect(await fleet.tasks()).toEqual(["m1 Gracefully TaintUntolerated TaintManager 2"]);
  expect((await fleet.copy("m1"))?.status?.readyReplicas).toBe(2);
  await fleet.simulated("m2").setQuotaFull(false);
  await fleet.until(async () => (await fleet.tasks()).length === 0, 300_000);
  expect((await fleet.copy("m2"))?.status?.readyReplicas).toBe(4);
});

test("D-6 GE-2: nor does one that had none so far and is healthy with that; one that an override keeps at none does", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2"], flags: ["--enable-empty-workload-propagation=true"] });
  await deploy(
    {
      clusterAffinity: { clusterNames: ["m1", "m2"] },
      replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" },
    },
    2,
  );
  await fleet.advance(10_000);
  const [home, other] = (await fleet.targets()) === "m1:2,m2:0" ? ["m1", "m2"] : ["m2", "m1"];
  expect(await fleet.targets()).toBe(home === "m1" ? "m1:2,m2:0" : "m1:0,m2:2");
  await fleet.until(async () =>
    (await fleet.binding()).status?.aggregatedStatus?.every(({ health }) => health === "Healthy"),
  );
  await fleet.simulated(other).setQuotaFull(true);
  await fleet.taint(home, true);
  await fleet.until(async () => (await fleet.targets()) === `${other}:2`, 30_000);
  await fleet.advance(120_000);
  expect(await fleet.tasks()).toEqual([`${home} Gracefully TaintUntolerated TaintManager 2`]);
  expect((await fleet.copy(home))?.status?.readyReplicas).toBe(2);
  // Somebody wants none there: that is what is healthy from now on.
  await fleet.plane.create(OverridePolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "OverridePolicy",
    metadata: { namespace: "default", name: "standby" },
    spec: {
      resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name: "web" }],
      overrideRules: [
        {
          targetCluster: { clusterNames: [other] },
          overriders: { plaintext: [{ path: "/spec/replicas", operator: "replace", value: 0 }] },
        },
      ],
    },
  } as unknown as OverridePolicy);
  await fleet.until(async () => (await fleet.tasks()).length === 0, 60_000);
  expect((await fleet.copy(other))?.spec?.replicas).toBe(0);
});

test("TM-7 TM-8: there is no other rate than --resource-eviction-rate; a negative one and unknown flags are refused by name", async () => {
  fleet = await startFailoverFleet({ members: ["m1"] });
  expect(() => parseFlags(["--data-dir=x", "--eviction-rate=1"])).toThrow(/unknown flag: --eviction-rate/);
  expect(() => parseFlags(["--data-dir=x", "--resource-eviction-rate=-1"])).toThrow(/--resource-eviction-rate/);
  expect(() =>
    parseFlags([
      "--data-dir=x",
      "--enable-no-execute-taint-eviction=true",
      "--no-execute-taint-eviction-purge-mode=Never",
    ]),
  ).toThrow(/--no-execute-taint-eviction-purge-mode/);
});

describe("what the API server keeps of a Cluster", () => {
  const make = (name: string, spec: object, more: object = {}) =>
    fleet.plane.create(Cluster, {
      apiVersion: "cluster.karmada.io/v1alpha1",
      kind: "Cluster",
      metadata: { name },
      spec: { syncMode: "Push", ...spec },
      ...more,
    } as unknown as Cluster);
  const models = async (name: string) => (await cluster(name)).spec?.resourceModels ?? [];

  test("CL-1: a status is no one's to create; spec and status are written apart, and generation follows spec alone", async () => {
    fleet = await startFailoverFleet({ members: ["m1"], joins: false });
    const conditions = [
      { type: "Mine", status: "True", reason: "", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" },
      { type: "Short", status: "False" },
    ];
    const made = await make("bare", {}, { status: { conditions } });
    expect([made.metadata.generation, made.status?.conditions]).toEqual([1, undefined]);
    // The conditions of others may have no reason, or leave all but their status out, and a status moves no generation.
    await retryOnConflict(async () => {
      await fleet.plane.updateStatus(Cluster, {
        ...(await cluster("bare")),
        status: { conditions },
      } as unknown as Cluster);
    });
    await fleet.advance(1_000);
    const before = await cluster("bare");
    expect(before.status?.conditions).toEqual(
      expect.arrayContaining([
        conditions[0],
        { type: "Short", status: "False", reason: "", message: "", lastTransitionTime: null },
      ]),
    );
    const same = await fleet.plane.update(Cluster, { ...before, status: {} } as Cluster);
    expect([same.metadata.generation, same.status]).toEqual([before.metadata.generation, before.status]);
    const changed = await fleet.plane.update(Cluster, { ...same, spec: { ...same.spec, region: "north" } } as Cluster);
    expect([changed.metadata.generation, changed.status]).toEqual([
      (before.metadata.generation ?? 0) + 1,
      before.status,
    ]);
  });

  test("CL-2 CL-3 CL-5: times of NoExecute taints, zones and models are filled in; a PUT creates nothing, and needs no version", async () => {
    fleet = await startFailoverFleet({ members: ["m1"], joins: false });
    await make("bare", {
      zone: "a",
      taints: [
        { key: "x", effect: "NoExecute" },
        { key: "y", effect: "NoSchedule" },
      ],
    });
    const { spec } = await cluster("bare");
    expect([spec?.zone, spec?.zones]).toEqual([undefined, ["a"]]);
    expect(spec?.taints?.slice(0, 2).map(({ key, timeAdded }) => [key, timeAdded !== undefined])).toEqual([
      ["x", true],
      ["y", false],
    ]);
    expect((await models("bare")).map(({ grade }) => grade)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    const range = (min: string, max: string) => [{ name: "cpu", min, max }];
    await make("sorted", {
      resourceModels: [
        { grade: 1, ranges: range("2", "4") },
        { grade: 0, ranges: range("1", "2") },
      ],
    });
    expect(await models("sorted")).toEqual([
      { grade: 0, ranges: range("0", "2") },
      { grade: 1, ranges: range("2", "9223372036854775807") },
    ]);
    const { resourceVersion: _version, ...metadata } = (await cluster("bare")).metadata;
    const written = await fleet.plane.update(Cluster, { ...(await cluster("bare")), metadata } as Cluster);
    expect(written.metadata.name).toBe("bare");
    await expect(fleet.plane.update(Cluster, { ...written, metadata: { name: "never" } } as Cluster)).rejects.toThrow(
      /not found/,
    );
  });

  test("FO-6 TA-10 S10: failover options of a policy are checked by field and filled in; no tolerations are added", async () => {
    fleet = await startFailoverFleet({ members: ["m1"], joins: false });
    const policy = (application: object) =>
      fleet.plane.create(
        PropagationPolicy,
        aPropagationPolicy(`p-${JSON.stringify(application).length}`, {}, "default", { failover: { application } }),
      );
    const decisionConditions = { tolerationSeconds: 10 };
    const made = await policy({ decisionConditions: {}, purgeMode: "Gracefully" });
    expect(made.spec.failover?.application).toMatchObject({
      decisionConditions: { tolerationSeconds: 300 },
      purgeMode: "Gracefully",
      gracePeriodSeconds: 600,
    });
    expect(made.spec.placement?.clusterTolerations).toBeUndefined();
    await expect(policy({ decisionConditions: { tolerationSeconds: -1 } })).rejects.toThrow(/tolerationSeconds/);
    await expect(policy({ decisionConditions, purgeMode: "Directly", gracePeriodSeconds: 5 })).rejects.toThrow(
      /only takes effect when purgeMode is gracefully/,
    );
    await expect(policy({ decisionConditions, purgeMode: "Gracefully", gracePeriodSeconds: 0 })).rejects.toThrow(
      /gracePeriodSeconds/,
    );
    await expect(
      policy({
        decisionConditions,
        purgeMode: "Directly",
        statePreservation: { rules: [{ aliasLabelName: "no label!", jsonPath: "{.a}" }] },
      }),
    ).rejects.toThrow(/aliasLabelName/);
  });
});
