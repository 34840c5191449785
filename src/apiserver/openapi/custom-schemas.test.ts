import { expect, it } from "vitest";
import { type JsonSchema, Schema } from "#machinery";
import type { ResourceDefinition } from "../definition.ts";
import { customSchema } from "./custom-schemas.ts";

const definitionOf = (spec: JsonSchema) =>
  ({
    kind: { group: "example.com", version: "v1", kind: "Thing", resource: "things", namespaced: true },
    schema: Schema.compile({ type: "object", properties: { spec } }),
    selectableFields: ["spec.s"],
  }) as unknown as ResourceDefinition;

it("shows what the marks of a schema stand for, and which fields can be selected by", () => {
  const embedded = { type: "object", "x-kubernetes-embedded-resource": true, required: ["spec"] };
  const definition = definitionOf({
    type: "object",
    properties: { either: { "x-kubernetes-int-or-string": true }, list: { type: "array", items: embedded } },
  });
  const shown = customSchema(definition);
  expect(shown.properties?.["spec"]?.properties?.["either"]?.anyOf).toEqual([{ type: "integer" }, { type: "string" }]);
  expect(shown.properties?.["spec"]?.properties?.["list"]?.items).toMatchObject({
    required: ["spec", "kind", "apiVersion"],
    properties: { apiVersion: { type: "string" }, kind: { type: "string" }, metadata: { allOf: [{}] } },
  });
  expect(shown).toMatchObject({
    "x-kubernetes-selectable-fields": [{ fieldPath: "spec.s" }],
    "x-kubernetes-group-version-kind": [{ group: "example.com", version: "v1", kind: "Thing" }],
  });
});
