import { beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "#base";
import { type ApiError, getPath, type JsonSchema, type KubeObject, type ValidationRule } from "#machinery";
import { systemUser } from "../definition.ts";
import { createTestServer, eventually, type TestServer, watchInto } from "#testing";

let server: TestServer;
beforeEach(async () => {
  server = await createTestServer({ clock: systemClock });
});

const object = (properties: Readonly<Record<string, JsonSchema>>, rest: JsonSchema = {}): JsonSchema => ({
  type: "object",
  properties,
  ...rest,
});
const version = (name: string, spec: JsonSchema, rest: object = {}) => ({
  name,
  served: true,
  storage: name === "v1",
  schema: {
    openAPIV3Schema: object({ spec, status: { type: "object", "x-kubernetes-preserve-unknown-fields": true } }),
  },
  ...rest,
});
const anything: JsonSchema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
const crdOf = (plural: string, spec: object = {}, names: object = {}): KubeObject =>
  ({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.example.com` },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural, kind: plural.slice(0, 1).toUpperCase() + plural.slice(1, -1), ...names },
      versions: [version("v1", anything)],
      ...spec,
    },
  }) as unknown as KubeObject;

const CRDS = "apiextensions.k8s.io/v1/customresourcedefinitions";
const at = { namespace: "default" };
const readCrd = (name: string) => server.send("get", CRDS, { name: `${name}.example.com` });
const conditionsOf = (crd: KubeObject) =>
  Object.fromEntries(
    ((getPath(crd, "status", "conditions") ?? []) as { type: string; status: string; reason: string }[]).map(
      ({ type, status, reason }) => [type, `${status} ${reason}`],
    ),
  );
async function establish(crd: KubeObject): Promise<KubeObject> {
  await server.send("create", CRDS, { body: crd });
  const name = crd.metadata.name ?? "";
  return eventually(async () => {
    const found = await server.send("get", CRDS, { name });
    expect(conditionsOf(found)).toMatchObject({ Established: "True InitialNamesAccepted" });
    return found;
  });
}
const thing = (name: string, spec: unknown = {}, rest: object = {}): KubeObject =>
  ({ apiVersion: "example.com/v1", kind: "Thing", metadata: { name, ...rest }, spec }) as unknown as KubeObject;
const create = (body: KubeObject) => server.send("create", "example.com/v1/things", { ...at, body });
const refusal = (promise: Promise<unknown>): Promise<ApiError> =>
  promise.then(
    () => {
      throw new Error("it must be refused");
    },
    (error: ApiError) => error,
  );
const causes = (error: ApiError) =>
  (error.status.details?.causes ?? []).map(({ field, message }) => `${field}: ${message}`);

describe("names", () => {
  it("are accepted, kept from others, and given on when their owner goes", async () => {
    const first = await establish(crdOf("things", {}, { shortNames: ["th"], categories: ["all"] }));
    expect(getPath(first, "status")).toMatchObject({
      acceptedNames: { plural: "things", singular: "thing", kind: "Thing", listKind: "ThingList", shortNames: ["th"] },
      storedVersions: ["v1"],
    });
    expect(first.metadata.finalizers, "nothing is to be cleaned up before a deletion").toBeUndefined();
    await server.send("create", CRDS, { body: crdOf("thongs", {}, { shortNames: ["th"] }) });
    await eventually(async () =>
      expect(conditionsOf(await readCrd("thongs"))).toEqual({
        NamesAccepted: "False ShortNamesConflict",
        Established: "False NotAccepted",
      }),
    );
    expect(await refusal(server.send("list" as never, "example.com/v1/thongs", at))).toBeDefined();
    expect(server.server.registry.find("example.com", "v1", "thongs")).toBeUndefined();
    await server.send("delete", CRDS, { name: "things.example.com" });
    await eventually(async () =>
      expect(conditionsOf(await readCrd("thongs"))).toMatchObject({ Established: "True InitialNamesAccepted" }),
    );
  });
});

describe("deletion of a CRD", () => {
  it("removes its objects first, creates none meanwhile, and ends watches", async () => {
    await establish(crdOf("things"));
    await create(thing("free"));
    await create(thing("held", {}, { finalizers: ["example.com/hold"] }));
    const watch = watchInto(server, "example.com/v1/things", at);
    const marked = await server.send("delete", CRDS, { name: "things.example.com" });
    expect(marked.metadata.finalizers).toEqual(["customresourcecleanup.apiextensions.k8s.io"]);
    expect(conditionsOf(marked)).toMatchObject({ Terminating: "True InstanceDeletionPending" });
    await eventually(async () =>
      expect(conditionsOf(await readCrd("things"))).toMatchObject({ Terminating: "True InstanceDeletionInProgress" }),
    );
    const error = await refusal(create(thing("late")));
    expect(error).toMatchObject({ code: 403, reason: "Forbidden" });
    expect(error.message).toBe(
      'things.example.com "late" is forbidden: create not allowed while custom resource definition is terminating',
    );
    const held = await server.send("get", "example.com/v1/things", { ...at, name: "held" });
    await server.send("update", "example.com/v1/things", {
      ...at,
      name: "held",
      body: { ...held, metadata: { ...held.metadata, finalizers: [] } },
    });
    await eventually(async () => expect((await refusal(readCrd("things"))).reason).toBe("NotFound"), 5_000);
    expect(watch.seen.at(-1)).toMatch(/^closed/);
    expect((await refusal(create(thing("gone")))).code).toBe(404);
  });

  it("goes on after a restart", async () => {
    await establish(crdOf("things"));
    await create(thing("held", {}, { finalizers: ["example.com/hold"] }));
    await server.send("delete", CRDS, { name: "things.example.com" });
    const { backend } = server.server;
    server.stop();
    server = await createTestServer({ clock: systemClock, backend });
    await server.send("patch", "example.com/v1/things", {
      ...at,
      name: "held",
      patchType: "application/merge-patch+json",
      body: { metadata: { finalizers: null } },
    });
    await eventually(async () => expect((await refusal(readCrd("things"))).reason).toBe("NotFound"), 5_000);
  });
});

describe("versions", () => {
  const two = (storage: string) => ({
    versions: [
      { ...version("v1", anything), storage: storage === "v1" },
      { ...version("v2", anything), storage: storage === "v2", deprecated: true, deprecationWarning: "use v1" },
    ],
  });

  it("keep a list of those that are stored, until somebody has written all objects anew", async () => {
    const made = await establish(crdOf("things", two("v1")));
    await create(thing("a"));
    const spec = (crd: KubeObject, change: object) => ({
      ...crd,
      spec: { ...(getPath(crd, "spec") as object), ...change },
    });
    const moved = await server.send("update", CRDS, { name: "things.example.com", body: spec(made, two("v2")) });
    expect(getPath(moved, "status", "storedVersions")).toEqual(["v1", "v2"]);
    const only = { versions: [two("v2").versions[1]] };
    expect(
      causes(await refusal(server.send("update", CRDS, { name: "things.example.com", body: spec(moved, only) }))),
    ).toEqual([
      expect.stringMatching(
        /^status\.storedVersions\[0\]: Invalid value: "v1": missing from spec\.versions; v1 was previously a storage version/,
      ),
    ]);
    const a = await server.send("get", "example.com/v1/things", { ...at, name: "a" });
    const written = await server.send("update", "example.com/v1/things", { ...at, name: "a", body: a });
    expect(written.metadata.resourceVersion, "a write that changes nothing stores it anew").not.toBe(
      a.metadata.resourceVersion,
    );
    const again = await server.send("update", "example.com/v1/things", { ...at, name: "a", body: written });
    expect(again.metadata.resourceVersion).toBe(written.metadata.resourceVersion);
    const migrated = await server.send("update", CRDS, {
      name: "things.example.com",
      subresource: "status",
      body: { ...moved, status: { ...(getPath(moved, "status") as object), storedVersions: ["v2"] } },
    });
    await server.send("update", CRDS, { name: "things.example.com", body: spec(migrated, only) });
    await eventually(() => expect(server.server.registry.find("example.com", "v1", "things")).toBeUndefined());
    expect(await server.send("get", "example.com/v2/things", { ...at, name: "a" })).toMatchObject({
      apiVersion: "example.com/v2",
    });
    const answer = await server.inside.raw({ method: "GET", path: "/apis/example.com/v2/namespaces/default/things/a" });
    expect(answer.headers["warning"]).toBe('299 - "use v1"');
  });
});

describe("a schema that changed", () => {
  const text: JsonSchema = { type: "string" };
  const schemaWith = (properties: Readonly<Record<string, JsonSchema>>) => ({
    versions: [version("v1", object(properties))],
  });
  const change = (spec: object) =>
    server.send("patch", CRDS, {
      name: "things.example.com",
      patchType: "application/merge-patch+json",
      body: { spec },
    });
  const read = async (name: string) => server.send("get", "example.com/v1/things", { ...at, name });

  it("shows in what was stored before: defaults are there, what nobody knows any more is not", async () => {
    await establish(crdOf("things", schemaWith({ a: text })));
    await create(thing("old", { a: "x" }));
    await change(schemaWith({ a: text, b: { ...text, default: "later" } }));
    await eventually(async () => expect(getPath(await read("old"), "spec")).toEqual({ a: "x", b: "later" }));
    const all = { group: "example.com", version: "v1", resource: "things", namespace: "default" };
    const { items } = await server.inside.list(all);
    expect(items.map((item) => getPath(item, "spec"))).toEqual([{ a: "x", b: "later" }]);
    const page = await server.inside.raw({ method: "GET", path: "/apis/example.com/v1/namespaces/default/things" });
    const sent = JSON.parse(Buffer.from(page.body).toString()) as { items: readonly KubeObject[] };
    expect(sent.items.map((item) => getPath(item, "spec"))).toEqual([{ a: "x", b: "later" }]);
    const patched = await server.send("patch", "example.com/v1/things", {
      ...at,
      name: "old",
      patchType: "application/merge-patch+json",
      body: { metadata: { labels: { x: "y" } } },
    });
    expect([patched.metadata.generation, getPath(patched, "spec")]).toEqual([1, { a: "x", b: "later" }]);
    await create(thing("new", { a: "y", b: "own" }));
    await change(schemaWith({ b: text }));
    await eventually(async () => expect(getPath(await read("old"), "spec")).toEqual({ b: "later" }));
    expect(getPath(await read("new"), "spec")).toEqual({ b: "own" });
  });

  it("of another version says which of the members stored in this one are shown", async () => {
    const versions = [
      version("v1", object({ a: text, c: { ...text, default: "one" } })),
      version("v2", object({ b: { ...text, default: "two" }, c: text })),
    ];
    await establish(crdOf("things", { versions }));
    await create(thing("one", { a: "x" }));
    const shown = await server.send("get", "example.com/v2/things", { ...at, name: "one" });
    expect([shown.apiVersion, getPath(shown, "spec")]).toEqual(["example.com/v2", { c: "one" }]);
    expect(getPath(await read("one"), "spec")).toEqual({ a: "x", c: "one" });
  });
});

describe("schemas of CRDs", () => {
  const mistakes = async (spec: JsonSchema) =>
    causes(await refusal(server.send("create", CRDS, { body: crdOf("things", { versions: [version("v1", spec)] }) })));
  const here = "spec.validation.openAPIV3Schema.properties[spec]";

  it.each<[string, JsonSchema, readonly string[]]>([
    [
      "no type",
      object({ a: {} }),
      [`${here}.properties[a].type: Required value: must not be empty for specified object fields`],
    ],
    [
      "items without a type",
      object({ a: { type: "array", items: {} } }),
      [`${here}.properties[a].items.type: Required value: must not be empty for specified array items`],
    ],
    [
      "a type nobody knows",
      object({ a: { type: "text" } }),
      [
        `${here}.properties[a].type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string"`,
      ],
    ],
    [
      "null for a type",
      object({ a: { type: "null" } }),
      [
        `${here}.properties[a].type: Forbidden: type cannot be set to null, use nullable as an alternative`,
        `${here}.properties[a].type: Unsupported value: "null": supported values: "array", "boolean", "integer", "number", "object", "string"`,
      ],
    ],
    [
      "unique items",
      object({ a: { type: "array", items: { type: "string" }, uniqueItems: true } }),
      [
        `${here}.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic`,
      ],
    ],
    [
      "members both ways",
      object({ a: { type: "string" } }, { additionalProperties: { type: "string" } }),
      [`${here}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive`],
    ],
    [
      "a reference",
      object({ a: { type: "string", $ref: "#/x" } }),
      [`${here}.properties[a].$ref: Forbidden: $ref is not supported`],
    ],
    [
      "a list by a key that is none",
      object({
        a: {
          type: "array",
          items: object({ k: { type: "string" } }),
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["x"],
        },
      }),
      [
        `${here}.properties[a].x-kubernetes-list-map-keys: Invalid value: ["x"]: entries must all be names of item properties`,
      ],
    ],
    [
      "a key nobody must give",
      object({
        a: {
          type: "array",
          items: object({ k: { type: "string" } }),
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["k"],
        },
      }),
      [
        `${here}.properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property`,
      ],
    ],
    [
      "structure in an alternative",
      object({ a: { type: "string" } }, { anyOf: [{ properties: { a: { type: "string" } } }] }),
      [`${here}.anyOf[0].properties[a].type: Forbidden: must be empty to be structural`],
    ],
    [
      "a message longer than anybody knows",
      object({
        a: {
          type: "integer",
          "x-kubernetes-validations": [{ rule: "self > 1", messageExpression: "'is ' + string(self)" }],
        },
      }),
      expect.arrayContaining([
        expect.stringContaining(
          `${here}.properties[a].x-kubernetes-validations[0].messageExpression: Forbidden: estimated messageExpression cost exceeds budget`,
        ),
      ]),
    ],
    [
      "an object of another type of head",
      object({
        a: { type: "object", "x-kubernetes-embedded-resource": true, properties: { apiVersion: { type: "integer" } } },
      }),
      [`${here}.properties[a].properties[apiVersion].type: Invalid value: "integer": must be string`],
    ],
    [
      "a default its rules refuse",
      object({ a: { type: "string", default: "x", "x-kubernetes-validations": [{ rule: "self == 'y'" }] } }),
      [`${here}.properties[a].default: Invalid value: "x": failed rule: self == 'y'`],
    ],
    [
      "a default of another type",
      object({ a: { type: "integer", default: "x" } }),
      [`${here}.properties[a].default: Invalid value: "string":  in body must be of type integer: "string"`],
    ],
    [
      "a pattern that is none",
      object({ a: { type: "string", pattern: "(" } }),
      [
        expect.stringContaining(
          `${here}.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn't`,
        ) as string,
      ],
    ],
    [
      "a rule that does not compile",
      object({ a: { type: "string" } }, { "x-kubernetes-validations": [{ rule: "self.b == 1" }] }),
      [
        expect.stringContaining(
          `${here}.x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self.b == 1","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:5: undefined field 'b'`,
        ) as string,
      ],
    ],
    [
      "a rule that gives no answer",
      object({}, { "x-kubernetes-validations": [{ rule: "1" }] }),
      [
        `${here}.x-kubernetes-validations[0].rule: Invalid value: {"Rule":"1","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: cel expression must evaluate to a bool`,
      ],
    ],
    [
      "a rule about the past of what has none",
      object({
        a: {
          type: "array",
          items: { type: "string", maxLength: 5, "x-kubernetes-validations": [{ rule: "self == oldSelf" }] },
          maxItems: 3,
        },
      }),
      [
        `${here}.properties[a].items.x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within ${here}.properties[a]`,
      ],
    ],
    [
      "a rule that costs too much",
      object(
        { a: { type: "array", items: { type: "string" } } },
        { "x-kubernetes-validations": [{ rule: "self.a.all(x, self.a.all(y, x == y))" }] },
      ),
      [
        `${here}.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`,
        `${here}.x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema`,
        expect.stringContaining(
          "spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total",
        ) as string,
      ],
    ],
  ])("are refused with %s", async (_title, spec, wanted) => {
    expect(await mistakes(spec)).toEqual(wanted);
  });

  it.each<[string, object, string]>([
    [
      "a wrong name",
      { group: "other.com" },
      'metadata.name: Invalid value: "things.example.com": must be spec.names.plural+"."+spec.group',
    ],
    [
      "no storage version",
      { versions: [{ ...version("v1", anything), storage: false }] },
      'spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":false,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}]: must have exactly one version marked as storage version',
    ],
    [
      "no schema",
      { versions: [{ name: "v1", served: true, storage: true }] },
      "spec.versions[0].schema.openAPIV3Schema: Required value",
    ],
    [
      "a scope nobody knows",
      { scope: "World" },
      'spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced"',
    ],
    [
      "a scale outside the status",
      {
        versions: [
          version("v1", anything, {
            subresources: { scale: { specReplicasPath: ".spec.r", statusReplicasPath: ".spec.r" } },
          }),
        ],
      },
      'spec.subresources.scale.statusReplicasPath: Invalid value: ".spec.r": should be a json path under .status',
    ],
    [
      "a field to select by that is not there",
      { versions: [version("v1", object({}), { selectableFields: [{ jsonPath: ".spec.no" }] })] },
      'spec.selectableFields[0].jsonPath: Invalid value: ".spec.no": is an invalid path: does not refer to a valid field',
    ],
    [
      "a warning that cannot be printed",
      { versions: [version("v1", anything, { deprecated: true, deprecationWarning: "ä\nb" })] },
      'spec.versions[0].deprecationWarning: Invalid value: "ä\\nb": must only contain printable UTF-8 characters; non-printable character found at index 2',
    ],
    [
      "a conversion by nobody",
      { conversion: { strategy: "Webhook" } },
      "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
    ],
  ])("and of other parts: %s", async (_title, spec, wanted) => {
    expect(causes(await refusal(server.send("create", CRDS, { body: crdOf("things", spec) })))).toContain(wanted);
  });

  it("of Kubernetes' own groups need approval", async () => {
    const crd = { ...crdOf("things", { group: "x.k8s.io" }), metadata: { name: "things.x.k8s.io" } };
    expect(causes(await refusal(server.send("create", CRDS, { body: crd })))[0]).toMatch(
      /^metadata\.annotations\[api-approved\.kubernetes\.io\]: Required value: protected groups must have approval annotation/,
    );
    const approved = await establish({
      ...crd,
      metadata: { ...crd.metadata, annotations: { "api-approved.kubernetes.io": "unapproved, experimental-only" } },
    });
    expect(conditionsOf(approved)["KubernetesAPIApprovalPolicyConformant"]).toBe("False UnapprovedAnnotation");
  });
});

