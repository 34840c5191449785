/**
 * Cluster: a member's place in the control plane. Makes its execution namespace, sets the automatic NoSchedule taints its
 * readiness calls for, and takes everything away again when the Cluster is deleted. Its monitor turns pull clusters Unknown
 * that nothing was heard of. It does not probe.
 */
import { ClusterRole, ClusterRoleBinding, Lease, Namespace, Role, RoleBinding } from "#apis/kubernetes";
import {
  type AnyBinding,
  Cluster,
  CLUSTER_FINALIZER,
  ClusterResourceBinding,
  EXECUTION_FINALIZER,
  EXECUTION_NAMESPACE_PREFIX,
  executionNamespace,
  isClaimedBinding,
  ResourceBinding,
  SYSTEM,
  Work,
} from "#apis/karmada";
import { isDefinitionLeaving } from "#client";
import { cacheIndex, defineController, done, type Request, requeueAfter, type Result, wake } from "#controller-runtime";
import {
  isAlreadyExists,
  isConflict,
  isNotFound,
  parseTime,
  type ResourceKind,
  withFinalizer,
  withoutFinalizer,
} from "#machinery";
import { clusterOfEnding, endAgentRights, keepAgentRights, takeEndedRights } from "./agent-rights.ts";
import type { ClusterContext, ClusterDeps, ClusterOptions } from "./context.ts";
import { monitor } from "./monitor.ts";
import { describeTaints, planTaints } from "./plan.ts";

const LOOK_AGAIN_MS = 10_000;
const targets = ({ spec }: AnyBinding) => (spec.clusters ?? []).map(({ name }) => name);

export const clusterController = defineController<ClusterDeps, ClusterOptions>({
  name: "cluster",
  reconciles: [Cluster],
  reconcilers: ["cluster-controller"],
  wakes: [
    // What blocks a deletion going away lets it go on at once.
    wake(Namespace, (change) =>
      change.type === "deleted" && change.object.metadata.name?.startsWith(EXECUTION_NAMESPACE_PREFIX)
        ? [{ name: change.object.metadata.name.slice(EXECUTION_NAMESPACE_PREFIX.length) }]
        : [],
    ),
    wake(ClusterRoleBinding, ({ type, object }) => {
      const name = type === "deleted" ? undefined : clusterOfEnding(object);
      return name === undefined ? [] : [{ name }];
    }),
  ],
  indexes: [
    cacheIndex(ResourceBinding, "cluster", targets),
    cacheIndex(ClusterResourceBinding, "cluster", targets as never),
  ],
  reads: [Work, Lease],
  writes: [
    { kind: Cluster, verbs: ["update"], subresources: ["status"] },
    { kind: Namespace, verbs: ["create", "delete"] },
    { kind: Work, verbs: ["update"] },
    { kind: ResourceBinding, verbs: ["patch"] },
    { kind: ClusterResourceBinding, verbs: ["patch"] },
    { kind: ClusterRoleBinding, verbs: ["patch", "delete"] },
    { kind: ClusterRole, verbs: ["delete"] },
    { kind: RoleBinding, verbs: ["delete"] },
    { kind: Role, verbs: ["delete"] },
  ],
  options: {
    clusterMonitorPeriodMs: 5_000,
    clusterMonitorGracePeriodMs: 40_000,
    clusterStartupGracePeriodMs: 60_000,
    failoverEvictionTimeoutMs: 0,
  },
  start: (context) => {
    void monitor(context);
  },
  reconcile,
});

const isReady = (cluster: Cluster) =>
  cluster.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;

const transitions = new WeakMap<AbortSignal, Map<string, { readonly status: string; readonly sinceMs: number }>>();

/**
 * Since when a cluster's readiness is what it is, by this process's own clock: an agent's may be wrong. What changed before
 * the start is taken from the condition, and never from the future.
 */
function readySinceMs(cluster: Cluster, context: ClusterContext): number | undefined {
  const ready = cluster.status?.conditions?.find(({ type }) => type === "Ready");
  if (ready === undefined) return undefined;
  let known = transitions.get(context.signal);
  if (known === undefined) transitions.set(context.signal, (known = new Map()));
  const uid = cluster.metadata.uid ?? "";
  const before = known.get(uid);
  const [wallMs, nowMs] = [context.clock.now(), context.clock.monotonicMs()];
  // How long is counted by what passed, not by what the clock shows: it may have been set.
  if (before?.status === ready.status) return wallMs - (nowMs - before.sinceMs);
  const agoMs = before === undefined ? Math.max(0, wallMs - (parseTime(ready.lastTransitionTime) ?? wallMs)) : 0;
  known.set(uid, { status: ready.status, sinceMs: nowMs - agoMs });
  return wallMs - agoMs;
}

