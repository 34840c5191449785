import { expect, test } from "vitest";
import type { MetricLabels } from "#base";
import { Queued } from "./queued.ts";

/** A gauge that can be read. */
function readable() {
  const values = new Map<string, number>();
  const keyOf = (labels: MetricLabels | undefined) => `${labels?.["member_cluster"]} ${labels?.["resource_kind"]}`;
  return {
    values,
    set: (value: number, labels?: MetricLabels) => void values.set(keyOf(labels), value),
    remove: (labels: MetricLabels) => void values.delete(keyOf(labels)),
  };
}

test("§18 eviction_kind_total counts each waiting workload once, however often it is looked at, and forgets what has left", () => {
  const gauge = readable();
  const queued = new Queued(gauge);
  queued.put("a", "Deployment", ["m1"]);
  queued.put("a", "Deployment", ["m1"]);
  queued.put("b", "Deployment", ["m1", "m2"]);
  queued.put("c", "Job", ["m2"]);
  queued.put("d", "Job", []);
  expect([...gauge.values]).toEqual([
    ["m1 Deployment", 2],
    ["m2 Deployment", 1],
    ["m2 Job", 1],
  ]);
  queued.put("b", "Deployment", ["m2"]);
  queued.put("c", "", []);
  queued.put("c", "", []);
  expect([...gauge.values]).toEqual([
    ["m1 Deployment", 1],
    ["m2 Deployment", 1],
  ]);
  queued.put("a", "", []);
  queued.put("b", "", []);
  expect(gauge.values.size).toBe(0);
});
