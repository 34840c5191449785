/**
 * How Go's types of built-in kinds stand in JSON. A client may leave a field out or write its zero value: where Go's type
 * cannot tell the two apart they are one, and answers show it the same way. `goForm` brings a
 * value into that form.
 */
import { isJsonObject, type JsonSchema, type KubeObject, type ResolveRef, setOwn } from "#machinery";
import { shapesText } from "../data/generated-shapes.ts";
import { SCHEMA_OR_OTHER } from "./schemas.ts";

/** One field of a Go type. */
export interface GoField {
  readonly json: string;
  /** Its name in Go, as messages that print Go values show it. */
  readonly go: string;
  /** Whether it is left out when it is empty. */
  readonly omitsEmpty: boolean;
  /** Whether an empty value differs from an absent one. */
  readonly isPointer: boolean;
  /** Its Go type, where the schema lets one expect another. */
  readonly type?: string;
  /** The Go types it is embedded by, from the outside to the inside, with dots between. */
  readonly embeddedIn?: string;
}

let shapes: ReadonlyMap<string, string> | undefined;
const fieldsByName = new Map<string, readonly GoField[] | undefined>();

/** The fields of a published type in Go's order; `undefined` for types nobody described. `name` is the schema's. */
export function goFields(name: string): readonly GoField[] | undefined {
  if (fieldsByName.has(name)) return fieldsByName.get(name);
  shapes ??= new Map(
    shapesText.split("\n").map((line) => {
      const at = line.indexOf(" ");
      return [line.slice(0, at), line.slice(at + 1)] as const;
    }),
  );
  const text = shapes.get(name);
  const fields = text === undefined || text === "" ? undefined : text.split(" ").map(readField);
  fieldsByName.set(name, fields);
  return fields;
}

function readField(text: string): GoField {
  const [, json = "", go, omits, pointer, type, embeddedIn] =
    /^([^=?*:@]+)(?:=([^?*:@]+))?(\?)?(\*)?(?::([^@]+))?(?:@(.+))?$/.exec(text) ?? [];
  return {
    json,
    go: go ?? json.replace(/^./, (letter) => letter.toUpperCase()),
    omitsEmpty: omits !== undefined,
    isPointer: pointer !== undefined,
    ...(type === undefined ? {} : { type }),
    ...(embeddedIn === undefined ? {} : { embeddedIn }),
  };
}

/**
 * Gives the value itself when it is in Go's form already. Without `isFilled`, what is absent stays absent. `known` is a
 * value in that form; what is the same as there is not looked at again.
 */
type Settle = (value: unknown, isFilled: boolean, known?: unknown) => unknown;

/**
 * Lists and maps that a client sent empty, by name. Go holds them apart from absent ones until it writes them, so that
 * refusals show the two differently. Copies of an object take the symbol along; no encoder sees it.
 */
const EMPTIED = Symbol("emptied");
type Emptied = Readonly<Record<string, unknown>>;

const emptiedOf = (value: object): Emptied | undefined => (value as { readonly [EMPTIED]?: Emptied })[EMPTIED];

/** The empty list or map that a client sent as a member that was dropped for it; `undefined` where it sent none. */
export const emptyAt = (value: unknown, name: string): unknown =>
  isJsonObject(value) ? emptiedOf(value)?.[name] : undefined;

interface Member {
  readonly field: GoField;
  /** Whether it is a list or a map, which can be there and empty. */
  readonly isContainer: boolean;
  readonly settle: Settle | undefined;
  /** Whether it is metadata: an object's own is looked at apart. */
  readonly isMetadata: boolean;
  readonly zero: () => unknown;
}

/** The members of a type in Go's order; most values have few of them. */
class Members {
  readonly all: readonly Member[];
  readonly #byName: ReadonlyMap<string, Member>;

  constructor(all: readonly Member[]) {
    this.all = all;
    this.#byName = new Map(all.map((member) => [member.field.json, member]));
  }

  /** Those of some names, in the order of the names. */
  among(names: readonly string[]): readonly Member[] {
    const found: Member[] = [];
    for (const name of names) {
      const member = this.#byName.get(name);
      if (member !== undefined) found.push(member);
    }
    return found;
  }
}

