import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Cluster } from "#apis/karmada";
import type { Node, Pod } from "#apis/kubernetes";
import { systemClock, silentLogger } from "#base";
import {
  createEstimatorPool,
  estimateNodeReplicas,
  estimateNodeSets,
  estimateReplicas,
  estimateSets,
  NodeAccounts,
  summariseNodes,
  UNKNOWN,
} from "./index.ts";
import { type NodeGroup, packSets, type Part, place } from "./packing.ts";

/** Packs the plain way: one set after another until one does not fit. */
function packPlainly(nodes: readonly NodeGroup[], parts: readonly Part[], bound: number): number {
  let groups = nodes;
  let sets = 0;
  while (sets < bound) {
    for (const part of parts) {
      const placed = place(groups, part);
      if (placed.left > 0) return sets;
      groups = placed.groups;
    }
    sets++;
  }
  return sets;
}

const amount = fc.integer({ min: 0, max: 12 });
const demand = fc.record({ cpu: fc.integer({ min: 0, max: 5 }), memory: fc.integer({ min: 0, max: 5 }) });
const room = fc.record({
  cpu: amount,
  memory: amount,
  pods: fc.integer({ min: 0, max: 9 }),
  count: fc.integer({ min: 1, max: 40 }),
});
const asMap = (of: Readonly<Record<string, number>>) => new Map(Object.entries(of).filter(([, value]) => value > 0));

const cluster = (
  models: readonly [cpu: string, memory: string, count: number][],
  pods: string,
  allocatable: Readonly<Record<string, string>> = {},
): Cluster => ({
  apiVersion: "cluster.karmada.io/v1alpha1",
  kind: "Cluster",
  metadata: { name: "m1" },
  spec: {
    syncMode: "Push",
    resourceModels: models.map(([cpu, memory], grade) => ({
      grade,
      ranges: [
        { name: "cpu", min: cpu, max: "9223372036854775807" },
        { name: "memory", min: memory, max: "9223372036854775807" },
      ],
    })),
  },
  status: {
    resourceSummary: {
      allocatable: { pods, ...allocatable },
      allocatableModelings: models.map(([, , count], grade) => ({ grade, count })),
    },
  },
});

describe("packing of equal nodes as one group", () => {
  it("gives what packing one set after another gives", () => {
    fc.assert(
      fc.property(
        fc.array(room, { maxLength: 4 }),
        fc.array(fc.record({ replicas: fc.integer({ min: 1, max: 4 }), demand }), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 0, max: 400 }),
        (rooms, wanted, bound) => {
          const groups = rooms.map(
            ({ count, pods, cpu, memory }): NodeGroup => ({
              count,
              pods,
              free: new Map([
                ["cpu", cpu],
                ["memory", memory],
              ]),
              index: 0,
            }),
          );
          const parts = wanted.map(({ replicas, demand: one }): Part => ({ replicas, demand: asMap(one) }));
          expect(packSets(groups, parts, bound)).toBe(packPlainly(groups, parts, bound));
        },
      ),
      { numRuns: 400 },
    );
  });

  it("counts sets on a million nodes without walking them", () => {
    const nodes: NodeGroup[] = [{ count: 1_000_000, free: new Map([["cpu", 10_000]]), pods: 110, index: 0 }];
    const parts: Part[] = [
      { replicas: 1, demand: new Map([["cpu", 1_000]]) },
      { replicas: 2, demand: new Map([["cpu", 2_000]]) },
    ];
    // A walk over every node and set would not end within the test's time.
    expect(packSets(nodes, parts, Number.POSITIVE_INFINITY)).toBe(2_000_000);
  });
});

describe("general estimator", () => {
  it("answers for models with any number of nodes and tiny requests", () => {
    const huge = cluster(
      [
        ["0", "0", 5],
        ["2", "4Gi", 400_000],
      ],
      "44000000",
    );
    expect(estimateReplicas(huge, { resourceRequest: { cpu: "1m" } })).toBe(400_000 * 110);
    expect(estimateReplicas(huge, { resourceRequest: { cpu: "500m" } })).toBe(1_600_000);
  });

  it("reads resources outside the models from the summary", () => {
    const withGpu = cluster([["4", "16Gi", 10]], "1000", { "nvidia.com/gpu": "6" });
    expect(estimateReplicas(withGpu, { resourceRequest: { cpu: "1", "nvidia.com/gpu": "2" } })).toBe(3);
    expect(estimateReplicas(withGpu, { resourceRequest: { cpu: "1", "example.com/none": "1" } })).toBe(0);
  });

  it("puts assumed workloads first", () => {
    const one = cluster([["4", "16Gi", 1]], "100", { cpu: "4", memory: "16Gi" });
    const assumed = [
      {
        namespace: "a",
        components: [{ name: "x", replicas: 3, replicaRequirements: { resourceRequest: { cpu: "1" } } }],
      },
    ];
    expect(estimateReplicas(one, { resourceRequest: { cpu: "1" } }, { assumed })).toBe(1);
    expect(
      estimateSets(one, [{ name: "x", replicas: 2, replicaRequirements: { resourceRequest: { cpu: "1" } } }], {
        assumed,
      }),
    ).toBe(0);
  });

  it("answers 0 for unreadable and negative figures", () => {
    const broken = cluster([], "ten pods");
    expect(estimateReplicas(broken, undefined)).toBe(0);
    expect(estimateReplicas(cluster([], "-5"), undefined)).toBe(0);
  });
});

