import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { createTestServer, type TestServer } from "#testing";
import { scanJson } from "./json-text.ts";

describe("reading through JSON", () => {
  it.each<[string, string]>([
    ["", "unexpected end of JSON input"],
    ["{", "unexpected end of JSON input"],
    ['{"a', "unexpected end of JSON input"],
    ["x", "invalid character 'x' looking for beginning of value"],
    ["{x", "invalid character 'x' looking for beginning of object key string"],
    ['{"a" 1}', "invalid character '1' after object key"],
    ['{"a":1 "b"}', "invalid character '\"' after object key:value pair"],
    ["[1 2]", "invalid character '2' after array element"],
    ["[1,]", "invalid character ']' looking for beginning of value"],
    ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
    ["{} {}", "invalid character '{' after top-level value"],
    ["nul!", "invalid character '!' in literal null (expecting 'l')"],
    ["'", "invalid character '\\'' looking for beginning of value"],
    ['"a\nb"', "invalid character '\\n' in string literal"],
  ])("%j: %s", (text, error) => {
    expect(scanJson(text, 10).error).toBe(error);
  });

  it("names members given twice by their path, also when written differently", () => {
    const text = '{"a":1,"b":[{"c":1},{"c":1,"\\u0063":2}],"a":{"d":1,"d":2}}';
    expect(scanJson(text, 10).duplicates).toEqual(["b[1].c", "a", "a.d"]);
  });

  it("agrees with JSON.parse on what is JSON, and never takes what is too deep", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          fc.json().map((text) => text.slice(0, -1)),
          fc.string(),
        ),
        (text) => {
          let isJson = true;
          try {
            JSON.parse(text);
          } catch {
            isJson = false;
          }
          const { error } = scanJson(text, 1_000);
          if (isJson) expect(error).toBeUndefined();
          else if (error === undefined)
            expect(text, "only bad escapes and odd spaces may be left to the parser").toMatch(/\\|[^ -~]/);
        },
      ),
    );
    expect(scanJson("[".repeat(100_000), 1_000)).toMatchObject({ isTooDeep: true });
  });
});

