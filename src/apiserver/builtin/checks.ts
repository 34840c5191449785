/** Checks that rules of several built-in kinds are made of, in kube-apiserver's words. */
import { copyOf } from "#base";
import { isIP } from "node:net";
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  getPath,
  isJsonObject,
  type KubeObject,
  LABEL_VALUE,
  LABEL_VALUE_TEXT,
  labelKeyErrors,
} from "#machinery";
import { emptyAt } from "./go-shape.ts";
import type { Json } from "./pod-defaults.ts";

export type List = readonly Json[];

export const NOT_NEGATIVE = "must be greater than or equal to 0";
export const PORT_TEXT = "must be between 1 and 65535, inclusive";
const IP_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/** Steps of dotted paths: the same few are looked for in every object. */
const stepsOf = new Map<string, readonly string[]>();
const PATHS_MAX = 4_096;

/** The value below a dotted path. */
export function valueAt(value: unknown, path: string): unknown {
  let steps = stepsOf.get(path);
  if (steps === undefined) {
    if (stepsOf.size >= PATHS_MAX) stepsOf.clear();
    stepsOf.set(path, (steps = path.split(".")));
  }
  return getPath(value, ...steps);
}

/** The annotation that named a claim's or a volume's class before there was a field for it. */
export const FORMER_CLASS = "volume.beta.kubernetes.io/storage-class";

/** What refusals show of the value below a dotted path: a list or a map that a client sent empty is not `null` there. */
export function heldAt(value: unknown, path: string): unknown {
  const at = path.lastIndexOf(".");
  const holder = at < 0 ? value : valueAt(value, path.slice(0, at));
  return valueAt(value, path) ?? emptyAt(holder, path.slice(at + 1)) ?? null;
}

/** Says of one value after the other whether it was there before. */
export function repetitions(): (value: unknown) => boolean {
  const seen = new Set<unknown>();
  return (value) => {
    const isRepeated = seen.has(value);
    seen.add(value);
    return isRepeated;
  };
}

/** What is wanted of an object; empty when it says nothing. */
export const specOf = (object: KubeObject): Json => (valueAt(object, "spec") ?? {}) as Json;

/** The list below a dotted path; empty when there is none. */
export function listAt(value: unknown, path: string): List {
  const found = valueAt(value, path);
  return Array.isArray(found) ? (found as List) : [];
}

export const isPort = (value: unknown): boolean => typeof value === "number" && value >= 1 && value <= 65_535;

export const notNegativeAt = (object: unknown, ...paths: readonly string[]): FieldError[] =>
  paths.flatMap((path) => {
    const value = valueAt(object, path);
    return typeof value === "number" && value < 0 ? [fieldInvalid(path, value, NOT_NEGATIVE)] : [];
  });

/** A value that is there must be one of those allowed. */
export function oneOfAt(object: unknown, path: string, allowed: readonly string[]): FieldError[] {
  const value = valueAt(object, path);
  return value === undefined || allowed.includes(String(value)) ? [] : [fieldNotSupported(path, value, allowed)];
}

/** A number, or a percentage written as `25%`; of neither more than everything nor less than nothing. */
export function amountErrors(value: unknown, path: string): FieldError[] {
  if (typeof value === "number") return value < 0 ? [fieldInvalid(path, value, NOT_NEGATIVE)] : [];
  if (typeof value !== "string") return [];
  if (!/^[0-9]+%$/.test(value))
    return [
      fieldInvalid(
        path,
        value,
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
      ),
    ];
  return Number(value.slice(0, -1)) > 100 ? [fieldInvalid(path, value, "must not be greater than 100%")] : [];
}

const LEADING_ZERO = /(?:^|\.)0\d/;
const MAPPED = /^::ffff:\d+\.\d+\.\d+\.\d+$/i;

/** An address as it is written today: without the forms that programs read in different ways. */
export function ipErrors(value: unknown, path: string): FieldError[] {
  const text = String(value);
  const refuse = (why: string) => [fieldInvalid(path, value, why)];
  if (/^\d+(?:\.\d+){3}$/.test(text) && LEADING_ZERO.test(text) && isIP(withoutZeros(text)) !== 0)
    return refuse("must not have leading 0s");
  if (isIP(text) === 0) return refuse(IP_TEXT);
  return MAPPED.test(text) ? refuse("must not be an IPv4-mapped IPv6 address") : [];
}

