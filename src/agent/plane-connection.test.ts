import { afterEach, expect, it } from "vitest";
import { type LogFields, type Logger, silentLogger, VirtualClock } from "#base";
import { createCertificateAuthority, kubeconfigText, readKubeconfig, resolveContext } from "#certs";
import { settle, startTestApiServer } from "#testing";
import { createPlaneConnection } from "./plane-connection.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

it("an agent whose certificate has expired says so, and goes on when its kubeconfig is replaced", async () => {
  const clock = new VirtualClock(Date.now(), settle);
  let shiftMs = 0;
  const authority = await createCertificateAuthority("plane", () => Date.now() + shiftMs);
  const server = await authority.issueServer("apiserver", ["127.0.0.1"]);
  const api = await startTestApiServer();
  closers.push(() => api.stop());
  const listener = await api.listen({
    host: "127.0.0.1",
    port: 0,
    certificate: server.certificate,
    key: server.key,
    clientAuthority: authority.certificate,
  });
  closers.push(() => listener.close(0));
  const config = async () =>
    kubeconfigText({
      name: "plane",
      server: `https://127.0.0.1:${listener.port}`,
      authority: authority.certificate,
      client: await authority.issueClient("system:admin", ["system:masters"]),
    });
  const said: string[] = [];
  const log: Logger = {
    ...silentLogger,
    error: (message, fields?: LogFields) => said.push(`${message} ${String(fields?.["since"])}`),
  };
  shiftMs = -2 * 365 * 24 * 3_600_000;
  let text = await config();
  const connection = createPlaneConnection({ read: () => resolveContext(readKubeconfig(text)), clock, log });
  closers.push(() => connection.stop());
  expect(said).toEqual([expect.stringMatching(/^the client certificate for the control plane has expired.* 20\d\d-/)]);
  const ask = async () => (await connection.transport.raw({ method: "GET", path: "/api/v1/namespaces" })).status;
  expect(await ask()).toBe(401);
  shiftMs = 0;
  text = await config();
  await clock.advance(31_000);
  expect(await ask()).toBe(200);
  expect(said).toHaveLength(1);
});
