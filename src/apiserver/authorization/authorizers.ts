import type { Attributes, Authorizer, Decision } from "./attributes.ts";

/** Who is in this group may do everything. */
export const PRIVILEGED = "system:masters";

/** Asks the privileged group and then each authorizer in turn; the first that allows decides. Refusals give all reasons. */
export function authorizerChain(authorizers: readonly Authorizer[]): Authorizer {
  return {
    authorize(wanted: Attributes): Decision {
      if (wanted.user.groups.includes(PRIVILEGED)) return { isAllowed: true, reason: "" };
      const reasons: string[] = [];
      for (const authorizer of authorizers) {
        const decision = authorizer.authorize(wanted);
        if (decision.isAllowed) return decision;
        if (decision.reason !== "") reasons.push(decision.reason);
      }
      return { isAllowed: false, reason: reasons.join("\n") };
    },
  };
}
