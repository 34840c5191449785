import { beforeAll, describe, expect, it } from "vitest";
import { ApiError, type KubeObject, Schema } from "#machinery";
import { applyManaged, mustFitTypes, type OwnedKind, trackUpdate } from "./apply.ts";
import { difference, type FieldSet, intersection, pathsOf, readFieldSet, union } from "./field-set.ts";

const schema = Schema.compile({
  type: "object",
  properties: {
    metadata: {
      type: "object",
      properties: {
        name: { type: "string" },
        labels: { type: "object", additionalProperties: { type: "string" } },
        annotations: { type: "object", additionalProperties: { type: "string" } },
      },
    },
    spec: {
      type: "object",
      properties: {
        replicas: { type: "integer" },
        note: { type: "string" },
        ports: {
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["port", "protocol"],
          items: {
            type: "object",
            properties: {
              port: { type: "integer" },
              protocol: { type: "string", default: "TCP" },
              name: { type: "string" },
            },
          },
        },
        pairs: {
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["a", "b"],
          items: {
            type: "object",
            properties: { a: { type: "string" }, b: { type: "string" }, c: { type: "string" } },
          },
        },
        tags: { type: "array", "x-kubernetes-list-type": "set", items: { type: "string" } },
        words: { type: "array", items: { type: "string" } },
        whole: { type: "object", "x-kubernetes-map-type": "atomic", additionalProperties: { type: "string" } },
      },
    },
    status: { type: "object", properties: { replicas: { type: "integer" } } },
  },
});
const kind: OwnedKind = { schema, empty: {}, hasStatus: true };
const by = (manager: string, rest: object = {}) => ({
  manager,
  apiVersion: "example.com/v1",
  subresource: undefined,
  time: "2026-01-01T00:00:00Z",
  force: false,
  ...rest,
});
const thing = (parts: object = {}): KubeObject =>
  ({ apiVersion: "example.com/v1", kind: "Thing", metadata: { name: "a" }, ...parts }) as KubeObject;
const spec = (members: object) => thing({ spec: members });
const specOf = (object: KubeObject) => (object as unknown as { spec?: Readonly<Record<string, unknown>> }).spec;
const ownersOf = (object: KubeObject) =>
  Object.fromEntries(
    (object.metadata.managedFields ?? []).map((entry) => [
      `${entry.manager} ${entry.operation}`,
      pathsOf(entry.fieldsV1 as FieldSet).sort(),
    ]),
  );
const apply = (live: KubeObject | undefined, applied: KubeObject, manager: string, rest: object = {}) =>
  applyManaged(live, applied, kind, by(manager, rest));
