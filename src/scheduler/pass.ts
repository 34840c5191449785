import {
  type AnyBinding,
  APPLIED_PLACEMENT,
  type Cluster,
  type Condition,
  type Placement,
  type ResourceBinding,
  type ResourceBindingSpec,
  type ResourceBindingStatus,
  type TargetCluster,
} from "#apis/karmada";
import { deepEqual } from "#base";
import { formatTime, keyOf } from "#machinery";
import { termNamed } from "#apis/karmada";
import { type Decision, recordTerm, type ScheduleCause, type TermDecision } from "./decision.ts";
import { ScheduleError } from "./errors.ts";
import { assignedReplicas, type Gates, isRescheduleTriggered, isWorkload, strategyOf } from "./facts.ts";
import { fleetOf } from "./fleet.ts";
import { placementText } from "./placement-text.ts";
import type { AlgorithmOptions } from "./algorithm.ts";
import { schedule } from "./schedule.ts";

export interface PassInput {
  readonly binding: AnyBinding;
  readonly clusters: readonly Cluster[];
  readonly peers?: readonly ResourceBinding[];
  readonly gates: Gates;
  readonly algorithm: AlgorithmOptions;
  readonly nowMs: number;
  /** Whether the plan says why; default false. */
  readonly explains?: boolean;
  /** Runs the algorithm even when nothing calls for it; default false. */
  readonly isForced?: boolean;
}

export interface PassEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** What one pass over a binding leads to; nothing has been written yet. */
export interface PassPlan {
  /** Result to write; absent when the spec stays as it is. */
  readonly clusters?: readonly TargetCluster[];
  readonly appliedPlacement?: string;
  /** Affinity term to write into the status; empty clears it. */
  readonly observedAffinityName?: string;
  /** Warnings of affinity terms that failed on the way; they come before the result. */
  readonly events: readonly PassEvent[];
  readonly condition?: Condition;
  readonly observedGeneration?: number;
  readonly lastScheduledTime?: string;
  readonly retry: "none" | "backoff" | "unschedulable";
  /** Whether the algorithm ran. */
  readonly isScheduled: boolean;
  readonly cause?: ScheduleCause;
  /** Why, where it was asked for. */
  readonly decision?: Decision;
}

const isEmptyList = (value: unknown) => Array.isArray(value) && value.length === 0;
const settled = (value: unknown) => (isEmptyList(value) ? undefined : value);

/** Whether the placement differs from the one last applied in a way that matters. */
export function isPlacementChanged(
  placement: Placement,
  applied: string | undefined,
  observedName: string | undefined,
): boolean {
  if (applied === undefined || applied === "") return true;
  let before: Placement;
  try {
    before = JSON.parse(applied) as Placement;
  } catch {
    return true;
  }
  if (typeof before !== "object" || before === null) return true;
  const now = placement as Readonly<Record<string, unknown>>;
  const then = before as Readonly<Record<string, unknown>>;
  for (const part of ["clusterAffinity", "clusterTolerations", "spreadConstraints", "replicaScheduling"])
    if (!deepEqual(settled(now[part]), settled(then[part]))) return true;
  if (!deepEqual(now["workloadAffinity"], then["workloadAffinity"])) return true;
  if (deepEqual(settled(now["clusterAffinities"]), settled(then["clusterAffinities"]))) return false;
  if (!observedName) return true;
  const mine = termNamed(placement, observedName);
  const theirs = termNamed(before, observedName);
  return mine === undefined || theirs === undefined || !deepEqual(mine, theirs);
}

/** Whether the components a target records are no longer those of the workload. */
function isComponentsChanged(spec: ResourceBindingSpec, recorded: NonNullable<TargetCluster["components"]>): boolean {
  const wanted = (spec.components ?? []).map(({ name, replicas }) => ({ name, replicas }));
  return !deepEqual(
    wanted,
    recorded.map(({ name, replicas }) => ({ name, replicas })),
  );
}

export function isReplicasChanged(spec: ResourceBindingSpec, placement: Placement, gates: Gates): boolean {
  if (placement.replicaScheduling === undefined) return false;
  const targets = spec.clusters ?? [];
  if (gates.has("MultiplePodTemplatesScheduling") && (spec.components?.length ?? 0) > 0)
    return (
      targets.length === 0 ||
      targets.some(({ components }) => components !== undefined && isComponentsChanged(spec, components))
    );
  const replicas = spec.replicas ?? 0;
  if (strategyOf(placement) === "Duplicated") return targets.some((target) => (target.replicas ?? 0) !== replicas);
  return assignedReplicas(targets) !== replicas;
}

