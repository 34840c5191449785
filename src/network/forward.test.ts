import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadPki, type Pki } from "#certs";
import { forwardRequest, type ForwardTarget } from "./forward.ts";

let pki: Pki;
let server: Server;
let opened: Socket[];
/** Connections that end with the next request. */
let doomed: Set<Socket>;
let origin: string;

beforeEach(async () => {
  pki = await loadPki(undefined);
  opened = [];
  doomed = new Set();
  const { certificate: cert, key } = pki.server;
  server = createServer({ cert, key }, (request, response) => {
    if (doomed.has(request.socket)) request.socket.destroy();
    else if (request.url === "/cut") {
      response.writeHead(200, { "content-length": "10" });
      response.write("half", () => request.socket.destroy());
    } else request.on("end", () => response.end(`${request.method} ${request.url}`)).resume();
  });
  server.on("secureConnection", (socket) => opened.push(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  for (const socket of opened) socket.destroy();
  server.close();
});

const target = (path = "/", more: Partial<ForwardTarget> = {}): ForwardTarget => ({
  origin,
  path,
  headers: [],
  tls: { ca: pki.authority.certificate },
  ...more,
});

async function ask(to: ForwardTarget, method = "GET", body: Buffer | Readable = Readable.from([])): Promise<string> {
  const rawHeaders = Buffer.isBuffer(body) ? ["content-length", String(body.length)] : [];
  const answer = await forwardRequest(to, { method, rawHeaders, body, signal: new AbortController().signal });
  return text(answer.body);
}

describe("[GF-31] requests that are sent on", () => {
  it("share a connection where they only read, one after the other", async () => {
    for (const path of ["/a", "/b", "/c"]) expect(await ask(target(path))).toBe(`GET ${path}`);
    expect(opened).toHaveLength(1);
    expect(await Promise.all(["/d", "/e"].map((path) => ask(target(path))))).toEqual(["GET /d", "GET /e"]);
    expect(opened).toHaveLength(2);
  });

  it("have a connection of their own where they change something", async () => {
    expect(await ask(target("/a"))).toBe("GET /a");
    for (const body of [Buffer.from("1"), Buffer.from("2")])
      expect(await ask(target("/b"), "POST", body)).toBe("POST /b");
    expect(opened).toHaveLength(3);
  });

  it("share none with who trusts others, or comes as another", async () => {
    const robot = await pki.authority.issueClient("robot", []);
    expect(await ask(target("/a"))).toBe("GET /a");
    expect(
      await ask(target("/b", { tls: { ca: pki.authority.certificate, cert: robot.certificate, key: robot.key } })),
    ).toBe("GET /b");
    expect(opened).toHaveLength(2);
    const stranger = (await loadPki(undefined)).authority.certificate;
    await expect(ask(target("/c", { tls: { ca: stranger } }))).rejects.toThrow(/certificate/);
  });

  it("go on a new connection when the one that was kept ends as they come", async () => {
    expect(await ask(target("/a"))).toBe("GET /a");
    doomed = new Set(opened);
    expect(await ask(target("/b"))).toBe("GET /b");
    expect(opened).toHaveLength(2);
  });

  it("tell whoever reads the answer that it ended early, and are not repeated", async () => {
    expect(await ask(target("/a"))).toBe("GET /a");
    await expect(ask(target("/cut"))).rejects.toThrow();
    expect(await ask(target("/b"))).toBe("GET /b");
    expect(opened).toHaveLength(2);
  });

  it("leave their connection alone when whoever asked goes after the answer", async () => {
    const abort = new AbortController();
    const { body } = await forwardRequest(target("/a"), {
      method: "GET",
      rawHeaders: [],
      body: Readable.from([]),
      signal: abort.signal,
    });
    expect(await text(body)).toBe("GET /a");
    const next = ask(target("/b"));
    abort.abort();
    expect(await next).toBe("GET /b");
    expect(opened).toHaveLength(1);
  });

  it("take back what they wait for when whoever asked goes, and spoil no connection", async () => {
    const abort = new AbortController();
    const waiting = forwardRequest(target("/a"), {
      method: "GET",
      rawHeaders: [],
      body: Buffer.alloc(0),
      signal: abort.signal,
    });
    abort.abort();
    await expect(waiting).rejects.toThrow();
    expect(await ask(target("/b"))).toBe("GET /b");
  });
});
