import { APPLIED_PLACEMENT, type Placement, type ResourceBinding, type TargetCluster } from "#apis/karmada";

/** Unknown readiness lies below anything wanted. */
const UNKNOWN_READY = -1;

/** Whether a binding is one whose replicas may be taken away again: a dynamically divided Deployment. */
export function isDeschedulable(binding: ResourceBinding): boolean {
  const { apiVersion, kind } = binding.spec.resource;
  if (apiVersion !== "apps/v1" || kind !== "Deployment") return false;
  let applied: Placement | null;
  try {
    applied = JSON.parse(binding.metadata.annotations?.[APPLIED_PLACEMENT] ?? "null") as Placement | null;
  } catch {
    return false;
  }
  const scheduling = typeof applied === "object" ? applied?.replicaScheduling : undefined;
  if (scheduling === undefined || (scheduling.replicaSchedulingType ?? "Divided") !== "Divided") return false;
  if (scheduling.replicaDivisionPreference === "Aggregated") return true;
  return scheduling.replicaDivisionPreference === "Weighted" && !!scheduling.weightPreference?.dynamicWeight;
}

function readyIn(binding: ResourceBinding, cluster: string): number {
  const item = binding.status?.aggregatedStatus?.find(({ clusterName }) => clusterName === cluster);
  const ready = (item?.status as { readonly readyReplicas?: unknown } | null | undefined)?.readyReplicas;
  return typeof ready === "number" && Number.isInteger(ready) ? ready : UNKNOWN_READY;
}

/** Targets with fewer ready replicas than wanted: those whose estimators are to be asked. */
export function undesiredClusters(binding: ResourceBinding): readonly string[] {
  return (binding.spec.clusters ?? [])
    .filter(({ name, replicas = 0 }) => readyIn(binding, name) < replicas)
    .map(({ name }) => name);
}

export interface DeschedulePlan {
  /** All targets, in place, some with fewer replicas. */
  readonly clusters: readonly TargetCluster[];
  readonly message: string;
}

/** Takes replicas away that found no node; `undefined` when there are none to take. Absent and −1 answers are unknown. */
export function planDeschedule(
  binding: ResourceBinding,
  unschedulable: ReadonlyMap<string, number>,
): DeschedulePlan | undefined {
  const undesired = new Set(undesiredClusters(binding));
  const parts: string[] = [];
  let total = 0;
  const clusters = (binding.spec.clusters ?? []).map((target) => {
    const { name, replicas = 0 } = target;
    const stuck = Math.max(0, unschedulable.get(name) ?? 0);
    // More than wanted is a rolling update on its way.
    if (!undesired.has(name) || stuck <= 0 || stuck > replicas) return target;
    const ready = readyIn(binding, name);
    const left = ready <= replicas ? Math.max(replicas - stuck, ready, 0) : replicas - stuck;
    if (left >= replicas) return target;
    parts.push(`${replicas - left} replica(s) in cluster(${name})`);
    total += replicas - left;
    return { ...target, replicas: left };
  });
  if (total === 0) return undefined;
  return {
    clusters,
    message: `Binding has been descheduled, ${parts.join(", ")}, ${total} total descheduled replica(s)`,
  };
}
