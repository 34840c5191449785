import { FederatedResourceQuota, type ResourceBinding, quotaUsageOf } from "#apis/karmada";
import { type Clock, sleep } from "#base";
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

/** Charges what a binding changes to the quotas of its namespace; refuses what they have no room for. */
export async function enforceQuotas(
  access: QuotaAccess,
  binding: ResourceBinding,
  old: ResourceBinding | undefined,
  isDryRun: boolean,
): Promise<void> {
  const change = difference(quotaUsageOf(binding), quotaUsageOf(old));
  if (change.size === 0) return;
  const charged: string[] = [];
  for (let tryNumber = 1; ; tryNumber++) {
    try {
      return await pass(access, binding, change, charged, isDryRun);
    } catch (error) {
      if (isConflict(error) && tryNumber < TRIES_MAX) {
        await sleep(access.clock, PAUSE_MS);
        continue;
      }
      // Nothing is half charged: quotas that took the change already give it back.
      await giveBack(access, binding, change, charged);
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

async function pass(
  access: QuotaAccess,
  binding: ResourceBinding,
  change: Amounts,
  charged: string[],
  isDryRun: boolean,
): Promise<void> {
  const { namespace = "", name = "" } = binding.metadata;
  const open = (await quotasOf(access, namespace)).filter(({ metadata }) => !charged.includes(metadata.name ?? ""));
  const plans = open.map((quota) => ({ quota, plan: charge(quota, change) }));
  const exceeded = plans.flatMap(({ plan }) => (plan.kind === "exceeded" ? [plan.message] : []));
  if (exceeded.length > 0) throw deniedBecause(WEBHOOK, "QuotaExceeded", exceeded.join(" "));
  if (isDryRun) return;
  for (const { quota, plan } of plans) {
    if (plan.kind !== "used") continue;
    try {
      await access.client().updateStatus(FederatedResourceQuota, {
        ...quota,
        status: { ...quota.status, overallUsed: plan.overallUsed },
      });
    } catch (error) {
      if (isConflict(error)) throw error;
      throw failed(WEBHOOK, `permanent error updating FRQ statuses for RB ${namespace}/${name}: ${String(error)}`);
    }
    charged.push(quota.metadata.name ?? "");
  }
}

async function giveBack(
  access: QuotaAccess,
  binding: ResourceBinding,
  change: Amounts,
  charged: readonly string[],
): Promise<void> {
  if (charged.length === 0) return;
  const back = difference(new Map(), change);
  for (const quota of await quotasOf(access, binding.metadata.namespace ?? "")) {
    const plan = charged.includes(quota.metadata.name ?? "") ? charge(quota, back) : undefined;
    if (plan?.kind === "used")
      // The enforcement controller counts anew from the bindings, so a conflict here heals by itself.
      await access
        .client()
        .updateStatus(FederatedResourceQuota, { ...quota, status: { ...quota.status, overallUsed: plan.overallUsed } })
        .catch(() => undefined);
  }
}
