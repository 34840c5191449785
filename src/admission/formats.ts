import {
  type FieldError,
  fieldInvalid,
  fieldRequired,
  labelErrors,
  labelTexts,
  parseQuantity,
  type Quantity,
  subdomainTexts,
} from "#machinery";

/** Formats that several kinds ask for, with the texts Kubernetes uses for them (wire). */

const CLUSTER_NAME_LENGTH_MAX = 48;

/** A domain of at least two parts; a dot at its end does not count. */
export function domainErrors(value: string, path: string): FieldError[] {
  if (value === "") return [fieldRequired(path)];
  const name = value.replace(/\.$/, "");
  const texts = subdomainTexts(name);
  if (texts.length > 0) return [fieldInvalid(path, name, texts.join(","))];
  const parts = name.split(".");
  if (parts.length < 2)
    return [fieldInvalid(path, name, "should be a domain with at least two segments separated by dots")];
  return parts.flatMap((part) => {
    const wrong = labelTexts(part);
    return wrong.length === 0 ? [] : [fieldInvalid(path, part, wrong.join(","))];
  });
}

/** What is wrong with the name of a member cluster in another object. */
export function clusterNameErrors(value: string, path: string): FieldError[] {
  if (value === "") return [fieldInvalid(path, value, "must be not empty")];
  if (value.length > CLUSTER_NAME_LENGTH_MAX)
    return [fieldInvalid(path, value, `must be no more than ${CLUSTER_NAME_LENGTH_MAX} characters`)];
  return labelErrors(value, path);
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
