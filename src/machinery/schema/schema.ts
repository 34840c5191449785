import { RE2JS } from "re2js";
import { isJsonObject } from "../paths.ts";
import {
  type FieldError,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooMany,
  fieldTypeInvalid,
} from "../status.ts";

/** An OpenAPI v3 schema as Kubernetes publishes and CRDs hold it. */
export interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly default?: unknown;
  readonly nullable?: boolean;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly required?: readonly string[];
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly allOf?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly not?: JsonSchema;
  readonly description?: string;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-embedded-resource"?: boolean;
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
  readonly "x-kubernetes-list-type"?: string;
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-map-type"?: string;
  readonly "x-kubernetes-patch-strategy"?: string;
  readonly "x-kubernetes-patch-merge-key"?: string;
}

/** Finds what a `$ref` names. */
export type ResolveRef = (ref: string) => JsonSchema | undefined;

type Compile = (value: unknown, path: string, errors: FieldError[]) => void;

/**
 * A schema made ready for use: every question about a value of it is a method. Children are compiled when first asked
 * for, so that large and recursive schemas cost only what is used.
 */
export class Schema {
  readonly source: JsonSchema;
  /** Extensions and defaults may stand beside a `$ref`; they win over what it names. */
  readonly #outer: JsonSchema;
  readonly #resolve: ResolveRef;
  #properties: Map<string, Schema> | undefined;
  #items: Schema | undefined;
  #values: Schema | undefined | false = false;
  #checks: readonly Compile[] | undefined;
  #defaulted: readonly (readonly [string, Schema, unknown])[] | undefined;
  #needsDefaults: boolean | undefined;

  private constructor(outer: JsonSchema, source: JsonSchema, resolve: ResolveRef) {
    this.#outer = outer;
    this.source = source;
    this.#resolve = resolve;
  }

  static readonly #known = new WeakMap<JsonSchema, Schema>();

  static compile(schema: JsonSchema, resolve: ResolveRef = () => undefined): Schema {
    const known = Schema.#known.get(schema);
    if (known !== undefined) return known;
    let source = schema;
    for (let depth = 0; depth < 8; depth++) {
      const ref =
        source.$ref ?? (source.type === undefined && source.allOf?.length === 1 ? source.allOf[0]?.$ref : undefined);
      if (ref === undefined) break;
      source = resolve(ref) ?? {};
    }
    const compiled = new Schema(schema, source, resolve);
    Schema.#known.set(schema, compiled);
    return compiled;
  }

