import { deepEqual } from "#base";
import { isJsonObject, setOwn } from "../paths.ts";

/** One operation of RFC 6902. */
export interface JsonPatchOperation {
  readonly op: string;
  readonly path: string;
  readonly from?: string;
  readonly value?: unknown;
}

export interface JsonPatchOptions {
  /** Makes missing parents of an `add`: a list where `-` or `0` follows, else an object. Not RFC 6902; off by default. */
  readonly createsParents?: boolean;
  /** Lets `remove` pass where nothing is. */
  readonly allowsMissingRemove?: boolean;
  /** Lets `replace` add a member that is not there, as kube-apiserver does. */
  readonly replacesMissing?: boolean;
}

/** Says which operation could not be carried out, and why. */
export class PatchError extends Error {
  /** Whether it comes from so deep inside that a server has no better answer than that it failed. */
  readonly isFailure: boolean;
  constructor(message: string, isFailure = false) {
    super(message);
    this.isFailure = isFailure;
  }
}

export function parsePointer(pointer: string): string[] {
  if (pointer === "") return [];
  if (!pointer.includes("/")) throw new PatchError(`invalid JSON pointer ${JSON.stringify(pointer)}`);
  // What stands in front of the first slash is not looked at, as kube-apiserver does not.
  return pointer
    .slice(pointer.indexOf("/") + 1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** Bytes of JSON that the `copy` operations of one patch may add. */
const COPIED_BYTES_MAX = 3 * 1024 * 1024;

/** Applies the operations in order. The input is not changed; what the patch does not touch is shared. */
export function applyJsonPatch<T>(
  document: T,
  patch: readonly JsonPatchOperation[],
  options: JsonPatchOptions = {},
): T {
  let result: unknown = document;
  let copiedBytes = 0;
  for (const operation of patch) {
    if (!isJsonObject(operation)) throw new PatchError(`Unexpected kind: unknown`);
    const at = operation as JsonPatchOperation;
    if (at.op === "copy") {
      copiedBytes += JSON.stringify(read(result, parsePointer(at.from ?? "")) ?? null).length;
      if (copiedBytes > COPIED_BYTES_MAX)
        throw new PatchError(
          `Unable to complete the copy, the accumulated size increase of copy is ${copiedBytes}, exceeding the limit ${COPIED_BYTES_MAX}`,
        );
    }
    result = applyOne(result, at, options);
  }
  return result as T;
}

function applyOne(document: unknown, operation: JsonPatchOperation, options: JsonPatchOptions): unknown {
  const { op, path } = operation;
  if (typeof op !== "string") throw new PatchError(`Unexpected kind: unknown`);
  if (typeof path !== "string") throw new PatchError(`${op} operation without a path`);
  if ((op === "move" || op === "copy") && typeof operation.from !== "string")
    throw new PatchError(`${op} operation without a from`);
  // The document as a whole is neither moved nor copied.
  if ((op === "move" || op === "copy") && (operation.from === "" || path === ""))
    throw new PatchError(`${op} operation does not apply: doc is missing from path: ${operation.from}: missing value`);
  const steps = parsePointer(path);
  switch (op) {
    case "add":
      if (options.replacesMissing && path === "") throw new PatchError("add operation does not apply to the whole");
      return change(document, steps, { type: "add", value: operation.value ?? null }, path, options);
    case "replace":
      return change(document, steps, { type: "replace", value: operation.value ?? null }, path, options);
    case "remove":
      return change(document, steps, { type: "remove" }, path, options);
    case "test": {
      const found = read(document, steps);
      const isNowhere = found === undefined && !isJsonObject(read(document, steps.slice(0, -1)));
      if (isNowhere || !deepEqual(found ?? null, operation.value ?? null))
        throw new PatchError(`testing value ${path} failed: test failed`);
      return document;
    }
    case "move": {
      const from = parsePointer(operation.from ?? "");
      const value = read(document, from);
      if (value === undefined)
        throw new PatchError(
          `move operation does not apply: doc is missing from path: ${operation.from}: missing value`,
        );
      return change(
        change(document, from, { type: "remove" }, operation.from ?? "", options),
        steps,
        { type: "add", value },
        path,
        options,
      );
    }
    case "copy": {
      const from = parsePointer(operation.from ?? "");
      const found = read(document, from);
      // A member that is not there is copied as null, as kube-apiserver does.
      const isMissing = options.replacesMissing && isJsonObject(read(document, from.slice(0, -1)));
      const value = found === undefined && isMissing ? null : found;
      if (value === undefined)
        throw new PatchError(
          `copy operation does not apply: doc is missing from path: ${operation.from}: missing value`,
        );
      return change(document, steps, { type: "add", value }, path, options);
    }
    default:
      throw new PatchError(`Unexpected kind: ${op}`);
  }
}

function read(value: unknown, steps: readonly string[]): unknown {
  let at = value;
  for (const step of steps) {
    if (Array.isArray(at)) at = at[indexOf(step, at.length, false) ?? -1];
    else if (typeof at === "object" && at !== null && Object.hasOwn(at, step))
      at = (at as Record<string, unknown>)[step];
    else return undefined;
  }
  return at;
}

function indexOf(step: string, length: number, allowsEnd: boolean): number | undefined {
  if (step === "-") return allowsEnd ? length : undefined;
  if (!/^[+-]?\d+$/.test(step)) return undefined;
  let index = Number(step);
  if (index < 0) index += length + (allowsEnd ? 1 : 0);
  return index >= 0 && index < length + (allowsEnd ? 1 : 0) ? index : undefined;
}

type Change = { readonly type: "add" | "replace"; readonly value: unknown } | { readonly type: "remove" };

/** The value after one change at a place in it. It walks down and back up, as pointers may be thousands of steps long. */
function change(
  value: unknown,
  steps: readonly string[],
  wanted: Change,
  path: string,
  options: JsonPatchOptions,
): unknown {
  const last = steps[steps.length - 1];
  if (last === undefined) return wanted.type === "remove" ? null : wanted.value;
  // One of the operations quotes no path.
  const shown = wanted.type === "replace" ? path : JSON.stringify(path);
  const refuse = (why: string) =>
    new PatchError(`${wanted.type} operation does not apply: doc is missing path: ${shown}: ${why}`);
  const mayBeMissing = wanted.type === "remove" && options.allowsMissingRemove === true;
  const parents: (readonly [unknown, string | number])[] = [];
  let at = value;
  for (const [depth, step] of steps.slice(0, -1).entries()) {
    let next: unknown;
    if (Array.isArray(at)) {
      const index = indexOf(step, at.length, false);
      if (index === undefined) {
        if (mayBeMissing) return value;
        throw refuse("invalid index referenced");
      }
      parents.push([at, index]);
      next = at[index];
    } else if (isJsonObject(at)) {
      parents.push([at, step]);
      next = Object.hasOwn(at, step) ? at[step] : undefined;
    } else throw refuse("missing value");
    if ((next === undefined || next === null) && !Array.isArray(at)) {
      if (wanted.type === "add" && options.createsParents) {
        const following = steps[depth + 1];
        next = following === "-" || following === "0" ? [] : {};
      } else if (mayBeMissing) return value;
      else throw refuse("missing value");
    }
    at = next;
  }
  let made: unknown;
  if (Array.isArray(at)) {
    const index = indexOf(last, at.length, wanted.type === "add");
    if (index === undefined) {
      if (mayBeMissing) return value;
      throw refuse("invalid index referenced");
    }
    const copy: unknown[] = [...at];
    if (wanted.type === "remove") copy.splice(index, 1);
    else if (wanted.type === "add") copy.splice(index, 0, wanted.value);
    else copy[index] = wanted.value;
    made = copy;
  } else if (isJsonObject(at)) {
    const exists = Object.hasOwn(at, last);
    if (wanted.type === "remove" && !exists) {
      if (mayBeMissing) return value;
      throw refuse("missing value");
    }
    if (wanted.type === "replace" && !exists && !options.replacesMissing)
      throw new PatchError(`replace operation does not apply: doc is missing key: ${path}: missing value`);
    const copy: Record<string, unknown> = { ...at };
    if (wanted.type === "remove") delete copy[last];
    else setOwn(copy, last, wanted.value);
    made = copy;
  } else throw refuse("missing value");
  for (let depth = parents.length - 1; depth >= 0; depth--) {
    const [parent, step] = parents[depth] as readonly [unknown, string | number];
    if (Array.isArray(parent)) {
      const copy: unknown[] = [...parent];
      copy[step as number] = made;
      made = copy;
    } else {
      const copy: Record<string, unknown> = { ...(parent as object) };
      setOwn(copy, String(step), made);
      made = copy;
    }
  }
  return made;
}
