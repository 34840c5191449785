/**
 * Copies of plain objects that are made key by key, so that copies of like objects have one shape in V8. The literal
 * `{ ...object, added }`, a second spread in one literal and a spread of what destructuring left over all give each result a
 * shape of its own: some hundred bytes that only a whole collection gives back, and code that never again knows what it
 * sees. That is no matter but for what is done at every request.
 */
type Plain = Record<string, unknown>;

/** All that is in `base`, then all that is in `more`. */
export function copyWith<A extends object, B extends object>(base: A, more: B): Omit<A, keyof B> & B {
  const copy: Plain = {};
  takeAll(copy, base);
  takeAll(copy, more);
  return copy as Omit<A, keyof B> & B;
}

/** All that is in `object`, its symbols too, as a spread copies it. */
export function copyOf<T extends object>(object: T): T {
  const copy: Plain = {};
  takeAll(copy, object);
  for (const symbol of Object.getOwnPropertySymbols(object))
    (copy as Record<symbol, unknown>)[symbol] = (object as Record<symbol, unknown>)[symbol];
  return copy as T;
}

/** All that is in `object` but for `left`. */
export function copyWithout<T extends object, K extends string>(object: T, ...left: readonly K[]): Omit<T, K> {
  const copy: Plain = {};
  for (const key in object)
    if (Object.hasOwn(object, key) && !(left as readonly string[]).includes(key)) set(copy, key, object[key]);
  return copy as Omit<T, K>;
}

function takeAll(copy: Plain, from: object): void {
  for (const key in from) if (Object.hasOwn(from, key)) set(copy, key, (from as Plain)[key]);
}

/** A member called `__proto__` is one like any other. */
function set(copy: Plain, key: string, value: unknown): void {
  if (key === "__proto__")
    Object.defineProperty(copy, key, { value, configurable: true, enumerable: true, writable: true });
  else copy[key] = value;
}
