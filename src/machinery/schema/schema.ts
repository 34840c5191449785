import { copyOf } from "#base";
import { isJsonObject, setOwn } from "../paths.ts";
import { type FieldError, fieldDuplicate, fieldInvalid, fieldNotSupported } from "../status.ts";
import type { JsonSchema } from "./json-schema.ts";
import { canonical, typeMismatch, type ValueCheck, valueChecks } from "./value-checks.ts";

/** Finds what a `$ref` names. */
export type ResolveRef = (ref: string) => JsonSchema | undefined;

/** How a schema is to be read. */
export interface SchemaOptions {
  readonly resolve?: ResolveRef;
  /**
   * Whether it was published from Go types, as built-in kinds' are: zero values of required scalars are no defaults then,
   * and an object without members may hold anything. CRDs' schemas are structural: they mean what they say.
   */
  readonly isPublished?: boolean;
}

const unresolved: ResolveRef = () => undefined;
const NOTHING: readonly unknown[] = [];
const NO_NAMES: readonly string[] = [];
const membersOf = (known: unknown) => (isJsonObject(known) ? known : undefined);

/**
 * A schema made ready for use: every question about a value of it is a method. Children are compiled when first asked
 * for, so that large and recursive schemas cost only what is used.
 */
export class Schema {
  readonly source: JsonSchema;
  /** The whole name it is published under; absent for schemas without one. */
  readonly publishedName: string | undefined;
  /** The last part of that name, such as `PodSpec`. */
  readonly goName: string | undefined;
  readonly mapType: string | undefined;
  readonly listType: string | undefined;
  readonly listMapKeys: readonly string[];
  readonly patchStrategy: readonly string[];
  /** Extensions and defaults may stand beside a `$ref`; they win over what it names. */
  readonly #outer: JsonSchema;
  readonly #options: SchemaOptions;
  #properties: Map<string, Schema> | undefined;
  #items: Schema | undefined;
  #values: Schema | undefined | false = false;
  #checks: readonly ValueCheck[] | undefined;
  #defaulted: readonly (readonly [string, Schema, unknown])[] | undefined;
  #needsDefaults: boolean | undefined;

  private constructor(outer: JsonSchema, source: JsonSchema, options: SchemaOptions) {
    this.#outer = outer;
    this.source = source;
    this.#options = options;
    const ref = outer.$ref ?? outer.allOf?.[0]?.$ref;
    this.publishedName = ref?.slice(ref.lastIndexOf("/") + 1);
    this.goName = this.publishedName?.slice(this.publishedName.lastIndexOf(".") + 1);
    this.mapType = outer["x-kubernetes-map-type"] ?? source["x-kubernetes-map-type"];
    this.listType = outer["x-kubernetes-list-type"] ?? source["x-kubernetes-list-type"];
    this.listMapKeys = outer["x-kubernetes-list-map-keys"] ?? source["x-kubernetes-list-map-keys"] ?? NO_NAMES;
    const strategy = outer["x-kubernetes-patch-strategy"] ?? source["x-kubernetes-patch-strategy"];
    this.patchStrategy = strategy === undefined ? NO_NAMES : strategy.split(",").filter(Boolean);
  }

  static readonly #known = new WeakMap<JsonSchema, Schema>();

  static compile(schema: JsonSchema, options: SchemaOptions = {}): Schema {
    const { resolve = unresolved } = options;
    const known = Schema.#known.get(schema);
    if (known !== undefined) return known;
    let source = schema;
    for (let depth = 0; depth < 8; depth++) {
      const ref =
        source.$ref ?? (source.type === undefined && source.allOf?.length === 1 ? source.allOf[0]?.$ref : undefined);
      if (ref === undefined) break;
      source = resolve(ref) ?? {};
    }
    const compiled = new Schema(schema, source, options);
    Schema.#known.set(schema, compiled);
    return compiled;
  }

