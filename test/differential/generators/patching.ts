/** Patches of every type, with everything that a patch may say, of built-in and custom objects, their statuses and scales. */
import fc from "fast-check";
import { type Json, readSamples, type Sample } from "../mutations.ts";
import { CONFIG_MAP, DEPLOYMENT, json, type Lines, mostly, posted, SERVICE, text, type Thing, WIRE } from "./common.ts";

const things = fc.constantFrom(CONFIG_MAP, DEPLOYMENT, DEPLOYMENT, SERVICE, WIRE, WIRE);

/** Every place in an object, as a JSON pointer, with what stands there. */
function pointersOf(value: unknown, at = ""): readonly (readonly [string, unknown])[] {
  const inner = Array.isArray(value)
    ? value.map((item, index) => [String(index), item] as const)
    : typeof value === "object" && value !== null
      ? Object.entries(value)
      : [];
  return [
    [at, value] as const,
    ...inner.flatMap(([key, item]) => pointersOf(item, `${at}/${key.replace(/~/g, "~0").replace(/\//g, "~1")}`)),
  ];
}

const odd = fc.constantFrom<unknown>(
  "x",
  "",
  1,
  -1,
  1.5,
  1e19,
  null,
  true,
  [],
  {},
  ["x"],
  { a: "b" },
  { name: "n" },
  [{ name: "n" }],
  "a".repeat(300),
);

const pointer = (thing: Thing): fc.Arbitrary<string> => {
  const known = pointersOf(thing.object).map(([at]) => at);
  return fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...known) },
    {
      weight: 3,
      arbitrary: fc
        .tuple(
          fc.constantFrom(...known),
          text("/-", "/0", "/99", "/-1", "/x", "/01", "/1e0", "/", "/~1", "/~2", "/~0", "/a~1b", "/x/y"),
        )
        .map((pieces) => pieces.join("")),
    },
    {
      weight: 1,
      arbitrary: text(
        "",
        "x",
        "/",
        "//",
        "/metadata/resourceVersion",
        "/metadata/uid",
        "/metadata/managedFields",
        "/status",
        "/metadata/managedFields/0",
        "#/spec",
        "/metadata/finalizers",
        "/metadata/annotations/a",
      ),
    },
  );
};

/** Where something is taken from; versions are two servers' own, and would be seen where they are put. */
const source = (thing: Thing) => pointer(thing).filter((at) => at !== "/metadata/resourceVersion");

const operation = (thing: Thing): fc.Arbitrary<object> =>
  fc.oneof(
    { weight: 8, arbitrary: fc.record({ op: text("add", "replace", "test"), path: pointer(thing), value: odd }) },
    { weight: 3, arbitrary: fc.record({ op: fc.constant("remove"), path: pointer(thing) }) },
    { weight: 4, arbitrary: fc.record({ op: text("move", "copy"), from: source(thing), path: pointer(thing) }) },
    {
      weight: 2,
      arbitrary: fc.record(
        {
          op: text("add", "remove", "test", "copy", "Add", "", "nope"),
          path: fc.constantFrom<unknown>("/metadata/labels/x", "/data", 1, null),
          from: fc.constantFrom<unknown>("/x", 1, null),
          value: odd,
          nonsense: fc.constant(1),
        },
        { requiredKeys: [] },
      ),
    },
  );

const queries = text("", "", "", "?dryRun=All", "?fieldValidation=Strict", "?fieldManager=m");

const jsonPatches: Lines = things.chain((thing) =>
  fc
    .tuple(
      mostly<unknown>(
        fc.array(operation(thing), { minLength: 1, maxLength: 3 }),
        fc.constantFrom<unknown>([], {}, null, "x", [1], [null], [[]], { op: "add" }),
        12,
      ),
      text("", "", "", "", "/status", "/scale"),
      queries,
    )
    .map(([patch, part, query]) => [
      posted(thing),
      `JSON-PATCH ${thing.path}/${thing.name}${part}${query} | text:${json(patch).replaceAll("\\n", "")}`,
    ]),
);

