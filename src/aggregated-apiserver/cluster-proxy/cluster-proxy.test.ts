import { createServer as createHttp, type IncomingMessage } from "node:http";
import { createServer, type Server } from "node:https";
import { type AddressInfo, connect as connectTcp, createServer as createTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Secret } from "#apis/kubernetes";
import { Cluster } from "#apis/karmada";
import { aggregatedDefinitions, clusterProxy } from "#aggregated-apiserver";
import type { Listener, RunningApiServer } from "#apiserver";
import { systemClock } from "#base";
import { loadPki, type Pki } from "#certs";
import { type Client, createClient } from "#client";
import { httpsClient, type HttpsClient, startTestApiServer } from "#testing";

const PROXY = "/apis/cluster.karmada.io/v1alpha1/clusters";
let pki: Pki;
let api: RunningApiServer;
let listener: Listener;
let client: Client;
let alice: HttpsClient;
let admin: HttpsClient;
const members = new Map<string, Server>();
const seen: {
  member: string;
  method: string;
  url: string;
  headers: IncomingMessage["headers"];
  groups: string[];
  body: string;
}[] = [];
let answer: (member: string, request: IncomingMessage) => { status?: number; body: unknown; headers?: object };
/** Connections that came through the plain HTTP proxy. */
let connects: string[] = [];
const closers: (() => void)[] = [];

async function listening(server: {
  listen(port: number, host: string, done: () => void): unknown;
  address(): unknown;
  close(): unknown;
}) {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

beforeAll(async () => {
  pki = await loadPki(undefined);
  api = await startTestApiServer({
    serviceAccountKeys: pki.serviceAccount,
    aggregated: aggregatedDefinitions(systemClock),
    connect: clusterProxy(
      {
        cluster: (name) => client.find(Cluster, { name }),
        clusters: async () => (await client.list(Cluster)).items,
        secret: (namespace, name) => client.find(Secret, { namespace, name }),
      },
      (request, user) => api.front.handle({ ...request, trustedUser: user }),
    ),
  });
  client = createClient(api.transport());
  listener = await api.listen({
    host: "127.0.0.1",
    port: 0,
    certificate: pki.server.certificate,
    key: pki.server.key,
    clientAuthority: pki.authority.certificate,
  });
  const own = await pki.authority.issueClient("alice", ["devs", "ops"]);
  alice = httpsClient(listener.port, pki.authority.certificate, own);
  admin = httpsClient(listener.port, pki.authority.certificate, pki.admin);
  const transport = api.transport();
  const rbac = { group: "rbac.authorization.k8s.io", version: "v1" };
  await transport.send({
    verb: "create",
    ...rbac,
    resource: "clusterroles",
    body: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name: "proxy" },
      rules: [
        {
          apiGroups: ["cluster.karmada.io"],
          resources: ["clusters/proxy"],
          resourceNames: ["m1", "m2", "*"],
          verbs: ["*"],
        },
      ],
    } as never,
  });
  await transport.send({
    verb: "create",
    ...rbac,
    resource: "clusterrolebindings",
    body: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "proxy" },
      subjects: [{ kind: "User", name: "alice", apiGroup: "rbac.authorization.k8s.io" }],
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "proxy" },
    } as never,
  });
  for (const name of ["m1", "m2"]) {
    const server = createServer({ cert: pki.server.certificate, key: pki.server.key }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const groups: string[] = [];
        for (let at = 0; at < request.rawHeaders.length; at += 2)
          if (request.rawHeaders[at]?.toLowerCase() === "impersonate-group")
            groups.push(request.rawHeaders[at + 1] as string);
        seen.push({
          member: name,
          method: request.method ?? "",
          url: request.url ?? "",
          headers: request.headers,
          groups,
          body: Buffer.concat(chunks).toString(),
        });
        if (request.url?.includes("watch=")) {
          response.writeHead(200, { "content-type": "application/json" });
          response.write('{"type":"ADDED"}\n');
          response.on("close", () => seen.push({ ...(seen.at(-1) as (typeof seen)[0]), method: "CLOSED" }));
          return;
        }
        const { status = 200, body, headers = {} } = answer(name, request);
        response.writeHead(status, { "content-type": "application/json", ...headers });
        response.end(JSON.stringify(body));
      });
    });
    server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
      seen.push({
        member: name,
        method: "UPGRADE",
        url: request.url ?? "",
        headers: request.headers,
        groups: [],
        body: head.toString(),
      });
      if (request.url?.includes("refused"))
        return void socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n");
      socket.on("data", (chunk: Buffer) => socket.write(`echo ${chunk.toString()}`));
    });
    members.set(name, server);
    const port = await listening(server);
    closers.push(() => server.closeAllConnections());
    await client.create(Secret, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { namespace: "default", name },
      data: { token: btoa("own"), caBundle: btoa(pki.authority.certificate) },
    } as never);
    await client.create(Secret, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { namespace: "default", name: `${name}-impersonator` },
      data: { token: btoa(`imp-${name}`) },
    } as never);
    await client.create(Cluster, {
      apiVersion: "cluster.karmada.io/v1alpha1",
      kind: "Cluster",
      metadata: { name },
      spec: {
        syncMode: "Push",
        apiEndpoint: `https://127.0.0.1:${port}${name === "m2" ? "/k8s/clusters/two" : ""}`,
        secretRef: { namespace: "default", name },
        impersonatorSecretRef: { namespace: "default", name: `${name}-impersonator` },
      },
    } as unknown as Cluster);
  }
});
afterAll(async () => {
  for (const close of closers) close();
  await alice.close();
  await admin.close();
  await listener.close();
  api.stop();
});
beforeEach(() => {
  seen.length = 0;
  connects = [];
  answer = (member) => ({ body: { kind: "Pod", member } });
});

