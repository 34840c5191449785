import { isJsonObject } from "#machinery";
import type { ResourceBinding } from "./generated-types.ts";
import { SYSTEM_NAMESPACE } from "./well-known.ts";

/**
 * What a write of a binding that was admitted, and is perhaps not stored yet, will use more of federated quotas. Kept where
 * admission stands outside the transaction that writes the binding, in a ConfigMap for each namespace.
 */
export interface QuotaCharge {
  /** Name of the binding. */
  readonly binding: string;
  /** Version of the stored binding the write replaces; absent for a creation. */
  readonly against?: string;
  /** Amounts by resource; only what grows. */
  readonly change: Readonly<Record<string, string>>;
  /** When it was admitted. */
  readonly at: string;
}

const CHARGES = "charges";

/** Where the charges of a namespace are kept. */
export const quotaChargesOf = (namespace: string) => ({
  namespace: SYSTEM_NAMESPACE,
  name: `quota-charges.${namespace}`,
});

interface KeptCharges {
  readonly data?: Readonly<Record<string, string>>;
}

/** The charges a ConfigMap holds; what somebody wrote there that is none is left out. */
export function readQuotaCharges(kept: KeptCharges | undefined): readonly QuotaCharge[] {
  try {
    const found: unknown = JSON.parse(kept?.data?.[CHARGES] ?? "[]");
    return Array.isArray(found) ? found.filter(isCharge) : [];
  } catch {
    return [];
  }
}

export const quotaChargeData = (charges: readonly QuotaCharge[]) => ({ [CHARGES]: JSON.stringify(charges) });

function isCharge(value: unknown): value is QuotaCharge {
  return (
    isJsonObject(value) &&
    typeof value["binding"] === "string" &&
    typeof value["at"] === "string" &&
    isJsonObject(value["change"])
  );
}

/** Whether the write of a charge cannot come any more, because it is there or another one was first. */
export function isChargeOver({ against }: QuotaCharge, stored: ResourceBinding | undefined): boolean {
  return against === undefined ? stored !== undefined : stored?.metadata.resourceVersion !== against;
}
