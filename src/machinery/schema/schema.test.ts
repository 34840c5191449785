import { describe, expect, it } from "vitest";
import type { JsonSchema } from "./json-schema.ts";
import { Schema } from "./schema.ts";

const object = (properties: Readonly<Record<string, JsonSchema>>, rest: JsonSchema = {}): JsonSchema => ({
  type: "object",
  properties,
  ...rest,
});
const mistakes = (schema: JsonSchema, value: unknown) =>
  Schema.compile({ ...schema })
    .validate({ v: value })
    .map(({ field, message }) => `${field}: ${message}`);
const ofValue = (schema: JsonSchema, value: unknown) => mistakes(object({ v: schema }), value);

describe("pruning", () => {
  it.each(["constructor", "toString", "hasOwnProperty", "__proto__", "valueOf"])(
    "drops and names an unknown member called %s, and keeps one the schema knows",
    (name) => {
      const sent = JSON.parse(`{"spec":{"${name}":"x","known":1}}`) as unknown;
      const unknown: string[] = [];
      const plain = Schema.compile(object({ spec: object({ known: { type: "integer" } }) }));
      expect(plain.prune(sent, unknown)).toEqual({ spec: { known: 1 } });
      expect(unknown).toEqual([`spec.${name}`]);
      const properties = JSON.parse(`{"${name}":{"type":"string","default":"d"},"known":{"type":"integer"}}`) as Record<
        string,
        JsonSchema
      >;
      const knowing = Schema.compile(object({ spec: object(properties) }));
      expect(JSON.stringify(knowing.prune(sent, unknown))).toBe(JSON.stringify(sent));
      expect(JSON.stringify(knowing.applyDefaults(JSON.parse('{"spec":{}}')))).toBe(`{"spec":{"${name}":"d"}}`);
      const wrong = JSON.parse(`{"spec":{"${name}":7}}`) as unknown;
      expect(knowing.validate(wrong)).toMatchObject([{ field: `spec.${name}`, type: "FieldValueTypeInvalid" }]);
    },
  );

  it("keeps what a structural schema says to keep, and only that", () => {
    const kept = (schema: JsonSchema) => Schema.compile(object({ v: schema })).prune({ v: { a: { b: 1 } } }, []);
    expect(kept({ type: "object" })).toEqual({ v: {} });
    expect(kept({ type: "object", "x-kubernetes-preserve-unknown-fields": true })).toEqual({ v: { a: { b: 1 } } });
    expect(kept({ type: "object", additionalProperties: true })).toEqual({ v: { a: { b: 1 } } });
    expect(kept({ type: "object", additionalProperties: { type: "object" } })).toEqual({ v: { a: {} } });
    expect(
      kept(object({ a: { type: "object" } }, { "x-kubernetes-preserve-unknown-fields": true })),
      "a known member of an open object is still pruned",
    ).toEqual({ v: { a: {} } });
  });

  it("drops nulls that are not allowed, so that defaults come in their place", () => {
    const schema = Schema.compile(
      object({ a: { type: "string", default: "x" }, b: { type: "string", nullable: true }, c: { type: "integer" } }),
    );
    expect(schema.applyDefaults(schema.prune({ a: null, b: null, c: null }, []))).toEqual({ a: "x", b: null });
    const kept = schema.prune({ a: null, b: null, c: null }, [], "", true, undefined, true);
    expect(kept).toEqual({ b: null, c: null });
    expect(schema.validate(kept).map(({ field }) => field)).toEqual(["c"]);
  });
});

describe("defaults", () => {
  it("fills in false, 0 and the empty text of a CRD also where the member is required", () => {
    const required = ["flag", "count", "text"];
    const properties: Record<string, JsonSchema> = {
      flag: { type: "boolean", default: false },
      count: { type: "integer", default: 0 },
      text: { type: "string", default: "" },
    };
    expect(Schema.compile(object(properties, { required })).applyDefaults({})).toEqual({
      flag: false,
      count: 0,
      text: "",
    });
    expect(
      Schema.compile(object(properties, { required }), { isPublished: true }).applyDefaults({}),
      "in schemas published from Go types they mean absent",
    ).toEqual({});
  });

  it("fills in members of defaults, of map values and of list items", () => {
    const item = object({ port: { type: "integer", default: 80 } });
    const schema = Schema.compile(
      object({
        a: { ...item, default: {} },
        b: { type: "object", additionalProperties: item },
        c: { type: "array", items: item },
      }),
    );
    expect(schema.applyDefaults({ b: { x: {} }, c: [{}, { port: 1 }] })).toEqual({
      a: { port: 80 },
      b: { x: { port: 80 } },
      c: [{ port: 80 }, { port: 1 }],
    });
  });
});

