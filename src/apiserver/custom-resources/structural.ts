import { deepEqual } from "#base";
import { RE2JS } from "re2js";
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isJsonObject,
  type JsonSchema,
  Schema,
} from "#machinery";
import { embeddedErrors } from "../verbs/embedded-objects.ts";
import { defaultRuleErrors, factorOf, ruleFormErrors, rulesErrors, type Spent } from "./rules.ts";

const TYPES = ["array", "boolean", "integer", "number", "object", "string"];
const UNSUPPORTED = ["$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "id"];
/** Members that describe structure: value validations may not hold them. */
const STRUCTURE = [
  "type",
  "description",
  "title",
  "default",
  "nullable",
  "additionalProperties",
  "x-kubernetes-preserve-unknown-fields",
  "x-kubernetes-embedded-resource",
  "x-kubernetes-int-or-string",
  "x-kubernetes-list-type",
  "x-kubernetes-list-map-keys",
  "x-kubernetes-map-type",
  "x-kubernetes-validations",
];
/** Those of them that a message calls undefined rather than empty. */
const UNDEFINED = new Set(["default", "additionalProperties", "x-kubernetes-list-type", "x-kubernetes-map-type"]);
const DEPTH_MAX = 100;
/** Of the rules that cost too much, so many are named once more as what the whole costs. */
const SPENDERS_MAX = 4;
/** What all rules of a schema together may be estimated to cost. */
const TOTAL_COST_MAX = 100_000_000;

/** Schemas come from users: anything may stand in their place. */
const isSchema = (value: unknown): boolean => isJsonObject(value);

type Level = "root" | "property" | "item" | "value";

interface Place {
  readonly level: Level;
  readonly depth: number;
  /** Where a list is above whose items have no past; undefined where values can be followed. */
  readonly uncorrelatable: string | undefined;
  /** How many values one object can hold; undefined where nothing but the size of a request bounds them. */
  readonly cardinality: number | undefined;
}

/** Mistakes by what they are about: the schema itself, its being structural, and the rules in it. */
interface Found {
  readonly schema: FieldError[];
  readonly structural: FieldError[];
  readonly rules: FieldError[];
  readonly spent: Spent[];
  /** Looks at defaults, which is done where the whole is structural. */
  readonly defaults: (() => readonly FieldError[])[];
  /** Whether something stands in it that no structural schema can hold. */
  isForeign: boolean;
}

const MISSING_TYPE: Readonly<Record<Level, string>> = {
  root: "must not be empty at the root",
  property: "must not be empty for specified object fields",
  item: "must not be empty for specified array items",
  value: "must not be empty for specified object fields",
};

/** What keeps a CRD's schema from being structural, and its rules from being run. */
export function schemaErrors(schema: JsonSchema, path: string): readonly FieldError[] {
  const found: Found = { schema: [], structural: [], rules: [], spent: [], defaults: [], isForeign: false };
  walk(schema, path, { level: "root", depth: 0, uncorrelatable: undefined, cardinality: 1 }, found);
  // Whether a schema is structural is asked where it could be.
  const structural = found.isForeign ? [] : found.structural;
  const errors = [
    ...found.schema,
    ...structural,
    ...(found.isForeign || structural.length > 0 ? [] : found.defaults.flatMap((check) => check())),
    ...found.rules,
  ];
  const total = found.spent.reduce((sum, { cost }) => sum + cost, 0);
  if (total > TOTAL_COST_MAX) {
    const spenders = found.spent
      .filter(({ cost }) => cost > 0)
      .sort((one, other) => other.cost - one.cost)
      .slice(0, SPENDERS_MAX);
    errors.push(
      ...spenders.map(({ field }) =>
        fieldForbidden(
          field,
          "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
        ),
      ),
      fieldForbidden(
        path,
        `x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of ${factorOf(total / TOTAL_COST_MAX)} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`,
      ),
    );
  }
  return errors;
}

/** Adds the mistakes of a schema and of all below it, and what its rules are estimated to cost. */
function walk(schema: JsonSchema, path: string, place: Place, found: Found): void {
  if (!isSchema(schema)) {
    found.schema.push(fieldInvalid(path, schema, "must be a schema"));
    found.isForeign = true;
    return;
  }
  if (isForeign(schema)) found.isForeign = true;
  if (place.depth > DEPTH_MAX) {
    found.schema.push(fieldForbidden(path, `schemas may not be nested more than ${DEPTH_MAX} levels deep`));
    return;
  }
  const before = found.schema.length + found.structural.length;
  found.schema.push(...memberErrors(schema, path), ...typeErrors(schema, path), ...listErrors(schema, path));
  found.structural.push(...missingTypeErrors(schema, path, place.level), ...eitherErrors(schema, path));
  for (const [kind, list] of [
    ["allOf", schema.allOf],
    ["anyOf", schema.anyOf],
    ["oneOf", schema.oneOf],
  ] as const)
    for (const [at, one] of (list ?? []).entries())
      if (!(kind === "anyOf" && isEither(list)))
        found.structural.push(...valueErrors(one, `${path}.${kind}[${at}]`, kind === "allOf" && at === 0));
  if (schema.not !== undefined) found.structural.push(...valueErrors(schema.not, `${path}.not`));
  if (place.level === "root")
    found.structural.push(
      ...[
        ...(schema.allOf ?? []).map((one, at) => [one, `allOf[${at}]`] as const),
        ...(schema.anyOf ?? []).map((one, at) => [one, `anyOf[${at}]`] as const),
        ...(schema.oneOf ?? []).map((one, at) => [one, `oneOf[${at}]`] as const),
        ...(schema.not === undefined ? [] : [[schema.not, "not"] as const]),
      ].flatMap(([one, at]) => missingErrors(one, schema, `${path}.${at}`, path)),
    );
  const below = (child: JsonSchema, at: string, level: Level, rest: Partial<Place> = {}) => {
    walk(child, at, { ...place, depth: place.depth + 1, level, ...rest }, found);
  };
  const isResource = place.level === "root" || schema["x-kubernetes-embedded-resource"] === true;
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    if (isResource) found.structural.push(...resourceErrors(name, child, `${path}.properties[${name}]`));
    if (isResource && name === "metadata") {
      if (place.level === "root") found.structural.push(...metadataErrors(child, `${path}.properties[metadata]`));
      continue;
    }
    below(child, `${path}.properties[${name}]`, "property");
  }
  const { items, additionalProperties } = schema;
  const bound = schema.type === "array" ? schema.maxItems : schema.maxProperties;
  const cardinality =
    place.cardinality === undefined || bound === undefined ? undefined : place.cardinality * Math.max(1, bound);
  if (items !== undefined && isSchema(items))
    below(items, `${path}.items`, "item", {
      uncorrelatable: place.uncorrelatable ?? (schema["x-kubernetes-list-type"] === "map" ? undefined : path),
      cardinality,
    });
  if (typeof additionalProperties === "object")
    below(additionalProperties, `${path}.additionalProperties`, "value", { cardinality });
  found.schema.push(...ruleFormErrors(schema, path));
  found.defaults.push(() => defaultErrors(schema, path));
  if (found.schema.length + found.structural.length === before) {
    const rules = rulesErrors(schema, path, {
      isRoot: place.level === "root",
      uncorrelatable: place.uncorrelatable,
      cardinality: place.cardinality,
    });
    found.rules.push(...rules.errors);
    found.spent.push(...rules.spent);
  }
}

