import { type Deployment, type Pod, type PodTemplateSpec, type ReplicaSet, standsFor } from "#apis/kubernetes";
import { deepEqual } from "#base";
import { controllerOf, type KubeObject, parseTime } from "#machinery";

const HASH_LABEL = "pod-template-hash";

/** A question an estimator cannot answer; the text is the answer's (wire). */
export class EstimateError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "EstimateError";
  }
}

/** Refuses a request that was meant for another cluster. */
export function requireCluster(own: string, asked: string): void {
  if (own !== asked) throw new EstimateError(`cluster name does not match, got: ${asked}, desire: ${own}`);
}

/** A pod template as its author wrote it: without the label its ReplicaSet adds. */
function authored(template: PodTemplateSpec | undefined): unknown {
  const { [HASH_LABEL]: _hash, ...labels } = template?.metadata?.labels ?? {};
  const { creationTimestamp: _created, ...metadata } = (template?.metadata ?? {}) as Readonly<Record<string, unknown>>;
  return { ...template, metadata: { ...metadata, labels } };
}

/** The ReplicaSet that carries a Deployment's present template: the oldest, then the first by name. */
export function currentReplicaSet(deployment: Deployment, replicaSets: readonly ReplicaSet[]): ReplicaSet | undefined {
  const wanted = authored(deployment.spec?.template);
  return replicaSets
    .filter(
      (replicaSet) =>
        controllerOf(replicaSet)?.uid === deployment.metadata.uid &&
        deepEqual(authored(replicaSet.spec?.template), wanted),
    )
    .sort((left, right) => {
      const age =
        (parseTime(left.metadata.creationTimestamp) ?? 0) - (parseTime(right.metadata.creationTimestamp) ?? 0);
      return age || ((left.metadata.name ?? "") < (right.metadata.name ?? "") ? -1 : 1);
    })[0];
}

function isUnschedulable(pod: Pod, beforeMs: number): boolean {
  return (pod.status?.conditions ?? []).some(
    ({ type, status, reason, lastTransitionTime }) =>
      type === "PodScheduled" &&
      status === "False" &&
      reason === "Unschedulable" &&
      (parseTime(lastTransitionTime) ?? 0) < beforeMs,
  );
}

export interface UnschedulableQuestion {
  readonly workload: KubeObject;
  readonly replicaSets: readonly ReplicaSet[];
  readonly pods: readonly Pod[];
  /** How long a pod must have been unschedulable; negative is none. */
  readonly thresholdMs: number;
  readonly nowMs: number;
}

/** Replicas of a workload that found no node for longer than the threshold. Throws for kinds other than Deployment. */
export function countUnschedulable({ workload, replicaSets, pods, thresholdMs, nowMs }: UnschedulableQuestion): number {
  const { namespace = "", name = "", uid } = workload.metadata;
  if (workload.kind !== "Deployment")
    throw new EstimateError(`kind(${workload.kind}) of workload(${namespace}/${name}) is not supported`);
  const own = (object: KubeObject) => (object.metadata.namespace ?? "") === namespace;
  const current = uid === undefined ? undefined : currentReplicaSet(workload as Deployment, replicaSets.filter(own));
  if (current === undefined) return 0;
  const beforeMs = nowMs - Math.max(0, thresholdMs);
  return pods
    .filter((pod) => own(pod) && controllerOf(pod)?.uid === current.metadata.uid && isUnschedulable(pod, beforeMs))
    .reduce((sum, pod) => sum + standsFor(pod), 0);
}
