import { type AnyBinding, APPLIED_PLACEMENT, Cluster, ClusterResourceBinding, ResourceBinding, type ResourceBindingStatus } from "#apis/karmada";
import { deepEqual } from "#base";
import { cacheIndex, type ControllerContext, defineController, done, type Request, requeueAfter, type Result, wake } from "#controller-runtime";
import { ApiError, isNotFound, type KubeObject, keyOf } from "#machinery";
import type { DecisionLog } from "./decision-log.ts";
import type { Gates } from "./facts.ts";
import { type PassPlan, planPass } from "./pass.ts";
import { builtinPlugins, choosePlugins } from "./plugins/index.ts";
import type { SchedulerPlugin } from "./plugins/plugin.ts";
import type { Estimator } from "./schedule.ts";
import { backoffMs, bindingEnqueues, clusterStatesToMatch, concernsCluster } from "./triggers.ts";

export interface SchedulerOptions {
  /** Which bindings are ours; also the source of events (wire). */
  readonly schedulerName: string;
  /** Value of `--plugins`. */
  readonly plugins: string;
  readonly enableEmptyWorkloadPropagation: boolean;
}

export interface SchedulerDeps {
  readonly gates: Gates;
  readonly decisions?: DecisionLog;
  readonly estimators?: readonly Estimator[];
  readonly extraPlugins?: readonly SchedulerPlugin[];
}

/** An unschedulable binding is looked at again after this time unless an event comes first. */
const UNSCHEDULABLE_RETRY_MS = 300_000;

export const schedulerController = defineController<SchedulerDeps, SchedulerOptions>({
  name: "scheduler",
  reconciles: [ResourceBinding, ClusterResourceBinding],
  when: (change, context) =>
    change.type !== "deleted" && bindingEnqueues(change.type === "updated" ? (change.old as AnyBinding) : undefined, change.object as AnyBinding, context.options.schedulerName),
  wakes: [
    wake(Cluster, (change, context: ControllerContext<unknown, unknown>) => {
      const states = clusterStatesToMatch(change.type === "updated" ? change.old : undefined, change.type === "deleted" ? undefined : change.object);
      if (states.length === 0) return [];
      const { schedulerName } = context.options as SchedulerOptions;
      return [ResourceBinding, ClusterResourceBinding].flatMap((kind) =>
        (context.cache(kind as typeof ResourceBinding).list() as readonly AnyBinding[])
          .filter((binding) => states.some((state) => concernsCluster(binding, state, schedulerName)))
          .map(({ metadata }) => ({ kind, namespace: metadata.namespace, name: metadata.name ?? "" })),
      );
    }),
  ],
  indexes: [cacheIndex(ResourceBinding, "workloadGroup", ({ metadata, spec }: ResourceBinding) => [spec.workloadAffinityGroups?.affinityGroup, spec.workloadAffinityGroups?.antiAffinityGroup].flatMap((group) => (group ? [`${metadata.namespace}/${group}`] : [])))],
  writes: [
    { kind: ResourceBinding, verbs: ["patch"], subresources: ["status"] },
    { kind: ClusterResourceBinding, verbs: ["patch"], subresources: ["status"] },
  ],
  options: { schedulerName: "default-scheduler", plugins: "*", enableEmptyWorkloadPropagation: false },
  // The decision itself is synchronous; several bindings only overlap while their results are written.
  concurrency: () => 32,
  reconcile,
});

const attempts = new WeakMap<object, Map<string, number>>();
const chosenPlugins = new WeakMap<object, readonly SchedulerPlugin[]>();

async function reconcile(request: Request, context: ControllerContext<SchedulerDeps, SchedulerOptions>): Promise<Result> {
  const { options, deps } = context;
  const kind = request.kind as typeof ResourceBinding;
  const binding = context.cache(kind).get(request.key) as AnyBinding | undefined;
  if (binding === undefined) return done;
  let plugins = chosenPlugins.get(context);
  if (plugins === undefined) chosenPlugins.set(context, (plugins = choosePlugins(options.plugins, [...builtinPlugins, ...(deps.extraPlugins ?? [])])));
  const groups = binding.spec.workloadAffinityGroups;
  const peers = [groups?.affinityGroup, groups?.antiAffinityGroup].flatMap((group) => (group ? context.cache(ResourceBinding).byIndex("workloadGroup", `${binding.metadata.namespace}/${group}`) : []));
  const record = deps.decisions?.begin(`${binding.kind}/${keyOf(binding)}`);
  const plan = planPass({
    binding,
    clusters: context.cache(Cluster).list(),
    peers,
    gates: deps.gates,
    nowMs: context.clock.now(),
    algorithm: {
      plugins,
      ...(deps.estimators === undefined ? {} : { estimators: deps.estimators }),
      propagatesEmptyWorkloads: options.enableEmptyWorkloadPropagation,
      ...(record === undefined ? {} : { record }),
    },
  });
  if (plan.isScheduled) record?.finish({ ...(plan.clusters === undefined ? {} : { result: plan.clusters }), ...(plan.condition?.status === "False" ? { error: plan.condition.message } : {}) });
  return write(binding, plan, request, context);
}

