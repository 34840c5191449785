/**
 * The old form of published schemas, OpenAPI v2: as JSON, and in the protobuf form of the gnostic project, which Go
 * clients ask for first (`application/com.github.proto-openapi.spec.v2@v1.0+protobuf`).
 */
import protobuf from "protobufjs/minimal.js";
import { isJsonObject, type JsonSchema } from "#machinery";

const { Writer } = protobuf;
type Json = Readonly<Record<string, unknown>>;

/** Members that only the newer form has words for. */
const UNSAID = new Set(["nullable", "anyOf", "oneOf", "not"]);

/** A schema in the old form. A reference stands alone there, and what is one of several types is a text. */
export function schemaV2(schema: JsonSchema): Json {
  const only = schema.type === undefined && schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined;
  const { allOf, properties, items, additionalProperties, $ref, ...rest } = schema;
  const reference = $ref ?? only;
  const isEither = schema.oneOf !== undefined && schema.type === undefined;
  return {
    ...Object.fromEntries(Object.entries(rest).filter(([name]) => !UNSAID.has(name))),
    ...(isEither ? { type: "string" } : {}),
    ...(reference === undefined ? {} : { $ref: reference.replace("#/components/schemas/", "#/definitions/") }),
    ...(allOf === undefined || only !== undefined ? {} : { allOf: allOf.map(schemaV2) }),
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(properties).map(([name, child]) => [name, schemaV2(child)])) }),
    ...(items === undefined || Array.isArray(items) ? {} : { items: schemaV2(items) }),
    ...(additionalProperties === undefined
      ? {}
      : {
          additionalProperties:
            typeof additionalProperties === "object" ? schemaV2(additionalProperties) : additionalProperties,
        }),
  };
}

/** Writes members of a message. `nested` gives the bytes of what stands inside. */
class Message {
  readonly #writer = Writer.create();
  text(field: number, value: unknown): this {
    if (typeof value === "string" && value !== "") this.#writer.uint32((field << 3) | 2).string(value);
    return this;
  }
  texts(field: number, values: unknown): this {
    for (const value of Array.isArray(values) ? (values as readonly unknown[]) : [])
      this.#writer.uint32((field << 3) | 2).string(String(value));
    return this;
  }
  number(field: number, value: unknown): this {
    if (typeof value === "number") this.#writer.uint32((field << 3) | 1).double(value);
    return this;
  }
  integer(field: number, value: unknown): this {
    if (typeof value === "number") this.#writer.uint32(field << 3).int64(value);
    return this;
  }
  flag(field: number, value: unknown): this {
    if (value === true) this.#writer.uint32(field << 3).bool(true);
    return this;
  }
  nested(field: number, bytes: Uint8Array | undefined): this {
    if (bytes !== undefined) this.#writer.uint32((field << 3) | 2).bytes(bytes);
    return this;
  }
  done(): Uint8Array {
    return this.#writer.finish();
  }
}

/** Any value, as a line of YAML; JSON is one. */
const anyBytes = (value: unknown) => new Message().text(2, `${JSON.stringify(value)}\n`).done();
const namedAny = (name: string, value: unknown) => new Message().text(1, name).nested(2, anyBytes(value)).done();

function extensions(message: Message, field: number, value: Json): Message {
  for (const [name, member] of Object.entries(value))
    if (name.startsWith("x-")) message.nested(field, namedAny(name, member));
  return message;
}

function schemasBytes(schemas: Json): Uint8Array {
  const message = new Message();
  for (const [name, schema] of Object.entries(schemas))
    message.nested(
      1,
      new Message()
        .text(1, name)
        .nested(2, schemaBytes(schema as Json))
        .done(),
    );
  return message.done();
}

function schemaBytes(schema: Json): Uint8Array {
  const { additionalProperties: more, items, properties } = schema;
  const message = new Message()
    .text(1, schema["$ref"])
    .text(2, schema["format"])
    .text(3, schema["title"])
    .text(4, schema["description"])
    .nested(5, schema["default"] === undefined ? undefined : anyBytes(schema["default"]))
    .number(6, schema["multipleOf"])
    .number(7, schema["maximum"])
    .flag(8, schema["exclusiveMaximum"])
    .number(9, schema["minimum"])
    .flag(10, schema["exclusiveMinimum"])
    .integer(11, schema["maxLength"])
    .integer(12, schema["minLength"])
    .text(13, schema["pattern"])
    .integer(14, schema["maxItems"])
    .integer(15, schema["minItems"])
    .flag(16, schema["uniqueItems"])
    .integer(17, schema["maxProperties"])
    .integer(18, schema["minProperties"])
    .texts(19, schema["required"]);
  for (const value of Array.isArray(schema["enum"]) ? (schema["enum"] as readonly unknown[]) : [])
    message.nested(20, anyBytes(value));
  if (isJsonObject(more)) message.nested(21, new Message().nested(1, schemaBytes(more)).done());
  else message.nested(21, more === true ? new Message().flag(2, true).done() : undefined);
  message
    .nested(22, schema["type"] === undefined ? undefined : new Message().texts(1, [schema["type"]]).done())
    .nested(23, isJsonObject(items) ? new Message().nested(1, schemaBytes(items)).done() : undefined);
  for (const one of Array.isArray(schema["allOf"]) ? (schema["allOf"] as readonly Json[]) : [])
    message.nested(24, schemaBytes(one));
  message.nested(25, isJsonObject(properties) ? schemasBytes(properties) : undefined);
  return extensions(message, 31, schema).done();
}

const METHODS: readonly (readonly [name: string, field: number])[] = [
  ["get", 2],
  ["put", 3],
  ["post", 4],
  ["delete", 5],
  ["patch", 8],
];

function operationBytes(operation: Json): Uint8Array {
  const answer = new Message().text(1, "OK").done();
  const code = new Message().text(1, "200").nested(2, new Message().nested(1, answer).done()).done();
  const message = new Message()
    .text(5, operation["operationId"])
    .texts(6, operation["produces"])
    .texts(7, operation["consumes"])
    .nested(9, new Message().nested(1, code).done());
  return extensions(message, 13, operation).done();
}

function pathsBytes(paths: Json): Uint8Array {
  const message = new Message();
  for (const [name, item] of Object.entries(paths)) {
    const members = new Message();
    for (const [method, field] of METHODS) {
      const operation = (item as Json)[method];
      members.nested(field, isJsonObject(operation) ? operationBytes(operation) : undefined);
    }
    message.nested(2, new Message().text(1, name).nested(2, members.done()).done());
  }
  return message.done();
}

/** An OpenAPI v2 document. */
export interface DocumentV2 {
  readonly swagger: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Json;
  readonly definitions: Json;
}

/** The document in protobuf. */
export function encodeDocument({ swagger, info, paths, definitions }: DocumentV2): Buffer {
  return Buffer.from(
    new Message()
      .text(1, swagger)
      .nested(2, new Message().text(1, info.title).text(2, info.version).done())
      .nested(8, pathsBytes(paths))
      .nested(9, schemasBytes(definitions))
      .done(),
  );
}
