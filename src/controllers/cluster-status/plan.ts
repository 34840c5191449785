import type { Cluster, ClusterStatus } from "#apis/karmada";
import type { DiscoveredResource } from "#client";
import { apiVersionOf, formatTime } from "#machinery";
import type { FlowDelay } from "#member";

export interface Observation {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
}

/** What a cluster was seen as last, and since when. */
export interface Probe {
  readonly isReady: boolean;
  readonly sinceMs: number;
}

/** Answered as it should, answered otherwise, or did not answer. */
export type ProbeOutcome = "healthy" | "unhealthy" | "offline";

/** The Ready condition of a probe's outcome (wire). */
export function readyCondition(outcome: ProbeOutcome): Observation {
  switch (outcome) {
    case "healthy":
      return {
        type: "Ready",
        status: "True",
        reason: "ClusterReady",
        message: "cluster is healthy and ready to accept workloads",
      };
    case "unhealthy":
      return {
        type: "Ready",
        status: "False",
        reason: "ClusterNotReady",
        message: "cluster is reachable but health endpoint responded without ok",
      };
    case "offline":
      return { type: "Ready", status: "False", reason: "ClusterNotReachable", message: "cluster is not reachable" };
  }
}

/** Says while what is to be written waits for its member, and why; nothing for a cluster where it never did. */
export function delayConditions(cluster: Cluster, delay: FlowDelay | undefined): readonly Observation[] {
  const type = "SynchronizationDelayed";
  if (delay !== undefined)
    return [{ type, status: "True", reason: delay.reason, message: `changes wait: ${delay.message}` }];
  const wasDelayed = cluster.status?.conditions?.some((condition) => condition.type === type) === true;
  return wasDelayed ? [{ type, status: "False", reason: "InTime", message: "no change waits for long" }] : [];
}

export interface Thresholds {
  readonly clusterFailureThresholdMs: number;
  readonly clusterSuccessThresholdMs: number;
}

/**
 * What to publish: a flip must last as long as its threshold. The first sight of a process counts at once, but for one
 * failed probe of a cluster that is known to be ready: a restart must not shorten the threshold.
 */
export function observeReady(
  cluster: Cluster,
  observed: Observation,
  before: Probe | undefined,
  nowMs: number,
  thresholds: Thresholds,
): { readonly published: Observation; readonly next: Probe } {
  const isReady = observed.status === "True";
  const next = before === undefined || before.isReady !== isReady ? { isReady, sinceMs: nowMs } : before;
  const stored = cluster.status?.conditions?.find(({ type }) => type === "Ready");
  if (stored === undefined) return { published: observed, next };
  const wasReady = stored.status === "True";
  if (wasReady === isReady) return { published: observed, next };
  if (before === undefined && !wasReady) return { published: observed, next };
  const thresholdMs = wasReady ? thresholds.clusterFailureThresholdMs : thresholds.clusterSuccessThresholdMs;
  if (nowMs - next.sinceMs >= thresholdMs) return { published: observed, next };
  return {
    published: {
      type: "Ready",
      status: stored.status as Observation["status"],
      reason: stored.reason,
      message: stored.message,
    },
    next,
  };
}

/**
 * Served APIs as the status lists them, and the condition that says whether the list is complete. Where the member did not
 * answer and nothing is remembered of it, what was `known` before counts.
 */
export function collectApis(
  resources: readonly DiscoveredResource[],
  failed: number,
  known: ClusterStatus["apiEnablements"],
): { readonly enablements: NonNullable<ClusterStatus["apiEnablements"]>; readonly condition: Observation } {
  const groups = new Map<string, { readonly name: string; readonly kind: string }[]>();
  for (const resource of resources) {
    const groupVersion = apiVersionOf(resource);
    const list = groups.get(groupVersion);
    const entry = { name: resource.resource, kind: resource.kind };
    if (list === undefined) groups.set(groupVersion, [entry]);
    else list.push(entry);
  }
  const discovered = [...groups]
    .map(([groupVersion, list]) => ({ groupVersion, resources: list.sort((a, b) => (a.name < b.name ? -1 : 1)) }))
    .sort((a, b) => (a.groupVersion < b.groupVersion ? -1 : 1));
  const enablements = discovered.length === 0 ? (known ?? []) : discovered;
  const type = "CompleteAPIEnablements";
  if (enablements.length === 0)
    return {
      enablements,
      condition: { type, status: "False", reason: "Empty", message: "collected empty APIEnablements from the cluster" },
    };
  if (failed > 0)
    return {
      enablements,
      condition: {
        type,
        status: "False",
        reason: "Partial",
        message: `might collect partial APIEnablements(${enablements.length}) from the cluster`,
      },
    };
  return {
    enablements,
    condition: {
      type,
      status: "True",
      reason: "Complete",
      message: "collected complete APIEnablements from the cluster",
    },
  };
}

/** The status with conditions set; foreign ones stay, and a transition time moves only with the status value. */
export function withConditions(cluster: Cluster, conditions: readonly Observation[], nowMs: number): ClusterStatus {
  const status = cluster.status ?? {};
  let next = status.conditions ?? [];
  for (const condition of conditions) {
    const before = next.find(({ type }) => type === condition.type);
    const isSame = before?.status === condition.status;
    if (isSame && before.reason === condition.reason && before.message === condition.message) continue;
    const written = { ...condition, lastTransitionTime: isSame ? before.lastTransitionTime : formatTime(nowMs) };
    next =
      before === undefined
        ? [...next, written]
        : next.map((present) => (present.type === condition.type ? written : present));
  }
  return { ...status, conditions: next } as ClusterStatus;
}