describe("bodies and options over HTTP", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await createTestServer();
  });
  const ask = async (method: string, path: string, body: string, type = "application/json") => {
    const answer = await server.inside.raw({ method, path, headers: { "content-type": type }, body });
    return {
      code: answer.status,
      warning: answer.headers["warning"],
      body: JSON.parse(Buffer.from(answer.body).toString()) as Readonly<Record<string, unknown>>,
    };
  };
  const configMaps = "/api/v1/namespaces/default/configmaps";

  it("warns of members in letters beyond ASCII, as bytes of UTF-8, and says nothing of controls", async () => {
    const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "letters" }, "ä€": 1, "\u0001": 2 };
    const { code, warning } = await ask("POST", configMaps, JSON.stringify(body));
    expect(code).toBe(201);
    const [told, ...others] = [warning].flat().map((text) => Buffer.from(String(text), "latin1").toString());
    expect(told).toContain("unknown field");
    expect(told).toContain("ä€");
    expect(others.join()).not.toContain("\\x01");
  });

  it.each<[string, string, string, string, string, number, RegExp]>([
    [
      "an empty body",
      "POST",
      configMaps,
      "",
      "application/json",
      400,
      /^the object provided is unrecognized \(must be of type ConfigMap\): couldn't get version\/kind; json parse error: unexpected end of JSON input \(<empty>\)$/,
    ],
    [
      "half an object",
      "POST",
      configMaps,
      '{"kind"',
      "application/json",
      400,
      /unexpected end of JSON input \(\{"kind"\)$/,
    ],
    [
      "nonsense, shown in hexadecimal",
      "POST",
      configMaps,
      "xyz",
      "application/json",
      400,
      /invalid character 'x' looking for beginning of value \(78797a\)$/,
    ],
    [
      "a list",
      "POST",
      configMaps,
      "[]",
      "application/json",
      400,
      /json: cannot unmarshal array into Go value of type struct .*5b5d/,
    ],
    ["broken YAML", "POST", configMaps, "a: [", "application/yaml", 400, /unrecognized/],
    [
      "another type",
      "POST",
      configMaps,
      "<a/>",
      "text/xml",
      415,
      /accepted media types include: application\/json, application\/yaml, application\/vnd\.kubernetes\.protobuf$/,
    ],
    [
      "depth without end",
      "POST",
      configMaps,
      `{"kind":"ConfigMap","data":${"[".repeat(50_000)}`,
      "application/json",
      400,
      /exceeded max depth/,
    ],
    ["deep YAML", "POST", configMaps, `a: ${"[".repeat(20_000)}`, "application/yaml", 400, /max depth|unrecognized/],
    [
      "an alias bomb",
      "POST",
      configMaps,
      `a: &a [x]\nb: &b [${"*a,".repeat(60)}]\nc: &c [${"*b,".repeat(60)}]\nd: [${"*c,".repeat(60)}]`,
      "application/yaml",
      400,
      /unrecognized/,
    ],
    [
      "an odd fieldValidation",
      "POST",
      `${configMaps}?fieldValidation=Maybe`,
      "{}",
      "application/json",
      422,
      /^CreateOptions\.meta\.k8s\.io "" is invalid: fieldValidation: Unsupported value: "Maybe": supported values: "", "Ignore", "Strict", "Warn"$/,
    ],
    ["an odd dryRun", "POST", `${configMaps}?dryRun=Some`, "{}", "application/json", 422, /dryRun: Unsupported value/],
    [
      "a long manager",
      "POST",
      `${configMaps}?fieldManager=${"m".repeat(129)}`,
      "{}",
      "application/json",
      422,
      /fieldManager: Too long: may not be more than 128 bytes/,
    ],
    [
      "force without apply",
      "PATCH",
      `${configMaps}/x?force=true`,
      "{}",
      "application/merge-patch+json",
      422,
      /^PatchOptions\.meta\.k8s\.io "" is invalid: force: Forbidden: may not be specified for non-apply patch$/,
    ],
    [
      "apply without a manager",
      "PATCH",
      `${configMaps}/x`,
      "apiVersion: v1\nkind: ConfigMap",
      "application/apply-patch+yaml",
      422,
      /fieldManager: Required value: is required for apply patch/,
    ],
    [
      "a patch of no known type",
      "PATCH",
      `${configMaps}/x`,
      "{}",
      "application/json",
      415,
      /^415: Unsupported Media Type$/,
    ],
    [
      "an odd propagation policy",
      "DELETE",
      `${configMaps}/x`,
      '{"propagationPolicy":"Sideways"}',
      "application/json",
      422,
      /propagationPolicy: Unsupported value: "Sideways": supported values: "Foreground", "Background", "Orphan", "nil"/,
    ],
    [
      "both ways to orphan",
      "DELETE",
      `${configMaps}/x`,
      '{"propagationPolicy":"Orphan","orphanDependents":true}',
      "application/json",
      422,
      /orphanDependents and deletionPropagation cannot be both set/,
    ],
    [
      "a grace period that is a text",
      "DELETE",
      `${configMaps}/x`,
      '{"gracePeriodSeconds":"1"}',
      "application/json",
      400,
      /cannot unmarshal string into Go struct field DeleteOptions\.gracePeriodSeconds of type int64/,
    ],
    ["a limit that is no number", "GET", `${configMaps}?limit=many`, "", "application/json", 400, /invalid syntax/],
  ])("refuses %s", async (_title, method, path, body, type, code, message) => {
    const answer = await ask(method, path, body, type);
    expect(answer.body["message"]).toMatch(message);
    expect(answer.code).toBe(code);
  });

  it("names what is given twice or unknown: an error when strict, else a warning", async () => {
    const twice = (name: string) =>
      `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${name}","colour":"red"},"data":{"a":"1","a":"2"}}`;
    const strict = await ask("POST", `${configMaps}?fieldValidation=Strict`, twice("a"));
    expect(strict).toMatchObject({
      code: 400,
      body: {
        message:
          'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "data.a", unknown field "metadata.colour"',
      },
    });
    const lenient = await ask("POST", configMaps, twice("b"));
    expect(lenient).toMatchObject({ code: 201, body: { data: { a: "2" } } });
    expect(lenient.body["metadata"]).not.toHaveProperty("colour");
    expect(lenient.warning).toBe('299 - "duplicate field \\"data.a\\"", 299 - "unknown field \\"metadata.colour\\""');
    const yaml = await ask(
      "POST",
      `${configMaps}?fieldValidation=Strict`,
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: repeated}\ndata:\n  a: one\n  a: two\n",
      "application/yaml",
    );
    expect(yaml.body["message"]).toMatch(
      /strict decoding error: yaml: unmarshal errors:\n {2}line 6: key "a" already set in map$/,
    );
    expect((await ask("POST", `${configMaps}?fieldValidation=Ignore`, twice("c"))).warning).toBeUndefined();
  });

  it("bounds JSON patches", async () => {
    await ask("POST", configMaps, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"p"}}');
    const many = JSON.stringify(
      Array.from({ length: 10_001 }, () => ({ op: "test", path: "/kind", value: "ConfigMap" })),
    );
    expect(await ask("PATCH", `${configMaps}/p`, many, "application/json-patch+json")).toMatchObject({
      code: 413,
      body: {
        reason: "RequestEntityTooLarge",
        message: "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001",
      },
    });
    for (const patch of [
      "[null]",
      '[{"op":"add","path":"/data/x/y/z","value":1}]',
      `[{"op":"add","path":"${"/a".repeat(9_000)}","value":1}]`,
    ])
      expect(await ask("PATCH", `${configMaps}/p`, patch, "application/json-patch+json")).toMatchObject({
        code: 422,
        body: { reason: "Invalid", message: "the server rejected our request due to an error in our request" },
      });
  });
});
