import { expect, it } from "vitest";
import { getPath, type KubeObject } from "#machinery";
import { createTestServer } from "#testing";
import { reconcileFlowObjects } from "./reconcile.ts";

const SCHEMAS = "flowcontrol.apiserver.k8s.io/v1/flowschemas";

it("objects of the server are brought up to date unless somebody claimed them, and former ones go", async () => {
  const server = await createTestServer();
  const get = (name: string) => server.send("get", SCHEMAS, { name });
  const precedence = async (name: string) => getPath(await get(name), "spec", "matchingPrecedence");
  const change = (name: string, autoupdate: string) =>
    server.send("patch", SCHEMAS, {
      name,
      patchType: "application/merge-patch+json",
      body: {
        metadata: { annotations: { "apf.kubernetes.io/autoupdate-spec": autoupdate } },
        spec: { matchingPrecedence: 77 },
      },
    });
  await change("probes", "true");
  await change("global-default", "false");
  const { metadata, ...rest } = await get("probes");
  for (const [name, autoupdate] of [
    ["former", "true"],
    ["own", "false"],
  ] as const)
    await server.send("create", SCHEMAS, {
      body: {
        ...rest,
        metadata: { name, annotations: { ...metadata.annotations, "apf.kubernetes.io/autoupdate-spec": autoupdate } },
      } as KubeObject,
    });
  await reconcileFlowObjects(server.server);
  expect(await precedence("probes")).toBe(2);
  expect(await precedence("global-default")).toBe(77);
  await expect(get("former")).rejects.toThrow("not found");
  expect(await precedence("own")).toBe(77);
  const before = (await get("probes")).metadata.resourceVersion;
  await reconcileFlowObjects(server.server);
  expect((await get("probes")).metadata.resourceVersion).toBe(before);
  server.stop();
});