export const withoutZeros = (address: string) => address.replace(/(^|\.)0+(?=\d)/g, "$1");

export function cidrErrors(value: unknown, path: string): FieldError[] {
  const [address = "", bits = "", ...more] = String(value).split("/");
  const family = isIP(address);
  const refuse = (why: string) => [fieldInvalid(path, value, why)];
  const isRange = family !== 0 && more.length === 0 && /^\d+$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
  if (!isRange) return refuse(CIDR_TEXT);
  if (bits !== String(Number(bits))) return refuse("must not have leading 0s in prefix length");
  return addressBits(address).slice(Number(bits)).includes("1")
    ? refuse("must not have bits set beyond the prefix length")
    : [];
}

/** The bits of an address as a text of zeros and ones. */
export function addressBits(address: string): string {
  if (isIP(address) === 4)
    return address
      .split(".")
      .map((part) => Number(part).toString(2).padStart(8, "0"))
      .join("");
  const whole = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, a: string, b: string, c: string, d: string) =>
    [Number(a) * 256 + Number(b), Number(c) * 256 + Number(d)].map((group) => group.toString(16)).join(":"),
  );
  const [head = "", tail] = whole.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const [first, last] = [groups(head), groups(tail ?? "")];
  const middle = tail === undefined ? [] : Array.from({ length: 8 - first.length - last.length }, () => "0");
  return [...first, ...middle, ...last].map((part) => Number.parseInt(part, 16).toString(2).padStart(16, "0")).join("");
}

/** An address of six as it should be written (RFC 5952). */
export function canonicalAddress(address: string): string {
  if (isIP(address) !== 6) return address;
  return new URL(`http://[${address}]/`).hostname.slice(1, -1);
}

const labelValueMistakes = (value: string): readonly string[] => [
  ...(value.length > 63 ? ["must be no more than 63 bytes"] : []),
  ...(LABEL_VALUE.test(value) ? [] : [LABEL_VALUE_TEXT]),
];

const OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist"];

/** Mistakes of a label selector's requirements. */
export function labelSelectorErrors(selector: unknown, path: string): FieldError[] {
  return [
    ...Object.entries((valueAt(selector, "matchLabels") ?? {}) as Readonly<Record<string, string>>).flatMap(
      ([key, value]) => [
        ...labelKeyErrors(key).map((text) => fieldInvalid(`${path}.matchLabels`, key, text)),
        ...labelValueMistakes(String(value)).map((text) => fieldInvalid(`${path}.matchLabels`, value, text)),
      ],
    ),
    ...listAt(selector, "matchExpressions").flatMap((requirement, number) => {
      const where = `${path}.matchExpressions[${number}]`;
      const { key, operator } = requirement;
      const count = listAt(requirement, "values").length;
      return [
        ...(OPERATORS.includes(String(operator))
          ? (operator === "In" || operator === "NotIn") && count === 0
            ? [fieldRequired(`${where}.values`, "must be specified when `operator` is 'In' or 'NotIn'")]
            : (operator === "Exists" || operator === "DoesNotExist") && count > 0
              ? [
                  fieldForbidden(
                    `${where}.values`,
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                  ),
                ]
              : []
          : [fieldInvalid(`${where}.operator`, operator ?? "", "not a valid selector operator")]),
        ...labelKeyErrors(String(key ?? "")).map((text) => fieldInvalid(`${where}.key`, key ?? "", text)),
        ...listAt(requirement, "values").flatMap((value, at) =>
          labelValueMistakes(String(value)).map((text) => fieldInvalid(`${where}.values[${at}]`, value, text)),
        ),
      ];
    }),
  ];
}

/** Members that are absent get their default; gives the value itself when none was. */
export function filled(value: Json, defaults: Json): Json {
  let result: Record<string, unknown> | undefined;
  for (const key of Object.keys(defaults))
    if (value[key] === undefined && defaults[key] !== undefined) (result ??= copyOf(value))[key] = defaults[key];
  return result ?? value;
}

export const isMap = isJsonObject;
