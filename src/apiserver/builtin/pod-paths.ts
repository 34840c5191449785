import { type FieldError, fieldInvalid } from "#machinery";

/** Whether a path goes upwards anywhere. */
export const hasBacksteps = (path: unknown): boolean => String(path).split("/").includes("..");

/** A path that stays below where it begins. */
export function descendingErrors(value: unknown, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (String(value).startsWith("/")) errors.push(fieldInvalid(path, value, "must be a relative path"));
  if (hasBacksteps(value)) errors.push(fieldInvalid(path, value, "must not contain '..'"));
  return errors;
}
