import {
  type AnyBinding,
  currentPurgeMode,
  evicted,
  type EvictionReason,
  preserveState,
  type StateRule,
} from "#apis/karmada";

/** Since when a binding's copies are unhealthy, by cluster. */
export type Timers = ReadonlyMap<string, number>;

export interface FailoverFacts {
  /** Whether somebody can say how healthy the kind is. */
  readonly hasHealth: boolean;
  readonly nowMs: number;
}

/** What is to happen with a binding's unhealthy copies. */
export interface FailoverPlan {
  readonly timers: Timers;
  /** Clusters that are due. */
  readonly due: readonly string[];
  /** Until the next one is due. */
  readonly recheckMs: number | undefined;
}

const NOTHING: FailoverPlan = { timers: new Map(), due: [], recheckMs: undefined };

/** Judges the copies of a binding; timers start at first sight and end with health, or with the target. */
export function planFailover(binding: AnyBinding, before: Timers | undefined, facts: FailoverFacts): FailoverPlan {
  const { spec, status, kind } = binding;
  const application = spec.failover?.application;
  const items = status?.aggregatedStatus ?? [];
  const isEligible =
    application !== undefined &&
    items.length > 0 &&
    facts.hasHealth &&
    (kind === "ClusterResourceBinding" || spec.propagateDeps === true);
  if (!isEligible) return NOTHING;
  const toleranceMs = (application.decisionConditions?.tolerationSeconds ?? 300) * 1000;
  const timers = new Map<string, number>();
  const due: string[] = [];
  let recheckMs: number | undefined;
  for (const { name } of spec.clusters ?? []) {
    const isUnhealthy = items.some(({ clusterName, health }) => clusterName === name && health === "Unhealthy");
    const isLeaving = (spec.gracefulEvictionTasks ?? []).some(({ fromCluster }) => fromCluster === name);
    if (!isUnhealthy || isLeaving) continue;
    const sinceMs = before?.get(name) ?? facts.nowMs;
    timers.set(name, sinceMs);
    const leftMs = sinceMs + toleranceMs - facts.nowMs;
    if (leftMs <= 0) due.push(name);
    else recheckMs = Math.min(recheckMs ?? Number.POSITIVE_INFINITY, leftMs);
  }
  return { timers, due, recheckMs };
}

export interface FailoverOptions {
  readonly producer: string;
  /** Gate `GracefulEviction`. */
  readonly isGraceful: boolean;
  /** Gate `StatefulFailoverInjection`. */
  readonly preservesState: boolean;
  /** Clusters whose copies never reported a status are evicted without state. */
  readonly withoutState: ReadonlySet<string>;
}

/** The binding without the clusters that are due, and what of their state could not be kept. */
export function failedOver(
  binding: AnyBinding,
  due: readonly string[],
  options: FailoverOptions,
): { readonly binding: AnyBinding; readonly skipped: readonly string[] } {
  const application = binding.spec.failover?.application;
  const purgeMode = currentPurgeMode(application?.purgeMode);
  if (purgeMode === "Gracefully" && !options.isGraceful)
    throw new Error("GracefulEviction featureGate must be enabled when purgeMode is Gracefully");
  const rules: readonly StateRule[] = options.preservesState ? (application?.statePreservation?.rules ?? []) : [];
  const clustersBeforeFailover = (binding.spec.clusters ?? []).map(({ name }) => name);
  const skipped: string[] = [];
  let next = binding;
  for (const cluster of due) {
    const state =
      rules.length === 0 || options.withoutState.has(cluster) ? undefined : preserveState(binding, cluster, rules);
    skipped.push(...(state?.skipped ?? []));
    const why: EvictionReason = {
      producer: options.producer,
      reason: "ApplicationFailure",
      purgeMode,
      ...(purgeMode === "Gracefully" && application?.gracePeriodSeconds !== undefined
        ? { gracePeriodSeconds: application.gracePeriodSeconds }
        : {}),
      ...(purgeMode === "Never" ? { suppressDeletion: true } : {}),
      ...(state === undefined ? {} : { preservedLabelState: state.labels, clustersBeforeFailover }),
    };
    next = evicted(next, cluster, why);
  }
  return { binding: next, skipped };
}
