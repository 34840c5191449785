import {
  type AnyBinding,
  Cluster,
  currentPurgeMode,
  evicted,
  preserveState,
  type ResourceBinding,
  StateNotReported,
  withoutTarget,
} from "#apis/karmada";
import { done, type Request, requeueAfter, type Result } from "#controller-runtime";
import { isConflict, isNotFound, type KubeObject, type ResourceKind } from "#machinery";
import type { TaintManagerContext } from "./context.ts";
import { partsOf } from "./parts.ts";
import { evictionDeadline, noExecuteTaints, PRODUCER, REASON, withoutMootEvictions } from "./plan.ts";

/** A copy whose state cannot be read is not kept in a dead cluster for ever. */
const STATE_TRIES_MAX = 10;

export async function reconcile(request: Request, context: TaintManagerContext): Promise<Result> {
  const kind = request.kind as ResourceKind<ResourceBinding>;
  const key = `${kind.resource} ${request.key}`;
  const { pace, brake, queued } = partsOf(context);
  const drop = (result: Result): Result => {
    pace.drop(key, context.clock.monotonicMs());
    return result;
  };
  const leave = (result: Result): Result => {
    queued.put(key, "", []);
    return drop(result);
  };
  const binding = context.cache(kind).get(request.key) as AnyBinding | undefined;
  if (!context.options.enableNoExecuteTaintEviction) return leave(done);
  if (binding === undefined || binding.metadata.deletionTimestamp !== undefined) return leave(done);
  const nowMs = context.clock.now();
  const kept = withoutMootEvictions(binding, (name) => context.cache(Cluster).get(name), nowMs);
  if (kept !== binding) return drop(await write(kind, kept as ResourceBinding, binding, context));
  const leaving = (binding.spec.clusters ?? []).flatMap(({ name }) => {
    const cluster = context.cache(Cluster).get(name);
    const taints = cluster === undefined ? [] : noExecuteTaints(cluster);
    if (cluster === undefined || taints.length === 0) return [];
    const deadline = evictionDeadline(binding, taints, nowMs);
    return deadline.type === "never" ? [] : [{ name, cluster, deadline }];
  });
  const waitsFor = (names: readonly { readonly name: string }[]) =>
    queued.put(
      key,
      binding.spec.resource.kind,
      names.map(({ name }) => name),
    );
  waitsFor(leaving);
  let soonestMs = Number.POSITIVE_INFINITY;
  for (const { name, cluster, deadline } of leaving) {
    if (deadline.type === "at") {
      soonestMs = Math.min(soonestMs, deadline.atMs - nowMs);
      continue;
    }
    // Whoever is held is woken when the brake lets go.
    if (brake.holds(cluster)) continue;
    const waitMs = pace.turn(key, context.clock.monotonicMs());
    measure(context).depth.set(pace.waiting, { name: queueOf(kind) });
    if (waitMs > 0) return requeueAfter(waitMs);
    const result = await evict(kind, binding, name, key, context);
    if (result.outcome === "done") waitsFor(leaving.filter((other) => other.name !== name));
    return result;
  }
  return drop(soonestMs === Number.POSITIVE_INFINITY ? done : requeueAfter(soonestMs));
}

async function evict(
  kind: ResourceKind<ResourceBinding>,
  binding: AnyBinding,
  cluster: string,
  key: string,
  context: TaintManagerContext,
): Promise<Result> {
  const { options, clock } = context;
  const startedMs = clock.monotonicMs();
  const failover = binding.spec.failover?.cluster;
  const purgeMode =
    failover === undefined ? options.noExecuteTaintEvictionPurgeMode : currentPurgeMode(failover.purgeMode);
  const measures = measure(context);
  const name = queueOf(kind);
  let result: Result;
  try {
    result = await write(kind, leaving(binding as ResourceBinding, cluster, purgeMode, key, context), binding, context);
  } catch (error) {
    measures.total.add(1, { name, result: "error" });
    throw error;
  }
  // A conflict keeps its turn: the eviction was not made yet.
  if (result.outcome === "requeue") return result;
  partsOf(context).pace.done(key);
  partsOf(context).stateTries.delete(key);
  measures.total.add(1, { name, result: "success" });
  measures.latency.observe((clock.monotonicMs() - startedMs) / 1000, { name });
  measures.depth.set(partsOf(context).pace.waiting, { name });
  context.log.info("evicted from cluster", { binding: key, cluster, purgeMode });
  return done;
}

