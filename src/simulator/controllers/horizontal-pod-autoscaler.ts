import { Deployment, HorizontalPodAutoscaler, Pod, ReplicaSet, StatefulSet } from "#apis/kubernetes";
import { deepEqual } from "#base";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
} from "#controller-runtime";
import {
  formatTime,
  isBeingDeleted,
  isConflict,
  isNotFound,
  type KubeObject,
  type LabelSelector,
  type ResourceKind,
} from "#machinery";
import { type History, planReplicas, readMetric, type Sample } from "../autoscaling.ts";
import { isPodActive, isPodReady, selects } from "../pods.ts";
import { podUsage } from "../pod-usage.ts";

export interface AutoscalerOptions {
  /** From one look at the metrics to the next; default 15 s, as Kubernetes. */
  readonly syncPeriodMs: number;
}

const TARGETS: Readonly<Record<string, ResourceKind>> = { Deployment, StatefulSet, ReplicaSet };
const NO_HISTORY: History = { recommendations: [], changes: [] };

interface Scaled extends KubeObject {
  readonly spec?: { readonly replicas?: number; readonly selector?: LabelSelector };
  readonly status?: { readonly replicas?: number };
}

/** Scales workloads by what their pods use, as the autoscaler of a member would. */
export const horizontalPodAutoscaler = defineController<unknown, AutoscalerOptions>({
  name: "horizontal-pod-autoscaler",
  reconciles: [HorizontalPodAutoscaler],
  when: ({ type }) => type !== "deleted",
  reads: [Pod, Deployment, StatefulSet, ReplicaSet],
  writes: [
    { kind: HorizontalPodAutoscaler, verbs: ["update"], subresources: ["status"] },
    ...Object.values(TARGETS).map((kind) => ({ kind, verbs: ["patch" as const] })),
  ],
  options: { syncPeriodMs: 15_000 },
  reconcile,
});

/** By autoscaler; forgotten together with the object of the cache. */
const histories = new WeakMap<object, Map<string, History>>();

async function reconcile(request: Request, context: ControllerContext<unknown, AutoscalerOptions>): Promise<Result> {
  const scaler = context.cache(HorizontalPodAutoscaler).get(request.key);
  const own = histories.get(context.signal) ?? new Map<string, History>();
  histories.set(context.signal, own);
  if (scaler === undefined || isBeingDeleted(scaler)) {
    own.delete(request.key);
    return done;
  }
  const nowMs = context.clock.now();
  const lastMs = own.get(request.key)?.recommendations.at(-1)?.atMs;
  // Its own status update and those of others wake it as well; the pace stays that of the period.
  if (lastMs !== undefined && nowMs < lastMs + context.options.syncPeriodMs)
    return requeueAfter(lastMs + context.options.syncPeriodMs - nowMs);
  try {
    await scale(scaler, request, context, own, nowMs);
  } catch (error) {
    if (!isConflict(error) && !isNotFound(error)) throw error;
  }
  return requeueAfter(context.options.syncPeriodMs);
}

