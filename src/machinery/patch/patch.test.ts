import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { deepEqual } from "#base";
import { Schema } from "../schema/schema.ts";
import { applyJsonPatch, type JsonPatchOperation, PatchError } from "./json-patch.ts";
import { applyMergePatch, diffMergePatch } from "./merge-patch.ts";
import { applyStrategicMergePatch } from "./strategic-merge-patch.ts";

const failure = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof PatchError) return error.message;
    throw error;
  }
  throw new Error("the patch must be refused");
};

describe("JSON patch", () => {
  it.each<[string, unknown, readonly unknown[], unknown]>([
    ["adds before an index", { a: [1, 3] }, [{ op: "add", path: "/a/1", value: 2 }], { a: [1, 2, 3] }],
    ["adds at the end", { a: [1] }, [{ op: "add", path: "/a/-", value: 2 }], { a: [1, 2] }],
    ["replaces the whole", { a: 1 }, [{ op: "replace", path: "", value: [] }], []],
    ["moves", { a: { b: 1 } }, [{ op: "move", from: "/a/b", path: "/c" }], { a: {}, c: 1 }],
    [
      "reads escapes",
      { "a/b": 1, "~": 2 },
      [
        { op: "remove", path: "/a~1b" },
        { op: "remove", path: "/~0" },
      ],
      {},
    ],
    ["takes null for a value", { a: 1 }, [{ op: "add", path: "/a" }], { a: null }],
  ])("%s", (_title, document, patch, wanted) => {
    const before = JSON.stringify(document);
    expect(applyJsonPatch(document, patch as JsonPatchOperation[])).toEqual(wanted);
    expect(JSON.stringify(document)).toBe(before);
  });

  it.each<[string, readonly unknown[], RegExp]>([
    ["null among the operations", [null], /Unexpected kind: unknown/],
    ["a number among them", [3], /Unexpected kind/],
    ["an operation nobody knows", [{ op: "jump", path: "/a" }], /Unexpected kind: jump/],
    ["no path", [{ op: "add", value: 1 }], /without a path/],
    ["no from", [{ op: "move", path: "/a" }], /without a from/],
    ["a test that fails", [{ op: "test", path: "/a", value: 2 }], /testing value \/a failed: test failed/],
    ["a member every object inherits", [{ op: "remove", path: "/constructor" }], /missing value/],
    ["a way through what every object inherits", [{ op: "add", path: "/constructor/x", value: 1 }], /missing value/],
    ["an index behind the end", [{ op: "add", path: "/l/9", value: 1 }], /invalid index referenced/],
    ["9,000 steps", [{ op: "add", path: "/a".repeat(9_000), value: 1 }], /missing value/],
    [
      "copies that double",
      [
        { op: "add", path: "/x", value: { s: "y".repeat(1_000) } },
        ...Array.from({ length: 20 }, (_, at) => ({ op: "copy", from: "/x", path: `/x/c${at}` })),
      ],
      /accumulated size increase of copy is \d+, exceeding the limit 3145728/,
    ],
  ])("refuses %s", (_title, patch, wanted) => {
    expect(failure(() => applyJsonPatch({ a: 1, l: [] }, patch as JsonPatchOperation[]))).toMatch(wanted);
  });

  it("makes thousands of missing parents where they are asked for", () => {
    const made = applyJsonPatch<unknown>({}, [{ op: "add", path: "/a".repeat(9_000), value: 1 }], {
      createsParents: true,
    });
    let depth = 0;
    for (let at = made; typeof at === "object"; at = (at as { a: unknown }).a) depth++;
    expect(depth).toBe(9_000);
  });

  it("sets members whatever their name", () => {
    const made = applyJsonPatch<unknown>({ a: {} }, [{ op: "add", path: "/a/__proto__", value: { x: 1 } }]);
    expect(JSON.stringify(made)).toBe('{"a":{"__proto__":{"x":1}}}');
    expect(({} as { x?: number }).x).toBeUndefined();
  });
});

describe("merge patch", () => {
  it("keeps a member called __proto__, new and merged", () => {
    const patch = JSON.parse('{"data":{"__proto__":{"a":1}}}') as unknown;
    const first = applyMergePatch({}, patch);
    expect(JSON.stringify(first)).toBe('{"data":{"__proto__":{"a":1}}}');
    const second = applyMergePatch(first, JSON.parse('{"data":{"__proto__":{"b":2}}}'));
    expect(JSON.stringify(second)).toBe('{"data":{"__proto__":{"a":1,"b":2}}}');
  });

  it("is undone by the difference, whatever the members are called", () => {
    const key = fc.constantFrom("a", "b", "__proto__", "constructor", "toString");
    const tree = fc.letrec((tie) => ({
      value: fc.oneof({ maxDepth: 3 }, fc.integer(), fc.constant("x"), tie("object")),
      object: fc.dictionary(key, tie("value"), { maxKeys: 3, noNullPrototype: true }),
    })).object;
    fc.assert(
      fc.property(tree, tree, (before, after) => {
        const patch = diffMergePatch(before, after);
        const made = patch === undefined ? before : applyMergePatch(before, patch);
        expect(deepEqual(made, after)).toBe(true);
      }),
    );
  });
});

