import {
  addQuantities,
  compareQuantities,
  DNS_1035_LABEL,
  DNS_1035_LABEL_TEXT,
  DNS_LABEL,
  DNS_LABEL_TEXT,
  DNS_SUBDOMAIN,
  DNS_SUBDOMAIN_TEXT,
  formatQuantity,
  LABEL_VALUE,
  LABEL_VALUE_TEXT,
  parseQuantity,
  type Quantity,
  subtractQuantities,
} from "#machinery";
import { call, method, type Overload } from "../functions.ts";
import { type Amount, amountOf, negative, sumOf, wholeOf } from "./amounts.ts";
import { CelRuntimeError, LiteralMap, Opaque, Optional, parseTimestamp, type Value } from "../values.ts";

const NANO = 1_000_000_000n;

class QuantityValue extends Opaque {
  readonly typeName = "kubernetes.Quantity";
  readonly quantity: Quantity;
  readonly amount: Amount | undefined;
  constructor(quantity: Quantity, amount: Amount | undefined) {
    super();
    this.quantity = quantity;
    this.amount = amount;
  }
  isSame(other: Opaque): boolean {
    return other instanceof QuantityValue && compareQuantities(this.quantity, other.quantity) === 0;
  }
  override toString(): string {
    return formatQuantity(this.quantity);
  }
}

function quantityOf(text: string): QuantityValue {
  const quantity = parseQuantity(text);
  if (quantity === undefined)
    throw new CelRuntimeError(
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
  return new QuantityValue(quantity, amountOf(text));
}

const Q = "kubernetes.Quantity";
const plain = (whole: bigint): QuantityValue =>
  new QuantityValue({ nano: whole * NANO, format: "DecimalSI" }, { value: whole, scale: 0 });
const added = (a: QuantityValue, b: QuantityValue) =>
  new QuantityValue(addQuantities(a.quantity, b.quantity), sumOf(a.amount, b.amount));
const subtracted = (a: QuantityValue, b: QuantityValue) =>
  new QuantityValue(subtractQuantities(a.quantity, b.quantity), sumOf(a.amount, negative(b.amount)));

/** The value as a double, worked out as Go does. */
const doubleOf = ({ quantity, amount }: QuantityValue): number =>
  amount === undefined ? Number(quantity.nano) / 1e9 : Number(amount.value) * Number(`1e${amount.scale}`);

const quantities: readonly Overload[] = [
  call(`quantity(string): ${Q}`, quantityOf, "text"),
  call("isQuantity(string): bool", (text: string) => parseQuantity(text) !== undefined, "text"),
  method(`${Q}.isInteger(): bool`, ({ amount }: QuantityValue) => wholeOf(amount) !== undefined),
  method(`${Q}.asInteger(): int`, ({ amount }: QuantityValue) => {
    const whole = wholeOf(amount);
    if (whole === undefined) throw new CelRuntimeError("cannot convert value to integer");
    return whole;
  }),
  method(`${Q}.asApproximateFloat(): double`, doubleOf),
  method(`${Q}.add(${Q}): ${Q}`, added),
  method(`${Q}.add(int): ${Q}`, (a: QuantityValue, b: bigint) => added(a, plain(b))),
  method(`${Q}.sub(${Q}): ${Q}`, subtracted),
  method(`${Q}.sub(int): ${Q}`, (a: QuantityValue, b: bigint) => subtracted(a, plain(b))),
  method(`${Q}.compareTo(${Q}): int`, (a: QuantityValue, b: QuantityValue) =>
    BigInt(compareQuantities(a.quantity, b.quantity)),
  ),
  method(
    `${Q}.isLessThan(${Q}): bool`,
    (a: QuantityValue, b: QuantityValue) => compareQuantities(a.quantity, b.quantity) < 0,
  ),
  method(
    `${Q}.isGreaterThan(${Q}): bool`,
    (a: QuantityValue, b: QuantityValue) => compareQuantities(a.quantity, b.quantity) > 0,
  ),
];

interface UrlParts {
  readonly scheme: string;
  readonly host: string;
  readonly path: string;
  readonly query: string;
}

class UrlValue extends Opaque {
  readonly typeName = "kubernetes.URL";
  readonly text: string;
  readonly parts: UrlParts;
  constructor(text: string, parts: UrlParts) {
    super();
    this.text = text;
    this.parts = parts;
  }
  isSame(other: Opaque): boolean {
    return other instanceof UrlValue && other.text === this.text;
  }
  override toString(): string {
    return this.text;
  }
}

const NO_URL = "invalid URI for request";

/** An absolute URL, or an absolute path. A text says why it is neither, in Go's words. */
function parseUrl(given: string): UrlParts | string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
  if (/[\x00-\x1f\x7f]/.test(given)) return "net/url: invalid control character in URL";
  if (given === "") return "empty url";
  const [text = ""] = given.split("#");
  const match = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\/\/([^/?]*))?([^?]*)(?:\?(.*))?$/s.exec(text);
  if (match === null) return NO_URL;
  const [, scheme, authority, path = "", query = ""] = match;
  if (scheme === undefined && !text.startsWith("/") && text !== "*") return NO_URL;
  const [badEscape] = /%(?![0-9A-Fa-f]{2}).{0,2}/s.exec(path) ?? [];
  const sent = (authority ?? "").replace(/^.*@/, "");
  // Of a zone in brackets the sign before it is escaped; other hosts hold no escapes.
  const host = sent.startsWith("[") ? sent.replace(/%25/, "%") : sent;
  const [odd] = /[ "<>\\^`{|}]/.exec(host) ?? [];
  if (odd !== undefined) return `invalid character ${JSON.stringify(odd)} in host name`;
  const [badHost] = (sent.startsWith("[") ? null : /%(?![0-9A-Fa-f]{2}).{0,2}/s.exec(sent)) ?? [];
  if (badHost !== undefined) return `invalid URL escape ${JSON.stringify(badHost)}`;
  const [port] = /:[^:\]]*$/.exec(host) ?? [];
  if (port !== undefined && !/^:\d*$/.test(port)) return `invalid port ${JSON.stringify(port)} after host`;
  if (host !== "" && !/^(\[[0-9A-Fa-f:.]+(?:%[^\]]+)?\]|[^:[\]]*)(:\d*)?$/.test(host)) return NO_URL;
  if (badEscape !== undefined) return `invalid URL escape ${JSON.stringify(badEscape)}`;
  // What follows a scheme without slashes is no path.
  const isOpaque = scheme !== undefined && authority === undefined && !path.startsWith("/");
  return { scheme: (scheme ?? "").toLowerCase(), host, path: isOpaque ? "" : path, query };
}

