/** What is wrong with addresses and names of network kinds, in kube-apiserver's words. */
import { isIP, isIPv4, isIPv6 } from "node:net";
import { DNS_SUBDOMAIN, type FieldError, fieldInvalid, labelTexts } from "#machinery";
import { ipErrors } from "./checks.ts";

const WILDCARD_TEXT =
  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/** A name that may stand for all below a domain. */
export function wildcardErrors(value: string, path: string): FieldError[] {
  return value.startsWith("*.") && DNS_SUBDOMAIN.test(value.slice(2)) ? [] : [fieldInvalid(path, value, WILDCARD_TEXT)];
}

/** A name that may be a step of a path. */
export const segmentErrors = (value: string, path: string): FieldError[] =>
  value === "." || value === ".."
    ? [fieldInvalid(path, value, `may not be '${value}'`)]
    : ["/", "%"]
        .filter((sign) => value.includes(sign))
        .map((sign) => fieldInvalid(path, value, `may not contain '${sign}'`));

export const label = (value: string, path: string): FieldError[] =>
  labelTexts(value).map((text) => fieldInvalid(path, value, text));

const bytesOf = (ip: string): readonly number[] => (isIPv4(ip) ? ip.split(".").map(Number) : []);

/** Addresses that mean something of their own lead nowhere. `mayLoop` lets those of this machine pass. */
export function specialIpErrors(ip: string, path: string, mayLoop = false): FieldError[] {
  const [first, second, third] = bytesOf(ip);
  const refuse = (why: string) => [fieldInvalid(path, ip, why)];
  if (ip === "0.0.0.0" || (isIPv6(ip) && /^[0:]+$/.test(ip))) return refuse(`may not be unspecified (${ip})`);
  if (!mayLoop && (first === 127 || ip === "::1"))
    return refuse("may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if ((first === 169 && second === 254) || /^fe[89ab]/i.test(ip))
    return refuse("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  if ((first === 224 && second === 0 && third === 0) || /^ff[0-9a-f]2/i.test(ip))
    return refuse("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
  return [];
}

/** An address somebody can be reached at. */
export function reachableIpErrors(value: unknown, path: string): FieldError[] {
  const wrong = ipErrors(value, path);
  return wrong.length > 0 ? wrong : specialIpErrors(String(value), path);
}

export const isAddress = (value: unknown) => isIP(String(value)) !== 0;
