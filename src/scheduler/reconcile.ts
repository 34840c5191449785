import { type AnyBinding, Cluster, ResourceBinding } from "#apis/karmada";
import { sleep } from "#base";
import { done, type Request, type Result } from "#controller-runtime";
import { formatTime, keyOf, parseTime } from "#machinery";
import { askAccurate } from "./accurate.ts";
import { ScheduleError } from "./errors.ts";
import { followed } from "./fleet.ts";
import { decisionKey, failedPlan, type PassInput, type PassPlan, planPass, scheduleCause } from "./pass.ts";
import type { HostedPlugin } from "./plugins/plugin.ts";
import type { Estimator } from "./algorithm.ts";
import type { QueueRecord } from "./state.ts";
import { backoffMs } from "./triggers.ts";
import { mayDecide, priorityOf, type SchedulerContext, stateOf } from "./wakes.ts";
import { writePlan } from "./write.ts";

/** An unschedulable binding is looked at again after this time unless an event comes first. */
const UNSCHEDULABLE_RETRY_MS = 300_000;

type Gathered = Pick<PassInput, "binding" | "clusters" | "peers" | "gates" | "algorithm">;

function estimatorOf({ name, estimates }: HostedPlugin): readonly Estimator[] {
  return estimates === undefined ? [] : [{ name, replicas: () => estimates, sets: () => estimates }];
}

/** Everything a pass over the binding's present state looks at. */
export function gather(
  binding: AnyBinding,
  context: SchedulerContext,
  hosted: readonly HostedPlugin[],
): Gathered & { readonly peers: readonly ResourceBinding[] } {
  const { deps, options } = context;
  const state = stateOf(context);
  const groups =
    deps.gates.has("WorkloadAffinity") && binding.kind === "ResourceBinding"
      ? binding.spec.workloadAffinityGroups
      : undefined;
  const peers = [groups?.affinityGroup, groups?.antiAffinityGroup].flatMap((group) =>
    group ? context.cache(ResourceBinding).byIndex("workloadGroup", `${binding.metadata.namespace}/${group}`) : [],
  );
  return {
    binding,
    clusters: followed(state.fleet, context.cache(Cluster).list()),
    peers: peers.map((peer) => state.results.freshest(peer)),
    gates: deps.gates,
    algorithm: {
      plugins:
        hosted.length === 0
          ? state.plugins
          : state.plugins.map((plugin) => hosted.find(({ name }) => name === plugin.name) ?? plugin),
      estimators: [...(deps.estimators ?? []), ...hosted.flatMap(estimatorOf)],
      measure: state.metrics.measure(),
      propagatesEmptyWorkloads: options.enableEmptyWorkloadPropagation,
      ...(deps.gates.has("SchedulingOvercommitProtection")
        ? { assumed: state.assumed.present(context.clock.monotonicMs()) }
        : {}),
    },
  };
}

/** Answers of plugins that run apart; those `--plugins` leaves out are not asked. */
async function askHosts(binding: AnyBinding, context: SchedulerContext): Promise<readonly HostedPlugin[]> {
  const wanted = (context.deps.pluginHosts ?? []).filter(({ name }) =>
    stateOf(context).plugins.some((plugin) => plugin.name === name),
  );
  if (wanted.length === 0) return [];
  const clusters = context.cache(Cluster).list();
  return Promise.all(wanted.map((host) => host.ask(binding, clusters)));
}

/** The binding as if its last schedule had been a second earlier, so that a trigger of the same second is seen. */
function asScheduledEarlier(binding: AnyBinding): AnyBinding {
  const lastMs = parseTime(binding.status?.lastScheduledTime);
  if (lastMs === undefined) return binding;
  return { ...binding, status: { ...binding.status, lastScheduledTime: formatTime(lastMs - 1000) } } as AnyBinding;
}

