/** Ranges of addresses and ports that Services get theirs from. Addresses are IPv4, held as whole numbers. */

export interface AddressRange {
  /** As it was written, such as `10.96.0.0/12`. */
  readonly text: string;
  /** The network's own address, which no Service gets; neither does the last one. */
  readonly network: number;
  readonly size: number;
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

const ADDRESS = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

/** An IPv4 address as a number; `undefined` for anything else. */
export function addressNumber(text: string): number | undefined {
  const parts = ADDRESS.exec(text)?.slice(1);
  if (parts === undefined || parts.some((part) => Number(part) > 255 || String(Number(part)) !== part))
    return undefined;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

export const addressText = (number: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");

/** Reads `10.96.0.0/12`. Throws what is wrong with it, without a label. */
export function parseAddressRange(text: string): AddressRange {
  const [address = "", bits = ""] = text.split("/");
  if (address.includes(":")) throw new Error("ranges of IPv6 are not supported");
  const number = addressNumber(address);
  const length = /^\d{1,2}$/.test(bits) ? Number(bits) : Number.NaN;
  if (number === undefined || !(length >= 0 && length <= 32)) throw new Error("must be a range such as 10.96.0.0/12");
  // Kubernetes counts no further than this in one range either.
  const size = 2 ** (32 - length);
  if (size < 8) throw new Error("must hold at least 8 addresses");
  return { text, network: number - (number % size), size };
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

/** Whether a Service may have the address: the first and the last one of a range belong to nobody. */
export const isUsable = ({ network, size }: AddressRange, address: number): boolean =>
  address > network && address < network + size - 1;

/** How much at the beginning of a range is left to those who name their address or port, as in Kubernetes. */
const staticCount = (size: number, divisor: number, least: number, most: number): number =>
  size < least * 2 ? 0 : Math.min(Math.max(least, Math.floor(size / divisor)), most);

/** All numbers of a range, those for everybody first; where it begins depends on `seed`, so that writers seldom meet. */
function* spread(first: number, size: number, reserved: number, seed: number): Generator<number> {
  const open = size - reserved;
  for (let step = 0; step < open; step++) yield first + reserved + ((seed + step) % open);
  for (let step = 0; step < reserved; step++) yield first + ((seed + step) % reserved);
}

export function candidateAddresses(range: AddressRange, seed: number): Generator<number> {
  const size = range.size - 2;
  return spread(range.network + 1, size, staticCount(size, 16, 16, 256), seed);
}

export function candidatePorts({ first, last }: PortRange, seed: number): Generator<number> {
  const size = last - first + 1;
  return spread(first, size, staticCount(size, 32, 16, 128), seed);
}
