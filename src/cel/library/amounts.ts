/**
 * Quantities as Go holds those that are small: a whole number and a power of ten. Only these can be asked for a whole
 * number, and only where the power is none below zero; larger ones are held in another way, which cannot.
 */
export interface Amount {
  readonly value: bigint;
  readonly scale: number;
}

const BINARY: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 };
const DECIMAL: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const SHAPE = /^([+-]?)0*(\d*)(?:\.(\d*))?(.*)$/;
const DIGITS_MAX = 18;
const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;

const held = (value: bigint, scale: number): Amount | undefined =>
  value >= LEAST && value <= MOST ? { value, scale } : undefined;

/** The amount in a text that is a quantity; `undefined` where Go holds it in the other way. */
export function amountOf(text: string): Amount | undefined {
  const [, sign = "", whole = "", fraction = "", suffix = ""] = SHAPE.exec(text) ?? [];
  const binary = BINARY[suffix];
  let factor = 1n;
  let scale = DECIMAL[suffix] ?? (/^[eE]/.test(suffix) ? Number(suffix.slice(1)) : 0);
  let precision = DIGITS_MAX - whole.length - fraction.length;
  if (binary !== undefined) {
    factor = 1n << BigInt(binary);
    scale = 0;
    precision = fraction === "" ? 15 - whole.length - Math.floor((binary * 3) / 10) - 1 : -1;
  }
  scale -= fraction.length;
  if (precision < 0 || scale < -9) return undefined;
  const value = BigInt(`${whole}${fraction}` || "0") * factor;
  return held(sign === "-" ? -value : value, scale);
}

/** The sum, where Go holds it in the same way. */
export function sumOf(one: Amount | undefined, other: Amount | undefined): Amount | undefined {
  if (one === undefined || other === undefined) return undefined;
  if (other.value === 0n) return one;
  if (one.value === 0n) return other;
  const scale = Math.min(one.scale, other.scale);
  const at = ({ value, scale: own }: Amount) => held(value * 10n ** BigInt(own - scale), scale);
  const [left, right] = [at(one), at(other)];
  return left === undefined || right === undefined ? undefined : held(left.value + right.value, scale);
}

export const negative = (amount: Amount | undefined): Amount | undefined => amount && held(-amount.value, amount.scale);

/** The whole number an amount is; `undefined` where it cannot be asked for it. */
export function wholeOf(amount: Amount | undefined): bigint | undefined {
  if (amount === undefined || amount.scale < 0) return undefined;
  return held(amount.value * 10n ** BigInt(amount.scale), 0)?.value;
}
