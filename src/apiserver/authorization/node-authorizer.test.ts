import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { KubeObject, PatchType } from "#machinery";
import { createTestServer, type TestServer } from "#testing";

/** What a kubelet may, as kube-apiserver with `--authorization-mode=Node,RBAC` and NodeRestriction says it. */

let server: TestServer;
const N1 = { name: "system:node:n1", groups: ["system:nodes", "system:authenticated"] };
const NS = "/api/v1/namespaces/default";
const LEASES = "/apis/coordination.k8s.io/v1/namespaces";
const MIRROR = { "kubernetes.io/config.mirror": "x" };

const pod = (name: string, nodeName: string, more: object = {}, annotations: object = {}) =>
  ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, annotations },
    spec: { nodeName, containers: [{ name: "c", image: "i" }], ...more },
  }) as unknown as KubeObject;
const node = (name: string, labels: object = {}) => ({ apiVersion: "v1", kind: "Node", metadata: { name, labels } });
const make = (resource: string, body: object, namespace?: string) =>
  server.send("create", resource, { body, ...(namespace === undefined ? {} : { namespace }) });

/** `$uid` in a body is the uid of the node n1. */
async function ask(method: string, url: string, body?: object, user = N1) {
  const sent = body === undefined ? "" : JSON.stringify(body);
  const uid = sent.includes("$uid") ? (await server.send("get", "v1/nodes", { name: "n1" })).metadata.uid : undefined;
  const type: PatchType | "application/json" = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  const answer = await server.front.handle({
    method,
    url,
    headers: { "content-type": type },
    body: () => Promise.resolve(Buffer.from(sent.replace("$uid", uid ?? ""))),
    trustedUser: user,
  });
  if (!("body" in answer)) throw new Error("a stream was not asked for");
  const parsed = JSON.parse(answer.body.toString()) as { readonly message?: string };
  return `${answer.status} ${answer.status < 300 ? "" : (parsed.message ?? "")}`.trim();
}

beforeAll(async () => {
  server = await createTestServer({ authorizesNodes: true });
  await make("v1/nodes", node("n2"));
  for (const name of ["used", "pulled", "from-env", "projected", "unused", "driver"]) {
    await make("v1/secrets", { apiVersion: "v1", kind: "Secret", metadata: { name } }, "default");
    await make("v1/configmaps", { apiVersion: "v1", kind: "ConfigMap", metadata: { name } }, "default");
  }
  for (const name of ["default", "robot"])
    await make("v1/serviceaccounts", { apiVersion: "v1", kind: "ServiceAccount", metadata: { name } }, "default");
  const size = { requests: { storage: "1Gi" } };
  await make(
    "v1/persistentvolumeclaims",
    {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "claim" },
      spec: { accessModes: ["ReadWriteOnce"], resources: size, volumeName: "volume" },
    },
    "default",
  );
  await make("v1/persistentvolumes", {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "volume" },
    spec: {
      accessModes: ["ReadWriteOnce"],
      capacity: { storage: "1Gi" },
      csi: { driver: "d", volumeHandle: "h", nodePublishSecretRef: { name: "driver", namespace: "default" } },
    },
  });
  const needs = {
    serviceAccountName: "robot",
    imagePullSecrets: [{ name: "pulled" }],
    containers: [
      { name: "c", image: "i", env: [{ name: "E", valueFrom: { secretKeyRef: { name: "from-env", key: "k" } } }] },
    ],
    volumes: [
      { name: "s", secret: { secretName: "used" } },
      { name: "c", configMap: { name: "used" } },
      { name: "p", projected: { sources: [{ secret: { name: "projected" } }, { configMap: { name: "projected" } }] } },
      { name: "v", persistentVolumeClaim: { claimName: "claim" } },
      { name: "t", projected: { sources: [{ serviceAccountToken: { path: "t" } }] } },
    ],
  };
  await make("v1/pods", pod("p1", "n1", needs), "default");
  await make("v1/pods", pod("p2", "n2"), "default");
});
afterAll(() => server.stop());

const forbidden = (what: string, verb: string, resource: string, why: string, where = 'in the namespace "default"') =>
  `403 ${what} is forbidden: User "system:node:n1" cannot ${verb} resource "${resource}" in API group "" ${where}${why === "" ? "" : `: ${why}`}`;
const CLUSTER = "at the cluster scope";
const UNRELATED = "no relationship found between node 'n1' and this object";

