/**
 * Federated resource quota sync: static assignments become ResourceQuotas in their clusters, one Work each. Clusters that
 * are assigned nothing any more lose theirs. It counts nothing.
 */
import { Namespace } from "#apis/kubernetes";
import {
  Cluster,
  EXECUTION_NAMESPACE_PREFIX,
  executionNamespace,
  FEDERATED_QUOTA_NAME,
  FEDERATED_QUOTA_NAMESPACE,
  FederatedResourceQuota,
  Work,
} from "#apis/karmada";
import { deepEqual } from "#base";
import {
  cacheIndex,
  type ControllerContext,
  defineController,
  done,
  type Request,
  type Result,
  wake,
} from "#controller-runtime";
import { systemWork } from "#interpreter";
import { isAlreadyExists, isNotFound, type KubeObject } from "#machinery";

const assigned = ({ spec }: FederatedResourceQuota) => spec.staticAssignments ?? [];

export const federatedResourceQuotaSync = defineController<unknown, Record<string, never>>({
  name: "federatedResourceQuotaSync",
  reconciles: [FederatedResourceQuota],
  reconcilers: ["federated-resource-quota-sync-controller"],
  when: (change) =>
    change.type !== "updated" ||
    !deepEqual(assigned(change.object as FederatedResourceQuota), assigned(change.old as FederatedResourceQuota)),
  wakes: [
    // A Work needs its cluster's execution namespace, which comes a moment after the cluster.
    wake(Namespace, (change, context: ControllerContext<unknown, unknown>) =>
      change.type !== "added" || !change.object.metadata.name?.startsWith(EXECUTION_NAMESPACE_PREFIX)
        ? []
        : context
            .cache(FederatedResourceQuota)
            .list()
            .filter((quota) =>
              assigned(quota).some(
                ({ clusterName }) => executionNamespace(clusterName) === change.object.metadata.name,
              ),
            )
            .map(({ metadata }) => ({ namespace: metadata.namespace, name: metadata.name ?? "" })),
    ),
  ],
  indexes: [cacheIndex(Work, "federatedQuota", quotaOfWork)],
  reads: [Cluster, Work],
  writes: [{ kind: Work, verbs: ["create", "update", "delete"] }],
  options: {},
  reconcile,
});

function quotaOfWork({ metadata }: Work): readonly string[] {
  const { [FEDERATED_QUOTA_NAMESPACE]: namespace, [FEDERATED_QUOTA_NAME]: name } = metadata.labels ?? {};
  return namespace === undefined || name === undefined ? [] : [`${namespace}/${name}`];
}

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const { client } = context;
  const quota = context.cache(FederatedResourceQuota).get(request.key);
  const isGone = quota === undefined || quota.metadata.deletionTimestamp !== undefined;
  const events = context.events.from("federated-resource-quota-sync-controller");
  const wanted = isGone ? [] : planWorks(quota, context);
  const kept = new Set(wanted.map(({ wanted: work }) => `${work.metadata.namespace}/${work.metadata.name}`));
  try {
    for (const work of context.cache(Work).byIndex("federatedQuota", request.key)) {
      const { namespace, name = "", deletionTimestamp } = work.metadata;
      if (kept.has(`${namespace}/${name}`) || deletionTimestamp !== undefined) continue;
      await client.delete(Work, { namespace, name }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
    for (const { wanted: work, present } of wanted) {
      if (work === present) continue;
      if (present !== undefined) await client.update(Work, work);
      else
        await client.create(Work, work).catch((error: unknown) => {
          if (!isAlreadyExists(error)) throw error;
        });
    }
  } catch (error) {
    if (!isGone) events.warning(quota, "SyncWorkFailed", error instanceof Error ? error.message : String(error));
    throw error;
  }
  if (!isGone)
    events.normal(quota, "SyncWorkSucceed", `Sync works for FederatedResourceQuota(${request.key}) succeed.`);
  return done;
}

function planWorks(quota: FederatedResourceQuota, context: ControllerContext) {
  const { namespace = "", name = "" } = quota.metadata;
  return assigned(quota).flatMap(({ clusterName, hard }) => {
    const cluster = context.cache(Cluster).get(clusterName);
    if (cluster === undefined || cluster.metadata.deletionTimestamp !== undefined) return [];
    if (context.cache(Namespace).get(executionNamespace(clusterName)) === undefined) return [];
    const manifest = {
      apiVersion: "v1",
      kind: "ResourceQuota",
      metadata: { namespace, name },
      spec: { hard },
    } as unknown as KubeObject;
    const labels = { [FEDERATED_QUOTA_NAMESPACE]: namespace, [FEDERATED_QUOTA_NAME]: name };
    return [systemWork({ manifest, cluster, labels, workOf: (key) => context.cache(Work).get(key) })];
  });
}
