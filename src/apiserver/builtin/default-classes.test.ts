import { beforeEach, describe, expect, it } from "vitest";
import type { VirtualClock } from "#base";
import { getPath, type KubeObject } from "#machinery";
import { createTestServer, type TestServer } from "#testing";

let server: TestServer;
beforeEach(async () => {
  server = await createTestServer();
});

const create = (resource: string, body: object, namespace?: string) =>
  server.send("create", resource, { ...(namespace === undefined ? {} : { namespace }), body: body as KubeObject });
const storageClass = (name: string, annotations: object) =>
  create("storage.k8s.io/v1/storageclasses", {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name, annotations },
    provisioner: "example.com/p",
  });
const ingressClass = (name: string, isDefault: string) =>
  create("networking.k8s.io/v1/ingressclasses", {
    apiVersion: "networking.k8s.io/v1",
    kind: "IngressClass",
    metadata: { name, annotations: { "ingressclass.kubernetes.io/is-default-class": isDefault } },
    spec: { controller: "example.com/c" },
  });

let made = 0;
async function classOfClaim(spec: object = {}, annotations: object = {}): Promise<unknown> {
  const claim = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: `c${++made}`, annotations },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...spec },
  };
  return getPath(await create("v1/persistentvolumeclaims", claim, "default"), "spec", "storageClassName");
}
async function classOfIngress(spec: object = {}, annotations: object = {}): Promise<unknown> {
  const ingress = {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name: `i${++made}`, annotations },
    spec: { defaultBackend: { service: { name: "s", port: { number: 80 } } }, ...spec },
  };
  return getPath(await create("networking.k8s.io/v1/ingresses", ingress, "default"), "spec", "ingressClassName");
}
const laterBy = (ms: number) => (server.clock as VirtualClock).advance(ms);

describe("a claim that names no class", () => {
  it("gets the default one: the newest of several, the first by name of one second", async () => {
    expect(await classOfClaim()).toBeUndefined();
    await storageClass("other", { "storageclass.kubernetes.io/is-default-class": "false" });
    expect(await classOfClaim()).toBeUndefined();
    await storageClass("z", { "storageclass.beta.kubernetes.io/is-default-class": "true" });
    expect(await classOfClaim()).toBe("z");
    await laterBy(5_000);
    await storageClass("y", { "storageclass.kubernetes.io/is-default-class": "true" });
    await storageClass("x", { "storageclass.kubernetes.io/is-default-class": "true" });
    expect(await classOfClaim()).toBe("x");
  });

  it("keeps its own, be it none by its own words", async () => {
    await storageClass("z", { "storageclass.kubernetes.io/is-default-class": "true" });
    expect(await classOfClaim({ storageClassName: "own" })).toBe("own");
    expect(await classOfClaim({ storageClassName: "" })).toBe("");
    expect(await classOfClaim({}, { "volume.beta.kubernetes.io/storage-class": "old" })).toBeUndefined();
  });
});

it("an ingress that names no class gets the default one, and keeps what an annotation says", async () => {
  expect(await classOfIngress()).toBeUndefined();
  await ingressClass("b", "true");
  await ingressClass("a", "yes");
  expect(await classOfIngress()).toBe("b");
  expect(await classOfIngress({ ingressClassName: "own" })).toBe("own");
  expect(await classOfIngress({}, { "kubernetes.io/ingress.class": "old" })).toBeUndefined();
});

it("a node somebody registers takes no pods until it is known to be well", async () => {
  const client = server.server.transport({ name: "admin", groups: ["system:masters"] });
  const register = (name: string, taints: readonly object[]) =>
    client.send({
      verb: "create",
      group: "",
      version: "v1",
      resource: "nodes",
      body: { apiVersion: "v1", kind: "Node", metadata: { name }, spec: { taints } } as unknown as KubeObject,
    });
  const notReady = { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" };
  expect(getPath(await register("n1", []), "spec", "taints")).toEqual([notReady]);
  const own = [
    { key: "a", effect: "NoExecute" },
    { ...notReady, value: "x" },
  ];
  expect(getPath(await register("n2", own), "spec", "taints")).toEqual(own);
});
