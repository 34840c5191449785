import { describe, expect, it } from "vitest";
import type { AnyBinding } from "#apis/karmada";
import { failedOver, planFailover } from "./plan.ts";

const binding = (more: object = {}, health: readonly (readonly [string, string])[] = [["m1", "Unhealthy"]]) =>
  ({
    kind: "ResourceBinding",
    metadata: { namespace: "default", name: "web" },
    spec: {
      resource: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
      propagateDeps: true,
      clusters: [{ name: "m1", replicas: 2 }, { name: "m2" }],
      failover: { application: { decisionConditions: { tolerationSeconds: 30 }, purgeMode: "Directly" } },
      ...more,
    },
    status: { aggregatedStatus: health.map(([clusterName, state]) => ({ clusterName, health: state, status: {} })) },
  }) as unknown as AnyBinding;
const facts = (nowMs: number, hasHealth = true) => ({ nowMs, hasHealth });

describe("which copies are due", () => {
  const cases: Readonly<Record<string, readonly [AnyBinding, number | undefined, number, readonly string[], number?]>> =
    {
      "first sight starts the wait": [binding(), undefined, 1_000, [], 30_000],
      "in the middle of it": [binding(), 1_000, 21_000, [], 10_000],
      "D-9 exactly at its end": [binding(), 1_000, 31_000, ["m1"]],
      "D-9 a tolerance of 0 at first sight": [
        binding({ failover: { application: { decisionConditions: { tolerationSeconds: 0 } } } }),
        undefined,
        1_000,
        ["m1"],
      ],
      "FO-2 healthy again": [binding({}, [["m1", "Healthy"]]), 1_000, 90_000, []],
      "FO-2 not known": [binding({}, [["m1", "Unknown"]]), 1_000, 90_000, []],
      "FO-2 with a task already": [
        binding({ gracefulEvictionTasks: [{ fromCluster: "m1", reason: "x", producer: "y" }] }),
        1_000,
        90_000,
        [],
      ],
      "FO-1 without failover": [binding({ failover: {} }), 1_000, 90_000, []],
      "FO-1 without propagateDeps": [binding({ propagateDeps: false }), 1_000, 90_000, []],
      "FO-5 both at once": [
        binding({}, [
          ["m1", "Unhealthy"],
          ["m2", "Unhealthy"],
        ]),
        1_000,
        90_000,
        ["m1"],
      ],
    };
  for (const [title, [object, sinceMs, nowMs, due, recheckMs]] of Object.entries(cases))
    it(title, () => {
      const plan = planFailover(object, sinceMs === undefined ? undefined : new Map([["m1", sinceMs]]), facts(nowMs));
      expect(plan.due).toEqual(due);
      if (recheckMs !== undefined) expect(plan.recheckMs).toBe(recheckMs);
    });

  it("FO-1 nobody can judge the kind: no timers", () => {
    expect(planFailover(binding(), new Map([["m1", 0]]), facts(90_000, false)).timers.size).toBe(0);
  });

  it("FO-4 Gracefully needs its gate", () => {
    const graceful = binding({ failover: { application: { purgeMode: "Gracefully", gracePeriodSeconds: 5 } } });
    const options = { producer: "p", isGraceful: false, preservesState: false, withoutState: new Set<string>() };
    expect(() => failedOver(graceful, ["m1"], options)).toThrow(/GracefulEviction/);
    expect(failedOver(graceful, ["m1"], { ...options, isGraceful: true }).binding.spec.gracefulEvictionTasks).toEqual([
      {
        fromCluster: "m1",
        purgeMode: "Gracefully",
        replicas: 2,
        reason: "ApplicationFailure",
        producer: "p",
        gracePeriodSeconds: 5,
      },
    ]);
  });
});
