import { describe, expect, test } from "vitest";
import type { AnyBinding, Cluster, GracefulEvictionTask } from "#apis/karmada";
import { leavingText, nowhereHint, outageHint, toleratedText } from "./evictions.ts";

const NOW = Date.parse("2026-01-01T00:01:00Z");
const cluster = (
  ready: string | undefined,
  more: { readonly held?: boolean; readonly effect?: string } = {},
): Cluster =>
  ({
    apiVersion: "cluster.karmada.io/v1alpha1",
    kind: "Cluster",
    metadata: { name: "m1" },
    spec: {
      syncMode: "Push",
      taints: more.effect === undefined ? [] : [{ key: "k", effect: more.effect, timeAdded: "2026-01-01T00:00:00Z" }],
    },
    status: {
      conditions: [
        ...(ready === undefined ? [] : [{ type: "Ready", status: ready }]),
        ...(more.held === true ? [{ type: "EvictionHeld", status: "True" }] : []),
      ],
    },
  }) as unknown as Cluster;
const binding = (task?: Partial<GracefulEvictionTask>): AnyBinding =>
  ({
    kind: "ResourceBinding",
    metadata: { name: "web" },
    spec: {
      ...(task === undefined
        ? {}
        : {
            gracefulEvictionTasks: [
              {
                fromCluster: "m1",
                reason: "TaintUntolerated",
                producer: "TaintManager",
                creationTimestamp: "2026-01-01T00:00:48Z",
                ...task,
              },
            ],
          }),
    },
  }) as unknown as AnyBinding;

describe("a copy in a cluster that is no target any more", () => {
  test.each([
    ["is on its way out of a cluster that is well", undefined, cluster("True"), "m1: it is being withdrawn"],
    [
      "waits for a cluster that cannot be reached",
      undefined,
      cluster("False"),
      "m1: it is withdrawn as soon as the cluster is ready again",
    ],
    [
      "stays for the new ones",
      { purgeMode: "Gracefully" },
      cluster("False"),
      "m1: evicted 12s ago for TaintUntolerated by TaintManager; the copy stays until every new one is healthy, or the grace period is over",
    ],
    [
      "stays for the time its task names",
      { gracePeriodSeconds: 30 },
      cluster("True"),
      "m1: evicted 12s ago for TaintUntolerated by TaintManager; the copy stays until every new one is healthy, or 30 s are over",
    ],
    [
      "goes first",
      { purgeMode: "Directly", creationTimestamp: undefined },
      cluster("True"),
      "m1: evicted for TaintUntolerated by TaintManager; the copy goes before a new one is made",
    ],
    [
      "is left to a person",
      { purgeMode: "Never", suppressDeletion: true },
      cluster("True"),
      "m1: evicted 12s ago for TaintUntolerated by TaintManager; the copy stays until somebody sets suppressDeletion: false on its task",
    ],
  ] as const)("%s", (_what, task, of, text) => {
    expect(leavingText("m1", binding(task as Partial<GracefulEvictionTask> | undefined), of, NOW)).toBe(text);
  });
});

describe("what to do next", () => {
  test("where no cluster takes a workload goes by what they were refused for", () => {
    const taint = (key: string) => ({
      plugin: "TaintToleration",
      reason: `cluster(s) had untolerated taint {${key}:NoSchedule}`,
    });
    expect(nowhereHint([taint("mine"), taint("cluster.karmada.io/not-ready")])).toContain("bring a cluster back");
    expect(nowhereHint([taint("mine")])).toContain("take a taint away");
    expect(nowhereHint([{ plugin: "ClusterEviction", reason: "cluster(s) is in the process of eviction" }])).toContain(
      "wait until the eviction is over",
    );
    expect(nowhereHint([])).toContain("change the placement of the policy");
  });

  test("about targets that are not ready goes by whether anything leaves them, and by the brake", () => {
    expect(outageHint([cluster("True"), cluster("False")])).toContain("nothing leaves it without a NoExecute taint");
    expect(outageHint([cluster("False", { effect: "NoExecute" })])).toContain("let failover move the workload");
    const tolerant = (more: object) =>
      ({
        ...binding(),
        spec: { placement: { clusterTolerations: [{ key: "k", operator: "Exists", effect: "NoExecute", ...more }] } },
      }) as unknown as AnyBinding;
    const tainted = cluster("False", { effect: "NoExecute" });
    expect(outageHint([tainted], tolerant({}))).toContain("the policy tolerates its taints for ever");
    expect([
      toleratedText(tolerant({}), tainted, NOW),
      toleratedText(tolerant({ tolerationSeconds: 90 }), tainted, NOW),
      toleratedText(tolerant({ tolerationSeconds: 30 }), tainted, NOW),
      toleratedText(binding(), tainted, NOW),
      toleratedText(tolerant({}), cluster("False"), NOW),
    ]).toEqual(["tolerated for ever", "tolerated for another 30s", undefined, undefined, undefined]);
    expect(outageHint([cluster("False", { effect: "NoExecute", held: true })])).toContain(
      "flotilla release evictions m1",
    );
  });
});
