/**
 * Taint manager: workloads leave clusters whose NoExecute taints they do not tolerate. It takes the cluster out of the
 * binding and leaves a graceful eviction task; everything else is the scheduler's and the graceful eviction controller's.
 */
import { type AnyBinding, Cluster, ClusterResourceBinding, ResourceBinding } from "#apis/karmada";
import {
  cacheIndex,
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
  wake,
} from "#controller-runtime";
import { isConflict, isNotFound, type ResourceKind } from "#machinery";
import { evicted, evictionDeadline, noExecuteTaints } from "./plan.ts";

export { evicted, evictionDeadline, noExecuteTaints } from "./plan.ts";

export interface TaintManagerOptions {
  readonly enableNoExecuteTaintEviction: boolean;
  readonly noExecuteTaintEvictionPurgeMode: "Gracefully" | "Directly";
  /** `--resource-eviction-rate`, bindings per second and worker. */
  readonly resourceEvictionRate: number;
}

type Context = ControllerContext<unknown, TaintManagerOptions>;
const targets = ({ spec }: AnyBinding) => (spec.clusters ?? []).map(({ name }) => name);
const WORKERS = 3;

export const taintManager = defineController<unknown, TaintManagerOptions>({
  name: "taint-manager",
  reconciles: [ResourceBinding, ClusterResourceBinding],
  when: () => false,
  wakes: [
    wake(Cluster, (change, context: ControllerContext<unknown, unknown>) => {
      if (change.type === "deleted" || !(context.options as TaintManagerOptions).enableNoExecuteTaintEviction)
        return [];
      if (noExecuteTaints(change.object).length === 0) return [];
      const name = change.object.metadata.name ?? "";
      return [ResourceBinding, ClusterResourceBinding].flatMap((kind) =>
        context
          .cache(kind as typeof ResourceBinding)
          .byIndex("cluster", name)
          .map(({ metadata }) => ({ kind, namespace: metadata.namespace, name: metadata.name ?? "" })),
      );
    }),
  ],
  indexes: [
    cacheIndex(ResourceBinding, "cluster", targets),
    cacheIndex(ClusterResourceBinding, "cluster", targets as never),
  ],
  writes: [
    { kind: ResourceBinding, verbs: ["update"] },
    { kind: ClusterResourceBinding, verbs: ["update"] },
  ],
  options: {
    enableNoExecuteTaintEviction: false,
    noExecuteTaintEvictionPurgeMode: "Gracefully",
    resourceEvictionRate: 0.5,
  },
  concurrency: () => WORKERS,
  reconcile,
});

/** When each worker may evict again; the first eviction is immediate. */
const workers = new WeakMap<AbortSignal, number[]>();

async function reconcile(request: Request, context: Context): Promise<Result> {
  const { options, clock } = context;
  const kind = request.kind as ResourceKind<ResourceBinding>;
  const binding = context.cache(kind).get(request.key) as AnyBinding | undefined;
  if (binding === undefined || binding.metadata.deletionTimestamp !== undefined) return done;
  const nowMs = clock.now();
  let soonestMs = Number.POSITIVE_INFINITY;
  for (const { name } of binding.spec.clusters ?? []) {
    const cluster = context.cache(Cluster).get(name);
    const taints = cluster === undefined ? [] : noExecuteTaints(cluster);
    if (taints.length === 0) continue;
    const deadline = evictionDeadline(binding, taints, nowMs);
    if (deadline.type === "never") continue;
    if (deadline.type === "at") {
      soonestMs = Math.min(soonestMs, deadline.atMs - nowMs);
      continue;
    }
    const waitMs = takeTurn(context, nowMs);
    if (waitMs > 0) return requeueAfter(waitMs);
    const purgeMode =
      binding.spec.failover?.cluster === undefined
        ? options.noExecuteTaintEvictionPurgeMode
        : binding.spec.failover.cluster.purgeMode || "Gracefully";
    try {
      await context.client.update(
        kind,
        evicted(binding as ResourceBinding, name, { producer: "TaintManager", reason: "TaintUntolerated", purgeMode }),
      );
    } catch (error) {
      if (isNotFound(error)) return done;
      if (isConflict(error)) return requeueAfter(1);
      context.events
        .from("taint-manager")
        .warning(binding, "EvictWorkloadFromClusterFailed", error instanceof Error ? error.message : String(error));
      throw error;
    }
    return requeueAfter(1);
  }
  return soonestMs === Number.POSITIVE_INFINITY ? done : requeueAfter(soonestMs);
}

/** Milliseconds until a worker is free to evict; 0 takes the turn. */
function takeTurn(context: Context, nowMs: number): number {
  const pauseMs = context.options.resourceEvictionRate <= 0 ? 1_800_000 : 1000 / context.options.resourceEvictionRate;
  let free = workers.get(context.signal);
  if (free === undefined) workers.set(context.signal, (free = Array.from({ length: WORKERS }, () => 0)));
  let best = 0;
  for (let at = 1; at < free.length; at++) if ((free[at] as number) < (free[best] as number)) best = at;
  const waitMs = (free[best] as number) - nowMs;
  if (waitMs > 0) return waitMs;
  free[best] = nowMs + pauseMs;
  return 0;
}
