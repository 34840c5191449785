import type { JsonSchema } from "#machinery";
import { schemasJson } from "../data/generated-schemas.ts";

let schemas: Readonly<Record<string, JsonSchema>> | undefined;

/** Every published schema, by its long name. */
export function builtinSchemas(): Readonly<Record<string, JsonSchema>> {
  schemas ??= JSON.parse(schemasJson) as Readonly<Record<string, JsonSchema>>;
  return schemas;
}

export const resolveBuiltin = (ref: string): JsonSchema | undefined =>
  builtinSchemas()[ref.slice("#/components/schemas/".length)];
