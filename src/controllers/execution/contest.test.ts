import { describe, expect, it } from "vitest";
import type { KubeObject } from "#machinery";
import { Contests, contestMessage, differingPaths, managerOf, yieldFields } from "./contest.ts";

const deployment = (replicas: number, image = "a:1", more: object = {}) =>
  ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "shop", ...more },
    spec: { replicas, template: { spec: { containers: [{ name: "app", image }] } } },
  }) as unknown as KubeObject;
const managedFields = [
  {
    manager: "karmada-controller-manager",
    operation: "Update",
    time: "2026-01-01T00:00:00Z",
    fieldsV1: { "f:spec": { "f:template": {} } },
  },
  {
    manager: "kube-controller-manager",
    operation: "Update",
    time: "2026-01-02T00:00:00Z",
    fieldsV1: { "f:spec": { "f:replicas": {} } },
  },
  {
    manager: "kubelet",
    operation: "Update",
    subresource: "status",
    time: "2026-01-03T00:00:00Z",
    fieldsV1: { "f:spec": { "f:replicas": {} } },
  },
];

describe("a contested field", () => {
  it("is told by its way and by who set it last", () => {
    const observed = deployment(5, "a:1", { managedFields });
    expect(differingPaths(deployment(2), observed)).toEqual([["spec", "replicas"]]);
    expect(managerOf(observed, ["spec", "replicas"])).toBe("kube-controller-manager");
    expect(managerOf(observed, ["spec", "template", "spec", "containers", 0, "image"])).toBe("somebody");
    expect(differingPaths(deployment(2, "a:2"), observed)).toEqual([
      ["spec", "replicas"],
      ["spec", "template", "spec", "containers", 0, "image"],
    ]);
  });

  it("is left to the member after four repairs within five minutes, and only that field", () => {
    const contests = new Contests();
    const manifest = deployment(2);
    // As a foreign member's cache has it, and as the member itself says.
    const observed = deployment(5, "a:1");
    const witness = deployment(5, "a:1", { managedFields });
    const repair = (nowMs: number) => {
      const asked = contests.isPressing("k") ? witness : undefined;
      const fresh = contests.yieldNow("k", manifest, manifest, observed, nowMs, asked);
      if (fresh.length === 0) contests.noteRepair("k", manifest, manifest, observed, nowMs);
      return fresh;
    };
    expect([repair(0), repair(1_000), repair(2_000)]).toEqual([[], [], []]);
    const [fresh] = repair(3_000);
    expect(fresh).toMatchObject({ path: ["spec", "replicas"], manager: "kube-controller-manager", ours: 2, theirs: 5 });
    expect(yieldFields(deployment(2, "a:2"), deployment(7), contests.yieldedFor("k", manifest))).toEqual(
      deployment(7, "a:2"),
    );
    expect(contestMessage(manifest, contests.yieldedFor("k", manifest))).toBe(
      "spec.replicas of Deployment shop/web is set to 5 by kube-controller-manager and to 2 by its template; it is left to the member",
    );
    // Another manifest begins anew.
    expect(contests.yieldedFor("k", deployment(3))).toEqual([]);
    expect(repair(4_000)).toEqual([]);
  });

  it("is not contested by tries that did not go through", () => {
    const contests = new Contests();
    for (let times = 0; times < 10; times++)
      expect(contests.yieldNow("k", deployment(2), deployment(2), deployment(5), times)).toEqual([]);
  });

  it("is not contested by repairs that are far apart", () => {
    const contests = new Contests();
    for (let times = 0; times < 10; times++) {
      const nowMs = times * 120_000;
      expect(contests.yieldNow("k", deployment(2), deployment(2), deployment(5), nowMs)).toEqual([]);
      contests.noteRepair("k", deployment(2), deployment(2), deployment(5), nowMs);
    }
  });
});
