/** Templates of a kind that another server serves behind an APIService of the control plane. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ClusterRoleBinding, CustomResourceDefinition, Endpoints, Namespace, Service } from "#apis/kubernetes";
import { PropagationPolicy, ResourceBinding } from "#apis/karmada";
import type { Listener, RunningApiServer } from "#apiserver";
import { loadPki } from "#certs";
import { type Client, createClient } from "#client";
import type { Fleet } from "#controlplane";
import type { KubeObject, ResourceKind } from "#machinery";
import {
  aDefinition,
  aPropagationPolicy,
  aWidget,
  eventually,
  startTestApiServer,
  startTestFleet,
  Widget,
} from "#testing";

const APIService: ResourceKind = {
  group: "apiregistration.k8s.io",
  version: "v1",
  kind: "APIService",
  resource: "apiservices",
  namespaced: false,
};
const at = (name: string) => ({ namespace: "default", name });
const LIMIT_MS = 60_000;

let fleet: Fleet;
let plane: Client;
let member: Client;
let other: RunningApiServer;
let listener: Listener;
let remote: Client;

beforeAll(async () => {
  fleet = await startTestFleet(["m1"]);
  plane = createClient(fleet.controlPlane.transport);
  member = createClient(fleet.members.get("m1")?.transport as never);
  const { data } = (await plane.get(
    { group: "", version: "v1", kind: "ConfigMap", resource: "configmaps", namespaced: true } as ResourceKind,
    { namespace: "kube-system", name: "extension-apiserver-authentication" },
  )) as KubeObject & { readonly data: Readonly<Record<string, string>> };
  const pki = await loadPki(undefined, ["widgets.default.svc"]);
  other = await startTestApiServer();
  remote = createClient(other.transport());
  await remote.create(CustomResourceDefinition, aDefinition(Widget));
  await remote.create(ClusterRoleBinding, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: "front-proxy" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "front-proxy-client" }],
  });
  listener = await other.listen({
    host: "127.0.0.1",
    port: 0,
    certificate: pki.server.certificate,
    key: pki.server.key,
    clientAuthority: data["requestheader-client-ca-file"] ?? "",
  });
  await member.create(CustomResourceDefinition, aDefinition(Widget));
  await plane.create(Service, {
    apiVersion: "v1",
    kind: "Service",
    metadata: at("widgets"),
    spec: { ports: [{ port: 443 }] },
  });
  await plane.create(Endpoints, {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: at("widgets"),
    subsets: [{ addresses: [{ ip: "127.0.0.1" }], ports: [{ port: listener.port }] }],
  });
  await plane.create(APIService, {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: "v1.example.io" },
    spec: {
      group: "example.io",
      version: "v1",
      groupPriorityMinimum: 100,
      versionPriority: 10,
      service: { namespace: "default", name: "widgets" },
      caBundle: Buffer.from(pki.authority.certificate).toString("base64"),
    },
  } as unknown as KubeObject);
}, 120_000);
afterAll(async () => {
  await fleet.stop();
  await listener.close();
  other.stop();
});

test("2.1 they are claimed, bound, carried out and followed; their copies go when they do", async () => {
  await plane.create(
    PropagationPolicy,
    aPropagationPolicy("widgets", { clusterAffinity: { clusterNames: ["m1"] } }, "default", {
      resourceSelectors: [{ apiVersion: "example.io/v1", kind: "Widget" }],
    }),
  );
  await remote.create(Widget, aWidget("gear", 1));
  const copy = () => member.find(Widget, at("gear")) as Promise<(KubeObject & { spec: { n: number } }) | undefined>;
  await eventually(copy, LIMIT_MS);
  // What the control plane writes on a template arrives where the template is.
  const claimed = await remote.get(Widget, at("gear"));
  expect(Object.keys(claimed.metadata.labels ?? {})).toEqual(["propagationpolicy.karmada.io/permanent-id"]);
  await remote.update(Widget, { ...claimed, spec: { n: 2 } } as unknown as KubeObject);
  await eventually(async () => (await copy())?.spec.n === 2, LIMIT_MS);
  expect(await plane.find(ResourceBinding, at("gear-widget"))).toBeDefined();
  await remote.delete(Widget, at("gear"));
  await eventually(async () => (await copy()) === undefined, LIMIT_MS);
  expect(await plane.find(ResourceBinding, at("gear-widget"))).toBeUndefined();
}, 240_000);

test("their server going takes nothing along, and a namespace of the control plane waits for it", async () => {
  await remote.create(Widget, aWidget("wheel", 1));
  await eventually(() => member.find(Widget, at("wheel")), LIMIT_MS);
  await plane.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "waiting" } });
  await listener.close();
  await plane.delete(Namespace, { name: "waiting" });
  await eventually(async () => {
    const { status } = await plane.get(Namespace, { name: "waiting" });
    return status?.conditions?.some(({ message }) => message?.includes("widgets.example.io: "));
  }, LIMIT_MS);
  await plane.delete(APIService, { name: "v1.example.io" });
  await eventually(async () => (await plane.find(Namespace, { name: "waiting" })) === undefined, LIMIT_MS);
  expect(await member.find(Widget, at("wheel"))).toBeDefined();
  expect(await plane.find(ResourceBinding, at("wheel-widget"))).toBeDefined();
}, 240_000);
