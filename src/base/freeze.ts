let isFreezing = false;

/** Makes `deepFreeze` freeze: in tests and simulations, where a change of a shared object must fail where it is made. */
export function freezeObjects(): void {
  isFreezing = true;
}

/**
 * Freezes a plain JSON value all the way down, where `freezeObjects` was called, and returns it. What is frozen already is
 * not walked again.
 */
export function deepFreeze<T>(value: T): T {
  return isFreezing ? frozen(value) : value;
}

function frozen<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const member of Object.values(value)) frozen(member);
  return value;
}

/** The read-only view of a plain JSON type. */
export type Immutable<T> = T extends (infer U)[]
  ? readonly Immutable<U>[]
  : T extends object
    ? { readonly [K in keyof T]: Immutable<T[K]> }
    : T;
