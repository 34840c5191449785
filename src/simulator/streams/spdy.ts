import { Duplex } from "node:stream";
import { constants, createDeflate, createInflate } from "node:zlib";
import { spdyDictionary } from "./spdy-dictionary.ts";

/**
 * The server's side of SPDY/3.1 as Kubernetes' clients speak it: streams with headers over one connection. Flow control is
 * left out, as Kubernetes' own library does: whoever does not read is waited for by not reading on.
 */

const VERSION = 3;
const SYN_STREAM = 1;
const SYN_REPLY = 2;
const RST_STREAM = 3;
const PING = 6;
const GOAWAY = 7;
const FIN = 1;
const HEAD_BYTES = 8;
const FRAME_BYTES_MAX = 1024 * 1024;
const DATA_BYTES_MAX = 16 * 1024;
const STREAMS_MAX = 1_000;
const REFUSED_STREAM = 3;

export type SpdyHeaders = Readonly<Record<string, string>>;

/** One stream of a connection. */
export class SpdyStream extends Duplex {
  readonly headers: SpdyHeaders;
  readonly #send: (data: Buffer, isLast: boolean) => void;
  #wanted: (() => void) | undefined;

  constructor(headers: SpdyHeaders, send: (data: Buffer, isLast: boolean) => void) {
    super({ allowHalfOpen: true });
    this.headers = headers;
    this.#send = send;
    // Whoever goes away while a stream is open ends it; that is no failure of the server.
    this.on("error", () => {});
  }

  /** Takes data from the other side; resolves when more may come. */
  receive(data: Buffer): Promise<void> | undefined {
    if (this.destroyed || data.length === 0 || this.push(data)) return undefined;
    return new Promise((resolve) => {
      this.#wanted = resolve;
    });
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#wanted?.();
    done(error);
  }

  override _read(): void {
    this.#wanted?.();
    this.#wanted = undefined;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    for (let at = 0; at < chunk.length; at += DATA_BYTES_MAX)
      this.#send(chunk.subarray(at, at + DATA_BYTES_MAX), false);
    done();
  }

  override _final(done: (error?: Error) => void): void {
    this.#send(Buffer.alloc(0), true);
    done();
  }
}

/** Serves a connection until it ends; `onStream` is told of each stream the client opens. */
export async function serveSpdy(connection: Duplex, onStream: (stream: SpdyStream) => void): Promise<void> {
  const streams = new Map<number, SpdyStream>();
  const read = headerReader();
  const write = headerWriter();
  const send = (frame: Buffer): void => {
    if (!connection.destroyed && connection.writable) connection.write(frame);
  };
  const reset = (id: number, code: number): void => {
    const body = Buffer.alloc(8);
    body.writeUInt32BE(id, 0);
    body.writeUInt32BE(code, 4);
    send(control(RST_STREAM, 0, body));
  };
  connection.on("error", () => connection.destroy());

  async function open(flags: number, body: Buffer): Promise<void> {
    const id = body.readUInt32BE(0) & 0x7fffffff;
    // Also of a stream that is refused: the compression goes on over all of them.
    const headers = await read(body.subarray(10));
    if (streams.size >= STREAMS_MAX || streams.has(id)) return reset(id, REFUSED_STREAM);
    const stream = new SpdyStream(headers, (data, isLast) => send(dataFrame(id, data, isLast)));
    streams.set(id, stream);
    stream.once("close", () => streams.delete(id));
    const named = Buffer.alloc(4);
    named.writeUInt32BE(id);
    send(control(SYN_REPLY, 0, Buffer.concat([named, await write({})])));
    if ((flags & FIN) !== 0) stream.push(null);
    onStream(stream);
  }

  try {
    for await (const { isControl, word, type, flags, body } of framesOf(connection)) {
      if (!isControl) {
        const stream = streams.get(word);
        const waiting = stream?.receive(body);
        if (waiting !== undefined) await waiting;
        if ((flags & FIN) !== 0) stream?.push(null);
      } else if (type === SYN_STREAM) await open(flags, body);
      else if (type === RST_STREAM) streams.get(body.readUInt32BE(0))?.destroy();
      else if (type === PING) {
        // Those of clients are odd; even ones would be answers to ours.
        if (body.readUInt32BE(0) % 2 === 1) send(control(PING, 0, body));
      } else if (type === GOAWAY) break;
    }
  } finally {
    read.close();
    write.close();
    for (const stream of [...streams.values()]) stream.destroy();
    connection.end();
  }
}

