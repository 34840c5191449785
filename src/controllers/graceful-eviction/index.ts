/**
 * Graceful eviction: the old copy goes when the new one runs. Works off the eviction tasks of bindings, whoever wrote
 * them: a task ends when every target is healthy, when its time is over, or when somebody says so. It schedules nothing.
 */
import { type AnyBinding, ClusterResourceBinding, ResourceBinding } from "#apis/karmada";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
} from "#controller-runtime";
import { isConflict, isNotFound, type KubeObject, type ResourceKind } from "#machinery";
import { planEvictions } from "./plan.ts";

export { planEvictions } from "./plan.ts";

interface Options {
  /** `--graceful-eviction-timeout`. */
  readonly gracefulEvictionTimeoutMs: number;
}

export const gracefulEviction = defineController<unknown, Options>({
  name: "gracefulEviction",
  reconciles: [ResourceBinding, ClusterResourceBinding],
  reconcilers: [
    "resource-binding-graceful-eviction-controller",
    "cluster-resource-binding-graceful-eviction-controller",
  ],
  when: ({ type, object }) =>
    type !== "deleted" && ((object as AnyBinding).spec.gracefulEvictionTasks?.length ?? 0) > 0,
  writes: [
    { kind: ResourceBinding, verbs: ["patch"] },
    { kind: ClusterResourceBinding, verbs: ["patch"] },
  ],
  options: { gracefulEvictionTimeoutMs: 600_000 },
  concurrency: () => 32,
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext<unknown, Options>): Promise<Result> {
  const kind = request.kind as ResourceKind<ResourceBinding>;
  const binding = context.cache(kind).get(request.key) as AnyBinding | undefined;
  if (binding === undefined || binding.metadata.deletionTimestamp !== undefined) return done;
  const plan = planEvictions(binding, context.clock.now(), context.options.gracefulEvictionTimeoutMs);
  if (plan.isChanged) {
    try {
      await context.client.patch(kind, request, "application/merge-patch+json", {
        metadata: { resourceVersion: binding.metadata.resourceVersion },
        spec: { gracefulEvictionTasks: plan.kept.length === 0 ? null : plan.kept },
      });
    } catch (error) {
      if (isNotFound(error)) return done;
      if (isConflict(error)) return requeueAfter(1);
      throw error;
    }
    const { apiVersion, kind: templateKind, namespace, name, uid } = binding.spec.resource;
    const template: KubeObject = {
      apiVersion,
      kind: templateKind,
      metadata: { name, ...(namespace ? { namespace } : {}), ...(uid ? { uid } : {}) },
    };
    for (const { fromCluster } of plan.finished)
      for (const about of [binding, template])
        context.events
          .from(
            binding.kind === "ClusterResourceBinding"
              ? "cluster-resource-binding-graceful-eviction-controller"
              : "resource-binding-graceful-eviction-controller",
          )
          .normal(about, "EvictWorkloadFromClusterSucceed", `Evict from cluster ${fromCluster} succeed.`);
  }
  return plan.recheckMs === undefined ? done : requeueAfter(plan.recheckMs);
}
