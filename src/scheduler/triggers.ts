import { type AnyBinding, type Cluster, isClaimedBinding } from "#apis/karmada";
import { deepEqual } from "#base";
import { parseQuantity } from "#machinery";
import { inlineOf, matchesAffinity, overflowOf, termNamed } from "#apis/karmada";

const DEFAULT_NAME = "default-scheduler";

/** Whether a binding is this scheduler's and may be scheduled. */
export function isOurs(binding: AnyBinding, schedulerName: string): boolean {
  const { spec } = binding;
  return (spec.schedulerName || DEFAULT_NAME) === schedulerName && spec.suspension?.scheduling !== true;
}

export const isHandled = (binding: AnyBinding, schedulerName: string): boolean =>
  isOurs(binding, schedulerName) && isClaimedBinding(binding);

/** Whether a change of a binding calls for a pass. */
export function bindingEnqueues(
  old: AnyBinding | undefined,
  now: AnyBinding | undefined,
  schedulerName: string,
): boolean {
  if (now === undefined || !isHandled(now, schedulerName)) return false;
  if (old === undefined || !isHandled(old, schedulerName)) return true;
  return old.metadata.generation !== now.metadata.generation;
}

/** The states of a cluster whose matching bindings a change calls for; none when it changes nothing that matters. */
export function clusterStatesToMatch(old: Cluster | undefined, now: Cluster | undefined): readonly Cluster[] {
  if (old === undefined || now === undefined) return [];
  if (old.metadata.deletionTimestamp === undefined && now.metadata.deletionTimestamp !== undefined) return [now];
  if (
    !deepEqual(old.metadata.labels ?? {}, now.metadata.labels ?? {}) ||
    old.metadata.generation !== now.metadata.generation
  )
    return [old, now];
  // APIs that appear late, because the cluster could not be asked or got a CRD, let resources in that were refused.
  if (
    old.status?.apiEnablements !== now.status?.apiEnablements &&
    !deepEqual(old.status?.apiEnablements ?? [], now.status?.apiEnablements ?? [])
  )
    return [now];
  return [];
}

/** Whether a binding may be placed differently because of a cluster in this state. */
export function concernsCluster(binding: AnyBinding, cluster: Cluster, schedulerName: string): boolean {
  const { spec, status } = binding;
  const placement = spec.placement;
  if (placement === undefined || !isOurs(binding, schedulerName)) return false;
  const terms = placement.clusterAffinities ?? [];
  if (terms.length > 0) {
    if ((status?.schedulerObservedGeneration ?? 0) !== (binding.metadata.generation ?? 0)) return true;
    const term = termNamed(placement, status?.schedulerObservingAffinityName) ?? terms[0];
    // A cluster of an overflow tier may take replicas too; upstream consults the inline affinity only.
    return (
      term !== undefined &&
      [inlineOf(term), ...(overflowOf(term) ?? [])].some((affinity) => matchesAffinity(affinity, cluster))
    );
  }
  return placement.clusterAffinity === undefined || matchesAffinity(placement.clusterAffinity, cluster);
}

type Amounts = Readonly<Record<string, string | number>> | undefined;

/** What is free of a resource, in billionths; only good for comparing. */
function freeNano(cluster: Cluster, name: string): bigint {
  const summary = cluster.status?.resourceSummary;
  const of = (amounts: unknown) => parseQuantity((amounts as Amounts)?.[name] ?? 0)?.nano ?? 0n;
  return of(summary?.allocatable) - of(summary?.allocated) - of(summary?.allocating);
}

/**
 * Whether a cluster's status now offers more than before: an API, free resources, or other counts of models. A heartbeat
 * that changes none of these, and one that only reports more use, gives no binding a chance it did not have.
 */
export function hasRoomGrown(old: Cluster, now: Cluster): boolean {
  const before = old.status;
  const after = now.status;
  if (before === after) return false;
  if (
    before?.apiEnablements !== after?.apiEnablements &&
    !deepEqual(before?.apiEnablements ?? [], after?.apiEnablements ?? [])
  )
    return true;
  const earlier = before?.resourceSummary;
  const later = after?.resourceSummary;
  if (earlier === later || deepEqual(earlier, later)) return false;
  if (!deepEqual(earlier?.allocatableModelings ?? [], later?.allocatableModelings ?? [])) return true;
  return Object.keys(later?.allocatable ?? {}).some((name) => freeNano(now, name) > freeNano(old, name));
}

const BACKOFF_BASE_MS = 1000;
const BACKOFF_MAX_MS = 10_000;

/** Wait before the next try after so many attempts: 1, 2, 4, 8, 10, 10 … seconds. */
export function backoffMs(attempts: number): number {
  return attempts <= 0 ? 0 : Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** (attempts - 1));
}
