import type { AnyBinding } from "./parts.ts";
import { BINDING_MANAGED_BY, CLUSTER_PROPAGATION_POLICY_ID, PROPAGATION_POLICY_ID } from "./well-known.ts";

/** Whether something claims a binding: a policy, or a manager of its own. */
export function isClaimedBinding({ metadata }: AnyBinding): boolean {
  const labels = metadata.labels ?? {};
  return [PROPAGATION_POLICY_ID, CLUSTER_PROPAGATION_POLICY_ID, BINDING_MANAGED_BY].some(
    (key) => (labels[key] ?? "") !== "",
  );
}

/**
 * Whether a binding was let go by its policy and nobody else needs it. Bindings without a placement exist only because
 * others depend on them, and are never released.
 */
export const isReleasedBinding = (binding: AnyBinding): boolean =>
  !isClaimedBinding(binding) && (binding.spec.requiredBy ?? []).length === 0 && binding.spec.placement !== undefined;
