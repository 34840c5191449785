import {
  type AnyBinding,
  APPLIED_PLACEMENT,
  type Condition,
  type ResourceBinding,
  type ResourceBindingStatus,
} from "#apis/karmada";
import { deepEqual } from "#base";
import type { Request } from "#controller-runtime";
import { ApiError, isNotFound, type KubeObject } from "#machinery";
import { conditionOf, type PassPlan } from "./pass.ts";
import type { SchedulerContext } from "./wakes.ts";

const MERGE = "application/merge-patch+json";

export interface Written {
  readonly retry: PassPlan["retry"];
  /** The binding after its spec was patched; absent when it was not. */
  readonly binding?: AnyBinding;
  /** Whether the result could not be written. */
  readonly isFailed: boolean;
}

function specPatch(
  binding: AnyBinding,
  { clusters, appliedPlacement }: PassPlan,
): Readonly<Record<string, unknown>> | undefined {
  const patch: Record<string, unknown> = {};
  if (appliedPlacement !== undefined && binding.metadata.annotations?.[APPLIED_PLACEMENT] !== appliedPlacement)
    patch["metadata"] = { annotations: { [APPLIED_PLACEMENT]: appliedPlacement } };
  if (clusters !== undefined && !deepEqual(clusters, binding.spec.clusters ?? []))
    patch["spec"] = { clusters: clusters.length === 0 ? null : clusters };
  return Object.keys(patch).length === 0 ? undefined : patch;
}

function statusPatch(
  status: ResourceBindingStatus,
  plan: PassPlan,
  condition: Condition | undefined,
): Readonly<Record<string, unknown>> | undefined {
  const change: Record<string, unknown> = {};
  const conditions = (status.conditions ?? []) as readonly Condition[];
  if (condition !== undefined && !conditions.some((present) => deepEqual(present, condition)))
    change["conditions"] = [...conditions.filter(({ type }) => type !== condition.type), condition];
  if (condition?.status !== "False") {
    const { observedGeneration, lastScheduledTime, observedAffinityName } = plan;
    if (observedGeneration !== undefined && status.schedulerObservedGeneration !== observedGeneration)
      change["schedulerObservedGeneration"] = observedGeneration;
    if (lastScheduledTime !== undefined && status.lastScheduledTime !== lastScheduledTime)
      change["lastScheduledTime"] = lastScheduledTime;
    if (observedAffinityName !== undefined) change["schedulerObservingAffinityName"] = observedAffinityName || null;
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
    observedGeneration + 1 === generation &&
    deepEqual({ ...patched.spec, clusters: undefined }, { ...binding.spec, clusters: undefined });
  return isOurs ? { observedGeneration: generation } : {};
}

const isTerminating = (error: unknown): boolean =>
  error instanceof ApiError &&
  (error.status.details?.causes ?? []).some(({ reason }) => reason === "NamespaceTerminating");

/** Writes a pass: spec, then events, then status; each only if it changes something. */
export async function writePlan(
  binding: AnyBinding,
  plan: PassPlan,
  request: Request,
  context: SchedulerContext,
): Promise<Written> {
  const { client, options } = context;
  const kind = request.kind as typeof ResourceBinding;
  const events = context.events.from(options.schedulerName);
  const about = [binding, resourceOf(binding)];
  const say = (type: "Normal" | "Warning", reason: string, message: string) => {
    for (const object of about) {
      if (type === "Normal") events.normal(object, reason, message);
      else events.warning(object, reason, message);
    }
  };
  let { condition, retry } = plan;
  let patched: AnyBinding | undefined;
  let isFailed = false;
  try {
    const patch = specPatch(binding, plan);
    if (patch !== undefined) patched = await client.patch(kind, request, MERGE, patch);
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
  try {
    const seen = patched === undefined ? plan : { ...plan, ...observedAfter(binding, patched, plan) };
    const change = statusPatch((binding.status ?? {}) as ResourceBindingStatus, seen, condition);
    if (change !== undefined) await client.patch(kind, request, MERGE, { status: change }, { subresource: "status" });
  } catch (error) {
    if (isNotFound(error) || isTerminating(error)) return { retry: "none", isFailed };
    context.log.warn("could not write the scheduling status", { binding: request.key, error });
    retry = "backoff";
  }
  return { retry, isFailed, ...(patched === undefined ? {} : { binding: patched }) };
}

function resourceOf(binding: AnyBinding): KubeObject {
  const { apiVersion, kind, namespace, name, uid } = binding.spec.resource;
  return { apiVersion, kind, metadata: { name, ...(namespace ? { namespace } : {}), ...(uid ? { uid } : {}) } };
}
