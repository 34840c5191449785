/** Rebalancing, remedies, federated quotas, joining and leaving, in virtual time. */
import { afterEach, describe, expect, test } from "vitest";
import { ClusterRole, Deployment, PriorityClass, ResourceQuota } from "#apis/kubernetes";
import {
  Cluster,
  ClusterPropagationPolicy,
  ClusterResourceBinding,
  FederatedResourceQuota,
  PropagationPolicy,
  Remedy,
  ResourceBinding,
  WorkloadRebalancer,
} from "#apis/karmada";
import { retryOnConflict } from "#client";
import { aDeployment, aPropagationPolicy, type FailoverFleet, startFailoverFleet } from "#testing";

let fleet: FailoverFleet;
afterEach(() => fleet.stop());

const rebalance = (name: string, workloads: readonly object[], more: object = {}) =>
  fleet.plane.create(WorkloadRebalancer, {
    apiVersion: "apps.karmada.io/v1alpha1",
    kind: "WorkloadRebalancer",
    metadata: { name },
    spec: { workloads, ...more },
  } as unknown as WorkloadRebalancer);
const deploymentOf = (name: string) => ({ apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name });
const role = { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", name: "reader" };

test("E15 E16 WR-1 WR-2 WR-3 WR-4 WR-5: workloads are placed anew; what has no binding fails for good; a finished rebalancer goes after its time", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2"] });
  await fleet.plane.create(ClusterPropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "ClusterPropagationPolicy",
    metadata: { name: "all" },
    spec: {
      resourceSelectors: [
        { apiVersion: "apps/v1", kind: "Deployment" },
        { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", name: "reader" },
      ],
      placement: {
        clusterAffinity: { clusterNames: ["m1", "m2"] },
        clusterTolerations: [{ key: "fail-test", effect: "NoExecute", operator: "Exists", tolerationSeconds: 0 }],
        replicaScheduling: {
          replicaSchedulingType: "Divided",
          replicaDivisionPreference: "Weighted",
          weightPreference: { dynamicWeight: "AvailableReplicas" },
        },
      },
    },
  } as unknown as ClusterPropagationPolicy);
  await fleet.plane.create(Deployment, aDeployment("web", 4));
  await fleet.plane.create(ClusterRole, {
    ...role,
    metadata: { name: "reader" },
    rules: [],
  } as unknown as ClusterRole);
  await fleet.until(async () => (await fleet.targets()) === "m1:2,m2:2");
  await fleet.advance(5_000);
  await fleet.taint("m1", true);
  await fleet.until(async () => (await fleet.targets()) === "m2:4");
  await fleet.until(async () => (await fleet.tasks()).length === 0);
  await fleet.taint("m1", false);
  await fleet.advance(60_000);
  expect(await fleet.targets()).toBe("m2:4");
  await rebalance("again", [deploymentOf("web"), role, deploymentOf("missing")]);
  await fleet.advance(1_000);
  expect(await fleet.targets()).toBe("m1:2,m2:2");
  const read = () => fleet.plane.get(WorkloadRebalancer, { name: "again" });
  expect((await read()).status?.observedWorkloads).toEqual([
    { workload: deploymentOf("missing"), result: "Failed", reason: "ReferencedBindingNotFound" },
    { workload: deploymentOf("web"), result: "Successful" },
    { workload: role, result: "Successful" },
  ]);
  const binding = await fleet.binding();
  expect(binding.spec.rescheduleTriggeredAt).toBe((await read()).metadata.creationTimestamp);
  expect(String(binding.status?.lastScheduledTime) >= String(binding.spec.rescheduleTriggeredAt)).toBe(true);
  const crb = await fleet.plane.get(ClusterResourceBinding, { name: "reader-clusterrole" });
  expect(crb.spec.rescheduleTriggeredAt).toBe(binding.spec.rescheduleTriggeredAt);
  await fleet.plane.create(Deployment, aDeployment("late", 1));
  await fleet.advance(1_000);
  const present = await read();
  const { observedWorkloads: _list, ...before } = present.status ?? {};
  await fleet.plane.update(WorkloadRebalancer, {
    ...present,
    spec: { workloads: [role, deploymentOf("late")], ttlSecondsAfterFinished: 5 },
  } as WorkloadRebalancer);
  await fleet.advance(4_000);
  const after = (await read()).status;
  expect(after?.observedWorkloads?.map(({ workload, result }) => `${workload.name} ${result}`)).toEqual([
    "late Successful",
    "web Successful",
    "reader Successful",
  ]);
  expect(String(after?.finishTime) > String(before.finishTime)).toBe(true);
  await fleet.advance(2_000);
  expect(await fleet.plane.find(WorkloadRebalancer, { name: "again" })).toBeUndefined();
});

