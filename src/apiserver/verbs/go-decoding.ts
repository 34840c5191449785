import { isJsonObject, type Schema } from "#machinery";

/**
 * What Go's decoder says of the first value that is of another type than its field; `undefined` when all fit. `struct`
 * is the Go type the value is read into. What is shared with `known`, which was read before, is not looked at again.
 */
export function goMismatch(
  schema: Schema,
  value: unknown,
  struct: string,
  path = "",
  known?: unknown,
): string | undefined {
  if (value === null || value === undefined || value === known) return undefined;
  if (schema.isIntOrString) {
    if (typeof value === "string" || Number.isInteger(value)) return undefined;
    return refusal(value, struct, path, "intstr.IntOrString");
  }
  // JSON that is kept as it came may be anything.
  if (schema.goName === "RawExtension") return undefined;
  const { type, format } = schema.source;
  switch (type) {
    case "string":
      if (typeof value !== "string")
        return refusal(
          value,
          struct,
          path,
          format === "byte" ? "[]uint8" : format === "date-time" ? "v1.Time" : "string",
        );
      if (format === "byte") return base64Mistake(value);
      if (schema.goName === "MicroTime") return timeMistake(value, MICRO_TIME);
      if (format === "date-time" && Number.isNaN(Date.parse(value)))
        return `parsing time ${JSON.stringify(value)} as "2006-01-02T15:04:05Z07:00": cannot parse ${JSON.stringify(value)} as "2006"`;
      return undefined;
    case "boolean":
      return typeof value === "boolean" ? undefined : refusal(value, struct, path, "bool");
    case "integer":
      return Number.isInteger(value) && (format !== "int32" || Math.abs(value as number) <= 2147483648)
        ? undefined
        : refusal(value, struct, path, format ?? "int64");
    case "number":
      return typeof value === "number" ? undefined : refusal(value, struct, path, "float64");
    case "array": {
      const { items } = schema;
      if (!Array.isArray(value)) return refusal(value, struct, path, goType(schema));
      if (items === undefined) return undefined;
      const before = Array.isArray(known) ? (known as readonly unknown[]) : undefined;
      const element = items.goName ?? struct;
      for (let at = 0; at < value.length; at++) {
        const mistake = goMismatch(items, value[at], element, path, before?.[at]);
        if (mistake !== undefined) return mistake;
      }
      return undefined;
    }
    case "object": {
      if (!isJsonObject(value)) return refusal(value, struct, path, goType(schema));
      const isRoot = path === "";
      const before = isJsonObject(known) ? known : undefined;
      for (const key in value) {
        const member = value[key];
        if (isRoot && (key === "metadata" || key === "apiVersion" || key === "kind")) continue;
        const child = schema.property(key);
        if (child === undefined) continue;
        const isMapValue = !schema.declares(key);
        const at = isMapValue ? path : path === "" ? key : `${path}.${key}`;
        const owner = isMapValue ? struct : isRoot ? struct : (schema.goName ?? struct);
        const mistake = goMismatch(child, member, owner, at, before?.[key]);
        if (mistake !== undefined) return mistake;
      }
      return undefined;
    }
    default:
      return undefined;
  }
}

function refusal(value: unknown, struct: string, path: string, type: string): string {
  const found = jsonType(value);
  // Go shows numbers that do not fit into an integer.
  const shown = found === "number" && /^u?int/.test(type) ? `number ${String(value)}` : found;
  return `json: cannot unmarshal ${shown} into Go struct field ${struct}${path === "" ? "" : `.${path}`} of type ${type}`;
}

/** Go's layout of times with six digits behind the seconds, part by part, and what each part matches. */
const MICRO_TIME: readonly (readonly [string, RegExp])[] = [
  ["2006", /^\d{4}/],
  ["-", /^-/],
  ["01", /^(?:0[1-9]|1[0-2])/],
  ["-", /^-/],
  ["02", /^(?:0[1-9]|[12]\d|3[01])/],
  ["T", /^T/],
  ["15", /^(?:[01]\d|2[0-3])/],
  [":", /^:/],
  ["04", /^[0-5]\d/],
  [":", /^:/],
  ["05", /^[0-5]\d/],
  [".000000", /^[.,]\d{6}/],
  ["Z07:00", /^(?:Z|[+-]\d\d:\d\d)/],
];

/** Why a text is no time of a layout, in Go's words. */
function timeMistake(text: string, layout: readonly (readonly [string, RegExp])[]): string | undefined {
  const whole = layout.map(([part]) => part).join("");
  let rest = text;
  for (const [part, form] of layout) {
    const found = form.exec(rest)?.[0];
    if (found === undefined)
      return `parsing time ${JSON.stringify(text)} as ${JSON.stringify(whole)}: cannot parse ${JSON.stringify(rest)} as ${JSON.stringify(part)}`;
    rest = rest.slice(found.length);
  }
  return rest === "" ? undefined : `parsing time ${JSON.stringify(text)}: extra text: ${JSON.stringify(rest)}`;
}

function jsonType(value: unknown): string {
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}

/** The Go type of a field, as Go prints it. */
function goType(schema: Schema): string {
  if (schema.goName !== undefined) return `v1.${schema.goName}`;
  const { type, format } = schema.source;
  if (type === "array") return `[]${schema.items === undefined ? "interface {}" : goType(schema.items)}`;
  if (type === "object") return `map[string]${schema.values === undefined ? "interface {}" : goType(schema.values)}`;
  if (type === "integer") return format ?? "int64";
  if (type === "boolean") return "bool";
  if (type === "number") return "float64";
  return format === "byte" ? "[]uint8" : "string";
}

function base64Mistake(text: string): string | undefined {
  const clean = text.replace(/[\r\n]/g, "");
  const wrong = clean.search(/[^A-Za-z0-9+/=]|=(?=[^=])|={3}/);
  if (wrong < 0 && clean.length % 4 === 0) return undefined;
  return `illegal base64 data at input byte ${wrong >= 0 ? wrong : clean.length - (clean.length % 4)}`;
}
