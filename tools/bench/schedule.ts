import type { Cluster, ResourceBindingSpec } from "#apis/karmada";
import { builtinPlugins, schedule } from "#scheduler";
import { type Bench, perSecond } from "./measure.ts";

/** Decisions of the scheduler, without writing them. */
export const decisions: Bench = async () => {
  const clusters = Array.from({ length: 100 }, (_, at) => ({
    apiVersion: "cluster.karmada.io/v1alpha1",
    kind: "Cluster",
    metadata: { name: `c${at}` },
    spec: {
      syncMode: "Push",
      resourceModels: Array.from({ length: 9 }, (_g, grade) => ({
        grade,
        ranges: [
          { name: "cpu", min: String(2 ** grade), max: String(2 ** (grade + 1)) },
          { name: "memory", min: `${4 * 2 ** grade}Gi`, max: `${8 * 2 ** grade}Gi` },
        ],
      })),
    },
    status: {
      apiEnablements: [{ groupVersion: "apps/v1", resources: [{ name: "deployments", kind: "Deployment" }] }],
      resourceSummary: {
        allocatable: { pods: "50000", cpu: "9000", memory: "20Ti" },
        allocatableModelings: Array.from({ length: 9 }, (_g, grade) => ({ grade, count: 20 })),
      },
    },
  })) as unknown as Cluster[];
  const gates = new Set(["CustomizedClusterResourceModeling"]);
  const decide = (replicas: number) => {
    const placement = {
      replicaScheduling: {
        replicaSchedulingType: "Divided",
        replicaDivisionPreference: "Weighted",
        weightPreference: { dynamicWeight: "AvailableReplicas" },
      },
    };
    const spec = {
      resource: { apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name: "a" },
      replicas,
      replicaRequirements: { resourceRequest: { cpu: "100m", memory: "128Mi" } },
      placement,
    } as unknown as ResourceBindingSpec;
    schedule(
      { spec, status: undefined, placement: placement as never, observedAffinityName: undefined, clusters, gates },
      { plugins: builtinPlugins },
    );
  };
  const rate = (replicas: number) => {
    for (let warm = 0; warm < 200; warm++) decide(replicas);
    const startedMs = performance.now();
    for (let run = 0; run < 1000; run++) decide(replicas);
    return perSecond(1000, startedMs);
  };
  const few = rate(10);
  const many = rate(10_000);
  return [
    {
      name: "schedule",
      measure: "decisions over 100 clusters with models, 10 000 replicas",
      value: many,
      unit: "/s",
      reference: `10 replicas ${Math.round(few)}/s`,
      ratio: many / few,
    },
  ];
};
