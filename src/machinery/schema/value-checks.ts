import { deepEqual } from "#base";
import { RE2JS } from "re2js";
import {
  type FieldError,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  fieldTooMany,
  fieldTypeInvalid,
} from "../status.ts";
import { goFloat } from "../go-numbers.ts";
import { writeJson } from "../json.ts";
import { formatCheck } from "./formats.ts";
import type { JsonSchema } from "./json-schema.ts";

export type ValueCheck = (value: unknown, path: string, errors: FieldError[]) => void;

const join = (path: string, key: string) => (path === "" ? key : `${path}.${key}`);

/** Whole numbers from here on, and below its negative, are none that Go counts with. */
const INT64 = 2 ** 63;

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "bigint") return "integer";
  if (typeof value === "number")
    return Number.isInteger(value) && value >= -INT64 && value < INT64 ? "integer" : "number";
  return typeof value;
}

const isNumber = (value: unknown): value is number | bigint => typeof value === "number" || typeof value === "bigint";

/** The schema's type when the value is of another one. */
export function typeMismatch(source: JsonSchema, value: unknown): string | undefined {
  if (source["x-kubernetes-int-or-string"] || source.format === "int-or-string")
    return typeof value === "string" || typeName(value) === "integer" ? undefined : "integer,string";
  const { type } = source;
  if (type === undefined) return undefined;
  const actual = typeName(value);
  if (type === actual || (type === "number" && actual === "integer")) return undefined;
  return type;
}

const isMultiple = (value: number, of: number) => {
  const quotient = value / of;
  // What is close to nothing is no multiple of anything.
  if (quotient !== 0 && Math.round(quotient) === 0) return false;
  return Math.abs(quotient - Math.round(quotient)) < 1e-9 * Math.max(1, Math.abs(quotient));
};

/**
 * What a schema says of a value itself, ready to be asked; its members have schemas of their own. In kinds published from
 * Go types, an empty text is a missing one.
 */
export function valueChecks(source: JsonSchema, isPublished = false): readonly ValueCheck[] {
  const checks: ValueCheck[] = [
    (value, path, errors) => {
      const wanted = typeMismatch(source, value);
      if (wanted === undefined) return;
      // Numbers are told by their formats, where the schema names one.
      const hasFormat = typeof value === "number" && source.format !== undefined && source.format !== "int-or-string";
      const found = hasFormat ? (Number.isInteger(value) ? "int64" : "float64") : typeName(value);
      errors.push(
        fieldTypeInvalid(
          path,
          // Not the value: kube-apiserver names its type here too.
          found,
          `${path} in body must be of type ${hasFormat ? source.format : wanted}: "${found}"`,
        ),
        // A number that is no integer is found by two checks.
        ...(wanted === "integer" && typeof value === "number" ? [notInteger(path, source.format)] : []),
      );
    },
  ];
  checks.push(...numberChecks(source), ...textChecks(source), ...listChecks(source));
  const { enum: allowed } = source;
  if (allowed !== undefined)
    checks.push((value, path, errors) => {
      if (!allowed.some((one) => deepEqual(one, value)))
        errors.push(
          fieldNotSupported(
            path,
            value,
            allowed.map((one) => (typeof one === "string" ? one : JSON.stringify(one))),
          ),
        );
    });
  checks.push(...objectChecks(source, isPublished));
  return checks;
}

function numberChecks(source: JsonSchema): readonly ValueCheck[] {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, format } = source;
  const tests: [(value: number) => boolean, (value: number) => string][] = [];
  if (minimum !== undefined)
    tests.push(
      exclusiveMinimum
        ? [(value) => value > minimum, () => `should be greater than ${goFloat(minimum)}`]
        : [(value) => value >= minimum, () => `should be greater than or equal to ${goFloat(minimum)}`],
    );
  if (maximum !== undefined)
    tests.push(
      exclusiveMaximum
        ? [(value) => value < maximum, () => `should be less than ${goFloat(maximum)}`]
        : [(value) => value <= maximum, () => `should be less than or equal to ${goFloat(maximum)}`],
    );
  if (multipleOf !== undefined && multipleOf > 0)
    tests.push([(value) => isMultiple(value, multipleOf), () => `should be a multiple of ${goFloat(multipleOf)}`]);
  const checks: ValueCheck[] = tests.map(([isFine, text]) => (value, path, errors) => {
    if (isNumber(value) && !isFine(Number(value)))
      errors.push(fieldInvalid(path, value, `${path} in body ${text(Number(value))}`));
  });
  if (format === "int32")
    checks.push((value, path, errors) => {
      if (typeName(value) === "integer" && (Number(value) > 2147483647 || Number(value) < -2147483648))
        errors.push(notInteger(path, format));
    });
  // Bounds of whole numbers are whole numbers as well.
  const bounds = [
    ["MultipleOf", multipleOf],
    ["Maximum boundary", maximum],
    ["Minimum boundary", minimum],
  ] as const;
  const isInRange = (bound: number) =>
    Number.isInteger(bound) && (format !== "int32" || (bound <= 2147483647 && bound >= -2147483648));
  for (const [what, bound] of source.type === "integer" ? bounds : [])
    if (bound !== undefined && !isInRange(bound))
      checks.push((value, path, errors) => {
        if (isNumber(value)) errors.push(notInteger(path, format, what));
      });
  if (multipleOf !== undefined && multipleOf <= 0)
    checks.push((value, path, errors) => {
      if (isNumber(value))
        errors.push(
          fieldInvalid(path, multipleOf, `factor MultipleOf declared for ${path} must be positive: ${multipleOf}`),
        );
    });
  return checks;
}

