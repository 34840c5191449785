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