interface Frame {
  readonly isControl: boolean;
  /** The stream of a data frame. */
  readonly word: number;
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}

async function* framesOf(connection: Duplex): AsyncGenerator<Frame> {
  let held: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of connection as AsyncIterable<Buffer>) {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      while (held.length >= HEAD_BYTES) {
        const length = held.readUIntBE(5, 3);
        if (length > FRAME_BYTES_MAX) return;
        if (held.length < HEAD_BYTES + length) break;
        const first = held.readUInt32BE(0);
        const isControl = first >= 0x80000000;
        yield {
          isControl,
          word: first,
          type: isControl ? held.readUInt16BE(2) : 0,
          flags: held.readUInt8(4),
          body: held.subarray(HEAD_BYTES, HEAD_BYTES + length),
        };
        held = held.subarray(HEAD_BYTES + length);
      }
    }
  } catch {
    // A connection that breaks ends like one that is closed.
  }
}

export function control(type: number, flags: number, body: Buffer): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt16BE(0x8000 | VERSION, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt8(flags, 4);
  head.writeUIntBE(body.length, 5, 3);
  return Buffer.concat([head, body]);
}

export function dataFrame(id: number, data: Buffer, isLast: boolean): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(id, 0);
  head.writeUInt8(isLast ? FIN : 0, 4);
  head.writeUIntBE(data.length, 5, 3);
  return Buffer.concat([head, data]);
}

/** Unpacks header blocks, each going on where the one before ended. Names are lower case. */
export function headerReader(): ((block: Buffer) => Promise<SpdyHeaders>) & { close(): void } {
  const inflate = createInflate({ dictionary: spdyDictionary });
  let chunks: Buffer[] = [];
  inflate.on("data", (chunk: Buffer) => chunks.push(chunk));
  const read = async (block: Buffer): Promise<SpdyHeaders> => {
    await new Promise<void>((resolve, reject) => {
      inflate.once("error", reject);
      inflate.write(block, () => {
        inflate.off("error", reject);
        resolve();
      });
    });
    const plain = Buffer.concat(chunks);
    chunks = [];
    return parseHeaders(plain);
  };
  inflate.on("error", () => {});
  return Object.assign(read, { close: () => inflate.close() });
}

export function headerWriter(): ((headers: SpdyHeaders) => Promise<Buffer>) & { close(): void } {
  const deflate = createDeflate({ dictionary: spdyDictionary });
  let chunks: Buffer[] = [];
  deflate.on("data", (chunk: Buffer) => chunks.push(chunk));
  deflate.on("error", () => {});
  const write = async (headers: SpdyHeaders): Promise<Buffer> => {
    const entries = Object.entries(headers);
    const number = (value: number) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value);
      return bytes;
    };
    const text = (value: string) => [number(Buffer.byteLength(value)), Buffer.from(value)];
    deflate.write(
      Buffer.concat([number(entries.length), ...entries.flatMap(([name, value]) => [...text(name), ...text(value)])]),
    );
    await new Promise<void>((resolve) => deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    const packed = Buffer.concat(chunks);
    chunks = [];
    return packed;
  };
  return Object.assign(write, { close: () => deflate.close() });
}

function parseHeaders(plain: Buffer): SpdyHeaders {
  const headers: Record<string, string> = {};
  let at = 0;
  const number = (): number => {
    const value = plain.readUInt32BE(at);
    at += 4;
    return value;
  };
  const text = (): string => {
    const length = number();
    if (at + length > plain.length) throw new RangeError("a header is longer than its block");
    const value = plain.subarray(at, at + length).toString("utf8");
    at += length;
    return value;
  };
  const count = number();
  for (let n = 0; n < count; n++) {
    const name = text();
    headers[name.toLowerCase()] = text();
  }
  return headers;
}
