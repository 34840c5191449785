/**
 * How fast the scheduler decides, for `npm run bench schedule`. Pure decisions, nothing is written: 5 000 bindings over 100
 * clusters with resource models, then single decisions over 5 000 clusters, then the cost by replicas.
 */
import type { Cluster, Placement, ResourceBinding } from "#apis/karmada";
import { seededRandom } from "#base";
import { defaultResourceModels } from "#estimator";
import { builtinPlugins, planPass } from "#scheduler";

const random = seededRandom(42);
const models = defaultResourceModels();

function aCluster(at: number): Cluster {
  const nodes = 20 + random.below(200);
  return {
    apiVersion: "cluster.karmada.io/v1alpha1",
    kind: "Cluster",
    metadata: { name: `member-${at}`, labels: { tier: at % 2 === 0 ? "a" : "b" } },
    spec: {
      syncMode: "Push",
      region: `region-${at % 5}`,
      provider: `provider-${at % 3}`,
      zones: [`zone-${at % 10}`],
      resourceModels: models,
    },
    status: {
      apiEnablements: [{ groupVersion: "apps/v1", resources: [{ kind: "Deployment", name: "deployments" }] }],
      resourceSummary: {
        allocatable: { cpu: String(nodes * 16), memory: `${nodes * 64}Gi`, pods: String(nodes * 110) },
        allocated: { cpu: String(nodes * 4), memory: `${nodes * 10}Gi`, pods: String(nodes * 20) },
        allocatableModelings: models.map(({ grade }) => ({ grade, count: grade < 2 ? 2 : Math.floor(nodes / 7) })),
      },
    },
  };
}

const PLACEMENTS: readonly Placement[] = [
  { replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" } },
  {
    replicaScheduling: {
      replicaSchedulingType: "Divided",
      replicaDivisionPreference: "Weighted",
      weightPreference: { dynamicWeight: "AvailableReplicas" },
    },
  },
  {
    clusterAffinity: { labelSelector: { matchLabels: { tier: "a" } } },
    replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" },
  },
  {
    spreadConstraints: [
      { spreadByField: "region", minGroups: 2, maxGroups: 3 },
      { spreadByField: "cluster", minGroups: 3, maxGroups: 10 },
    ],
    replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" },
  },
  { replicaScheduling: { replicaSchedulingType: "Duplicated" } },
];

const NAMES = ["Aggregated", "dynamic weights", "label affinity", "spread by region", "Duplicated"];

function aBinding(
  at: number,
  replicas: number,
  placement = PLACEMENTS[at % PLACEMENTS.length] as Placement,
  cpu = `${1 + (at % 5) * 100}m`,
): ResourceBinding {
  return {
    apiVersion: "work.karmada.io/v1alpha2",
    kind: "ResourceBinding",
    metadata: {
      name: `web-${at}`,
      namespace: "default",
      generation: 1,
      labels: { "binding.karmada.io/managed-by": "bench" },
    },
    spec: {
      resource: {
        apiVersion: "apps/v1",
        kind: "Deployment",
        name: `web-${at}`,
        namespace: "default",
        uid: `uid-${at}`,
      },
      replicas,
      replicaRequirements: { resourceRequest: { cpu, memory: `${64 + (at % 4) * 64}Mi` } },
      placement,
    },
  };
}

const gates = new Set(["PriorityBasedScheduling", "CustomizedClusterResourceModeling"]);
const decide = (binding: ResourceBinding, clusters: readonly Cluster[], explains = false) =>
  planPass({ binding, clusters, gates, algorithm: { plugins: builtinPlugins }, nowMs: 0, explains });

/** One figure and what it should be. */
export interface Measure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly goal?: number;
}

const CLUSTERS_MANY = 5_000;
const ROUNDS = 30;

export function measureDecisions(): readonly Measure[] {
  const result: Measure[] = [];
  const hundred = Array.from({ length: 100 }, (_, at) => aCluster(at));
  const bindings = Array.from({ length: 5_000 }, (_, at) => aBinding(at, 1 + random.below(10_000)));
  for (const explains of [false, true]) {
    for (const binding of bindings.slice(0, 500)) decide(binding, hundred, explains);
    const startMs = performance.now();
    for (const binding of bindings) decide(binding, hundred, explains);
    result.push({
      what: `decisions, 5 000 bindings over 100 clusters with models${explains ? ", with reasons" : ""}`,
      value: bindings.length / ((performance.now() - startMs) / 1000),
      unit: "/s",
      goal: 5_000,
    });
  }
  const many = Array.from({ length: CLUSTERS_MANY }, (_, at) => aCluster(at));
  for (const explains of [false, true])
    for (const [at, placement] of PLACEMENTS.entries()) {
      const decideAll = () => {
        for (let round = 0; round < ROUNDS; round++) decide(aBinding(round, 5_000 + round, placement), many, explains);
      };
      decideAll();
      // CPU time: a decision is one turn of one thread, and what else the machine does is not its cost.
      const cpu = process.cpuUsage();
      decideAll();
      const { user, system } = process.cpuUsage(cpu);
      result.push({
        what: `one decision over 5 000 clusters, ${NAMES[at]}${explains ? ", with reasons" : ""}, CPU time`,
        value: (user + system) / 1000 / ROUNDS,
        unit: "ms",
        goal: 5,
      });
    }
  for (const at of [0, 1]) {
    const cpu = process.cpuUsage();
    for (let round = 0; round < ROUNDS; round++)
      decide(aBinding(round, 5_000, PLACEMENTS[at] as Placement, `${2_000 + at * ROUNDS + round}m`), many, true);
    const { user, system } = process.cpuUsage(cpu);
    result.push({
      what: `one decision over 5 000 clusters, ${NAMES[at]}, a request never seen before, CPU time`,
      value: (user + system) / 1000 / ROUNDS,
      unit: "ms",
      goal: 5,
    });
  }
  for (const replicas of [1, 1_000_000]) {
    const startMs = performance.now();
    for (let round = 0; round < 500; round++) decide(aBinding(0, replicas), hundred);
    const value = (performance.now() - startMs) / 500;
    result.push({ what: `one decision over 100 clusters, ${replicas} replicas`, value, unit: "ms", goal: 0.2 });
  }
  return result;
}
