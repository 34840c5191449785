/** Formats of names and labels, with the texts Kubernetes refuses others with (wire). Lengths are checked apart. */

/** RFC 1123 label: at most 63 characters. */
export const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
export const DNS_LABEL_TEXT =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/** RFC 1035 label: at most 63 characters. */
export const DNS_1035_LABEL = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
export const DNS_1035_LABEL_TEXT =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/** RFC 1123 subdomain: at most 253 characters. */
export const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
export const DNS_SUBDOMAIN_TEXT =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/** Value of a label: at most 63 characters, may be empty. */
export const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;
export const LABEL_VALUE_TEXT =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

const QUALIFIED_TEXT =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/** Keys nothing is wrong with: objects share them, and each write looks at all of its object's. */
const faultless = new Set<string>();
const FAULTLESS_MAX = 1_000;
/** A prefix, a slash and a name. Where a prefix is longer, others say so. */
const KEY_MAX = 253 + 1 + 63;
const NONE: readonly string[] = [];

/** What is wrong with the key of a label or annotation, or the name of a finalizer; empty when nothing is. */
export function labelKeyErrors(key: string): readonly string[] {
  if (faultless.has(key)) return NONE;
  const errors = keyErrors(key);
  if (errors.length > 0 || key.length > KEY_MAX) return errors;
  if (faultless.size >= FAULTLESS_MAX) faultless.clear();
  faultless.add(key);
  return NONE;
}

function keyErrors(key: string): readonly string[] {
  const parts = key.split("/");
  const name = parts[parts.length - 1] ?? "";
  const errors: string[] = [];
  if (parts.length > 2)
    return [
      "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
    ];
  if (parts.length === 2) {
    const prefix = parts[0] ?? "";
    if (prefix === "") errors.push("prefix part must be non-empty");
    else if (!DNS_SUBDOMAIN.test(prefix)) errors.push(`prefix part ${DNS_SUBDOMAIN_TEXT}`);
  }
  if (name === "") errors.push("name part must be non-empty");
  else if (name.length > 63) errors.push("name part must be no more than 63 bytes");
  if (!QUALIFIED.test(name)) errors.push(QUALIFIED_TEXT);
  return errors;
}