describe("formats", () => {
  it.each<[string, readonly string[], readonly string[]]>([
    ["ipv4", ["10.0.0.1", "255.255.255.255", "01.2.3.4"], ["256.0.0.1", "1.2.3", "::1", ""]],
    [
      "ipv6",
      ["::", "::1", "2001:db8::8a2e:370:7334", "::ffff:1.2.3.4"],
      [":::", "1::2::3", "12345::", "1.2.3.4", "1:2:3"],
    ],
    ["cidr", ["10.0.0.0/8", "fd00::/64"], ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/8/8", "fd00::/129", "10.0.0.0/08"]],
    ["mac", ["00:1a:2b:3c:4d:5e", "001a.2b3c.4d5e"], ["00:1a:2b:3c:4d", "00:1a-2b:3c:4d:5e", "zz:1a:2b:3c:4d:5e"]],
    ["uri", ["https://example.com/a?b#c", "urn:x:y", "/path"], ["example.com", "http://a b", "%zz", ""]],
    ["email", ["a@example.com"], ["a", "a@", "@b", "a b@c", "a..b@c"]],
    ["hostname", ["example.com", "localhost"], ["", "-a.com", "a..b", "x".repeat(64)]],
    ["uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567", "123e4567-e89b-12d3-a456-42661417400g"]],
    ["uuid4", ["123e4567-e89b-42d3-a456-426614174000"], ["123e4567-e89b-12d3-a456-426614174000"]],
    ["byte", ["", "YQ==", "YWJj"], ["a", "YQ=", "?w=="]],
    ["date", ["2024-02-29"], ["2023-02-29", "2024-13-01", "2024-1-1"]],
    ["date-time", ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5+02:00"], ["2024-01-01", "2024-01-01T25:00:00Z", "x"]],
    ["duration", ["5s", "1h30m", "0", "-1.5h", "3 days"], ["5", "five", "", "1x"]],
    ["isbn", ["978-3-16-148410-0", "0-306-40615-2"], ["978-3-16-148410-1", "123"]],
    ["creditcard", ["4111 1111 1111 1111"], ["4111 1111 1111 1112"]],
    ["ssn", ["123-45-6789"], ["123-45-678"]],
    ["hexcolor", ["#fff", "00ff00"], ["#ff", "red"]],
    ["rgbcolor", ["rgb(1, 2, 255)"], ["rgb(1,2)", "rgb(1,2,256)"]],
    ["bsonobjectid", ["507f1f77bcf86cd799439011"], ["507f"]],
    ["k8s-short-name", ["abc-1"], ["Abc", "a.b"]],
    ["k8s-long-name", ["a.b-c"], ["a..b", "A"]],
    ["no-such-format", ["anything"], []],
  ])("%s: what fits and what does not", (format, right, wrong) => {
    for (const text of right) expect.soft(ofValue({ type: "string", format }, text), text).toEqual([]);
    for (const text of wrong)
      expect
        .soft(ofValue({ type: "string", format }, text), text)
        .toEqual([
          `v: Invalid value: ${JSON.stringify(text)}: v in body must be of type ${format}: ${JSON.stringify(text)}`,
        ]);
  });
});

describe("values", () => {
  it.each<[string, JsonSchema, unknown, readonly string[]]>([
    ["a multiple", { type: "number", multipleOf: 0.1 }, 0.3, []],
    [
      "no multiple",
      { type: "integer", multipleOf: 5 },
      7,
      ["v: Invalid value: 7: v in body should be a multiple of 5"],
    ],
    [
      "an exclusive bound",
      { type: "integer", minimum: 3, exclusiveMinimum: true },
      3,
      ["v: Invalid value: 3: v in body should be greater than 3"],
    ],
    [
      "an inclusive bound",
      { type: "integer", maximum: 3 },
      4,
      ["v: Invalid value: 4: v in body should be less than or equal to 3"],
    ],
    [
      "duplicates in whatever order of members",
      { type: "array", uniqueItems: true },
      [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ],
      ['v: Invalid value: [{"a":1,"b":2},{"b":2,"a":1}]: v in body shouldn\'t contain duplicates'],
    ],
    [
      "a set",
      { type: "array", items: { type: "string" }, "x-kubernetes-list-type": "set" },
      ["a", "b", "a"],
      ['v[2]: Duplicate value: "a"'],
    ],
    [
      "a list by key with a defaulted key",
      {
        type: "array",
        items: object({ name: { type: "string" }, protocol: { type: "string", default: "TCP" } }),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name", "protocol"],
      },
      [{ name: "a" }, { name: "a", protocol: "TCP" }],
      ['v[1]: Duplicate value: {"name":"a","protocol":"TCP"}'],
    ],
    [
      "an enum of numbers",
      { type: "integer", enum: [1, 2] },
      3,
      ['v: Unsupported value: 3: supported values: "1", "2"'],
    ],
    [
      "a pattern that would take for ever elsewhere",
      { type: "string", pattern: "^(a+)+$" },
      `${"a".repeat(40)}!`,
      [`v: Invalid value: "${"a".repeat(40)}!": v in body should match '^(a+)+$'`],
    ],
    ["characters, not bytes", { type: "string", maxLength: 2 }, "😀😀", []],
    [
      "no alternative",
      { oneOf: [{ required: ["a"] }, { required: ["b"] }], type: "object" },
      {},
      [
        '<nil>: Invalid value: "": "v" must validate one and only one schema (oneOf). Found none valid',
        "v.a: Required value",
      ],
    ],
    [
      "two alternatives",
      { oneOf: [{ required: ["a"] }, { required: ["b"] }], type: "object" },
      { a: 1, b: 1 },
      ['<nil>: Invalid value: "": "v" must validate one and only one schema (oneOf). Found 2 valid alternatives'],
    ],
    [
      "what must not be",
      { type: "string", not: { enum: ["x"] } },
      "x",
      ['<nil>: Invalid value: "": "v" must not validate the schema (not)'],
    ],
    [
      "a required member that every object inherits",
      object({}, { required: ["constructor"] }),
      {},
      ["v.constructor: Required value"],
    ],
  ])("%s", (_title, schema, value, wanted) => {
    expect(ofValue(schema, value)).toEqual(wanted);
  });
});

it("judges a text by a pattern as at first, however often and between however many others it comes", () => {
  const schema = Schema.compile(object({ v: { type: "string", pattern: "^[a-z]+[0-9]*$" } }));
  const isFine = (v: string) => schema.validate({ v }).length === 0;
  for (let round = 0; round < 3; round++)
    for (let at = 0; at < 50; at++) {
      expect(isFine(`fits${at}`)).toBe(true);
      expect(isFine(`${at}fits not`)).toBe(false);
      expect(isFine("x".repeat(70 + at))).toBe(true);
    }
});
