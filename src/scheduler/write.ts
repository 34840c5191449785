import {
  type AnyBinding,
  APPLIED_PLACEMENT,
  type Condition,
  type ResourceBinding,
  type ResourceBindingStatus,
} from "#apis/karmada";
import { deepEqual } from "#base";
import type { Request } from "#controller-runtime";
import { ApiError, isNotFound, keyOf, type KubeObject } from "#machinery";
import { conditionOf, decisionKey, type PassPlan } from "./pass.ts";
import { type SchedulerContext, stateOf } from "./wakes.ts";

const MERGE = "application/merge-patch+json";
const JSON_PATCH = "application/json-patch+json";

export interface Written {
  readonly retry: PassPlan["retry"];
  /** The binding after its spec was patched; absent when it was not. */
  readonly binding?: AnyBinding;
  /** Whether the result could not be written. */
  readonly isFailed: boolean;
  /** The binding has moved meanwhile: its change brings it back. */
  readonly isSuperseded?: boolean;
}

/**
 * The result as a patch that holds for the generation it was made for and no other: somebody who evicts the binding at the
 * same time, or takes an eviction back, must not lose to a result that did not know of it.
 */
function specPatch(
  binding: AnyBinding,
  { clusters, appliedPlacement }: PassPlan,
): { readonly steps: readonly object[]; readonly movesGeneration: boolean } | undefined {
  const patch: object[] = [];
  let movesGeneration = false;
  const { annotations } = binding.metadata;
  if (appliedPlacement !== undefined && annotations?.[APPLIED_PLACEMENT] !== appliedPlacement)
    patch.push(
      annotations === undefined
        ? { op: "add", path: "/metadata/annotations", value: { [APPLIED_PLACEMENT]: appliedPlacement } }
        : {
            op: "add",
            path: `/metadata/annotations/${APPLIED_PLACEMENT.replaceAll("/", "~1")}`,
            value: appliedPlacement,
          },
    );
  if (clusters !== undefined && !deepEqual(clusters, binding.spec.clusters ?? [])) {
    movesGeneration = true;
    patch.push(
      clusters.length === 0
        ? { op: "remove", path: "/spec/clusters" }
        : { op: "add", path: "/spec/clusters", value: clusters },
    );
  }
  if (patch.length === 0) return undefined;
  const test = { op: "test", path: "/metadata/generation", value: binding.metadata.generation ?? 0 };
  return { steps: [test, ...patch], movesGeneration };
}

export function statusPatch(
  status: ResourceBindingStatus,
  plan: PassPlan,
): Readonly<Record<string, unknown>> | undefined {
  const change: Record<string, unknown> = {};
  const { condition } = plan;
  const conditions = (status.conditions ?? []) as readonly Condition[];
  if (condition !== undefined && !conditions.some((present) => deepEqual(present, condition)))
    change["conditions"] = [...conditions.filter(({ type }) => type !== condition.type), condition];
  if (condition?.status !== "False") {
    const { observedGeneration, lastScheduledTime, observedAffinityName } = plan;
    if (observedGeneration !== undefined && status.schedulerObservedGeneration !== observedGeneration)
      change["schedulerObservedGeneration"] = observedGeneration;
    if (lastScheduledTime !== undefined && status.lastScheduledTime !== lastScheduledTime)
      change["lastScheduledTime"] = lastScheduledTime;
    if (observedAffinityName !== undefined && observedAffinityName !== (status.schedulerObservingAffinityName ?? ""))
      change["schedulerObservingAffinityName"] = observedAffinityName || null;
  }
  return Object.keys(change).length === 0 ? undefined : change;
}

/**
 * Our own patch moves the generation. Where it alone did, that generation is as good as seen: a pass that only says so
 * would follow.
 */
function observedAfter(
  binding: AnyBinding,
  patched: AnyBinding,
  { observedGeneration }: PassPlan,
): { readonly observedGeneration?: number } {
  const generation = patched.metadata.generation ?? 0;
  const isOurs =
    observedGeneration !== undefined &&
    (binding.metadata.generation ?? 0) + 1 === generation &&
    deepEqual({ ...patched.spec, clusters: undefined }, { ...binding.spec, clusters: undefined });
  return isOurs ? { observedGeneration: generation } : {};
}

const isTerminating = (error: unknown): boolean =>
  error instanceof ApiError &&
  (error.status.details?.causes ?? []).some(({ reason }) => reason === "NamespaceTerminating");

const MOVED_TRIES_MAX = 5;

/** What a pass decides on: all of the spec but for the time at which an eviction was noted. */
function questionOf({ spec }: AnyBinding): unknown {
  const tasks = (spec.gracefulEvictionTasks ?? []).map(({ creationTimestamp: _noted, ...task }) => task);
  return { ...spec, gracefulEvictionTasks: tasks };
}

interface Patched {
  /** The binding the patch was made for, of the generation it was made for. */
  readonly from: AnyBinding;
  /** The binding after it; absent when there was nothing to change. */
  readonly to?: AnyBinding;
}

/**
 * The status as it is to be once the spec is patched. It comes true in the same write where the API server is in this
 * process; elsewhere it is written after.
 */
function statusAlongside(from: AnyBinding, plan: PassPlan, movesGeneration: boolean) {
  const seen =
    plan.observedGeneration === undefined || !movesGeneration
      ? plan
      : { ...plan, observedGeneration: (from.metadata.generation ?? 0) + 1 };
  const change = statusPatch((from.status ?? {}) as ResourceBindingStatus, seen);
  return change === undefined ? {} : { statusPatch: change };
}

