/**
 * Cluster status: how a member fares. Probes its API server, publishes readiness by thresholds, and collects version,
 * served APIs, nodes and resources from caches kept by watching: the cost grows with change, not with the fleet. In the
 * control plane it looks after push members; in an agent (`deps.own`) after the agent's own cluster, whose Lease it renews.
 */
import { Lease, Secret } from "#apis/kubernetes";
import { Cluster, CLUSTER_FINALIZER } from "#apis/karmada";
import { deepEqual } from "#base";
import { defineController } from "#controller-runtime";
import type { ClusterStatusDeps, ClusterStatusOptions } from "./context.ts";
import { reconcile } from "./reconcile.ts";

export { observeReady, readyCondition } from "./plan.ts";

export const clusterStatus = defineController<ClusterStatusDeps, ClusterStatusOptions>({
  name: "clusterStatus",
  reconciles: [Cluster],
  reconcilers: ["cluster-status-controller"],
  when: (change) => {
    if (change.type !== "updated") return true;
    const had = (change.old.metadata.finalizers ?? []).includes(CLUSTER_FINALIZER);
    return (
      change.object.metadata.generation !== change.old.metadata.generation ||
      (!had && (change.object.metadata.finalizers ?? []).includes(CLUSTER_FINALIZER))
    );
  },
  writes: [
    { kind: Cluster, verbs: ["update"], subresources: ["status"] },
    { kind: Lease, verbs: ["create", "update"] },
  ],
  options: {
    clusterStatusUpdateFrequencyMs: 10_000,
    clusterFailureThresholdMs: 30_000,
    clusterSuccessThresholdMs: 30_000,
    enableClusterResourceModeling: true,
    clusterCacheSyncTimeoutMs: 120_000,
    clusterLeaseDurationMs: 40_000,
    clusterLeaseRenewIntervalFraction: 0.25,
  },
  // A pass mostly waits for its member: members that never answer must not keep others waiting.
  concurrency: () => 4_096,
  start: (context) => {
    // An agent has its credentials from elsewhere, and no right to look at Secrets.
    if (context.deps.own !== undefined) return;
    // Credentials that change are used at once, not at the next pass.
    const { stop } = context.follow(Secret, (change) => {
      if (change.type !== "updated" || deepEqual(change.object.data, change.old.data)) return [];
      const { namespace, name } = change.object.metadata;
      const mine = context
        .cache(Cluster)
        .list()
        .filter(({ spec }) => spec?.secretRef?.name === name && spec?.secretRef?.namespace === namespace);
      // A pass that waits for a member under its old credentials ends with their connection.
      for (const cluster of mine)
        if (context.deps.members.get(cluster.metadata.name ?? "") !== undefined)
          context.deps.connect(cluster).catch((error: unknown) => context.log.debug("not reconnected", { error }));
      return mine.map(({ metadata }) => ({ name: metadata.name ?? "" }));
    });
    context.signal.addEventListener("abort", stop, { once: true });
  },
  reconcile,
});
