import {
  badRequest,
  DNS_1035_LABEL,
  DNS_1035_LABEL_TEXT,
  type FieldError,
  fieldInvalid,
  fieldRequired,
  goSorted,
  isJsonObject,
  type KubeObject,
  type ObjectMeta,
  type Schema,
} from "#machinery";
import { decodeMetadata, embeddedMetadataErrors, unknownMetadata } from "../metadata.ts";

const holders = new WeakMap<Schema, boolean>();

/** Whether a schema has a place for whole objects somewhere; the root is one itself and does not count. */
function holdsObjects(schema: Schema, isRoot: boolean): boolean {
  const known = isRoot ? undefined : holders.get(schema);
  if (known !== undefined) return known;
  const isOne = !isRoot && schema.source["x-kubernetes-embedded-resource"] === true;
  const below = [
    ...Object.keys(schema.source.properties ?? {}).map((name) => schema.property(name)),
    schema.items,
    schema.values,
  ];
  const found = isOne || below.some((child) => child !== undefined && holdsObjects(child, false));
  if (!isRoot) holders.set(schema, found);
  return found;
}

const roots = new WeakMap<Schema, boolean>();

/** Whether objects of a schema may hold whole objects. */
function mayHoldObjects(schema: Schema): boolean {
  let isNeeded = roots.get(schema);
  if (isNeeded === undefined) roots.set(schema, (isNeeded = holdsObjects(schema, true)));
  return isNeeded;
}

/**
 * Reads the objects inside a custom object as objects are read: heads are texts, and metadata has the form of all
 * metadata. What it does not know is dropped and named in `unknown`. Throws a 400 for what is of another type.
 */
export function readEmbedded(
  schema: Schema,
  object: KubeObject,
  unknown: string[],
  { kind, version }: { readonly kind: string; readonly version: string },
): KubeObject {
  if (!mayHoldObjects(schema)) return object;
  const refuse = (path: string, value: unknown, why: string) =>
    badRequest(
      `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind}: ${path}: Invalid value: ${goSorted(value)}: ${why}`,
    );
  const read = (at: Schema, value: unknown, path: string): unknown => {
    if (path !== "" && !holdsObjects(at, false)) return value;
    if (Array.isArray(value)) {
      const { items } = at;
      return items === undefined ? value : value.map((item, index) => read(items, item, `${path}[${index}]`));
    }
    if (!isJsonObject(value)) return value;
    const isObject = path !== "" && at.source["x-kubernetes-embedded-resource"] === true;
    const result: Record<string, unknown> = { ...value };
    for (const [name, member] of Object.entries(value)) {
      const place = path === "" ? name : `${path}.${name}`;
      if (isObject && (name === "apiVersion" || name === "kind")) {
        if (typeof member !== "string") throw refuse(place, member, "must be a string");
      } else if (isObject && name === "metadata") {
        result[name] = decodeMetadata(member, { kind: { kind }, origin: "custom" }, (why) =>
          refuse(place, member, why),
        );
        unknown.push(...unknownMetadata(member).map((text) => `${path}.${text}`));
      } else {
        const child = at.property(name);
        if (child !== undefined) result[name] = read(child, member, place);
      }
    }
    return result;
  };
  return read(schema, object, "") as KubeObject;
}

/** What is wrong with the heads of the objects inside a custom object; `isRoot` says that it is no such object itself. */
export function embeddedErrors(schema: Schema, value: unknown, path = "", isRoot = true): readonly FieldError[] {
  if (isRoot && !mayHoldObjects(schema)) return [];
  const errors: FieldError[] = [];
  const look = (at: Schema, found: unknown, place: string, isOutside: boolean): void => {
    if (!isOutside && !holdsObjects(at, false)) return;
    if (Array.isArray(found)) {
      const { items } = at;
      if (items !== undefined)
        for (const [index, item] of found.entries()) look(items, item, `${place}[${index}]`, false);
    } else if (isJsonObject(found)) {
      if (!isOutside && at.source["x-kubernetes-embedded-resource"] === true) errors.push(...headErrors(found, place));
      for (const [name, member] of Object.entries(found)) {
        const child = at.property(name);
        const inside = at.declares(name) ? (place === "" ? name : `${place}.${name}`) : `${place}[${name}]`;
        if (child !== undefined) look(child, member, inside, false);
      }
    }
  };
  look(schema, value, path, isRoot);
  return errors;
}

function headErrors(object: Readonly<Record<string, unknown>>, path: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const at = (name: string) => (path === "" ? name : `${path}.${name}`);
  for (const name of ["apiVersion", "kind"]) {
    const given = object[name];
    if (given === undefined) errors.push(fieldRequired(at(name)));
    else if (typeof given !== "string") errors.push(fieldInvalid(at(name), given, "must be a string"));
    else if (given === "") errors.push(fieldInvalid(at(name), given, "must not be empty"));
    else if (name === "apiVersion" && given.split("/").length > 2)
      errors.push(fieldInvalid(at(name), given, `unexpected GroupVersion string: ${given}`));
    else if (name === "kind" && !DNS_1035_LABEL.test(given.toLowerCase()))
      errors.push(
        fieldInvalid(at(name), given, `may have mixed case, but should otherwise match: ${DNS_1035_LABEL_TEXT}`),
      );
  }
  const { metadata } = object;
  if (metadata === undefined) return errors;
  let read: ObjectMeta;
  try {
    read = decodeMetadata(metadata, { kind: { kind: "" }, origin: "custom" }, (why) => new Error(why));
  } catch (error) {
    return [...errors, fieldInvalid(at("metadata"), metadata, error instanceof Error ? error.message : String(error))];
  }
  return [...errors, ...embeddedMetadataErrors(read, at("metadata"))];
}