/** Why a pass runs the algorithm; `undefined` when nothing calls for it. */
export function scheduleCause(
  binding: AnyBinding,
  placement: Placement,
  clusters: readonly Cluster[],
  gates: Gates,
): ScheduleCause | undefined {
  const { spec, status } = binding;
  if (
    isPlacementChanged(
      placement,
      binding.metadata.annotations?.[APPLIED_PLACEMENT],
      status?.schedulerObservingAffinityName,
    )
  )
    return "placement";
  if (isReplicasChanged(spec, placement, gates)) return "replicas";
  if (isRescheduleTriggered(spec, status)) return "trigger";
  if (!isWorkload(spec) || strategyOf(placement) === "Duplicated") return "always";
  const { leaving } = fleetOf(clusters);
  return leaving.size > 0 && (spec.clusters ?? []).some(({ name }) => leaving.has(name)) ? "terminating" : undefined;
}

/** Where the decision about a binding is kept: its kind and key. */
export const decisionKey = (binding: AnyBinding): string => `${binding.kind}/${keyOf(binding)}`;

function describe(binding: AnyBinding): string {
  const { namespace, name } = binding.metadata;
  return binding.kind === "ClusterResourceBinding"
    ? `ClusterResourceBinding(${name})`
    : `ResourceBinding(${namespace}/${name})`;
}

function resultText(binding: AnyBinding, targets: readonly TargetCluster[]): string {
  const shown = targets.map(({ name, replicas = 0 }) => `${name}:${replicas}`).join(", ");
  return `Binding has been scheduled successfully. ${binding.kind === "ClusterResourceBinding" ? "Result" : "Result:"} {${shown}}`;
}

export function conditionOf(
  binding: AnyBinding,
  status: "True" | "False",
  reason: string,
  message: string,
  nowMs: number,
): Condition {
  const before = ((binding.status as ResourceBindingStatus | undefined)?.conditions ?? []).find(
    ({ type }) => type === "Scheduled",
  );
  const isSame = before?.status === status;
  return {
    type: "Scheduled",
    status,
    reason,
    message,
    lastTransitionTime: isSame ? (before.lastTransitionTime as string) : formatTime(nowMs),
  };
}

/** What is left of the targets when some are being removed: a pass that fails must not keep their removal from ending. */
function withoutTerminating(
  spec: ResourceBindingSpec,
  clusters: readonly Cluster[],
): { readonly clusters?: readonly TargetCluster[] } {
  const { leaving } = fleetOf(clusters);
  const targets = spec.clusters ?? [];
  const left = leaving.size === 0 ? targets : targets.filter(({ name }) => !leaving.has(name));
  return left.length === targets.length ? {} : { clusters: left };
}

/**
 * One pass over one binding: whether to schedule, the result, and everything that is to be written and said. A binding that
 * cannot even be read (parts of its placement have another shape) fails with a condition: what is wrong with it is wrong
 * with it alone.
 */
export function planPass(input: PassInput): PassPlan {
  try {
    return plan(input);
  } catch (error) {
    const message = `the binding cannot be scheduled as it is: ${error instanceof Error ? error.message : String(error)}`;
    return failedPlan(input.binding, new ScheduleError("SchedulerError", message), input.nowMs);
  }
}

