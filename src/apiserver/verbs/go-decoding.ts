import { isJsonObject, type Schema, setOwn } from "#machinery";
import { builtinSchemas } from "../builtin/schemas.ts";
import { type GoField, goFields } from "../builtin/go-shape.ts";
import { MICRO_TIME, SECONDS, timeMistake } from "../go-times.ts";

/** What is wrong with a value, and where: completed from the inside to the outside. */
interface Mistake {
  /** What Go says, up to the field. */
  readonly text: string;
  /** The Go type that has the field; absent until the value's holder is known, and for mistakes that name no field. */
  struct?: string;
  /** The type of the field; absent for mistakes that name no field. */
  type?: string;
  /** Whether the type's own decoder says so: then `type` is what that one reads, and nothing more is read. */
  readonly isFinal: boolean;
  readonly path: string[];
  /** How many lists and maps of the field hold the value. */
  depth: number;
  /** The value that does not fit, and the type its schema wants; absent for one that is a text of the wrong form. */
  readonly found?: Mismatch;
}

/** A value that is of another type than its field. */
export interface Mismatch {
  readonly value: unknown;
  readonly wanted: string | undefined;
  /** Whether the type of its field reads itself, as times and what is a number or a text do. */
  readonly isSelfRead: boolean;
  readonly isIntOrString: boolean;
}

/**
 * What Go's decoder says of the first value that is of another type than its field; `undefined` when all fit. `struct`
 * is the Go type the value is read into. What is shared with `known`, which was read before, is not looked at again.
 */
export function goMismatch(schema: Schema, value: unknown, struct: string, known?: unknown): string | undefined {
  const first = mistakeOf(schema, value, known, true, false);
  if (first === undefined) return undefined;
  // What a type's own decoder refuses ends the reading; other mistakes are told when all was read.
  const found = first.isFinal ? first : (mistakeOf(schema, value, known, true, true) ?? first);
  if (found.type === undefined) return found.text;
  return `${found.text} into Go struct field ${[found.struct ?? struct, ...found.path.reverse()].join(".")} of type ${found.type}`;
}

/** The first value that is of another type than its field, those of the head before others; `undefined` when all fit. */
export function firstMismatch(schema: Schema, value: unknown): Mismatch | undefined {
  if (isJsonObject(value))
    for (const name of HEAD) {
      const child = schema.property(name);
      const found = child === undefined ? undefined : mistakeOf(child, value[name], undefined, false, false)?.found;
      if (found !== undefined) return found;
    }
  return mistakeOf(schema, value, undefined, true, false)?.found;
}

const HEAD = ["apiVersion", "kind", "metadata"];

function mistakeOf(
  schema: Schema,
  value: unknown,
  known: unknown,
  isRoot: boolean,
  isFinalOnly: boolean,
): Mistake | undefined {
  if (value === null || value === undefined || value === known) return undefined;
  const refusal = (found: unknown, named: string, isFinal = false) =>
    isFinalOnly && !isFinal
      ? undefined
      : refusalOf(found, named, isFinal, {
          wanted: isMap(schema) ? "map" : schema.source.type,
          isIntOrString: schema.isIntOrString,
        });
  if (schema.isIntOrString) {
    if (typeof value === "string" || isInt32(value)) return undefined;
    return refusal(value, "int32", true);
  }
  // JSON that is kept as it came may be anything.
  if (schema.goName === "RawExtension") return undefined;
  const { type, format } = schema.source;
  switch (type) {
    case "string":
      if (typeof value !== "string")
        return refusal(value, format === "byte" ? "[]uint8" : "string", format === "date-time");
      if (format === "byte") return isFinalOnly ? undefined : plain(base64Mistake(value), false);
      if (schema.goName === "MicroTime") return plain(timeMistake(value, MICRO_TIME));
      return format === "date-time" && !TIME.test(value)
        ? plain(timeMistake(value, SECONDS) ?? timeRefusal(value))
        : undefined;
    case "boolean":
      return typeof value === "boolean" ? undefined : refusal(value, "bool");
    case "integer":
      return isInt64(value) && (format !== "int32" || isInt32(value)) ? undefined : refusal(value, format ?? "int64");
    case "number":
      return typeof value === "number" ? undefined : refusal(value, "float64");
    case "array":
      return Array.isArray(value) ? listMistake(schema, value, known, isFinalOnly) : refusal(value, goType(schema));
    case "object":
      return isJsonObject(value)
        ? objectMistake(schema, value, known, isRoot, isFinalOnly)
        : refusal(value, goType(schema));
    default:
      if (schema.goName === "JSONSchemaPropsOrBool" && typeof value !== "boolean" && !isJsonObject(value))
        return plain("boolean or JSON schema expected");
      // Where something else may stand as well, an object is read as the type that has its members.
      return schema.source.properties !== undefined && isJsonObject(value)
        ? objectMistake(schema, value, known, isRoot, isFinalOnly)
        : undefined;
  }
}