const node = (name: string, cpu: string, labels = {}): Node => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name, labels },
  spec: {},
  status: { allocatable: { cpu, memory: "64Gi", pods: "10" } },
});
const pod = (name: string, nodeName: string, cpu: string, phase = "Running"): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: { nodeName, containers: [{ name: "c", resources: { requests: { cpu } } }] },
  status: { phase },
});

describe("node accounts", () => {
  it("is after any changes what a fresh summary is", () => {
    const change = fc.record({
      pod: fc.integer({ min: 0, max: 5 }),
      node: fc.integer({ min: 0, max: 2 }),
      cpu: fc.integer({ min: 1, max: 3 }),
      does: fc.constantFrom("set", "finish", "remove"),
    });
    fc.assert(
      fc.property(fc.array(change), (changes) => {
        const accounts = new NodeAccounts();
        const nodes = ["n0", "n1", "n2"].map((name) => node(name, "8"));
        for (const one of nodes) accounts.setNode(one);
        const present = new Map<string, Pod>();
        for (const { pod: number, node: at, cpu, does } of changes) {
          const changed = pod(`p${number}`, `n${at}`, String(cpu), does === "finish" ? "Succeeded" : "Running");
          if (does === "remove") {
            accounts.removePod(changed);
            present.delete(changed.metadata.name ?? "");
          } else {
            accounts.setPod(changed);
            present.set(changed.metadata.name ?? "", changed);
          }
        }
        expect(accounts.classes()).toEqual(summariseNodes(nodes, [...present.values()]));
      }),
    );
  });

  it("answers for a class of equal nodes as for the nodes one by one", () => {
    const nodes = Array.from({ length: 50 }, (_, at) => node(`n${at}`, "7"));
    const [first] = summariseNodes([nodes[0] as Node], []);
    const components = [
      { name: "a", replicas: 2, replicaRequirements: { resourceRequest: { cpu: "2" } } },
      { name: "b", replicas: 1, replicaRequirements: { resourceRequest: { cpu: "1500m" } } },
    ];
    const asClass = { nodes: first === undefined ? [] : [{ ...first, count: 50 }] };
    expect(estimateNodeSets(asClass, components, undefined)).toBe(
      estimateNodeSets({ nodes: summariseNodes(nodes, []) }, components, undefined),
    );
    expect(estimateNodeReplicas(asClass, { resourceRequest: { cpu: "2" } })).toBe(150);
  });

  it("lets an empty list of affinity terms match no node", () => {
    const facts = { nodes: summariseNodes([node("n1", "8")], []) };
    expect(estimateNodeReplicas(facts, { nodeClaim: { hardNodeAffinity: { nodeSelectorTerms: [] } } })).toBe(0);
  });
});

describe("estimator pool", () => {
  it("keeps the answers of others when one cluster's estimator throws, hangs or answers nonsense", async () => {
    const pool = createEstimatorPool({ clock: systemClock, log: silentLogger, timeoutMs: 20 });
    const answering = (maxReplicas: () => Promise<number> | number) => ({
      maxReplicas,
      maxSets: () => UNKNOWN,
      unschedulableReplicas: () => UNKNOWN,
    });
    pool.set(
      "good",
      answering(async () => 7),
    );
    pool.set(
      "throws",
      answering(() => {
        throw new Error("no");
      }),
    );
    pool.set(
      "hangs",
      answering(() => new Promise(() => undefined)),
    );
    pool.set(
      "lies",
      answering(() => Number.NaN),
    );
    const answers = await pool.maxReplicas(undefined, { clusters: ["good", "throws", "hangs", "lies", "missing"] });
    expect(Object.fromEntries(answers)).toEqual({
      good: 7,
      throws: UNKNOWN,
      hangs: UNKNOWN,
      lies: UNKNOWN,
      missing: UNKNOWN,
    });
  });
});
