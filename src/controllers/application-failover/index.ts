/**
 * Application failover: a copy that has been unhealthy for longer than its policy tolerates is taken out of its cluster,
 * with a task that says how the old copy goes and what of its state the new one is to carry. It asks nobody whether there
 * is a better place: that is the scheduler's.
 */
import { type AnyBinding, ClusterResourceBinding, ResourceBinding } from "#apis/karmada";
import { defineController } from "#controller-runtime";
import type { ApplicationFailoverDeps } from "./context.ts";
import { reconcile } from "./reconcile.ts";

export const applicationFailover = defineController<ApplicationFailoverDeps, Record<string, never>>({
  name: "applicationFailover",
  reconciles: [ResourceBinding, ClusterResourceBinding],
  reconcilers: [
    "resource-binding-application-failover-controller",
    "cluster-resource-binding-application-failover-controller",
  ],
  when: (change) =>
    (change.object as AnyBinding).spec.failover?.application !== undefined ||
    (change.type === "updated" && (change.old as AnyBinding).spec.failover?.application !== undefined),
  writes: [
    { kind: ResourceBinding, verbs: ["update"] },
    { kind: ClusterResourceBinding, verbs: ["update"] },
  ],
  options: {},
  reconcile,
});