describe("remedies", () => {
  const set = (status: string) =>
    retryOnConflict(async () => {
      const latest = await fleet.plane.get(Cluster, { name: "m1" });
      const others = (latest.status?.conditions ?? []).filter(
        ({ type }) => type !== "ServiceDomainNameResolutionReady",
      );
      await fleet.plane.updateStatus(Cluster, {
        ...latest,
        status: {
          ...latest.status,
          conditions: [
            ...others,
            {
              type: "ServiceDomainNameResolutionReady",
              status,
              reason: "",
              message: "",
              lastTransitionTime: "2026-01-01T00:00:00Z",
            },
          ],
        },
      } as Cluster);
    });
  const make = (name: string, spec: object) =>
    fleet.plane.create(Remedy, {
      apiVersion: "remedy.karmada.io/v1alpha1",
      kind: "Remedy",
      metadata: { name },
      spec: { actions: ["TrafficControl"], ...spec },
    } as unknown as Remedy);
  const actions = async (name = "m1") => {
    await fleet.advance(100);
    return (await fleet.plane.get(Cluster, { name })).status?.remedyActions;
  };

  test("E12 E13 E14 RE-1 RE-2 RE-3 D-23: actions follow conditions and Remedies; the status that members post leaves them alone", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"] });
    await make("dns", {
      clusterAffinity: { clusterNames: ["m1"] },
      decisionMatches: [
        {
          clusterConditionMatch: {
            conditionType: "ServiceDomainNameResolutionReady",
            operator: "Equal",
            conditionStatus: "False",
          },
        },
      ],
    });
    expect(await actions()).toBeUndefined();
    await set("False");
    expect(await actions()).toEqual(["TrafficControl"]);
    await fleet.advance(60_000);
    expect([await actions(), await actions("m2")]).toEqual([["TrafficControl"], undefined]);
    await set("True");
    expect(await actions()).toBeUndefined();
    await set("False");
    expect(await actions()).toEqual(["TrafficControl"]);
    await fleet.plane.delete(Remedy, { name: "dns" });
    expect(await actions()).toBeUndefined();
    await make("always", { clusterAffinity: { clusterNames: ["m2"] }, decisionMatches: [] });
    await make("nowhere", { clusterAffinity: { clusterNames: [] } });
    expect([await actions(), await actions("m2")]).toEqual([undefined, ["TrafficControl"]]);
    await fleet.plane.delete(Remedy, { name: "always" });
    expect(await actions("m2")).toBeUndefined();
  });
});