async function scale(
  scaler: HorizontalPodAutoscaler,
  request: Request,
  context: ControllerContext<unknown, AutoscalerOptions>,
  own: Map<string, History>,
  nowMs: number,
): Promise<void> {
  const { scaleTargetRef } = scaler.spec;
  const kind = TARGETS[scaleTargetRef?.kind ?? ""];
  const target =
    kind === undefined
      ? undefined
      : (context.cache(kind).get(`${request.namespace}/${scaleTargetRef?.name}`) as Scaled | undefined);
  const now = formatTime(nowMs);
  const condition = (type: string, isTrue: boolean, reason: string, message: string) => {
    const status = isTrue ? "True" : "False";
    const present = scaler.status?.conditions?.find((other) => other.type === type);
    return {
      type,
      status,
      reason,
      message,
      lastTransitionTime: present?.status === status ? present.lastTransitionTime : now,
    };
  };
  const write = async (status: object) => {
    const next = { observedGeneration: scaler.metadata.generation, ...status };
    if (!deepEqual(next, scaler.status ?? {}))
      await context.client.updateStatus(HorizontalPodAutoscaler, {
        ...scaler,
        status: next,
      } as unknown as HorizontalPodAutoscaler);
  };
  if (target === undefined || kind === undefined) {
    await write({
      currentReplicas: 0,
      desiredReplicas: 0,
      conditions: [
        condition(
          "AbleToScale",
          false,
          "FailedGetScale",
          `the HPA controller was unable to get the target's current scale: ${scaleTargetRef?.kind} "${scaleTargetRef?.name}" not found`,
        ),
      ],
    });
    return;
  }
  const current = target.spec?.replicas ?? 1;
  const { lastScaleTime } = scaler.status ?? {};
  const kept = lastScaleTime === undefined ? {} : { lastScaleTime };
  const able = condition(
    "AbleToScale",
    true,
    "SucceededGetScale",
    "the HPA controller was able to get the target's current scale",
  );
  if (current === 0) {
    await write({
      currentReplicas: 0,
      desiredReplicas: 0,
      ...kept,
      conditions: [
        able,
        condition(
          "ScalingActive",
          false,
          "ScalingDisabled",
          "scaling is disabled since the replica count of the target is zero",
        ),
      ],
    });
    return;
  }
  const ready = context
    .cache(Pod)
    .list(request.namespace)
    .filter((pod) => isPodActive(pod) && isPodReady(pod) && selects(target.spec?.selector, pod.metadata.labels));
  const samples: Sample[] = ready.map((pod) => ({ pod, usage: podUsage(pod, context, ready.length) }));
  const readings = (scaler.spec.metrics ?? []).map((metric) => readMetric(metric, samples, current));
  const good = readings.flatMap((reading) => ("replicas" in reading ? [reading] : []));
  const bad = readings.flatMap((reading) => ("problem" in reading ? [reading] : []));
  const asked = good.length === 0 ? current : Math.max(...good.map(({ replicas }) => replicas));
  // A metric that cannot be read may ask for more than the others: nothing is scaled down without it.
  const decision = planReplicas(
    scaler.spec,
    current,
    bad.length > 0 ? Math.max(asked, current) : asked,
    own.get(request.key) ?? NO_HISTORY,
    nowMs,
  );
  own.set(request.key, decision.history);
  const { replicas, limited } = decision;
  const [problem] = bad;
  if (replicas !== current) {
    await context.client.patch(
      kind,
      { namespace: request.namespace, name: target.metadata.name ?? "" },
      "application/merge-patch+json",
      {
        spec: { replicas },
      },
    );
    context.events
      .from("horizontal-pod-autoscaler")
      .normal(
        scaler,
        "SuccessfulRescale",
        `New size: ${replicas}; reason: ${replicas > current ? "resource utilization above target" : "All metrics below target"}`,
      );
  }
  await write({
    currentReplicas: target.status?.replicas ?? current,
    desiredReplicas: replicas,
    ...(replicas === current ? kept : { lastScaleTime: now }),
    ...(good.length === 0 ? {} : { currentMetrics: good.map(({ current: measured }) => measured) }),
    conditions: [
      replicas === current
        ? condition("AbleToScale", true, "ReadyForNewScale", "recommended size matches current size")
        : condition(
            "AbleToScale",
            true,
            "SucceededRescale",
            `the HPA controller was able to update the target scale to ${replicas}`,
          ),
      problem === undefined
        ? condition(
            "ScalingActive",
            true,
            "ValidMetricFound",
            "the HPA was able to successfully calculate a replica count",
          )
        : condition(
            "ScalingActive",
            false,
            problem.reason,
            `the HPA was unable to compute the replica count: ${problem.problem}`,
          ),
      condition("ScalingLimited", limited.isLimited, limited.reason, limited.message),
    ],
  });
}
