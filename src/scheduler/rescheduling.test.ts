import { describe, expect, it } from "vitest";
import type { Cluster, Placement, ResourceBinding, TargetCluster } from "#apis/karmada";
import { builtinPlugins, type PassPlan, placementText, planPass } from "./index.ts";

const cluster = (
  name: string,
  { region, taint }: { readonly region?: string; readonly taint?: boolean } = {},
): Cluster => ({
  apiVersion: "cluster.karmada.io/v1alpha1",
  kind: "Cluster",
  metadata: { name },
  spec: {
    syncMode: "Push",
    ...(region === undefined ? {} : { region }),
    taints: taint ? [{ key: "cluster.karmada.io/not-ready", effect: "NoExecute" }] : [],
  },
  status: {
    apiEnablements: [{ groupVersion: "apps/v1", resources: [{ kind: "Deployment", name: "deployments" }] }],
    resourceSummary: { allocatable: { pods: "10" } },
  },
});

/** A pass after the named cluster was evicted from what was scheduled before. */
function afterEviction(
  of: Placement,
  replicas: number,
  left: readonly TargetCluster[],
  evicted: string,
  clusters: readonly Cluster[],
): PassPlan {
  const binding: ResourceBinding = {
    apiVersion: "work.karmada.io/v1alpha2",
    kind: "ResourceBinding",
    metadata: {
      name: "web",
      namespace: "default",
      generation: 2,
      annotations: { "policy.karmada.io/applied-placement": placementText(of) },
    },
    spec: {
      resource: { apiVersion: "apps/v1", kind: "Deployment", name: "web", namespace: "default" },
      replicas,
      replicaRequirements: {},
      placement: of,
      clusters: left,
      gracefulEvictionTasks: [{ fromCluster: evicted, reason: "TaintUntolerated", producer: "TaintManager" }],
    },
    status: { schedulerObservedGeneration: 1 },
  };
  const down = clusters.map((one) => (one.metadata.name === evicted ? cluster(evicted, { taint: true }) : one));
  return planPass({ binding, clusters: down, gates: new Set(), algorithm: { plugins: builtinPlugins }, nowMs: 0 });
}

const names = (plan: PassPlan) => plan.clusters?.map(({ name }) => name);
const five = ["m1", "m2", "m3", "m4", "m5"].map((name) => cluster(name));
const two: Placement = {
  clusterAffinity: { clusterNames: ["m1", "m2", "m3", "m5"] },
  spreadConstraints: [{ spreadByField: "cluster", minGroups: 2, maxGroups: 2 }],
};

describe("rescheduling after a cluster failed", () => {
  it("[GF-31] [GF-33] [GF-30] [GF-29] Duplicated: the survivor stays, one other cluster of the affinity joins", () => {
    const plan = afterEviction(two, 3, [{ name: "m1", replicas: 3 }], "m2", five);
    expect(plan.clusters).toEqual([
      { name: "m1", replicas: 3 },
      { name: "m3", replicas: 3 },
    ]);
  });

  it("[GF-32] Duplicated: with too few other clusters nothing is rescheduled and the survivor stays", () => {
    const plan = afterEviction(two, 3, [{ name: "m1", replicas: 3 }], "m2", five.slice(0, 2));
    expect(plan.clusters).toBeUndefined();
    expect(plan.condition).toMatchObject({
      status: "False",
      reason: "SchedulerError",
      message: "failed to select clusters: the number of feasible clusters is less than spreadConstraint.MinGroups",
    });
  });

  it("[GF-35] Divided by static weights 1:2: the survivor takes all replicas", () => {
    const placement: Placement = {
      clusterAffinity: { clusterNames: ["m1", "m2"] },
      replicaScheduling: {
        replicaSchedulingType: "Divided",
        replicaDivisionPreference: "Weighted",
        weightPreference: {
          staticWeightList: [1, 2].map((weight) => ({ targetCluster: { clusterNames: [`m${weight}`] }, weight })),
        },
      },
    };
    expect(afterEviction(placement, 3, [{ name: "m2", replicas: 2 }], "m1", five).clusters).toEqual([
      { name: "m2", replicas: 3 },
    ]);
  });

  it("[GF-34] [GF-30] Divided by room: only the lost replicas are placed anew, what runs stays", () => {
    const placement: Placement = {
      replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" },
    };
    const plan = afterEviction(placement, 9, [{ name: "m1", replicas: 4 }], "m2", five);
    expect(plan.clusters?.find(({ name }) => name === "m1")?.replicas).toBeGreaterThanOrEqual(4);
    expect(names(plan)).not.toContain("m2");
    expect(plan.clusters?.reduce((sum, { replicas = 0 }) => sum + replicas, 0)).toBe(9);
  });

  it("[GF-29] the spread over regions still holds, and the failed cluster is not used again", () => {
    const regions = [
      ["m1", "east"],
      ["m2", "west"],
      ["m3", "west"],
      ["m4", "north"],
    ].map(([name = "", region = ""]) => cluster(name, { region }));
    const placement: Placement = {
      spreadConstraints: [
        { spreadByField: "region", minGroups: 2, maxGroups: 2 },
        { spreadByField: "cluster", minGroups: 2, maxGroups: 2 },
      ],
    };
    const found = names(afterEviction(placement, 2, [{ name: "m1", replicas: 2 }], "m2", regions));
    expect(found).toHaveLength(2);
    expect(found).toContain("m1");
    expect(found).not.toContain("m2");
  });

  it("[GF-28] nothing fits any more: the result is emptied with the reason, and an event may mend it", () => {
    const plan = afterEviction({ clusterAffinity: { clusterNames: ["m2"] } }, 1, [], "m2", five);
    expect(plan.clusters).toEqual([]);
    expect(plan.retry).toBe("none");
    expect(plan.condition?.message).toBe(
      "0/5 clusters are available: 1 cluster(s) had untolerated taint {cluster.karmada.io/not-ready:NoExecute}, 4 cluster(s) did not match the placement cluster affinity constraint.",
    );
  });
});
