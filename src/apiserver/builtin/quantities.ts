import {
  badRequest,
  canonicalQuantity,
  formatQuantity,
  isJsonObject,
  type JsonSchema,
  type KubeObject,
  parseQuantity,
  type ResolveRef,
} from "#machinery";

/**
 * Writes the amounts of a value in their canonical form; gives the value itself when nothing changed. What it shares with
 * `known` was written before.
 */
type Rewrite = (value: unknown, known: unknown) => unknown;

class QuantityError extends Error {}

const QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const known = new Map<string, Rewrite | null | undefined>();

/** Canonical forms of amounts seen before: few are ever used. */
const canonical = new Map<string | number, string>();
const CANONICAL_MAX = 4_096;

const amount: Rewrite = (value) => {
  if (typeof value !== "string" && typeof value !== "number") throw new QuantityError(mistakeIn("{"));
  const seen = canonical.get(value);
  if (seen !== undefined) return seen;
  const given = complete(String(value));
  if (parseQuantity(given) === undefined) throw new QuantityError(mistakeIn(given));
  const form = isCanonicalEnough(given) ? given : canonicalOf(given);
  if (canonical.size >= CANONICAL_MAX) canonical.clear();
  canonical.set(value, form);
  return form;
};

/** Without spaces around it, and with the zero that Go reads where no digits are. */
function complete(given: string): string {
  const text = given.trim();
  const [, sign, suffix] = /^([+-]?)\.?([KMGT]i|[numkMGTPE]|[eE][-+]?\d+|)$/.exec(text) ?? [];
  return text === "" || sign === undefined ? text : `${sign}0${suffix}`;
}

const PLAIN = /^[+-]?0*([1-9]\d*)\.?(?:([KMGTPE]i)|[numkMGTPE]|[eE]([-+]?\d+)|)$/;
/** Digits that fit into a whole number, by how many of them a binary suffix takes. */
const DIGITS_MAX = 18;
const BINARY_DIGITS_MAX = 14;
const BINARY_DIGITS: Readonly<Record<string, number>> = { Ki: 3, Mi: 6, Gi: 9, Ti: 12, Pi: 15, Ei: 18 };

/**
 * Whether Go leaves a text as it came: it is a whole number that no larger suffix would shorten. Signs, leading zeros and
 * a point at its end stay then.
 */
function isCanonicalEnough(text: string): boolean {
  const [, digits, binary, exponent] = PLAIN.exec(text) ?? [];
  if (digits === undefined) return false;
  if (exponent !== undefined && Number(exponent) % 3 !== 0) return false;
  if (binary !== undefined)
    return digits.length <= BINARY_DIGITS_MAX - (BINARY_DIGITS[binary] ?? 0) && BigInt(digits) % 8n !== 0n;
  return digits.length <= DIGITS_MAX && !digits.endsWith("000");
}

/** What a whole number of 64 bits holds; larger amounts of binary units are as large as that. */
const AMOUNT_MAX = (2n ** 63n - 1n) * 1_000_000_000n;
const MILLI = 1_000_000n;
const rounded = new Map<string, string>();

/** An amount in a list of resources: no finer than thousandths, rounded away from zero. */
const listedAmount: Rewrite = (value, before) => {
  const form = amount(value, before) as string;
  if (!/[nu.eE]/.test(form)) return form;
  const seen = rounded.get(form);
  if (seen !== undefined) return seen;
  const quantity = parseQuantity(form);
  const rest = quantity === undefined ? 0n : quantity.nano % MILLI;
  if (quantity === undefined || rest === 0n) return form;
  const nano = quantity.nano - rest + (rest > 0n ? MILLI : -MILLI);
  const result = formatQuantity({ nano, format: quantity.format });
  if (rounded.size >= CANONICAL_MAX) rounded.clear();
  rounded.set(form, result);
  return result;
};

