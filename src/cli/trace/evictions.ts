/** What a trace says of clusters a workload leaves, and of those it cannot leave or go to. Pure. */
import {
  type AnyBinding,
  type Cluster,
  currentPurgeMode,
  type Placement,
  TAINT_NOT_READY,
  TAINT_UNREACHABLE,
} from "#apis/karmada";
import { parseTime, tolerates } from "#machinery";

const isTrue = (cluster: Cluster | undefined, type: string) =>
  cluster?.status?.conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false;

/** Why a copy is still in a cluster that is no target any more, and what it waits for. */
export function leavingText(
  name: string,
  binding: AnyBinding | undefined,
  cluster: Cluster | undefined,
  nowMs: number,
): string {
  const task = binding?.spec.gracefulEvictionTasks?.find(({ fromCluster }) => fromCluster === name);
  if (task === undefined)
    return cluster === undefined || isTrue(cluster, "Ready")
      ? `${name}: it is being withdrawn`
      : `${name}: it is withdrawn as soon as the cluster is ready again`;
  const sinceMs = parseTime(task.creationTimestamp as string | undefined);
  const since = sinceMs === undefined ? "" : ` ${Math.max(0, Math.round((nowMs - sinceMs) / 1000))}s ago`;
  const evicted = `${name}: evicted${since} for ${task.reason} by ${task.producer}`;
  if (task.suppressDeletion === true || currentPurgeMode(task.purgeMode) === "Never")
    return `${evicted}; the copy stays until somebody sets suppressDeletion: false on its task`;
  if (currentPurgeMode(task.purgeMode) === "Directly") return `${evicted}; the copy goes before a new one is made`;
  const grace = task.gracePeriodSeconds === undefined ? "the grace period is" : `${task.gracePeriodSeconds} s are`;
  return `${evicted}; the copy stays until every new one is healthy, or ${grace} over`;
}

const OUTAGES = new RegExp(`untolerated taint \\{(${TAINT_NOT_READY}|${TAINT_UNREACHABLE}):`);

/** What to do where no cluster takes a workload, by the reasons clusters were refused for. */
export function nowhereHint(refused: readonly { readonly plugin: string; readonly reason: string }[]): string {
  if (refused.some(({ reason }) => OUTAGES.test(reason)))
    return "bring a cluster back, or let the policy name further ones";
  if (refused.some(({ plugin }) => plugin === "TaintToleration"))
    return "take a taint away, tolerate it in the policy, or let that name further clusters";
  if (refused.some(({ plugin }) => plugin === "ClusterEviction"))
    return "wait until the eviction is over, or let the policy name further clusters";
  return "change the placement of the policy, or the clusters it names";
}

const NEVER = Number.POSITIVE_INFINITY;

/** When a binding leaves a cluster for its NoExecute taints; infinite where it tolerates them, or there are none. */
function leavesAtMs(binding: AnyBinding | undefined, cluster: Cluster | undefined): number {
  const tolerations = (binding?.spec.placement as Placement | undefined)?.clusterTolerations ?? [];
  const times = (cluster?.spec?.taints ?? [])
    .filter(({ effect }) => effect === "NoExecute")
    .map((taint) => {
      const match = tolerations.find((toleration) => tolerates(toleration, taint));
      if (match === undefined) return Number.NEGATIVE_INFINITY;
      const addedMs = parseTime(taint.timeAdded as string | undefined);
      return match.tolerationSeconds === undefined || addedMs === undefined
        ? NEVER
        : addedMs + match.tolerationSeconds * 1000;
    });
  return Math.min(NEVER, ...times);
}

/** How long a binding still stays in a cluster that it tolerates for a while, or for ever. */
export function toleratedText(
  binding: AnyBinding | undefined,
  cluster: Cluster | undefined,
  nowMs: number,
): string | undefined {
  if (cluster?.spec?.taints?.some(({ effect }) => effect === "NoExecute") !== true) return undefined;
  const atMs = leavesAtMs(binding, cluster);
  if (atMs === NEVER) return "tolerated for ever";
  return atMs > nowMs ? `tolerated for another ${Math.ceil((atMs - nowMs) / 1000)}s` : undefined;
}

/** What to do about targets that are not ready. */
export function outageHint(targets: readonly (Cluster | undefined)[], binding?: AnyBinding): string {
  const failing = targets.filter((cluster) => !isTrue(cluster, "Ready"));
  const held = failing.find((cluster) => isTrue(cluster, "EvictionHeld"))?.metadata.name;
  if (held !== undefined)
    return `bring clusters back; so many fail at once that evictions are held, and flotilla release evictions ${held} lets them go on`;
  const tainted = failing.filter((cluster) => cluster?.spec?.taints?.some(({ effect }) => effect === "NoExecute"));
  if (tainted.length > 0 && tainted.every((cluster) => leavesAtMs(binding, cluster) === NEVER))
    return "bring the cluster back; the policy tolerates its taints for ever, so that the workload stays";
  return tainted.length > 0
    ? "bring the cluster back, or let failover move the workload"
    : "bring the cluster back; nothing leaves it without a NoExecute taint, set by a person, a ClusterTaintPolicy or --failover-profile";
}