/** A part of an object with something else in one place: what a merge patch says. */
function partOf(object: unknown, at: readonly string[], value: unknown): unknown {
  const [key, ...rest] = at;
  if (key === undefined) return value;
  if (Array.isArray(object))
    return object.map((item, index) => (String(index) === key ? partOf(item, rest, value) : item));
  return { [key]: partOf((object as Json | undefined)?.[key], rest, value) };
}

const place = (thing: Thing): fc.Arbitrary<readonly string[]> =>
  mostly(
    fc
      .constantFrom(...pointersOf(thing.object).map(([at]) => at.split("/").slice(1)))
      .filter((at) => at.length > 0) as fc.Arbitrary<readonly string[]>,
    fc.constantFrom<readonly string[]>(
      ["status"],
      ["status", "replicas"],
      ["metadata", "finalizers"],
      ["metadata", "resourceVersion"],
      ["metadata", "uid"],
      ["metadata", "managedFields"],
      ["metadata", "annotations", "a"],
      ["metadata", "deletionTimestamp"],
      ["metadata", "generation"],
      ["metadata", "creationTimestamp"],
      ["nonsense"],
      ["spec", "nonsense"],
      ["metadata", "nonsense"],
      ["metadata", "ownerReferences"],
      ["metadata", "generateName"],
      ["metadata", "selfLink"],
    ),
    5,
  );

const mergePatches: Lines = things.chain((thing) =>
  fc
    .tuple(
      mostly<unknown>(
        fc.tuple(place(thing), odd).map(([at, value]) => partOf(thing.object, at, value)),
        fc.constantFrom<unknown>([], {}, null, "x", 1, [{}]),
        12,
      ),
      text("MERGE", "MERGE", "STRATEGIC"),
      text("", "", "", "", "", "/status", "/scale"),
      queries,
    )
    .map(([patch, method, part, query]) => [
      posted(thing),
      `${method} ${thing.path}/${thing.name}${part}${query} | text:${json(patch)}`,
    ]),
);

// Directives of strategic patches.

const directive = fc.oneof(
  { weight: 4, arbitrary: text("delete", "replace", "merge", "x", "").map((what) => ({ $patch: what })) },
  { weight: 2, arbitrary: fc.constantFrom<object>({ $patch: null }, { $patch: 1 }, { $patch: {} }) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom<unknown>(["name"], ["image", "name"], [], "x", null, [1], ["nope"])
      .map((keys) => ({ $retainKeys: keys })),
  },
);
const container = fc.record(
  {
    name: text("c", "d", "e"),
    image: text("nginx:1", "x"),
    args: fc.constantFrom<unknown>(["z"], [], null),
    env: fc.constantFrom<unknown>(
      [{ name: "A", value: "2" }],
      [{ name: "A", $patch: "delete" }],
      [{ $patch: "replace" }, { name: "Z", value: "1" }],
      null,
      [],
    ),
    ports: fc.constantFrom<unknown>(
      [{ containerPort: 80, name: "w" }],
      [{ containerPort: 80, protocol: "UDP" }],
      [{ containerPort: 80, $patch: "delete" }],
      [{ containerPort: 81 }, { $patch: "merge" }],
      null,
    ),
  },
  { requiredKeys: [] },
);
const withDirective = <T extends object>(inner: fc.Arbitrary<T>): fc.Arbitrary<object> =>
  fc.oneof(
    { weight: 4, arbitrary: inner as fc.Arbitrary<object> },
    { weight: 2, arbitrary: fc.tuple(inner, directive).map(([one, what]) => ({ ...one, ...what })) },
    { weight: 1, arbitrary: directive as fc.Arbitrary<object> },
  );
