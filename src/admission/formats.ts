import {
  type FieldError,
  fieldInvalid,
  fieldRequired,
  DNS_LABEL,
  DNS_1035_LABEL,
  DNS_1035_LABEL_TEXT,
  DNS_LABEL_TEXT,
  parseQuantity,
  type Quantity,
  DNS_SUBDOMAIN,
} from "#machinery";

/** Formats of names that several kinds ask for, with the texts Kubernetes uses for them (wire). */

const LABEL_LENGTH_MAX = 63;
const CLUSTER_NAME_LENGTH_MAX = 48;

const tooLong = (max: number) => `must be no more than ${max} characters`;

export function labelErrors(value: string, path: string): FieldError[] {
  const errors = value.length > LABEL_LENGTH_MAX ? [fieldInvalid(path, value, tooLong(LABEL_LENGTH_MAX))] : [];
  return DNS_LABEL.test(value) ? errors : [...errors, fieldInvalid(path, value, DNS_LABEL_TEXT)];
}

export function label1035Errors(value: string, path: string): FieldError[] {
  const errors = value.length > LABEL_LENGTH_MAX ? [fieldInvalid(path, value, tooLong(LABEL_LENGTH_MAX))] : [];
  return DNS_1035_LABEL.test(value) ? errors : [...errors, fieldInvalid(path, value, DNS_1035_LABEL_TEXT)];
}

export const isSubdomain = (value: string): boolean => value.length <= 253 && DNS_SUBDOMAIN.test(value);

/** What is wrong with the name of a member cluster in another object. */
export function clusterNameErrors(value: string, path: string): FieldError[] {
  if (value === "") return [fieldInvalid(path, value, "must be not empty")];
  if (value.length > CLUSTER_NAME_LENGTH_MAX) return [fieldInvalid(path, value, tooLong(CLUSTER_NAME_LENGTH_MAX))];
  return DNS_LABEL.test(value) ? [] : [fieldInvalid(path, value, DNS_LABEL_TEXT)];
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
