/** Names inside objects, with kube-apiserver's words. */
import {
  DNS_SUBDOMAIN,
  DNS_SUBDOMAIN_TEXT,
  type FieldError,
  fieldInvalid,
  fieldRequired,
  labelTexts,
} from "#machinery";

/** A label of a domain name; nothing is none. */
export function dnsLabelErrors(value: unknown, path: string): FieldError[] {
  const text = String(value ?? "");
  return labelTexts(text).map((why) => fieldInvalid(path, text, why));
}

/** A label of a domain name that must be there. */
export const nameErrorsAt = (value: unknown, path: string): FieldError[] =>
  value ? dnsLabelErrors(value, path) : [fieldRequired(path)];

export function subdomainErrorsAt(value: unknown, path: string): FieldError[] {
  const text = String(value ?? "");
  return [
    ...(text.length > 253 ? [fieldInvalid(path, text, "must be no more than 253 characters")] : []),
    ...(DNS_SUBDOMAIN.test(text) ? [] : [fieldInvalid(path, text, DNS_SUBDOMAIN_TEXT)]),
  ];
}