  get type(): string | undefined {
    return this.source.type;
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
      (this.#options.isPublished === true &&
        this.source.type === "object" &&
        this.source.properties === undefined &&
        this.source.additionalProperties === undefined) ||
      (this.source.type === undefined && this.source.properties === undefined && !this.isIntOrString)
    );
  }

  /** Whether `properties` names the member. */
  declares(name: string): boolean {
    return this.source.properties !== undefined && Object.hasOwn(this.source.properties, name);
  }

  property(name: string): Schema | undefined {
    this.#properties ??= new Map();
    let found = this.#properties.get(name);
    if (found === undefined) {
      if (!this.declares(name)) return this.values;
      const source = this.source.properties?.[name] as JsonSchema;
      found = Schema.compile(source, this.#options);
      this.#properties.set(name, found);
    }
    return found;
  }

  /** The schema of a map's values. */
  get values(): Schema | undefined {
    if (this.#values === false) {
      const source = this.source.additionalProperties;
      this.#values = typeof source === "object" ? Schema.compile(source, this.#options) : undefined;
    }
    return this.#values;
  }

  get items(): Schema | undefined {
    if (this.#items === undefined && this.source.items !== undefined)
      this.#items = Schema.compile(this.source.items, this.#options);
    return this.#items;
  }

  /**
   * Drops members the schema does not know, and nulls it does not allow. `unknown` collects the paths of dropped
   * members. Returns the value itself when nothing was dropped. `known` is a value that went through here before: what
   * both share is not looked at again. `keepsNulls` leaves nulls where no default takes their place: they are to be refused.
   */
  prune(value: unknown, unknown: string[], path = "", isRoot = true, known?: unknown, keepsNulls = false): unknown {
    if (Array.isArray(value)) {
      const items = this.items ?? (this.#options.isPublished || this.preservesUnknown ? undefined : NOTHING_KNOWN);
      if (items === undefined) return value;
      const before = Array.isArray(known) ? (known as readonly unknown[]) : NOTHING;
      let changed: unknown[] | undefined;
      for (let at = 0; at < value.length; at++) {
        const item: unknown = value[at];
        if (at < before.length && item === before[at]) continue;
        // Go reads null in a list as the zero value of the element.
        const given = item === null && this.#options.isPublished ? items.#zero() : item;
        if (typeof given !== "object" || given === null) {
          if (given !== item) (changed ??= [...value])[at] = given;
          continue;
        }
        const pruned = items.prune(given, unknown, `${path}[${at}]`, false, before[at], keepsNulls);
        if (pruned !== item) (changed ??= [...value])[at] = pruned;
      }
      return changed ?? value;
    }
    if (!isJsonObject(value)) return value;
    const before = membersOf(known);
    let changed: Record<string, unknown> | undefined;
    const isResource = isRoot || this.source["x-kubernetes-embedded-resource"] === true;
    for (const key in value) {
      const member = value[key];
      if (before !== undefined && member !== undefined && member === before[key]) continue;
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
        !(keepsNulls && schema.defaultValue === undefined) &&
        !(schema.source.format === "date-time" && this.#options.isPublished) &&
        (!schema.preservesUnknown || schema.goName === "Quantity")
      ) {
        changed ??= { ...value };
        // Go reads null in a map as the zero value, null in a struct as absent.
        if (this.#options.isPublished && !this.declares(key)) setOwn(changed, key, schema.#zero());
        else delete changed[key];
        continue;
      }
      if (typeof member !== "object" || member === null) continue;
      const told = schema.source["x-lenient"] === true ? [] : unknown;
      const pruned = schema.prune(member, told, path === "" ? key : `${path}.${key}`, false, before?.[key], keepsNulls);
      if (pruned !== member) setOwn((changed ??= { ...value }), key, pruned);
    }
    return changed ?? value;
  }

  #zero(): unknown {
    if (this.goName === "Quantity") return "0";
    if (this.isIntOrString || this.source.type === "integer" || this.source.type === "number") return 0;
    if (this.source.type === "string") return this.source.format === "date-time" ? null : "";
    if (this.source.type === "boolean") return false;
    return this.source.type === "object" ? {} : null;
  }

  /** Fills in defaults. Returns the value itself when nothing was missing. What is shared with `known` has them already. */
  applyDefaults(value: unknown, known?: unknown): unknown {
    if (!this.hasDefaults()) return value;
    if (Array.isArray(value)) {
      const items = this.items;
      if (items === undefined || !items.hasDefaults()) return value;
      const before = Array.isArray(known) ? (known as readonly unknown[]) : NOTHING;
      let changed: unknown[] | undefined;
      for (let at = 0; at < value.length; at++) {
        const item: unknown = value[at];
        if (at < before.length && item === before[at]) continue;
        const filled = items.applyDefaults(item, before[at]);
        if (filled !== item) (changed ??= [...value])[at] = filled;
      }
      return changed ?? value;
    }
    if (!isJsonObject(value)) return value;
    const before = membersOf(known);
    let changed: Record<string, unknown> | undefined;
    for (const [name, schema, fallback] of this.#defaults()) {
      const present = Object.hasOwn(value, name) ? value[name] : undefined;
      if (present === undefined) {
        if (fallback !== undefined) setOwn((changed ??= copyOf(value)), name, schema.applyDefaults(fallback));
      } else if (typeof present === "object" && present !== null && present !== before?.[name]) {
        const filled = schema.applyDefaults(present, before?.[name]);
        if (filled !== present) setOwn((changed ??= copyOf(value)), name, filled);
      }
    }
    const values = this.values;
    if (values?.hasDefaults())
      for (const key in value) {
        if (this.declares(key)) continue;
        if (before !== undefined && value[key] !== undefined && value[key] === before[key]) continue;
        const filled = values.applyDefaults(value[key], before?.[key]);
        if (filled !== value[key]) setOwn((changed ??= copyOf(value)), key, filled);
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
          this.#options.isPublished === true &&
          (fallback === "" || fallback === 0 || fallback === false) &&
          this.source.required?.includes(name);
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

  /** Every mistake of the value, with kube-apiserver's wording. What is shared with `known` was looked at before. */
  validate(value: unknown, path = "", known?: unknown): readonly FieldError[] {
    const errors: FieldError[] = [];
    this.check(value, path, errors, true, known);
    return errors;
  }

  check(value: unknown, path: string, errors: FieldError[], isRoot = false, known?: unknown): void {
    if (value === known && known !== undefined) return;
    this.#checks ??= valueChecks(this.source, this.#options.isPublished);
    const takesNull = this.source.nullable || this.source.format === "date-time" || this.preservesUnknown;
    if (value === null && (takesNull || this.#options.isPublished)) {
      // What may be nothing must be among the values all the same.
      const { enum: allowed } = this.source;
      if (allowed !== undefined && this.#options.isPublished !== true && this.source.nullable === true)
        errors.push(
          fieldNotSupported(
            path,
            null,
            allowed.map((one) => (typeof one === "string" ? one : JSON.stringify(one))),
          ),
        );
      return;
    }
    const before = errors.length;
    for (const check of this.#checks) check(value, path, errors);
    if (
      errors.length > before &&
      !this.isIntOrString &&
      this.source.type !== undefined &&
      typeMismatch(this.source, value) !== undefined
    )
      return;
    this.#checkCombinations(value, path, errors);
    if (Array.isArray(value)) this.#checkItems(value, path, errors, known);
    else if (isJsonObject(value)) {
      const isEmbedded = !isRoot && this.source["x-kubernetes-embedded-resource"] === true;
      const isResource = isRoot || isEmbedded;
      const before = membersOf(known);
      for (const key in value) {
        const member = value[key];
        if (member === undefined || (before !== undefined && member === before[key])) continue;
        if (isResource && (key === "metadata" || key === "apiVersion" || key === "kind")) {
          if (key === "metadata" && this.#options.isPublished !== true) this.#checkNames(member, path, errors);
          continue;
        }
        this.property(key)?.check(
          member,
          this.declares(key) || path === "" ? join(path, key) : `${path}.${key}`,
          errors,
          false,
          before?.[key],
        );
      }
    }
  }

  #checkItems(value: readonly unknown[], path: string, errors: FieldError[], known: unknown): void {
    const items = this.items;
    const before = Array.isArray(known) ? (known as readonly unknown[]) : NOTHING;
    if (items !== undefined)
      for (let at = 0; at < value.length; at++)
        if (at >= before.length || value[at] !== before[at])
          items.check(value[at], `${path}[${at}]`, errors, false, before[at]);
    const kind = this.listType;
    // Kubernetes' own kinds say in code which of their lists must be unique; their keys serve patches only.
    if ((kind !== "set" && kind !== "map") || this.#options.isPublished) return;
    const foreign = kind === "map" ? value.findIndex((item) => item !== null && !isJsonObject(item)) : -1;
    if (foreign >= 0) {
      const why = "must be an object for an array of list-type map";
      errors.push(fieldInvalid(`${path}[${foreign}]`, value[foreign], why));
      return;
    }
    // What stands there for the third time was told the second time.
    const counts = new Map<string, number>();
    for (const [at, item] of value.entries()) {
      if (kind === "map" && item === null) continue;
      const shown =
        kind === "set" ? item : Object.fromEntries(this.listMapKeys.map((key) => [key, keyValue(items, item, key)]));
      const key = canonical(shown);
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      if (count === 2) errors.push(fieldDuplicate(`${path}[${at}]`, JSON.parse(key)));
    }
  }

  #checkCombinations(value: unknown, path: string, errors: FieldError[]): void {
    const { allOf, anyOf, oneOf, not } = this.source;
    if (allOf === undefined && anyOf === undefined && oneOf === undefined && not === undefined) return;
    const fits = (schema: JsonSchema) => {
      const found: FieldError[] = [];
      Schema.compile(schema, this.#options).check(value, path, found);
      return found;
    };
    // These messages name the place themselves; kube-apiserver gives them no field.
    const refuse = (detail: string) =>
      errors.push({ ...fieldInvalid("<nil>", "", `"${path}" ${detail}`), place: path });
    const unmet = (allOf ?? []).map(fits).filter((mistakes) => mistakes.length > 0);
    if (unmet.length > 0)
      refuse(`must validate all the schemas (allOf)${unmet.length === allOf?.length ? ". None validated" : ""}`);
    errors.push(...unmet.flat());
    if (anyOf !== undefined) {
      const found = anyOf.map(fits);
      if (!found.some((mistakes) => mistakes.length === 0)) {
        refuse("must validate at least one schema (anyOf)");
        errors.push(...fewest(found));
      }
    }
    if (oneOf !== undefined && !this.isIntOrString) {
      const found = oneOf.map(fits);
      const valid = found.filter((mistakes) => mistakes.length === 0).length;
      if (valid === 0) {
        refuse("must validate one and only one schema (oneOf). Found none valid");
        errors.push(...fewest(found));
      } else if (valid > 1) refuse(`must validate one and only one schema (oneOf). Found ${valid} valid alternatives`);
    }
    if (not !== undefined && fits(not).length === 0) refuse("must not validate the schema (not)");
  }

  /** Of metadata a structural schema may restrict the name and what it is generated from. */
  #checkNames(metadata: unknown, path: string, errors: FieldError[]): void {
    const schema = this.declares("metadata") ? this.property("metadata") : undefined;
    if (schema === undefined || !isJsonObject(metadata)) return;
    for (const name of ["name", "generateName"])
      if (schema.declares(name) && metadata[name] !== undefined)
        schema.property(name)?.check(metadata[name], join(join(path, "metadata"), name), errors);
  }
}

/** What a structural schema says of elements where it wants no list: they have no members. */
const NOTHING_KNOWN = Schema.compile({ type: "object", properties: {} });

/** The mistakes of the alternative that came closest. */
const fewest = (found: readonly (readonly FieldError[])[]) =>
  found.reduce((best, mistakes) => (mistakes.length < best.length ? mistakes : best), found[0] ?? []);

function keyValue(items: Schema | undefined, item: unknown, key: string): unknown {
  return isJsonObject(item)
    ? ((Object.hasOwn(item, key) ? item[key] : undefined) ?? items?.property(key)?.defaultValue)
    : undefined;
}

const join = (path: string, key: string) => (path === "" ? key : `${path}.${key}`);
