import { apiError, type FieldError } from "#machinery";

/** The answer of a webhook that says no (wire). */
export function denied(webhook: string, errors: readonly FieldError[] | string): Error {
  const texts =
    typeof errors === "string" ? [errors] : [...new Set(errors.map(({ field, message }) => `${field}: ${message}`))];
  const message = texts.length === 1 ? (texts[0] as string) : `[${texts.join(", ")}]`;
  return apiError(403, "Forbidden", refusal(webhook, message));
}

/** The answer of a webhook that says no for a reason of its own. */
export function deniedBecause(webhook: string, reason: string, message: string): Error {
  return apiError(403, reason, refusal(webhook, message));
}

/** The answer of a webhook that could not decide (wire). */
export function failed(webhook: string, message: string): Error {
  return apiError(500, "InternalError", refusal(webhook, message));
}

const refusal = (webhook: string, message: string) =>
  `admission webhook ${JSON.stringify(webhook)} denied the request: ${message}`;
