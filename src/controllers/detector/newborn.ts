import { CLAIMED_BY, claimOf, ClusterPropagationPolicy, PropagationPolicy } from "#apis/karmada";
import type { ControllerContext } from "#controller-runtime";
import type { KubeObject } from "#machinery";
import type { DetectorDeps, DetectorOptions, MarkNew } from "./context.ts";
import { isLazy } from "./lazy.ts";
import { claimed, idOf, matchPolicy } from "./plan.ts";

/** A request is not held up to look through more policies than this: the detector does so after it. */
const POLICIES_MAX = 64;

/**
 * Marks a template as it is created, by what the detector knows at that moment, so that it is not written twice. Whatever
 * is not certain, such as a policy that waits for its overrides or for a user's change, is left to the pass that follows
 * each creation; that pass also takes a mark back whose policy has gone meanwhile.
 */
export function markNew(
  context: ControllerContext<DetectorDeps, DetectorOptions>,
  mayBeTemplate: (object: KubeObject) => boolean,
): MarkNew {
  const policies = context.cache(PropagationPolicy);
  const clusterPolicies = context.cache(ClusterPropagationPolicy);
  const isKnowing = () => policies.hasSynced && clusterPolicies.hasSynced && !context.signal.aborted;
  return (object) => {
    if (!isKnowing() || !mayBeTemplate(object) || object.metadata.labels?.[CLAIMED_BY] || claimOf(object) !== undefined)
      return object;
    const { namespace } = object.metadata;
    const own = namespace === undefined ? [] : policies.list(namespace);
    const clusterWide = clusterPolicies.list();
    if (own.length + clusterWide.length > POLICIES_MAX) return object;
    const policy = matchPolicy(object, own, clusterWide);
    if (
      policy === undefined ||
      idOf(policy) === "" ||
      isLazy(policy) ||
      (policy.spec.dependentOverrides ?? []).length > 0
    )
      return object;
    return claimed(object, policy);
  };
}
