import { type Cluster, TAINT_NOT_READY, TAINT_UNREACHABLE } from "#apis/karmada";
import { formatTime, parseTime } from "#machinery";

export interface Taint {
  readonly key: string;
  readonly effect: string;
  readonly value?: string;
  readonly timeAdded?: string;
}

const AUTOMATIC = [TAINT_NOT_READY, TAINT_UNREACHABLE];
const is = (taint: Taint, key: string, effect: string) => taint.key === key && taint.effect === effect;
const readyOf = (cluster: Cluster) => cluster.status?.conditions?.find(({ type }) => type === "Ready");

/**
 * The automatic taints a cluster's readiness calls for; the same list when nothing changes. `evictionTimeoutMs` is
 * `--failover-eviction-timeout`: after that long a cluster gets the NoExecute taint as well; 0 never touches NoExecute.
 * `sinceMs` is when it turned unhealthy; by default what its condition says.
 */
export function planTaints(
  cluster: Cluster,
  nowMs: number,
  evictionTimeoutMs = 0,
  sinceMs = parseTime(readyOf(cluster)?.lastTransitionTime),
): readonly Taint[] {
  const present = (cluster.spec?.taints ?? []) as readonly Taint[];
  const ready = readyOf(cluster);
  const wanted =
    ready?.status === "True" ? undefined : ready?.status === "Unknown" ? TAINT_UNREACHABLE : TAINT_NOT_READY;
  // Without a Ready condition nothing is taken away: a cluster that never reported may be unreachable as well.
  const unwanted = ready === undefined ? [] : AUTOMATIC.filter((key) => key !== wanted);
  const effects = evictionTimeoutMs > 0 ? ["NoSchedule", "NoExecute"] : ["NoSchedule"];
  let taints = present.filter((taint) => !unwanted.some((key) => effects.some((effect) => is(taint, key, effect))));
  for (const effect of effects) {
    if (wanted === undefined || taints.some((taint) => is(taint, wanted, effect))) continue;
    // What is tainted under the other key keeps its effect: False and Unknown are the same outage.
    const isSwapped = present.some((taint) => unwanted.some((key) => is(taint, key, effect)));
    const isOverdue = sinceMs !== undefined && nowMs - sinceMs >= evictionTimeoutMs;
    if (effect === "NoExecute" && !isSwapped && !isOverdue) continue;
    taints = [...taints, { key: wanted, effect, timeAdded: formatTime(nowMs) }];
  }
  return taints.length === present.length && taints.every((taint, at) => taint === present[at]) ? present : taints;
}

/** How taints are written in events (wire). */
export function describeTaints(taints: readonly Taint[]): string {
  if (taints.length === 0) return "cluster now does not have taints";
  return `cluster now has taints([${taints.map(({ key, value, effect }) => `{Key:${key},${value ? `Value:${value},` : ""}Effect:${effect}}`).join(",")}])`;
}

/** What the health monitor remembers of a pull cluster. */
export interface Heartbeat {
  readonly ready: string;
  readonly renewTime: string | undefined;
  readonly seenMs: number;
}

export interface Graces {
  readonly clusterMonitorGracePeriodMs: number;
  readonly clusterStartupGracePeriodMs: number;
}

export interface Judgement {
  readonly heartbeat: Heartbeat;
  /** The Ready condition to set, when nothing was heard for too long. */
  readonly condition?: {
    readonly type: "Ready";
    readonly status: "Unknown";
    readonly reason: string;
    readonly message: string;
  };
}

/** Judges a pull cluster by what was heard of it: a Ready condition that changed, or a Lease that was renewed. */
export function judgeHeartbeat(
  cluster: Cluster,
  renewTime: string | undefined,
  before: Heartbeat | undefined,
  nowMs: number,
  wallMs: number,
  graces: Graces,
): Judgement {
  const condition = readyOf(cluster);
  const ready = JSON.stringify(condition ?? null);
  const isHeard =
    before !== undefined && (before.ready !== ready || (renewTime !== undefined && renewTime !== before.renewTime));
  const ageMs = Math.max(0, wallMs - (parseTime(cluster.metadata.creationTimestamp) ?? wallMs));
  const firstMs = condition === undefined ? nowMs - ageMs : nowMs;
  const seenMs = before === undefined ? firstMs : isHeard ? nowMs : before.seenMs;
  const heartbeat = { ready, renewTime: renewTime ?? before?.renewTime, seenMs };
  const graceMs = condition === undefined ? graces.clusterStartupGracePeriodMs : graces.clusterMonitorGracePeriodMs;
  if (nowMs <= seenMs + graceMs || condition?.status === "Unknown") return { heartbeat };
  const [reason, message] =
    condition === undefined
      ? ["ClusterStatusNeverUpdated", "Cluster status controller never posted cluster status."]
      : ["ClusterStatusUnknown", "Cluster status controller stopped posting cluster status."];
  return { heartbeat, condition: { type: "Ready", status: "Unknown", reason, message } };
}