async function reconcile(request: Request, context: ClusterContext): Promise<Result> {
  const cluster = context.cache(Cluster).get(request.key);
  if (cluster === undefined) return takeEndedRights(request.name, context);
  if (cluster.metadata.deletionTimestamp !== undefined) return remove(cluster, context);
  const { client, events } = context;
  const name = cluster.metadata.name ?? "";
  const space = executionNamespace(name);
  if (cluster.spec?.syncMode === "Pull") await keepAgentRights(name, context);
  if (context.cache(Namespace).get(space) === undefined) {
    try {
      await client.create(Namespace, {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name: space, labels: { [SYSTEM]: "true" } },
      });
      events
        .from("cluster-controller")
        .normal(cluster, "CreateExecutionSpaceSucceed", `Created execution space(${space}) for cluster(${name}).`);
    } catch (error) {
      if (!isAlreadyExists(error)) {
        events
          .from("cluster-controller")
          .warning(cluster, "CreateExecutionSpaceFailed", error instanceof Error ? error.message : String(error));
        throw error;
      }
    }
  }
  const taints = planTaints(
    cluster,
    context.clock.now(),
    context.options.failoverEvictionTimeoutMs,
    readySinceMs(cluster, context),
  );
  const isTainted = taints !== cluster.spec?.taints && !(taints.length === 0 && cluster.spec?.taints === undefined);
  const marked = withFinalizer(cluster, CLUSTER_FINALIZER);
  if (!isTainted && marked === cluster) return done;
  try {
    const { taints: _before, ...spec } = (cluster.spec ?? {}) as NonNullable<Cluster["spec"]>;
    await client.update(
      Cluster,
      isTainted ? ({ ...marked, spec: { ...spec, ...(taints.length === 0 ? {} : { taints }) } } as Cluster) : marked,
    );
    if (isTainted)
      events
        .from("cluster-controller")
        .normal(cluster, "TaintClusterSucceed", `Taint cluster succeed: ${describeTaints(taints)}.`);
  } catch (error) {
    if (isNotFound(error)) return done;
    if (isConflict(error)) return requeueAfter(1);
    events
      .from("cluster-controller")
      .warning(
        cluster,
        "TaintClusterFailed",
        `Taint cluster failed: ${error instanceof Error ? error.message : String(error)}`,
      );
    throw error;
  }
  return done;
}

async function remove(cluster: Cluster, context: ClusterContext): Promise<Result> {
  const { client, events } = context;
  const name = cluster.metadata.name ?? "";
  if (!(cluster.metadata.finalizers ?? []).includes(CLUSTER_FINALIZER)) return done;
  transitions.get(context.signal)?.delete(cluster.metadata.uid ?? "");
  const space = executionNamespace(name);
  // Clusters go because their kind goes: what stands in members is nobody's to delete.
  if (await isDefinitionLeaving(client, Cluster)) {
    await quietly(client.update(Cluster, withoutFinalizer(cluster, CLUSTER_FINALIZER)));
    return done;
  }
  if (cluster.spec?.syncMode === "Pull" && !isReady(cluster))
    for (const work of context.cache(Work).list(space))
      await quietly(client.update(Work, withoutFinalizer(work, EXECUTION_FINALIZER)));
  const present = context.cache(Namespace).get(space);
  if (present !== undefined) {
    try {
      if (present.metadata.deletionTimestamp === undefined) await client.delete(Namespace, { name: space });
    } catch (error) {
      if (!isNotFound(error)) {
        events
          .from("cluster-controller")
          .warning(cluster, "RemoveExecutionSpaceFailed", error instanceof Error ? error.message : String(error));
        throw error;
      }
    }
    events
      .from("cluster-controller")
      .normal(cluster, "RemoveExecutionSpaceSucceed", `Removed execution space for cluster(${name}).`);
    return requeueAfter(LOOK_AGAIN_MS);
  }
  const bindings = [
    ...context.cache(ResourceBinding).byIndex("cluster", name),
    ...context.cache(ClusterResourceBinding).byIndex("cluster", name),
  ];
  // A scheduler takes the cluster out of its bindings; of those it does not look at, nobody else would.
  for (const binding of bindings)
    if (!isClaimedBinding(binding) || binding.spec.suspension?.scheduling === true) await leave(binding, name, context);
  if (bindings.length > 0) return requeueAfter(1_000);
  // Before the Cluster is gone, as nothing else remembers them.
  if (cluster.spec?.syncMode === "Pull") await endAgentRights(cluster, context);
  await quietly(client.update(Cluster, withoutFinalizer(cluster, CLUSTER_FINALIZER)));
  return done;
}

async function leave(binding: AnyBinding, cluster: string, { client }: ClusterContext): Promise<void> {
  const kind = (binding.kind === "ClusterResourceBinding" ? ClusterResourceBinding : ResourceBinding) as ResourceKind;
  const { namespace, name = "", resourceVersion } = binding.metadata;
  const left = (binding.spec.clusters ?? []).filter((target) => target.name !== cluster);
  await quietly(
    client.patch(kind, { namespace, name }, "application/merge-patch+json", {
      metadata: { resourceVersion },
      spec: { clusters: left.length === 0 ? null : left },
    }),
  );
}

async function quietly(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}
