import { type FieldError, fieldInvalid } from "#machinery";

/** Mistakes of a port's name, all that apply. */
export function portNameErrors(name: string, path: string): FieldError[] {
  const wrong: readonly (readonly [boolean, string])[] = [
    [name.length > 15, "must be no more than 15 characters"],
    [!/^[-a-z0-9]+$/.test(name), "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"],
    [!/[a-z]/.test(name), "must contain at least one letter (a-z)"],
    [name.includes("--"), "must not contain consecutive hyphens"],
    [/^-|-$/.test(name), "must not begin or end with a hyphen"],
  ];
  return wrong.filter(([isWrong]) => isWrong).map(([, text]) => fieldInvalid(path, name, text));
}
