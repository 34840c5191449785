import type { HorizontalPodAutoscaler, Pod } from "#apis/kubernetes";
import { quantityMilliValue, quantityValue } from "#machinery";
import { requestsOf, type Usage, usageByContainer } from "./usage.ts";

/** How many replicas a HorizontalPodAutoscaler asks for: Kubernetes' rules for metrics of resources. Pure. */

type Spec = HorizontalPodAutoscaler["spec"];
type Metric = NonNullable<Spec["metrics"]>[number];
type Rules = NonNullable<NonNullable<Spec["behavior"]>["scaleUp"]>;

const TOLERANCE = 0.1;
const DOWN_WINDOW_SECONDS = 300;
const UP_POLICIES = [
  { type: "Pods", value: 4, periodSeconds: 15 },
  { type: "Percent", value: 100, periodSeconds: 15 },
];
const DOWN_POLICIES = [{ type: "Percent", value: 100, periodSeconds: 15 }];

export interface Sample {
  readonly pod: Pod;
  readonly usage: Usage;
}

export type Reading =
  | { readonly replicas: number; readonly current: unknown }
  | { readonly problem: string; readonly reason: string };

/**
 * What one metric asks for, given what the ready pods use. `replicas` are those the workload has by now: one that is not ready
 * yet counts as using nothing where more are asked for, as its share may be all that is missing.
 */
export function readMetric(metric: Metric, samples: readonly Sample[], replicas: number): Reading {
  const source =
    metric.type === "Resource"
      ? metric.resource
      : metric.type === "ContainerResource"
        ? metric.containerResource
        : undefined;
  const name = source?.name ?? "";
  if (source === undefined || (name !== "cpu" && name !== "memory"))
    return { reason: `FailedGet${metric.type}Metric`, problem: "a simulated member measures cpu and memory only" };
  const reason = `FailedGet${metric.type}Metric`;
  if (samples.length === 0)
    return {
      reason,
      problem: `unable to get metrics for resource ${name}: no metrics returned from resource metrics API`,
    };
  const key = name === "cpu" ? "cpuMilli" : "memoryBytes";
  const container = metric.type === "ContainerResource" ? metric.containerResource?.container : undefined;
  let used = 0;
  let requested = 0;
  for (const { pod, usage } of samples) {
    for (const part of usageByContainer(pod, usage))
      if (container === undefined || part.name === container) used += part[key];
    for (const part of requestsOf(pod)) {
      if (container !== undefined && part.name !== container) continue;
      if (part[key] === 0 && source.target?.type === "Utilization")
        return {
          reason,
          problem: `failed to get ${name} utilization: missing request for ${name} in container ${part.name} of Pod ${pod.metadata.name}`,
        };
      requested += part[key];
    }
  }
  const average = used / samples.length;
  const averageValue = name === "cpu" ? `${Math.round(average)}m` : String(Math.round(average));
  const target = source.target;
  const wantedAverage = target?.averageValue as string | undefined;
  const utilization = requested === 0 ? 0 : Math.floor((used * 100) / requested);
  const ratio =
    target?.type === "Utilization"
      ? utilization / (target.averageUtilization ?? 80)
      : average / ((name === "cpu" ? quantityMilliValue(wantedAverage) : quantityValue(wantedAverage)) || 1);
  const value = target?.type === "Utilization" ? { averageUtilization: utilization, averageValue } : { averageValue };
  const current =
    metric.type === "Resource"
      ? { type: "Resource", resource: { name, current: value } }
      : { type: "ContainerResource", containerResource: { name, container, current: value } };
  if (Math.abs(ratio - 1) <= TOLERANCE) return { replicas, current };
  if (ratio < 1 || replicas <= samples.length) return { replicas: Math.ceil(ratio * samples.length), current };
  const spread = (ratio * samples.length) / replicas;
  return { replicas: spread <= 1 + TOLERANCE ? replicas : Math.ceil(spread * replicas), current };
}

/** What happened before: recommendations and changes, newest last. */
export interface History {
  readonly recommendations: readonly { readonly atMs: number; readonly replicas: number }[];
  readonly changes: readonly { readonly atMs: number; readonly by: number }[];
}

export interface Decision {
  readonly replicas: number;
  readonly limited: { readonly isLimited: boolean; readonly reason: string; readonly message: string };
  readonly history: History;
}

const HISTORY_MS = 3_600_000;

/** The next number of replicas: what is asked for, steadied over a window, not faster than allowed, within bounds. */
export function planReplicas(spec: Spec, current: number, asked: number, past: History, nowMs: number): Decision {
  const recommendations = [...past.recommendations, { atMs: nowMs, replicas: asked }].filter(
    ({ atMs }) => atMs > nowMs - HISTORY_MS,
  );
  const changes = past.changes.filter(({ atMs }) => atMs > nowMs - HISTORY_MS);
  const { scaleUp, scaleDown } = spec.behavior ?? {};
  const within = (seconds: number) =>
    recommendations.filter(({ atMs }) => atMs >= nowMs - seconds * 1000).map(({ replicas }) => replicas);
  const upFloor = Math.min(asked, ...within(scaleUp?.stabilizationWindowSeconds ?? 0));
  const downCeiling = Math.max(asked, ...within(scaleDown?.stabilizationWindowSeconds ?? DOWN_WINDOW_SECONDS));
  const steady = clampBetween(current, upFloor, downCeiling);
  const min = spec.minReplicas ?? 1;
  const max = spec.maxReplicas;
  const moved = (periodSeconds: number, isUp: boolean) =>
    changes
      .filter(({ atMs, by }) => atMs > nowMs - periodSeconds * 1000 && by > 0 === isUp)
      .reduce((sum, { by }) => sum + Math.abs(by), 0);
  const limits = (
    rules: Rules | undefined,
    preset: readonly { type: string; value: number; periodSeconds: number }[],
    isUp: boolean,
  ) => {
    if (rules?.selectPolicy === "Disabled") return current;
    const policies = (rules?.policies ?? preset) as typeof preset;
    const each = policies.map(({ type, value, periodSeconds }) => {
      const start = current + (isUp ? -1 : 1) * moved(periodSeconds, isUp);
      const step = type === "Pods" ? value : (start * value) / 100;
      return isUp ? Math.ceil(start + step) : Math.floor(start - step);
    });
    const isWidest = rules?.selectPolicy !== "Min";
    return isUp === isWidest ? Math.max(...each) : Math.min(...each);
  };
  let replicas = steady;
  let limited = {
    isLimited: false,
    reason: "DesiredWithinRange",
    message: "the desired count is within the acceptable range",
  };
  const limit = (value: number, reason: string, message: string) => {
    replicas = value;
    limited = { isLimited: true, reason, message };
  };
  if (replicas > current) {
    const most = Math.max(current, limits(scaleUp, UP_POLICIES, true));
    if (replicas > most)
      limit(most, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
  } else if (replicas < current) {
    const fewest = Math.min(current, Math.max(0, limits(scaleDown, DOWN_POLICIES, false)));
    if (replicas < fewest)
      limit(fewest, "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
  }
  if (replicas > max) limit(max, "TooManyReplicas", "the desired replica count is more than the maximum replica count");
  if (replicas < min) limit(min, "TooFewReplicas", "the desired replica count is less than the minimum replica count");
  return {
    replicas,
    limited,
    history: {
      recommendations,
      changes: replicas === current ? changes : [...changes, { atMs: nowMs, by: replicas - current }],
    },
  };
}

/** `value` where it may stay, else the bound it has to move to. */
function clampBetween(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(value, high));
}
