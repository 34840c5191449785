import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { Deployment } from "#apis/kubernetes";
import { silentLogger, systemClock } from "#base";
import type { Client } from "#client";
import type { Fleet } from "#controlplane";
import { createEstimatorPool, followMembers } from "#estimator";
import { describeDecision } from "#scheduler";
import { aDeployment, aPropagationPolicy, eventually, startTestFleet } from "#testing";

let fleet: Fleet;
let client: Client;
beforeAll(async () => {
  fleet = await startTestFleet();
  client = fleet.controlPlane.manager.client;
});
afterAll(() => fleet.stop());

/** A Deployment with a policy of its own. */
async function place(name: string, replicas: number, placement: unknown, cpu = "100m"): Promise<void> {
  const policy = aPropagationPolicy(name, placement);
  await client.create(PropagationPolicy, {
    ...policy,
    spec: { ...policy.spec, resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name }] },
  });
  const deployment = aDeployment(name, replicas);
  const labels = { workload: name };
  const template = {
    metadata: { labels },
    spec: { containers: [{ name: "app", image: "nginx:1.29", resources: { requests: { cpu } } }] },
  };
  await client.create(Deployment, {
    ...deployment,
    spec: { ...deployment.spec, selector: { matchLabels: labels }, template },
  } as Deployment);
}

const bindingOf = (name: string) => client.find(ResourceBinding, { namespace: "default", name: `${name}-deployment` });
const scheduled = (name: string) =>
  eventually(async () => {
    const binding = await bindingOf(name);
    const isCurrent = binding?.status?.schedulerObservedGeneration === binding?.metadata.generation;
    return isCurrent && (binding?.spec.clusters ?? []).length > 0 ? binding : undefined;
  });
const dynamic = {
  replicaSchedulingType: "Divided",
  replicaDivisionPreference: "Weighted",
  weightPreference: { dynamicWeight: "AvailableReplicas" },
};

describe("scheduling on simulated members", () => {
  it("[O-2] [GF-45] spreads over regions and divides by what members have room for", async () => {
    await place("spread", 6, {
      spreadConstraints: [
        { spreadByField: "region", minGroups: 2, maxGroups: 2 },
        { spreadByField: "cluster", minGroups: 2, maxGroups: 2 },
      ],
      replicaScheduling: dynamic,
    });
    const { spec } = await scheduled("spread");
    const names = (spec.clusters ?? []).map((target) => target.name);
    expect(names).toContain("member3");
    expect(names).toHaveLength(2);
    expect((spec.clusters ?? []).reduce((sum, target) => sum + (target.replicas ?? 0), 0)).toBe(6);
  });

  it("[DR-4] falls back to the next affinity term, and remembers which one holds", async () => {
    await place("terms", 1, {
      clusterAffinities: [
        { affinityName: "nowhere", clusterNames: ["member9"] },
        {
          affinityName: "america",
          fieldSelector: { matchExpressions: [{ key: "region", operator: "In", values: ["america"] }] },
        },
      ],
    });
    const { spec, status } = await scheduled("terms");
    expect(spec.clusters).toEqual([{ name: "member3", replicas: 1 }]);
    expect(status?.schedulerObservingAffinityName).toBe("america");
  });

  it("rests when everything is placed, moves nothing when scaled up, and says why", async () => {
    await place("steady", 2, {
      clusterAffinity: { clusterNames: ["member1", "member2"] },
      replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" },
    });
    const before = (await scheduled("steady")).spec.clusters ?? [];
    await client.patch(Deployment, { namespace: "default", name: "steady" }, "application/merge-patch+json", {
      spec: { replicas: 5 },
    });
    const after = await eventually(async () => {
      const binding = await bindingOf("steady");
      const targets = binding?.spec.clusters ?? [];
      return targets.reduce((sum, { replicas = 0 }) => sum + replicas, 0) === 5 ? targets : undefined;
    });
    for (const { name, replicas = 0 } of before)
      expect(after.find((target) => target.name === name)?.replicas ?? 0).toBeGreaterThanOrEqual(replicas);
    const decision = fleet.controlPlane.decisions.get("ResourceBinding/default/steady-deployment");
    const text = decision === undefined ? "" : describeDecision(decision).join("\n");
    expect(text).toContain("member3: refused by ClusterAffinity");
    expect(text).toContain("scale-up: 3 replicas");
  });

  it("reports a workload nobody has room for, and places it once it asks for less", async () => {
    await place("huge", 3, { replicaScheduling: dynamic }, "64");
    const condition = await eventually(async () =>
      (await bindingOf("huge"))?.status?.conditions?.find(
        ({ type, status }) => type === "Scheduled" && status === "False",
      ),
    );
    expect(condition).toMatchObject({
      reason: "Unschedulable",
      message:
        "failed to assign replicas: failed to scale up: Clusters available replicas 0 are not enough to schedule.",
    });
    await client.patch(Deployment, { namespace: "default", name: "huge" }, "application/json-patch+json", [
      { op: "replace", path: "/spec/template/spec/containers/0/resources/requests/cpu", value: "1" },
    ]);
    const { spec } = await scheduled("huge");
    expect((spec.clusters ?? []).reduce((sum, { replicas = 0 }) => sum + replicas, 0)).toBe(3);
  });

  it("is told by accurate estimators of connected members what their nodes really hold", async () => {
    const pool = createEstimatorPool({ clock: systemClock, log: silentLogger });
    const stop = followMembers(fleet.controlPlane.members, pool, { clock: systemClock, gates: new Set() });
    // Three nodes of 8 cpu each hold one of 5 cpu; the sum alone would say four.
    const answers = await eventually(async () => {
      const found = await pool.maxReplicas(
        { resourceRequest: { cpu: "5" } },
        { clusters: ["member1", "member3", "member9"] },
      );
      return found.get("member1") === -1 ? undefined : found;
    });
    expect(Object.fromEntries(answers)).toEqual({ member1: 3, member3: 3, member9: -1 });
    stop();
  });
});