describe("federated quotas", () => {
  const quota = (spec: object) =>
    fleet.plane.create(FederatedResourceQuota, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "FederatedResourceQuota",
      metadata: { namespace: "default", name: "team" },
      spec,
    } as unknown as FederatedResourceQuota);
  const read = () => fleet.plane.get(FederatedResourceQuota, { namespace: "default", name: "team" });
  const inMember = async (name: string) =>
    (await fleet.member(name).find(ResourceQuota, { namespace: "default", name: "team" }))?.spec?.hard;

  test("E17 FQ-1 FQ-2: static assignments become quotas in their clusters, what they use is summed up, and they go with the assignment", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"] });
    await quota({
      overall: { cpu: "4" },
      staticAssignments: [
        { clusterName: "m1", hard: { cpu: "1" } },
        { clusterName: "m2", hard: { cpu: "2" } },
      ],
    });
    await fleet.plane.create(
      PropagationPolicy,
      aPropagationPolicy("web", { clusterAffinity: { clusterNames: ["m1"] } }),
    );
    await fleet.plane.create(Deployment, aDeployment("web", 3));
    await fleet.advance(20_000);
    expect([await inMember("m1"), await inMember("m2")]).toEqual([{ cpu: "1" }, { cpu: "2" }]);
    expect((await read()).status).toEqual({
      overall: { cpu: "4" },
      overallUsed: { cpu: "300m" },
      aggregatedStatus: [
        { clusterName: "m1", hard: { cpu: "1" }, used: { cpu: "300m" } },
        { clusterName: "m2", hard: { cpu: "2" }, used: { cpu: "0" } },
      ],
    });
    const events = await fleet.eventsOf("FederatedResourceQuota", "team");
    expect(events).toContain("Normal SyncWorkSucceed Sync works for FederatedResourceQuota(default/team) succeed.");
    expect(events).toContain(
      "Normal AggregateStatusSucceed Collect status of FederatedResourceQuota(default/team) succeed.",
    );
    const present = await read();
    await fleet.plane.update(FederatedResourceQuota, {
      ...present,
      spec: { overall: { cpu: "4" }, staticAssignments: [{ clusterName: "m1", hard: { cpu: "1" } }] },
    });
    await fleet.advance(5_000);
    expect([await inMember("m1"), await inMember("m2")]).toEqual([{ cpu: "1" }, undefined]);
    expect((await read()).status?.aggregatedStatus?.map(({ clusterName }) => clusterName)).toEqual(["m1"]);
    await fleet.plane.delete(FederatedResourceQuota, { namespace: "default", name: "team" });
    await fleet.advance(5_000);
    expect(await inMember("m1")).toBeUndefined();
  });

  test("E18 FQ-3 FQ-4 FQ-5 D-16: what is over the quota is refused where it is asked for, and a deletion gives room back", async () => {
    fleet = await startFailoverFleet({ members: ["m1"], flags: ["--feature-gates=FederatedQuotaEnforcement=true"] });
    await quota({ overall: { cpu: "100m" } });
    await fleet.plane.create(
      PropagationPolicy,
      aPropagationPolicy("web", { clusterAffinity: { clusterNames: ["m1"] } }),
    );
    await fleet.plane.create(Deployment, aDeployment("web", 1));
    await fleet.until(async () => (await fleet.targets()) === "m1:1");
    await fleet.advance(1_000);
    expect((await read()).status).toMatchObject({ overall: { cpu: "100m" }, overallUsed: { cpu: "100m" } });
    // A second workload finds no room.
    await fleet.plane.create(Deployment, aDeployment("second", 1));
    await fleet.advance(2_000);
    const second = await fleet.binding("second");
    expect(second.spec.clusters).toBeUndefined();
    expect(second.status?.conditions?.find(({ type }) => type === "Scheduled")).toMatchObject({
      status: "False",
      reason: "QuotaExceeded",
    });
    expect((await fleet.eventsOf("Deployment", "second")).join("\n")).toMatch(
      /Warning ScheduleBindingFailed .*FederatedResourceQuota\(default\/team\) exceeded for resource cpu: requested sum 200m, limit 100m\./,
    );
    // Neither does a larger first one, whether it asks for more replicas or for more each.
    await retryOnConflict(async () => {
      const web = await fleet.plane.get(Deployment, { namespace: "default", name: "web" });
      await fleet.plane.update(Deployment, { ...web, spec: { ...web.spec, replicas: 2 } } as Deployment);
    });
    await fleet.advance(5_000);
    expect([await fleet.targets(), (await fleet.copy("m1"))?.spec?.replicas]).toEqual(["m1:1", 1]);
    expect((await read()).status?.overallUsed).toEqual({ cpu: "100m" });
    await fleet.plane.delete(Deployment, { namespace: "default", name: "web" });
    await fleet.until(async () => (await fleet.targets("second")) === "m1:1", 600_000);
    await fleet.advance(300_000);
    expect((await read()).status?.overallUsed).toEqual({ cpu: "100m" });
  });
});