/** An exponent keeps the letter it was written with. */
function canonicalOf(text: string): string {
  const quantity = parseQuantity(text);
  // Go holds decimal amounts of any size.
  if (quantity?.format === "BinarySI") {
    if (quantity.nano > AMOUNT_MAX) return String(AMOUNT_MAX / 1_000_000_000n);
    if (quantity.nano < -AMOUNT_MAX) return String(-AMOUNT_MAX / 1_000_000_000n);
  }
  const form = canonicalQuantity(text);
  return form.toLowerCase() === text.toLowerCase() && /\dE\d/.test(text) ? text : form;
}

/** Why a text is no amount, in Kubernetes' words. */
function mistakeIn(text: string): string {
  const suffix = /^[+-]?\d*(?:\.\d*)?(.*)$/s.exec(text)?.[1] ?? text;
  if (text === "" || !/^[eEinumkKMGTP]*[-+]?\d*$/.test(suffix))
    return "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  return /^(?:[KMGTPE]i|[numkMGTPE]|[eE][-+]?\d+|)$/.test(suffix)
    ? "unable to parse numeric part of quantity"
    : "unable to parse quantity's suffix";
}

/** A rewriter of one schema, or `undefined` where no amount can be. Schemas that contain themselves hold no amounts. */
function rewriterOf(schema: JsonSchema, resolve: ResolveRef): Rewrite | undefined {
  const ref =
    schema.$ref ?? (schema.type === undefined && schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
  if (ref !== undefined) {
    if (ref.endsWith(QUANTITY)) return amount;
    if (known.has(ref)) return known.get(ref) ?? undefined;
    known.set(ref, null);
    const target = resolve(ref);
    const made = target === undefined ? undefined : rewriterOf(target, resolve);
    known.set(ref, made);
    return made;
  }
  if (schema.items !== undefined) {
    const each = rewriterOf(schema.items, resolve);
    return each === undefined
      ? undefined
      : (value, before) => (Array.isArray(value) ? mapped(value, each, before) : value);
  }
  const members = Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
    const rewrite = rewriterOf(member, resolve);
    return rewrite === undefined ? [] : [[name, rewrite] as const];
  });
  const found =
    typeof schema.additionalProperties === "object" ? rewriterOf(schema.additionalProperties, resolve) : undefined;
  const values = found === amount ? listedAmount : found;
  if (members.length === 0 && values === undefined) return undefined;
  return (value, old) => {
    if (!isJsonObject(value)) return value;
    const rewritten = isJsonObject(old) ? old : undefined;
    let result: Record<string, unknown> | undefined;
    const put = (name: string, rewrite: Rewrite) => {
      const before = value[name];
      if (before === undefined || before === null || before === rewritten?.[name]) return;
      const after = rewrite(before, rewritten?.[name]);
      if (after !== before) (result ??= { ...value })[name] = after;
    };
    for (const [name, rewrite] of members) put(name, rewrite);
    if (values !== undefined) for (const name in value) put(name, values);
    return result ?? value;
  };
}

function mapped(values: readonly unknown[], rewrite: Rewrite, old: unknown): readonly unknown[] {
  const rewritten: readonly unknown[] = Array.isArray(old) ? old : [];
  let result: unknown[] | undefined;
  for (let at = 0; at < values.length; at++) {
    const value = values[at];
    if (value === rewritten[at]) continue;
    const after = rewrite(value, rewritten[at]);
    if (after !== value) (result ??= [...values])[at] = after;
  }
  return result ?? values;
}

/** Amounts such as `0.5` and `1000m` are stored as `500m` and `1`, as kube-apiserver does. The work is planned at first use. */
export function quantityRewriter(
  schema: JsonSchema,
  resolve: ResolveRef,
): (object: KubeObject, known?: KubeObject) => KubeObject {
  let rewrite: Rewrite | undefined | null = null;
  return (object, before) => {
    if (rewrite === null) rewrite = rewriterOf(schema, resolve);
    if (rewrite === undefined) return object;
    try {
      return rewrite(object, before) as KubeObject;
    } catch (error) {
      if (!(error instanceof QuantityError)) throw error;
      const version = JSON.stringify(object.apiVersion.split("/").at(-1) ?? "");
      throw badRequest(`${object.kind} in version ${version} cannot be handled as a ${object.kind}: ${error.message}`);
    }
  };
}