/** What a structural schema has no place for. */
const isForeign = (schema: JsonSchema): boolean =>
  UNSUPPORTED.some((member) => Object.hasOwn(schema, member)) ||
  (Array.isArray(schema.items) && schema.items.length > 0) ||
  schema["x-kubernetes-preserve-unknown-fields"] === false;

/** Whether a schema, or one below it, has a default. */
export function hasDefault(schema: unknown): boolean {
  if (Array.isArray(schema)) return schema.some(hasDefault);
  if (!isJsonObject(schema)) return false;
  const { default: fallback, properties, items, additionalProperties } = schema as JsonSchema;
  return fallback !== undefined || [...Object.values(properties ?? {}), items, additionalProperties].some(hasDefault);
}

function memberErrors(schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const member of UNSUPPORTED)
    if (Object.hasOwn(schema, member)) errors.push(fieldForbidden(`${path}.${member}`, `${member} is not supported`));
  if (schema.uniqueItems)
    errors.push(
      fieldForbidden(
        `${path}.uniqueItems`,
        "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
      ),
    );
  const hasProperties = Object.keys(schema.properties ?? {}).length > 0;
  if (schema.additionalProperties === false && hasProperties)
    errors.push(fieldForbidden(`${path}.additionalProperties`, "additionalProperties cannot be set to false"));
  if (schema.additionalProperties && hasProperties)
    errors.push(
      fieldForbidden(`${path}.additionalProperties`, "additionalProperties and properties are mutual exclusive"),
    );
  if (Array.isArray(schema.items) && schema.items.length > 0)
    errors.push(fieldForbidden(`${path}.items`, "items must be a schema object and not an array"));
  if (schema["x-kubernetes-preserve-unknown-fields"] === false)
    errors.push(fieldInvalid(`${path}.x-kubernetes-preserve-unknown-fields`, false, "must be true or undefined"));
  if (schema.pattern !== undefined)
    try {
      RE2JS.compile(schema.pattern);
    } catch (error) {
      errors.push(
        fieldInvalid(
          `${path}.pattern`,
          schema.pattern,
          `must be a valid regular expression, but isn't: ${error instanceof Error ? error.message : String(error)}`,
        ),
      );
    }
  const mapType = schema["x-kubernetes-map-type"];
  if (mapType !== undefined && mapType !== "granular" && mapType !== "atomic")
    errors.push(fieldNotSupported(`${path}.x-kubernetes-map-type`, mapType, ["atomic", "granular"]));
  if (mapType !== undefined && schema.type !== "object")
    errors.push(
      schema.type
        ? fieldInvalid(`${path}.type`, schema.type, "must be object if x-kubernetes-map-type is specified")
        : fieldRequired(`${path}.type`, "must be object if x-kubernetes-map-type is specified"),
    );
  return errors;
}

