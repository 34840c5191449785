import { DNS_LABEL, DNS_SUBDOMAIN } from "../name-formats.ts";

const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);
const HEXTET = /^[0-9a-f]{1,4}$/i;

function isIpv6(text: string): boolean {
  if (!text.includes(":") || text.includes(":::")) return false;
  const halves = text.split("::");
  if (halves.length > 2) return false;
  const groups = halves.map((half) => (half === "" ? [] : half.split(":")));
  const last = groups[groups.length - 1] as string[];
  const tail = last[last.length - 1];
  let count = groups.reduce((sum, part) => sum + part.length, 0);
  if (tail?.includes(".")) {
    if (!IPV4.test(tail)) return false;
    last.pop();
    count++;
  }
  if (!groups.every((part) => part.every((group) => HEXTET.test(group)))) return false;
  return halves.length === 2 ? count < 8 : count === 8;
}

function isCidr(text: string): boolean {
  const [address = "", bits = "", ...more] = text.split("/");
  if (more.length > 0 || !/^\d{1,3}$/.test(bits) || (bits.length > 1 && bits.startsWith("0"))) return false;
  if (IPV4.test(address)) return Number(bits) <= 32;
  return isIpv6(address) && Number(bits) <= 128;
}

const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isDate(text: string): boolean {
  const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text);
  if (match === null) return false;
  const [year, month, day] = match.slice(1).map(Number) as [number, number, number];
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  return month >= 1 && month <= 12 && day >= 1 && day <= (DAYS[month - 1] ?? 0) + (month === 2 && isLeap ? 1 : 0);
}

function isDateTime(text: string): boolean {
  const match = /^(\d{4}-\d\d-\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(?:[Zz]|[+-](\d\d):(\d\d))$/.exec(text);
  if (match === null || !isDate(match[1] as string)) return false;
  const [hour, minute, second, zoneHour = 0, zoneMinute = 0] = match.slice(2).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return hour < 24 && minute < 60 && second < 60 && zoneHour < 24 && zoneMinute < 60;
}

/** Go's durations, and the words `5 minutes` with them. */
const DURATION = /^[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/;
const WORDY =
  /^(?:\d+\s*(?:ns|nano|nanos?|nanoseconds?|us|µs|micros?|microseconds?|ms|millis?|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|hrs?|d|days?|w|weeks?|wks?)\s*)+$/;

const UUID = (version: string) =>
  new RegExp(`^[0-9a-f]{8}-?[0-9a-f]{4}-?${version}[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$`, "i");

function isUri(text: string): boolean {
  // A request URI: a scheme with something behind it, or an absolute path.
  if (/[\s<>"{}|\\^`]/.test(text) || /%(?![0-9a-fA-F]{2})/.test(text)) return false;
  return /^[a-z][a-z0-9+.-]*:[^\s]+$/i.test(text) || text.startsWith("/");
}

function hasLuhnSum(digits: string): boolean {
  let sum = 0;
  for (let at = 0; at < digits.length; at++) {
    let digit = Number(digits[digits.length - 1 - at]);
    if (at % 2 === 1) digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return sum % 10 === 0;
}

function isIsbn(text: string, length: 10 | 13): boolean {
  const digits = text.replace(/[\s-]/g, "");
  if (length === 10) {
    if (!/^\d{9}[\dXx]$/.test(digits)) return false;
    const sum = [...digits].reduce((total, digit, at) => total + (at + 1) * (/x/i.test(digit) ? 10 : Number(digit)), 0);
    return sum % 11 === 0;
  }
  if (!/^\d{13}$/.test(digits)) return false;
  return [...digits].reduce((total, digit, at) => total + Number(digit) * (at % 2 === 0 ? 1 : 3), 0) % 10 === 0;
}

const HOST_LABEL = /^[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$/;
const isHostname = (text: string) =>
  text.length > 0 && text.length <= 255 && text.split(".").every((label) => HOST_LABEL.test(label));

/** The formats kube-apiserver checks in texts; others are comments. */
const formats: Readonly<Record<string, (text: string) => boolean>> = {
  // Zeros in front are taken, as long as anybody can remember.
  ipv4: (text) => IPV4.test(text.replace(/(^|\.)0+(?=\d)/g, "$1")),
  ipv6: isIpv6,
  cidr: isCidr,
  mac: (text) =>
    /^[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}(?:(?:\1[0-9a-f]{2}){2})?$/i.test(text) ||
    /^[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}(?:\.[0-9a-f]{4})?$/i.test(text),
  uri: isUri,
  email: (text) => /^[^\s@<>(),;:\\"[\]]+@[^\s@<>(),;:\\"[\]]+$/.test(text) && !/^\.|\.\.|\.@/.test(text),
  hostname: isHostname,
  uuid: (text) => UUID("[0-9a-f]").test(text),
  uuid3: (text) => UUID("3").test(text),
  uuid4: (text) => UUID("4").test(text),
  uuid5: (text) => UUID("5").test(text),
  bsonobjectid: (text) => /^[0-9a-f]{24}$/i.test(text),
  isbn: (text) => isIsbn(text, 10) || isIsbn(text, 13),
  isbn10: (text) => isIsbn(text, 10),
  isbn13: (text) => isIsbn(text, 13),
  creditcard: (text) => {
    const digits = text.replace(/[\s-]/g, "");
    return /^\d{13,19}$/.test(digits) && hasLuhnSum(digits);
  },
  ssn: (text) => /^\d{3}[- ]?\d{2}[- ]?\d{4}$/.test(text),
  hexcolor: (text) => /^#?(?:[0-9a-f]{3}|[0-9a-f]{6})$/i.test(text),
  rgbcolor: (text) =>
    /^rgb\(\s*(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)%?\s*,\s*){2}(?:25[0-5]|2[0-4]\d|1?\d?\d)%?\s*\)$/.test(text),
  byte: (text) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text.replace(/[\r\n]/g, "")),
  password: () => true,
  date: isDate,
  duration: (text) => DURATION.test(text) || WORDY.test(text),
  datetime: isDateTime,
  "date-time": isDateTime,
  "k8s-short-name": (text) => text.length <= 63 && DNS_LABEL.test(text),
  "k8s-long-name": (text) => text.length <= 253 && DNS_SUBDOMAIN.test(text),
};

/** The check of a text's format, `undefined` for formats nobody checks. */
export const formatCheck = (format: string | undefined): ((text: string) => boolean) | undefined =>
  format !== undefined && Object.hasOwn(formats, format) ? formats[format] : undefined;
