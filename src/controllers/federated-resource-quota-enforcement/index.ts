/**
 * Federated resource quota enforcement: counts what the bindings of a namespace use of its quotas (gate
 * `FederatedQuotaEnforcement`). In our own API server admission charges each change as it is made, and this count repairs
 * what was missed. On a foreign one admission only keeps room, in a book: the count follows every change, for all quotas of
 * the namespace together, and strikes from the book what it has seen.
 */
import { ConfigMap } from "#apis/kubernetes";
import {
  addRequests,
  FederatedResourceQuota,
  isChargeOver,
  quotaChargeData,
  quotaChargesOf,
  quotaUsageOf,
  readQuotaCharges,
  ResourceBinding,
} from "#apis/karmada";
import { deepEqual } from "#base";
import {
  type Change,
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

interface Deps {
  /** Whether admission keeps room in a book of charges, as it must behind a webhook. */
  readonly keepsBook: boolean;
}

export const federatedResourceQuotaEnforcement = defineController<Deps, Options>({
  name: "federatedResourceQuotaEnforcement",
  reconciles: [FederatedResourceQuota],
  reconcilers: ["federated-resource-quota-enforcement-controller"],
  when: (change) =>
    change.type === "added" ||
    (change.type === "updated" &&
      !deepEqual(
        (change.object as FederatedResourceQuota).spec.overall,
        (change.old as FederatedResourceQuota).spec.overall,
      )),
  wakes: [
    // What goes is given back by counting anew; what comes was charged on its way in, or is counted as well.
    wake(ResourceBinding, (change, context: ControllerContext<Deps, unknown>) =>
      change.type !== "deleted" && !(context.deps.keepsBook && movesUse(change))
        ? []
        : context
            .cache(FederatedResourceQuota)
            .list(change.object.metadata.namespace ?? "")
            .map(({ metadata }) => ({ namespace: metadata.namespace, name: metadata.name ?? "" })),
    ),
  ],
  writes: [
    { kind: FederatedResourceQuota, verbs: ["update"], subresources: ["status"] },
    { kind: ConfigMap, verbs: ["update", "delete"] },
  ],
  options: { federatedResourceQuotaSyncPeriodMs: 300_000 },
  reconcile,
});

/** Whether a binding uses more or less than before. */
function movesUse(change: Change<ResourceBinding>): boolean {
  if (change.type !== "updated") return true;
  const { spec } = change.object;
  const { spec: before } = change.old;
  return !(
    deepEqual(spec.clusters, before.clusters) &&
    deepEqual(spec.components, before.components) &&
    deepEqual(spec.replicaRequirements, before.replicaRequirements)
  );
}

async function reconcile(request: Request, context: ControllerContext<Deps, Options>): Promise<Result> {
  const again = requeueAfter(context.options.federatedResourceQuotaSyncPeriodMs);
  const { namespace = "" } = request;
  // Live objects, and the bindings last: a charge made between reading and writing fails the write or stays in the book.
  const quotas = context.deps.keepsBook
    ? (await context.client.list(FederatedResourceQuota, { namespace })).items
    : [await context.client.find(FederatedResourceQuota, request)];
  const book = context.deps.keepsBook ? await context.client.find(ConfigMap, quotaChargesOf(namespace)) : undefined;
  const present = quotas.filter((quota) => quota !== undefined && quota.metadata.deletionTimestamp === undefined);
  if (present.length === 0) {
    if (book !== undefined) await context.client.delete(ConfigMap, quotaChargesOf(namespace));
    return done;
  }
  let bindings: readonly ResourceBinding[] = [];
  for (const quota of present as readonly FederatedResourceQuota[]) {
    try {
      if (bindings.length === 0) ({ items: bindings } = await context.client.list(ResourceBinding, { namespace }));
      await count(quota, bindings, context);
    } catch (error) {
      if (isNotFound(error)) continue;
      if (isConflict(error)) return requeueAfter(1);
      const message = error instanceof Error ? error.message : String(error);
      events(context).warning(quota, "CollectOverallStatusFailed", message);
      throw error;
    }
  }
  if (book === undefined) return again;
  const charges = readQuotaCharges(book);
  const stored = new Map(bindings.map((binding) => [binding.metadata.name ?? "", binding]));
  const left = charges.filter((charge) => !isChargeOver(charge, stored.get(charge.binding)));
  if (left.length === charges.length) return again;
  try {
    await context.client.update(ConfigMap, { ...book, data: quotaChargeData(left) });
  } catch (error) {
    if (isConflict(error)) return requeueAfter(1);
    throw error;
  }
  return again;
}

const events = (context: ControllerContext<Deps, Options>) =>
  context.events.from("federated-resource-quota-enforcement-controller");

async function count(
  quota: FederatedResourceQuota,
  bindings: readonly ResourceBinding[],
  context: ControllerContext<Deps, Options>,
): Promise<void> {
  const status = { ...quota.status, overall: quota.spec.overall, overallUsed: planOverallUsed(quota, bindings) };
  if (deepEqual(status, quota.status ?? {})) return;
  await context.client.updateStatus(FederatedResourceQuota, { ...quota, status });
  const { namespace, name } = quota.metadata;
  events(context).normal(
    quota,
    "CollectOverallStatusSucceed",
    `Collect status of FederatedResourceQuota(${namespace}/${name}) succeed.`,
  );
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
