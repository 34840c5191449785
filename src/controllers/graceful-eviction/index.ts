/**
 * Graceful eviction: the old copy goes when the new one runs. Works off the eviction tasks of bindings, whoever wrote
 * them: a task ends when every target is healthy, when its time is over, or when somebody says so. It schedules nothing.
 */
import {
  type AnyBinding,
  APPLIED_CLUSTER_OVERRIDES,
  APPLIED_OVERRIDES,
  CLUSTER_RESOURCE_BINDING_ID,
  ClusterResourceBinding,
  executionNamespace,
  RESOURCE_BINDING_ID,
  ResourceBinding,
  Work,
} from "#apis/karmada";
import {
  cacheIndex,
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
} from "#controller-runtime";
import { getPath, isConflict, isNotFound, type KubeObject, type ResourceKind } from "#machinery";
import { planEvictions, type Rendered } from "./plan.ts";

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
  reads: [Work],
  indexes: [cacheIndex(Work, "bindingId", (work) => [idOf(work)].filter((id) => id !== undefined))],
  writes: [
    { kind: ResourceBinding, verbs: ["patch"] },
    { kind: ClusterResourceBinding, verbs: ["patch"] },
  ],
  options: { gracefulEvictionTimeoutMs: 600_000 },
  concurrency: () => 32,
  reconcile,
});

const idOf = ({ metadata: { labels } }: KubeObject) =>
  labels?.[RESOURCE_BINDING_ID] ?? labels?.[CLUSTER_RESOURCE_BINDING_ID];

/** What the Works of a binding ask of their clusters. */
function renderedBy(binding: AnyBinding, context: ControllerContext<unknown, Options>) {
  return (cluster: string): Rendered | undefined => {
    const space = executionNamespace(cluster);
    const work = context
      .cache(Work)
      .byIndex("bindingId", idOf(binding) ?? "")
      .find(({ metadata }) => metadata.namespace === space);
    const [manifest] = work?.spec?.workload?.manifests ?? [];
    const replicas = getPath(manifest as unknown as KubeObject, "spec", "replicas");
    if (work === undefined || typeof replicas !== "number") return undefined;
    const { annotations = {} } = work.metadata;
    return {
      replicas,
      isOverridden: [APPLIED_OVERRIDES, APPLIED_CLUSTER_OVERRIDES].some((key) => annotations[key] !== undefined),
    };
  };
}

async function reconcile(request: Request, context: ControllerContext<unknown, Options>): Promise<Result> {
  const kind = request.kind as ResourceKind<ResourceBinding>;
  const binding = context.cache(kind).get(request.key) as AnyBinding | undefined;
  if (binding === undefined || binding.metadata.deletionTimestamp !== undefined) return done;
  const plan = planEvictions(
    binding,
    context.clock.now(),
    context.options.gracefulEvictionTimeoutMs,
    renderedBy(binding, context),
  );
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
