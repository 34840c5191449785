import { describe, expect, it } from "vitest";
import type { KubeObject } from "#machinery";
import { karmadaConversions } from "./binding-conversion.ts";

const conversion = karmadaConversions.get("work.karmada.io/v1alpha1/resourcebindings") as NonNullable<
  ReturnType<typeof karmadaConversions.get>
>;

const stored = {
  apiVersion: "work.karmada.io/v1alpha2",
  kind: "ResourceBinding",
  metadata: { name: "web-deployment", namespace: "default" },
  spec: {
    resource: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      namespace: "default",
      name: "web",
      resourceVersion: "7",
      uid: "u-1",
    },
    replicas: 3,
    replicaRequirements: { resourceRequest: { cpu: "100m" }, namespace: "default" },
    clusters: [
      { name: "m1", replicas: 2 },
      { name: "m2", replicas: 1 },
    ],
    placement: { clusterAffinity: { clusterNames: ["m1", "m2"] } },
    propagateDeps: true,
  },
  status: {
    schedulerObservedGeneration: 4,
    conditions: [{ type: "Scheduled" }],
    aggregatedStatus: [{ clusterName: "m1", applied: true, health: "Healthy" }],
  },
} as unknown as KubeObject;

describe("bindings of v1alpha1", () => {
  it("show what that version has words for", () => {
    expect(conversion.fromStored(stored)).toMatchObject({
      spec: {
        resource: { name: "web", resourceVersion: "7", replicas: 3, resourcePerReplicas: { cpu: "100m" } },
        clusters: [
          { name: "m1", replicas: 2 },
          { name: "m2", replicas: 1 },
        ],
      },
      status: { conditions: [{ type: "Scheduled" }], aggregatedStatus: [{ clusterName: "m1", applied: true }] },
    });
    expect(conversion.fromStored(stored)).not.toHaveProperty("spec.placement");
  });

  it("come back whole when nothing was changed", () => {
    expect(conversion.toStored({ ...conversion.fromStored(stored), apiVersion: stored.apiVersion }, stored)).toEqual(
      stored,
    );
  });

  it("change only what the client changed", () => {
    const shown = conversion.fromStored(stored) as KubeObject & { readonly spec: Readonly<Record<string, unknown>> };
    const changed = { ...shown, spec: { ...shown.spec, clusters: [{ name: "m2", replicas: 3 }] } };
    expect(conversion.toStored(changed, stored)).toMatchObject({
      spec: { clusters: [{ name: "m2", replicas: 3 }], propagateDeps: true, resource: { uid: "u-1" } },
      status: { schedulerObservedGeneration: 4 },
    });
  });
});
