import { isIPv4, isIPv6 } from "node:net";
import { call, method, type Overload } from "../functions.ts";
import { CelRuntimeError, Opaque } from "../values.ts";

/** An address as one number of 32 or 128 bits. */
interface Address {
  readonly bits: 32 | 128;
  readonly number: bigint;
}

function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { bits: 32, number: text.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n) };
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const plain = dotted === null ? text : `${dotted[1]}${groupsOfV4(dotted[2] as string)}`;
  const [head = "", tail] = plain.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const all = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => "0"), ...right];
  const number = all.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
  // Kubernetes takes no IPv4 address in IPv6 clothes.
  return number >> 32n === 0xffffn ? undefined : { bits: 128, number };
}

function groupsOfV4(text: string): string {
  const number = text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  return `${Math.floor(number / 65_536).toString(16)}:${(number % 65_536).toString(16)}`;
}

function formatAddress({ bits, number }: Address): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => (number >> shift) & 255n).join(".");
  const groups = Array.from({ length: 8 }, (_, at) => ((number >> BigInt(112 - at * 16)) & 0xffffn).toString(16));
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (groups[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  if (best.start < 0) return groups.join(":");
  return `${groups.slice(0, best.start).join(":")}::${groups.slice(best.start + best.length).join(":")}`;
}

class IpValue extends Opaque {
  readonly typeName = "net.IP";
  readonly address: Address;
  constructor(address: Address) {
    super();
    this.address = address;
  }
  isSame(other: Opaque): boolean {
    return (
      other instanceof IpValue &&
      other.address.bits === this.address.bits &&
      other.address.number === this.address.number
    );
  }
  override toString(): string {
    return formatAddress(this.address);
  }
}

class CidrValue extends Opaque {
  readonly typeName = "net.CIDR";
  readonly address: Address;
  readonly length: number;
  constructor(address: Address, length: number) {
    super();
    this.address = address;
    this.length = length;
  }
  /** The network's number without the bits of its hosts. */
  network(number = this.address.number): bigint {
    const shift = BigInt(this.address.bits - this.length);
    return (number >> shift) << shift;
  }
  contains(address: Address): boolean {
    return address.bits === this.address.bits && this.network(address.number) === this.network();
  }
  isSame(other: Opaque): boolean {
    return other instanceof CidrValue && String(other) === String(this);
  }
  override toString(): string {
    return `${formatAddress(this.address)}/${this.length}`;
  }
}

function parseCidr(text: string): CidrValue | undefined {
  const match = /^(.*)\/(0|[1-9]\d{0,2})$/.exec(text);
  const address = match === null ? undefined : parseAddress(match[1] as string);
  const length = Number(match?.[2]);
  return address === undefined || length > address.bits ? undefined : new CidrValue(address, length);
}

/** Why a text is no address, in Go's words. */
function addressMistake(text: string): string {
  const why = (reason: string) => `ParseAddr(${JSON.stringify(text)}): ${reason}`;
  const [first] = /[.:%]/.exec(text) ?? [];
  if (first === undefined) return why("unable to parse IP");
  if (first === "%") return why("missing IPv6 address");
  if (first === ":") return why("unable to parse IP");
  for (const [at, field] of text.split(".").entries()) {
    const [wrong] = /[^0-9].*/s.exec(field) ?? [];
    if (wrong !== undefined)
      return why(`unexpected character (at ${JSON.stringify([wrong, ...text.split(".").slice(at + 1)].join("."))})`);
    if (field === "") return why("IPv4 field must have at least one digit");
    if (/^0\d/.test(field)) return why("IPv4 field has octet with leading zero");
    if (Number(field) > 255) return why("IPv4 field has value >255");
  }
  return why(text.split(".").length > 4 ? "IPv4 address too long" : "IPv4 address too short");
}

/** Why the expression library takes no such address. */
function addressRefusal(text: string): string {
  const [plain = "", zone] = text.split("%");
  if (isIPv6(plain) && zone !== undefined) return `IP address ${JSON.stringify(text)} with zone value is not allowed`;
  if (isIPv6(text)) return `IPv4-mapped IPv6 address ${JSON.stringify(text)} is not allowed`;
  return `IP Address ${JSON.stringify(text)} parse error during conversion from string: ${addressMistake(text)}`;
}

const NO_NETWORK = "network address parse error during conversion from string";

/** Why the expression library takes no such network. */
function networkMistake(text: string): string {
  const why = (reason: string) => `${NO_NETWORK}: netip.ParsePrefix(${JSON.stringify(text)}): ${reason}`;
  const slash = text.lastIndexOf("/");
  if (slash < 0) return why("no '/'");
  const [address, length] = [text.slice(0, slash), text.slice(slash + 1)];
  if (isIPv6(address) && address.includes("%")) return why("IPv6 zones cannot be present in a prefix");
  if (!isIPv4(address) && !isIPv6(address)) return why(addressMistake(address));
  if (!/^(?:0|[1-9]\d*)$/.test(length)) return why(`bad bits after slash: ${JSON.stringify(length)}`);
  if (Number(length) > (isIPv4(address) ? 32 : 128)) return why("prefix length out of range");
  return `IPv4-mapped IPv6 address ${JSON.stringify(text)} is not allowed`;
}

function ipOf(text: string): IpValue {
  const address = parseAddress(text);
  if (address === undefined) throw new CelRuntimeError(addressRefusal(text));
  return new IpValue(address);
}

function cidrOf(text: string): CidrValue {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new CelRuntimeError(`${NO_NETWORK}: ${networkMistake(text)}`);
  return cidr;
}

const within = (text: string) => (value: IpValue) => cidrOf(text).contains(value.address);
const either =
  (v4: string, v6: string) =>
  (value: IpValue): boolean =>
    (value.address.bits === 32 ? within(v4) : within(v6))(value);
const isUnspecified = (value: IpValue) => value.address.number === 0n;
const isLoopback = either("127.0.0.0/8", "::1/128");
const isMulticast = either("224.0.0.0/4", "ff00::/8");
const isLinkLocal = either("169.254.0.0/16", "fe80::/10");
const isGlobalUnicast = (value: IpValue): boolean =>
  !isUnspecified(value) &&
  !isLoopback(value) &&
  !isMulticast(value) &&
  !isLinkLocal(value) &&
  !(value.address.bits === 32 && value.address.number === 0xffffffffn);

/** IP addresses and networks. */
export const networkLibrary: readonly Overload[] = [
  call("ip(string): net.IP", ipOf, "text"),
  call("isIP(string): bool", (text: string) => parseAddress(text) !== undefined, "text"),
  call("ip.isCanonical(string): bool", (text: string) => String(ipOf(text)) === text, "text"),
  call("string(net.IP): string", String),
  method("net.IP.family(): int", (value: IpValue) => (value.address.bits === 32 ? 4n : 6n)),
  method("net.IP.isUnspecified(): bool", isUnspecified),
  method("net.IP.isLoopback(): bool", isLoopback),
  method("net.IP.isLinkLocalMulticast(): bool", either("224.0.0.0/24", "ff02::/16")),
  method("net.IP.isLinkLocalUnicast(): bool", isLinkLocal),
  method("net.IP.isGlobalUnicast(): bool", isGlobalUnicast),
  call("cidr(string): net.CIDR", cidrOf, "text"),
  call("isCIDR(string): bool", (text: string) => parseCidr(text) !== undefined, "text"),
  call("string(net.CIDR): string", String),
  method("net.CIDR.containsIP(net.IP): bool", (cidr: CidrValue, value: IpValue) => cidr.contains(value.address)),
  method(
    "net.CIDR.containsIP(string): bool",
    (cidr: CidrValue, text: string) => cidr.contains(ipOf(text).address),
    "address",
  ),
  method("net.CIDR.containsCIDR(net.CIDR): bool", containsCidr),
  method(
    "net.CIDR.containsCIDR(string): bool",
    (cidr: CidrValue, text: string) => containsCidr(cidr, cidrOf(text)),
    "address",
  ),
  method("net.CIDR.ip(): net.IP", (cidr: CidrValue) => new IpValue(cidr.address)),
  method("net.CIDR.prefixLength(): int", (cidr: CidrValue) => BigInt(cidr.length)),
  method(
    "net.CIDR.masked(): net.CIDR",
    (cidr: CidrValue) => new CidrValue({ bits: cidr.address.bits, number: cidr.network() }, cidr.length),
  ),
];

function containsCidr(outer: CidrValue, inner: CidrValue): boolean {
  return outer.length <= inner.length && outer.contains(inner.address);
}
