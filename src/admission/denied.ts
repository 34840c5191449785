import { apiError, type FieldError } from "#machinery";

/** The answer of a webhook that says no (wire). */
export function denied(webhook: string, errors: readonly FieldError[] | string): Error {
  const texts =
    typeof errors === "string" ? [errors] : [...new Set(errors.map(({ field, message }) => `${field}: ${message}`))];
  const message = texts.length === 1 ? (texts[0] as string) : `[${texts.join(", ")}]`;
  return apiError(403, "Forbidden", `admission webhook ${JSON.stringify(webhook)} denied the request: ${message}`);
}