const change = async (name: string, spec: object) => {
  const present = await client.get(Cluster, { name });
  await client.update(Cluster, { ...present, spec: { ...present.spec, ...spec } } as Cluster);
};

/** Opens a raw upgrade through the API server; gives what came back and the socket. */
async function upgrade(path: string): Promise<{ socket: Socket; until(words: string): Promise<string> }> {
  const own = await pki.authority.issueClient("alice");
  const socket = connectTls({
    host: "127.0.0.1",
    port: listener.port,
    ca: pki.authority.certificate,
    cert: own.certificate,
    key: own.key,
    ALPNProtocols: ["http/1.1"],
  });
  closers.push(() => socket.destroy());
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  socket.write(`POST ${path} HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n`);
  return {
    socket,
    until: async (words) => {
      while (!text.includes(words)) await new Promise((resolve) => setTimeout(resolve, 5));
      return text;
    },
  };
}

describe("cluster proxy", () => {
  test("a request goes to the member as the caller, with path, query, body and the caller's groups", async () => {
    answer = () => ({ status: 201, body: { ok: true }, headers: { "x-member": "yes" } });
    const got = await alice.ask("POST", `${PROXY}/m2/proxy/api/v1/namespaces/default/pods?dryRun=All&path=/elsewhere`, {
      body: { kind: "Pod" },
      headers: { "x-mine": "1", "x-remote-user": "mallory" },
    });
    expect(got.status).toBe(201);
    expect(got.json).toEqual({ ok: true });
    expect(got.headers["x-member"]).toBe("yes");
    const [asked] = seen;
    expect(asked).toMatchObject({
      member: "m2",
      method: "POST",
      url: "/k8s/clusters/two/api/v1/namespaces/default/pods?dryRun=All&path=/elsewhere",
      body: '{"kind":"Pod"}',
    });
    expect(asked?.groups).toEqual(["devs", "ops"]);
    expect(asked?.headers).toMatchObject({
      authorization: "bearer imp-m2",
      "impersonate-user": "alice",
      "x-mine": "1",
      "x-forwarded-for": "127.0.0.1",
    });
    expect(asked?.headers["x-remote-user"]).toBeUndefined();
    expect(asked?.headers.host).toBe(`127.0.0.1:${listener.port}`);
  });

  test("who may not use the proxy gets 403 here; a missing cluster is 404; the member's own refusals pass", async () => {
    const refused = await alice.ask("GET", `${PROXY}/m3/proxy/api`);
    expect(refused.status).toBe(403);
    expect(refused.json.message).toContain('cannot get resource "clusters/proxy" in API group "cluster.karmada.io"');
    const missing = await admin.ask("GET", `${PROXY}/m3/proxy/api`);
    expect([missing.status, missing.json.message]).toEqual([404, 'clusters.cluster.karmada.io "m3" not found']);
    answer = () => ({ status: 403, body: { kind: "Status", message: "members say no" } });
    expect((await alice.ask("DELETE", `${PROXY}/m1/proxy/api/v1/nodes/x`)).json.message).toBe("members say no");
    const redirect = await alice.ask("GET", `${PROXY}/m1/proxy?a=b`);
    expect([redirect.status, redirect.headers["location"]]).toEqual([301, `${PROXY}/m1/proxy/?a=b`]);
    answer = () => ({ status: 307, body: {}, headers: { location: "/there" } });
    expect((await alice.ask("GET", `${PROXY}/m1/proxy/`)).headers["location"]).toBe("/there");
  });

  test("what keeps a member from being asked is said: endpoint, reference, token, connection, certificate", async () => {
    const { spec } = await client.get(Cluster, { name: "m1" });
    const message = async () => {
      const got = await alice.ask("GET", `${PROXY}/m1/proxy/api`);
      return `${got.status} ${got.json.message}`;
    };
    await change("m1", { apiEndpoint: "" });
    expect(await message()).toContain("500 Internal error occurred: API endpoint of cluster m1 should not be empty");
    await change("m1", { apiEndpoint: "https://127.0.0.1:1" });
    expect(await message()).toMatch(/^500 .*ECONNREFUSED/);
    await change("m1", { apiEndpoint: spec?.apiEndpoint, secretRef: { namespace: "default", name: "gone" } });
    expect(await message()).toBe('404 secrets "gone" not found');
    await change("m1", { secretRef: undefined });
    expect(await message()).toMatch(/^500 .*certificate/);
    await change("m1", { insecureSkipTLSVerification: true });
    expect(await message()).toContain("200");
    await change("m1", {
      secretRef: spec?.secretRef,
      insecureSkipTLSVerification: undefined,
      impersonatorSecretRef: undefined,
    });
    expect(await message()).toContain("500 Internal error occurred: the impersonatorSecretRef of cluster m1 is nil");
    await change("m1", { impersonatorSecretRef: spec?.secretRef });
    expect(await message()).toContain("200");
    await change("m1", { impersonatorSecretRef: spec?.impersonatorSecretRef });
  });

  test("watches stream as they come and end with the client", async () => {
    const own = await pki.authority.issueClient("alice");
    const socket = connectTls({
      host: "127.0.0.1",
      port: listener.port,
      ca: pki.authority.certificate,
      cert: own.certificate,
      key: own.key,
      ALPNProtocols: ["http/1.1"],
    });
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    socket.write(`GET ${PROXY}/m1/proxy/api/v1/pods?watch=true HTTP/1.1\r\nHost: api\r\n\r\n`);
    while (!text.includes("ADDED")) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(text).toMatch(/^HTTP\/1.1 200/);
    expect(seen.map(({ method }) => method)).toEqual(["GET"]);
    socket.destroy();
    while (seen.at(-1)?.method !== "CLOSED") await new Promise((resolve) => setTimeout(resolve, 5));
  });

  test("protocol upgrades are joined byte for byte; refusals of the member are relayed", async () => {
    const tunnel = await upgrade(`${PROXY}/m1/proxy/api/v1/namespaces/a/pods/p/exec?command=ls`);
    await tunnel.until("101 Switching Protocols");
    tunnel.socket.write("hello");
    await tunnel.until("echo hello");
    expect(seen[0]).toMatchObject({
      method: "UPGRADE",
      url: "/api/v1/namespaces/a/pods/p/exec?command=ls",
      headers: { authorization: "bearer imp-m1", "impersonate-user": "alice", upgrade: "SPDY/3.1" },
    });
    const refused = await upgrade(`${PROXY}/m1/proxy/refused`);
    expect(await refused.until("no")).toMatch(/^HTTP\/1.1 403 Forbidden/);
    const forbidden = await upgrade(`${PROXY}/m9/proxy/x`);
    expect(await forbidden.until("}")).toMatch(/^HTTP\/1.1 403 Forbidden/);
  });

  test("[DR-37] proxyURL takes effect at once: HTTP CONNECT with headers and credentials, and SOCKS5", async () => {
    const proxy = createHttp();
    proxy.on("connect", (request: IncomingMessage, socket: Socket) => {
      connects.push(
        `${request.url} ${request.headers["proxy-authorization"]} ${JSON.stringify(request.rawHeaders.filter((_name, at) => at % 2 === 1 && request.rawHeaders[at - 1] === "X-Team"))}`,
      );
      const [host, port] = (request.url ?? "").split(":");
      const remote = connectTcp(Number(port), host, () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        socket.pipe(remote).pipe(socket);
      });
      remote.on("error", () => socket.destroy());
      socket.on("error", () => remote.destroy());
    });
    const port = await listening(proxy);
    closers.push(() => proxy.closeAllConnections());
    await change("m1", { proxyURL: `http://u:p@127.0.0.1:${port}`, proxyHeader: { "X-Team": "a,b" } });
    expect((await alice.ask("GET", `${PROXY}/m1/proxy/api`)).status).toBe(200);
    expect(connects).toEqual([expect.stringMatching(/^127\.0\.0\.1:\d+ Basic dTpw \["a","b"\]$/)]);
    const tunnel = await upgrade(`${PROXY}/m1/proxy/exec`);
    tunnel.socket.write("hi");
    await tunnel.until("echo hi");
    expect(connects).toHaveLength(2);
    let greetings = 0;
    const socks = createTcp((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => {
        greetings++;
        socket.write(Buffer.from([5, 0]));
        socket.once("data", (chunk: Buffer) => {
          const target = connectTcp(chunk.readUInt16BE(8), `${chunk[4]}.${chunk[5]}.${chunk[6]}.${chunk[7]}`, () => {
            socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
            socket.pipe(target).pipe(socket);
          });
          target.on("error", () => socket.destroy());
        });
      });
    });
    await change("m1", { proxyURL: `socks5://127.0.0.1:${await listening(socks)}` });
    expect((await alice.ask("GET", `${PROXY}/m1/proxy/api`)).status).toBe(200);
    expect(greetings).toBe(1);
    await change("m1", { proxyURL: "http://127.0.0.1:1" });
    expect((await alice.ask("GET", `${PROXY}/m1/proxy/api`)).json.message).toMatch(
      /proxy http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/,
    );
    await change("m1", { proxyURL: undefined, proxyHeader: undefined });
  });

  test("the name * finds the one member that has an object, joins lists, and asks us as the caller for the rest", async () => {
    const ALL = `${PROXY}/*/proxy`;
    answer = (member, request) =>
      request.url?.endsWith("/only") && member === "m1"
        ? { body: { from: "m1" } }
        : request.url?.endsWith("/both")
          ? { body: {} }
          : request.url?.endsWith("/pods")
            ? member === "m2" && request.headers["impersonate-user"] === "system:admin"
              ? { status: 500, body: "broken" }
              : { body: { kind: "PodList", items: [member] } }
            : { status: 404, body: {} };
    expect((await alice.ask("GET", `${ALL}/api/v1/namespaces/a/pods/only`)).json).toEqual({ from: "m1" });
    const both = await alice.ask("GET", `${ALL}/api/v1/namespaces/a/pods/both`);
    expect([both.status, both.text.trim()]).toEqual([409, "conflict resource, exist in more than one cluster: m1,m2"]);
    const none = await alice.ask("GET", `${ALL}/api/v1/namespaces/a/pods/none`);
    expect([none.status, none.text.trim()]).toEqual([404, "resource not found or don't have permission to get it"]);
    expect((await alice.ask("GET", `${ALL}/api/v1/namespaces/a/pods`)).json).toEqual({
      kind: "PodList",
      items: ["m1", "m2"],
    });
    const partial = await admin.ask("GET", `${ALL}/api/v1/namespaces/a/pods`);
    expect(partial.json).toEqual({ kind: "PodList", items: ["m1"] });
    expect(partial.headers["warning"]).toBe('299 - "cluster(m2): the member answered 500"');
    const watch = await alice.ask("GET", `${ALL}/api/v1/pods?watch=true`);
    expect([watch.status, watch.text.trim()]).toEqual([405, "Request verb watch is not support"]);
    expect((await alice.ask("GET", `${ALL}/version`)).status).toBe(200);
    expect((await alice.ask("GET", `${ALL}/metrics`)).status).toBe(403);
  });
});