describe("clusters that come and go", () => {
  test("E20 E21 CL-12 CL-13 CL-15 CL-16 D-10: a joined cluster is used, one that leaves is given up, and its deletion ends", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2", "m3"], joins: false });
    await fleet.join("m1");
    await fleet.plane.create(
      PropagationPolicy,
      aPropagationPolicy("web", { replicaScheduling: { replicaSchedulingType: "Duplicated" } }),
    );
    await fleet.plane.create(Deployment, aDeployment("web", 2));
    await fleet.until(async () => (await fleet.targets()) === "m1:2");
    expect(await fleet.eventsOf("Cluster", "m1")).toContain(
      "Normal CreateExecutionSpaceSucceed Created execution space(karmada-es-m1) for cluster(m1).",
    );
    await fleet.join("m2");
    await fleet.until(async () => (await fleet.targets()) === "m1:2,m2:2", 60_000);
    await fleet.until(async () => (await fleet.copy("m2")) !== undefined);
    await fleet.plane.delete(Cluster, { name: "m2" });
    const ms = await fleet.until(async () => (await fleet.plane.find(Cluster, { name: "m2" })) === undefined, 60_000);
    expect(ms / 1000).toBeLessThanOrEqual(60);
    expect(await fleet.targets()).toBe("m1:2");
    expect(await fleet.copy("m2")).toBeUndefined();
    expect(await fleet.eventsOf("Cluster", "m2")).toContain(
      "Normal RemoveExecutionSpaceSucceed Removed execution space for cluster(m2).",
    );
  });

  test("E19 CL-17 CL-20 D-10: a cluster that is down can be removed, although a spread constraint is no longer met", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"] });
    await fleet.plane.create(
      PropagationPolicy,
      aPropagationPolicy("web", {
        replicaScheduling: { replicaSchedulingType: "Duplicated" },
        spreadConstraints: [{ spreadByField: "cluster", minGroups: 2, maxGroups: 2 }],
      }),
    );
    await fleet.plane.create(Deployment, aDeployment("web", 1));
    await fleet.until(async () => (await fleet.targets()) === "m1:1,m2:1");
    await fleet.advance(10_000);
    fleet.simulated("m2").setFaults({ isDown: true });
    await fleet.advance(60_000);
    await fleet.plane.delete(Cluster, { name: "m2" });
    await fleet.until(async () => (await fleet.plane.find(Cluster, { name: "m2" })) === undefined, 120_000);
    expect(await fleet.targets()).toBe("m1:1");
    // What ran in the unreachable member stays behind.
    expect(await fleet.copy("m2")).toBeDefined();
  });

  test("D-26 CL-25: a member that is found under another address is probed under its new one, and its copies are made anew", async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"] });
    await fleet.plane.create(
      PropagationPolicy,
      aPropagationPolicy("web", { clusterAffinity: { clusterNames: ["m1"] } }),
    );
    await fleet.plane.create(Deployment, aDeployment("web", 1));
    await fleet.until(async () => (await fleet.copy("m1")) !== undefined);
    // The address now leads to another cluster, which has none of what was there.
    await retryOnConflict(async () => {
      const present = await fleet.plane.get(Cluster, { name: "m1" });
      await fleet.plane.update(Cluster, {
        ...present,
        spec: { ...present.spec, apiEndpoint: "https://m2.members.test" },
      } as Cluster);
    });
    await fleet.advance(30_000);
    expect(await fleet.copy("m2")).toBeDefined();
    expect(
      (await fleet.plane.get(Cluster, { name: "m1" })).status?.conditions?.find(({ type }) => type === "Ready")?.status,
    ).toBe("True");
  });
});

test("E23 PR-1: a policy's priority class decides a binding's priority; one that is missing holds the binding", async () => {
  fleet = await startFailoverFleet({ members: ["m1"] });
  await fleet.plane.create(
    PropagationPolicy,
    aPropagationPolicy("web", {}, "default", {
      schedulePriority: { priorityClassSource: "KubePriorityClass", priorityClassName: "urgent" },
    }),
  );
  await fleet.plane.create(Deployment, aDeployment("web", 1));
  await fleet.advance(5_000);
  expect(await fleet.plane.find(ResourceBinding, { namespace: "default", name: "web-deployment" })).toBeUndefined();
  await fleet.plane.create(PriorityClass, {
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name: "urgent" },
    value: 1000,
  } as unknown as PriorityClass);
  await fleet.until(async () => (await fleet.binding()).spec.schedulePriority?.priority === 1000, 60_000);
});