describe("a Scale of a custom resource", () => {
  const scale = { specReplicasPath: ".spec.n", statusReplicasPath: ".status.n" };
  beforeEach(() => establish(crdOf("things", { versions: [version("v1", anything, { subresources: { scale } })] })));

  it("asks for a count, and the object has none else", async () => {
    await create(thing("a", { n: 1 }));
    const scaled = (replicas: number) =>
      server.send("update", "example.com/v1/things", {
        ...at,
        name: "a",
        subresource: "scale",
        body: { apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name: "a" }, spec: { replicas } },
      });
    const error = await refusal(scaled(-1));
    expect(error.message).toBe(
      'Thing.example.com "a" is invalid: .spec.n: Invalid value: -1: should be a non-negative integer',
    );
    expect(getPath(await scaled(2), "spec", "replicas")).toBe(2);
    for (const [n, text] of [
      ["x", "Invalid value: 0: .spec.n accessor error: x is of the type string, expected int64"],
      [
        [1, { b: true }],
        "Invalid value: 0: .spec.n accessor error: [1 map[b:true]] is of the type []interface {}, expected int64",
      ],
      [1.5, "Invalid value: 0: .spec.n accessor error: 1.5 is of the type float64, expected int64"],
      [2 ** 31, "Invalid value: 2147483648: should be less than or equal to 2147483647"],
    ] as const)
      expect(causes(await refusal(create(thing("b", { n }))))).toEqual([`.spec.n: ${text}`]);
  });
});

