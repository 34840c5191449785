import { deepEqual } from "#base";
import { goFloat } from "../go-numbers.ts";
import { isJsonObject, setOwn } from "../paths.ts";
import type { Schema } from "../schema/schema.ts";
import { PatchError } from "./json-patch.ts";

type JsonObject = Readonly<Record<string, unknown>>;

const DIRECTIVE = "$patch";
const RETAIN_KEYS = "$retainKeys";
const DELETE_FROM = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER = "$setElementOrder/";

/** Kubernetes' strategic merge patch: lists merge by the key their schema names. Works on built-in kinds only. */
export function applyStrategicMergePatch(target: unknown, patch: unknown, schema: Schema | undefined): unknown {
  if (!isJsonObject(patch)) throw new PatchError("a strategic merge patch must be an object");
  return mergeObject(isJsonObject(target) ? target : {}, patch, schema);
}

const own = (object: JsonObject, key: string): unknown => (Object.hasOwn(object, key) ? object[key] : undefined);

/** A Go value that is printed where a text is expected. */
const notText = (value: unknown): string =>
  typeof value === "string" || isJsonObject(value) || Array.isArray(value)
    ? goText(value)
    : value === null
      ? "%!s(<nil>)"
      : `%!s(${goType(value)}=${goText(value)})`;

function goType(value: unknown): string {
  if (value === null || value === undefined) return "%!s(<nil>)";
  if (Array.isArray(value)) return "[]interface {}";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number") return Number.isSafeInteger(value) ? "int64" : "float64";
  return typeof value === "string" ? "string" : "map[string]interface {}";
}

const failed = (message: string) => new PatchError(message, true);
const noList = (value: unknown) => failed(`expected a []interface {}, but received a ${goType(value)}`);
const noKey = (item: unknown, key: string) =>
  failed(`map: ${goText(item)} does not contain declared merge key: ${key}`);
const unknownDirective = (directive: unknown, patch: unknown) =>
  failed(`unknown patch type: ${notText(directive)} in map: ${goText(patch)}`);

function mergeObject(target: JsonObject, patch: JsonObject, schema: Schema | undefined): JsonObject {
  const directive = own(patch, DIRECTIVE);
  if (directive === "replace") return without(patch, DIRECTIVE);
  if (directive === "delete") return {};
  if (directive !== undefined) throw unknownDirective(directive, patch);
  const result: Record<string, unknown> = { ...target };
  retain(result, patch);
  const ordered = orderLists(result, patch, schema);
  for (const [key, value] of Object.entries(patch)) {
    if (key === RETAIN_KEYS || key.startsWith(ELEMENT_ORDER) || ordered.has(key)) continue;
    if (key.startsWith(DELETE_FROM)) {
      removeFromList(result, key.slice(DELETE_FROM.length), value);
      continue;
    }
    const present = own(result, key);
    const child = schema?.property(key);
    if (value === null) delete result[key];
    else if (isJsonObject(value)) {
      if (schema?.goName === "RawExtension" && isJsonObject(present))
        throw failed(`unable to find api field in struct RawExtension for the json field ${JSON.stringify(key)}`);
      if (isJsonObject(present) && child?.patchStrategy.includes("replace") !== true)
        setOwn(result, key, mergeObject(present, value, child));
      else setNew(result, key, value);
    } else if (Array.isArray(value) && child?.patchStrategy.includes("merge") && Array.isArray(present))
      setOwn(
        result,
        key,
        mergeList(present, value, child, () => undefined),
      );
    else if (present === undefined) setNew(result, key, value);
    else setOwn(result, key, value);
  }
  return result;
}

/** Leaves only the members that a patch names, which must be among them. */
function retain(result: Record<string, unknown>, patch: JsonObject): void {
  const retained = own(patch, RETAIN_KEYS);
  if (retained === undefined) return;
  const names = Array.isArray(retained) ? (retained as readonly unknown[]) : undefined;
  const isForeign = (key: string) => !key.startsWith("$") && patch[key] !== null && names?.includes(key) !== true;
  if (names === undefined || Object.keys(patch).some(isForeign))
    throw new PatchError("invalid patch format of retainKeys");
  for (const key of Object.keys(result)) if (!names.includes(key)) delete result[key];
}