/** The values of a query by their names; what is escaped wrongly, or holds a semicolon, is passed over. */
function queryOf(query: string): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const part of query.split("&")) {
    if (part === "" || part.includes(";")) continue;
    const at = part.indexOf("=");
    try {
      const [name, value] = [at < 0 ? part : part.slice(0, at), at < 0 ? "" : part.slice(at + 1)].map((text) =>
        decodeURIComponent(text.replaceAll("+", " ")),
      ) as [string, string];
      found.set(name, [...(found.get(name) ?? []), value]);
    } catch {
      // Passed over.
    }
  }
  return found;
}

const U = "kubernetes.URL";
const escapedPath = (path: string) => encodeURI(path).replace(/%25([0-9A-Fa-f]{2})/g, "%$1");

const urls: readonly Overload[] = [
  call(
    `url(string): ${U}`,
    (text: string) => {
      const parts = parseUrl(text);
      if (typeof parts === "string")
        throw new CelRuntimeError(
          `URL parse error during conversion from string: parse ${JSON.stringify(text)}: ${parts}`,
        );
      return new UrlValue(text, parts);
    },
    "text",
  ),
  call("isURL(string): bool", (text: string) => typeof parseUrl(text) !== "string"),
  method(`${U}.getScheme(): string`, (url: UrlValue) => url.parts.scheme),
  method(`${U}.getHost(): string`, (url: UrlValue) => url.parts.host),
  method(`${U}.getHostname(): string`, (url: UrlValue) =>
    url.parts.host.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1"),
  ),
  method(`${U}.getPort(): string`, (url: UrlValue) => /:(\d*)$/.exec(url.parts.host)?.[1] ?? ""),
  method(`${U}.getEscapedPath(): string`, (url: UrlValue) => escapedPath(url.parts.path)),
  method(`${U}.getQuery(): map<string, list<string>>`, (url: UrlValue) => new LiteralMap(queryOf(url.parts.query))),
];