describe("rules of custom resources", () => {
  const rules = object(
    {
      min: { type: "integer" },
      max: { type: "integer" },
      name: { type: "string", "x-kubernetes-validations": [{ rule: "self == oldSelf", message: "may not change" }] },
      once: {
        type: "string",
        "x-kubernetes-validations": [
          {
            rule: "!oldSelf.hasValue() || oldSelf.value() == self",
            optionalOldSelf: true,
            messageExpression: "'was ' + oldSelf.value()",
          },
        ],
      },
      ports: {
        type: "array",
        maxItems: 5,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["n"],
        items: object(
          { n: { type: "integer" }, v: { type: "integer" } },
          {
            required: ["n"],
            "x-kubernetes-validations": [
              { rule: "self.v >= oldSelf.v", reason: "FieldValueForbidden", fieldPath: ".v" },
            ],
          },
        ),
      },
    },
    {
      "x-kubernetes-validations": [
        {
          rule: "self.min <= self.max",
          messageExpression: "'max must be at least ' + (self.min == 3 ? '3' : 'min')",
          fieldPath: ".max",
        },
      ],
    },
  );
  beforeEach(() => establish(crdOf("things", { versions: [version("v1", rules)] })));
  const update = async (name: string, spec: object) => {
    const present = await server.send("get", "example.com/v1/things", { ...at, name });
    return server.send("update", "example.com/v1/things", { ...at, name, body: { ...present, spec } });
  };

  it("hold at creation, with their own message and place", async () => {
    expect(causes(await refusal(create(thing("a", { min: 3, max: 2 }))))).toEqual([
      "spec.max: Invalid value: max must be at least 3",
    ]);
    await create(thing("a", { min: 1, max: 2, name: "n", once: "o" }));
  });

  it("compare with the past, and of lists with the item of the same key", async () => {
    const spec = {
      min: 1,
      max: 2,
      name: "n",
      once: "o",
      ports: [
        { n: 1, v: 5 },
        { n: 2, v: 5 },
      ],
    };
    await create(thing("a", spec));
    const changed = {
      ...spec,
      name: "m",
      once: "p",
      ports: [
        { n: 2, v: 6 },
        { n: 1, v: 4 },
        { n: 3, v: 0 },
      ],
    };
    expect(causes(await refusal(update("a", changed)))).toEqual([
      'spec.name: Invalid value: "m": may not change',
      'spec.once: Invalid value: "p": was o',
      "spec.ports[1].v: Forbidden: failed rule: self.v >= oldSelf.v",
    ]);
  });

  it("ask what did not change as well where they ask for the past", async () => {
    const grows = object({ max: { type: "integer", "x-kubernetes-validations": [{ rule: "self > oldSelf" }] } });
    const crd = await readCrd("things");
    await create(thing("a", { min: 1, max: 2 }));
    await server.send("update", CRDS, {
      name: "things.example.com",
      body: { ...crd, spec: { ...(getPath(crd, "spec") as object), versions: [version("v1", grows)] } },
    });
    expect(causes(await refusal(update("a", { max: 2 })))).toEqual([
      "spec.max: Invalid value: 2: failed rule: self > oldSelf",
    ]);
    await update("a", { max: 3 });
  });

  it("are not run on what has the wrong shape, and name errors of their own", async () => {
    expect(causes(await refusal(create(thing("a", { min: "x", max: 2 }))))).toEqual([
      'spec.min: Invalid value: "string": spec.min in body must be of type integer: "string"',
      "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
    ]);
    expect(causes(await refusal(create(thing("a", { min: 1 }))))).toEqual([
      `spec: Invalid value: "object": no such key: max evaluating rule: self.min <= self.max`,
    ]);
  });

  it("name members by points and keys of maps in brackets, and refuse places that are none", async () => {
    const of = (...rules: readonly ValidationRule[]) =>
      object(
        { m: { type: "object", additionalProperties: { type: "string" } }, b: { type: "string" } },
        { "x-kubernetes-validations": rules },
      );
    const twice: ValidationRule = { rule: "false", fieldPath: ".m['k.l']", reason: "FieldValueDuplicate" };
    const others = crdOf("others", { versions: [version("v1", of(twice, { rule: "false", fieldPath: "['b']" }))] });
    await establish(others);
    const other = { ...thing("a", { m: { "k.l": "x" }, b: "x" }), apiVersion: "example.com/v1", kind: "Other" };
    expect(causes(await refusal(server.send("create", "example.com/v1/others", { ...at, body: other })))).toEqual([
      "spec.m[k.l]: Duplicate value",
      "spec.b: Invalid value: failed rule: false",
    ]);
    const wrong = ["b", ".b\n", ".m[x]", ".m['x", ".b.c", " "].map((fieldPath) => ({ rule: "true", fieldPath }));
    const refused = await refusal(
      server.send("create", CRDS, { body: crdOf("wrongs", { versions: [version("v1", of(...wrong))] }) }),
    );
    const place = (index: number) =>
      `spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[${index}].fieldPath: Invalid value: ${JSON.stringify(wrong[index]?.fieldPath)}`;
    expect(causes(refused)).toEqual([
      `${place(0)}: must be a valid path`,
      `${place(1)}: must not contain line breaks`,
      `${place(1)}: must be a valid path`,
      `${place(2)}: must be a valid path`,
      `${place(3)}: must be a valid path`,
      `${place(4)}: must be a valid path`,
      `${place(5)}: must be non-empty if specified`,
      `${place(5)}: must be a valid path`,
    ]);
  });

  it("let stay what was wrong before and did not change", async () => {
    const first = await create(thing("a", { min: 1, max: 2, once: "o" }));
    const crd = await readCrd("things");
    const stricter = object(
      { ...rules.properties, once: { type: "string", maxLength: 0 } },
      { "x-kubernetes-validations": [{ rule: "self.max > 10" }] },
    );
    await server.send("update", CRDS, {
      name: "things.example.com",
      body: { ...crd, spec: { ...(getPath(crd, "spec") as object), versions: [version("v1", stricter)] } },
    });
    const labelled = { ...first, metadata: { ...first.metadata, labels: { a: "b" } } };
    const heard: string[] = [];
    await server.server.execute(
      { verb: "update", group: "example.com", version: "v1", resource: "things", ...at, name: "a", body: labelled },
      { user: systemUser, warn: (message) => heard.push(message), tracksFields: true },
    );
    expect(heard).toEqual(["spec: Invalid value: failed rule: self.max > 10"]);
    expect(causes(await refusal(update("a", { min: 1, max: 3, once: "o" })))).toEqual([
      "spec: Invalid value: failed rule: self.max > 10",
    ]);
  });
});
