import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, expect, it } from "vitest";
import { silentLogger, VirtualClock } from "#base";
import { loadPki } from "#certs";
import { eventually, settle, startTestApiServer } from "#testing";
import { followServing } from "./serving.ts";

const folder = mkdtempSync(join(tmpdir(), "flotilla-serving-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const DAY_MS = 24 * 3_600_000;
/** More than between two looks at the certificates. */
const LOOK_MS = 31_000;

it("our own serving certificate is renewed before its end, also after the clock jumped, and connections stay", async () => {
  const clock = new VirtualClock(Date.now(), settle);
  const load = () => loadPki(folder, [], undefined, () => clock.now());
  const pki = await load();
  let renewals = 0;
  const serving = followServing({
    config: { tlsCertFile: undefined, tlsPrivateKeyFile: undefined },
    clock,
    log: silentLogger,
    pki,
    authorities: () => pki.authority.certificate,
    renew: async () => {
      const renewed = await load();
      renewals++;
      return renewed;
    },
  });
  const api = await startTestApiServer();
  const listener = await api.listen({ host: "127.0.0.1", port: 0, ...serving.present });
  serving.follow(listener);
  const sockets: TLSSocket[] = [];
  const open = () =>
    new Promise<TLSSocket>((resolve, reject) => {
      const socket = connect({ port: listener.port, ca: pki.authority.certificate, rejectUnauthorized: false });
      sockets.push(socket);
      socket.once("secureConnect", () => resolve(socket)).once("error", reject);
    });
  const ends = (socket: TLSSocket) => Date.parse(socket.getPeerCertificate().valid_to);
  try {
    const first = await open();
    const end = ends(first);
    expect(end - clock.now()).toBeGreaterThan(360 * DAY_MS);
    await clock.advance(LOOK_MS);
    expect(renewals).toBe(0);
    // Looked at twice a day, renewed from thirty days before the end.
    clock.jump(300 * DAY_MS);
    await clock.advance(LOOK_MS);
    await eventually(() => renewals === 1);
    expect(ends(await open())).toBe(end);
    clock.jump(40 * DAY_MS);
    await clock.advance(LOOK_MS);
    const second = await eventually(async () => {
      const socket = await open();
      return ends(socket) > clock.now() + 360 * DAY_MS ? socket : undefined;
    });
    expect(renewals).toBe(2);
    clock.jump(-DAY_MS);
    await clock.advance(LOOK_MS);
    await eventually(() => renewals === 3);
    expect(ends(await open())).toBe(ends(second));
    expect(first.closed).toBe(false);
  } finally {
    serving.stop();
    for (const socket of sockets) socket.destroy();
    await listener.close(0);
    api.stop();
  }
});
