import type { AnyBinding } from "./parts.ts";
import type { KubeObject } from "#machinery";
import {
  BINDING_MANAGED_BY,
  CLUSTER_PROPAGATION_POLICY_ID,
  CLUSTER_PROPAGATION_POLICY_NAME,
  PROPAGATION_POLICY_ID,
  PROPAGATION_POLICY_NAME,
  PROPAGATION_POLICY_NAMESPACE,
} from "./well-known.ts";

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

/** Who claims a template or a binding, as its marks say. */
export type Claim =
  | { readonly kind: "PropagationPolicy"; readonly namespace: string; readonly name: string; readonly id: string }
  | { readonly kind: "ClusterPropagationPolicy"; readonly name: string; readonly id: string };

export function claimOf({ metadata }: KubeObject): Claim | undefined {
  const { labels = {}, annotations = {} } = metadata;
  const namespace = annotations[PROPAGATION_POLICY_NAMESPACE];
  const name = annotations[PROPAGATION_POLICY_NAME];
  const id = labels[PROPAGATION_POLICY_ID];
  if (namespace && name && id) return { kind: "PropagationPolicy", namespace, name, id };
  const clusterName = annotations[CLUSTER_PROPAGATION_POLICY_NAME];
  const clusterId = labels[CLUSTER_PROPAGATION_POLICY_ID];
  return clusterName && clusterId ? { kind: "ClusterPropagationPolicy", name: clusterName, id: clusterId } : undefined;
}
