/**
 * Taint manager: workloads leave clusters whose NoExecute taints they do not tolerate. It takes the cluster out of the
 * binding and leaves a graceful eviction task; everything else is the scheduler's and the graceful eviction controller's.
 * It paces itself, and holds back when so many clusters fail at once that the fault must lie elsewhere.
 */
import { type AnyBinding, Cluster, ClusterResourceBinding, ResourceBinding } from "#apis/karmada";
import { cacheIndex, type ControllerContext, defineController, wake, type Wakeup } from "#controller-runtime";
import { RELEASE_EVICTIONS } from "./brake.ts";
import type { TaintManagerDeps, TaintManagerOptions } from "./context.ts";
import { partsOf } from "./parts.ts";
import { noExecuteTaints, PRODUCER } from "./plan.ts";
import { reconcile } from "./reconcile.ts";

export { EVICTION_HELD, RELEASE_EVICTIONS } from "./brake.ts";

const targets = ({ spec }: AnyBinding) => (spec.clusters ?? []).map(({ name }) => name);
const leaving = ({ spec }: AnyBinding) =>
  (spec.gracefulEvictionTasks ?? [])
    .filter(({ producer }) => producer === PRODUCER)
    .map(({ fromCluster }) => fromCluster);

/** Bindings that run in a cluster, or were evicted from it by this controller. */
function bindingsOf(cluster: string, context: ControllerContext<unknown, unknown>): Wakeup[] {
  return [ResourceBinding, ClusterResourceBinding].flatMap((kind) => {
    const cache = context.cache(kind as typeof ResourceBinding);
    return [...cache.byIndex("cluster", cluster), ...cache.byIndex("evictedFrom", cluster)].map(({ metadata }) => ({
      kind,
      namespace: metadata.namespace,
      name: metadata.name ?? "",
    }));
  });
}

const isOn = (context: { readonly options: unknown }) =>
  (context.options as TaintManagerOptions).enableNoExecuteTaintEviction;

export const taintManager = defineController<TaintManagerDeps, TaintManagerOptions>({
  name: "taint-manager",
  reconciles: [ResourceBinding, ClusterResourceBinding],
  // A binding matters when it comes to a cluster that is to be left, and when an eviction may be moot.
  when: ({ type, object }, context) => {
    if (type === "deleted" || !isOn(context)) return false;
    const binding = object as AnyBinding;
    if (leaving(binding).length > 0) return true;
    return targets(binding).some((name) => {
      const cluster = context.cache(Cluster).get(name);
      return cluster !== undefined && noExecuteTaints(cluster).length > 0;
    });
  },
  wakes: [
    wake(Cluster, (change, context: ControllerContext<unknown, unknown>) => {
      if (change.type === "deleted" || !isOn(context)) return [];
      const name = change.object.metadata.name ?? "";
      const isTainted = noExecuteTaints(change.object).length > 0;
      if (change.type === "added") return isTainted ? bindingsOf(name, context) : [];
      const { object: now, old } = change;
      const hasChanged =
        now.metadata.generation !== old.metadata.generation ||
        now.metadata.annotations?.[RELEASE_EVICTIONS] !== old.metadata.annotations?.[RELEASE_EVICTIONS] ||
        now.status?.conditions !== old.status?.conditions;
      if (!hasChanged) return [];
      return isTainted || noExecuteTaints(old).length > 0 || now.metadata.generation === old.metadata.generation
        ? bindingsOf(name, context)
        : [];
    }),
  ],
  indexes: [
    cacheIndex(ResourceBinding, "cluster", targets),
    cacheIndex(ClusterResourceBinding, "cluster", targets as never),
    cacheIndex(ResourceBinding, "evictedFrom", leaving),
    cacheIndex(ClusterResourceBinding, "evictedFrom", leaving as never),
  ],
  writes: [
    { kind: ResourceBinding, verbs: ["update"] },
    { kind: ClusterResourceBinding, verbs: ["update"] },
    { kind: Cluster, verbs: ["update"], subresources: ["status"] },
  ],
  options: {
    enableNoExecuteTaintEviction: false,
    noExecuteTaintEvictionPurgeMode: "Gracefully",
    resourceEvictionRate: 100,
    evictionBrakeShare: 0.75,
    evictionBrakeSettleMs: 120_000,
  },
  // The pace bounds how many leave; a write that waits for the disk must not hold up those behind it.
  concurrency: () => 64,
  start: (context) => {
    if (!isOn(context)) return;
    void partsOf(context).brake.watch((cluster) => {
      for (const wakeup of bindingsOf(cluster.metadata.name ?? "", context)) context.enqueue(wakeup);
    });
  },
  reconcile,
});