export async function reconcile(request: Request, context: SchedulerContext): Promise<Result> {
  const state = stateOf(context);
  const startedMs = performance.now();
  const bindingNow = () => {
    const cached = context.cache(request.kind as typeof ResourceBinding).get(request.key) as AnyBinding | undefined;
    return cached !== undefined && state.sameSecondTriggers.has(decisionKey(cached))
      ? asScheduledEarlier(cached)
      : cached;
  };
  const first = bindingNow();
  if (first === undefined) return done;
  const key = decisionKey(first);
  // Suspension or another scheduler's name may have come while the key waited.
  if (!mayDecide(first, context)) return forget(key, context);
  let record = state.records.get(key);
  if (record === undefined)
    state.records.set(
      key,
      (record = {
        attempts: 0,
        insertedMs: context.clock.monotonicMs(),
        takenMs: context.clock.monotonicMs(),
        parked: undefined,
        priority: priorityOf(first, context),
        isOfStart: false,
      }),
    );
  record.attempts++;
  record.takenMs = context.clock.monotonicMs();
  record.parked = undefined;

  const { pluginHosts = [], estimatorPool } = context.deps;
  let input = gather(first, context, []);
  let plan: PassPlan | undefined;
  const mustAsk = pluginHosts.length > 0 || (estimatorPool !== undefined && !estimatorPool.isEmpty);
  if (
    mustAsk &&
    first.spec.placement !== undefined &&
    first.metadata.deletionTimestamp === undefined &&
    scheduleCause(first, first.spec.placement, input.clusters, input.gates) !== undefined
  ) {
    try {
      const hosted = await askHosts(first, context);
      input = gather(first, context, hosted);
      const accurate = estimatorPool === undefined ? undefined : await askAccurate(estimatorPool, input);
      // The world may have moved while others were asked: the decision is taken on what is known now.
      const now = bindingNow();
      if (now === undefined) return done;
      input = gather(now, context, hosted);
      if (accurate !== undefined)
        input = {
          ...input,
          algorithm: { ...input.algorithm, estimators: [...(input.algorithm.estimators ?? []), accurate] },
        };
    } catch (error) {
      if (!(error instanceof ScheduleError)) throw error;
      plan = failedPlan(first, error, context.clock.now());
    }
  }
  plan ??= planPass({ ...input, nowMs: context.clock.now(), explains: context.deps.decisions !== undefined });
  if (plan.decision !== undefined) context.deps.decisions?.keep(plan.decision);

  const { binding } = input;
  const isOwnResult = plan.clusters !== undefined && binding.kind === "ResourceBinding";
  if (isOwnResult && plan.clusters !== undefined) {
    if (context.deps.gates.has("WorkloadAffinity")) state.results.decided(binding as ResourceBinding, plan.clusters);
    if (context.deps.gates.has("SchedulingOvercommitProtection"))
      state.assumed.remember(binding, plan.clusters, context.clock.monotonicMs());
  }
  const written = await writePlan(binding, plan, request, context, record);
  if (isOwnResult) {
    if (written.binding === undefined) state.results.forget(keyOf(binding));
    else state.results.written(written.binding as ResourceBinding);
    if (written.isFailed) state.assumed.forget(keyOf(binding));
  }
  if (written.isSuperseded) return forget(key, context, record);
  const isNoFit = plan.condition?.reason === "NoClusterFit" && written.retry === "none";
  if (plan.isScheduled)
    state.metrics.attempt(
      written.retry === "none" ? "scheduled" : "error",
      plan.cause === "replicas",
      (performance.now() - startedMs) / 1000,
    );
  if (plan.cause !== undefined && written.retry === "none") state.sameSecondTriggers.delete(key);
  if (written.retry !== "none") return again(key, record, written.retry, request, context);
  if (!isNoFit) return forget(key, context, record);
  record.parked = "nofit";
  return done;
}

/** Forgets a key that is settled, unless an event queued it anew meanwhile. */
function forget(key: string, context: SchedulerContext, record?: QueueRecord): Result {
  const { records } = stateOf(context);
  if (record === undefined || records.get(key) === record) records.delete(key);
  return done;
}

const PENDING_PERIOD_MS = 5_000;

/** Tells now and then how many bindings wait where, until the scheduler stops; a record is a binding that is not settled. */
export function tellPending(context: SchedulerContext): void {
  const { records, metrics } = stateOf(context);
  const tell = async () => {
    while (!context.signal.aborted) {
      const counts = { active: 0, backoff: 0, unschedulable: 0 };
      for (const { parked } of records.values()) if (parked !== "nofit") counts[parked ?? "active"]++;
      metrics.pending(counts);
      await sleep(context.clock, PENDING_PERIOD_MS, context.signal);
    }
  };
  void tell();
}

/** Parks a key that failed; one that an event queued anew meanwhile comes back by itself. */
function again(
  key: string,
  record: QueueRecord,
  retry: "backoff" | "unschedulable",
  request: Request,
  context: SchedulerContext,
): Result {
  const state = stateOf(context);
  state.metrics.incoming("ScheduleAttemptFailure");
  if (state.records.get(key) !== record) return done;
  const nowMs = context.clock.monotonicMs();
  let dueMs = record.insertedMs + (retry === "unschedulable" ? UNSCHEDULABLE_RETRY_MS : backoffMs(record.attempts));
  if (!context.deps.gates.has("PriorityBasedScheduling"))
    dueMs = nowMs + context.options.plainBackoff(record.attempts - 1);
  dueMs = Math.max(nowMs + 1, dueMs);
  record.parked = retry;
  record.insertedMs = dueMs;
  const { kind, namespace, name } = request;
  context.enqueue({
    kind,
    ...(namespace === undefined ? {} : { namespace }),
    name,
    priority: record.priority,
    afterMs: dueMs - nowMs,
  });
  return done;
}
