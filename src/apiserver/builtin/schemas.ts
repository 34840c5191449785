import type { JsonSchema } from "#machinery";
import { schemasJson } from "../data/generated-schemas.ts";

let schemas: Readonly<Record<string, JsonSchema>> | undefined;

/** Every published schema, by its long name. */
export function builtinSchemas(): Readonly<Record<string, JsonSchema>> {
  schemas ??= JSON.parse(schemasJson) as Readonly<Record<string, JsonSchema>>;
  return schemas;
}

/** A place in a schema where either a schema stands, which is read as one, or something else. */
export const SCHEMA_OR_OTHER = /^(.+\.JSONSchemaProps)Or(?:Array|Bool|StringArray)$/;
const NOTHING_IN_IT = /\.CustomResourceSubresourceStatus$/;
const refined = new Map<string, JsonSchema>();

/** A published schema as its values are read: some of them say less of themselves than Go's types do. */
export function resolveBuiltin(ref: string): JsonSchema | undefined {
  const name = ref.slice("#/components/schemas/".length);
  const published = builtinSchemas()[name];
  const schemaName = SCHEMA_OR_OTHER.exec(name)?.[1];
  if (published === undefined || (schemaName === undefined && !NOTHING_IN_IT.test(name))) return published;
  let schema = refined.get(name);
  if (schema === undefined) {
    const properties = (schemaName === undefined ? undefined : builtinSchemas()[schemaName]?.properties) ?? {};
    schema = { ...published, properties, ...(schemaName === undefined ? {} : { "x-lenient": true }) };
    refined.set(name, schema);
  }
  return schema;
}