/** Takes elements out of a list; where a list is no list or its deletions are none, nothing is. */
function removeFromList(result: Record<string, unknown>, name: string, doomed: unknown): void {
  const present = own(result, name);
  if (doomed === null) delete result[name];
  else if (Array.isArray(present) && Array.isArray(doomed)) {
    mustBeAlike(present, doomed);
    setOwn(
      result,
      name,
      present.filter((item) => !doomed.some((gone) => deepEqual(gone, item))),
    );
  }
}

/** Elements of two lists that become one are of one type. */
function mustBeAlike(one: readonly unknown[], other: readonly unknown[]): void {
  if (new Set([...one, ...other].map(goType)).size > 1)
    throw failed(`list element types are not identical: ${goText([one, other])}`);
}

/** Merges the lists whose order a patch gives, before anything else; tells which they are. */
function orderLists(
  result: Record<string, unknown>,
  patch: JsonObject,
  schema: Schema | undefined,
): ReadonlySet<string> {
  const ordered = new Set<string>();
  for (const [key, wanted] of Object.entries(patch)) {
    if (!key.startsWith(ELEMENT_ORDER)) continue;
    const name = key.slice(ELEMENT_ORDER.length);
    if (!Array.isArray(wanted)) throw noList(wanted);
    const present = own(result, name);
    const sent = own(patch, name);
    for (const list of [present, sent]) if (list !== undefined && !Array.isArray(list)) throw noList(list);
    const child = schema?.property(name);
    const mergeKey = child?.patchMergeKey;
    checkOrder(wanted, (sent ?? []) as readonly unknown[], mergeKey);
    if (present === undefined && sent === undefined) continue;
    const list =
      sent === undefined || child === undefined
        ? order((sent ?? present) as readonly unknown[], mustHaveKeys(wanted, mergeKey), present, mergeKey)
        : mergeList((present ?? []) as readonly unknown[], sent as readonly unknown[], child, () =>
            mustHaveKeys(wanted, mergeKey),
          );
    setOwn(result, name, list);
    ordered.add(name);
  }
  return ordered;
}

/** Elements of an order name those of a list that merges by a key by that key. */
function mustHaveKeys(wanted: readonly unknown[], key: string | undefined): readonly unknown[] {
  if (key === undefined) return wanted;
  const odd = wanted.findIndex((item) => !isJsonObject(item));
  if (odd >= 0) throw failed(`value for key ${odd} is not a map`);
  for (const item of wanted) if (own(item as JsonObject, key) === undefined) throw noKey(item, key);
  return wanted;
}

/** Puts in what was not there before, without what is about something that should be there. */
function setNew(result: Record<string, unknown>, key: string, value: unknown): void {
  const kept = withoutDirectives(value);
  if (kept === undefined) delete result[key];
  else setOwn(result, key, kept);
}

/** A value without nulls and without what has directives; `undefined` where it has one itself. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDirectives).filter((item) => item !== undefined);
  if (!isJsonObject(value)) return value;
  if (own(value, DIRECTIVE) !== undefined) return undefined;
  const kept: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) {
    if (member === null) continue;
    const inner = withoutDirectives(member);
    if (inner !== undefined) setOwn(kept, key, inner);
  }
  return kept;
}

function mergeList(
  target: readonly unknown[],
  patch: readonly unknown[],
  schema: Schema,
  orderOf: () => readonly unknown[] | undefined,
): readonly unknown[] {
  const key = schema.patchMergeKey;
  mustBeAlike(target, patch);
  if (key === undefined) {
    // A list of scalars that merges is a set.
    const added = patch.filter((item) => !target.some((present) => deepEqual(present, item)));
    return order([...target, ...new Set(added)], orderOf() ?? patch, target, undefined);
  }
  const items = patch as readonly JsonObject[];
  for (const item of items) {
    if (!isJsonObject(item)) throw new PatchError(`an element of a list that merges by ${key} must be an object`);
    const directive = own(item, DIRECTIVE);
    if (directive === "merge") throw failed("merging lists cannot yet be specified in the patch");
    if (directive === "delete" && own(item, key) === undefined) throw noKey(item, key);
    if (directive !== undefined && directive !== "replace" && directive !== "delete")
      throw unknownDirective(directive, item);
  }
  // Elements with a directive are about others and stay out themselves.
  if (items.some((item) => own(item, DIRECTIVE) === "replace"))
    return items.filter((item) => own(item, DIRECTIVE) === undefined);
  let result = [...target];
  for (const item of items) {
    const value = own(item, key);
    if (value === undefined) throw noKey(item, key);
    const isSame = (other: unknown) => isJsonObject(other) && deepEqual(own(other, key), value);
    if (own(item, DIRECTIVE) === "delete") {
      result = result.filter((other) => !isSame(other));
      continue;
    }
    const at = result.findIndex(isSame);
    // A new element is taken as it was sent, with directives that stand in it.
    if (at < 0) result.push(item);
    else result[at] = mergeObject(result[at] as JsonObject, item, schema.items);
  }
  const kept = items.filter((item) => own(item, DIRECTIVE) !== "delete");
  return order(result, orderOf() ?? kept, target, key);
}

/** What identifies an element: its merge key, or itself. An order names elements by objects that hold just the key. */
const identityOf = (item: unknown, key: string | undefined) =>
  JSON.stringify(key === undefined ? item : isJsonObject(item) ? own(item, key) : item);

