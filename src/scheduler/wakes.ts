import { type AnyBinding, Cluster, ClusterResourceBinding, ResourceBinding } from "#apis/karmada";
import { type Change, type ControllerContext, type Wakeup, wake } from "#controller-runtime";
import { type KubeObject, keyOf, parseTime, type ResourceKind } from "#machinery";
import type { SchedulerDeps, SchedulerOptions } from "./options.ts";
import { decisionKey } from "./pass.ts";
import { builtinPlugins, choosePlugins } from "./plugins/index.ts";
import { AssumedWorkloads } from "./assumed.ts";
import { Fleet } from "./fleet.ts";
import { OwnBirths, OwnPatches, OwnResults, UntoldPasses } from "./own-results.ts";
import { AffinityClasses, type QueueRecord, schedulerMetrics, type SchedulerState } from "./state.ts";
import { bindingEnqueues, clusterStatesToMatch, hasRoomGrown, isHandled, isOurs } from "./triggers.ts";

export type SchedulerContext = ControllerContext<SchedulerDeps, SchedulerOptions>;

/** Index of bindings by the clusters they are concerned with. */
export const AFFINITY_INDEX = "affinityClass";

/** A parked binding is not tried again because of room that appeared before this much time has passed since its last try. */
const PARKED_REST_MS = 10_000;

const states = new WeakMap<object, SchedulerState>();

/** What a running scheduler remembers; it lives as long as its context. */
export function stateOf(context: SchedulerContext): SchedulerState {
  let state = states.get(context);
  if (state === undefined) {
    const { deps, options } = context;
    // Hosted plugins stand in the table by name, so that `--plugins` can leave them out; their answers come each pass.
    const hosted = (deps.pluginHosts ?? []).map(({ name }) => ({ name }));
    state = {
      plugins: choosePlugins(options.plugins, [...builtinPlugins, ...(deps.extraPlugins ?? []), ...hosted]),
      records: new Map(),
      sameSecondTriggers: new Set(),
      affinities: new AffinityClasses(),
      assumed: new AssumedWorkloads(),
      results: new OwnResults(),
      patches: new OwnPatches(),
      births: new OwnBirths(),
      untold: new UntoldPasses(),
      fleet: new Fleet([]),
      metrics: schedulerMetrics(context.metrics),
    };
    states.set(context, state);
  }
  return state;
}

export const priorityOf = (binding: AnyBinding, context: SchedulerContext): number =>
  context.deps.gates.has("PriorityBasedScheduling") ? (binding.spec.schedulePriority?.priority ?? 0) : 0;

/** Whether the scheduler may touch a binding now: ours, not held, and claimed unless unclaimed ones are to follow. */
export function mayDecide(binding: AnyBinding, { options }: SchedulerContext): boolean {
  return options.unclaimedBindings === "freeze"
    ? isHandled(binding, options.schedulerName)
    : isOurs(binding, options.schedulerName);
}

/** A fresh record and the request that goes with it; attempts start anew. */
function inserted(
  binding: AnyBinding,
  kind: ResourceKind,
  context: SchedulerContext,
  state: SchedulerState,
  isOfStart = false,
): Wakeup {
  const record: QueueRecord = {
    attempts: 0,
    insertedMs: context.clock.monotonicMs(),
    takenMs: context.clock.monotonicMs(),
    parked: undefined,
    priority: priorityOf(binding, context),
    isOfStart,
  };
  state.records.set(decisionKey(binding), record);
  return {
    kind,
    namespace: binding.metadata.namespace,
    name: binding.metadata.name ?? "",
    priority: record.priority,
    isPriorityExact: true,
  };
}

/** Times have whole seconds on the wire: a trigger new to the binding counts even in the second of the last schedule. */
function isTriggeredInSameSecond(old: AnyBinding, now: AnyBinding): boolean {
  const triggered = now.spec.rescheduleTriggeredAt;
  if (!triggered || triggered === old.spec.rescheduleTriggeredAt) return false;
  return parseTime(triggered) === parseTime(now.status?.lastScheduledTime);
}

