/** Room that changes: quotas of members and of the federation, and rebalancing when room came back. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cluster, FederatedResourceQuota, PropagationPolicy, ResourceBinding, WorkloadRebalancer } from "#apis/karmada";
import { Deployment, ResourceQuota } from "#apis/kubernetes";
import { type Client, createClient } from "#client";
import type { Fleet } from "#controlplane";
import { aDeployment, aPropagationPolicy, eventually, startTestFleet } from "#testing";

let fleet: Fleet;
let client: Client;
beforeAll(async () => {
  fleet = await startTestFleet(undefined, [
    "--enable-scheduler-estimator",
    "--feature-gates=ResourceQuotaEstimate=true,FederatedQuotaEnforcement=true",
  ]);
  client = createClient(fleet.controlPlane.transport);
});
afterAll(() => fleet.stop());

const memberClient = (name: string): Client => {
  const member = fleet.members.get(name);
  if (member === undefined) throw new Error(`there is no member ${name}`);
  return createClient(member.transport);
};

async function place(name: string, replicas: number, clusterNames: readonly string[], cpu: string): Promise<void> {
  const policy = aPropagationPolicy(name, {
    clusterAffinity: { clusterNames },
    replicaScheduling: {
      replicaSchedulingType: "Divided",
      replicaDivisionPreference: "Weighted",
      weightPreference: { dynamicWeight: "AvailableReplicas" },
    },
  });
  await client.create(PropagationPolicy, {
    ...policy,
    spec: { ...policy.spec, resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name }] },
  });
  const deployment = aDeployment(name, replicas);
  const labels = { workload: name };
  await client.create(Deployment, {
    ...deployment,
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [{ name: "app", image: "nginx:1.29", resources: { requests: { cpu } } }] },
      },
    },
  } as Deployment);
}

const bindingOf = (name: string) => client.find(ResourceBinding, { namespace: "default", name: `${name}-deployment` });
const placed = (name: string, isWanted: (targets: Readonly<Record<string, number>>) => boolean) =>
  eventually(async () => {
    const targets = (await bindingOf(name))?.spec.clusters ?? [];
    const replicas = Object.fromEntries(targets.map((target) => [target.name, target.replicas ?? 0]));
    return isWanted(replicas) ? replicas : undefined;
  });
const sum = (targets: Readonly<Record<string, number>>) => Object.values(targets).reduce((all, one) => all + one, 0);

describe("scheduling and room", () => {
  it("gives a member no more than its ResourceQuota leaves", async () => {
    await memberClient("member1").create(ResourceQuota, {
      apiVersion: "v1",
      kind: "ResourceQuota",
      metadata: { namespace: "default", name: "small" },
      spec: { hard: { cpu: "1" } },
      status: { hard: { cpu: "1" }, used: { cpu: "0" } },
    } as ResourceQuota);
    await eventually(async () => {
      const quota = await memberClient("member1").get(ResourceQuota, { namespace: "default", name: "small" });
      return quota.status?.used?.["cpu"] !== undefined;
    });
    await place("quota", 12, ["member1", "member2"], "500m");
    // Without the quota both would get about as many: they have the same nodes.
    const targets = await placed("quota", (found) => sum(found) === 12);
    expect(targets["member1"] ?? 0).toBeLessThanOrEqual(2);
  });

  it("says QuotaExceeded while a FederatedResourceQuota refuses the result, and places it once there is more", async () => {
    await client.create(FederatedResourceQuota, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "FederatedResourceQuota",
      metadata: { namespace: "default", name: "all" },
      spec: { overall: { cpu: "7" } },
    } as FederatedResourceQuota);
    await eventually(async () => {
      const quota = await client.get(FederatedResourceQuota, { namespace: "default", name: "all" });
      return quota.status?.overallUsed?.["cpu"] !== undefined;
    });
    await place("refused", 8, ["member2", "member3"], "500m");
    const condition = await eventually(async () =>
      (await bindingOf("refused"))?.status?.conditions?.find(({ reason }) => reason === "QuotaExceeded"),
    );
    expect(condition).toMatchObject({ type: "Scheduled", status: "False" });
    expect((await bindingOf("refused"))?.spec.clusters).toBeUndefined();
    await client.patch(FederatedResourceQuota, { namespace: "default", name: "all" }, "application/merge-patch+json", {
      spec: { overall: { cpu: "100" } },
    });
    expect(sum(await placed("refused", (found) => sum(found) === 8))).toBe(8);
  });

  it("[GF-29] moves nothing when a cluster comes back, and rebalances when a WorkloadRebalancer asks", async () => {
    const taint = (taints: readonly object[]) =>
      client.patch(Cluster, { name: "member3" }, "application/merge-patch+json", { spec: { taints } });
    await taint([{ key: "repair", effect: "NoSchedule" }]);
    await place("lopsided", 6, ["member2", "member3"], "100m");
    const before = await placed("lopsided", (found) => sum(found) === 6);
    expect(before).toEqual({ member2: 6 });
    const first = await eventually(async () => {
      const binding = await bindingOf("lopsided");
      return binding?.status?.schedulerObservedGeneration === binding?.metadata.generation ? binding : undefined;
    });
    await taint([]);
    await client.create(WorkloadRebalancer, {
      apiVersion: "apps.karmada.io/v1alpha1",
      kind: "WorkloadRebalancer",
      metadata: { name: "again" },
      spec: { workloads: [{ apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name: "lopsided" }] },
    } as WorkloadRebalancer);
    const after = await placed("lopsided", (found) => (found["member3"] ?? 0) > 0);
    expect(sum(after)).toBe(6);
    const binding = await bindingOf("lopsided");
    expect(binding?.spec.rescheduleTriggeredAt).toBeDefined();
    expect(Date.parse(binding?.status?.lastScheduledTime ?? "")).toBeGreaterThanOrEqual(
      Date.parse(first.status?.lastScheduledTime ?? ""),
    );
    const rebalancer = await eventually(async () => {
      const found = await client.get(WorkloadRebalancer, { name: "again" });
      return found.status?.finishTime === undefined ? undefined : found;
    });
    expect(rebalancer.status?.observedWorkloads?.map(({ result }) => result)).toEqual(["Successful"]);
  });
});
