import type { Component } from "#apis/karmada";
import type { ResourceQuota } from "#apis/kubernetes";
import { parseQuantity } from "#machinery";
import { addDemand, amountOf, type Demand, demandOf, isExtendedResource, UNLIMITED } from "./amounts.ts";
import type { AssumedWorkload } from "./general.ts";

interface Scope {
  readonly scopeName: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

function matchesScope({ scopeName, operator, values = [] }: Scope, priorityClassName: string): boolean {
  if (scopeName !== "PriorityClass") return false;
  switch (operator) {
    case "Exists":
      return priorityClassName !== "";
    case "DoesNotExist":
      return priorityClassName === "";
    case "In":
      return values.includes(priorityClassName);
    case "NotIn":
      return !values.includes(priorityClassName);
    default:
      return false;
  }
}

/** Whether a quota speaks of pods of a priority class: all its selectors must match (docs/decisions/0502). */
export function quotaApplies(quota: ResourceQuota, priorityClassName: string | undefined): boolean {
  const scopes: readonly Scope[] = [
    ...(quota.spec?.scopes ?? []).map((scopeName) => ({ scopeName, operator: "Exists" })),
    ...((quota.spec?.scopeSelector?.matchExpressions ?? []) as readonly Scope[]),
  ];
  return scopes.every((scope) => matchesScope(scope, priorityClassName ?? ""));
}

/** The resource a quota entry limits requests of; `undefined` for limits, objects and storage. */
function requestedResource(entry: string): string | undefined {
  const name = entry.startsWith("requests.") ? entry.slice("requests.".length) : entry;
  return name === "cpu" || name === "memory" || isExtendedResource(name) ? name : undefined;
}

function freeOf(quota: ResourceQuota, taken: Demand): Demand {
  const free = new Map<string, number>();
  const used = quota.status?.used ?? {};
  for (const [entry, hard] of Object.entries(quota.status?.hard ?? {})) {
    const name = requestedResource(entry);
    if (name === undefined || used[entry] === undefined || parseQuantity(hard) === undefined) continue;
    const left = amountOf(name, hard) - amountOf(name, used[entry]) - (taken.get(name) ?? 0);
    // An overdrawn quota leaves nothing; upstream's −1 would be read as "does not know".
    free.set(name, Math.max(0, Math.min(left, free.get(name) ?? Number.POSITIVE_INFINITY)));
  }
  return free;
}

interface Asked {
  readonly namespace: string | undefined;
  readonly components: readonly Component[];
  readonly assumed: readonly AssumedWorkload[];
}

const classOf = ({ replicaRequirements }: Component) => replicaRequirements?.priorityClassName;

function demandUnder(quota: ResourceQuota, components: readonly Component[]): Demand {
  const total = new Map<string, number>();
  for (const component of components)
    if (quotaApplies(quota, classOf(component)))
      addDemand(total, demandOf(component.replicaRequirements), component.replicas);
  return total;
}

/** How many sets the quotas of the namespace leave room for; 2147483647 when none says anything. */
export function estimateByQuotas(quotas: readonly ResourceQuota[], { namespace, components, assumed }: Asked): number {
  if (!namespace) return UNLIMITED;
  let most = UNLIMITED;
  for (const quota of quotas) {
    if (quota.metadata.namespace !== namespace) continue;
    const demand = demandUnder(quota, components);
    if (demand.size === 0) continue;
    const taken = new Map<string, number>();
    for (const workload of assumed)
      if (workload.namespace === namespace) addDemand(taken, demandUnder(quota, workload.components ?? []), 1);
    const free = freeOf(quota, taken);
    for (const [name, amount] of demand) {
      const left = free.get(name);
      if (left !== undefined && amount > 0) most = Math.min(most, Math.floor(left / amount));
    }
  }
  return most;
}