function listMistake(
  schema: Schema,
  value: readonly unknown[],
  known: unknown,
  isFinalOnly: boolean,
): Mistake | undefined {
  const { items } = schema;
  if (items === undefined) return undefined;
  const before = Array.isArray(known) ? (known as readonly unknown[]) : undefined;
  for (let at = 0; at < value.length; at++) {
    const mistake = mistakeOf(items, value[at], before?.[at], false, isFinalOnly);
    if (mistake === undefined) continue;
    mistake.depth++;
    return mistake;
  }
  return undefined;
}

function objectMistake(
  schema: Schema,
  value: Readonly<Record<string, unknown>>,
  known: unknown,
  isRoot: boolean,
  isFinalOnly: boolean,
): Mistake | undefined {
  const before = isJsonObject(known) ? known : undefined;
  for (const key in value) {
    if (isRoot && (key === "metadata" || key === "apiVersion" || key === "kind")) continue;
    const child = schema.property(key);
    if (child === undefined) continue;
    const mistake = mistakeOf(child, value[key], before?.[key], false, isFinalOnly);
    if (mistake === undefined) continue;
    if (schema.declares(key)) placeIn(mistake, schema, key, isRoot);
    else mistake.depth++;
    return mistake;
  }
  return undefined;
}

/** Notes that a mistake was found in a field of a Go type. */
function placeIn(mistake: Mistake, holder: Schema, key: string, isRoot: boolean): void {
  if (mistake.type === undefined) return;
  const field = fieldOf(holder, key);
  if (mistake.path.length === 0 && !mistake.isFinal) {
    let type = field?.type;
    for (let inside = 0; inside < mistake.depth && type !== undefined; inside++)
      type = /^(?:\[\]|map\[[^\]]*\])\*?(.+)$/.exec(type)?.[1];
    mistake.type = type ?? mistake.type;
  }
  if (!isRoot && mistake.struct === undefined && holder.goName !== undefined)
    mistake.struct = holder.goName.replace(/^(JSONSchemaProps)Or\w+$/, "$1");
  mistake.path.push(field?.embeddedIn === undefined ? key : `${field.embeddedIn}.${key}`);
}

function fieldOf(holder: Schema, key: string): GoField | undefined {
  const name =
    holder.publishedName ?? Object.entries(builtinSchemas()).find(([, schema]) => schema === holder.source)?.[0];
  return name === undefined ? undefined : goFields(name)?.find(({ json }) => json === key);
}

/** The object with whole numbers that are too large for their fields as Go makes them fit: by leaving bits out. */
export function withFittingNumbers(schema: Schema, value: unknown): unknown {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return value;
    const fitting = value.map((item) => withFittingNumbers(items, item));
    return fitting.some((item, at) => item !== value[at]) ? fitting : value;
  }
  if (isJsonObject(value)) {
    let changed: Record<string, unknown> | undefined;
    for (const key in value) {
      const child = schema.property(key);
      const fitting = child === undefined ? value[key] : withFittingNumbers(child, value[key]);
      if (fitting !== value[key]) setOwn((changed ??= { ...value }), key, fitting);
    }
    return changed ?? value;
  }
  const { type, format } = schema.source;
  if (type !== "integer" || schema.isIntOrString || typeof value !== "number" || !Number.isInteger(value)) return value;
  const whole = isInt64(value) ? BigInt(value) : -(2n ** 63n);
  return format === "int32" ? (isInt32(value) ? value : Number(BigInt.asIntN(32, whole))) : Number(whole);
}

const INT64 = 2 ** 63;
export const isInt64 = (value: unknown) =>
  Number.isInteger(value) && (value as number) >= -INT64 && (value as number) < INT64;
const INT32 = 2_147_483_648;
const isInt32 = (value: unknown) => Number.isInteger(value) && (value as number) >= -INT32 && (value as number) < INT32;

const plain = (text: string | undefined, isFinal = true): Mistake | undefined =>
  text === undefined ? undefined : { text, isFinal, path: [], depth: 0 };

const isMap = ({ source }: Schema) => source.additionalProperties !== undefined && source.properties === undefined;

function refusalOf(
  value: unknown,
  type: string,
  isFinal: boolean,
  wanted: Pick<Mismatch, "wanted" | "isIntOrString">,
): Mistake {
  const found = jsonType(value);
  // Go shows numbers that do not fit into an integer.
  const shown = found === "number" && /^u?int/.test(type) ? `number ${String(value)}` : found;
  return {
    text: `json: cannot unmarshal ${shown}`,
    type,
    isFinal,
    path: [],
    depth: 0,
    found: { value, ...wanted, isSelfRead: isFinal },
  };
}

const TIME =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)$/;
const timeRefusal = (value: string) =>
  `parsing time ${JSON.stringify(value)} as "2006-01-02T15:04:05Z07:00": cannot parse ${JSON.stringify(value)} as "2006"`;

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
