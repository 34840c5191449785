/** Every manifest below `examples/` is accepted as it stands and does what it says. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { Deployment } from "#apis/kubernetes";
import { ResourceBinding } from "#apis/karmada";
import { createClient } from "#client";
import type { Fleet } from "#controlplane";
import type { KubeObject } from "#machinery";
import { eventually, startTestFleet } from "#testing";

const examples = fileURLToPath(new URL("../../examples", import.meta.url));

function manifestsBelow(folder: string): string[] {
  return readdirSync(folder).flatMap((entry) => {
    const path = join(folder, entry);
    if (statSync(path).isDirectory()) return manifestsBelow(path);
    return /\.ya?ml$/.test(entry) ? [path] : [];
  });
}

const manifests = manifestsBelow(examples);
let fleet: Fleet;
beforeAll(async () => {
  fleet = await startTestFleet(undefined, [
    "--allow-no-execute-taint-policy",
    "--feature-gates=AllAlpha=true,AllBeta=true",
  ]);
});
afterAll(() => fleet.stop());

test.each(manifests.map((path) => [path.slice(examples.length + 1), path]))(
  "%s is accepted, field by field",
  async (_, path) => {
    const { server } = fleet.controlPlane.api;
    for (const document of parseAllDocuments(readFileSync(path, "utf8"))) {
      expect(document.errors).toEqual([]);
      const object = document.toJS() as KubeObject;
      const [group, version] = object.apiVersion.includes("/") ? object.apiVersion.split("/") : ["", object.apiVersion];
      const kind = server.registry.findKind(group as string, version as string, object.kind)?.kind;
      if (kind === undefined) throw new Error(`${object.kind} is served by nobody`);
      await createClient(fleet.controlPlane.transport).create(kind, object, { fieldValidation: "Strict" });
    }
  },
);

test("the Deployment of the quickstart runs where its policy sends it, with member3's own image there", async () => {
  const client = createClient(fleet.controlPlane.transport);
  const at = { namespace: "default", name: "nginx" };
  const template = await eventually(async () => {
    const found = await client.get(Deployment, at);
    return found.status?.readyReplicas === found.spec?.replicas ? found : undefined;
  });
  const { spec } = await client.get(ResourceBinding, { namespace: "default", name: "nginx-deployment" });
  expect(spec.clusters?.reduce((sum, { replicas = 0 }) => sum + replicas, 0)).toBe(template.spec?.replicas);
  const far = await createClient(
    (fleet.members.get("member3") as NonNullable<ReturnType<typeof fleet.members.get>>).transport,
  ).get(Deployment, at);
  expect(far.spec?.template.spec?.containers[0]?.image).toBe("mirror.example.com/nginx:1.29");
});
