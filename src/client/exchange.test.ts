import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { Agent } from "undici";
import { afterEach, describe, expect, it } from "vitest";
import { exchange } from "./exchange.ts";

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** Asks a server of its own. */
async function asking(listener: RequestListener, bytesMax = 1024) {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const agent = new Agent({ keepAliveTimeout: 1_000 });
  ends.push(async () => {
    await agent.destroy();
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  const { port } = server.address() as AddressInfo;
  return (signal?: AbortSignal, began?: (status: number) => void) =>
    exchange(
      agent,
      { origin: `http://127.0.0.1:${port}`, path: "/", method: "GET" },
      { bytesMax, ...(signal === undefined ? {} : { signal }), ...(began === undefined ? {} : { began }) },
    );
}

describe("an exchange", () => {
  it("reads an answer that comes in pieces, and every value of a header", async () => {
    const ask = await asking((_request, response) => {
      response.writeEarlyHints({ link: "</style.css>; rel=preload" });
      // Node writes headers as Latin-1; servers of Kubernetes write UTF-8.
      const second = Buffer.from('299 - "zweitens: ä"').toString("latin1");
      response.writeHead(202, { Warning: ['299 - "first"', second], "X-One": "1" });
      response.write("first ");
      setImmediate(() => response.end("second"));
    });
    const begun: number[] = [];
    const answer = await ask(undefined, (status) => begun.push(status));
    expect(begun).toEqual([202]);
    expect(answer.status).toBe(202);
    expect(answer.body.toString()).toBe("first second");
    expect(answer.values("warning")).toEqual(['299 - "first"', '299 - "zweitens: ä"']);
    expect(answer.values("absent")).toEqual([]);
    expect(answer.headers()).toMatchObject({ warning: '299 - "first", 299 - "zweitens: ä"', "x-one": "1" });
  });

  it("gives an empty body where there is none", async () => {
    const ask = await asking((_request, response) => response.writeHead(204).end());
    const answer = await ask();
    expect([answer.status, answer.body.length]).toEqual([204, 0]);
  });

  it("refuses an answer that is too large, and can be asked again", async () => {
    let size = 2_000;
    const ask = await asking((_request, response) => response.end("x".repeat(size)));
    await expect(ask()).rejects.toThrow("answer is larger than 1024 bytes");
    size = 1_000;
    expect((await ask()).body.length).toBe(1_000);
  });

  it("ends with the signal's reason: before it is sent, while it waits, and in the middle of an answer", async () => {
    let arrived: () => void = () => undefined;
    const ask = await asking((_request, response) => {
      arrived();
      response.write("part");
    });
    const why = new Error("nobody waits for it any more");
    await expect(ask(AbortSignal.abort(why))).rejects.toBe(why);
    for (const when of ["arrived", "begun"]) {
      const abort = new AbortController();
      const giveUp = () => abort.abort(why);
      if (when === "arrived") arrived = giveUp;
      await expect(ask(abort.signal, when === "begun" ? giveUp : undefined)).rejects.toBe(why);
      arrived = () => undefined;
    }
  });

  it("says how a connection failed", async () => {
    const ask = await asking((request) => request.socket.destroy());
    await expect(ask()).rejects.toThrow(/other side closed|socket hang up|ECONNRESET/);
    const agent = new Agent();
    ends.push(() => agent.destroy());
    await expect(
      exchange(agent, { origin: "http://127.0.0.1:1", path: "/", method: "GET" }, { bytesMax: 1 }),
    ).rejects.toThrow("ECONNREFUSED");
  });
});
