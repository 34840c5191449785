import { type Cluster, TAINT_NOT_READY, TAINT_UNREACHABLE } from "#apis/karmada";
import { formatTime } from "#machinery";

export interface Taint {
  readonly key: string;
  readonly effect: string;
  readonly value?: string;
  readonly timeAdded?: string;
}

/** The automatic NoSchedule taints a cluster's readiness calls for; the same list when nothing changes. */
export function planTaints(cluster: Cluster, nowMs: number): readonly Taint[] {
  const present = (cluster.spec?.taints ?? []) as readonly Taint[];
  const ready = cluster.status?.conditions?.find(({ type }) => type === "Ready")?.status;
  const wanted = ready === "True" ? undefined : ready === "Unknown" ? TAINT_UNREACHABLE : TAINT_NOT_READY;
  // Without a Ready condition nothing is taken away: a cluster that never reported may be unreachable as well.
  const unwanted = ready === undefined ? [] : [TAINT_NOT_READY, TAINT_UNREACHABLE].filter((key) => key !== wanted);
  const is = (taint: Taint, key: string) => taint.key === key && taint.effect === "NoSchedule";
  const kept = present.filter((taint) => !unwanted.some((key) => is(taint, key)));
  const isMissing = wanted !== undefined && !kept.some((taint) => is(taint, wanted));
  if (!isMissing && kept.length === present.length) return present;
  return isMissing ? [...kept, { key: wanted, effect: "NoSchedule", timeAdded: formatTime(nowMs) }] : kept;
}

/** How taints are written in events (wire). */
export function describeTaints(taints: readonly Taint[]): string {
  if (taints.length === 0) return "cluster now does not have taints";
  return `cluster now has taints([${taints.map(({ key, value, effect }) => `{Key:${key},${value ? `Value:${value},` : ""}Effect:${effect}}`).join(",")}])`;
}
