/** Room that changes: quotas of members and of the federation, and rebalancing when room came back. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cluster, FederatedResourceQuota, WorkloadRebalancer } from "#apis/karmada";
import { ResourceQuota } from "#apis/kubernetes";
import { type Client, createClient } from "#client";
import type { Fleet } from "#controlplane";
import { eventually, startTestFleet } from "#testing";
import { bindingOf, place, placed, sumOf } from "./placing.ts";

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
    await place(client, { name: "quota", replicas: 12, clusters: ["member1", "member2"], cpu: "500m" });
    // Without the quota both would get about as many: they have the same nodes.
    const targets = await placed(client, "quota", (found) => sumOf(found) === 12);
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
    await place(client, { name: "refused", replicas: 8, clusters: ["member2", "member3"], cpu: "500m" });
    const condition = await eventually(async () =>
      (await bindingOf(client, "refused"))?.status?.conditions?.find(({ reason }) => reason === "QuotaExceeded"),
    );
    expect(condition).toMatchObject({ type: "Scheduled", status: "False" });
    expect((await bindingOf(client, "refused"))?.spec.clusters).toBeUndefined();
    await client.patch(FederatedResourceQuota, { namespace: "default", name: "all" }, "application/merge-patch+json", {
      spec: { overall: { cpu: "100" } },
    });
    expect(sumOf(await placed(client, "refused", (found) => sumOf(found) === 8))).toBe(8);
  });

  it("[GF-29] moves nothing when a cluster comes back, and rebalances when a WorkloadRebalancer asks", async () => {
    const taint = (taints: readonly object[]) =>
      client.patch(Cluster, { name: "member3" }, "application/merge-patch+json", { spec: { taints } });
    await taint([{ key: "repair", effect: "NoSchedule" }]);
    await place(client, { name: "lopsided", replicas: 6, clusters: ["member2", "member3"], cpu: "100m" });
    const before = await placed(client, "lopsided", (found) => sumOf(found) === 6);
    expect(before).toEqual({ member2: 6 });
    const first = await eventually(async () => {
      const binding = await bindingOf(client, "lopsided");
      return binding?.status?.schedulerObservedGeneration === binding?.metadata.generation ? binding : undefined;
    });
    await taint([]);
    await client.create(WorkloadRebalancer, {
      apiVersion: "apps.karmada.io/v1alpha1",
      kind: "WorkloadRebalancer",
      metadata: { name: "again" },
      spec: { workloads: [{ apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name: "lopsided" }] },
    } as WorkloadRebalancer);
    const after = await placed(client, "lopsided", (found) => (found["member3"] ?? 0) > 0);
    expect(sumOf(after)).toBe(6);
    const binding = await bindingOf(client, "lopsided");
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
