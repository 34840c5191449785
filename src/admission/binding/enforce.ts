import { FederatedResourceQuota, type ResourceBinding, quotaUsageOf } from "#apis/karmada";
import { type Clock, sleep } from "#base";
import type { AdmissionRequest } from "#apiserver";
import type { Client } from "#client";
import { isConflict } from "#machinery";
import { deniedBecause, failed } from "../denied.ts";
import { type Amounts, charge, difference } from "./quota.ts";

const WEBHOOK = "resourcebinding.karmada.io";
const TRIES_MAX = 5;
const PAUSE_MS = 10;

export interface QuotaAccess {
  readonly client: () => Client;
  readonly clock: Clock;
}

/**
 * Charges what a binding changes to the quotas of its namespace; refuses what they have no room for. Where the store is ours
 * the charge is part of the very transaction that writes the binding: nothing is charged that is not written, and of two
 * that fit only one at a time the second is judged anew. Behind a webhook it is charged before.
 */
export async function enforceQuotas(
  access: QuotaAccess,
  binding: ResourceBinding,
  old: ResourceBinding | undefined,
  { isDryRun, alongside }: Pick<AdmissionRequest, "isDryRun" | "alongside">,
): Promise<void> {
  const change = difference(quotaUsageOf(binding), quotaUsageOf(old));
  if (change.size === 0) return;
  if (isDryRun || alongside !== undefined) {
    const quotas = await quotasOf(access, binding.metadata.namespace ?? "");
    for (const object of charged(quotas, change)) if (!isDryRun) alongside?.({ kind: FederatedResourceQuota, object });
    return;
  }
  await chargeBefore(access, binding, change);
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

async function chargeBefore(access: QuotaAccess, binding: ResourceBinding, change: Amounts): Promise<void> {
  const done: string[] = [];
  for (let tryNumber = 1; ; tryNumber++) {
    try {
      return await pass(access, binding, change, done);
    } catch (error) {
      if (isConflict(error) && tryNumber < TRIES_MAX) {
        await sleep(access.clock, PAUSE_MS);
        continue;
      }
      // Nothing is half charged: quotas that took the change already give it back.
      await giveBack(access, binding, change, done);
      if (!isConflict(error)) throw error;
      throw failed(
        WEBHOOK,
        `failed to apply FederatedResourceQuota updates after multiple retries for RB ${binding.metadata.namespace}/${binding.metadata.name}`,
      );
    }
  }
}

async function quotasOf(access: QuotaAccess, namespace: string) {
  try {
    return (await access.client().list(FederatedResourceQuota, { namespace })).items;
  } catch (error) {
    throw failed(WEBHOOK, `failed to list FederatedResourceQuotas: ${String(error)}`);
  }
}

async function pass(access: QuotaAccess, binding: ResourceBinding, change: Amounts, done: string[]): Promise<void> {
  const { namespace = "", name = "" } = binding.metadata;
  const open = (await quotasOf(access, namespace)).filter(({ metadata }) => !done.includes(metadata.name ?? ""));
  for (const quota of charged(open, change)) {
    try {
      await access.client().updateStatus(FederatedResourceQuota, quota);
    } catch (error) {
      if (isConflict(error)) throw error;
      throw failed(WEBHOOK, `permanent error updating FRQ statuses for RB ${namespace}/${name}: ${String(error)}`);
    }
    done.push(quota.metadata.name ?? "");
  }
}

async function giveBack(
  access: QuotaAccess,
  binding: ResourceBinding,
  change: Amounts,
  done: readonly string[],
): Promise<void> {
  if (done.length === 0) return;
  const back = difference(new Map(), change);
  for (const quota of await quotasOf(access, binding.metadata.namespace ?? "")) {
    const plan = done.includes(quota.metadata.name ?? "") ? charge(quota, back) : undefined;
    if (plan?.kind === "used")
      // The enforcement controller counts anew from the bindings, so a conflict here heals by itself.
      await access
        .client()
        .updateStatus(FederatedResourceQuota, { ...quota, status: { ...quota.status, overallUsed: plan.overallUsed } })
        .catch(() => undefined);
  }
}
