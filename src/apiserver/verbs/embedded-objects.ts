import { badRequest, isJsonObject, type KubeObject, type Schema } from "#machinery";
import { decodeMetadata, unknownMetadata } from "../metadata.ts";

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
  let isNeeded = roots.get(schema);
  if (isNeeded === undefined) roots.set(schema, (isNeeded = holdsObjects(schema, true)));
  if (!isNeeded) return object;
  const refuse = (path: string, value: unknown, why: string) =>
    badRequest(
      `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind}: ${path}: Invalid value: ${JSON.stringify(value)}: ${why}`,
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
