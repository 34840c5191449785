import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Cluster, ResourceBinding } from "#apis/karmada";
import { silentLogger, systemClock } from "#base";
import { builtinPlugins, choosePlugins, planPass, type PluginHost, startPluginHost } from "#scheduler";

const cluster = (name: string, labels: Readonly<Record<string, string>>): Cluster => ({
  apiVersion: "cluster.karmada.io/v1alpha1",
  kind: "Cluster",
  metadata: { name, labels },
  spec: { syncMode: "Push" },
  status: {
    apiEnablements: [{ groupVersion: "apps/v1", resources: [{ kind: "Deployment", name: "deployments" }] }],
    resourceSummary: { allocatable: { pods: "100" } },
  },
});

const clusters = [
  cluster("coal", { "example.com/carbon": "800" }),
  cluster("gas", { "example.com/carbon": "400" }),
  cluster("wind", { "example.com/carbon": "10", "example.com/max-replicas": "3" }),
];

const binding = (annotations: Readonly<Record<string, string>> = {}): ResourceBinding => ({
  apiVersion: "work.karmada.io/v1alpha2",
  kind: "ResourceBinding",
  metadata: { name: "web", namespace: "default", generation: 1, annotations },
  spec: {
    resource: { apiVersion: "apps/v1", kind: "Deployment", name: "web", namespace: "default" },
    replicas: 5,
    replicaRequirements: {},
    placement: {
      spreadConstraints: [{ spreadByField: "cluster", minGroups: 1, maxGroups: 2 }],
      replicaScheduling: {
        replicaSchedulingType: "Divided",
        replicaDivisionPreference: "Weighted",
        weightPreference: { dynamicWeight: "AvailableReplicas" },
      },
    },
  },
});

let host: PluginHost;
beforeAll(async () => {
  host = await startPluginHost({
    url: new URL("./low-carbon.js", import.meta.url).href,
    clock: systemClock,
    log: silentLogger,
  });
});
afterAll(() => host.close());

async function place(of: ResourceBinding, plugins = "*") {
  const hosted = await host.ask(of, clusters);
  const { estimates = new Map<string, number>() } = hosted;
  return planPass({
    binding: of,
    clusters,
    gates: new Set(),
    nowMs: 0,
    explains: true,
    algorithm: {
      plugins: choosePlugins(plugins, [...builtinPlugins, hosted]),
      estimators: [{ name: hosted.name, replicas: () => estimates, sets: () => estimates }],
    },
  });
}

describe("[O-5a] the example of an own scheduler plugin", () => {
  it("prefers cleaner clusters and holds their bounds", async () => {
    const { decision } = await place(binding());
    expect(decision?.terms[0]?.selected).toEqual(["wind", "gas"]);
    const wind = decision?.terms[0]?.candidates.find((candidate) => candidate.cluster === "wind");
    expect(wind).toMatchObject({ scores: { LowCarbon: 98.75 }, estimates: { LowCarbon: 3 }, allocatable: 3 });
  });

  it("refuses clusters above a workload's limit, with a reason of its own", async () => {
    const { condition } = await place(binding({ "example.com/max-carbon": "5" }));
    expect(condition?.message).toBe("0/3 clusters are available: 3 cluster(s) had too much carbon in their power.");
  });

  it("is switched off by its name", async () => {
    const { condition } = await place(binding({ "example.com/max-carbon": "5" }), "*,-LowCarbon");
    expect(condition?.status).toBe("True");
  });
});
