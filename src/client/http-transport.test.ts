import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
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