async function write(binding: AnyBinding, plan: PassPlan, request: Request, context: ControllerContext<SchedulerDeps, SchedulerOptions>): Promise<Result> {
  const { client, options } = context;
  const kind = request.kind as typeof ResourceBinding;
  const events = context.events.from(options.schedulerName);
  const resource = resourceOf(binding);
  const say = (type: "Normal" | "Warning", reason: string, message: string) => {
    for (const about of [binding, resource])
      if (type === "Normal") events.normal(about, reason, message);
      else events.warning(about, reason, message);
  };
  let condition = plan.condition;
  let retry = plan.retry;
  try {
    const patch: Record<string, unknown> = {};
    if (plan.appliedPlacement !== undefined && binding.metadata.annotations?.[APPLIED_PLACEMENT] !== plan.appliedPlacement)
      patch["metadata"] = { annotations: { [APPLIED_PLACEMENT]: plan.appliedPlacement } };
    if (plan.clusters !== undefined && !deepEqual(plan.clusters, binding.spec.clusters ?? []))
      patch["spec"] = { clusters: plan.clusters.length === 0 ? null : plan.clusters };
    if (Object.keys(patch).length > 0) await client.patch(kind, request, "application/merge-patch+json", patch);
    for (const event of plan.events) say(event.type, event.reason, event.message);
  } catch (error) {
    if (isNotFound(error)) return done;
    const isQuota = error instanceof ApiError && error.code === 403 && error.reason === "QuotaExceeded";
    const message = error instanceof Error ? error.message : String(error);
    condition = { ...(condition ?? { type: "Scheduled", lastTransitionTime: "" }), status: "False", reason: isQuota ? "QuotaExceeded" : "SchedulerError", message } as NonNullable<typeof condition>;
    retry = "backoff";
    say("Warning", "ScheduleBindingFailed", message);
  }
  const status = (binding.status ?? {}) as ResourceBindingStatus;
  const change: Record<string, unknown> = {};
  if (condition !== undefined) {
    const conditions = status.conditions ?? [];
    const others = conditions.filter(({ type }) => type !== condition.type);
    if (!conditions.some((present) => deepEqual(present, condition))) change["conditions"] = [...others, condition];
  }
  if (condition?.status !== "False") {
    if (plan.observedGeneration !== undefined && status.schedulerObservedGeneration !== plan.observedGeneration) change["schedulerObservedGeneration"] = plan.observedGeneration;
    if (plan.lastScheduledTime !== undefined && status.lastScheduledTime !== plan.lastScheduledTime) change["lastScheduledTime"] = plan.lastScheduledTime;
    if (plan.observedAffinityName !== undefined) change["schedulerObservingAffinityName"] = plan.observedAffinityName || null;
  }
  try {
    if (Object.keys(change).length > 0) await client.patch(kind, request, "application/merge-patch+json", { status: change }, { subresource: "status" });
  } catch (error) {
    if (isNotFound(error)) return done;
    retry = "backoff";
  }
  return again(request, retry, context);
}

function again(request: Request, retry: PassPlan["retry"], context: ControllerContext<SchedulerDeps, SchedulerOptions>): Result {
  let tries = attempts.get(context);
  if (tries === undefined) attempts.set(context, (tries = new Map()));
  if (retry === "none") {
    tries.delete(request.key);
    return done;
  }
  const count = (tries.get(request.key) ?? 0) + 1;
  tries.set(request.key, count);
  return requeueAfter(retry === "unschedulable" ? UNSCHEDULABLE_RETRY_MS : backoffMs(count));
}

function resourceOf(binding: AnyBinding): KubeObject {
  const { apiVersion, kind, namespace, name, uid } = binding.spec.resource;
  return { apiVersion, kind, metadata: { name, ...(namespace ? { namespace } : {}), ...(uid ? { uid } : {}) } };
}
