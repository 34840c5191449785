import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
import type { KubeObject } from "#machinery";
import { createHttpTransport } from "./http-transport.ts";

it("says with each request, and not before, that a certificate cannot be read", async () => {
  const transport = createHttpTransport({
    server: "https://127.0.0.1:1",
    clientCertificate: "no certificate",
    clientKey: "no key",
  });
  try {
    for (let tries = 0; tries < 2; tries++)
      await expect(transport.raw({ method: "GET", path: "/version" })).rejects.toThrow(/PEM|start line/);
  } finally {
    await transport.close();
  }
});

it("says of whom it had no answer, and for how long", async () => {
  const sockets = new Set<Socket>();
  const silent = createServer((socket) => void sockets.add(socket));
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const transport = createHttpTransport({ server: `http://${host}`, timeoutMs: 50 });
  try {
    await expect(transport.raw({ method: "GET", path: "/version" })).rejects.toThrow(
      `no answer from ${host} within 0.05 s`,
    );
  } finally {
    await transport.close();
    for (const socket of sockets) socket.destroy();
    silent.close();
  }
});

it("keeps its connection after deletions that say how", async () => {
  let connections = 0;
  const server = createHttpServer((request, response) => {
    request.resume();
    request.on("end", () => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" }));
    });
  });
  server.on("connection", () => connections++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const transport = createHttpTransport({ server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  try {
    for (let name = 0; name < 10; name++)
      await transport.send({
        verb: "delete",
        group: "",
        version: "v1",
        resource: "configmaps",
        namespace: "default",
        name: `map-${name}`,
        options: { propagationPolicy: "Background" },
      });
    // The library may open a second one ahead.
    expect(connections).toBeLessThan(3);
  } finally {
    await transport.close();
    server.close();
  }
});

it("hands over a success unread where somebody takes it so, and everything else as ever", async () => {
  const answers: [number, string][] = [
    [201, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"7"}}\n'],
    [200, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"8"}}'],
    [
      409,
      '{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"AlreadyExists","message":"taken","code":409}',
    ],
    [201, "<html>{}</html>"],
    [201, '{"kind":}'],
  ];
  const server = createHttpServer((request, response) => {
    request.resume();
    request.on("end", () => {
      const [status, text] = answers.shift() ?? [500, ""];
      response.writeHead(status, { "content-type": "application/json" }).end(text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const transport = createHttpTransport({ server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  const read: (() => KubeObject)[] = [];
  const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" } };
  const at = { group: "", version: "v1", resource: "configmaps", namespace: "default" };
  const options = { unread: (how: () => KubeObject) => void read.push(how) };
  const create = () => transport.send({ verb: "create", ...at, body, options });
  try {
    expect(await create()).toBe(body);
    expect(await transport.send({ verb: "update", ...at, name: "a", body, options })).toBe(body);
    expect(read.map((how) => how().metadata.resourceVersion)).toEqual(["7", "8"]);
    await expect(create()).rejects.toMatchObject({ status: { reason: "AlreadyExists", message: "taken" } });
    await expect(create()).rejects.toThrow("the server answered 201 with something that is no object");
    expect(read).toHaveLength(2);
    // What only looks like an object is found out by whoever reads it.
    expect(await create()).toBe(body);
    expect(read[2]).toThrow("the server answered 201 with something that is no object");
  } finally {
    await transport.close();
    server.close();
  }
});