const REF = "#/components/schemas/";
/** Types that write themselves: their zero value is not that of their members. */
const ZEROES: Readonly<Record<string, unknown>> = {
  "io.k8s.apimachinery.pkg.api.resource.Quantity": "0",
  "io.k8s.apimachinery.pkg.util.intstr.IntOrString": 0,
  "io.k8s.apimachinery.pkg.apis.meta.v1.Time": null,
  "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": null,
  "io.k8s.apimachinery.pkg.runtime.RawExtension": null,
};
const TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const TIME_TEXT = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)$/;

/** A time as Go writes it: in universal time, with a fixed number of digits behind the seconds. */
function utcTime(text: string, digits: number): string {
  const [, seconds, fraction = "", zone] = TIME_TEXT.exec(text) ?? [];
  if (seconds === undefined || zone === undefined) return text;
  const shown = digits === 0 ? "" : `.${fraction.slice(0, digits).padEnd(digits, "0")}`;
  if (zone === "Z") return `${seconds}${shown}Z`;
  const moved = new Date(`${seconds}${zone}`);
  return Number.isNaN(moved.getTime()) ? text : `${moved.toISOString().slice(0, seconds.length)}${shown}Z`;
}

const METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

const refOf = (schema: JsonSchema): string | undefined =>
  (schema.$ref ?? (schema.type === undefined && schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined))?.slice(
    REF.length,
  );

const isZero = (value: unknown): boolean =>
  value === "" ||
  value === 0 ||
  value === false ||
  (typeof value === "object" &&
    value !== null &&
    (Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0));

/** Lists that mean something when they are empty: nothing is filled in for them, or refusals show them. */
const KEPT_EMPTY = new Set([
  "io.k8s.api.autoscaling.v2.HPAScalingRules policies",
  "io.k8s.api.networking.v1.ServiceCIDRSpec cidrs",
]);
const isKept = (type: string, { json }: GoField, value: unknown) =>
  Array.isArray(value) && KEPT_EMPTY.has(`${type} ${json}`);

/** Makes settlers of schemas. Types are compiled when their first value comes, so that recursive ones end. */
class Settlers {
  readonly #resolve: ResolveRef;
  readonly #members = new Map<string, Members>();
  readonly #empties = new Map<string, Empty | undefined>();
  /** Whether a list or map was empty in the value that is looked at. */
  #hasEmptied = false;

  constructor(resolve: ResolveRef) {
    this.#resolve = resolve;
  }

  of(schema: JsonSchema): Settle | undefined {
    const name = refOf(schema);
    if (name !== undefined) return this.ofNamed(name);
    if (schema.items !== undefined) {
      const each = this.of(schema.items);
      if (each === undefined) return undefined;
      return (value, isFilled, known) => (Array.isArray(value) ? mapList(value, each, isFilled, known) : value);
    }
    if (typeof schema.additionalProperties !== "object") return undefined;
    const each = this.of(schema.additionalProperties);
    return (value, isFilled, known) => {
      if (!isJsonObject(value) || value === known) return value;
      const members = each === undefined ? value : mapMembers(value, each, isFilled, known);
      return isFilled ? inNameOrder(members) : members;
    };
  }

  ofNamed(name: string): Settle | undefined {
    if (name === TIME) return (value) => (typeof value === "string" ? utcTime(value, 0) : value);
    if (name === MICRO_TIME) return (value) => (typeof value === "string" ? utcTime(value, 6) : value);
    const struct = SCHEMA_OR_OTHER.exec(name)?.[1] ?? name;
    return goFields(struct) === undefined
      ? undefined
      : (value, isFilled, known) => this.#struct(struct, value, isFilled, known);
  }

  /** Of whole objects: `name` is their type. */
  ofRoot(name: string): Settle | undefined {
    return goFields(name) === undefined
      ? undefined
      : (value, isFilled, known) => this.#struct(name, value, isFilled, known, true);
  }

