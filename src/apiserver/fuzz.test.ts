import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { parseFieldSelector, parseLabelSelector } from "#machinery";
import { createTestServer, type TestServer } from "#testing";
import { readFirst } from "./tables/printer-path.ts";

/** `npm run test:long` asks for many more. */
const RUNS = Number(process.env["FUZZ_RUNS"] ?? 150);
const SEED = Number(process.env["FUZZ_SEED"] ?? 42);
const settings = { numRuns: RUNS, seed: SEED } as const;

let server: TestServer;
let packed: Buffer;
const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments";

async function ask(method: string, path: string, type: string, body: Uint8Array | string, accept = "application/json") {
  return server.inside.raw({ method, path, headers: { "content-type": type, accept }, body });
}

/** Errors that Kubernetes answers by 500 on purpose have no reason; an unexpected one says `InternalError`. */
async function mustBeAnswered(method: string, path: string, type: string, body: Uint8Array | string): Promise<void> {
  const answer = await ask(method, path, type, body);
  const text = Buffer.from(answer.body).toString();
  expect(text, `${method} ${path} ${type}`).not.toContain('"reason":"InternalError"');
  if (answer.status >= 500)
    expect(text).toMatch(
      /strconv|typed patch object|resourceVersion should not be set|ResourceVersionTooLarge|merge key|unknown patch type|but received a|merging lists|list element types|is not a map|setElementOrder/,
    );
}

const deployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "d" },
  spec: {
    replicas: 1,
    selector: { matchLabels: { a: "b" } },
    template: {
      metadata: { labels: { a: "b" } },
      spec: {
        containers: [{ name: "c", image: "i", ports: [{ containerPort: 80 }], env: [{ name: "E", value: "v" }] }],
      },
    },
  },
};

beforeAll(async () => {
  server = await createTestServer();
  await ask("POST", DEPLOYMENTS, "application/json", JSON.stringify(deployment));
  await ask(
    "POST",
    CONFIG_MAPS,
    "application/json",
    '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"k":"v"}}',
  );
  const got = await ask("GET", `${DEPLOYMENTS}/d`, "", "", "application/vnd.kubernetes.protobuf");
  packed = Buffer.from(got.body);
});

const KEYS = [
  ..."apiVersion kind metadata spec data name labels annotations finalizers ownerReferences managedFields fieldsV1".split(
    " ",
  ),
  ..."replicas template containers image ports env $patch $retainKeys __proto__ constructor toString f:spec".split(" "),
  ..."$setElementOrder/containers $deleteFromPrimitiveList/finalizers resourceVersion uid deletionTimestamp".split(" "),
];
const leaf = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1.5,
    1e21,
    "",
    "v1",
    "ConfigMap",
    "Deployment",
    "apps/v1",
    "c",
    "d",
    "delete",
    "replace",
    [],
    {},
  ),
  fc.string({ maxLength: 8 }),
  fc.integer(),
);
const tree = fc.letrec((tie) => ({
  node: fc.oneof(
    { maxDepth: 5 },
    leaf,
    fc.array(tie("node"), { maxLength: 3 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...KEYS), fc.string({ maxLength: 4 })), tie("node"), {
      maxKeys: 4,
      noNullPrototype: true,
    }),
  ),
})).node;
/** A good object with some of its members replaced. */
const nearly = fc
  .tuple(
    fc.array(
      fc.tuple(
        fc.array(fc.constantFrom(...KEYS, "0", "selector", "matchLabels"), { minLength: 1, maxLength: 5 }),
        tree,
      ),
      { maxLength: 3 },
    ),
  )
  .map(([changes]) => {
    const object = structuredClone(deployment) as Record<string, unknown>;
    for (const [path, value] of changes) {
      let at: Record<string, unknown> = object;
      for (const step of path.slice(0, -1)) {
        const next = Object.hasOwn(at, step) ? at[step] : undefined;
        if (typeof next !== "object" || next === null) break;
        at = next as Record<string, unknown>;
      }
      Object.defineProperty(at, path.at(-1) as string, { value, enumerable: true, configurable: true, writable: true });
    }
    return object;
  });