/** What a change of a binding of either kind leads to: a pass when it became ours or its generation moved. */
export function bindingWakes<T extends KubeObject>(kind: ResourceKind<T>) {
  return wake<T, SchedulerDeps, SchedulerOptions>(kind, (change: Change<T>, context) => {
    const state = stateOf(context);
    const binding = change.object as unknown as AnyBinding;
    if (change.type === "deleted") {
      state.records.delete(decisionKey(binding));
      state.births.forget(decisionKey(binding));
      state.untold.forget(decisionKey(binding));
      state.sameSecondTriggers.delete(decisionKey(binding));
      state.assumed.forget(keyOf(binding));
      state.results.forget(keyOf(binding));
      context.deps.decisions?.forget(decisionKey(binding));
      return [];
    }
    state.affinities.add(binding);
    const old = change.type === "updated" ? (change.old as unknown as AnyBinding) : undefined;
    if (binding.kind === "ResourceBinding") {
      state.results.seen(binding as ResourceBinding);
      if (old !== undefined) state.assumed.seen(old, binding);
    }
    if (old !== undefined && isTriggeredInSameSecond(old, binding)) state.sameSecondTriggers.add(decisionKey(binding));
    if (!bindingEnqueues(old, binding, context.options.schedulerName)) return [];
    const key = decisionKey(binding);
    if (old === undefined ? state.births.appears(key, binding) : state.patches.isOwn(key, old, binding)) return [];
    state.metrics.incoming(old === undefined ? "BindingAdd" : "BindingUpdate");
    const isOfStart = change.type === "added" && change.isInitial;
    return [inserted(binding, kind as unknown as ResourceKind, context, state, isOfStart)];
  });
}

const BINDING_KINDS: readonly ResourceKind[] = [
  ResourceBinding,
  ClusterResourceBinding,
] as unknown as readonly ResourceKind[];

/** What a change of a cluster leads to: bindings concerned with it, found by class; for mere room, only those that wait for room. */
export const clusterWakes = wake<Cluster, SchedulerDeps, SchedulerOptions>(Cluster, (change, context) => {
  if (change.type !== "updated") return [];
  const state = stateOf(context);
  const matching = clusterStatesToMatch(change.old, change.object);
  const found: Wakeup[] = [];
  if (matching.length > 0) {
    const classes = state.affinities.concerned(matching);
    const used = new Set<string>();
    for (const kind of BINDING_KINDS) {
      const cache = context.cache(kind);
      for (const name of classes)
        for (const binding of cache.byIndex(AFFINITY_INDEX, name) as unknown as readonly AnyBinding[]) {
          used.add(name);
          if (!mayDecide(binding, context)) continue;
          state.metrics.incoming("ClusterChanged");
          found.push(inserted(binding, kind, context, state));
        }
    }
    // Classes nobody has any more are met here first: they go, so that a changing fleet of policies leaves nothing behind.
    for (const name of classes) if (!used.has(name)) state.affinities.delete(name);
    return found;
  }
  if (change.old.status === change.object.status || !hasRoomGrown(change.old, change.object)) return [];
  const nowMs = context.clock.monotonicMs();
  for (const [key, record] of state.records) {
    if (record.parked !== "nofit" && record.parked !== "unschedulable") continue;
    const kind = BINDING_KINDS[key.startsWith("ClusterResourceBinding/") ? 1 : 0] as ResourceKind;
    const binding = context.cache(kind).get(key.slice(key.indexOf("/") + 1)) as AnyBinding | undefined;
    if (binding === undefined || !mayDecide(binding, context)) continue;
    state.metrics.incoming("ClusterChanged");
    const afterMs = record.takenMs + PARKED_REST_MS - nowMs;
    found.push({
      kind,
      namespace: binding.metadata.namespace,
      name: binding.metadata.name ?? "",
      priority: record.priority,
      ...(afterMs > 0 ? { afterMs } : {}),
    });
  }
  return found;
});