  get type(): string | undefined {
    return this.source.type;
  }
  get listType(): string | undefined {
    return this.#outer["x-kubernetes-list-type"] ?? this.source["x-kubernetes-list-type"];
  }
  get listMapKeys(): readonly string[] {
    return this.#outer["x-kubernetes-list-map-keys"] ?? this.source["x-kubernetes-list-map-keys"] ?? [];
  }
  get mapType(): string | undefined {
    return this.#outer["x-kubernetes-map-type"] ?? this.source["x-kubernetes-map-type"];
  }
  get patchStrategy(): readonly string[] {
    return (this.#outer["x-kubernetes-patch-strategy"] ?? this.source["x-kubernetes-patch-strategy"] ?? "")
      .split(",")
      .filter(Boolean);
  }
  get patchMergeKey(): string | undefined {
    return this.#outer["x-kubernetes-patch-merge-key"] ?? this.source["x-kubernetes-patch-merge-key"];
  }
  get defaultValue(): unknown {
    return this.#outer.default ?? this.source.default;
  }
  get isIntOrString(): boolean {
    return this.source["x-kubernetes-int-or-string"] === true || this.source.format === "int-or-string";
  }
  get preservesUnknown(): boolean {
    return (
      this.source["x-kubernetes-preserve-unknown-fields"] === true ||
      (this.source.type === "object" &&
        this.source.properties === undefined &&
        this.source.additionalProperties === undefined) ||
      (this.source.type === undefined && this.source.properties === undefined && !this.isIntOrString)
    );
  }

  property(name: string): Schema | undefined {
    this.#properties ??= new Map();
    let found = this.#properties.get(name);
    if (found === undefined) {
      const source = this.source.properties?.[name];
      if (source === undefined) return this.values;
      found = Schema.compile(source, this.#resolve);
      this.#properties.set(name, found);
    }
    return found;
  }

  /** The schema of a map's values. */
  get values(): Schema | undefined {
    if (this.#values === false) {
      const source = this.source.additionalProperties;
      this.#values = typeof source === "object" ? Schema.compile(source, this.#resolve) : undefined;
    }
    return this.#values;
  }

  get items(): Schema | undefined {
    if (this.#items === undefined && this.source.items !== undefined)
      this.#items = Schema.compile(this.source.items, this.#resolve);
    return this.#items;
  }

  /**
   * Drops members the schema does not know, and nulls it does not allow. `unknown` collects the paths of dropped
   * members. Returns the value itself when nothing was dropped.
   */
  prune(value: unknown, unknown: string[], path = "", isRoot = true): unknown {
    if (Array.isArray(value)) {
      const items = this.items;
      if (items === undefined) return value;
      let changed: unknown[] | undefined;
      for (const [at, item] of value.entries()) {
        const pruned = items.prune(item, unknown, `${path}[${at}]`, false);
        if (pruned !== item) (changed ??= [...value])[at] = pruned;
      }
      return changed ?? value;
    }
    if (!isJsonObject(value)) return value;
    let changed: Record<string, unknown> | undefined;
    const isResource = isRoot || this.source["x-kubernetes-embedded-resource"] === true;
    for (const key in value) {
      const member = value[key];
      if (isResource && (key === "apiVersion" || key === "kind" || key === "metadata")) continue;
      const schema = this.property(key);
      if (schema === undefined) {
        if (this.preservesUnknown || this.source.additionalProperties === true) continue;
        unknown.push(path === "" ? key : `${path}.${key}`);
        changed ??= { ...value };
        delete changed[key];
        continue;
      }
      if (
        member === null &&
        !schema.source.nullable &&
        schema.source.format !== "date-time" &&
        !schema.preservesUnknown
      ) {
        changed ??= { ...value };
        delete changed[key];
        continue;
      }
      if (typeof member !== "object" || member === null) continue;
      const pruned = schema.prune(member, unknown, path === "" ? key : `${path}.${key}`, false);
      if (pruned !== member) (changed ??= { ...value })[key] = pruned;
    }
    return changed ?? value;
  }

  /** Fills in defaults. Returns the value itself when nothing was missing. */
  applyDefaults(value: unknown): unknown {
    if (!this.hasDefaults()) return value;
    if (Array.isArray(value)) {
      const items = this.items;
      if (items === undefined || !items.hasDefaults()) return value;
      let changed: unknown[] | undefined;
      for (const [at, item] of value.entries()) {
        const filled = items.applyDefaults(item);
        if (filled !== item) (changed ??= [...value])[at] = filled;
      }
      return changed ?? value;
    }
    if (!isJsonObject(value)) return value;
    let changed: Record<string, unknown> | undefined;
    for (const [name, schema, fallback] of this.#defaults()) {
      const present = value[name];
      if (present === undefined) {
        if (fallback !== undefined) (changed ??= { ...value })[name] = schema.applyDefaults(fallback);
      } else if (typeof present === "object" && present !== null) {
        const filled = schema.applyDefaults(present);
        if (filled !== present) (changed ??= { ...value })[name] = filled;
      }
    }
    const values = this.values;
    if (values?.hasDefaults())
      for (const key in value) {
        if (this.source.properties?.[key] !== undefined) continue;
        const filled = values.applyDefaults(value[key]);
        if (filled !== value[key]) (changed ??= { ...value })[key] = filled;
      }
    return changed ?? value;
  }

  #defaults(): readonly (readonly [string, Schema, unknown])[] {
    this.#defaulted ??= Object.keys(this.source.properties ?? {})
      .map((name) => {
        const schema = this.property(name) as Schema;
        // Go writes zero values of required scalars as defaults into its schemas; absent is what they mean.
        const fallback = schema.defaultValue;
        const isZero =
          (fallback === "" || fallback === 0 || fallback === false) && this.source.required?.includes(name);
        return [name, schema, isZero ? undefined : fallback] as const;
      })
      .filter(([, schema, fallback]) => fallback !== undefined || schema.hasDefaults());
    return this.#defaulted;
  }

  hasDefaults(): boolean {
    if (this.#needsDefaults !== undefined) return this.#needsDefaults;
    this.#needsDefaults = false;
    for (const name of Object.keys(this.source.properties ?? {})) {
      const schema = this.property(name) as Schema;
      if (schema.defaultValue !== undefined || schema.hasDefaults()) {
        this.#needsDefaults = true;
        return true;
      }
    }
    if (this.items?.hasDefaults() || this.values?.hasDefaults()) this.#needsDefaults = true;
    return this.#needsDefaults;
  }

  /** Every mistake of the value, with kube-apiserver's wording. */
  validate(value: unknown, path = ""): readonly FieldError[] {
    const errors: FieldError[] = [];
    this.check(value, path, errors, true);
    return errors;
  }

  check(value: unknown, path: string, errors: FieldError[], isRoot = false): void {
    this.#checks ??= compileChecks(this.source);
    if (value === null && (this.source.nullable || this.source.format === "date-time" || this.preservesUnknown)) return;
    const before = errors.length;
    for (const check of this.#checks) check(value, path, errors);
    if (errors.length > before && this.source.type !== undefined && typeMismatch(this.source, value) !== undefined)
      return;
    this.#checkCombinations(value, path, errors);
    if (Array.isArray(value)) this.#checkItems(value, path, errors);
    else if (isJsonObject(value)) {
      const isResource = isRoot || this.source["x-kubernetes-embedded-resource"] === true;
      for (const key in value) {
        const member = value[key];
        if (member === undefined || (isResource && (key === "metadata" || key === "apiVersion" || key === "kind")))
          continue;
        const isDeclared = this.source.properties?.[key] !== undefined;
        this.property(key)?.check(member, isDeclared || path === "" ? join(path, key) : `${path}.${key}`, errors);
      }
    }
  }

  #checkItems(value: readonly unknown[], path: string, errors: FieldError[]): void {
    const items = this.items;
    if (items !== undefined) for (const [at, item] of value.entries()) items.check(item, `${path}[${at}]`, errors);
    const kind = this.listType;
    if (kind !== "set" && kind !== "map") return;
    const seen = new Set<string>();
    for (const [at, item] of value.entries()) {
      const shown =
        kind === "set" ? item : Object.fromEntries(this.listMapKeys.map((key) => [key, keyValue(items, item, key)]));
      const key = JSON.stringify(shown);
      if (seen.has(key)) errors.push(fieldDuplicate(`${path}[${at}]`, shown));
      seen.add(key);
    }
  }

  #checkCombinations(value: unknown, path: string, errors: FieldError[]): void {
    const { allOf, anyOf, oneOf, not } = this.source;
    if (allOf === undefined && anyOf === undefined && oneOf === undefined && not === undefined) return;
    const fits = (schema: JsonSchema) => {
      const found: FieldError[] = [];
      Schema.compile(schema, this.#resolve).check(value, path, found);
      return found;
    };
    for (const schema of allOf ?? []) errors.push(...fits(schema));
    if (anyOf !== undefined && !this.isIntOrString && !anyOf.some((schema) => fits(schema).length === 0))
      errors.push(fieldInvalid(path, value, `"${path}" must validate at least one schema (anyOf)`));
    if (oneOf !== undefined && !this.isIntOrString && oneOf.filter((schema) => fits(schema).length === 0).length !== 1)
      errors.push(fieldInvalid(path, value, `"${path}" must validate one and only one schema (oneOf)`));
    if (not !== undefined && fits(not).length === 0)
      errors.push(fieldInvalid(path, value, `"${path}" must not validate the schema (not)`));
  }
}

function keyValue(items: Schema | undefined, item: unknown, key: string): unknown {
  return isJsonObject(item) ? (item[key] ?? items?.property(key)?.defaultValue) : undefined;
}

const join = (path: string, key: string) => (path === "" ? key : `${path}.${key}`);

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

/** The schema's type when the value is of another one. */
function typeMismatch(source: JsonSchema, value: unknown): string | undefined {
  if (source["x-kubernetes-int-or-string"] || source.format === "int-or-string")
    return typeof value === "string" || Number.isInteger(value) ? undefined : "integer,string";
  const { type } = source;
  if (type === undefined) return undefined;
  const actual = typeName(value);
  if (type === actual || (type === "number" && actual === "integer")) return undefined;
  return type;
}

function compileChecks(source: JsonSchema): readonly Compile[] {
  const checks: Compile[] = [
    (value, path, errors) => {
      const wanted = typeMismatch(source, value);
      if (wanted !== undefined)
        errors.push(
          fieldTypeInvalid(
            path,
            typeof value === "object" ? typeName(value) : value,
            `${path} in body must be of type ${wanted}: "${typeName(value)}"`,
          ),
        );
    },
  ];
  const only = (type: string, check: Compile) =>
    checks.push((value, path, errors) => {
      if (typeName(value) === type || (type === "number" && typeof value === "number")) check(value, path, errors);
    });
  if (source.enum !== undefined)
    checks.push((value, path, errors) => {
      if (!source.enum?.includes(value)) errors.push(fieldNotSupported(path, value, (source.enum ?? []).map(String)));
    });
  const {
    minimum,
    maximum,
    minLength,
    maxLength,
    pattern,
    minItems,
    maxItems,
    required,
    minProperties,
    maxProperties,
  } = source;
  if (minimum !== undefined)
    only("number", (value, path, errors) => {
      if ((value as number) < minimum)
        errors.push(fieldInvalid(path, value, `${path} in body should be greater than or equal to ${minimum}`));
    });
  if (maximum !== undefined)
    only("number", (value, path, errors) => {
      if ((value as number) > maximum)
        errors.push(fieldInvalid(path, value, `${path} in body should be less than or equal to ${maximum}`));
    });
  if (source.format === "int32")
    only("number", (value, path, errors) => {
      if ((value as number) > 2147483647 || (value as number) < -2147483648)
        errors.push(fieldInvalid(path, value, `${path} in body must be of type int32: ${JSON.stringify(value)}`));
    });
  if (source.format === "date-time")
    only("string", (value, path, errors) => {
      if (!/^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(value as string))
        errors.push(fieldInvalid(path, value, `${path} in body must be of type date-time: ${JSON.stringify(value)}`));
    });
  if (minLength !== undefined)
    only("string", (value, path, errors) => {
      if ([...(value as string)].length < minLength)
        errors.push(fieldInvalid(path, value, `${path} in body should be at least ${minLength} chars long`));
    });
  if (maxLength !== undefined)
    only("string", (value, path, errors) => {
      if ([...(value as string)].length > maxLength)
        errors.push({
          type: "FieldValueTooLong",
          field: path,
          message: `Too long: may not be more than ${maxLength} bytes`,
        });
    });
  if (pattern !== undefined) {
    // Patterns come from users: this engine is linear, whatever they write.
    let expression: RE2JS | undefined;
    try {
      expression = RE2JS.compile(pattern);
    } catch {
      expression = undefined;
    }
    only("string", (value, path, errors) => {
      if (expression !== undefined && !expression.matcher(value as string).find())
        errors.push(fieldInvalid(path, value, `${path} in body should match '${pattern}'`));
    });
  }
  if (minItems !== undefined)
    only("array", (value, path, errors) => {
      if ((value as unknown[]).length < minItems)
        errors.push(
          fieldInvalid(path, (value as unknown[]).length, `${path} in body should have at least ${minItems} items`),
        );
    });
  if (maxItems !== undefined)
    only("array", (value, path, errors) => {
      if ((value as unknown[]).length > maxItems)
        errors.push(fieldTooMany(path, (value as unknown[]).length, maxItems));
    });
  if (required !== undefined && required.length > 0)
    only("object", (value, path, errors) => {
      for (const name of required)
        if ((value as Record<string, unknown>)[name] === undefined) errors.push(fieldRequired(join(path, name)));
    });
  if (minProperties !== undefined)
    only("object", (value, path, errors) => {
      if (Object.keys(value as object).length < minProperties)
        errors.push(
          fieldInvalid(
            path,
            Object.keys(value as object).length,
            `${path} in body should have at least ${minProperties} properties`,
          ),
        );
    });
  if (maxProperties !== undefined)
    only("object", (value, path, errors) => {
      const count = Object.keys(value as object).length;
      if (count > maxProperties) errors.push(fieldTooMany(path, count, maxProperties));
    });
  return checks;
}
