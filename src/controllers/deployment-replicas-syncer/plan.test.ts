import { describe, expect, test } from "vitest";
import type { ResourceBinding } from "#apis/karmada";
import type { Deployment } from "#apis/kubernetes";
import { planReplicas } from "./index.ts";

const deployment = (replicas: number, actual: number, label = "true") =>
  ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "a", labels: { "resourcetemplate.karmada.io/retain-replicas": label } },
    spec: { replicas },
    status: { replicas: actual },
  }) as unknown as Deployment;
const binding = (replicas: number, counts: readonly number[], type = "Divided", observed = 1) =>
  ({
    metadata: { generation: 1 },
    spec: {
      replicas,
      placement: { replicaScheduling: { replicaSchedulingType: type } },
      clusters: counts.map((_count, at) => ({ name: `m${at}` })),
    },
    status: {
      schedulerObservedGeneration: observed,
      aggregatedStatus: counts.map((count, at) => ({ clusterName: `m${at}`, status: { replicas: count } })),
    },
  }) as unknown as ResourceBinding;

describe("replicas of a template whose members scale themselves", () => {
  test.each([
    [
      "members went from 4 to 6: the template follows",
      deployment(4, 6),
      binding(4, [3, 3]),
      { action: "set", replicas: 6 },
    ],
    ["a manual number snaps back", deployment(10, 6), binding(10, [3, 3]), { action: "set", replicas: 6 }],
    ["nothing to do when they agree", deployment(6, 6), binding(6, [3, 3]), { action: "none" }],
    ["duplicated ones are never rewritten", deployment(4, 6), binding(4, [3, 3], "Duplicated"), { action: "none" }],
    ["without the label it is none of its business", deployment(4, 6, "false"), binding(4, [3, 3]), { action: "none" }],
    ["a cluster with no replicas lets manual edits stand", deployment(4, 6), binding(4, [6, 0]), { action: "wait" }],
    ["a sum that is not complete waits", deployment(4, 6), binding(4, [3, 2]), { action: "wait" }],
    ["a binding behind the template waits", deployment(4, 6), binding(5, [3, 3]), { action: "wait" }],
    [
      "a binding the scheduler has not seen waits",
      deployment(4, 6),
      binding(4, [3, 3], "Divided", 0),
      { action: "wait" },
    ],
    ["no binding", deployment(4, 6), undefined, { action: "none" }],
  ])("%s", (_title, template, of, expected) => expect(planReplicas(template, of)).toEqual(expected));
});