function plan(input: PassInput): PassPlan {
  const { binding, clusters, gates, nowMs } = input;
  const { spec } = binding;
  const status = binding.status as ResourceBindingStatus | undefined;
  const { namespace, name } = binding.metadata;
  if (binding.metadata.deletionTimestamp !== undefined) {
    const message =
      binding.kind === "ClusterResourceBinding"
        ? `skip schedule deleting clusterResourceBinding: ${name}`
        : `skip schedule deleting resourceBinding: ${namespace}/${name}`;
    return {
      events: [{ type: "Warning", reason: "ScheduleBindingFailed", message }],
      retry: "none",
      isScheduled: false,
    };
  }
  const placement = spec.placement;
  if (placement === undefined) {
    const message = `failed to get placement from ${binding.kind === "ClusterResourceBinding" ? `clusterResourceBinding(${name})` : `resourceBinding(${namespace}/${name})`}`;
    return {
      events: [],
      retry: "backoff",
      isScheduled: false,
      condition: conditionOf(binding, "False", "SchedulerError", message, nowMs),
    };
  }
  const cause = scheduleCause(binding, placement, clusters, gates) ?? (input.isForced ? "always" : undefined);
  if (cause === undefined)
    return {
      events: [],
      retry: "none",
      isScheduled: false,
      ...(binding.metadata.generation === status?.schedulerObservedGeneration
        ? {}
        : { observedGeneration: binding.metadata.generation ?? 0 }),
    };
  const events: PassEvent[] = [];
  const termDecisions: TermDecision[] = [];
  const run = (observedAffinityName: string | undefined): readonly TargetCluster[] => {
    const scheduling = {
      spec,
      status,
      placement,
      observedAffinityName,
      clusters,
      gates,
      nowMs,
      ...(input.peers === undefined ? {} : { peers: input.peers }),
      self: binding,
    };
    if (!input.explains) return schedule(scheduling, input.algorithm);
    const record = recordTerm(observedAffinityName);
    try {
      const targets = schedule(scheduling, { ...input.algorithm, record });
      termDecisions.push(record.finish({ result: targets }));
      return targets;
    } catch (error) {
      termDecisions.push(record.finish({ error: asScheduleError(error).message }));
      throw error;
    }
  };
  const decided = (end: Pick<Decision, "result" | "reason" | "error">): Pick<PassPlan, "decision" | "cause"> => {
    if (!input.explains) return { cause };
    const decision = {
      binding: decisionKey(binding),
      time: formatTime(nowMs),
      generation: binding.metadata.generation ?? 0,
      cause,
      clusters: clusters.length,
      terms: termDecisions,
      ...end,
    };
    return { cause, decision };
  };
  const applied = placementText(placement);
  let result: readonly TargetCluster[] | undefined;
  let failure: ScheduleError | undefined;
  let observedAffinityName: string | undefined;
  const terms = placement.clusterAffinities ?? [];
  if (terms.length === 0) {
    try {
      result = run(status?.schedulerObservingAffinityName || undefined);
    } catch (error) {
      failure = asScheduleError(error);
    }
  } else {
    const observedAt = terms.findIndex(({ affinityName }) => affinityName === status?.schedulerObservingAffinityName);
    const start = isRescheduleTriggered(spec, status) || observedAt < 0 ? 0 : observedAt;
    for (let at = start; at < terms.length; at++) {
      const term = terms[at]?.affinityName ?? "";
      try {
        result = run(term);
        observedAffinityName = term;
        break;
      } catch (error) {
        const scheduleError = asScheduleError(error);
        // The first error decides, but one that a later try can mend goes before one that only an event can.
        if (failure === undefined || (failure.reason === "NoClusterFit" && scheduleError.reason !== "NoClusterFit"))
          failure = scheduleError;
        events.push({
          type: "Warning",
          reason: "ScheduleBindingFailed",
          message: `failed to schedule ${describe(binding)} with clusterAffiliates index(${at}): ${scheduleError.message}`,
        });
      }
    }
    if (result !== undefined) failure = undefined;
  }
  // A name left from terms that are gone would mislead a later placement with terms of that name.
  if (result !== undefined && terms.length === 0 && status?.schedulerObservingAffinityName) observedAffinityName = "";
  if (result !== undefined) {
    result = inPresentOrder(result, spec.clusters ?? []);
    events.push({ type: "Normal", reason: "ScheduleBindingSucceed", message: resultText(binding, result) });
    return {
      clusters: result,
      appliedPlacement: applied,
      ...(observedAffinityName === undefined || observedAffinityName === status?.schedulerObservingAffinityName
        ? {}
        : { observedAffinityName }),
      events,
      condition: conditionOf(binding, "True", "Success", "Binding has been scheduled successfully.", nowMs),
      observedGeneration: binding.metadata.generation ?? 0,
      lastScheduledTime: formatTime(nowMs),
      retry: "none",
      isScheduled: true,
      ...decided({ result }),
    };
  }
  const error = failure as ScheduleError;
  const why = decided({ reason: error.reason, error: error.message });
  const condition = conditionOf(binding, "False", error.reason, error.message, nowMs);
  if (error.reason === "NoClusterFit") {
    events.push({ type: "Warning", reason: "ScheduleBindingFailed", message: error.message });
    return { clusters: [], appliedPlacement: applied, events, condition, retry: "none", isScheduled: true, ...why };
  }
  if (terms.length === 0) events.push({ type: "Warning", reason: "ScheduleBindingFailed", message: error.message });
  return {
    ...withoutTerminating(spec, clusters),
    events,
    condition,
    retry: error.reason === "Unschedulable" ? "unschedulable" : "backoff",
    isScheduled: true,
    ...why,
  };
}

/** The present targets when the result is the same set in another order: order alone is no reason to write. */
function inPresentOrder(result: readonly TargetCluster[], present: readonly TargetCluster[]): readonly TargetCluster[] {
  if (result.length !== present.length) return result;
  const byName = new Map(present.map((target) => [target.name, target]));
  return result.every((target) => deepEqual(byName.get(target.name), target)) ? present : result;
}

/** A pass that failed before the algorithm could run, such as one whose plugin gave no answer. */
export function failedPlan(binding: AnyBinding, error: ScheduleError, nowMs: number): PassPlan {
  return {
    events: [{ type: "Warning", reason: "ScheduleBindingFailed", message: error.message }],
    condition: conditionOf(binding, "False", error.reason, error.message, nowMs),
    retry: "backoff",
    isScheduled: true,
  };
}

function asScheduleError(error: unknown): ScheduleError {
  return error instanceof ScheduleError
    ? error
    : new ScheduleError("SchedulerError", error instanceof Error ? error.message : String(error));
}
