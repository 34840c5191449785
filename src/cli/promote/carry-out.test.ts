import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigMap, Namespace } from "#apis/kubernetes";
import { systemClock } from "#base";
import { type Client, createClient } from "#client";
import { apiError, type KubeObject } from "#machinery";
import { createTestServer, type TestServer } from "#testing";
import { carryOut, codeOf, type RunOptions } from "./carry-out.ts";
import { type Candidate, phaseOf, planPromotion } from "./plan.ts";

let server: TestServer;
let plane: Client;
beforeAll(async () => {
  server = await createTestServer();
  plane = createClient(server.inside);
  await plane.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "a" } });
});
afterAll(() => server?.stop());

const candidate = (name: string): Candidate => ({
  kind: ConfigMap as never,
  template: { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: "a", name }, data: { a: "1" } } as KubeObject,
});

test.each([
  ["continue", ["done one", "failed bad", "done two"], ["one", "two"]],
  ["stop", ["done one", "failed bad", "skipped two"], ["one"]],
  ["rollback", ["skipped one", "failed bad", "skipped two"], []],
] as const)("cli 14.1: --on-error %s after one that the control plane refuses", async (onError, outcomes, left) => {
  /** Refuses one by its name, as an admission webhook would. */
  const strict: Client = {
    ...plane,
    create: (kind, object, options) =>
      object.metadata.name === "bad"
        ? Promise.reject(apiError(403, "Forbidden", "bad is denied"))
        : plane.create(kind, object, options),
  };
  const plan = planPromotion(["one", "bad", "two"].map(candidate), {
    cluster: "m1",
    policyMode: "none",
    withDependencies: false,
    policies: new Map(),
  });
  const options: RunOptions = {
    plane: strict,
    member: plane,
    clock: systemClock,
    onError,
    concurrency: 1,
    waitMs: 0,
    say: () => undefined,
  };
  const results = await carryOut(plan, options);
  expect(results.map(({ item, outcome }) => `${outcome} ${item.name}`)).toEqual(outcomes);
  expect(results.find(({ item }) => item.name === "bad")?.message).toBe("bad is denied");
  expect(codeOf(results)).toBe(1);
  const names = async () =>
    (await plane.list(ConfigMap, { namespace: "a" })).items.map(({ metadata }) => metadata.name ?? "");
  expect(await names()).toEqual(left);
  for (const name of left) await plane.delete(ConfigMap, { namespace: "a", name });
});

test("cli 14.1: kinds before what is of them, namespaces before what lies in them, workloads before what leads to them", () => {
  const order = [
    ["CustomResourceDefinition", undefined],
    ["Namespace", undefined],
    ["StorageClass", undefined],
    ["ClusterRole", undefined],
    ["Deployment", "a"],
    ["Ingress", "a"],
    ["Widget", "a"],
  ] as const;
  expect(order.map(([kind, namespace]) => phaseOf({ kind, namespace }))).toEqual([0, 1, 2, 3, 4, 5, 6]);
});