  #struct(name: string, value: unknown, isFilled: boolean, known: unknown, isRoot = false): unknown {
    if (!isJsonObject(value) || value === known) return value;
    const before = isJsonObject(known) ? known : undefined;
    const keys = Object.keys(value);
    const result: Record<string | symbol, unknown> = {};
    let count = 0;
    let emptied = emptiedOf(value);
    const hadEmptied = this.#hasEmptied;
    this.#hasEmptied = false;
    let isSame = true;
    const members = this.#membersOf(name);
    // Only the whole form has an order, and members that the value does not have.
    for (const { field, isContainer, settle, isMetadata, zero } of isFilled ? members.all : members.among(keys)) {
      const given = value[field.json];
      let next =
        given === undefined || given === null || settle === undefined || (isRoot && isMetadata)
          ? (given ?? undefined)
          : settle(given, isFilled, before?.[field.json]);
      if (next !== undefined && field.omitsEmpty && !field.isPointer && isZero(next) && !isKept(name, field, next)) {
        if (isContainer) {
          emptied = { ...emptied, [field.json]: next };
          this.#hasEmptied = true;
        }
        next = undefined;
      }
      if (next === undefined && isFilled && !field.omitsEmpty) next = zero();
      if (next === undefined) continue;
      result[field.json] = next;
      if (next !== given || (isFilled && keys[count] !== field.json)) isSame = false;
      count++;
    }
    // What holds such a value says so as well, for whoever looks for them.
    if (this.#hasEmptied) emptied ??= {};
    this.#hasEmptied ||= hadEmptied;
    if (isSame && count === keys.length) return value;
    if (emptied !== undefined) result[EMPTIED] = emptied;
    return result;
  }

  #membersOf(name: string): Members {
    let members = this.#members.get(name);
    if (members === undefined) {
      const { properties } = this.#resolve(REF + name) ?? {};
      members = new Members(
        (goFields(name) ?? []).map((field) => {
          const schema = properties?.[field.json] ?? {};
          return {
            field,
            isContainer: refOf(schema) === undefined && (schema.type === "array" || schema.type === "object"),
            settle: this.of(schema),
            isMetadata: refOf(schema) === METADATA,
            zero: field.isPointer ? () => null : this.#zeroOf(schema),
          };
        }),
      );
      this.#members.set(name, members);
    }
    return members;
  }

  /** Of a named type: what makes null of its empty lists; `undefined` where none is always written. */
  emptyOf(name: string): Empty | undefined {
    if (this.#empties.has(name)) return this.#empties.get(name);
    // A type that holds itself has no such lists of its own.
    this.#empties.set(name, undefined);
    const { properties } = this.#resolve(REF + name) ?? {};
    const members = (goFields(name) ?? []).flatMap((field) => {
      const schema = properties?.[field.json] ?? {};
      const isAlways = schema.type === "array" && !field.omitsEmpty;
      const each = field.json === "metadata" ? undefined : this.#emptyIn(schema);
      return isAlways || each !== undefined ? [{ json: field.json, isAlways, each }] : [];
    });
    const empty: Empty | undefined =
      members.length === 0
        ? undefined
        : (value, known) => {
            if (!isJsonObject(value) || value === known) return value;
            const before = isJsonObject(known) ? known : undefined;
            let result: Record<string, unknown> | undefined;
            for (const { json, isAlways, each } of members) {
              const given = value[json];
              if (given === undefined || given === null) continue;
              const isEmpty = isAlways && Array.isArray(given) && given.length === 0;
              const next = isEmpty ? null : each === undefined ? given : each(given, before?.[json]);
              if (next !== given) (result ??= { ...value })[json] = next;
            }
            return result ?? value;
          };
    this.#empties.set(name, empty);
    return empty;
  }

  #emptyIn(schema: JsonSchema): Empty | undefined {
    const name = refOf(schema);
    if (name !== undefined) return this.emptyOf(name);
    const inner =
      schema.items ?? (typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined);
    const each = inner === undefined ? undefined : this.#emptyIn(inner);
    if (each === undefined) return undefined;
    return (value, known) =>
      Array.isArray(value)
        ? mapList(value, (item, _isFilled, before) => each(item, before), true, known)
        : isJsonObject(value)
          ? mapMembers(value, (item, _isFilled, before) => each(item, before), true, known)
          : value;
  }

  #zeroOf(schema: JsonSchema): () => unknown {
    const name = refOf(schema);
    if (name !== undefined && Object.hasOwn(ZEROES, name)) return () => ZEROES[name];
    if (name !== undefined) {
      const settle = this.ofNamed(name);
      return settle === undefined ? () => null : () => settle({}, true);
    }
    switch (schema.type) {
      case "string":
        return () => (schema.format === "byte" ? null : "");
      case "integer":
      case "number":
        return () => 0;
      case "boolean":
        return () => false;
      default:
        return () => null;
    }
  }
}

