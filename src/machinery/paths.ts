/** Reads a member deep inside plain JSON; `undefined` when anything on the way is absent or no object. */
export function getPath(value: unknown, ...path: readonly (string | number)[]): unknown {
  let at: unknown = value;
  for (let step = 0; step < path.length; step++) {
    if (typeof at !== "object" || at === null) return undefined;
    at = (at as Record<string | number, unknown>)[path[step] as string | number];
  }
  return at;
}

/** A copy with one member set deep inside; missing objects on the way are made, everything else is shared. The same value where it is so. */
export function setPath<T>(value: T, path: readonly (string | number)[], member: unknown): T {
  const [step, ...rest] = path;
  if (step === undefined) return member as T;
  if (Array.isArray(value)) {
    const next = setPath(value[Number(step)], rest, member);
    if (Number(step) < value.length && Object.is(next, value[Number(step)])) return value;
    const copy = [...value];
    copy[Number(step)] = next;
    return copy as T;
  }
  const isObject = typeof value === "object" && value !== null;
  const object = (isObject ? value : {}) as Record<string | number, unknown>;
  const next = setPath(object[step], rest, member);
  if (isObject && Object.hasOwn(object, step) && Object.is(next, object[step])) return value;
  return { ...object, [step]: next } as T;
}

/** A copy without one member; the same value when there is nothing to remove. */
export function withoutPath<T>(value: T, path: readonly (string | number)[]): T {
  const [step, ...rest] = path;
  if (step === undefined || typeof value !== "object" || value === null) return value;
  const object = value as Record<string | number, unknown>;
  if (!(step in object)) return value;
  if (Array.isArray(value)) {
    const copy = [...value];
    if (rest.length === 0) copy.splice(Number(step), 1);
    else copy[Number(step)] = withoutPath(copy[Number(step)], rest);
    return copy as T;
  }
  if (rest.length === 0) {
    const { [step]: _removed, ...left } = object;
    return left as T;
  }
  const inner = withoutPath(object[step], rest);
  return inner === object[step] ? value : ({ ...object, [step]: inner } as T);
}

/** Whether a value is a JSON object, as opposed to an array, a scalar or null. */
export function isJsonObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Sets a member of an object that is being made, whatever its name: `__proto__` is a name like others in JSON. */
export function setOwn(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__")
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  else object[key] = value;
}