describe("strategic merge patch", () => {
  const schema = Schema.compile({
    type: "object",
    properties: {
      spec: {
        type: "object",
        properties: {
          containers: {
            type: "array",
            "x-kubernetes-patch-strategy": "merge",
            "x-kubernetes-patch-merge-key": "name",
            items: {
              type: "object",
              properties: { name: { type: "string" }, image: { type: "string" }, env: { type: "object" } },
            },
          },
          finalizers: { type: "array", "x-kubernetes-patch-strategy": "merge", items: { type: "string" } },
          args: { type: "array", items: { type: "string" } },
          strategy: { type: "object", "x-kubernetes-patch-strategy": "retainKeys" },
        },
      },
    },
  });
  const named = (...names: readonly string[]) => names.map((name) => ({ name }));
  const present = {
    spec: {
      containers: [
        { name: "a", image: "1" },
        { name: "b", image: "2" },
        { name: "c", image: "3" },
      ],
      finalizers: ["x", "y"],
      args: ["p"],
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } },
    },
  };
  const patched = (spec: object) => (applyStrategicMergePatch(present, { spec }, schema) as typeof present).spec;

  it.each<[string, object, string, unknown]>([
    [
      "merges an element by its key",
      { containers: [{ name: "b", image: "9" }] },
      "containers",
      [
        { name: "a", image: "1" },
        { name: "b", image: "9" },
        { name: "c", image: "3" },
      ],
    ],
    [
      "removes an element",
      { containers: [{ name: "b", $patch: "delete" }] },
      "containers",
      [
        { name: "a", image: "1" },
        { name: "c", image: "3" },
      ],
    ],
    ["replaces a list", { containers: [{ $patch: "replace" }, { name: "z" }] }, "containers", named("z")],
    ["replaces an object", { strategy: { $patch: "replace", type: "Recreate" } }, "strategy", { type: "Recreate" }],
    [
      "leaves a list whose deletions are none",
      { "$deleteFromPrimitiveList/finalizers": "x" },
      "finalizers",
      ["x", "y"],
    ],
    [
      "removes a list with deletions that are nothing",
      { "$deleteFromPrimitiveList/finalizers": null },
      "finalizers",
      undefined,
    ],
    [
      "replaces a list without elements that are about others",
      { containers: [{ $patch: "replace", name: "q" }, { name: "z" }] },
      "containers",
      named("z"),
    ],
    ["empties an object", { strategy: { $patch: "delete" } }, "strategy", {}],
    [
      "keeps the keys it names",
      { strategy: { $retainKeys: ["type"], type: "Recreate" } },
      "strategy",
      { type: "Recreate" },
    ],
    ["adds to a list of texts once", { finalizers: ["y", "z"] }, "finalizers", ["x", "y", "z"]],
    ["removes from a list of texts", { "$deleteFromPrimitiveList/finalizers": ["x"] }, "finalizers", ["y"]],
    ["replaces a list that does not merge", { args: ["q"] }, "args", ["q"]],
    [
      "orders texts",
      { "$setElementOrder/finalizers": ["z", "y", "x"], finalizers: ["z"] },
      "finalizers",
      ["z", "y", "x"],
    ],
  ])("%s", (_title, patch, field, wanted) => {
    expect((patched(patch) as Readonly<Record<string, unknown>>)[field]).toEqual(wanted);
  });

  it.each<[string, object, readonly string[]]>([
    ["a new element goes in front of those nobody names", { containers: named("n") }, ["n", "a", "b", "c"]],
    [
      "an order of some keeps in front what stood there",
      { "$setElementOrder/containers": named("c", "b") },
      ["a", "c", "b"],
    ],
    [
      "an order of the last keeps what stood before it before it",
      { "$setElementOrder/containers": named("b") },
      ["a", "b", "c"],
    ],
    [
      "an element added in front of a named one",
      { "$setElementOrder/containers": named("n", "a", "b", "c"), containers: named("n") },
      ["n", "a", "b", "c"],
    ],
  ])("order: %s", (_title, patch, wanted) => {
    expect(patched(patch).containers.map(({ name }) => name)).toEqual(wanted);
  });

  it.each<[string, object, RegExp]>([
    [
      "a directive nobody knows",
      { strategy: { $patch: "explode" } },
      /^unknown patch type: explode in map: map\[\$patch:explode\]$/,
    ],
    ["a directive that is no text", { strategy: { $patch: 1 } }, /^unknown patch type: %!s\(int64=1\) in map/],
    ["a merge that says so", { strategy: { $patch: "merge" } }, /^unknown patch type: merge in map/],
    ["a list that says it merges", { containers: [{ name: "a", $patch: "merge" }] }, /^merging lists cannot yet/],
    ["one in an element", { containers: [{ name: "a", $patch: "explode" }] }, /^unknown patch type: explode in map/],
    [
      "an element without its key",
      { containers: [{ image: "x" }] },
      /^map: map\[image:x\] does not contain declared merge key: name$/,
    ],
    [
      "keys beyond those retained",
      { strategy: { $retainKeys: ["type"], rollingUpdate: {} } },
      /^invalid patch format of retainKeys$/,
    ],
    ["a retained list that is none", { strategy: { $retainKeys: "type" } }, /^invalid patch format of retainKeys$/],
    [
      "an order that is no list",
      { "$setElementOrder/finalizers": 1 },
      /^expected a \[\]interface \{\}, but received a int64$/,
    ],
    ["an order of elements by no key", { "$setElementOrder/containers": ["a"] }, /^value for key 0 is not a map$/],
    [
      "an order against its own elements",
      { "$setElementOrder/containers": named("a", "b"), containers: named("b", "a") },
      /^The order in patch list:\n\[map\[name:b\] map\[name:a\]\]\n doesn't match \$setElementOrder list/,
    ],
  ])("refuses %s", (_title, patch, wanted) => {
    expect(failure(() => patched(patch))).toMatch(wanted);
  });
});