describe("a kubelet reads", () => {
  it.each([
    ["its own Node only", "/api/v1/nodes?fieldSelector=metadata.name%3Dn1", "200"],
    [
      "no other Node",
      "/api/v1/nodes/n2",
      forbidden('nodes "n2"', "get", "nodes", "node 'n1' cannot read 'n2', only its own Node object", CLUSTER),
    ],
    [
      "not all Nodes",
      "/api/v1/nodes",
      forbidden("nodes", "list", "nodes", "node 'n1' cannot read all nodes, only its own Node object", CLUSTER),
    ],
    ["the Pods of its node", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", "200"],
    [
      "not all Pods",
      "/api/v1/pods",
      forbidden("pods", "list", "pods", "can only list/watch pods with spec.nodeName field selector", CLUSTER),
    ],
    ["a Pod on its node", `${NS}/pods/p1`, "200"],
    ["no Pod of another", `${NS}/pods/p2`, forbidden('pods "p2"', "get", "pods", UNRELATED)],
    ["a Secret that a volume needs", `${NS}/secrets/used`, "200"],
    ["a Secret for images", `${NS}/secrets/pulled`, "200"],
    ["a Secret in the environment", `${NS}/secrets/from-env`, "200"],
    ["a projected Secret", `${NS}/secrets/projected`, "200"],
    ["a Secret of a volume's driver", `${NS}/secrets/driver`, "200"],
    ["no Secret that nobody needs", `${NS}/secrets/unused`, forbidden('secrets "unused"', "get", "secrets", UNRELATED)],
    ["a single Secret by a list", `${NS}/secrets?fieldSelector=metadata.name%3Dused`, "200"],
    ["not all Secrets", `${NS}/secrets`, forbidden("secrets", "list", "secrets", "No Object name found")],
    ["a ConfigMap that a volume needs", `${NS}/configmaps/used`, "200"],
    ["a projected ConfigMap", `${NS}/configmaps/projected`, "200"],
    [
      "no ConfigMap that nobody needs",
      `${NS}/configmaps/unused`,
      forbidden('configmaps "unused"', "get", "configmaps", UNRELATED),
    ],
    ["a claim", `${NS}/persistentvolumeclaims/claim`, "200"],
    ["the volume of a claim", "/api/v1/persistentvolumes/volume", "200"],
    [
      "not all volumes",
      "/api/v1/persistentvolumes",
      forbidden(
        "persistentvolumes",
        "list",
        "persistentvolumes",
        "can only get individual resources of this type",
        CLUSTER,
      ),
    ],
    ["Services", "/api/v1/services", "200"],
    [
      "no Deployments",
      "/apis/apps/v1/deployments",
      '403 deployments.apps is forbidden: User "system:node:n1" cannot list resource "deployments" in API group "apps" at the cluster scope',
    ],
  ])("%s", async (_title, path, answer) => {
    expect(await ask("GET", path)).toBe(answer);
  });
});

describe("a kubelet writes", () => {
  const own = { ownerReferences: [{ apiVersion: "v1", kind: "Node", name: "n1", uid: "$uid", controller: true }] };
  const mirror = (name: string, on: string, more: object = {}, metadata: object = {}) => {
    const made = pod(name, on, more, MIRROR);
    return { ...made, metadata: { ...made.metadata, ...metadata } };
  };
  it.each<[string, string, string, object | undefined, string]>([
    [
      "no Node of another",
      "POST",
      "/api/v1/nodes",
      node("n2"),
      '403 nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"',
    ],
    [
      "no labels that are kept from nodes",
      "POST",
      "/api/v1/nodes",
      node("n1", { "node-restriction.kubernetes.io/x": "y", "kubernetes.io/odd": "y" }),
      '403 nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: kubernetes.io/odd, node-restriction.kubernetes.io/x',
    ],
    ["its own Node", "POST", "/api/v1/nodes", node("n1", { "kubernetes.io/hostname": "n1", mine: "a" }), "201"],
    [
      "no role on itself",
      "PATCH",
      "/api/v1/nodes/n1",
      { metadata: { labels: { "node-role.kubernetes.io/master": "" } } },
      '403 nodes "n1" is forbidden: is not allowed to modify labels: node-role.kubernetes.io/master',
    ],
    [
      "no taints on itself",
      "PATCH",
      "/api/v1/nodes/n1",
      { spec: { taints: [{ key: "a", effect: "NoSchedule" }] } },
      '403 nodes "n1" is forbidden: node "n1" is not allowed to modify taints',
    ],
    ["its own status", "PATCH", "/api/v1/nodes/n1/status", { status: { phase: "Running" } }, "200"],
    [
      "no status of another Node",
      "PATCH",
      "/api/v1/nodes/n2/status",
      { status: { phase: "x" } },
      '403 nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"',
    ],
    [
      "no deletion of its Node",
      "DELETE",
      "/api/v1/nodes/n1",
      undefined,
      forbidden('nodes "n1"', "delete", "nodes", "", CLUSTER),
    ],
    [
      "no Secret",
      "PATCH",
      `${NS}/secrets/used`,
      {},
      forbidden('secrets "used"', "patch", "secrets", "can only read resources of this type"),
    ],
    ["the status of a Pod of its own", "PATCH", `${NS}/pods/p1/status`, { status: { phase: "Running" } }, "200"],
    [
      "no status of another Pod",
      "PATCH",
      `${NS}/pods/p2/status`,
      { status: { phase: "Running" } },
      '403 pods "p2" is forbidden: node "n1" can only update pod status for pods with spec.nodeName set to itself',
    ],
    [
      "no Pod that is no mirror",
      "POST",
      `${NS}/pods`,
      pod("m", "n1"),
      '403 pods "m" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods',
    ],
    [
      "no mirror Pod for another node",
      "POST",
      `${NS}/pods`,
      mirror("m", "n2"),
      '403 pods "m" is forbidden: node "n1" can only create pods with spec.nodeName set to itself',
    ],
    [
      "no mirror Pod with an account",
      "POST",
      `${NS}/pods`,
      mirror("m", "n1", { serviceAccountName: "robot" }, own),
      '403 pods "m" is forbidden: node "n1" can not create pods that reference serviceaccounts',
    ],
    [
      "no mirror Pod without an owner",
      "POST",
      `${NS}/pods`,
      mirror("m", "n1"),
      '403 pods "m" is forbidden: node "n1" can only create pods with an owner reference set to itself',
    ],
    [
      "no mirror Pod with a Secret",
      "POST",
      `${NS}/pods`,
      mirror("m", "n1", { volumes: [{ name: "s", secret: { secretName: "unused" } }] }, own),
      '403 pods "m" is forbidden: node "n1" can not create pods that reference secrets',
    ],
    ["a mirror Pod of its own", "POST", `${NS}/pods`, mirror("m", "n1", {}, own), "201"],
    [
      "no deletion of another Pod",
      "DELETE",
      `${NS}/pods/p2`,
      undefined,
      '403 pods "p2" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself',
    ],
    [
      "no token that is bound to nothing",
      "POST",
      `${NS}/serviceaccounts/robot/token`,
      { spec: {} },
      '403 serviceaccounts "robot" is forbidden: node requested token not bound to a pod',
    ],
    [
      "no token of an account no Pod here has",
      "POST",
      `${NS}/serviceaccounts/default/token`,
      { spec: {} },
      forbidden('serviceaccounts "default"', "create", "serviceaccounts/token", UNRELATED),
    ],
    ["its own Lease", "POST", `${LEASES}/kube-node-lease/leases`, { metadata: { name: "n1" } }, "201"],
    [
      "no Lease of another",
      "POST",
      `${LEASES}/kube-node-lease/leases`,
      { metadata: { name: "n2" } },
      '403 leases.coordination.k8s.io "n2" is forbidden: can only access node lease with the same name as the requesting node',
    ],
    [
      "no Lease elsewhere",
      "POST",
      `${LEASES}/default/leases`,
      { metadata: { name: "n1" } },
      '403 leases.coordination.k8s.io is forbidden: User "system:node:n1" cannot create resource "leases" in API group "coordination.k8s.io" in the namespace "default": can only access leases in the "kube-node-lease" system namespace',
    ],
    [
      "no CSINode of another",
      "POST",
      "/apis/storage.k8s.io/v1/csinodes",
      { metadata: { name: "n2" }, spec: { drivers: [] } },
      '403 csinodes.storage.k8s.io "n2" is forbidden: can only access CSINode with the same name as the requesting node',
    ],
  ])("%s", async (_title, method, path, body, answer) => {
    expect(await ask(method, path, body)).toBe(answer);
  });

  it("a token bound to a Pod of its own", async () => {
    const { metadata } = await server.send("get", "v1/pods", { namespace: "default", name: "p1" });
    const boundObjectRef = { apiVersion: "v1", kind: "Pod", name: "p1", uid: metadata.uid };
    expect(await ask("POST", `${NS}/serviceaccounts/robot/token`, { spec: { boundObjectRef } })).toBe("201");
    const audiences = ["stranger"];
    expect(await ask("POST", `${NS}/serviceaccounts/robot/token`, { spec: { boundObjectRef, audiences } })).toBe(
      '403 serviceaccounts "robot" is forbidden: audience "stranger" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience',
    );
  });

  it("nothing once the Pod that needed it is gone", async () => {
    await server.send("delete", "v1/pods", { namespace: "default", name: "p1", options: { gracePeriodSeconds: 0 } });
    expect(await ask("GET", `${NS}/secrets/used`)).toBe(forbidden('secrets "used"', "get", "secrets", UNRELATED));
  });
});

it("somebody in the group with another name is no node", async () => {
  const odd = { name: "odd", groups: ["system:nodes", "system:authenticated"] };
  expect(await ask("GET", "/api/v1/nodes/n2", undefined, odd)).toBe(
    '403 nodes "n2" is forbidden: User "odd" cannot get resource "nodes" in API group "" at the cluster scope',
  );
});