const order = fc.constantFrom<unknown>(
  [{ name: "d" }, { name: "c" }],
  [{ name: "c" }],
  [{ name: "e" }, { name: "d" }, { name: "c" }],
  [],
  null,
  "x",
  [{}],
  ["c"],
  [{ name: "c" }, { name: "c" }],
);
const containers = fc.record(
  {
    containers: fc.array(withDirective(container), { maxLength: 2 }),
    "$setElementOrder/containers": order,
    "$deleteFromPrimitiveList/containers": fc.constantFrom<unknown>([{ name: "c" }], "x"),
    volumes: fc.constantFrom<unknown>(
      [{ name: "v", emptyDir: {} }],
      [{ name: "v", $retainKeys: ["name", "emptyDir"], emptyDir: {} }],
      [{ name: "v", $patch: "delete" }],
      null,
    ),
    tolerations: fc.constantFrom<unknown>([{ key: "k", operator: "Exists" }], [{ $patch: "replace" }], null),
    nodeSelector: fc.constantFrom<unknown>({ a: "b" }, { $patch: "replace", c: "d" }, { $patch: "delete" }, null),
    hostname: fc.constantFrom<unknown>("h", null),
  },
  { requiredKeys: [] },
);
const deploymentPatch = fc.oneof(
  containers.map((spec) => ({ spec: { template: { spec } } })),
  withDirective(containers).map((spec) => ({ spec: { template: { spec } } })),
  fc.tuple(directive, containers).map(([what, spec]) => ({ spec: { ...what, template: { spec } } })),
  fc.constantFrom<object>(
    { spec: { strategy: { $retainKeys: ["type"], type: "Recreate" } } },
    { spec: { strategy: { type: "Recreate" } } },
    {
      spec: {
        strategy: { $retainKeys: ["type", "rollingUpdate"], type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } },
      },
    },
    { spec: { strategy: { $patch: "replace", type: "Recreate" } } },
    { $patch: "delete" },
    { $patch: "replace", metadata: { name: "a" } },
    { metadata: { $patch: "replace", labels: { q: "r" } } },
    { spec: { selector: { $patch: "replace", matchLabels: { a: "b" } } } },
  ),
);
const metaPatch = fc
  .record(
    {
      finalizers: fc.constantFrom<unknown>(["example.com/a"], ["example.com/a", "example.com/a"], null, []),
      "$deleteFromPrimitiveList/finalizers": fc.constantFrom<unknown>(
        ["example.com/keep"],
        ["nope"],
        [],
        null,
        "x",
        [1],
        [{}],
      ),
      "$setElementOrder/finalizers": fc.constantFrom<unknown>(
        ["example.com/a", "example.com/keep"],
        ["example.com/keep"],
        "x",
        [1],
      ),
      labels: fc.constantFrom<unknown>({ x: null }, { $patch: "replace", z: "1" }, { $patch: "delete" }, null),
      ownerReferences: fc.constantFrom<unknown>(
        [{ uid: "u", apiVersion: "v1", kind: "Secret", name: "s" }],
        [{ uid: "u", $patch: "delete" }],
        [{ name: "s" }],
        null,
      ),
      $retainKeys: fc.constantFrom<unknown>(["name", "finalizers"], ["labels"]),
    },
    { requiredKeys: [] },
  )
  .map((metadata) => ({ metadata }));
const port = withDirective(
  fc.record(
    {
      port: fc.constantFrom<unknown>(80, 53, 81),
      name: text("http", "dns", "z"),
      protocol: text("TCP", "UDP", "SCTP"),
      targetPort: fc.constantFrom<unknown>(8080, "http", null),
    },
    { requiredKeys: [] },
  ),
);
const servicePatch = fc
  .record(
    {
      ports: fc.array(port, { maxLength: 2 }),
      "$setElementOrder/ports": fc.constantFrom<unknown>(
        [{ port: 53 }, { port: 80 }],
        [{ port: 81 }],
        [{ port: "x" }],
        [{ name: "http" }],
      ),
      selector: fc.constantFrom<unknown>({ $patch: "replace", q: "r" }, { a: null }, null),
    },
    { requiredKeys: [] },
  )
  .map((spec) => ({ spec }));

