/**
 * Binding: one Work per target cluster of a ResourceBinding or ClusterResourceBinding.
 *
 * It renders the template with the cluster's replicas and overrides, removes Works from clusters that are no longer
 * wanted, and waits where the application must be gone before it starts elsewhere. A binding that no policy claims is
 * released: it stays as last rendered (`unclaimedBindings: "freeze"`). It never talks to a member.
 */
import {
  Cluster,
  CLUSTER_RESOURCE_BINDING_ID,
  ClusterOverridePolicy,
  ClusterResourceBinding,
  OverridePolicy,
  RESOURCE_BINDING_ID,
  ResourceBinding,
  Work,
} from "#apis/karmada";
import { cacheIndex, type ControllerContext, defineController, wake } from "#controller-runtime";
import { BINDING_ID_INDEX, type BindingDeps, type BindingOptions } from "./context.ts";
import { reconcile } from "./reconcile.ts";
import { bindingOfWork, bindingsConcernedBy } from "./wakes.ts";

export {
  describeBinding,
  divideCompletions,
  mustWaitForPurge,
  planOrphans,
  renderWorks,
  type RenderInput,
  targetsOf,
} from "./plan.ts";

export { BINDING_ID_INDEX, type BindingDeps, type BindingOptions } from "./context.ts";

export const bindingController = defineController<BindingDeps, BindingOptions>({
  name: "binding",
  reconciles: [ResourceBinding, ClusterResourceBinding],
  reconcilers: ["binding-controller", "cluster-resource-binding-controller"],
  when: (change) =>
    change.type !== "updated" ||
    change.object.metadata.generation !== change.old.metadata.generation ||
    change.object.metadata.labels !== change.old.metadata.labels,
  wakes: [
    wake(OverridePolicy, (change, context: ControllerContext<unknown, unknown>) =>
      bindingsConcernedBy(change, context as ControllerContext<BindingDeps, BindingOptions>),
    ),
    wake(ClusterOverridePolicy, (change, context: ControllerContext<unknown, unknown>) =>
      bindingsConcernedBy(change, context as ControllerContext<BindingDeps, BindingOptions>),
    ),
    wake(Work, (change, context: ControllerContext<unknown, unknown>) =>
      change.type === "deleted" ? bindingOfWork(change.object, context) : [],
    ),
  ],
  reads: [Cluster],
  indexes: [
    cacheIndex(Work, BINDING_ID_INDEX, ({ metadata }: Work) =>
      [RESOURCE_BINDING_ID, CLUSTER_RESOURCE_BINDING_ID].flatMap((key) =>
        metadata.labels?.[key] ? [metadata.labels[key]] : [],
      ),
    ),
  ],
  writes: [
    { kind: ResourceBinding, verbs: ["update"] },
    { kind: ClusterResourceBinding, verbs: ["update"] },
    { kind: Work, verbs: ["create", "update", "delete"] },
  ],
  options: { unclaimedBindings: "freeze", concurrentSyncs: 256 },
  concurrency: ({ concurrentSyncs }) => concurrentSyncs,
  reconcile,
});
