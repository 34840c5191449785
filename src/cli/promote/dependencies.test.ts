import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigMap, Namespace } from "#apis/kubernetes";
import { type Client, createClient } from "#client";
import type { KubeObject } from "#machinery";
import { createTestServer, type TestServer } from "#testing";
import { followDependencies } from "./dependencies.ts";

let server: TestServer;
let member: Client;
const names = ["a", "b", "c", "d", "e"];
beforeAll(async () => {
  server = await createTestServer();
  member = createClient(server.inside);
  await member.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
  for (const name of names)
    await member.create(ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: "shop", name, labels: { even: String(names.indexOf(name) % 2 === 0) } },
    });
});
afterAll(() => server?.stop());

const to = (name: string) => ({ apiVersion: "v1", kind: "ConfigMap", namespace: "shop", name });
/** Each needs what stands behind its name. */
const follow = async (needs: Readonly<Record<string, readonly object[]>>, limit?: number) => {
  const warnings: string[] = [];
  const root = { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: "shop", name: "a" } } as KubeObject;
  const found = await followDependencies([root], {
    interpreter: { dependencies: ({ metadata }) => needs[metadata.name ?? ""] as never },
    member,
    cluster: "m1",
    warn: (text) => void warnings.push(text),
    ...(limit === undefined ? {} : { limit }),
  });
  return { found: found.map(({ name, level }) => `${name} ${level}`), warnings };
};

test.each([
  ["a chain to its end", { a: [to("b")], b: [to("c")], c: [to("d")] }, ["b 1", "c 2", "d 3"]],
  ["a loop once", { a: [to("b")], b: [to("c")], c: [to("a"), to("b")] }, ["b 1", "c 2"]],
  [
    "what many need once, at its nearest",
    { a: [to("b"), to("c")], b: [to("d")], c: [to("d"), to("b")] },
    ["b 1", "c 1", "d 2"],
  ],
  [
    "what labels select",
    {
      a: [{ apiVersion: "v1", kind: "ConfigMap", namespace: "shop", labelSelector: { matchLabels: { even: "true" } } }],
    },
    ["c 1", "e 1"],
  ],
] as const)("follows %s", async (_what, needs, expected) => {
  expect(await follow(needs)).toEqual({ found: expected, warnings: [] });
});

test("says what is not there and goes on, and refuses more than it follows", async () => {
  const needs = { a: [to("none"), { ...to("x"), kind: "Nothing" }, to("b")], b: [to("c")], c: [to("d")] };
  expect(await follow(needs)).toEqual({
    found: ["b 1", "c 2", "d 3"],
    warnings: [
      'dependency "/v1, Resource=configmaps"(shop/none) is not in cluster(m1)',
      "dependency Nothing x is left out: cluster(m1) has no such kind",
    ],
  });
  await expect(follow(needs, 2)).rejects.toThrow(
    "more than 2 objects are needed, by one another: promote them in parts",
  );
});
