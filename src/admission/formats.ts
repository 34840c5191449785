import { type FieldError, fieldInvalid, fieldRequired, parseQuantity, type Quantity } from "#machinery";

/** Formats of names that several kinds ask for, with the texts Kubernetes uses for them (wire). */

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_TEXT =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_1035_TEXT =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL_LENGTH_MAX = 63;
const CLUSTER_NAME_LENGTH_MAX = 48;

const tooLong = (max: number) => `must be no more than ${max} characters`;

export function labelErrors(value: string, path: string): FieldError[] {
  const errors = value.length > LABEL_LENGTH_MAX ? [fieldInvalid(path, value, tooLong(LABEL_LENGTH_MAX))] : [];
  return LABEL.test(value) ? errors : [...errors, fieldInvalid(path, value, LABEL_TEXT)];
}

export function label1035Errors(value: string, path: string): FieldError[] {
  const errors = value.length > LABEL_LENGTH_MAX ? [fieldInvalid(path, value, tooLong(LABEL_LENGTH_MAX))] : [];
  return LABEL_1035.test(value) ? errors : [...errors, fieldInvalid(path, value, LABEL_1035_TEXT)];
}

export const isSubdomain = (value: string): boolean => value.length <= 253 && SUBDOMAIN.test(value);

/** What is wrong with the name of a member cluster in another object. */
export function clusterNameErrors(value: string, path: string): FieldError[] {
  if (value === "") return [fieldInvalid(path, value, "must be not empty")];
  if (value.length > CLUSTER_NAME_LENGTH_MAX) return [fieldInvalid(path, value, tooLong(CLUSTER_NAME_LENGTH_MAX))];
  return LABEL.test(value) ? [] : [fieldInvalid(path, value, LABEL_TEXT)];
}

/** Kind and name of what an autoscaler scales. */
export function scaleTargetErrors(
  target: { readonly kind: string; readonly name: string },
  path: string,
): FieldError[] {
  return (["kind", "name"] as const).flatMap((field) => {
    const value = target[field];
    if (!value) return [fieldRequired(`${path}.${field}`)];
    if (value === "." || value === "..") return [fieldInvalid(`${path}.${field}`, value, `may not be '${value}'`)];
    const bad = ["/", "%"].filter((letter) => value.includes(letter));
    return bad.map((letter) => fieldInvalid(`${path}.${field}`, value, `may not contain '${letter}'`));
  });
}

/** An amount that may be absent or unreadable. */
export const amountOf = (value: number | string | undefined): Quantity | undefined =>
  value === undefined ? undefined : parseQuantity(value);