const refusal = async (run: () => unknown): Promise<ApiError> => {
  try {
    await run();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("it must be refused");
};

describe("sets of fields", () => {
  const a: FieldSet = { "f:x": {}, "f:y": { ".": {}, "f:z": {} } };
  const b: FieldSet = { "f:y": { "f:z": {} } };
  it("tell a node from what is below it", () => {
    expect(pathsOf(a)).toEqual([".x", ".y", ".y.z"]);
    expect(difference(a, b)).toEqual({ "f:x": {}, "f:y": {} });
    expect(difference(b, a)).toBeUndefined();
    expect(intersection(a, b)).toEqual(b);
    expect(union(b, { "f:y": {} })).toEqual({ "f:y": { ".": {}, "f:z": {} } });
    expect(pathsOf({ 'k:{"port":80,"protocol":"TCP"}': {}, 'v:"x"': {} })).toEqual([
      '[port=80,protocol="TCP"]',
      '[="x"]',
    ]);
  });

  it.each([
    [[]],
    ["x"],
    [{ x: {} }],
    [{ "k:[": {} }],
    [{ "k:1": {} }],
    [{ "f:a": 1 }],
    [{ "v:{": {} }],
    [JSON.parse(`${'{"f:a":'.repeat(500)}{}${"}".repeat(500)}`)],
  ])("refuse what is none (%#)", (value) => {
    expect(readFieldSet(value)).toBeUndefined();
  });
});

describe("server-side apply", () => {
  it("creates with an owner, and none for an object without fields", async () => {
    const made = await apply(
      undefined,
      spec({ replicas: 1, ports: [{ port: 80 }], whole: { a: "b" }, words: ["x"] }),
      "one",
    );
    expect(ownersOf(made)).toEqual({
      "one Apply": [
        '.spec.ports[port=80,protocol="TCP"]',
        '.spec.ports[port=80,protocol="TCP"].port',
        ".spec.replicas",
        ".spec.whole",
        ".spec.words",
      ],
    });
    expect((await apply(undefined, thing(), "one")).metadata.managedFields).toBeUndefined();
  });

  it.each([
    ["what is applied stands in the order it was applied in", "acbde", "ca", "cbdea"],
    ["what nobody applied follows what it followed", "eb", "aecd", "aebcd"],
    ["what comes first and is not applied stays first", "b", "daec", "bdaec"],
    ["items that changed places take nothing along", "deba", "cdae", "cdbae"],
    ["lists that share nothing stand one behind the other", "ecda", "b", "ecdab"],
  ])("merges lists so that %s", async (_sentence, present, applied, merged) => {
    const pairs = (text: string) => [...text].map((a) => ({ a, b: "x" }));
    const first = await apply(undefined, spec({ pairs: pairs(present), tags: [...present] }), "one");
    const second = await apply(first, spec({ pairs: pairs(applied), tags: [...applied] }), "two", { force: true });
    expect((second as { spec?: unknown }).spec).toEqual({ pairs: pairs(merged), tags: [...merged] });
  });

  it("removes an item with what others own in it", async () => {
    const first = await apply(undefined, spec({ pairs: [{ a: "1", b: "1" }], note: "x" }), "one");
    const changed = await trackUpdate(
      first,
      thing({ spec: { pairs: [{ a: "1", b: "1", c: "z" }], note: "x" } }),
      kind,
      by("two"),
    );
    expect(((await apply(changed, spec({ note: "x" }), "one")) as { spec?: unknown }).spec).toEqual({ note: "x" });
  });

  it("removes what its manager no longer applies, unless another one owns it", async () => {
    const first = await apply(
      undefined,
      spec({ replicas: 1, note: "x", tags: ["a", "b"], ports: [{ port: 1 }, { port: 2 }] }),
      "one",
    );
    const second = await apply(first, spec({ note: "x", tags: ["b"], ports: [{ port: 2, name: "n" }] }), "two");
    const third = await apply(second, spec({ ports: [{ port: 1 }] }), "one");
    expect(specOf(third)).toEqual({ note: "x", tags: ["b"], ports: [{ port: 1 }, { port: 2, name: "n" }] });
    expect(ownersOf(third)["two Apply"]).toContain(".spec.note");
    const last = await apply(await apply(third, thing(), "two"), thing(), "one");
    expect(specOf(last)).toBeUndefined();
    expect(last.metadata.managedFields).toBeUndefined();
  });

  it("keeps a map that is applied empty, and nothing of a list", async () => {
    const withLabels = (labels: object | null) => ({ ...thing(), metadata: { name: "a", labels } }) as KubeObject;
    const first = await apply(undefined, withLabels({ a: "b" }), "one");
    expect((await apply(first, withLabels({}), "one")).metadata.labels).toEqual({});
    const second = await apply(undefined, spec({ note: "x", tags: ["a"] }), "one");
    expect(specOf(await apply(second, spec({ note: "x", tags: [] }), "one"))).toEqual({ note: "x" });
    expect(ownersOf(await apply(second, spec({ tags: [] }), "two"))).toEqual({
      "one Apply": [".spec.note", '.spec.tags[="a"]'],
    });
  });

  it("takes nothing away where null is applied to what has parts of others", async () => {
    const first = await apply(undefined, spec({ note: "x", tags: ["a"], ports: [{ port: 1 }], words: ["w"] }), "one");
    const second = await apply(first, spec({ tags: null, ports: null }), "two");
    expect(specOf(second)).toEqual({ note: "x", tags: ["a"], ports: [{ port: 1 }], words: ["w"] });
    expect(ownersOf(second)["two Apply"]).toEqual([".spec.ports", ".spec.tags"]);
    expect(specOf(await apply(first, spec({ words: null }), "two", { force: true }))).toMatchObject({ words: null });
  });

  it("conflicts only where a value of another manager would change", async () => {
    const first = await apply(undefined, spec({ replicas: 1, note: "x" }), "one");
    expect(ownersOf(await apply(first, spec({ replicas: 1 }), "two"))).toMatchObject({
      "two Apply": [".spec.replicas"],
    });
    const one = await refusal(() => apply(first, spec({ replicas: 2 }), "two"));
    expect(one).toMatchObject({ code: 409, reason: "Conflict" });
    expect(one.message).toBe('Apply failed with 1 conflict: conflict with "one": .spec.replicas');
    const updated = await trackUpdate(
      first,
      { ...spec({ replicas: 3, note: "x" }), metadata: first.metadata },
      kind,
      by("up"),
    );
    const two = await refusal(() => apply(updated, spec({ replicas: 2, note: "y" }), "two"));
    expect(two.message).toBe(
      'Apply failed with 2 conflicts: conflicts with "one":\n- .spec.note\nconflicts with "up" using example.com/v1:\n- .spec.replicas',
    );
    expect(two.status.details?.causes).toHaveLength(2);
    const forced = await apply(updated, spec({ replicas: 2, note: "y" }), "two", { force: true });
    expect(ownersOf(forced)).toEqual({ "two Apply": [".spec.note", ".spec.replicas"] });
  });

  describe("after kubectl applied on the client's side", () => {
    const LAST = "kubectl.kubernetes.io/last-applied-configuration";
    /** An object with what kubectl says it applied last, written by another manager. */
    const withLast = async (last: string, present: object = { replicas: 1, note: "x" }) => {
      const object = { ...spec(present), metadata: { name: "a", annotations: { [LAST]: last } } };
      return await trackUpdate(undefined, object as KubeObject, kind, by("kubectl-client-side-apply"));
    };
    const said = JSON.stringify(spec({ replicas: 1, note: "x" }));

    it("kubectl takes its fields over, and keeps the annotation in step", async () => {
      const next = await apply(await withLast(said), spec({ replicas: 2, note: "<y>" }), "kubectl");
      expect(specOf(next)).toEqual({ replicas: 2, note: "<y>" });
      expect(ownersOf(next)["kubectl Apply"]).toEqual([".spec.note", ".spec.replicas"]);
      expect(next.metadata.annotations?.[LAST]).toBe(
        '{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"a"},"spec":{"note":"\\u003cy\\u003e","replicas":2}}\n',
      );
    });

    it("others conflict, and so does what is no longer as it was applied", async () => {
      expect((await refusal(async () => apply(await withLast(said), spec({ replicas: 2 }), "argocd"))).code).toBe(409);
      const scaled = await withLast(said, { replicas: 5, note: "x" });
      const conflict = await refusal(() => apply(scaled, spec({ replicas: 2, note: "y" }), "kubectl"));
      expect(conflict.message).toBe(
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using example.com/v1: .spec.replicas',
      );
    });

    it.each([
      ["no JSON", "nonsense"],
      ["no object", "[]"],
      ["another kind", JSON.stringify({ ...spec({ replicas: 1 }), kind: "Other" })],
      ["another version", JSON.stringify({ ...spec({ replicas: 1 }), apiVersion: "example.com/v2" })],
      ["a wrong type", JSON.stringify(spec({ replicas: "1" }))],
    ])("an annotation that holds %s gives nothing", async (_what, last) => {
      expect((await refusal(async () => apply(await withLast(last), spec({ replicas: 2 }), "kubectl"))).code).toBe(409);
    });
  });

  it("takes an object nobody owns for one that was updated before", async () => {
    const conflict = await refusal(() => apply(spec({ replicas: 1 }), spec({ replicas: 2 }), "one"));
    expect(conflict.message).toContain('conflict with "before-first-apply" using example.com/v1: .spec.replicas');
  });

  it("changes no time and no order where nothing changes", async () => {
    const first = await apply(undefined, spec({ replicas: 1 }), "one");
    const again = await apply(first, spec({ replicas: 1 }), "one", { time: "2027-01-01T00:00:00Z" });
    expect(again.metadata.managedFields).toEqual(first.metadata.managedFields);
    const shared = await apply(first, spec({ replicas: 1 }), "two");
    expect(shared.metadata.managedFields?.map(({ manager, time }) => [manager, time])).toEqual([
      ["two", undefined],
      ["one", "2026-01-01T00:00:00Z"],
    ]);
  });

  it("keeps the status apart by its subresource", async () => {
    const first = await apply(undefined, thing({ spec: { replicas: 1 }, status: { replicas: 9 } }), "one");
    expect(ownersOf(first)).toEqual({ "one Apply": [".spec.replicas"] });
    const second = await apply(first, thing({ spec: { replicas: 5 }, status: { replicas: 1 } }), "st", {
      subresource: "status",
    });
    expect(ownersOf(second)["st Apply"]).toEqual([".status.replicas"]);
    expect(second.metadata.managedFields).toMatchObject([{ manager: "one" }, { manager: "st", subresource: "status" }]);
  });

  it.each<[string, object, string]>([
    ["a field nobody declares", { spec: { colour: 1 } }, ".spec.colour: field not declared in schema"],
    ["a text for a number", { spec: { replicas: "x" } }, ".spec.replicas: expected numeric (int or float), got string"],
    ["an object for a list", { spec: { words: {} } }, ".spec.words: expected list, got &{map[]}"],
    [
      "a key twice, by default",
      { spec: { ports: [{ port: 1 }, { port: 1, protocol: "TCP" }] } },
      '.spec.ports: duplicate entries for key [port=1,protocol="TCP"]',
    ],
    ["a value of a set twice", { spec: { tags: ["a", "a"] } }, '.spec.tags: duplicate entries for key [="a"]'],
    [
      "an item without any of its keys",
      { spec: { pairs: [{ c: "n" }] } },
      '.spec.pairs: element 0: associative list with keys has an element that omits all key fields ["a" "b"] (and doesn\'t have default values for any key fields)',
    ],
    [
      "an item that is no map",
      { spec: { pairs: ["n"] } },
      ".spec.pairs: element 0: associative list with keys may not have non-map elements",
    ],
  ])("refuses %s", async (_title, parts, message) => {
    const error = await refusal(() => mustFitTypes(thing(parts), kind));
    expect(error.status.code).toBe(500);
    expect(error.message).toBe(`failed to create typed patch object (/a; example.com/v1, Kind=Thing): ${message}`);
  });
});

it("leaves an item that lacks one of two keys to its schema", async () => {
  expect(() => mustFitTypes(thing({ spec: { pairs: [{ a: "1", c: "n" }] } }), kind)).not.toThrow();
});

describe("plain writes", () => {
  let made: KubeObject;
  beforeAll(async () => {
    made = await trackUpdate(undefined, spec({ replicas: 1, ports: [{ port: 80 }], tags: ["a"] }), kind, by("poster"));
  });
  const changed = async (members: object, manager: string, metadata: object = {}) =>
    await trackUpdate(made, { ...spec(members), metadata: { ...made.metadata, ...metadata } }, kind, by(manager));

  it("own what they make, and what holds it", async () => {
    expect(ownersOf(made)["poster Update"]).toEqual([
      ".spec",
      ".spec.ports",
      '.spec.ports[port=80,protocol="TCP"]',
      '.spec.ports[port=80,protocol="TCP"].port',
      ".spec.replicas",
      ".spec.tags",
      '.spec.tags[="a"]',
    ]);
  });

  it("own what they change, and nobody owns what is gone", async () => {
    const after = await changed({ replicas: 2, ports: [{ port: 80, name: "n" }] }, "editor");
    expect(ownersOf(after)).toEqual({
      "editor Update": ['.spec.ports[port=80,protocol="TCP"].name', ".spec.replicas"],
      "poster Update": [
        ".spec",
        ".spec.ports",
        '.spec.ports[port=80,protocol="TCP"]',
        '.spec.ports[port=80,protocol="TCP"].port',
      ],
    });
  });

  it.each<[string, readonly object[] | undefined, boolean]>([
    ["one empty entry forgets all owners", [{}], false],
    ["an empty list keeps them", [], true],
    ["entries that cannot be read keep them", [{ manager: "x", operation: "Update", fieldsV1: { "k:[": {} } }], true],
  ])("of managedFields themselves: %s", async (_title, managedFields, isKept) => {
    const after = await changed(specOf(made) as object, "editor", { managedFields });
    expect(after.metadata.managedFields).toEqual(isKept ? made.metadata.managedFields : undefined);
  });

  it("put the oldest of more than ten updaters together", async () => {
    let live = made;
    for (let at = 0; at < 15; at++)
      live = await trackUpdate(
        live,
        { ...spec({ ...specOf(live), whole: { a: String(at) }, note: `n${at}` }), metadata: live.metadata },
        kind,
        by(`m${at}`, { time: `2026-01-01T00:00:${String(at + 10)}Z` }),
      );
    expect(live.metadata.managedFields?.length).toBeLessThanOrEqual(10);
    for (let at = 0; at < 12; at++)
      live = await trackUpdate(
        live,
        {
          ...live,
          metadata: { ...live.metadata, labels: { ...live.metadata.labels, [`l${at}`]: "x" } },
        },
        kind,
        by(`k${at}`, { time: `2026-01-01T00:01:${String(at + 10)}Z` }),
      );
    expect(live.metadata.managedFields).toHaveLength(10);
    expect(live.metadata.managedFields?.[0]).toMatchObject({ manager: "ancient-changes" });
  });

  it("follow long lists in time that grows with their length", async () => {
    const items = (count: number, name: string) => Array.from({ length: count }, (_, port) => ({ port, name }));
    const long = await trackUpdate(undefined, spec({ ports: items(20_000, "a") }), kind, by("one"));
    const startedMs = performance.now();
    await trackUpdate(long, { ...spec({ ports: items(20_000, "b") }), metadata: long.metadata }, kind, by("two"));
    expect(performance.now() - startedMs, "a comparison of every item with every other takes minutes").toBeLessThan(
      5_000,
    );
  });
});
