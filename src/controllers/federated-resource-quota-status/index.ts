/**
 * Federated resource quota status: what clusters use of their static assignments, summed up. With the gate
 * `FederatedQuotaEnforcement` the overall figures are the enforcement controller's.
 */
import {
  addRequests,
  clusterOfExecutionNamespace,
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
import { formatQuantity, isConflict, isNotFound, type Quantity } from "#machinery";

interface Deps {
  readonly gates: ReadonlySet<string>;
}

type Amounts = Readonly<Record<string, number | string>>;
type Context = ControllerContext<Deps, Record<string, never>>;

function quotaOfWork({ metadata }: Work): readonly string[] {
  const { [FEDERATED_QUOTA_NAMESPACE]: namespace, [FEDERATED_QUOTA_NAME]: name } = metadata.labels ?? {};
  return namespace === undefined || name === undefined ? [] : [`${namespace}/${name}`];
}

export const federatedResourceQuotaStatus = defineController<Deps, Record<string, never>>({
  name: "federatedResourceQuotaStatus",
  reconciles: [FederatedResourceQuota],
  reconcilers: ["federated-resource-quota-status-controller"],
  when: (change) =>
    change.type === "added" ||
    (change.type === "updated" && change.object.metadata.generation !== change.old.metadata.generation),
  wakes: [
    wake(Work, (change) => {
      if (change.type === "updated" && deepEqual(change.object.status, change.old.status)) return [];
      return quotaOfWork(change.object).map((key) => {
        const [namespace = "", name = ""] = key.split("/");
        return { namespace, name };
      });
    }),
  ],
  indexes: [cacheIndex(Work, "federatedQuota", quotaOfWork)],
  writes: [{ kind: FederatedResourceQuota, verbs: ["update"], subresources: ["status"] }],
  options: {},
  reconcile,
});

async function reconcile(request: Request, context: Context): Promise<Result> {
  const quota = context.cache(FederatedResourceQuota).get(request.key);
  if (quota === undefined || quota.metadata.deletionTimestamp !== undefined) return done;
  const events = context.events.from("federated-resource-quota-status-controller");
  const works = context.cache(Work).byIndex("federatedQuota", request.key);
  const aggregatedStatus = works.flatMap(statusOf).sort((a, b) => (a.clusterName < b.clusterName ? -1 : 1));
  for (let tries = 0; ; tries++) {
    const latest = tries === 0 ? quota : await context.client.find(FederatedResourceQuota, request);
    if (latest === undefined) return done;
    const status = statusFor(latest, aggregatedStatus, context.deps.gates.has("FederatedQuotaEnforcement"));
    if (deepEqual(status, latest.status ?? {})) return done;
    try {
      await context.client.updateStatus(FederatedResourceQuota, { ...latest, status });
      break;
    } catch (error) {
      if (isNotFound(error)) return done;
      if (isConflict(error) && tries < 4) continue;
      events.warning(quota, "AggregateStatusFailed", error instanceof Error ? error.message : String(error));
      throw error;
    }
  }
  events.normal(quota, "AggregateStatusSucceed", `Collect status of FederatedResourceQuota(${request.key}) succeed.`);
  return done;
}

interface ClusterUsage {
  readonly clusterName: string;
  readonly hard?: Amounts;
  readonly used?: Amounts;
}

/** What an applied Work's ResourceQuota reports. */
function statusOf({ metadata, status }: Work): readonly ClusterUsage[] {
  const clusterName = clusterOfExecutionNamespace(metadata.namespace);
  const isApplied = status?.conditions?.some(({ type, status: is }) => type === "Applied" && is === "True");
  const reported = status?.manifestStatuses?.[0]?.status as
    | { readonly hard?: Amounts; readonly used?: Amounts }
    | undefined;
  if (clusterName === undefined || !isApplied || reported === undefined) return [];
  const { hard, used } = reported;
  return [{ clusterName, ...(hard === undefined ? {} : { hard }), ...(used === undefined ? {} : { used }) }];
}

function statusFor(
  quota: FederatedResourceQuota,
  aggregatedStatus: readonly ClusterUsage[],
  isEnforced: boolean,
): NonNullable<FederatedResourceQuota["status"]> {
  const { aggregatedStatus: _before, ...others } = quota.status ?? {};
  const listed = aggregatedStatus.length === 0 ? {} : { aggregatedStatus };
  if (isEnforced) return { ...others, ...listed };
  const used = new Map<string, Quantity>();
  for (const cluster of aggregatedStatus) addRequests(used, cluster.used, 1);
  return {
    ...listed,
    overall: quota.spec.overall,
    ...(used.size === 0
      ? {}
      : { overallUsed: Object.fromEntries([...used].map(([name, amount]) => [name, formatQuantity(amount)])) }),
  };
}
