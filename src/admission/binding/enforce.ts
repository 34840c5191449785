import { FederatedResourceQuota, type ResourceBinding, quotaUsageOf } from "#apis/karmada";
import type { Clock } from "#base";
import type { AdmissionRequest } from "#apiserver";
import type { Client } from "#client";
import { deniedBecause, failed } from "../denied.ts";
import type { ChargeBook } from "./charge-book.ts";
import { type Amounts, charge, difference } from "./quota.ts";

const WEBHOOK = "resourcebinding.karmada.io";
export interface QuotaAccess {
  readonly client: () => Client;
  readonly clock: Clock;
  readonly book: ChargeBook;
}

/**
 * Charges what a binding changes to the quotas of its namespace; refuses what they have no room for. Where the store is ours
 * the charge is part of the very transaction that writes the binding: nothing is charged that is not written, and of two
 * that fit only one at a time the second is judged anew. Behind a webhook room is kept before, in a `ChargeBook`.
 */
export async function enforceQuotas(
  access: QuotaAccess,
  binding: ResourceBinding,
  old: ResourceBinding | undefined,
  { isDryRun, alongside }: Pick<AdmissionRequest, "isDryRun" | "alongside">,
): Promise<void> {
  const change = difference(quotaUsageOf(binding), quotaUsageOf(old));
  if (change.size === 0) return;
  if (alongside === undefined) {
    if ([...change.values()].some(({ nano }) => nano > 0n)) await keepRoom(access, binding, old, change, isDryRun);
    return;
  }
  const quotas = await quotasOf(access, binding.metadata.namespace ?? "");
  for (const object of charged(quotas, change)) if (!isDryRun) alongside({ kind: FederatedResourceQuota, object });
}

/** The quotas with the change charged to them; throws when one of them has no room for it. */
function charged(quotas: readonly FederatedResourceQuota[], change: Amounts): readonly FederatedResourceQuota[] {
  const plans = quotas.map((quota) => ({ quota, plan: charge(quota, change) }));
  const exceeded = plans.flatMap(({ plan }) => (plan.kind === "exceeded" ? [plan.message] : []));
  if (exceeded.length > 0) throw deniedBecause(WEBHOOK, "QuotaExceeded", exceeded.join(" "));
  return plans.flatMap(({ quota, plan }) =>
    plan.kind === "used" ? [{ ...quota, status: { ...quota.status, overallUsed: plan.overallUsed } }] : [],
  );
}

/** Behind a webhook: keeps room for what is about to be written. */
async function keepRoom(
  access: QuotaAccess,
  binding: ResourceBinding,
  old: ResourceBinding | undefined,
  change: Amounts,
  isDryRun: boolean,
): Promise<void> {
  const { namespace = "", name = "" } = binding.metadata;
  const against = old?.metadata.resourceVersion;
  let exceeded: string | undefined;
  try {
    const request = { namespace, binding: name, ...(against === undefined ? {} : { against }), change };
    exceeded = await access.book.ask(request, isDryRun);
  } catch (error) {
    throw failed(
      WEBHOOK,
      `failed to keep room in FederatedResourceQuotas for RB ${namespace}/${name}: ${String(error)}`,
    );
  }
  if (exceeded !== undefined) throw deniedBecause(WEBHOOK, "QuotaExceeded", exceeded);
}

async function quotasOf(access: QuotaAccess, namespace: string) {
  try {
    return (await access.client().list(FederatedResourceQuota, { namespace })).items;
  } catch (error) {
    throw failed(WEBHOOK, `failed to list FederatedResourceQuotas: ${String(error)}`);
  }
}
