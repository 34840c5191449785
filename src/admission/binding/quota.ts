/** What bindings use of federated quotas, and whether they may use more. Pure. */
import { addRequests, type FederatedResourceQuota, type QuotaAmounts } from "#apis/karmada";
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  type Quantity,
  subtractQuantities,
  zeroQuantity,
} from "#machinery";

export type Amounts = QuotaAmounts;
type Requests = Readonly<Record<string, number | string>>;

const CHARGED = new Set(["cpu", "memory", "pods", "ephemeral-storage"]);
/** Only these are charged: basic resources and those of devices. */
const isCharged = (resource: string) => CHARGED.has(resource) || resource.includes("/") || /^hugepages-/.test(resource);

/** `after` less `before`, without what stays the same. */
export function difference(after: Amounts, before: Amounts): Amounts {
  return new Map(
    [...new Set([...after.keys(), ...before.keys()])]
      .map(
        (resource) =>
          [
            resource,
            subtractQuantities(after.get(resource) ?? zeroQuantity, before.get(resource) ?? zeroQuantity),
          ] as const,
      )
      .filter(([, amount]) => amount.nano !== 0n),
  );
}

export type Charge =
  | { readonly kind: "untouched" }
  | { readonly kind: "exceeded"; readonly message: string }
  | { readonly kind: "used"; readonly overallUsed: Readonly<Record<string, string>> };

/**
 * What a change of use does to one quota. A change that takes less of a resource is allowed even where the quota was
 * lowered below what is used already; all resources that are exceeded are named, in order.
 */
export function charge(quota: FederatedResourceQuota, change: Amounts): Charge {
  const limits = quota.spec.overall as Requests;
  const touched = [...change].filter(([resource]) => limits[resource] !== undefined);
  if (touched.length === 0) return { kind: "untouched" };
  const used = new Map<string, Quantity>();
  addRequests(used, quota.status?.overallUsed, 1);
  for (const [resource, amount] of touched)
    used.set(resource, addQuantities(used.get(resource) ?? zeroQuantity, amount));
  const exceeded = touched
    .filter(([resource, amount]) => {
      const limit = parseQuantity(limits[resource] ?? 0) ?? zeroQuantity;
      return amount.nano > 0n && compareQuantities(used.get(resource) ?? zeroQuantity, limit) > 0;
    })
    .map(([resource]) => resource)
    .sort();
  if (exceeded.length > 0)
    return {
      kind: "exceeded",
      message: exceeded
        .map(
          (resource) =>
            `FederatedResourceQuota(${quota.metadata.namespace}/${quota.metadata.name}) exceeded for resource ${resource}: requested sum ${formatQuantity(used.get(resource) ?? zeroQuantity)}, limit ${String(limits[resource])}.`,
        )
        .join(" "),
    };
  return {
    kind: "used",
    overallUsed: Object.fromEntries(
      [...used]
        .filter(([resource]) => isCharged(resource))
        .map(([resource, amount]) => [resource, formatQuantity(amount)]),
    ),
  };
}
