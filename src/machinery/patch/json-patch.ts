import { deepEqual } from "#base";

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
}

/** Says which operation could not be carried out, and why. */
export class PatchError extends Error {}

export function parsePointer(pointer: string): string[] {
  if (pointer === "") return [];
  if (!pointer.startsWith("/")) throw new PatchError(`invalid JSON pointer ${JSON.stringify(pointer)}`);
  return pointer
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** Applies the operations in order. The input is not changed; what the patch does not touch is shared. */
export function applyJsonPatch<T>(
  document: T,
  patch: readonly JsonPatchOperation[],
  options: JsonPatchOptions = {},
): T {
  let result: unknown = document;
  for (const operation of patch) result = applyOne(result, operation, options);
  return result as T;
}

function applyOne(document: unknown, operation: JsonPatchOperation, options: JsonPatchOptions): unknown {
  const { op, path } = operation;
  if (typeof path !== "string") throw new PatchError(`${op} operation without a path`);
  const steps = parsePointer(path);
  switch (op) {
    case "add":
      return change(document, steps, { type: "add", value: operation.value ?? null }, path, options);
    case "replace":
      return change(document, steps, { type: "replace", value: operation.value ?? null }, path, options);
    case "remove":
      return change(document, steps, { type: "remove" }, path, options);
    case "test": {
      const found = read(document, steps);
      if (!deepEqual(found ?? null, operation.value ?? null))
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
      const value = read(document, parsePointer(operation.from ?? ""));
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
  if (!/^(?:-?(?:0|[1-9]\d*))$/.test(step)) return undefined;
  let index = Number(step);
  if (index < 0) index += length + (allowsEnd ? 1 : 0);
  return index >= 0 && index < length + (allowsEnd ? 1 : 0) ? index : undefined;
}

type Change = { readonly type: "add" | "replace"; readonly value: unknown } | { readonly type: "remove" };

function change(
  value: unknown,
  steps: readonly string[],
  wanted: Change,
  path: string,
  options: JsonPatchOptions,
): unknown {
  const [step, ...rest] = steps;
  const verb = wanted.type;
  const missing = () =>
    new PatchError(`${verb} operation does not apply: doc is missing path: ${JSON.stringify(path)}: missing value`);
  if (step === undefined) return wanted.type === "remove" ? null : wanted.value;
  if (Array.isArray(value)) {
    const index = indexOf(step, value.length, wanted.type === "add" && rest.length === 0);
    if (index === undefined) {
      if (wanted.type === "remove" && options.allowsMissingRemove) return value;
      throw new PatchError(
        `${verb} operation does not apply: doc is missing path: ${JSON.stringify(path)}: invalid index referenced`,
      );
    }
    const copy = [...value];
    if (rest.length > 0) copy[index] = change(copy[index], rest, wanted, path, options);
    else if (wanted.type === "remove") copy.splice(index, 1);
    else if (wanted.type === "add") copy.splice(index, 0, wanted.value);
    else copy[index] = wanted.value;
    return copy;
  }
  if (typeof value !== "object" || value === null) throw missing();
  const object = value as Record<string, unknown>;
  const exists = Object.hasOwn(object, step);
  if (rest.length > 0) {
    if (!exists || object[step] === null) {
      if (wanted.type === "add" && options.createsParents)
        return { ...object, [step]: change(rest[0] === "-" || rest[0] === "0" ? [] : {}, rest, wanted, path, options) };
      if (wanted.type === "remove" && options.allowsMissingRemove) return value;
      throw missing();
    }
    return { ...object, [step]: change(object[step], rest, wanted, path, options) };
  }
  if (wanted.type === "remove") {
    if (!exists) {
      if (options.allowsMissingRemove) return value;
      throw new PatchError(
        `remove operation does not apply: doc is missing path: ${JSON.stringify(path)}: missing value`,
      );
    }
    const { [step]: _removed, ...left } = object;
    return left;
  }
  if (wanted.type === "replace" && !exists)
    throw new PatchError(`replace operation does not apply: doc is missing key: ${path}: missing value`);
  return { ...object, [step]: wanted.value };
}
