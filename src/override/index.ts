/**
 * Override: how an object differs per cluster.
 *
 * `applyOverrides` applies every policy that matches, in the contract's order, and says what it did; `appliedText` is the
 * record kept on the Work. `selectorsPriority` says how precisely selectors speak of an object, for policies of all sorts.
 * It is pure and changes nothing in place.
 */
export {
  type AppliedOverride,
  appliedText,
  applyOverrides,
  matchingOverrides,
  OverrideError,
  type OverrideEvent,
  type OverrideResult,
} from "./apply.ts";
export { type ImplicitPriority, MATCHES_NONE, selectorPriority, selectorsPriority } from "./matching.ts";