function typeErrors(schema: JsonSchema, path: string): FieldError[] {
  const { type } = schema;
  const at = `${path}.type`;
  const isOpen = schema["x-kubernetes-preserve-unknown-fields"] === true;
  const errors: FieldError[] = [];
  if (type === "null") errors.push(fieldForbidden(at, "type cannot be set to null, use nullable as an alternative"));
  if (type && !TYPES.includes(type)) errors.push(fieldNotSupported(at, type, TYPES));
  if (schema["x-kubernetes-map-type"] !== undefined && type !== "object") {
    const text = "must be object if x-kubernetes-map-type is specified";
    errors.push(type ? fieldInvalid(at, type, text) : fieldRequired(at, text));
  }
  if (schema["x-kubernetes-embedded-resource"] === true) {
    if (!type) errors.push(fieldRequired(at, "must be object if x-kubernetes-embedded-resource is true"));
    else if (type !== "object")
      errors.push(fieldInvalid(at, type, "must be object if x-kubernetes-embedded-resource is true"));
    if (!isOpen && Object.keys(schema.properties ?? {}).length === 0)
      errors.push(
        fieldRequired(
          `${path}.properties`,
          "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ),
      );
  }
  // What is neither a schema nor a list of them is none.
  const { items } = schema as { readonly items?: unknown };
  if (type === "array" && !isSchema(items) && !(Array.isArray(items) && items.length > 0))
    errors.push(fieldRequired(`${path}.items`, "must be specified"));
  return errors;
}

/** Values that are numbers or texts are nothing else. */
function eitherErrors(schema: JsonSchema, path: string): FieldError[] {
  if (schema["x-kubernetes-int-or-string"] !== true) return [];
  return (["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] as const)
    .filter((member) => schema[member] === true)
    .map((member) => fieldInvalid(`${path}.${member}`, true, "must be false if x-kubernetes-int-or-string is true"));
}

/** A structural schema says the type of everything. */
function missingTypeErrors(schema: JsonSchema, path: string, level: Level): FieldError[] {
  const { type } = schema;
  const isAny =
    schema["x-kubernetes-preserve-unknown-fields"] === true ||
    schema["x-kubernetes-int-or-string"] === true ||
    // Which must be objects, and is told so.
    schema["x-kubernetes-embedded-resource"] === true;
  const isOpen = schema["x-kubernetes-preserve-unknown-fields"] === true;
  // Of an embedded resource it is told elsewhere what its type must be.
  if (!type && schema["x-kubernetes-embedded-resource"] === true) return [];
  if (!type) return (level === "root" ? isOpen : isAny) ? [] : [fieldRequired(`${path}.type`, MISSING_TYPE[level])];
  return level === "root" && type !== "object"
    ? [fieldInvalid(`${path}.type`, type, "must be object at the root")]
    : [];
}

function listErrors(schema: JsonSchema, path: string): FieldError[] {
  const listType = schema["x-kubernetes-list-type"];
  const keys = schema["x-kubernetes-list-map-keys"];
  const errors: FieldError[] = [];
  if (listType === undefined) {
    if (keys !== undefined && keys.length > 0)
      errors.push(
        fieldRequired(`${path}.x-kubernetes-list-type`, "must be map if x-kubernetes-list-map-keys is non-empty"),
      );
    return errors;
  }
  if (!["atomic", "set", "map"].includes(listType))
    errors.push(fieldNotSupported(`${path}.x-kubernetes-list-type`, listType, ["atomic", "set", "map"]));
  if (schema.type !== "array")
    errors.push(
      schema.type
        ? fieldInvalid(`${path}.type`, schema.type, "must be array if x-kubernetes-list-type is specified")
        : fieldRequired(`${path}.type`, "must be array if x-kubernetes-list-type is specified"),
    );
  const items = schema.items;
  if (listType !== "map") {
    if (keys !== undefined && keys.length > 0)
      errors.push(
        fieldInvalid(
          `${path}.x-kubernetes-list-type`,
          listType,
          "must be map if x-kubernetes-list-map-keys is non-empty",
        ),
      );
    if (listType === "set" && items?.type === "object" && items["x-kubernetes-map-type"] !== "atomic")
      errors.push(
        fieldInvalid(
          `${path}.items.x-kubernetes-map-type`,
          null,
          "must be atomic as item of a list with x-kubernetes-list-type=set",
        ),
      );
    const inner = items?.type === "array" ? items["x-kubernetes-list-type"] : undefined;
    if (listType === "set" && inner !== undefined && inner !== "atomic")
      errors.push(
        fieldInvalid(
          `${path}.items.x-kubernetes-list-type`,
          inner,
          "must be atomic as item of a list with x-kubernetes-list-type=set",
        ),
      );
    if (listType === "set" && items?.nullable)
      errors.push(fieldForbidden(`${path}.items.nullable`, "cannot be nullable when x-kubernetes-list-type is set"));
    return errors;
  }
  if (keys === undefined || keys.length === 0)
    errors.push(
      fieldRequired(`${path}.x-kubernetes-list-map-keys`, "must not be empty if x-kubernetes-list-type is map"),
    );
  if (items === undefined)
    return [...errors, fieldRequired(`${path}.items`, "must have a schema if x-kubernetes-list-type is map")];
  if (!isSchema(items)) {
    const shown = { Schema: null, JSONSchemas: Array.isArray(items) ? items : null };
    return [
      ...errors,
      fieldInvalid(`${path}.items`, shown, "must only have a single schema if x-kubernetes-list-type is map"),
    ];
  }
  if (items.type !== "object")
    return [
      ...errors,
      fieldInvalid(
        `${path}.items.type`,
        items.type ?? "",
        "must be object if parent array's x-kubernetes-list-type is map",
      ),
    ];
  if (items.nullable)
    errors.push(fieldForbidden(`${path}.items.nullable`, "cannot be nullable when x-kubernetes-list-type is map"));
  for (const key of keys ?? []) {
    const property =
      items.properties !== undefined && Object.hasOwn(items.properties, key) ? items.properties[key] : undefined;
    if (property === undefined) {
      errors.push(
        fieldInvalid(`${path}.x-kubernetes-list-map-keys`, keys, "entries must all be names of item properties"),
      );
      break;
    }
    if (property.type === "array" || property.type === "object")
      errors.push(
        fieldInvalid(
          `${path}.items.properties[${key}].type`,
          property.type,
          "must be a scalar type if parent array's x-kubernetes-list-type is map",
        ),
      );
    if (property.nullable)
      errors.push(
        fieldForbidden(
          `${path}.items.properties[${key}].nullable`,
          "this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
        ),
      );
    if (property.default === undefined && !items.required?.includes(key))
      errors.push(
        fieldRequired(
          `${path}.items.properties[${key}].default`,
          "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
      );
  }
  if (new Set(keys).size < (keys ?? []).length)
    errors.push(fieldInvalid(`${path}.x-kubernetes-list-map-keys`, keys, "must not contain duplicate entries"));
  return errors;
}

/** A default must fit its own schema, and its rules. */
function defaultErrors(schema: JsonSchema, path: string): FieldError[] {
  if (schema.default === undefined) return [];
  const compiled = Schema.compile(schema);
  const unknown: string[] = [];
  compiled.prune({ value: schema.default }, []);
  const pruned = compiled.prune(schema.default, unknown, "", false);
  const errors: FieldError[] =
    unknown.length > 0 || pruned !== schema.default
      ? [fieldInvalid(`${path}.default`, schema.default, "must not have unknown fields")]
      : [];
  const found: FieldError[] = [];
  compiled.check(schema.default, "", found);
  const shape = [...found.filter(isAboutDefaults), ...embeddedErrors(compiled, schema.default, "", false)];
  const mistakes = shape.length > 0 || errors.length > 0 ? shape : defaultRuleErrors(schema, schema.default);
  return [
    ...errors,
    ...mistakes.map((error) => ({
      ...error,
      field: ["", "<nil>"].includes(error.field) ? `${path}.default` : `${path}.default.${error.field}`,
    })),
  ];
}

/** Kubernetes does not look for what stands twice in defaults, nor at the type of what is a number or a text. */
const isAboutDefaults = ({ type, message }: FieldError) =>
  type !== "FieldValueDuplicate" && !message.includes("must be of type integer,string");

/** What alternatives of the whole object name must be there outside of them. */
function missingErrors(value: JsonSchema, structure: JsonSchema, path: string, place: string): FieldError[] {
  if (!isSchema(value)) return [];
  return Object.keys(value.properties ?? {}).flatMap((name) =>
    structure.properties !== undefined && Object.hasOwn(structure.properties, name)
      ? []
      : [fieldRequired(`${place}.properties[${name}]`, `because it is defined in ${path}.properties[${name}]`)],
  );
}

/** The one way in which alternatives may name types: a number or a text. */
const isEither = (list: readonly JsonSchema[] | undefined) =>
  deepEqual(list, [{ type: "integer" }, { type: "string" }]);

/** A value validation says nothing of structure; first among those that must all hold, it may name a number or a text. */
function valueErrors(value: JsonSchema, path: string, mayNameEither = false): FieldError[] {
  const errors: FieldError[] = [];
  if (!isSchema(value)) return [fieldInvalid(path, value, "must be a schema")];
  for (const member of STRUCTURE) {
    if (!Object.hasOwn(value, member)) continue;
    errors.push(
      fieldForbidden(
        `${path}.${member}`,
        UNDEFINED.has(member)
          ? "must be undefined to be structural"
          : member === "nullable" ||
              (member.startsWith("x-kubernetes-") && (value as Record<string, unknown>)[member] === true)
            ? "must be false to be structural"
            : "must be empty to be structural",
      ),
    );
  }
  for (const [name, child] of Object.entries(value.properties ?? {}))
    errors.push(...valueErrors(child, `${path}.properties[${name}]`));
  if (value.items !== undefined) errors.push(...valueErrors(value.items, `${path}.items`));
  for (const [kind, list] of [
    ["allOf", value.allOf],
    ["anyOf", value.anyOf],
    ["oneOf", value.oneOf],
  ] as const)
    for (const [at, one] of (list ?? []).entries())
      if (!(kind === "anyOf" && mayNameEither && isEither(list)))
        errors.push(...valueErrors(one, `${path}.${kind}[${at}]`));
  if (value.not !== undefined) errors.push(...valueErrors(value.not, `${path}.not`));
  return errors;
}

/** What every object has is of the types it has everywhere. */
const RESOURCE_TYPES: Readonly<Record<string, string>> = { apiVersion: "string", kind: "string", metadata: "object" };

function resourceErrors(name: string, { type }: JsonSchema, path: string): FieldError[] {
  const wanted = Object.hasOwn(RESOURCE_TYPES, name) ? RESOURCE_TYPES[name] : undefined;
  return wanted === undefined || !type || type === wanted
    ? []
    : [fieldInvalid(`${path}.type`, type, `must be ${wanted}`)];
}

/** Of metadata a schema may restrict the name alone. */
function metadataErrors(schema: JsonSchema, path: string): FieldError[] {
  const { type: _type, properties = {}, description: _description, ...rest } = schema;
  const isPlain =
    Object.keys(properties).every((name) => name === "name" || name === "generateName") &&
    Object.keys(rest).length === 0;
  return isPlain
    ? []
    : [
        fieldForbidden(
          path,
          "must not specify anything other than name and generateName, but metadata is implicitly specified",
        ),
      ];
}