const keeping = (thing: Thing): Thing => ({
  ...thing,
  object: {
    ...thing.object,
    metadata: { ...(thing.object["metadata"] as object), finalizers: ["example.com/keep", "example.com/also"] },
  },
});
const directives: Lines = fc
  .oneof(
    deploymentPatch.map((patch) => [DEPLOYMENT, patch] as const),
    deploymentPatch.map((patch) => [DEPLOYMENT, patch] as const),
    servicePatch.map((patch) => [SERVICE, patch] as const),
    fc.tuple(fc.constantFrom(keeping(CONFIG_MAP), keeping(DEPLOYMENT)), metaPatch),
    fc
      .constantFrom<object>(
        { data: { $patch: "replace", z: "1" } },
        { data: { $patch: "delete" } },
        { data: { k: null, $patch: "merge" } },
        { data: { $retainKeys: ["k"] } },
        { $patch: "replace", data: { q: "r" } },
        { $retainKeys: ["data", "metadata"], data: { k: "1" } },
      )
      .map((patch) => [CONFIG_MAP, patch] as const),
  )
  .map(([thing, patch]) => [posted(thing), `STRATEGIC ${thing.path}/${thing.name} | text:${json(patch)}`]);

// Applies.

const wireSpec = fc
  .record(
    {
      text: fc.constantFrom<unknown>("t", "u", null, 1),
      replicas: fc.constantFrom<unknown>(1, 2, "3", null),
      level: text("low", "high", "x"),
      items: fc.constantFrom<unknown>(
        [{ name: "a", value: "1" }],
        [{ name: "b" }],
        [{ name: "a" }, { name: "a" }],
        [{ value: "x" }],
        [],
        null,
        [{ name: "c", value: "1", nonsense: 1 }],
        { a: 1 },
        [{ name: 1 }],
        [null],
      ),
      set: fc.constantFrom<unknown>(["x"], ["y", "z"], ["x", "x"], [], [1], null),
      list: fc.constantFrom<unknown>(["p"], [], null),
      whole: fc.constantFrom<unknown>({ a: "1" }, { b: "2" }, {}, null),
      map: fc.constantFrom<unknown>({ k: "1" }, { l: "2" }, {}, { k: null }),
      open: fc.constantFrom<unknown>({ z: 1 }, { y: [1, { a: 2 }] }, {}),
      port: fc.constantFrom<unknown>(1, "x", 1.5),
      none: fc.constantFrom<unknown>(null, "n"),
      nonsense: fc.constant(1),
    },
    { requiredKeys: [] },
  )
  .chain((spec) =>
    fc
      .subarray(Object.keys(spec), { maxLength: 3 })
      .map((keys) => Object.fromEntries(keys.map((key) => [key, spec[key as keyof typeof spec]]))),
  );
const deploymentSpec = fc
  .record(
    {
      replicas: fc.constantFrom<unknown>(1, 3, null),
      paused: fc.boolean(),
      template: fc.record(
        {
          metadata: fc.constantFrom<unknown>({ labels: { a: "b" } }, { labels: { a: "b", c: "d" } }),
          spec: fc.record({
            containers: fc.array(
              fc.record(
                {
                  name: text("c", "d", "e"),
                  image: text("nginx", "x"),
                  ports: fc.constantFrom<unknown>(
                    [{ containerPort: 80 }],
                    [{ containerPort: 80, protocol: "TCP" }],
                    [{ containerPort: 81, protocol: "UDP", name: "q" }],
                    [{ protocol: "TCP" }],
                  ),
                  env: fc.constantFrom<unknown>(
                    [{ name: "A", value: "1" }],
                    [{ name: "B", value: "2" }],
                    [{ name: "A" }, { name: "A" }],
                    [{ value: "x" }],
                  ),
                },
                { requiredKeys: [] },
              ),
              { maxLength: 2 },
            ),
          }),
        },
        { requiredKeys: [] },
      ),
      strategy: fc.constantFrom<unknown>(
        { type: "Recreate" },
        { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } },
      ),
    },
    { requiredKeys: [] },
  )
  .map((spec) => spec);
