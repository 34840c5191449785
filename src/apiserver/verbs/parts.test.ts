import { afterEach, describe, expect, it } from "vitest";
import { getPath, type KubeObject, type ResourceRequest } from "#machinery";
import { createTestServer, type TestServer } from "#testing";
import { systemUser } from "../definition.ts";

let server: TestServer;
afterEach(() => {
  server.stop();
});

/** Sends as clients outside do: owners of fields are kept. */
async function start() {
  server = await createTestServer();
  const outside = server.server.transport(systemUser, { tracksFields: true });
  return (verb: ResourceRequest["verb"], resource: string, rest: object): Promise<KubeObject> => {
    const [name = "", version = "", group = ""] = resource.split("/").reverse();
    return outside.send({
      verb,
      group,
      version,
      resource: name,
      namespace: "default",
      ...rest,
    } as unknown as ResourceRequest);
  };
}

const containers = [{ name: "c", image: "nginx", resources: { requests: { cpu: "100m" } } }];
const deployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "d" },
  spec: {
    selector: { matchLabels: { a: "b" } },
    template: { metadata: { labels: { a: "b" } }, spec: { containers } },
  },
};
const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "p", labels: { kept: "yes" } }, spec: { containers } };
const ownersOfReplicas = (object: KubeObject) =>
  (object.metadata.managedFields ?? [])
    .filter(({ fieldsV1 }) => getPath(fieldsV1, "f:spec", "f:replicas") !== undefined)
    .map(({ manager, operation, subresource }) => `${manager} ${operation} ${subresource ?? "whole"}`);

describe("a Scale", () => {
  it("gives the replicas to who writes it, and takes them from who owned them", async () => {
    const send = await start();
    const at = { name: "d" };
    const scale = (replicas: number) => ({
      apiVersion: "autoscaling/v1",
      kind: "Scale",
      metadata: { name: "d" },
      spec: { replicas },
    });
    const made = await send("create", "apps/v1/deployments", { body: deployment, options: { fieldManager: "maker" } });
    expect(ownersOfReplicas(made)).toEqual(["maker Update whole"]);
    const write = (body: object, rest: object) =>
      send("update", "apps/v1/deployments", { ...at, subresource: "scale", body, ...rest });
    await write(scale(3), { options: { fieldManager: "scaler" } });
    expect(ownersOfReplicas(await send("get", "apps/v1/deployments", at))).toEqual(["scaler Update scale"]);

    const apply = (force: boolean) =>
      send("patch", "apps/v1/deployments", {
        ...at,
        subresource: "scale",
        patchType: "application/apply-patch+yaml",
        body: scale(5),
        options: { fieldManager: "applier", force },
      });
    await expect(apply(false)).rejects.toThrow('conflict with "scaler" with subresource "scale" using autoscaling/v1');
    expect(getPath(await apply(true), "spec", "replicas")).toBe(5);
    expect(ownersOfReplicas(await send("get", "apps/v1/deployments", at))).toEqual(["applier Apply scale"]);

    await expect(write({ ...scale(1), kind: "Deployment", apiVersion: "apps/v1" }, {})).rejects.toThrow(
      "cannot be handled as a Scale",
    );
    await expect(write(scale(-1), {})).rejects.toThrow("spec.replicas: Invalid value: -1");
  });
});

describe("parts of a pod", () => {
  it("a binding gives it a node, labels and a condition, and changes nothing else", async () => {
    const send = await start();
    const made = await send("create", "v1/pods", { body: pod });
    const bind = (body: object, options: object = {}) =>
      send("create", "v1/pods", {
        name: "p",
        subresource: "binding",
        options,
        body: { apiVersion: "v1", kind: "Binding", ...body },
      });
    await expect(bind({ metadata: { name: "q" }, target: { name: "n" } })).rejects.toThrow("name in URL");
    await expect(bind({ metadata: { name: "p" }, target: {} })).rejects.toThrow("target.name: Required value");
    await bind({ metadata: { name: "p" }, target: { name: "n" } }, { dryRun: true });
    await bind({ metadata: { name: "p", labels: { zone: "z" } }, target: { kind: "Node", name: "n" } });
    expect(await send("get", "v1/pods", { name: "p" })).toMatchObject({
      metadata: {
        generation: 1,
        labels: { kept: "yes", zone: "z" },
        managedFields: made.metadata.managedFields,
      },
      spec: { nodeName: "n" },
      status: { conditions: [{ type: "PodScheduled", status: "True" }] },
    });
  });

  it("a resize changes amounts alone, and containers that joined stay", async () => {
    const send = await start();
    await send("create", "v1/pods", { body: pod });
    const patch = (subresource: string, spec: object) =>
      send("patch", "v1/pods", {
        name: "p",
        subresource,
        patchType: "application/strategic-merge-patch+json",
        body: { metadata: { labels: { ignored: "yes" } }, spec },
      });
    const resized = await patch("resize", {
      containers: [{ name: "c", image: "other", resources: { requests: { cpu: "200m" } } }],
    });
    expect(resized).toMatchObject({
      metadata: { labels: { kept: "yes" }, generation: 2 },
      spec: { containers: [{ image: "nginx", resources: { requests: { cpu: "200m" } } }] },
    });
    expect(resized.metadata.labels).not.toHaveProperty("ignored");
    await expect(
      patch("resize", { containers: [{ name: "c", resources: { requests: { cpu: null } } }] }),
    ).rejects.toThrow("resource requests cannot be removed");
    await patch("ephemeralcontainers", { ephemeralContainers: [{ name: "e", image: "busybox" }] });
    await expect(
      patch("ephemeralcontainers", { ephemeralContainers: [{ name: "e", image: "other" }] }),
    ).rejects.toThrow('existing ephemeral containers "e" may not be changed');
    await expect(
      patch("ephemeralcontainers", { ephemeralContainers: [{ name: "f", image: "x", ports: [{ containerPort: 1 }] }] }),
    ).rejects.toThrow("ports: Forbidden: cannot be set for an Ephemeral Container");
  });
});
