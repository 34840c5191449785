/**
 * Federated resource quota enforcement: counts what the bindings of a namespace use of its quotas (gate
 * `FederatedQuotaEnforcement`). Admission charges each change as it is made; this count repairs what was missed.
 */
import { addRequests, FederatedResourceQuota, quotaUsageOf, ResourceBinding } from "#apis/karmada";
import { deepEqual } from "#base";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
  wake,
} from "#controller-runtime";
import { formatQuantity, isConflict, isNotFound, type Quantity, zeroQuantity } from "#machinery";

interface Options {
  readonly federatedResourceQuotaSyncPeriodMs: number;
}

export const federatedResourceQuotaEnforcement = defineController<unknown, Options>({
  name: "federatedResourceQuotaEnforcement",
  reconciles: [FederatedResourceQuota],
  when: (change) =>
    change.type === "added" ||
    (change.type === "updated" &&
      !deepEqual(
        (change.object as FederatedResourceQuota).spec.overall,
        (change.old as FederatedResourceQuota).spec.overall,
      )),
  wakes: [
    // What goes is given back by counting anew; what comes was charged on its way in.
    wake(ResourceBinding, (change, context: ControllerContext<unknown, unknown>) =>
      change.type !== "deleted"
        ? []
        : context
            .cache(FederatedResourceQuota)
            .list(change.object.metadata.namespace ?? "")
            .map(({ metadata }) => ({ namespace: metadata.namespace, name: metadata.name ?? "" })),
    ),
  ],
  writes: [{ kind: FederatedResourceQuota, verbs: ["update"], subresources: ["status"] }],
  options: { federatedResourceQuotaSyncPeriodMs: 300_000 },
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext<unknown, Options>): Promise<Result> {
  const events = context.events.from("federated-resource-quota-enforcement-controller");
  const again = requeueAfter(context.options.federatedResourceQuotaSyncPeriodMs);
  // The live object first: a charge made between reading and writing fails the write, and the count starts anew.
  const quota = await context.client.find(FederatedResourceQuota, request);
  if (quota === undefined || quota.metadata.deletionTimestamp !== undefined) return done;
  try {
    const { items } = await context.client.list(ResourceBinding, { namespace: request.namespace ?? "" });
    const status = { ...quota.status, overall: quota.spec.overall, overallUsed: planOverallUsed(quota, items) };
    if (deepEqual(status, quota.status ?? {})) return again;
    await context.client.updateStatus(FederatedResourceQuota, { ...quota, status });
  } catch (error) {
    if (isNotFound(error)) return done;
    if (isConflict(error)) return requeueAfter(1);
    events.warning(quota, "CollectOverallStatusFailed", error instanceof Error ? error.message : String(error));
    throw error;
  }
  events.normal(
    quota,
    "CollectOverallStatusSucceed",
    `Collect status of FederatedResourceQuota(${request.key}) succeed.`,
  );
  return again;
}

/** What bindings use of the resources a quota bounds. */
function planOverallUsed(
  { spec }: FederatedResourceQuota,
  bindings: readonly ResourceBinding[],
): Readonly<Record<string, string>> {
  const used = new Map<string, Quantity>(Object.keys(spec.overall).map((name) => [name, zeroQuantity]));
  for (const binding of bindings)
    for (const [name, amount] of quotaUsageOf(binding))
      if (spec.overall[name] !== undefined) addRequests(used, { [name]: formatQuantity(amount) }, 1);
  return Object.fromEntries([...used].map(([name, amount]) => [name, formatQuantity(amount)]));
}
