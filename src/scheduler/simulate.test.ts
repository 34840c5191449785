import { describe, expect, it } from "vitest";
import type { Cluster, Placement, ResourceBinding, TargetCluster } from "#apis/karmada";
import { createDecisionLog, describeDecision, explainSchedule, simulateSchedule } from "./index.ts";

const options = { gates: new Set(["PriorityBasedScheduling", "CustomizedClusterResourceModeling"]), nowMs: 0 };
const AGGREGATED: Placement = {
  replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" },
};

const cluster = (name: string, pods: number): Cluster => ({
  apiVersion: "cluster.karmada.io/v1alpha1",
  kind: "Cluster",
  metadata: { name },
  spec: { syncMode: "Push", resourceModels: [] },
  status: {
    apiEnablements: [{ groupVersion: "apps/v1", resources: [{ kind: "Deployment", name: "deployments" }] }],
    resourceSummary: { allocatable: { pods: String(pods) } },
  },
});

const binding = (
  name: string,
  replicas: number,
  clusters: readonly TargetCluster[] = [],
  placement = AGGREGATED,
): ResourceBinding => ({
  apiVersion: "work.karmada.io/v1alpha2",
  kind: "ResourceBinding",
  metadata: {
    name,
    namespace: "default",
    generation: 1,
    labels: { "binding.karmada.io/managed-by": "test" },
    annotations: { "policy.karmada.io/applied-placement": JSON.stringify(placement) },
  },
  spec: {
    resource: { apiVersion: "apps/v1", kind: "Deployment", name, namespace: "default" },
    replicas,
    replicaRequirements: {},
    placement,
    clusters,
  },
  status: { schedulerObservedGeneration: 1 },
});

describe("what if", () => {
  const snapshot = {
    clusters: [cluster("m1", 10), cluster("m2", 5), cluster("m3", 3)],
    bindings: [
      binding("a", 4, [{ name: "m1", replicas: 4 }]),
      binding("b", 4, [{ name: "m1", replicas: 4 }]),
      binding("c", 2, [{ name: "m3", replicas: 2 }]),
    ],
  };

  it("moves what ran on a removed cluster, each decision seeing what those before it took", () => {
    const frozen = JSON.stringify(snapshot);
    const { bindings, clusters } = simulateSchedule(snapshot, { removeClusters: ["m1"] }, options);
    expect(clusters).toEqual(["m2", "m3"]);
    expect(bindings.map(({ binding: of, outcome, after }) => [of.split("/").at(-1), outcome, after])).toEqual([
      ["a", "changed", [{ name: "m2", replicas: 4 }]],
      [
        "b",
        "changed",
        [
          { name: "m3", replicas: 3 },
          { name: "m2", replicas: 1 },
        ].sort((x, y) => (x.name < y.name ? -1 : 1)),
      ],
      ["c", "unchanged", [{ name: "m3", replicas: 2 }]],
    ]);
    expect(bindings[0]?.moves).toEqual([
      { cluster: "m1", from: 4, to: 0 },
      { cluster: "m2", from: 0, to: 4 },
    ]);
    expect(JSON.stringify(snapshot)).toBe(frozen);
  });

  it("leaves alone what is suspended or claimed by nobody, and places anew where a rebalance is asked for", () => {
    const [a, b, c] = snapshot.bindings as [ResourceBinding, ResourceBinding, ResourceBinding];
    const bindings = [
      { ...a, spec: { ...a.spec, suspension: { scheduling: true } } },
      { ...b, metadata: { ...b.metadata, labels: {} } },
      { ...c, status: { ...c.status, lastScheduledTime: "1970-01-01T00:00:00Z" } },
    ];
    const result = simulateSchedule({ ...snapshot, bindings }, { rebalances: true }, options);
    expect(result.bindings.map(({ outcome, after }) => [outcome, after.map(({ name }) => name)])).toEqual([
      ["held", ["m1"]],
      ["held", ["m1"]],
      ["changed", ["m1"]],
    ]);
  });

  it("says what would not fit", () => {
    const { bindings } = simulateSchedule(snapshot, { removeClusters: ["m1", "m2"] }, options);
    expect(bindings[0]).toMatchObject({
      outcome: "failed",
      reason: "Unschedulable",
      message:
        "failed to assign replicas: failed to scale up: Clusters available replicas 3 are not enough to schedule.",
    });
  });

  it("places new workloads on added clusters", () => {
    const { bindings } = simulateSchedule(
      { clusters: [], bindings: [] },
      { addClusters: [cluster("new", 9)], addBindings: [binding("web", 3)] },
      options,
    );
    expect(bindings[0]?.after).toEqual([{ name: "new", replicas: 3 }]);
  });
});

describe("why", () => {
  it("explains a decision in sentences: refusals, scores, estimates, weights", () => {
    const placement: Placement = { ...AGGREGATED, clusterAffinity: { clusterNames: ["m1"] } };
    const decision = explainSchedule(
      binding("a", 4, [], placement),
      { clusters: [cluster("m1", 10), cluster("m2", 5)], bindings: [] },
      options,
    );
    expect(decision?.result).toEqual([{ name: "m1", replicas: 4 }]);
    const text = decision === undefined ? "" : describeDecision(decision).join("\n");
    expect(text).toContain(
      "m2: refused by ClusterAffinity: cluster(s) did not match the placement cluster affinity constraint",
    );
    expect(text).toContain("m1: score 0 (ClusterAffinity 0, ClusterLocality 0), available 10 (general-estimator 10)");
    expect(text).toContain("scale-up: 4 replicas by m1:10");
    expect(text).toContain("Result: m1:4 (4 replicas)");
  });

  it("keeps a bounded number of decisions and of what they describe, the newest of each binding", () => {
    const fleet = { clusters: Array.from({ length: 20 }, (_, at) => cluster(`m${at}`, 5)), bindings: [] };
    const decide = (name: string) => {
      const decision = explainSchedule(binding(name, 2), fleet, options);
      if (decision === undefined) throw new Error("there must be a decision");
      return decision;
    };
    const few = createDecisionLog(3);
    for (const name of ["a", "b", "c", "d"]) few.keep(decide(name));
    expect(few.list().map((decision) => decision.binding.split("/").at(-1))).toEqual(["b", "c", "d"]);
    const small = createDecisionLog(100, 100);
    for (const name of ["a", "b", "c", "d", "e"]) small.keep(decide(name));
    expect(small.size).toBeLessThan(3);
    expect(small.get("ResourceBinding/default/e")).toBeDefined();
  });
});