class SemverValue extends Opaque {
  readonly typeName = "kubernetes.Semver";
  readonly numbers: readonly [bigint, bigint, bigint];
  readonly prerelease: readonly string[];
  readonly text: string;
  constructor(numbers: readonly [bigint, bigint, bigint], prerelease: readonly string[], text: string) {
    super();
    this.numbers = numbers;
    this.prerelease = prerelease;
    this.text = text;
  }
  compare(other: SemverValue): number {
    for (let at = 0; at < 3; at++) {
      const [left, right] = [this.numbers[at] as bigint, other.numbers[at] as bigint];
      if (left !== right) return left < right ? -1 : 1;
    }
    if (this.prerelease.length === 0 || other.prerelease.length === 0)
      return Math.sign(other.prerelease.length - this.prerelease.length);
    for (let at = 0; at < Math.max(this.prerelease.length, other.prerelease.length); at++) {
      const [left, right] = [this.prerelease[at], other.prerelease[at]];
      if (left === right) continue;
      if (left === undefined || right === undefined) return left === undefined ? -1 : 1;
      const areNumbers = [/^\d+$/.test(left), /^\d+$/.test(right)] as const;
      if (areNumbers[0] && areNumbers[1]) return BigInt(left) < BigInt(right) ? -1 : 1;
      if (areNumbers[0] !== areNumbers[1]) return areNumbers[0] ? -1 : 1;
      return left < right ? -1 : 1;
    }
    return 0;
  }
  isSame(other: Opaque): boolean {
    return other instanceof SemverValue && this.compare(other) === 0;
  }
  override toString(): string {
    return this.text;
  }
}

const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;

/** Drops a leading `v` and leading zeros, and adds missing parts. */
function normalised(text: string): string {
  const match = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(.*)$/.exec(text);
  if (match === null) return text;
  const part = (digits: string | undefined) => String(BigInt(digits ?? "0"));
  return `${part(match[1])}.${part(match[2])}.${part(match[3])}${match[4] ?? ""}`;
}

function parseSemver(given: string, normalise: boolean): SemverValue | undefined {
  const text = normalise ? normalised(given) : given;
  const match = SEMVER.exec(text);
  if (match === null) return undefined;
  const numbers = [1, 2, 3].map((at) => BigInt(match[at] as string)) as unknown as [bigint, bigint, bigint];
  return new SemverValue(numbers, match[4]?.split(".") ?? [], text);
}

function semverOf(text: string, normalise = false): SemverValue {
  const value = parseSemver(text, normalise);
  if (value === undefined) throw new CelRuntimeError(`semver parse error during conversion from string: ${text}`);
  return value;
}

const S = "kubernetes.Semver";
const versions: readonly Overload[] = [
  call(`semver(string): ${S}`, (text: string) => semverOf(text), "text"),
  call(`semver(string, bool): ${S}`, semverOf, "text"),
  call("isSemver(string): bool", (text: string) => parseSemver(text, false) !== undefined, "text"),
  call(
    "isSemver(string, bool): bool",
    (text: string, normalise: boolean) => parseSemver(text, normalise) !== undefined,
    "text",
  ),
  method(`${S}.major(): int`, (value: SemverValue) => BigInt.asIntN(64, value.numbers[0])),
  method(`${S}.minor(): int`, (value: SemverValue) => BigInt.asIntN(64, value.numbers[1])),
  method(`${S}.patch(): int`, (value: SemverValue) => BigInt.asIntN(64, value.numbers[2])),
  method(`${S}.compareTo(${S}): int`, (a: SemverValue, b: SemverValue) => BigInt(a.compare(b))),
  method(`${S}.isLessThan(${S}): bool`, (a: SemverValue, b: SemverValue) => a.compare(b) < 0),
  method(`${S}.isGreaterThan(${S}): bool`, (a: SemverValue, b: SemverValue) => a.compare(b) > 0),
];

