import type { JsonSchema, ResolveRef } from "#machinery";
import {
  bool,
  bytes,
  type CelType,
  double,
  duration,
  dyn,
  int,
  mapOf,
  type ObjectType,
  string,
  timestamp,
} from "./types.ts";

const RESERVED = new Set([
  "true",
  "false",
  "null",
  "in",
  "as",
  "break",
  "const",
  "continue",
  "else",
  "for",
  "function",
  "if",
  "import",
  "let",
  "loop",
  "package",
  "namespace",
  "return",
  "var",
  "void",
  "while",
]);
const ESCAPES: readonly (readonly [string, string])[] = [
  ["__underscores__", "__"],
  ["__dot__", "."],
  ["__dash__", "-"],
  ["__slash__", "/"],
];

/** The JSON member a name in an expression stands for: `foo__dash__bar` is `foo-bar`, `__namespace__` is `namespace`. */
export function unescapeName(name: string): string {
  const reserved = /^__(\w+?)__$/.exec(name)?.[1];
  if (reserved !== undefined && RESERVED.has(reserved)) return reserved;
  return name.replace(
    /__(underscores|dot|dash|slash)__/g,
    (text) => ESCAPES.find(([escaped]) => escaped === text)?.[1] ?? text,
  );
}

const METADATA: JsonSchema = {
  type: "object",
  properties: { name: { type: "string" }, generateName: { type: "string" } },
};
const HEAD: Readonly<Record<string, JsonSchema>> = {
  apiVersion: { type: "string" },
  kind: { type: "string" },
  metadata: METADATA,
};

const known = new WeakMap<JsonSchema, Map<boolean, CelType>>();

/**
 * The type of values of a schema. `isRoot` adds what every resource has (apiVersion, kind, metadata.name and
 * generateName), as `x-kubernetes-embedded-resource` does. Fields a schema does not name cannot be seen.
 */
export function schemaType(schema: JsonSchema, resolve: ResolveRef = () => undefined, isRoot = false): CelType {
  let types = known.get(schema);
  if (types === undefined) known.set(schema, (types = new Map()));
  let type = types.get(isRoot);
  if (type === undefined) {
    type = read(schema, resolve, isRoot);
    types.set(isRoot, type);
  }
  return type;
}

function read(outer: JsonSchema, resolve: ResolveRef, isRoot: boolean): CelType {
  const ref = outer.$ref ?? (outer.type === undefined ? outer.allOf?.[0]?.$ref : undefined);
  const schema = ref === undefined ? outer : (resolve(ref) ?? {});
  if (schema["x-kubernetes-int-or-string"] === true || schema.format === "int-or-string") return dyn;
  switch (schema.type) {
    case "integer":
      return int;
    case "number":
      return double;
    case "boolean":
      return bool;
    case "string":
      return textType(schema);
    case "array": {
      const items = schema.items === undefined ? dyn : schemaType(schema.items, resolve);
      return {
        kind: "list",
        of: items,
        ...(schema["x-kubernetes-list-type"] === undefined ? {} : { listType: schema["x-kubernetes-list-type"] }),
        ...(schema["x-kubernetes-list-map-keys"] === undefined
          ? {}
          : { listMapKeys: schema["x-kubernetes-list-map-keys"] }),
        sizeMax: maxElements(schema),
      };
    }
    case "object":
      return objectType(schema, resolve, isRoot || schema["x-kubernetes-embedded-resource"] === true);
    default:
      return schema.properties === undefined ? dyn : objectType(schema, resolve, isRoot);
  }
}

function textType({ format, maxLength }: JsonSchema): CelType {
  if (format === "date-time" || format === "date") return timestamp;
  if (format === "duration") return duration;
  if (format === "byte") return bytes;
  // Lengths are of characters, and sizes of bytes: a character has up to four.
  return maxLength === undefined ? string : ({ ...string, sizeMax: 4 * maxLength } as CelType);
}

/** Names of members are compared in no time. */
const KEY = { ...string, sizeMax: 0 } as CelType;

function objectType(schema: JsonSchema, resolve: ResolveRef, isResource: boolean): CelType {
  const values = schema.additionalProperties;
  if (typeof values === "object" && schema.properties === undefined)
    return { kind: "map", key: KEY, of: schemaType(values, resolve), sizeMax: maxElements(schema) };
  // An object that says nothing about itself is a map of anything for built-in kinds' free-form parts.
  if (schema.properties === undefined && !isResource && schema["x-kubernetes-preserve-unknown-fields"] !== true)
    return values === true ? mapOf(string, dyn) : emptyObject;
  const properties = isResource ? { ...schema.properties, ...headOf(schema) } : (schema.properties ?? {});
  const type: ObjectType = {
    kind: "object",
    name: "object",
    field(name) {
      const member = Object.hasOwn(properties, name) ? name : unescapeName(name);
      const found = Object.hasOwn(properties, member) ? properties[member] : undefined;
      return found === undefined ? undefined : schemaType(found, resolve);
    },
    member: (name) => (Object.hasOwn(properties, name) ? name : unescapeName(name)),
  };
  return type;
}

/** What every resource has; what its schema says about its metadata beyond names stays invisible. */
function headOf(schema: JsonSchema): Readonly<Record<string, JsonSchema>> {
  const own = schema.properties?.["metadata"]?.properties;
  if (own === undefined) return HEAD;
  return { ...HEAD, metadata: { type: "object", properties: { ...own, ...METADATA.properties } } };
}

const emptyObject: ObjectType = { kind: "object", name: "object", field: () => undefined, member: (name) => name };

const REQUEST_BYTES = 3_145_728;

/** How many values of a schema one request can hold at most, wherever they stand in it. */
export const mostInOneRequest = (schema: JsonSchema): number => Math.floor(REQUEST_BYTES / (minBytes(schema) + 1));

/** How many members of a schema a request of the given size can hold at most: by its bounds, else by their smallest form. */
function maxElements(schema: JsonSchema, sizeBytes = REQUEST_BYTES): number {
  if (schema.type === "array") return schema.maxItems ?? Math.floor(sizeBytes / (minBytes(schema.items) + 1));
  const values = schema.additionalProperties;
  return (
    schema.maxProperties ?? Math.floor(sizeBytes / (minBytes(typeof values === "object" ? values : undefined) + 6))
  );
}

/** The fewest bytes a value of a schema takes in a request. */
function minBytes(schema: JsonSchema | undefined): number {
  switch (schema?.type) {
    case "string":
      return 2 + (schema.minLength ?? 0);
    case "boolean":
      return 4;
    case "object":
    case "array":
      return 2;
    default:
      return 1;
  }
}