describe("nothing a client sends makes the server fail", () => {
  it("bodies of JSON and YAML, whole, broken and strange", async () => {
    const text = fc.oneof(
      fc.string(),
      tree.map((value) => JSON.stringify(value)),
      nearly.map((value) => JSON.stringify(value)),
      fc.tuple(nearly, fc.nat(), fc.string({ maxLength: 3 })).map(([value, at, odd]) => {
        const whole = JSON.stringify(value);
        return whole.slice(0, at % whole.length) + odd + whole.slice((at % whole.length) + 1);
      }),
      fc
        .array(
          fc.constantFrom(
            "a: ",
            "- ",
            "\n",
            "  ",
            "&x ",
            "*x",
            "{",
            "[",
            "'",
            '"',
            "|",
            "!!binary ",
            "<<: ",
            "? ",
            "#",
            "%YAML 1.1\n",
            "---\n",
          ),
          { maxLength: 30 },
        )
        .map((parts) => parts.join("")),
    );
    await fc.assert(
      fc.asyncProperty(text, fc.constantFrom("application/json", "application/yaml"), async (body, type) => {
        await mustBeAnswered("POST", `${DEPLOYMENTS}?dryRun=All`, type, body);
        await mustBeAnswered("PUT", `${DEPLOYMENTS}/d?dryRun=All`, type, body);
        await mustBeAnswered("DELETE", `${CONFIG_MAPS}/nobody`, type, body);
      }),
      settings,
    );
  });

  it("protobuf, with bytes changed, cut and added", async () => {
    const bytes = fc
      .tuple(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 8 }), fc.nat(), fc.uint8Array({ maxLength: 20 }))
      .map(([changes, cut, more]) => {
        const copy = Buffer.from(packed);
        for (const [at, byte] of changes) copy[4 + (at % (copy.length - 4))] = byte;
        return Buffer.concat([cut % 3 === 0 ? copy.subarray(0, 4 + (cut % copy.length)) : copy, more]);
      });
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          bytes,
          fc.uint8Array({ maxLength: 100 }).map((odd) => Buffer.concat([Buffer.from("k8s\0"), odd])),
        ),
        async (body) => {
          await mustBeAnswered("POST", `${DEPLOYMENTS}?dryRun=All`, "application/vnd.kubernetes.protobuf", body);
          await mustBeAnswered("DELETE", `${CONFIG_MAPS}/nobody`, "application/vnd.kubernetes.protobuf", body);
        },
      ),
      settings,
    );
  });

  it("patches of every type", async () => {
    const pointer = fc
      .array(fc.oneof(fc.constantFrom(...KEYS, "0", "-", "~0", "~2"), fc.string({ maxLength: 3 })), { maxLength: 6 })
      .map((steps) => `/${steps.join("/")}`);
    const operations = fc.array(
      fc.oneof(
        tree,
        fc.record({
          op: fc.constantFrom("add", "remove", "replace", "move", "copy", "test", "x"),
          path: pointer,
          from: pointer,
          value: tree,
        }),
      ),
      { maxLength: 5 },
    );
    const patch = fc.oneof(
      fc.tuple(fc.constant("application/json-patch+json"), fc.oneof(operations, tree)),
      fc.tuple(
        fc.constantFrom(
          "application/merge-patch+json",
          "application/strategic-merge-patch+json",
          "application/apply-patch+yaml",
        ),
        fc.oneof(tree, nearly),
      ),
    );
    await fc.assert(
      fc.asyncProperty(
        patch,
        fc.constantFrom(`${DEPLOYMENTS}/d`, `${CONFIG_MAPS}/c`, `${DEPLOYMENTS}/d/status`, `${DEPLOYMENTS}/d/scale`),
        async ([type, body], path) => {
          const query = type.includes("apply") ? "fieldManager=f&force=true&" : "";
          await mustBeAnswered("PATCH", `${path}?${query}dryRun=All`, type, JSON.stringify(body));
        },
      ),
      settings,
    );
  });

  it("selectors, versions, limits and tokens", async () => {
    const odd = fc.oneof(
      fc.string(),
      fc
        .array(
          fc.constantFrom(
            "a",
            "=",
            "==",
            "!=",
            "!",
            " in ",
            " notin ",
            "(",
            ")",
            ",",
            ">",
            "<",
            "\\",
            "metadata.name",
            "x/y",
            " ",
          ),
          { maxLength: 12 },
        )
        .map((parts) => parts.join("")),
    );
    const token = fc.oneof(
      odd,
      tree.map((value) => Buffer.from(JSON.stringify(value)).toString("base64url")),
    );
    await fc.assert(
      fc.asyncProperty(odd, odd, token, odd, async (labels, fields, next, other) => {
        for (const query of [
          { labelSelector: labels, fieldSelector: fields },
          { continue: next, limit: "1" },
          { limit: other, timeoutSeconds: other },
          { resourceVersion: other, resourceVersionMatch: labels },
          { resourceVersion: next, sendInitialEvents: other },
        ])
          await mustBeAnswered(
            "GET",
            `${CONFIG_MAPS}?${new URLSearchParams(query as Record<string, string>).toString()}`,
            "",
            "",
          );
        for (const parse of [parseLabelSelector, parseFieldSelector])
          try {
            parse(labels);
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
            expect(error).not.toBeInstanceOf(RangeError);
          }
      }),
      settings,
    );
  });

  it("paths of printer columns", () => {
    const path = fc.oneof(
      fc.string(),
      fc
        .array(
          fc.constantFrom(
            ".",
            "spec",
            "[",
            "]",
            "0",
            "-1",
            "*",
            "?(@.",
            "==",
            '"x"',
            ")",
            "'",
            "\\",
            "..",
            "{",
            "}",
            "@",
          ),
          { maxLength: 15 },
        )
        .map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(path, tree, (text, value) => {
        readFirst(value, text);
        readFirst(deployment, text);
      }),
      settings,
    );
  });
});
