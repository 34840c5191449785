import { formatQuantity, parseQuantity, type Quantity } from "#machinery";

const UNITS: Readonly<Record<string, number>> = { "": 0, b: 0, k: 1, m: 2, g: 3, t: 4, p: 5 };

/** Bytes of a size as the Java world writes it: `512m`, `2g`, `1024kb`; units are binary. */
export function javaBytes(text: string): number | undefined {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)\s*([bkmgtp]?)b?$/i.exec(text.trim()) ?? [];
  return amount === undefined ? undefined : Number(amount) * 1024 ** (UNITS[unit.toLowerCase()] as number);
}

/** A quantity of bytes; fractions of a byte are kept to a thousandth. */
export const bytesText = (bytes: number): string =>
  formatQuantity({ nano: BigInt(Math.round(bytes * 1000)) * 1_000_000n, format: "BinarySI" });

/** A size in Flink's notation (`2048m` is megabytes) or as a Kubernetes quantity (`4Gi`). */
export function flinkMemory(text: string): Quantity | undefined {
  const bytes = /^\d+(\.\d+)?\s*[kmgt]?b?$/.test(text.trim()) && /[a-z]/.test(text) ? javaBytes(text) : undefined;
  return bytes === undefined
    ? parseQuantity(text)
    : { nano: BigInt(Math.round(bytes)) * 1_000_000_000n, format: "BinarySI" };
}