/** Patches the spec; `undefined` when the binding is another by now, so that the result answers a question of the past. */
async function patchSpec(
  binding: AnyBinding,
  plan: PassPlan,
  request: Request,
  context: SchedulerContext,
): Promise<Patched | undefined> {
  const { client } = context;
  const { patches } = stateOf(context);
  const kind = request.kind as typeof ResourceBinding;
  let from = binding;
  for (let tries = 1; ; tries++) {
    const patch = specPatch(from, plan);
    if (patch === undefined) return { from };
    try {
      if (plan.clusters !== undefined) patches.sent(decisionKey(from), from, plan.clusters);
      const { steps, movesGeneration } = patch;
      const alongside = statusAlongside(from, plan, movesGeneration);
      return { from, to: await client.patch(kind, request, JSON_PATCH, steps, alongside) };
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 422) throw error;
      const latest = await client.find(kind, request);
      if (latest === undefined) return undefined;
      if (latest.metadata.generation === from.metadata.generation) throw error;
      if (tries >= MOVED_TRIES_MAX || !deepEqual(questionOf(latest), questionOf(binding))) return undefined;
      from = latest;
    } finally {
      patches.forget(decisionKey(from));
    }
  }
}

type Say = (type: "Normal" | "Warning", reason: string, message: string) => void;

/** Tells of a binding, on itself and on what it binds. */
export function sayOf(binding: AnyBinding, { events: recorder, options }: SchedulerContext): Say {
  const events = recorder.from(options.schedulerName);
  const about = [binding, resourceOf(binding)];
  return (type, reason, message) => {
    for (const object of about) {
      if (type === "Normal") events.normal(object, reason, message);
      else events.warning(object, reason, message);
    }
  };
}

/**
 * Writes what a pass has to say in the status of a binding and is not there yet; says what came of it. What failed is kept
 * for the next pass to say.
 */
export async function writeStatus(
  binding: AnyBinding,
  plan: PassPlan,
  kind: typeof ResourceBinding,
  context: SchedulerContext,
): Promise<"there" | "gone" | "failed"> {
  const { untold } = stateOf(context);
  const key = decisionKey(binding);
  const said = untold.with(key, binding, plan);
  const change = statusPatch((binding.status ?? {}) as ResourceBindingStatus, said);
  untold.forget(key);
  if (change === undefined) return "there";
  const { namespace, name = "" } = binding.metadata;
  try {
    await context.client.patch(kind, { namespace, name }, MERGE, { status: change }, { subresource: "status" });
    return "there";
  } catch (error) {
    if (isNotFound(error) || isTerminating(error)) return "gone";
    untold.keep(key, binding, said);
    context.log.warn("could not write the scheduling status", { binding: keyOf(binding), error });
    return "failed";
  }
}

/**
 * Writes a pass: spec and status, in one write where that is possible, and events; each only if it changes something. Of a
 * binding that has moved meanwhile nothing is written: its change brings it back. A pass of a start that finds everything as
 * it was says so to nobody.
 */
export async function writePlan(
  binding: AnyBinding,
  plan: PassPlan,
  request: Request,
  context: SchedulerContext,
  { isOfStart = false }: { readonly isOfStart?: boolean } = {},
): Promise<Written> {
  const say = sayOf(binding, context);
  let { condition, retry } = plan;
  let patched: Patched = { from: binding };
  let isFailed = false;
  try {
    const done = await patchSpec(binding, plan, request, context);
    if (done === undefined) return { retry: "none", isFailed: true, isSuperseded: true };
    patched = done;
    if (isOfStart && done.to === undefined && isAsWritten(binding, plan)) return { retry, isFailed };
    for (const event of plan.events) say(event.type, event.reason, event.message);
  } catch (error) {
    if (isNotFound(error) || isTerminating(error)) return { retry: "none", isFailed: true };
    isFailed = true;
    retry = "backoff";
    const isQuota = error instanceof ApiError && error.code === 403 && error.reason === "QuotaExceeded";
    const text = error instanceof Error ? error.message : String(error);
    // What the terms said on the way was true all the same.
    for (const event of plan.events.slice(0, -1)) say(event.type, event.reason, event.message);
    const isNoFit = condition?.reason === "NoClusterFit";
    const message = isNoFit ? `[${condition?.message}, ${text}]` : text;
    condition = conditionOf(
      binding,
      "False",
      isNoFit ? "NoClusterFit" : isQuota ? "QuotaExceeded" : "SchedulerError",
      message,
      context.clock.now(),
    );
    say("Warning", "ScheduleBindingFailed", message);
  }
  const seen = {
    ...plan,
    ...(condition === undefined ? {} : { condition }),
    ...(patched.to === undefined ? {} : observedAfter(patched.from, patched.to, plan)),
  };
  const kind = request.kind as typeof ResourceBinding;
  const status = await writeStatus(patched.to ?? binding, seen, kind, context);
  if (status === "gone") return { retry: "none", isFailed };
  if (status === "failed") retry = "backoff";
  return { retry, isFailed, ...(patched.to === undefined ? {} : { binding: patched.to }) };
}

/** Whether a binding's status says already what a pass that succeeded would write, but for the time. */
function isAsWritten({ status = {} }: AnyBinding, plan: PassPlan): boolean {
  const { lastScheduledTime: _now, observedAffinityName: name, ...rest } = plan;
  return (
    plan.condition?.status === "True" &&
    (name === undefined || name === (status.schedulerObservingAffinityName ?? "")) &&
    statusPatch(status as ResourceBindingStatus, rest) === undefined
  );
}

function resourceOf(binding: AnyBinding): KubeObject {
  const { apiVersion, kind, namespace, name, uid } = binding.spec.resource;
  return { apiVersion, kind, metadata: { name, ...(namespace ? { namespace } : {}), ...(uid ? { uid } : {}) } };
}
