/**
 * Dependencies distributor: what a workload needs goes where the workload goes (`propagateDeps`).
 *
 * The binding of a workload is *independent*; for each ConfigMap, Secret, … its template names, an *attached* binding lists
 * the clusters of all bindings that need it in `spec.requiredBy`. Templates without a namespace may need namespaced ones too,
 * where the option says so. The scheduler leaves attached bindings alone. It never
 * writes Works and never deletes an attached binding: that goes with its own template.
 */
import {
  type AnyBinding,
  BINDING_DEPENDED_BY_PREFIX,
  BINDING_DEPENDENCIES,
  ClusterResourceBinding,
  DEPENDENCIES_FINALIZER,
  ResourceBinding,
} from "#apis/karmada";
import { cacheIndex, type Change, type ControllerContext, defineController } from "#controller-runtime";
import { DEPENDED_BY_INDEX, DEPENDS_ON_INDEX, type DistributorDeps, type DistributorOptions } from "./context.ts";
import { dependencyKeys, recordedDependencies } from "./plan.ts";
import { reconcile } from "./reconcile.ts";

export type { DistributorDeps, DistributorOptions } from "./context.ts";
export {
  type DependencyReference,
  detached,
  hasConflict,
  matchesDependency,
  planAttached,
  recordedDependencies,
} from "./plan.ts";

const whatItNeeds = ({ metadata }: AnyBinding): readonly string[] =>
  dependencyKeys(recordedDependencies(metadata.annotations?.[BINDING_DEPENDENCIES]));

export const dependenciesDistributor = defineController<DistributorDeps, DistributorOptions>({
  name: "dependencies-distributor",
  reconciles: [ResourceBinding, ClusterResourceBinding],
  when: isConcerned,
  indexes: [
    cacheIndex(ResourceBinding, DEPENDED_BY_INDEX, ({ metadata }: ResourceBinding) =>
      Object.keys(metadata.labels ?? {}).flatMap((key) =>
        key.startsWith(BINDING_DEPENDED_BY_PREFIX) ? [key.slice(BINDING_DEPENDED_BY_PREFIX.length)] : [],
      ),
    ),
    cacheIndex(ResourceBinding, DEPENDS_ON_INDEX, whatItNeeds),
    cacheIndex(ClusterResourceBinding, DEPENDS_ON_INDEX, whatItNeeds),
  ],
  writes: [
    { kind: ResourceBinding, verbs: ["create", "update"] },
    { kind: ClusterResourceBinding, verbs: ["update"] },
  ],
  options: { unclaimedBindings: "freeze", clusterScopedDependencies: false, concurrentSyncs: 64 },
  concurrency: ({ concurrentSyncs }) => concurrentSyncs,
  reconcile,
});

function isConcerned(change: Change, { options }: ControllerContext<DistributorDeps, DistributorOptions>): boolean {
  const now = change.object as ResourceBinding;
  if (change.type === "deleted") return false;
  const isMarked = (now.metadata.finalizers ?? []).includes(DEPENDENCIES_FINALIZER);
  if (!now.metadata.namespace && !options.clusterScopedDependencies && !isMarked) return false;
  if (change.type === "added")
    return isMarked || (now.spec.propagateDeps === true && (now.spec.clusters ?? []).length > 0);
  const old = change.old as ResourceBinding;
  return (
    now.metadata.generation !== old.metadata.generation &&
    (now.spec.propagateDeps === true || old.spec.propagateDeps === true || isMarked)
  );
}
