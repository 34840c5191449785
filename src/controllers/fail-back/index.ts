/**
 * Fail back: workloads that were evicted from a failing cluster return once it has been well for a time, where their policy
 * or the server's flag asks for it. It asks for a fresh schedule and gives up what that leaves gracefully; where the
 * workload belongs is the scheduler's word.
 */
import {
  type AnyBinding,
  Cluster,
  CLUSTER_PROPAGATION_POLICY_NAME,
  ClusterPropagationPolicy,
  ClusterResourceBinding,
  PROPAGATION_POLICY_NAME,
  PROPAGATION_POLICY_NAMESPACE,
  PropagationPolicy,
  ResourceBinding,
  type TargetCluster,
} from "#apis/karmada";
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
import { FAIL_BACK_AFTER, LEFT_CLUSTERS, leftClusters, planFailBack, returned } from "./plan.ts";

export interface FailBackDeps {
  /** Where a fresh schedule would place a binding now; `undefined` when it would fail. */
  readonly placeAnew: (binding: AnyBinding, nowMs: number) => readonly TargetCluster[] | undefined;
  /** Reads a duration such as `10m`; throws when it is none. */
  readonly readDuration: (text: string) => number;
}

export interface FailBackOptions {
  /** For policies that do not say; 0 leaves workloads where they are. */
  readonly failBackAfterMs: number;
}

type Context = ControllerContext<FailBackDeps, FailBackOptions>;

const isConcerned = (binding: AnyBinding) =>
  leftClusters(binding).length > 0 ||
  (binding.spec.gracefulEvictionTasks ?? []).some(({ producer }) => producer === "TaintManager");

export const failBack = defineController<FailBackDeps, FailBackOptions>({
  name: "fail-back",
  reconciles: [ResourceBinding, ClusterResourceBinding],
  when: ({ type, object }) => type !== "deleted" && isConcerned(object as AnyBinding),
  wakes: [
    wake(Cluster, (change, context: ControllerContext<unknown, unknown>) => {
      const name = change.object.metadata.name ?? "";
      if (
        change.type === "updated" &&
        change.object.metadata.generation === change.old.metadata.generation &&
        change.object.status?.conditions === change.old.status?.conditions
      )
        return [];
      return [ResourceBinding, ClusterResourceBinding].flatMap((kind) =>
        context
          .cache(kind as typeof ResourceBinding)
          .byIndex("leftCluster", name)
          .map(({ metadata }) => ({ kind, namespace: metadata.namespace, name: metadata.name ?? "" })),
      );
    }),
  ],
  indexes: [
    cacheIndex(ResourceBinding, "leftCluster", leftClusters),
    cacheIndex(ClusterResourceBinding, "leftCluster", leftClusters as never),
  ],
  reads: [PropagationPolicy, ClusterPropagationPolicy],
  writes: [
    { kind: ResourceBinding, verbs: ["update"] },
    { kind: ClusterResourceBinding, verbs: ["update"] },
  ],
  options: { failBackAfterMs: 0 },
  reconcile,
});

async function reconcile(request: Request, context: Context): Promise<Result> {
  const kind = request.kind as ResourceKind<ResourceBinding>;
  const binding = context.cache(kind).get(request.key) as AnyBinding | undefined;
  if (binding === undefined || binding.metadata.deletionTimestamp !== undefined) return done;
  const afterMs = waitOf(binding, context);
  if (afterMs === 0) return done;
  const nowMs = context.clock.now();

  const plan = planFailBack(binding, (name) => context.cache(Cluster).get(name), afterMs, nowMs);
  switch (plan.kind) {
    case "nothing":
      return done;
    case "wait":
      return requeueAfter(plan.ms);
    case "note": {
      const { [LEFT_CLUSTERS]: _before, ...annotations } = binding.metadata.annotations ?? {};
      const noted =
        plan.clusters.length === 0 ? annotations : { ...annotations, [LEFT_CLUSTERS]: plan.clusters.join(",") };
      return write(
        kind,
        { ...binding, metadata: { ...binding.metadata, annotations: noted } } as ResourceBinding,
        context,
      );
    }
    case "return": {
      const predicted = context.deps.placeAnew(binding, nowMs);
      const { binding: next, isReturning } = returned(binding, plan.to, plan.rest, predicted, nowMs);
      const result = await write(kind, next as ResourceBinding, context);
      if (result.outcome !== "done") return result;
      const home = `cluster ${plan.to.join(", ")}, which has been well for ${afterMs / 1000} s`;
      if (isReturning) {
        context.events.from("fail-back").normal(binding, "FailBack", `Returning to ${home}.`);
        context.log.info("failing back", { binding: request.key, to: plan.to.join() });
      } else {
        const elsewhere = predicted === undefined ? "nowhere" : predicted.map(({ name }) => name).join(", ");
        const message = `Not returning to ${home}: placed anew it would go to ${elsewhere || "nowhere"}.`;
        context.events.from("fail-back").normal(binding, "FailBackNotPreferred", message);
      }
      return result;
    }
  }
}

/** How long a cluster must be well before a binding returns to it; 0 never returns. */
function waitOf(binding: AnyBinding, context: Context): number {
  const annotations = binding.metadata.annotations ?? {};
  const name = annotations[PROPAGATION_POLICY_NAME];
  const clusterName = annotations[CLUSTER_PROPAGATION_POLICY_NAME];
  const policy =
    name !== undefined
      ? context
          .cache(PropagationPolicy)
          .get(`${annotations[PROPAGATION_POLICY_NAMESPACE] ?? binding.metadata.namespace}/${name}`)
      : clusterName !== undefined
        ? context.cache(ClusterPropagationPolicy).get(clusterName)
        : undefined;
  const text = policy?.metadata.annotations?.[FAIL_BACK_AFTER];
  if (policy === undefined || text === undefined) return context.options.failBackAfterMs;
  try {
    return context.deps.readDuration(text);
  } catch (error) {
    const message = `${FAIL_BACK_AFTER}: ${error instanceof Error ? error.message : String(error)}`;
    context.events.from("fail-back").warning(policy, "FailBackNotUnderstood", message);
    return context.options.failBackAfterMs;
  }
}

async function write(kind: ResourceKind<ResourceBinding>, next: ResourceBinding, context: Context): Promise<Result> {
  try {
    await context.client.update(kind, next);
    return done;
  } catch (error) {
    if (isNotFound(error)) return done;
    if (isConflict(error)) return requeueAfter(1);
    throw error;
  }
}
