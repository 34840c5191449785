import { type AnyBinding, type ResourceBinding, StateNotReported } from "#apis/karmada";
import { done, type Request, requeueAfter, type Result } from "#controller-runtime";
import { isConflict, isNotFound, type KubeObject, type ResourceKind } from "#machinery";
import type { ApplicationFailoverContext } from "./context.ts";
import { failedOver, planFailover, type Timers } from "./plan.ts";

/** A copy that never reported a status has none to keep; after so many tries it is given up without. */
const STATE_TRIES_MAX = 10;

/** What a running controller remembers of a binding; a restart starts all timers anew. */
interface Memory {
  readonly timers: Timers;
  readonly stateTries: number;
}

const memories = new WeakMap<AbortSignal, Map<string, Memory>>();

export async function reconcile(request: Request, context: ApplicationFailoverContext): Promise<Result> {
  const { deps, clock } = context;
  let memory = memories.get(context.signal);
  if (memory === undefined) memories.set(context.signal, (memory = new Map()));
  const kind = request.kind as ResourceKind<ResourceBinding>;
  const key = `${kind.resource} ${request.key}`;
  const binding = context.cache(kind).get(request.key) as AnyBinding | undefined;
  if (binding === undefined || binding.metadata.deletionTimestamp !== undefined) {
    memory.delete(key);
    return done;
  }
  const before = memory.get(key);
  const hasHealth = deps.interpreter.hasHook(binding.spec.resource, "InterpretHealth");
  const plan = planFailover(binding, before?.timers, { hasHealth, nowMs: clock.monotonicMs() });
  if (plan.timers.size === 0) {
    memory.delete(key);
    return done;
  }
  const stateTries = before?.stateTries ?? 0;
  memory.set(key, { timers: plan.timers, stateTries });
  if (plan.due.length > 0) {
    try {
      return await evict(kind, binding, plan.due, stateTries >= STATE_TRIES_MAX, context);
    } catch (error) {
      if (error instanceof StateNotReported) memory.set(key, { timers: plan.timers, stateTries: stateTries + 1 });
      throw error;
    }
  }
  return plan.recheckMs === undefined ? done : requeueAfter(plan.recheckMs);
}

async function evict(
  kind: ResourceKind<ResourceBinding>,
  binding: AnyBinding,
  due: readonly string[],
  givesUpState: boolean,
  context: ApplicationFailoverContext,
): Promise<Result> {
  const { deps, client } = context;
  const producer =
    binding.kind === "ClusterResourceBinding"
      ? "cluster-resource-binding-application-failover-controller"
      : "resource-binding-application-failover-controller";
  const events = context.events.from(producer);
  const reported = new Set(
    (binding.status?.aggregatedStatus ?? []).flatMap(({ clusterName, status }) =>
      status === undefined ? [] : [clusterName],
    ),
  );
  try {
    const { binding: next, skipped } = failedOver(binding, due, {
      producer,
      isGraceful: deps.gates.has("GracefulEviction"),
      preservesState: deps.gates.has("StatefulFailoverInjection"),
      withoutState: new Set(givesUpState ? due.filter((name) => !reported.has(name)) : []),
    });
    await client.update(kind, next as ResourceBinding);
    for (const what of skipped) events.warning(binding, "StateNotPreserved", what);
    context.log.info("application failed over", {
      binding: `${kind.resource} ${binding.metadata.name}`,
      from: due.join(),
    });
    return done;
  } catch (error) {
    if (isNotFound(error)) return done;
    if (isConflict(error)) return requeueAfter(1);
    const message = error instanceof Error ? error.message : String(error);
    for (const about of [binding, templateOf(binding)])
      events.warning(about, "EvictWorkloadFromClusterFailed", message);
    throw error;
  }
}

function templateOf({ spec }: AnyBinding): KubeObject {
  const { apiVersion, kind, namespace, name, uid } = spec.resource;
  return { apiVersion, kind, metadata: { name, ...(namespace ? { namespace } : {}), ...(uid ? { uid } : {}) } };
}
