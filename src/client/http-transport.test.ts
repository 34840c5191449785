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