/** Refuses an order that contradicts the order of the elements that are sent with it. */
function checkOrder(wanted: readonly unknown[], patch: readonly unknown[], key: string | undefined): void {
  if (wanted.length === 0 || patch.length === 0) return;
  const kept = patch.filter((item) => !isJsonObject(item) || own(item, DIRECTIVE) === undefined);
  let next = 0;
  for (const [at, item] of kept.entries()) {
    if (next >= wanted.length && at < kept.length) throw disordered(patch, wanted);
    for (; next < wanted.length; next++) {
      if (key !== undefined) for (const one of [item, wanted[next]]) mustHaveKey(one, key);
      if (identityOf(item, key) === identityOf(wanted[next], key)) break;
    }
    if (next >= wanted.length) throw disordered(patch, wanted);
    next++;
  }
}

const disordered = (patch: readonly unknown[], wanted: readonly unknown[]) =>
  failed(`The order in patch list:\n${goText(patch)}\n doesn't match $setElementOrder list:\n${goText(wanted)}\n`);

function mustHaveKey(item: unknown, key: string): void {
  if (!isJsonObject(item)) throw failed(`expected a map[string]interface {}, but received a ${goType(item)}`);
  if (own(item, key) === undefined) throw noKey(item, key);
}

/**
 * Elements in the order that is wanted, then those nobody named, in their own order; what the server had in front of a
 * named element stays in front of it.
 */
function order(
  list: readonly unknown[],
  wanted: readonly unknown[],
  server: unknown,
  key: string | undefined,
): readonly unknown[] {
  const positions = (items: readonly unknown[]) => new Map(items.map((item, at) => [identityOf(item, key), at]));
  const wantedAt = positions(wanted);
  const serverAt = positions(Array.isArray(server) ? server : []);
  const named: unknown[] = [];
  const others: unknown[] = [];
  for (const item of list) (wantedAt.has(identityOf(item, key)) ? named : others).push(item);
  if (named.length === 0) return list;
  named.sort((a, b) => (wantedAt.get(identityOf(a, key)) ?? 0) - (wantedAt.get(identityOf(b, key)) ?? 0));
  const result: unknown[] = [];
  let next = 0;
  for (const item of named) {
    const at = serverAt.get(identityOf(item, key));
    for (; at !== undefined && next < others.length; next++) {
      const before = serverAt.get(identityOf(others[next], key));
      if (before === undefined || before > at) break;
      result.push(others[next]);
    }
    result.push(item);
  }
  return [...result, ...others.slice(next)];
}

/** A value as Go prints it in kube-apiserver's messages. */
export function goText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goText).join(" ")}]`;
  if (isJsonObject(value))
    return `map[${Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => `${key}:${goText(member)}`)
      .join(" ")}]`;
  if (typeof value === "number") return goNumber(value);
  return value === null ? "<nil>" : String(value);
}

/** Whole numbers are whole to Go as well, unless they are too large. */
const goNumber = (value: number): string =>
  Number.isInteger(value) && Math.abs(value) < 2 ** 63 && !Object.is(value, -0)
    ? String(BigInt(value))
    : goFloat(value);

function without(object: JsonObject, key: string): JsonObject {
  const { [key]: _removed, ...rest } = object;
  return rest;
}