class FormatValue extends Opaque {
  readonly typeName = "kubernetes.NamedFormat";
  readonly name: string;
  readonly check: (text: string) => readonly string[];
  constructor(name: string, check: (text: string) => readonly string[]) {
    super();
    this.name = name;
    this.check = check;
  }
  isSame(other: Opaque): boolean {
    return other instanceof FormatValue && other.name === this.name;
  }
  override toString(): string {
    return this.name;
  }
}

const bounded = (pattern: RegExp, message: string, max: number) => (text: string) => [
  ...(text.length > max ? [`must be no more than ${max} ${max === 63 ? "characters" : "bytes"}`] : []),
  ...(pattern.test(text) ? [] : [message]),
];
/** A prefix may end in a dash, because more follows. */
const prefix = (check: (text: string) => readonly string[]) => (text: string) =>
  check(text.endsWith("-") ? `${text.slice(0, -1)}a` : text);

const label = bounded(DNS_LABEL, DNS_LABEL_TEXT, 63);
const subdomain = bounded(DNS_SUBDOMAIN, DNS_SUBDOMAIN_TEXT, 253);
const oldLabel = bounded(DNS_1035_LABEL, DNS_1035_LABEL_TEXT, 63);
const shaped = (isRight: (text: string) => boolean, message: string) => (text: string) =>
  isRight(text) ? [] : [message];
const isTime = (text: string) => {
  try {
    parseTimestamp(text);
    return true;
  } catch {
    return false;
  }
};

const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const QUALIFIED_TEXT =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

function qualifiedName(text: string): readonly string[] {
  const parts = text.split("/");
  if (parts.length > 2)
    return [
      "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
    ];
  const name = parts[parts.length - 1] as string;
  const errors: string[] = [];
  if (parts.length === 2)
    errors.push(
      ...(parts[0] === ""
        ? ["prefix part must be non-empty"]
        : subdomain(parts[0] as string).map((text) => `prefix part ${text}`)),
    );
  if (name === "") errors.push("name part must be non-empty");
  else if (name.length > 63) errors.push("name part must be no more than 63 characters");
  if (!QUALIFIED.test(name)) errors.push(QUALIFIED_TEXT);
  return errors;
}

const FORMATS: Readonly<Record<string, (text: string) => readonly string[]>> = {
  dns1123Label: label,
  dns1123Subdomain: subdomain,
  dns1035Label: oldLabel,
  qualifiedName,
  dns1123LabelPrefix: prefix(label),
  dns1123SubdomainPrefix: prefix(subdomain),
  dns1035LabelPrefix: prefix(oldLabel),
  labelValue: bounded(LABEL_VALUE, LABEL_VALUE_TEXT, 63),
  uri: shaped((text) => parseUrl(text) !== undefined, "invalid URI"),
  uuid: shaped(
    (text) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(text),
    "does not match the UUID format",
  ),
  byte: shaped(
    (text) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text),
    "invalid base64",
  ),
  date: shaped((text) => /^\d{4}-\d\d-\d\d$/.test(text) && isTime(text), "invalid date"),
  datetime: shaped((text) => text.includes("T") && isTime(text), "invalid datetime"),
};
const formats = new Map(Object.entries(FORMATS).map(([name, check]) => [name, new FormatValue(name, check)]));

const F = "kubernetes.NamedFormat";
const namedFormats: readonly Overload[] = [
  ...[...formats].map(([name, value]) => call(`format.${name}(): ${F}`, () => value)),
  call(`format.named(string): optional<${F}>`, (name: string) => new Optional(formats.get(name))),
  method(
    `${F}.validate(string): optional<list<string>>`,
    (format: FormatValue, text: string) => {
      const errors: readonly Value[] = format.check(text);
      return errors.length === 0 ? Optional.none : new Optional(errors);
    },
    "format",
  ),
];

/** Quantities, URLs, semantic versions and named formats. */
export const kubernetesLibrary: readonly Overload[] = [...quantities, ...urls, ...versions, ...namedFormats];
