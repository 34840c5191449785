import { type AnyBinding, Cluster, ClusterResourceBinding, ResourceBinding } from "#apis/karmada";
import { exponentialBackoff } from "#base";
import { cacheIndex, defineController } from "#controller-runtime";
import { placeNew } from "./newborn.ts";
import type { SchedulerDeps, SchedulerOptions } from "./options.ts";
import { reconcile, tellPending } from "./reconcile.ts";
import { affinityClass } from "./state.ts";
import { AFFINITY_INDEX, bindingWakes, clusterWakes } from "./wakes.ts";

const classesOf = (binding: AnyBinding): readonly string[] => {
  const found = affinityClass(binding);
  return found === undefined ? [] : [found];
};

export const schedulerController = defineController<SchedulerDeps, SchedulerOptions>({
  name: "scheduler",
  reconciles: [ResourceBinding, ClusterResourceBinding],
  // Bindings wake through `bindingWakes`, which knows their priority.
  when: () => false,
  wakes: [bindingWakes(ResourceBinding), bindingWakes(ClusterResourceBinding), clusterWakes],
  indexes: [
    cacheIndex(ResourceBinding, "workloadGroup", ({ metadata, spec }: ResourceBinding) =>
      [spec.workloadAffinityGroups?.affinityGroup, spec.workloadAffinityGroups?.antiAffinityGroup].flatMap((group) =>
        group ? [`${metadata.namespace}/${group}`] : [],
      ),
    ),
    cacheIndex(ResourceBinding, AFFINITY_INDEX, classesOf),
    cacheIndex(ClusterResourceBinding, AFFINITY_INDEX, classesOf),
  ],
  reads: [Cluster],
  writes: [
    { kind: ResourceBinding, verbs: ["patch"], subresources: ["status"] },
    { kind: ClusterResourceBinding, verbs: ["patch"], subresources: ["status"] },
  ],
  options: {
    schedulerName: "default-scheduler",
    plugins: "*",
    enableEmptyWorkloadPropagation: false,
    unclaimedBindings: "freeze",
    concurrentWrites: 128,
    plainBackoff: exponentialBackoff({ baseMs: 5, maxMs: 1_000_000 }),
  },
  // The decision itself is synchronous; several bindings only overlap while their results are written.
  concurrency: ({ concurrentWrites }) => concurrentWrites,
  start(context) {
    tellPending(context);
    context.deps.placesNew?.(placeNew(context));
  },
  reconcile,
});
