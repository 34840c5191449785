import { Deployment, Node, Pod, ReplicaSet, ResourceQuota } from "#apis/kubernetes";
import { type Clock, exponentialBuckets, type Metrics } from "#base";
import type { Informer } from "#client";
import type { MemberPool } from "#member";
import { controllerOf, type KubeObject, objectKey, type ResourceKind } from "#machinery";
import { algorithmTimer, timedStep } from "./algorithm-metrics.ts";
import { NodeAccounts } from "./node-accounts.ts";
import { estimateNodeReplicas, estimateNodeSets, type NodeEstimateOptions } from "./node-estimate.ts";
import { type ClusterEstimator, type MutableEstimatorPool, UNKNOWN } from "./pool.ts";
import { countUnschedulable, EstimateError } from "./unschedulable.ts";

export interface MemberEstimatorOptions {
  /** Caches of the member: nodes, pods, and, where asked for, workloads and quotas. */
  readonly cache: <T extends KubeObject>(kind: ResourceKind<T>) => Informer<T>;
  readonly clock: Clock;
  readonly gates: ReadonlySet<string>;
  /** Told how long each part of each estimate takes; a program of one member gives it, a scheduler of many does not. */
  readonly metrics?: Metrics;
}

/** Estimates by extension point and part, by upstream's names (wire). */
function estimateMetrics(metrics: Metrics | undefined) {
  if (metrics === undefined) return undefined;
  const point = "estimating_plugin_extension_point";
  const points = metrics.histogram(
    "karmada_scheduler_estimator_estimating_plugin_extension_point_duration_seconds",
    "Time of all parts of one estimate",
    [point],
    exponentialBuckets(0.0001, 2, 12),
  );
  const parts = metrics.histogram(
    "karmada_scheduler_estimator_estimating_plugin_execution_duration_seconds",
    "Time of one part of an estimate",
    ["estimating_plugin", point],
    exponentialBuckets(0.00001, 1.5, 20),
  );
  return <T>(name: "estimate_replicas" | "estimate_components", run: (took: NodeEstimateOptions["took"]) => T): T => {
    const startedMs = performance.now();
    try {
      return run((part, durationMs) => parts.observe(durationMs / 1000, { estimating_plugin: part, [point]: name }));
    } finally {
      points.observe((performance.now() - startedMs) / 1000, { [point]: name });
    }
  };
}

const OWNER_INDEX = "estimatorOwner";

/**
 * The accurate estimator of one member cluster, from caches that somebody else keeps: it answers at once, in process or
 * behind `startEstimatorServer`. A pod's change costs its own requests, not a walk over the cluster.
 */
export function createMemberEstimator({ cache, clock, gates, metrics }: MemberEstimatorOptions): ClusterEstimator {
  const accounts = new NodeAccounts();
  const timer = metrics === undefined ? undefined : algorithmTimer(metrics);
  const measured = estimateMetrics(metrics) ?? ((_name, run) => run(undefined));
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
  const isReady = () =>
    cache(Node).hasSynced && cache(Pod).hasSynced && (!usesQuotas || cache(ResourceQuota).hasSynced);
  // A cache fills from the first time it is asked for.
  if (usesQuotas) cache(ResourceQuota);
  const facts = () => ({ nodes: accounts.classes(), quotas: usesQuotas ? cache(ResourceQuota).list() : [] });
  return {
    maxReplicas: (requirements, { assumed = [] }) =>
      !isReady()
        ? UNKNOWN
        : measured("estimate_replicas", (took) =>
            estimateNodeReplicas(facts(), requirements, {
              usesQuotas,
              assumed,
              ...(took === undefined ? {} : { took }),
            }),
          ),
    maxSets: (components, namespace, { assumed = [] }) =>
      !isReady()
        ? UNKNOWN
        : measured("estimate_components", (took) =>
            estimateNodeSets(facts(), components, namespace, {
              usesQuotas,
              assumed,
              ...(took === undefined ? {} : { took }),
            }),
          ),
    unschedulableReplicas({ apiVersion, kind, namespace, name }, thresholdMs) {
      if (!isReady()) return UNKNOWN;
      if (kind !== "Deployment")
        throw new EstimateError(`kind(${kind}) of workload(${namespace ?? ""}/${name}) is not supported`);
      if (!cache(Deployment).hasSynced || !cache(ReplicaSet).hasSynced) return UNKNOWN;
      const type = "GetUnschedulableReplicas";
      const workload = timedStep(timer, type, "GetObjectFromCache", () => {
        const found = cache(Deployment).get(objectKey(namespace, name));
        if (found === undefined) throw new EstimateError(`${apiVersion} ${kind} ${namespace ?? ""}/${name} not found`);
        return found;
      });
      return timedStep(timer, type, "GetWorkloadUnschedulablePods", () => {
        const replicaSets = cache(ReplicaSet).byIndex(OWNER_INDEX, workload.metadata.uid ?? "");
        const pods = replicaSets.flatMap(({ metadata }) => cache(Pod).byIndex(OWNER_INDEX, metadata.uid ?? ""));
        // Members may leave the kind out of cached objects.
        const found = { ...workload, kind };
        return countUnschedulable({ workload: found, replicaSets, pods, thresholdMs, nowMs: clock.now() });
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
