import type { IncomingMessage } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "#base";
import { loadPki, type Pki } from "#certs";
import type { ApiError, KubeObject } from "#machinery";
import { createTestServer, eventually, httpsClient, type HttpsClient, type TestServer } from "#testing";
import type { Listener } from "../http/listener.ts";

const SERVICES = "apiregistration.k8s.io/v1/apiservices";
let pki: Pki;
let server: TestServer;
let listener: Listener;
let admin: HttpsClient;
let remote: Server;
let port = 0;
let isBroken = false;
const seen: { url: string; headers: IncomingMessage["headers"]; groups: string[]; peer: string }[] = [];

beforeAll(async () => {
  pki = await loadPki(undefined, ["metrics.extra.svc"]);
  server = await createTestServer({
    clock: systemClock,
    serviceAccountKeys: pki.serviceAccount,
    aggregation: { proxyCertificate: () => pki.frontProxy, authority: () => pki.authority.certificate },
    namespaces: ["extra"],
  });
  listener = await server.listen({
    host: "127.0.0.1",
    port: 0,
    certificate: pki.server.certificate,
    key: pki.server.key,
    clientAuthority: pki.authority.certificate,
  });
  admin = httpsClient(listener.port, pki.authority.certificate, pki.admin);
  remote = createServer(
    { cert: pki.server.certificate, key: pki.server.key, ca: pki.authority.certificate, requestCert: true },
    (request, response) => {
      const groups: string[] = [];
      for (let at = 0; at < request.rawHeaders.length; at += 2)
        if (request.rawHeaders[at]?.toLowerCase() === "x-remote-group")
          groups.push(request.rawHeaders[at + 1] as string);
      const { subject } = (request.socket as TLSSocket).getPeerCertificate();
      seen.push({ url: request.url ?? "", headers: request.headers, groups, peer: String(subject?.CN) });
      response.setHeader("content-type", "application/json");
      if (isBroken) return void response.writeHead(500).end("{}");
      if (request.url === "/apis/metrics.example.io/v1")
        return void response.end(
          JSON.stringify({
            kind: "APIResourceList",
            groupVersion: "metrics.example.io/v1",
            resources: [
              {
                name: "loads",
                singularName: "load",
                namespaced: true,
                kind: "Load",
                verbs: ["get", "list"],
                shortNames: ["ld"],
              },
              { name: "loads/status", kind: "Load", verbs: ["get"] },
            ],
          }),
        );
      response.end(
        JSON.stringify({ kind: "LoadList", apiVersion: "metrics.example.io/v1", items: [{ url: request.url }] }),
      );
    },
  );
  await new Promise<void>((resolve) => remote.listen(0, "127.0.0.1", resolve));
  port = (remote.address() as AddressInfo).port;
});
afterAll(async () => {
  remote.closeAllConnections();
  remote.close();
  await admin.close();
  await listener.close();
  server.stop();
});

const apiService = (group: string, more: object = {}) => ({
  apiVersion: "apiregistration.k8s.io/v1",
  kind: "APIService",
  metadata: { name: `v1.${group}` },
  spec: {
    group,
    version: "v1",
    groupPriorityMinimum: 100,
    versionPriority: 10,
    service: { namespace: "extra", name: "metrics" },
    caBundle: Buffer.from(pki.authority.certificate).toString("base64"),
    ...more,
  },
});
const available = async (name: string) => {
  const { status } = (await server.send("get", SERVICES, { name })) as KubeObject & {
    status?: { conditions?: { status: string; reason: string; message: string }[] };
  };
  const condition = status?.conditions?.[0];
  return condition === undefined ? undefined : `${condition.status} ${condition.reason} ${condition.message}`;
};
const becomes = (words: string) =>
  eventually(async () => {
    const found = await available("v1.metrics.example.io");
    if (!found?.startsWith(words)) throw new Error(String(found));
    return found;
  });

