import { describe, expect, it } from "vitest";
import type { HorizontalPodAutoscaler, Pod } from "#apis/kubernetes";
import { type History, planReplicas, readMetric } from "./autoscaling.ts";
import { loadOf, usageByContainer, usageOf } from "./usage.ts";

const pod = (cpu: string | undefined, annotations?: Readonly<Record<string, string>>) =>
  ({
    metadata: { name: "p", ...(annotations === undefined ? {} : { annotations }) },
    spec: { containers: [{ name: "c", ...(!cpu ? {} : { resources: { requests: { cpu } } }) }] },
  }) as unknown as Pod;
const PREFIX = "simulator.flotilla.io/";

describe("what a pod uses", () => {
  it.each([
    ["half of what it requests", pod("200m"), undefined, 100],
    ["a little where it requests nothing", pod(undefined), undefined, 10],
    ["what its annotation says", pod("200m", { [`${PREFIX}cpu`]: "170m" }), undefined, 170],
    [
      "its share of the workload's load",
      pod("200m", { [`${PREFIX}cpu`]: "170m" }),
      { metadata: { annotations: { [`${PREFIX}load-cpu`]: "2" } }, status: { readyReplicas: 4 } },
      500,
    ],
  ])("is %s", (_, subject, workload, cpuMilli) => {
    expect(usageOf(subject, loadOf(workload as never)).cpuMilli).toBe(cpuMilli);
  });

  it("is divided among containers by what they request", () => {
    const two = {
      metadata: {},
      spec: {
        containers: [
          { name: "a", resources: { requests: { cpu: "300m" } } },
          { name: "b", resources: { requests: { cpu: "100m" } } },
        ],
      },
    } as unknown as Pod;
    expect(usageByContainer(two, { cpuMilli: 200, memoryBytes: 1000 })).toEqual([
      { name: "a", cpuMilli: 150, memoryBytes: 500 },
      { name: "b", cpuMilli: 50, memoryBytes: 500 },
    ]);
  });
});

describe("a metric", () => {
  const metric = {
    type: "Resource",
    resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 50 } },
  };
  const samples = (count: number, cpuMilli: number, cpu = "100m") =>
    Array.from({ length: count }, () => ({ pod: pod(cpu), usage: { cpuMilli, memoryBytes: 0 } }));
  it.each([
    ["asks for more when pods use more than wanted", samples(4, 100), 8],
    ["leaves things as they are within a tenth", samples(4, 54), 4],
    ["asks for less when pods use less", samples(4, 10), 1],
    ["asks for no more while those on their way will do", samples(3, 67), 4],
    ["counts on those on their way where they will not do", samples(3, 100), 6],
  ])("%s", (_, given, replicas) => {
    expect(readMetric(metric, given, 4)).toMatchObject({ replicas });
  });
  it.each([
    ["without pods", [], "FailedGetResourceMetric"],
    ["without requests", samples(1, 10, ""), "FailedGetResourceMetric"],
  ])("cannot be read %s", (_, given, reason) => {
    expect(readMetric(metric, given, 4)).toMatchObject({ reason });
  });
  it("that is none of resources is refused by name", () => {
    expect(readMetric({ type: "Pods" }, samples(1, 1), 1)).toEqual({
      reason: "FailedGetPodsMetric",
      problem: "a simulated member measures cpu and memory only",
    });
  });
});

describe("the next number of replicas", () => {
  type Spec = HorizontalPodAutoscaler["spec"];
  const spec = (behavior?: object) => ({ minReplicas: 2, maxReplicas: 20, behavior }) as unknown as Spec;
  const none: History = { recommendations: [], changes: [] };
  const plan = (current: number, asked: number, given = spec(), past = none, nowMs = 1_000_000) =>
    planReplicas(given, current, asked, past, nowMs);
  it.each([
    ["goes up by four or doubles, whichever is more", 3, 15, 7, "ScaleUpLimit"],
    ["doubles", 8, 19, 16, "ScaleUpLimit"],
    ["never exceeds the most", 12, 30, 20, "TooManyReplicas"],
    ["never falls below the fewest", 3, 0, 2, "TooFewReplicas"],
    ["is what is asked for in between", 4, 6, 6, "DesiredWithinRange"],
  ])("%s", (_, current, asked, replicas, reason) => {
    expect(plan(current, asked)).toMatchObject({ replicas, limited: { reason } });
  });

  it("falls only when nothing in five minutes asked for more", () => {
    const busy = { recommendations: [{ atMs: 900_000, replicas: 9 }], changes: [] };
    expect(plan(9, 3, spec(), busy).replicas).toBe(9);
    expect(plan(9, 3, spec(), busy, 1_200_001).replicas).toBe(3);
  });

  it("keeps to limits of its own, counting what changed within their time", () => {
    const slow = spec({ scaleUp: { policies: [{ type: "Pods", value: 2, periodSeconds: 60 }] } });
    const first = plan(4, 10, slow);
    expect(first.replicas).toBe(6);
    expect(plan(6, 10, slow, first.history, 1_015_000).replicas).toBe(6);
    expect(plan(6, 10, slow, first.history, 1_061_000).replicas).toBe(8);
    expect(plan(4, 10, spec({ scaleUp: { selectPolicy: "Disabled" } })).replicas).toBe(4);
  });
});
