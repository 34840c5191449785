import { type Attributes, refusal } from "#apiserver";
import { forbidden } from "#machinery";

/** Whether the control plane allows what somebody wants, and why not. */
export type Review = (wanted: Attributes) => Promise<{ readonly isAllowed: boolean; readonly reason: string }>;

/**
 * Throws 403 unless the control plane allows it. Caches are filled with our own rights in members: whoever reads them must have
 * rights of their own.
 */
export async function mustBeAllowed(review: Review, wanted: Attributes): Promise<void> {
  const { isAllowed, reason } = await review(wanted);
  if (isAllowed) return;
  const { group, resource, name } = wanted;
  throw forbidden({ group, resource }, name, refusal(wanted, reason));
}