const serviceSpec = fc.record(
  {
    ports: fc.constantFrom<unknown>(
      [{ port: 80, name: "http" }],
      [{ port: 80, name: "w", protocol: "TCP" }],
      [{ port: 53, protocol: "UDP", name: "dns" }],
      [{ port: 80 }, { port: 80 }],
      [{ name: "x" }],
    ),
    selector: fc.constantFrom<unknown>({ a: "b" }, { c: "d" }, {}),
    type: text("ClusterIP"),
  },
  { requiredKeys: [] },
);
const metadata = fc
  .record(
    {
      labels: fc.constantFrom<unknown>({ x: "one" }, { x: "two" }, { y: "1" }, {}),
      annotations: fc.constantFrom<unknown>({ p: "q" }, {}),
      finalizers: fc.constantFrom<unknown>(["example.com/a"], ["example.com/b"], []),
      ownerReferences: fc.constantFrom<unknown>(
        [{ apiVersion: "v1", kind: "Secret", name: "s", uid: "u" }],
        [{ uid: "u" }],
      ),
      resourceVersion: text("1", ""),
      uid: text("u"),
      managedFields: fc.constantFrom<unknown>([], [{}], null),
      name: text("a", "b"),
      generateName: text("g-"),
      namespace: text("$ns", "x"),
      nonsense: fc.constant(1),
      creationTimestamp: fc.constantFrom<unknown>(null, "2026-01-01T00:00:00Z"),
      generation: fc.constant(5),
    },
    { requiredKeys: [] },
  )
  .chain((all) =>
    fc
      .subarray(Object.keys(all), { maxLength: 2 })
      .map((keys) => Object.fromEntries(keys.map((key) => [key, all[key as keyof typeof all]]))),
  );

const applied = (thing: Thing): fc.Arbitrary<object> => {
  const content =
    thing === WIRE
      ? wireSpec.map((spec) => ({ spec }))
      : thing === DEPLOYMENT
        ? deploymentSpec.map((spec) => ({ spec }))
        : thing === SERVICE
          ? serviceSpec.map((spec) => ({ spec }))
          : fc.dictionary(text("k", "l", "m"), text("v", "w"), { maxKeys: 2 }).map((data) => ({ data }));
  const { apiVersion, kind } = thing.object as { apiVersion: string; kind: string };
  const versions = thing === WIRE ? [apiVersion, apiVersion, "wire.example.com/v1beta1"] : [apiVersion];
  return fc
    .tuple(
      content,
      fc.option(metadata, { freq: 2 }),
      mostly(text(...versions), text("v1", "apps/v1", "", "x/v1", "wire.example.com/v1alpha1"), 12),
      mostly(fc.constant(kind), text("Pod", "", "x"), 15),
    )
    .map(([rest, given, version, name]) => ({
      apiVersion: version,
      kind: name,
      metadata: { name: thing.name, ...given },
      ...rest,
    }));
};

