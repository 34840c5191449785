import { expect, test } from "vitest";
import type { KubeObject } from "#machinery";
import { createInterpreter, nativeSource } from "./interpreter.ts";

const interpreter = createInterpreter([nativeSource]);
const own = { conditions: [{ type: "Own" }], observedGeneration: 3 };

test.each([
  [
    "v1/Pod",
    { ...own, podIP: "10.0.0.1", phase: "Pending" },
    { phase: "Running" },
    { ...own, podIP: "10.0.0.1", phase: "Running" },
  ],
  [
    "v1/Service",
    { ...own, loadBalancer: { ingress: [{ ip: "1.1.1.1" }] } },
    { loadBalancer: { ingress: [{ ip: "2.2.2.2" }] } },
    { ...own, loadBalancer: { ingress: [{ ip: "2.2.2.2" }] } },
  ],
  [
    "v1/PersistentVolume",
    { lastPhaseTransitionTime: "t", phase: "Available" },
    { phase: "Bound" },
    { lastPhaseTransitionTime: "t", phase: "Bound" },
  ],
  [
    "policy/v1/PodDisruptionBudget",
    { ...own, currentHealthy: 0, disruptedPods: { gone: "t" } },
    { currentHealthy: 2, desiredHealthy: 1, expectedPods: 2, disruptionsAllowed: 1 },
    { ...own, currentHealthy: 2, desiredHealthy: 1, expectedPods: 2, disruptionsAllowed: 1 },
  ],
  [
    "autoscaling/v2/HorizontalPodAutoscaler",
    { ...own, currentMetrics: [{ type: "Resource" }], currentReplicas: 9, desiredReplicas: 9 },
    { currentReplicas: 1, desiredReplicas: 2 },
    { ...own, currentMetrics: [{ type: "Resource" }], currentReplicas: 1, desiredReplicas: 2 },
  ],
])("§8.4 the status of a template of kind %s keeps what is not summed up", (key, before, reported, after) => {
  const slash = key.lastIndexOf("/");
  const template = {
    apiVersion: key.slice(0, slash),
    kind: key.slice(slash + 1),
    metadata: { name: "o", namespace: "default" },
    spec: { type: "LoadBalancer" },
    status: before,
  } as unknown as KubeObject;
  const items = [{ clusterName: "m1", status: reported, applied: true }];
  expect(interpreter.templateStatus(template, items, 0)).toEqual(after);
  // What upstream answers is still to be had.
  expect(interpreter.aggregate(template, items, 0)).not.toMatchObject(
    "podIP" in before ? { podIP: before.podIP } : { conditions: own.conditions, lastPhaseTransitionTime: "t" },
  );
});
