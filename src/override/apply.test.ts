import { describe, expect, test } from "vitest";
import type { Cluster, OverridePolicy, Overriders } from "#apis/karmada";
import type { KubeObject } from "#machinery";
import { appliedText, applyOverrides, OverrideError } from "./index.ts";

const cluster = { apiVersion: "cluster.karmada.io/v1alpha1", kind: "Cluster", metadata: { name: "m1" } } as Cluster;
const policy = (name: string, overriders: object, selectors: readonly object[] = []): OverridePolicy =>
  ({
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "OverridePolicy",
    metadata: { name, namespace: "default" },
    spec: { resourceSelectors: selectors, overrideRules: [{ overriders: overriders as Overriders }] },
  }) as unknown as OverridePolicy;
const object = (content: object, kind = "ConfigMap", apiVersion = "v1"): KubeObject =>
  ({ apiVersion, kind, metadata: { name: "a", namespace: "default" }, ...content }) as KubeObject;
const apply = (source: KubeObject, ...policies: readonly OverridePolicy[]) =>
  applyOverrides(source, cluster, { clusterOverridePolicies: [], overridePolicies: policies });
const field = (text: string, how: object, kind = "ConfigMap") =>
  (
    apply(object({ data: { doc: text } }, kind), policy("p", { fieldOverrider: [{ fieldPath: "/data/doc", ...how }] }))
      .object as { readonly data?: Record<string, string> }
  ).data?.["doc"] ?? "";

describe("texts inside objects", () => {
  test.each([
    [
      "numbers keep their digits",
      '{"id":12345678901234567890,"rate":1.0,"e":1e3,"a":1}',
      [{ subPath: "/a", operator: "replace", value: 2 }],
      '{"id":12345678901234567890,"rate":1.0,"e":1e3,"a":2}',
    ],
    [
      "keys keep their order, also those that look like numbers",
      '{"b":1,"10":{"z":1,"2":2},"a":3}',
      [{ subPath: "/10/z", operator: "replace", value: 9 }],
      '{"b":1,"10":{"z":9,"2":2},"a":3}',
    ],
    [
      "new keys come last and parents are made",
      '{"b":1}',
      [{ subPath: "/a/c", operator: "add", value: "x" }],
      '{"b":1,"a":{"c":"x"}}',
    ],
    [
      "space between parts goes, space in strings stays",
      '{ "a" : "x  y",\n "b": [ 1, 2 ] }',
      [{ subPath: "/b/-", operator: "add", value: 3 }],
      '{"a":"x  y","b":[1,2,3]}',
    ],
    [
      "what Go escapes is escaped",
      '{"a":"<b> & c"}',
      [{ subPath: "/d", operator: "add", value: 1 }],
      '{"a":"\\u003cb\\u003e \\u0026 c","d":1}',
    ],
  ])("[RN-37] JSON: %s", (_title, text, json, expected) => expect(field(text, { json })).toBe(expected));

  test.each(["", "{", "{a:1}", '{"a":01}', "[1,]", '{"a":1} x', '"\u0001"', "[".repeat(5_000)])(
    "JSON: %j is none and fails the cluster",
    (text) => {
      expect(() => field(text, { json: [{ subPath: "/a", operator: "add", value: 1 }] })).toThrow(OverrideError);
    },
  );

  test("[RN-38] YAML: 64-bit numbers keep their digits", () => {
    expect(field("id: 12345678901234567\na: 1\n", { yaml: [{ subPath: "/a", operator: "replace", value: 2 }] })).toBe(
      "a: 2\nid: 12345678901234567\n",
    );
  });

  test("[RN-39] a Secret's document is what its base64 decodes to", () => {
    const encoded = Buffer.from('{"user":"a"}').toString("base64");
    expect(
      Buffer.from(
        field(encoded, { json: [{ subPath: "/user", operator: "replace", value: "b" }] }, "Secret"),
        "base64",
      ).toString(),
    ).toBe('{"user":"b"}');
  });
});

describe("patches", () => {
  const patched = (content: object, ...plaintext: readonly object[]) =>
    apply(object(content, "Deployment", "apps/v1"), policy("p", { plaintext })).object as unknown as {
      readonly spec: unknown;
    };

  test("[DR-16] [DR-52] add makes the parents it lacks and never replaces a scalar", () => {
    expect(
      patched({ spec: {} }, { path: "/spec/template/metadata/annotations/a~1b", operator: "add", value: "x" }).spec,
    ).toEqual({ template: { metadata: { annotations: { "a/b": "x" } } } });
    expect(patched({ spec: {} }, { path: "/spec/tolerations/-", operator: "add", value: { key: "a" } }).spec).toEqual({
      tolerations: [{ key: "a" }],
    });
    expect(() => patched({ spec: { replicas: 1 } }, { path: "/spec/replicas/a", operator: "add", value: 1 })).toThrow(
      OverrideError,
    );
  });
  test("replace and remove are strict: what is not there is a mistake to tell of", () => {
    expect(() => patched({ spec: {} }, { path: "/spec/replicas", operator: "replace", value: 0 })).toThrow(
      OverrideError,
    );
    expect(() => patched({ spec: { a: 1 } }, { path: "/spec/replicas", operator: "remove" })).toThrow(OverrideError);
  });
  test("one that fails leaves the object as it was, and says which policy failed", () => {
    const source = object({ spec: { replicas: 1 } }, "Deployment", "apps/v1");
    try {
      apply(
        source,
        policy("good", { labelsOverrider: [{ operator: "add", value: { a: "1" } }] }),
        policy("wrong", { plaintext: [{ path: "/spec/none", operator: "replace", value: 1 }] }),
      );
      expect.unreachable();
    } catch (error) {
      expect((error as OverrideError).events.at(-1)).toEqual({
        type: "Warning",
        reason: "ApplyOverridePolicyFailed",
        message: "Apply override policy(default/wrong) for cluster(m1) failed.",
      });
    }
    expect(source.metadata.labels).toBeUndefined();
  });
});

describe("order", () => {
  test("the most precise policy is applied last and wins; the record is by name", () => {
    const label = (name: string, value: string, selectors: readonly object[]) =>
      policy(name, { labelsOverrider: [{ operator: "add", value: { who: value } }] }, selectors);
    const result = apply(
      object({}),
      label("a-named", "named", [{ apiVersion: "v1", kind: "ConfigMap", name: "a" }]),
      label("z-all", "all", []),
      label("m-kind", "kind", [{ apiVersion: "v1", kind: "ConfigMap" }]),
    );
    expect(result.object.metadata.labels).toEqual({ who: "named" });
    expect(
      (JSON.parse(appliedText(result.appliedOverrides) ?? "") as { policyName: string }[]).map(
        ({ policyName }) => policyName,
      ),
    ).toEqual(["a-named", "m-kind", "z-all"]);
  });
});