const step = (thing: Thing): fc.Arbitrary<string> => {
  const at = `${thing.path}/${thing.name}`;
  const other = thing === WIRE ? text(at, at, at.replace("/v1/", "/v1beta1/")) : fc.constant(at);
  return fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .tuple(
          other,
          text("one", "two", "three"),
          text("", "", "&force=true", "&force=false", "&dryRun=All", "&fieldValidation=Strict", "&force=x"),
          applied(thing),
        )
        .map(([path, manager, more, body]) => `APPLY ${path}?fieldManager=${manager}${more} | text:${json(body)}`),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(thing === WIRE ? text("", "/status") : text("", "/status", "/scale"), applied(thing))
        .map(
          ([part, body]) =>
            `APPLY ${at}${part} | text:${json(part === "/scale" ? { apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name: thing.name }, spec: { replicas: 3 } } : body)}`,
        ),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(
          // The scale of a custom object is applied nowhere but here: `apply/applied scales of custom objects`.
          thing === WIRE ? fc.constant("/status") : text("/status", "/scale"),
          text("one", "two"),
          text("", "&force=true"),
          fc.constantFrom<object>({ replicas: 5 }, { replicas: 1 }),
        )
        .map(
          ([part, manager, force, inner]) =>
            `APPLY ${at}${part}?fieldManager=${manager}${force} | text:${json({ ...(part === "/scale" ? { apiVersion: "autoscaling/v1", kind: "Scale", spec: inner } : { apiVersion: thing.object["apiVersion"], kind: thing.object["kind"], status: inner }), metadata: { name: thing.name } })}`,
        ),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(other, applied(thing))
        .map(
          ([path, body]) =>
            `MERGE ${path}?fieldManager=update | text:${json({ ...body, apiVersion: undefined, kind: undefined, metadata: { ...(body as { metadata: object }).metadata, name: undefined } })}`,
        ),
    },
    {
      weight: 1,
      arbitrary: text(
        `MERGE ${at}?fieldManager=clean | {"metadata": {"managedFields": [{}]}}`,
        `JSON-PATCH ${at} | [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]`,
        `MERGE ${at} | {"metadata": {"managedFields": []}}`,
        `MERGE ${at} | {"metadata": {"managedFields": [{"manager": "x"}]}}`,
        `MERGE ${at}/scale?fieldManager=scaler | {"spec": {"replicas": 7}}`,
        `GET ${at}`,
      ),
    },
  );
};

const applies: Lines = things.chain((thing) =>
  fc
    .tuple(fc.boolean(), fc.array(step(thing), { minLength: 1, maxLength: 4 }))
    .map(([isThere, steps]) => [...(isThere ? [posted(thing)] : []), ...steps]),
);

// Samples of every kind, patched in one place.

/** Kinds that somebody else writes to soon after they are made, on one of two servers. */
const RESTLESS = new Set([
  "CustomResourceDefinition",
  "APIService",
  "ValidatingAdmissionPolicy",
  "MutatingAdmissionPolicy",
  "FlowSchema",
  "Node",
]);
const asThing = ({ path, object }: Sample): Thing => ({
  path,
  object,
  name: String((object["metadata"] as Json)["name"]),
});
const SAMPLES = readSamples()
  .filter(({ object }) => !RESTLESS.has(String(object["kind"])))
  .map(asThing);
/** A value that another place of the same object has is of a right type now and then. */
const everyKind: Lines = fc.constantFrom(...SAMPLES).chain((thing) => {
  const values = pointersOf(thing.object).map(([, value]) => value);
  return fc
    .tuple(
      fc.constantFrom(
        ...pointersOf(thing.object)
          .map(([at]) => at)
          .filter((at) => !/^(?:\/metadata(?:\/name(?:space)?)?|\/apiVersion|\/kind)?$/.test(at)),
      ),
      fc.oneof(odd, fc.constantFrom(...values)),
      text("JSON-PATCH", "MERGE", "STRATEGIC", "APPLY"),
    )
    .map(([at, value, method]) => {
      const parts = at
        .split("/")
        .slice(1)
        .map((one) => one.replace(/~1/g, "/").replace(/~0/g, "~"));
      const merged = partOf(thing.object, parts, value) as Json;
      const { apiVersion, kind } = thing.object as Record<string, unknown>;
      const body =
        method === "JSON-PATCH"
          ? [{ op: "replace", path: at, value }]
          : method === "APPLY"
            ? { ...merged, apiVersion, kind, metadata: { ...(merged["metadata"] as object), name: thing.name } }
            : merged;
      return [
        posted(thing),
        `${method} ${thing.path}/${thing.name}${method === "APPLY" ? "?fieldManager=m&force=true" : ""} | ${json(body)}`,
      ];
    });
});

export const patching: Readonly<Record<string, Lines>> = {
  "JSON patches of objects and their parts": jsonPatches,
  "merge patches of objects and their parts": mergePatches,
  "directives of strategic patches": directives,
  "applies of several versions and parts": applies,
  "patches of every kind": everyKind,
};
