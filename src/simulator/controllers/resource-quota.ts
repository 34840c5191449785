import { ConfigMap, PersistentVolumeClaim, Pod, ResourceQuota, Secret, Service } from "#apis/kubernetes";
import { deepEqual } from "#base";
import {
  type Change,
  type ControllerContext,
  defineController,
  done,
  type Request,
  type Result,
  wake,
} from "#controller-runtime";
import {
  formatQuantity,
  isBeingDeleted,
  isConflict,
  isNotFound,
  type Quantity,
  type ResourceKind,
  zeroQuantity,
} from "#machinery";
import { isPodTerminal } from "../pods.ts";

export interface QuotaDeps {
  /** What the objects of a namespace use of the named resources. */
  readonly usage: (namespace: string, resources: readonly string[]) => Promise<ReadonlyMap<string, Quantity>>;
}

/** How long changes are gathered before a namespace is counted anew. */
const GATHER_MS = 100;

const counted = (kind: ResourceKind) =>
  wake<never, QuotaDeps>(kind as ResourceKind<never>, (change: Change, context) => {
    const hasEnded =
      change.type === "updated" && isPodTerminal(change.object as Pod) !== isPodTerminal(change.old as Pod);
    if (change.type === "updated" && !hasEnded) return [];
    return context
      .cache(ResourceQuota)
      .list(change.object.metadata.namespace)
      .map(({ metadata }) => ({ namespace: metadata.namespace, name: metadata.name ?? "", afterMs: GATHER_MS }));
  });

/** Publishes what a namespace uses of its quotas; only what is published is enforced. */
export const resourceQuotaController = defineController<QuotaDeps, Record<string, never>>({
  name: "resourcequota",
  reconciles: [ResourceQuota],
  wakes: [Pod, Service, Secret, ConfigMap, PersistentVolumeClaim].map((kind) => counted(kind as ResourceKind)),
  writes: [{ kind: ResourceQuota, verbs: ["update"], subresources: ["status"] }],
  options: {},
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext<QuotaDeps>): Promise<Result> {
  const quota = context.cache(ResourceQuota).get(request.key);
  if (quota === undefined || isBeingDeleted(quota)) return done;
  const hard = (quota.spec?.hard ?? {}) as Readonly<Record<string, string>>;
  const used = await context.deps.usage(request.namespace ?? "", Object.keys(hard));
  const status = {
    hard,
    used: Object.fromEntries(
      Object.keys(hard).map((resource) => [resource, formatQuantity(used.get(resource) ?? zeroQuantity)]),
    ),
  };
  if (deepEqual(quota.status ?? {}, status)) return done;
  try {
    await context.client.updateStatus(ResourceQuota, { ...quota, status } as ResourceQuota);
  } catch (error) {
    if (!isConflict(error) && !isNotFound(error)) throw error;
  }
  return done;
}
