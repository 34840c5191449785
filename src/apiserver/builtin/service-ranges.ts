/** Ranges of addresses and ports that Services get theirs from. Addresses are held as whole numbers. */
import { isIP } from "node:net";
import { addressBits, canonicalAddress } from "./checks.ts";

export type Family = "IPv4" | "IPv6";

export interface AddressRange {
  readonly family: Family;
  /** As it was written, such as `10.96.0.0/12`. */
  readonly text: string;
  /** The first and the last address a Service may have. */
  readonly first: bigint;
  readonly last: bigint;
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export const familyOf = (address: string): Family => (address.includes(":") ? "IPv6" : "IPv4");

/** An address as a number; `undefined` for anything else. */
export const addressNumber = (text: string): bigint | undefined =>
  isIP(text) === 0 || text.includes("%") ? undefined : BigInt(`0b${addressBits(text)}`);

export function addressText(family: Family, number: bigint): string {
  const [count, bits] = family === "IPv4" ? [4, 8n] : [8, 16n];
  const parts = Array.from({ length: count }, (_, at) => (number >> (bits * BigInt(count - 1 - at))) % (1n << bits));
  return family === "IPv4" ? parts.join(".") : canonicalAddress(parts.map((part) => part.toString(16)).join(":"));
}

/** Ranges of six must not be larger, as in Kubernetes. */
const SIX_BITS_MIN = 64;

/** Reads `10.96.0.0/12`. Throws what is wrong with it, without a label. */
export function parseAddressRange(text: string): AddressRange {
  const [address = "", bits = "", ...more] = text.split("/");
  const number = addressNumber(address);
  const family = familyOf(address);
  const width = family === "IPv4" ? 32 : 128;
  const length = /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  if (number === undefined || more.length > 0 || !(length <= width))
    throw new Error("must be a range such as 10.96.0.0/12 or fd00:10:96::/112");
  if (family === "IPv6" && length < SIX_BITS_MIN) throw new Error(`must be /${SIX_BITS_MIN} or smaller, for IPv6`);
  const size = 1n << BigInt(width - length);
  if (size < 8n) throw new Error("must hold at least 8 addresses");
  const network = number - (number % size);
  // The network's own address belongs to nobody; nor does the last one, which IPv4 sends to everybody.
  return { family, text, first: network + 1n, last: network + size - (family === "IPv4" ? 2n : 1n) };
}

/** Reads one range, or two of different families with a comma between: Services get addresses of the first by default. */
export function parseAddressRanges(text: string): readonly AddressRange[] {
  const ranges = text.split(",").map((part) => parseAddressRange(part.trim()));
  if (ranges.length > 2) throw new Error("must be at most two ranges, one of each family");
  if (ranges.length === 2 && ranges[0]?.family === ranges[1]?.family)
    throw new Error("must be ranges of different families where there are two");
  return ranges;
}

/** Reads `30000-32767`, or `30000+100`. */
export function parsePortRange(text: string): PortRange {
  const match = /^(\d+)(?:([-+])(\d+))?$/.exec(text.trim());
  const first = Number(match?.[1] ?? Number.NaN);
  const last = match?.[2] === "+" ? first + Number(match[3]) : Number(match?.[3] ?? first);
  if (!(first >= 1 && last >= first && last <= 65_535))
    throw new Error("must be ports such as 30000-32767, of which none is 0 or above 65535");
  return { first, last };
}

/** Whether a Service may have the address. */
export const isUsable = ({ family, first, last }: AddressRange, address: string): boolean => {
  const number = addressNumber(address);
  return number !== undefined && familyOf(address) === family && number >= first && number <= last;
};

/** How much at the beginning of a range is left to those who name their address or port, as in Kubernetes. */
const staticCount = (size: number, divisor: number, least: number, most: number): number =>
  size < least * 2 ? 0 : Math.min(Math.max(least, Math.floor(size / divisor)), most);

/** All numbers below `size`, those for everybody first; where it begins depends on `seed`, so that writers seldom meet. */
function* spread(size: number, reserved: number, seed: number): Generator<number> {
  const open = size - reserved;
  for (let step = 0; step < open; step++) yield reserved + ((seed + step) % open);
  for (let step = 0; step < reserved; step++) yield (seed + step) % reserved;
}

export function* candidateAddresses({ family, first, last }: AddressRange, seed: number): Generator<string> {
  // Further than this nobody counts: it is more than a store could hold.
  const size = Number(last - first + 1n < 2n ** 48n ? last - first + 1n : 2n ** 48n);
  for (const place of spread(size, staticCount(size, 16, 16, 256), seed))
    yield addressText(family, first + BigInt(place));
}

export function* candidatePorts({ first, last }: PortRange, seed: number): Generator<number> {
  const size = last - first + 1;
  for (const place of spread(size, staticCount(size, 32, 16, 128), seed)) yield first + place;
}
