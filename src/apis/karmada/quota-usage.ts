import { addQuantities, multiplyQuantity, parseQuantity, type Quantity, zeroQuantity } from "#machinery";
import type { ResourceBinding } from "./generated-types.ts";

/** Amounts of resources by name. */
export type QuotaAmounts = ReadonlyMap<string, Quantity>;
type Requests = Readonly<Record<string, number | string>>;

/** Adds quantities, `times` each. */
export function addRequests(to: Map<string, Quantity>, requests: Requests | undefined, times: number): void {
  for (const [resource, text] of Object.entries(requests ?? {})) {
    const amount = parseQuantity(text);
    if (amount !== undefined)
      to.set(resource, addQuantities(to.get(resource) ?? zeroQuantity, multiplyQuantity(amount, times)));
  }
}

/** What a binding uses over all its clusters. */
export function quotaUsageOf(binding: ResourceBinding | undefined): QuotaAmounts {
  const usage = new Map<string, Quantity>();
  if (binding === undefined) return usage;
  const { clusters = [], components = [], replicaRequirements } = binding.spec;
  if (components.length > 0)
    for (const { replicas, replicaRequirements: own } of components)
      addRequests(usage, own?.resourceRequest, replicas * clusters.length);
  else
    addRequests(
      usage,
      replicaRequirements?.resourceRequest,
      clusters.reduce((sum, { replicas = 0 }) => sum + replicas, 0),
    );
  return usage;
}
