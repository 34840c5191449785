/**
 * The words in which kinds are defined: each makes a piece of an OpenAPI v3 schema as a CRD carries it. A text comes first
 * and says what a field means; which fields a shape requires is said with the shape.
 */
export type Schema = Readonly<Record<string, unknown>>;
export type Rules = Readonly<Record<string, unknown>>;

const QUANTITY =
  "^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$";
const INT_OR_STRING = { anyOf: [{ type: "integer" }, { type: "string" }], "x-kubernetes-int-or-string": true };
const KEEPS_UNKNOWN = { "x-kubernetes-preserve-unknown-fields": true };

/** Merged whole by server-side apply. */
export const ATOMIC_MAP: Rules = { "x-kubernetes-map-type": "atomic" };

const described = (description: string | undefined, schema: Schema): Schema =>
  description === undefined ? schema : { description, ...schema };

export const string = (description?: string, rules: Rules = {}) => described(description, { type: "string", ...rules });
export const oneOf = (description: string, values: readonly string[], rules: Rules = {}) =>
  string(description, { enum: values, ...rules });
export const boolean = (description?: string, rules: Rules = {}) =>
  described(description, { type: "boolean", ...rules });
export const integer = (description: string, rules: Rules = {}) => ({ description, type: "integer", ...rules });
export const int32 = (description?: string, rules: Rules = {}) =>
  described(description, { type: "integer", format: "int32", ...rules });
export const int64 = (description: string, rules: Rules = {}) => integer(description, { format: "int64", ...rules });
export const time = (description: string) => string(description, { format: "date-time" });
/** Base64 text. */
export const bytes = (description: string) => string(description, { format: "byte" });
export const quantity = (description?: string) => described(description, { ...INT_OR_STRING, pattern: QUANTITY });
export const intOrString = (description: string): Schema => ({ description, ...INT_OR_STRING });
/** An object of any content. */
export const anyObject = (description?: string) => described(description, { type: "object", ...KEEPS_UNKNOWN });
/** Any JSON value. */
export const anything = (description: string): Schema => ({ description, ...KEEPS_UNKNOWN });

export const list = (description: string, items: Schema, rules: Rules = {}): Schema => ({
  description,
  type: "array",
  items,
  ...rules,
});
/** A list that server-side apply replaces whole. */
export const atomicList = (description: string, items: Schema) =>
  list(description, items, { "x-kubernetes-list-type": "atomic" });
/** A list whose elements server-side apply merges by these keys. */
export const keyedList = (description: string, keys: readonly string[], items: Schema) =>
  list(description, items, { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys });
export const strings = (description: string, rules: Rules = {}) => list(description, string(), rules);
export const map = (description: string, values: Schema): Schema => ({
  description,
  type: "object",
  additionalProperties: values,
});
export const labels = (description: string) => map(description, string());
/** Amounts by the names of resources, for instance `cpu`. */
export const quantities = (description: string) => map(description, quantity());

export function object(
  description: string,
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = [],
  rules: Rules = {},
): Schema {
  return {
    description,
    type: "object",
    properties,
    ...(required.length === 0 ? {} : { required }),
    ...rules,
  };
}

const shapeNames = new WeakMap<object, string>();

/**
 * A shape that several fields share: a function from the text of one use to its schema. `own` is the text of the shape
 * itself, for uses that say nothing of their own.
 */
export function shape(
  name: string,
  own: string,
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = [],
  rules: Rules = {},
): (description?: string) => Schema {
  shapeNames.set(properties, name);
  return (description = own) => object(description, properties, required, rules);
}

/** The name of a shared shape; `undefined` for one that stands in a single place. */
export function shapeNameOf(schema: Schema): string | undefined {
  const properties = schema["properties"];
  return typeof properties === "object" && properties !== null ? shapeNames.get(properties) : undefined;
}
