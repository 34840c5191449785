import { duplexPair } from "node:stream";
import { expect, it } from "vitest";
import { eventually } from "#testing";
import { control, dataFrame, headerReader, headerWriter, serveSpdy, type SpdyStream } from "./spdy.ts";

/** The other side of a connection: opens streams and keeps what comes back. */
function client() {
  const [near, far] = duplexPair();
  const received: Buffer[] = [];
  near.on("data", (chunk: Buffer) => received.push(chunk));
  near.on("error", () => {});
  const write = headerWriter();
  const opened: SpdyStream[] = [];
  const done = serveSpdy(far, (stream) => opened.push(stream));
  return {
    near,
    opened,
    done,
    async open(id: number, headers: Record<string, string>): Promise<void> {
      const head = Buffer.alloc(10);
      head.writeUInt32BE(id, 0);
      near.write(control(1, 0, Buffer.concat([head, await write(headers)])));
    },
    /** What came back, frame by frame. */
    frames() {
      const all = Buffer.concat(received);
      const found: { readonly first: number; readonly flags: number; readonly body: Buffer }[] = [];
      for (let at = 0; at + 8 <= all.length; ) {
        const length = all.readUIntBE(at + 5, 3);
        found.push({
          first: all.readUInt32BE(at),
          flags: all.readUInt8(at + 4),
          body: all.subarray(at + 8, at + 8 + length),
        });
        at += 8 + length;
      }
      return found;
    },
  };
}

it("streams have their headers, data and ends; compression goes on over all of them", async () => {
  const peer = client();
  await peer.open(1, { streamtype: "error", requestID: "0" });
  await peer.open(3, { streamtype: "data", port: "8080", requestID: "0" });
  await eventually(() => peer.opened.length === 2);
  expect(peer.opened.map(({ headers }) => headers)).toEqual([
    { streamtype: "error", requestid: "0" },
    { streamtype: "data", port: "8080", requestid: "0" },
  ]);
  const data = peer.opened[1] as SpdyStream;
  const heard: string[] = [];
  data.on("data", (chunk: Buffer) => heard.push(chunk.toString()));
  let hasEnded = false;
  data.once("end", () => {
    hasEnded = true;
  });
  // Frames come in any pieces.
  const sent = Buffer.concat([dataFrame(3, Buffer.from("hello"), false), dataFrame(3, Buffer.from("!"), true)]);
  for (const byte of sent) peer.near.write(Buffer.from([byte]));
  await eventually(() => hasEnded);
  expect(heard.join("")).toBe("hello!");
  data.end("back");
  await eventually(() => peer.frames().some(({ first, flags }) => first === 3 && flags === 1));
  expect(
    Buffer.concat(
      peer
        .frames()
        .filter(({ first }) => first === 3)
        .map(({ body }) => body),
    ).toString(),
  ).toBe("back");
  // A reply for each stream, which an unpacker of the other side reads.
  const replies = peer.frames().filter(({ first }) => first === 0x80030002);
  expect(replies.map(({ body }) => body.readUInt32BE(0))).toEqual([1, 3]);
  const read = headerReader();
  for (const { body } of replies) expect(await read(body.subarray(4))).toEqual({});
  // A ping is answered.
  const ping = Buffer.from([0, 0, 0, 7]);
  peer.near.write(control(6, 0, ping));
  await eventually(() => peer.frames().some(({ first, body }) => first === 0x80030006 && body.equals(ping)));
  peer.near.end();
  await peer.done;
  expect(peer.opened.every(({ destroyed }) => destroyed)).toBe(true);
});

it("who does not read is waited for", async () => {
  const peer = client();
  await peer.open(1, { streamtype: "stdin" });
  await eventually(() => peer.opened.length === 1);
  const whole = Buffer.alloc(4 * 1024 * 1024, 7);
  for (let at = 0; at < whole.length; at += 65_536)
    peer.near.write(dataFrame(1, whole.subarray(at, at + 65_536), at + 65_536 >= whole.length));
  const stream = peer.opened[0] as SpdyStream;
  await eventually(() => stream.readableLength > 0);
  expect(stream.readableLength).toBeLessThan(1024 * 1024);
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) bytes += chunk.length;
  expect(bytes).toBe(whole.length);
  peer.near.end();
  await peer.done;
});

it.each<[string, Buffer]>([
  ["a frame that is too large", Buffer.from([0, 0, 0, 1, 0, 0xff, 0xff, 0xff])],
  ["headers that are none", control(1, 0, Buffer.alloc(20, 1))],
])("%s ends the connection", async (_title, bytes) => {
  const peer = client();
  peer.near.write(bytes);
  await peer.done.catch(() => undefined);
  expect(peer.opened).toEqual([]);
});
