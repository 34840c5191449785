import { Deployment, Node, Pod, ReplicaSet, ResourceQuota } from "#apis/kubernetes";
import type { Clock } from "#base";
import type { Informer } from "#client";
import type { MemberPool } from "#member";
import { controllerOf, type KubeObject, objectKey, type ResourceKind } from "#machinery";
import { NodeAccounts } from "./node-accounts.ts";
import { estimateNodeReplicas, estimateNodeSets } from "./node-estimate.ts";
import { type ClusterEstimator, type MutableEstimatorPool, UNKNOWN } from "./pool.ts";
import { countUnschedulable, EstimateError } from "./unschedulable.ts";

export interface MemberEstimatorOptions {
  /** Caches of the member: nodes, pods, and, where asked for, workloads and quotas. */
  readonly cache: <T extends KubeObject>(kind: ResourceKind<T>) => Informer<T>;
  readonly clock: Clock;
  readonly gates: ReadonlySet<string>;
}

const OWNER_INDEX = "estimatorOwner";

/**
 * The accurate estimator of one member cluster, from caches that somebody else keeps: it answers at once, in process or
 * behind `startEstimatorServer`. A pod's change costs its own requests, not a walk over the cluster.
 */
export function createMemberEstimator({ cache, clock, gates }: MemberEstimatorOptions): ClusterEstimator {
  const accounts = new NodeAccounts();
  const ownerOf = (object: KubeObject) => {
    const uid = controllerOf(object)?.uid;
    return uid === undefined ? [] : [uid];
  };
  cache(Pod).addIndex(OWNER_INDEX, ownerOf);
  cache(ReplicaSet).addIndex(OWNER_INDEX, ownerOf);
  const release = [
    cache(Node).handle({
      add: (node) => accounts.setNode(node),
      update: (node) => accounts.setNode(node),
      delete: ({ metadata }) => accounts.removeNode(metadata.name ?? ""),
    }),
    cache(Pod).handle({
      add: (pod) => accounts.setPod(pod),
      update: (pod) => accounts.setPod(pod),
      delete: (pod) => accounts.removePod(pod),
    }),
  ];
  const usesQuotas = gates.has("ResourceQuotaEstimate");
  /** Until the caches are filled it knows nothing, which is not the same as having no room. */
  const isReady = () => cache(Node).hasSynced && cache(Pod).hasSynced;
  const facts = () => ({ nodes: accounts.classes(), quotas: usesQuotas ? cache(ResourceQuota).list() : [] });
  return {
    maxReplicas: (requirements, { assumed = [] }) =>
      !isReady() ? UNKNOWN : estimateNodeReplicas(facts(), requirements, { usesQuotas, assumed }),
    maxSets: (components, namespace, { assumed = [] }) =>
      !isReady() ? UNKNOWN : estimateNodeSets(facts(), components, namespace, { usesQuotas, assumed }),
    unschedulableReplicas({ apiVersion, kind, namespace, name }, thresholdMs) {
      if (!isReady()) return UNKNOWN;
      if (kind !== "Deployment")
        throw new EstimateError(`kind(${kind}) of workload(${namespace ?? ""}/${name}) is not supported`);
      if (!cache(Deployment).hasSynced || !cache(ReplicaSet).hasSynced) return UNKNOWN;
      const workload = cache(Deployment).get(objectKey(namespace, name));
      if (workload === undefined) throw new EstimateError(`${apiVersion} ${kind} ${namespace ?? ""}/${name} not found`);
      const replicaSets = cache(ReplicaSet).byIndex(OWNER_INDEX, workload.metadata.uid ?? "");
      const pods = replicaSets.flatMap(({ metadata }) => cache(Pod).byIndex(OWNER_INDEX, metadata.uid ?? ""));
      // Members may leave the kind out of cached objects.
      return countUnschedulable({
        workload: { ...workload, kind },
        replicaSets,
        pods,
        thresholdMs,
        nowMs: clock.now(),
      });
    },
    close() {
      for (const stop of release) stop();
    },
  };
}

/**
 * Gives every connected member an estimator in this process, over the caches its other controllers use; a member that
 * leaves takes its own with it. Returns how to stop.
 */
export function followMembers(
  members: MemberPool,
  pool: MutableEstimatorPool,
  options: Omit<MemberEstimatorOptions, "cache">,
): () => void {
  return members.follow(({ type, member }) => {
    if (type === "disconnected") pool.delete(member.name);
    else pool.set(member.name, createMemberEstimator({ ...options, cache: (kind) => member.informers.of(kind) }));
  });
}