describe("aggregation", () => {
  test("what is served here has local APIServices, also for CRDs as they come and go", async () => {
    await eventually(async () => (await available("v1.apps")) === "True Local Local APIServices are always available");
    await eventually(async () => (await available("v1."))?.startsWith("True Local"));
    await server.send("create", "apiextensions.k8s.io/v1/customresourcedefinitions", {
      body: {
        apiVersion: "apiextensions.k8s.io/v1",
        kind: "CustomResourceDefinition",
        metadata: { name: "things.example.io" },
        spec: {
          group: "example.io",
          scope: "Cluster",
          names: { plural: "things", singular: "thing", kind: "Thing" },
          versions: [{ name: "v2", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
        },
      },
    });
    await eventually(async () => (await available("v2.example.io"))?.startsWith("True"));
    await server.send("delete", "apiextensions.k8s.io/v1/customresourcedefinitions", { name: "things.example.io" });
    await eventually(() =>
      available("v2.example.io").then(
        () => false,
        (error: ApiError) => error.status.code === 404,
      ),
    );
    const config = (await server.send("get", "v1/configmaps", {
      namespace: "kube-system",
      name: "extension-apiserver-authentication",
    })) as KubeObject & { data: Record<string, string> };
    expect(config.data["requestheader-allowed-names"]).toBe('["front-proxy-client"]');
  });

  test("conditions say step by step what a remote one lacks; then it is discovered and answers as the caller", async () => {
    await server.send("create", SERVICES, { body: apiService("metrics.example.io") });
    await becomes('False ServiceNotFound service/metrics in "extra" is not present');
    expect((await admin.ask("GET", "/apis/metrics.example.io/v1/loads")).status).toBe(503);
    const service = (ports: object[]) => ({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "metrics", namespace: "extra" },
      spec: { ports },
    });
    const made = await server.send("create", "v1/services", { namespace: "extra", body: service([{ port: 80 }]) });
    await becomes('False ServicePortError service/metrics in "extra" is not listening on port 443');
    await server.send("update", "v1/services", {
      namespace: "extra",
      name: "metrics",
      body: { ...made, spec: { ...(made as { spec?: object }).spec, ports: [{ port: 443 }] } },
    });
    await becomes("False MissingEndpoints");
    await server.send("create", "v1/endpoints", {
      namespace: "extra",
      body: {
        apiVersion: "v1",
        kind: "Endpoints",
        metadata: { name: "metrics", namespace: "extra" },
        subsets: [{ addresses: [{ ip: "127.0.0.1" }], ports: [{ port }] }],
      },
    });
    await becomes("True Passed all checks passed");
    const groups = (await admin.ask("GET", "/apis")).json["groups"] as { name: string }[];
    expect(groups.map(({ name }) => name)).toContain("metrics.example.io");
    const aggregated = await admin.ask("GET", "/apis", {
      headers: { accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" },
    });
    expect(aggregated.text).toContain(
      '"resource":"loads","responseKind":{"group":"metrics.example.io","version":"v1","kind":"Load"}',
    );
    seen.length = 0;
    const own = httpsClient(listener.port, pki.authority.certificate, pki.admin);
    const got = await own.ask("GET", "/apis/metrics.example.io/v1/namespaces/a/loads?limit=3", {
      headers: {
        "impersonate-user": "ann",
        "impersonate-group": "system:masters",
        "impersonate-extra-scopes": "x,y",
        "x-remote-user": "mallory",
      },
    });
    await own.close();
    expect(got.json).toMatchObject({
      kind: "LoadList",
      items: [{ url: "/apis/metrics.example.io/v1/namespaces/a/loads?limit=3" }],
    });
    expect(seen[0]).toMatchObject({
      peer: "front-proxy-client",
      headers: { "x-remote-user": "ann", "x-remote-extra-scopes": "x,y" },
    });
    expect(seen[0]?.groups).toEqual(["system:masters", "system:authenticated"]);
    expect(seen[0]?.headers["impersonate-user"]).toBeUndefined();
    const { nobody } = {
      nobody: httpsClient(listener.port, pki.authority.certificate, await pki.authority.issueClient("nobody")),
    };
    expect((await nobody.ask("GET", "/apis/metrics.example.io/v1/loads")).status).toBe(403);
    await nobody.close();
    isBroken = true;
    await server.send("update", "v1/services", {
      namespace: "extra",
      name: "metrics",
      body: {
        ...(await server.send("get", "v1/services", { namespace: "extra", name: "metrics" })),
        metadata: { name: "metrics", namespace: "extra", labels: { a: "b" } },
      },
    });
    await becomes(
      "False FailedDiscoveryCheck failing or missing response from https://metrics.extra.svc:443/apis/metrics.example.io/v1: bad status",
    );
    expect((await admin.ask("GET", "/apis/metrics.example.io/v1/loads")).status).toBe(503);
    isBroken = false;
    await server.send("delete", SERVICES, { name: "v1.metrics.example.io" });
    expect((await admin.ask("GET", "/apis/metrics.example.io/v1/loads")).status).toBe(404);
  });

  test("wrong APIServices are refused by field", async () => {
    const refused = async (body: object) => {
      try {
        await server.send("create", SERVICES, { body });
      } catch (error) {
        return (error as ApiError).status.details?.causes?.map(({ field }) => field);
      }
      return "taken";
    };
    expect(await refused({ ...apiService("x.io"), metadata: { name: "v1.y.io" } })).toEqual(["metadata.name"]);
    expect(
      await refused(
        apiService("x.io", { versionPriority: 0, groupPriorityMinimum: 30_000, insecureSkipTLSVerify: true }),
      ),
    ).toEqual(["spec.groupPriorityMinimum", "spec.versionPriority", "spec.insecureSkipTLSVerify"]);
  });
});
