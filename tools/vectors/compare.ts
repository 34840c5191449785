/** Comparison rules of the interpreter and override vectors. */
import { compareQuantities, parseQuantity } from "#machinery";

const QUANTITIES = new Set(["desiredCPU", "desiredMemory"]);

/** Removes members that are null: absent and null are the same. */
function settled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(settled);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== null && member !== undefined)
      .map(([key, member]) => [key, settled(member)]),
  );
}

export interface CompareOptions {
  readonly isUnordered?: boolean;
  /** Members that are `{}` or null in what is expected may be absent. */
  readonly ignoresEmpty?: boolean;
  readonly nowMs?: number;
}

/** The first difference, or `undefined`. */
export function differenceOf(expected: unknown, actual: unknown, options: CompareOptions = {}): string | undefined {
  return compare(settled(expected), settled(actual), "", false, options);
}

function compare(
  expected: unknown,
  actual: unknown,
  path: string,
  isQuantity: boolean,
  options: CompareOptions,
): string | undefined {
  const differ = () => `${path || "/"}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`;
  if (expected === "{{NOW}}")
    return typeof actual === "string" && Math.abs(Date.parse(actual) - (options.nowMs ?? Date.now())) < 60_000
      ? undefined
      : differ();
  if (isQuantity && (typeof expected === "string" || typeof expected === "number")) {
    const left = parseQuantity(expected);
    const right = typeof actual === "string" || typeof actual === "number" ? parseQuantity(actual) : undefined;
    return left !== undefined && right !== undefined && compareQuantities(left, right) === 0 ? undefined : differ();
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) return differ();
    const others = options.isUnordered
      ? [...actual].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
      : actual;
    const mine = options.isUnordered
      ? [...expected].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
      : expected;
    for (const [at, item] of mine.entries()) {
      const found = compare(item, others[at], `${path}/${at}`, isQuantity, options);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (typeof expected === "object" && expected !== null) {
    if (typeof actual !== "object" || actual === null || Array.isArray(actual)) return differ();
    const left = expected as Readonly<Record<string, unknown>>;
    const right = actual as Readonly<Record<string, unknown>>;
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
      const isEmpty =
        options.ignoresEmpty &&
        right[key] === undefined &&
        typeof left[key] === "object" &&
        Object.keys(left[key] as object).length === 0;
      if (isEmpty) continue;
      if (left[key] === undefined || right[key] === undefined)
        return `${path}/${key}: expected ${JSON.stringify(left[key])}, got ${JSON.stringify(right[key])}`;
      const found = compare(
        left[key],
        right[key],
        `${path}/${key}`,
        isQuantity || key === "resourceRequest" || QUANTITIES.has(key),
        options,
      );
      if (found !== undefined) return found;
    }
    return undefined;
  }
  return expected === actual ? undefined : differ();
}