function mapList(list: readonly unknown[], each: Settle, isFilled: boolean, known: unknown): readonly unknown[] {
  if (list === known) return list;
  const before = Array.isArray(known) ? (known as readonly unknown[]) : [];
  let result: unknown[] | undefined;
  for (const [at, item] of list.entries()) {
    const next = each(item, isFilled, before[at]);
    if (next !== item) (result ??= [...list])[at] = next;
  }
  return result ?? list;
}

function mapMembers(
  map: Readonly<Record<string, unknown>>,
  each: Settle,
  isFilled: boolean,
  known: unknown,
): Readonly<Record<string, unknown>> {
  if (map === known) return map;
  const before = isJsonObject(known) ? known : {};
  let result: Record<string, unknown> | undefined;
  for (const [key, item] of Object.entries(map)) {
    const next = each(item, isFilled, Object.hasOwn(before, key) ? before[key] : undefined);
    if (next !== item) setOwn((result ??= { ...map }), key, next);
  }
  return result ?? map;
}

const IS_INDEX = /^\d+$/;

/** Go writes maps by the order of their names. Names that are numbers come first here whatever is done: such maps stay. */
function inNameOrder(map: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const names = Object.keys(map);
  if (
    names.every((name, at) => at === 0 || (names[at - 1] as string) <= name) ||
    names.some((name) => IS_INDEX.test(name))
  )
    return map;
  const result: Record<string, unknown> = {};
  for (const name of names.sort()) setOwn(result, name, map[name]);
  return result;
}

type Empty = (value: unknown, known: unknown) => unknown;

/**
 * Makes null of empty lists that are always written, and forgets which others a client sent. The work is planned at first
 * use.
 */
function storedForm(name: string, all: Settlers): (object: KubeObject, known?: KubeObject) => KubeObject {
  let empty: Empty | undefined | null = null;
  return (object, known) => {
    if (empty === null) empty = all.emptyOf(name);
    const clean = hasEmptied(object) ? (forgetful(object) as KubeObject) : object;
    return empty === undefined ? clean : (empty(clean, known) as KubeObject);
  };
}

/** Whether a client sent something empty: the members of the object know. */
const hasEmptied = (object: KubeObject): boolean =>
  emptiedOf(object) !== undefined ||
  Object.values(object).some((member) => (Array.isArray(member) ? member.some(isMarked) : isMarked(member)));

const isMarked = (value: unknown): boolean => isJsonObject(value) && emptiedOf(value) !== undefined;

/** Gives the value itself when nothing in it has to be forgotten. */
function forgetful(value: unknown): unknown {
  if (Array.isArray(value)) return mapList(value, forgetful, true, undefined);
  if (!isJsonObject(value)) return value;
  const kept = mapMembers(value, forgetful, true, undefined);
  if (emptiedOf(kept) === undefined) return kept;
  const { [EMPTIED]: _forgotten, ...rest } = kept as { readonly [EMPTIED]?: Emptied };
  return rest;
}

let settlers: Settlers | undefined;

/** The two steps that bring objects of a published kind into Go's form. */
export interface GoForm {
  /** Drops what cannot be told from absent, so that defaults see it as absent. */
  trim(object: KubeObject, known?: KubeObject): KubeObject;
  /** What comes back from a store that cannot tell an empty list from none, where Go always writes the list. */
  stored(object: KubeObject, known?: KubeObject): KubeObject;
  /** The whole form: zero values where Go writes them, and Go's order. */
  settle(object: KubeObject, known?: KubeObject): KubeObject;
}

/** `undefined` for a kind nobody described; `name` is its schema's. */
export function goForm(name: string, resolve: ResolveRef): GoForm | undefined {
  settlers ??= new Settlers(resolve);
  const apply = settlers.ofRoot(name);
  return apply === undefined
    ? undefined
    : {
        trim: (object, known) => apply(object, false, known) as KubeObject,
        settle: (object, known) => apply(object, true, known) as KubeObject,
        stored: storedForm(name, settlers),
      };
}
