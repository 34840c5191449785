/** Kubernetes quantities (`100m`, `1Gi`, `1e3`), exact to the nano unit as whole numbers. */

const BINARY: Readonly<Record<string, bigint>> = {
  Ki: 1n << 10n,
  Mi: 1n << 20n,
  Gi: 1n << 30n,
  Ti: 1n << 40n,
  Pi: 1n << 50n,
  Ei: 1n << 60n,
};
const DECIMAL_EXPONENT: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  "": 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const SHAPE = /^([+-]?)(\d+(?:\.\d*)?|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?$/;
const NANO = 1_000_000_000n;

/** How a quantity is written: by powers of two, by powers of ten, or with an exponent. */
export type QuantityFormat = "BinarySI" | "DecimalSI" | "DecimalExponent";

/** An exact amount: `nano` is the value times 10⁹, rounded away from zero as Kubernetes does. */
export interface Quantity {
  readonly nano: bigint;
  readonly format: QuantityFormat;
}

const cache = new Map<string, Quantity>();
const CACHE_SIZE_MAX = 4096;

/** Reads a quantity; `undefined` when the text is none. JSON numbers are accepted like their text. */
export function parseQuantity(text: string | number): Quantity | undefined {
  const key = String(text);
  const known = cache.get(key);
  if (known !== undefined) return known;
  const match = SHAPE.exec(key);
  if (match === null) return undefined;
  const [, sign = "", digits = "", suffix = ""] = match;
  const [whole = "", fraction = ""] = digits.split(".");
  let numerator = BigInt(`${whole}${fraction}` || "0");
  let exponent = 9 - fraction.length;
  let format: QuantityFormat = "DecimalSI";
  const binary = BINARY[suffix];
  if (binary !== undefined) {
    numerator *= binary;
    format = "BinarySI";
  } else if (/^[eE][+-]?\d/.test(suffix)) {
    exponent += Number(suffix.slice(1));
    format = "DecimalExponent";
  } else exponent += DECIMAL_EXPONENT[suffix] ?? 0;
  if (exponent > 60) return undefined;
  const nano = exponent >= 0 ? numerator * 10n ** BigInt(exponent) : divideUp(numerator, 10n ** BigInt(-exponent));
  const quantity: Quantity = { nano: sign === "-" ? -nano : nano, format };
  if (cache.size >= CACHE_SIZE_MAX) cache.clear();
  cache.set(key, quantity);
  return quantity;
}

function divideUp(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return numerator % denominator === 0n ? quotient : quotient + 1n;
}

/** The amount in whole units, rounded up (away from zero), as `Quantity.Value()` gives it. */
export function quantityValue(text: string | number | undefined): number {
  return toNumber(text, NANO);
}

/** The amount in thousandths, rounded up (away from zero), as `Quantity.MilliValue()` gives it. */
export function quantityMilliValue(text: string | number | undefined): number {
  return toNumber(text, NANO / 1000n);
}

function toNumber(text: string | number | undefined, unit: bigint): number {
  if (text === undefined) return 0;
  const quantity = parseQuantity(text);
  if (quantity === undefined) return 0;
  const { nano } = quantity;
  return Number(nano < 0n ? -divideUp(-nano, unit) : divideUp(nano, unit));
}

/** −1, 0 or 1. */
export function compareQuantities(left: Quantity, right: Quantity): number {
  return left.nano < right.nano ? -1 : left.nano > right.nano ? 1 : 0;
}

export function addQuantities(left: Quantity, right: Quantity): Quantity {
  return { nano: left.nano + right.nano, format: left.nano === 0n ? right.format : left.format };
}

export function subtractQuantities(left: Quantity, right: Quantity): Quantity {
  return { nano: left.nano - right.nano, format: left.nano === 0n ? right.format : left.format };
}

export function multiplyQuantity(quantity: Quantity, factor: number): Quantity {
  return { nano: quantity.nano * BigInt(factor), format: quantity.format };
}

export const zeroQuantity: Quantity = { nano: 0n, format: "DecimalSI" };

/** The amount of `milli` thousandths. */
export function quantityOfMilli(milli: number, format: QuantityFormat = "DecimalSI"): Quantity {
  return { nano: BigInt(Math.round(milli)) * 1_000_000n, format };
}

/** The canonical text: no fraction, the largest suffix that keeps the number whole. */
export function formatQuantity(quantity: Quantity): string {
  const { nano, format } = quantity;
  if (nano === 0n) return "0";
  const sign = nano < 0n ? "-" : "";
  const amount = nano < 0n ? -nano : nano;
  // Kubernetes writes binary amounts below 1024 and all fractions in the decimal form.
  if (format === "BinarySI" && amount % NANO === 0n && amount >= 1024n * NANO) {
    const whole = amount / NANO;
    for (const suffix of ["Ei", "Pi", "Ti", "Gi", "Mi", "Ki"]) {
      const unit = BINARY[suffix] as bigint;
      if (whole % unit === 0n) return `${sign}${whole / unit}${suffix}`;
    }
    return `${sign}${whole}`;
  }
  for (const [suffix, exponent] of [
    ["E", 18],
    ["P", 15],
    ["T", 12],
    ["G", 9],
    ["M", 6],
    ["k", 3],
    ["", 0],
    ["m", -3],
    ["u", -6],
    ["n", -9],
  ] as const) {
    const unit = 10n ** BigInt(exponent + 9);
    if (amount % unit !== 0n) continue;
    if (format === "DecimalExponent") return `${sign}${amount / unit}${exponent === 0 ? "" : `e${exponent}`}`;
    return `${sign}${amount / unit}${suffix}`;
  }
  return `${sign}${amount}n`;
}

/** The canonical text of a quantity given in any spelling; the text itself when it is no quantity. */
export function canonicalQuantity(text: string | number): string {
  const quantity = parseQuantity(text);
  return quantity === undefined ? String(text) : formatQuantity(quantity);
}