/** The binding on its way out of the cluster. Without the gate `GracefulEviction` nothing keeps the old copy, as before v1.3. */
function leaving(
  binding: ResourceBinding,
  cluster: string,
  purgeMode: string,
  key: string,
  context: TaintManagerContext,
): ResourceBinding {
  if (!context.deps.gates.has("GracefulEviction")) return withoutTarget(binding, cluster);
  const preservedLabelState = stateOf(binding, cluster, key, context);
  return evicted(binding, cluster, {
    producer: PRODUCER,
    reason: REASON,
    purgeMode,
    ...(preservedLabelState === undefined ? {} : { preservedLabelState }),
  });
}

/** Labels that carry state over; a copy that never reported is evicted without after some tries. */
function stateOf(
  binding: AnyBinding,
  cluster: string,
  key: string,
  context: TaintManagerContext,
): Readonly<Record<string, string>> | undefined {
  const rules = binding.spec.failover?.cluster?.statePreservation?.rules;
  if (rules === undefined || !context.deps.gates.has("StatefulFailoverInjection")) return undefined;
  try {
    const { labels, skipped } = preserveState(binding, cluster, rules);
    for (const what of skipped) context.events.from("taint-manager").warning(binding, "StateNotPreserved", what);
    return labels;
  } catch (error) {
    const { stateTries } = partsOf(context);
    const failures = (stateTries.get(key) ?? 0) + 1;
    stateTries.set(key, failures);
    const message = error instanceof Error ? error.message : String(error);
    for (const about of [binding, templateOf(binding)])
      context.events.from("taint-manager").warning(about, "EvictWorkloadFromClusterFailed", message);
    if (!(error instanceof StateNotReported) || failures < STATE_TRIES_MAX) throw error;
    context.log.warn("evicting without state", { binding: key, cluster, error });
    return undefined;
  }
}

async function write(
  kind: ResourceKind<ResourceBinding>,
  next: ResourceBinding,
  binding: AnyBinding,
  context: TaintManagerContext,
): Promise<Result> {
  try {
    await context.client.update(kind, next);
    return done;
  } catch (error) {
    if (isNotFound(error)) return done;
    if (isConflict(error)) return requeueAfter(1);
    const message = error instanceof Error ? error.message : String(error);
    for (const about of [binding, templateOf(binding)])
      context.events.from("taint-manager").warning(about, "EvictWorkloadFromClusterFailed", message);
    throw error;
  }
}

function templateOf({ spec }: AnyBinding): KubeObject {
  const { apiVersion, kind, namespace, name, uid } = spec.resource;
  return {
    apiVersion,
    kind,
    metadata: { name, ...(namespace ? { namespace } : {}), ...(uid ? { uid } : {}) },
  };
}

const queueOf = ({ resource }: ResourceKind) =>
  resource === "resourcebindings" ? "binding-eviction" : "cluster-binding-eviction";
const LATENCY_BUCKETS = Array.from({ length: 15 }, (_, at) => 0.001 * 2 ** at);

function measure({ metrics }: TaintManagerContext) {
  return {
    depth: metrics.gauge("eviction_queue_depth", "Current depth of the eviction queue", ["name"]),
    total: metrics.counter("eviction_processing_total", "Total number of evictions processed", ["name", "result"]),
    latency: metrics.histogram(
      "eviction_processing_latency_seconds",
      "Latency of processing one eviction",
      ["name"],
      LATENCY_BUCKETS,
    ),
  };
}