/** The message names the place itself; kube-apiserver gives it no field. */
const notInteger = (path: string, format: string | undefined, what = "Checked"): FieldError => ({
  ...fieldInvalid(
    "<nil>",
    "",
    `${what} value must be of type integer ${format === undefined ? "(default format)" : `with format ${format}`} in ${path}`,
  ),
  place: path,
});

/** Texts a pattern is known to fit; those that have one, reasons and quantities, are mostly the same few. */
const FITTING_MAX = 32;
const FITTING_LENGTH_MAX = 64;

function textChecks(source: JsonSchema): readonly ValueCheck[] {
  const { minLength, maxLength, pattern, format } = source;
  const checks: ValueCheck[] = [];
  const only = (check: (value: string, path: string, errors: FieldError[]) => void) =>
    checks.push((value, path, errors) => {
      if (typeof value === "string") check(value, path, errors);
    });
  const hasFormat = formatCheck(format);
  if (hasFormat !== undefined)
    only((value, path, errors) => {
      if (!hasFormat(value))
        errors.push(
          fieldTypeInvalid(path, value, `${path} in body must be of type ${format}: ${JSON.stringify(value)}`),
        );
    });
  const isOfLength = (value: string) =>
    (minLength === undefined || characters(value) >= minLength) &&
    (maxLength === undefined || value.length <= maxLength || characters(value) <= maxLength);
  if (minLength !== undefined)
    only((value, path, errors) => {
      const isLong = maxLength !== undefined && value.length > maxLength && characters(value) > maxLength;
      if (!isLong && characters(value) < minLength)
        errors.push(fieldInvalid(path, value, `${path} in body should be at least ${minLength} chars long`));
    });
  if (maxLength !== undefined)
    only((value, path, errors) => {
      if (value.length > maxLength && characters(value) > maxLength) errors.push(fieldTooLong(path, maxLength));
    });
  if (pattern !== undefined) {
    // Patterns come from users: this engine is linear, whatever they write.
    let expression: RE2JS | undefined;
    try {
      expression = RE2JS.compile(pattern);
    } catch {
      expression = undefined;
    }
    const fitting = new Set<string>();
    only((value, path, errors) => {
      // A text of a wrong length is not looked at further.
      if (expression === undefined || fitting.has(value) || !isOfLength(value)) return;
      if (!expression.matcher(value).find())
        errors.push(fieldInvalid(path, value, `${path} in body should match '${pattern}'`));
      else if (value.length <= FITTING_LENGTH_MAX) {
        if (fitting.size >= FITTING_MAX) fitting.clear();
        fitting.add(value);
      }
    });
  }
  return checks;
}

/** Code points, counted without making a list of them. */
function characters(text: string): number {
  let count = 0;
  for (const _character of text) count++;
  return count;
}

function listChecks(source: JsonSchema): readonly ValueCheck[] {
  const { minItems, maxItems, uniqueItems } = source;
  const checks: ValueCheck[] = [];
  const only = (check: (value: readonly unknown[], path: string, errors: FieldError[]) => void) =>
    checks.push((value, path, errors) => {
      if (Array.isArray(value)) check(value, path, errors);
    });
  if (minItems !== undefined)
    only((value, path, errors) => {
      if (value.length < minItems)
        errors.push(fieldInvalid(path, value.length, `${path} in body should have at least ${minItems} items`));
    });
  if (maxItems !== undefined)
    only((value, path, errors) => {
      if (value.length > maxItems) errors.push(fieldTooMany(path, value.length, maxItems));
    });
  if (uniqueItems)
    only((value, path, errors) => {
      if (new Set(value.map((item) => canonical(item))).size < value.length)
        errors.push(fieldInvalid(path, value, `${path} in body shouldn't contain duplicates`));
    });
  return checks;
}

/** The same text for equal values, whatever the order of their members. */
export function canonical(value: unknown): string {
  return writeJson(value, (_key, member: unknown) =>
    typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}

function objectChecks(source: JsonSchema, isPublished: boolean): readonly ValueCheck[] {
  const { required, minProperties, maxProperties } = source;
  const checks: ValueCheck[] = [];
  const only = (check: (value: Readonly<Record<string, unknown>>, path: string, errors: FieldError[]) => void) =>
    checks.push((value, path, errors) => {
      if (typeName(value) === "object") check(value as Readonly<Record<string, unknown>>, path, errors);
    });
  if (required !== undefined && required.length > 0)
    only((value, path, errors) => {
      for (const name of required)
        if (
          !Object.hasOwn(value, name) ||
          value[name] === undefined ||
          (isPublished && (value[name] === null || value[name] === ""))
        )
          errors.push(fieldRequired(join(path, name)));
    });
  if (minProperties !== undefined)
    only((value, path, errors) => {
      const count = Object.keys(value).length;
      if (count < minProperties)
        errors.push(fieldInvalid(path, count, `${path} in body should have at least ${minProperties} properties`));
    });
  if (maxProperties !== undefined)
    only((value, path, errors) => {
      const count = Object.keys(value).length;
      if (count > maxProperties) errors.push(fieldTooMany(path, count, maxProperties));
    });
  return checks;
}
