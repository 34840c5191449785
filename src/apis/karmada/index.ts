/**
 * Karmada's kinds: their shapes, how to address them, their definitions for an API server, and the names, labels and
 * finalizers of the contract (`well-known.ts`, `naming.ts`). Each kind is defined once, below `kinds/`; its types, its CRD,
 * what `kubectl explain` says and its reference page are made from that.
 */
export * from "./generated-types.ts";
export {
  guestCustomResourceDefinitions,
  karmadaCustomResourceDefinitions,
  KEPT_VERSION,
} from "./definitions.ts";
export { kindDefinitions } from "./kinds/index.ts";
export type { KindDefinition } from "./kinds/kind.ts";
export { karmadaConversions } from "./binding-conversion.ts";
export * from "./naming.ts";
export * from "./well-known.ts";
export {
  currentPurgeMode,
  evicted,
  type EvictionReason,
  type PreservedState,
  preserveState,
  type StateRule,
  StateNotReported,
  withoutTarget,
} from "./eviction.ts";

export { type Claim, claimOf, isClaimedBinding, isReleasedBinding } from "./claims.ts";
export type * from "./parts.ts";
export { fieldSelectorErrors } from "./affinity-errors.ts";
export { inlineOf, matchesAffinity, overflowOf, overflowOrder, termNamed } from "./affinity.ts";
export {
  isChargeOver,
  type QuotaCharge,
  quotaChargeData,
  quotaChargesOf,
  readQuotaCharges,
} from "./quota-charges.ts";
export { addRequests, type QuotaAmounts, quotaUsageOf } from "./quota-usage.ts";
