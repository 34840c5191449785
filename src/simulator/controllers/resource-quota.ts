import { Pod, ResourceQuota } from "#apis/kubernetes";
import { quotaUsageOf } from "#apiserver";
import { deepEqual } from "#base";
import { type ControllerContext, defineController, done, type Request, type Result, wake } from "#controller-runtime";
import {
  addQuantities,
  formatQuantity,
  isBeingDeleted,
  isConflict,
  isNotFound,
  type Quantity,
  zeroQuantity,
} from "#machinery";

/** Publishes what a namespace uses of its quotas, as kube-controller-manager does; pods are what is counted. */
export const resourceQuotaController = defineController<unknown, Record<string, never>>({
  name: "resourcequota",
  reconciles: [ResourceQuota],
  when: (change) =>
    change.type !== "deleted" &&
    (change.type === "added" || !deepEqual((change.object as ResourceQuota).spec, (change.old as ResourceQuota).spec)),
  wakes: [
    wake(Pod, (change, context: ControllerContext<unknown, unknown>) =>
      context
        .cache(ResourceQuota)
        .list(change.object.metadata.namespace ?? "")
        .map(({ metadata }) => ({ namespace: metadata.namespace, name: metadata.name ?? "", afterMs: 100 })),
    ),
  ],
  writes: [{ kind: ResourceQuota, verbs: ["update"], subresources: ["status"] }],
  options: {},
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const quota = context.cache(ResourceQuota).get(request.key);
  if (quota === undefined || isBeingDeleted(quota)) return done;
  const hard = (quota.spec?.hard ?? {}) as Readonly<Record<string, string>>;
  const used = new Map<string, Quantity>(Object.keys(hard).map((name) => [name, zeroQuantity]));
  for (const pod of context.cache(Pod).list(request.namespace ?? ""))
    for (const [name, amount] of quotaUsageOf(Pod, pod)) {
      const before = used.get(name);
      if (before !== undefined) used.set(name, addQuantities(before, amount));
    }
  const status = {
    hard,
    used: Object.fromEntries([...used].map(([name, amount]) => [name, formatQuantity(amount)])),
  };
  if (deepEqual(status, quota.status ?? {})) return done;
  try {
    await context.client.updateStatus(ResourceQuota, { ...quota, status } as ResourceQuota);
  } catch (error) {
    if (isNotFound(error) || isConflict(error)) return done;
    throw error;
  }
  return done;
}
