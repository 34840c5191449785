import type { JsonSchema } from "#machinery";
import type { ResourceDefinition } from "../definition.ts";

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const referenceTo = (name: string) => ({ $ref: `#/components/schemas/${META}.${name}` });

/** What every object says of itself, in our own words. */
const HEAD: Readonly<Record<string, JsonSchema>> = {
  apiVersion: { type: "string", description: "The version of this representation of the object." },
  kind: { type: "string", description: "The kind of this object." },
};
const METADATA: JsonSchema = { description: "Standard object metadata.", allOf: [referenceTo("ObjectMeta")] };
const EITHER: readonly JsonSchema[] = [{ type: "integer" }, { type: "string" }];

/** The schema of a custom kind as clients are shown it: with what all objects have, and what its marks stand for. */
export function customSchema({ kind, schema, selectableFields }: ResourceDefinition): JsonSchema {
  const { group, version, kind: name } = kind;
  const source = (schema?.source ?? { type: "object", "x-kubernetes-preserve-unknown-fields": true }) as JsonSchema;
  return {
    ...shown(source),
    properties: { ...HEAD, ...membersOf(source), metadata: METADATA },
    "x-kubernetes-group-version-kind": [{ group, version, kind: name }],
    ...(selectableFields === undefined
      ? {}
      : { "x-kubernetes-selectable-fields": selectableFields.map((fieldPath) => ({ fieldPath })) }),
  } as JsonSchema;
}

/** A schema with what its marks stand for: objects in it have heads, and what is a number or a text is one of both. */
function shown(schema: JsonSchema): JsonSchema {
  const { items, additionalProperties } = schema;
  const isObject = schema["x-kubernetes-embedded-resource"] === true;
  const members = membersOf(schema);
  return {
    ...schema,
    ...(isObject
      ? {
          properties: { ...HEAD, ...members, metadata: METADATA },
          required: [...(schema.required ?? []), "kind", "apiVersion"],
        }
      : Object.keys(members).length > 0
        ? { properties: members }
        : {}),
    ...(schema["x-kubernetes-int-or-string"] === true && schema.anyOf === undefined ? { anyOf: EITHER } : {}),
    ...(items !== undefined && !Array.isArray(items) ? { items: shown(items) } : {}),
    ...(typeof additionalProperties === "object" ? { additionalProperties: shown(additionalProperties) } : {}),
  } as JsonSchema;
}

const membersOf = ({ properties = {} }: JsonSchema): Readonly<Record<string, JsonSchema>> =>
  Object.fromEntries(Object.entries(properties).map(([name, child]) => [name, shown(child)]));
