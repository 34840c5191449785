import type { Attributes, Authorizer, Decision } from "./attributes.ts";
import { noOpinion } from "./attributes.ts";

/** Who is in this group may do everything. */
export const PRIVILEGED = "system:masters";

/** Asks the privileged group and then each authorizer in turn; the first that allows decides. */
export function authorizerChain(authorizers: readonly Authorizer[]): Authorizer {
  return {
    authorize(wanted: Attributes): Decision {
      if (wanted.user.groups.includes(PRIVILEGED)) return { isAllowed: true, reason: "" };
      for (const authorizer of authorizers) {
        const decision = authorizer.authorize(wanted);
        if (decision.isAllowed) return decision;
      }
      return noOpinion;
    },
  };
}
