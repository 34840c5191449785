import {
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import type { X509Certificate } from "node:crypto";
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import { type Duplex, pipeline, Readable, type Writable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { createGzip, gzip } from "node:zlib";
import { copyWith } from "#base";
import { ApiError, badRequest, internalError, requestEntityTooLarge } from "#machinery";
import { forwardRequest, forwardUpgrade } from "#network";
import type { PeerChain } from "../authentication/certificates.ts";
import type { Headers } from "../authentication/headers.ts";
import { type FrontForward, type FrontPieces, type FrontRequest, type Handler, wholeBody } from "./exchange.ts";

export interface ListenOptions extends ServingCertificate {
  readonly host: string;
  /** 0 chooses a free port. */
  readonly port: number;
  /** Address others reach this server by; default its first own one that is no loopback address. */
  readonly advertisedAddress?: string;
  /** As which it takes leases, where several serve over one store. */
  readonly identity?: string;
}

/** What a server proves who it is with, and whose clients it asks for certificates; all PEM. */
export interface ServingCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly clientAuthority: string;
}

export interface Listener {
  readonly port: number;
  /** New connections get another certificate; those that are open stay. */
  renew(serving: ServingCertificate): void;
  /**
   * Takes no new connections, lets requests end for at most `graceMs` (default 10 s), then ends watches and closes what
   * is left.
   */
  close(graceMs?: number): Promise<void>;
}

const GRACE_MS = 10_000;
/** How long the last frames of watches may take. */
const FLUSH_MS = 500;

const BODY_BYTES_MAX = 3 * 1024 * 1024;
const GZIP_FROM_BYTES = 128 * 1024;
/** Up to here a body is small. */
const SMALL_BYTES = 64 * 1024;
/** Bytes a watcher may lag behind before it is cut off: it resumes where it was. */
const LAG_BYTES_MAX = 64 * 1024 * 1024;

/** HTTPS with HTTP/1.1 and HTTP/2 before a front. Rejects when the port is taken, naming it. */
export async function listen(front: Handler, options: ListenOptions): Promise<Listener> {
  const server = createSecureServer({
    cert: options.certificate,
    key: options.key,
    ca: options.clientAuthority,
    requestCert: true,
    rejectUnauthorized: false,
    allowHTTP1: true,
    // A head and its body, or two events, would else wait for the client's kernel to confirm the first: 40 ms.
    noDelay: true,
    settings: { maxConcurrentStreams: 1000 },
  });
  const sockets = new Set<Duplex>();
  server.on("connection", (socket: Duplex) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  });
  server.on("sessionError", () => {});
  server.on("clientError", (_error: Error, socket: Duplex) => socket.destroy());
  server.on("tlsClientError", () => {});
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session: ServerHttp2Session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  const running = new Running();
  const streams = new Set<() => void>();
  let isClosing = false;
  server.on("request", (request: Http2ServerRequest, response: Http2ServerResponse) => {
    if (isClosing && request.httpVersionMajor === 1) response.setHeader("connection", "close");
    running.begin();
    void serve(front, request, response, streams)
      .catch(() => void response.destroy())
      .finally(() => running.end());
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    void upgrade(front, request, socket, head).catch((error: unknown) => {
      const { status } = error instanceof ApiError ? error : internalError(error);
      writeWhole(
        socket,
        status.code ?? 500,
        { "content-type": "application/json" },
        Buffer.from(JSON.stringify(status)),
      );
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.code === "EADDRINUSE"
          ? new Error(`port ${options.port} on ${options.host} is in use`, { cause: error })
          : error,
      ),
    );
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    renew: ({ certificate, key, clientAuthority }) =>
      server.setSecureContext({ cert: certificate, key, ca: clientAuthority }),
    async close(graceMs = GRACE_MS) {
      isClosing = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // Clients of HTTP/2 are told to ask elsewhere; what they asked already is answered.
      for (const session of sessions) session.close();
      await within(running.none(), graceMs);
      for (const end of [...streams]) end();
      await within(running.none(), FLUSH_MS);
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/**
 * How many requests are being answered. They are counted, not collected: a set that grew old keeps whatever stood in it when
 * it was last made anew, with everything that belongs to it, until a whole collection.
 */
class Running {
  #count = 0;
  #waiting: (() => void)[] = [];

  begin(): void {
    this.#count++;
  }

  end(): void {
    if (--this.#count > 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const told of waiting) told();
  }

  /** Resolves when none is being answered. */
  none(): Promise<void> {
    return this.#count === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }
}

function within(work: Promise<unknown>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    void work.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

const peers = new WeakMap<object, PeerChain>();
const PEER_CHAIN_MAX = 8;

/** The certificates a connection was opened with; read once for its life. What they prove is asked anew each time. */
function peerOf(socket: TLSSocket): PeerChain {
  const known = peers.get(socket);
  if (known !== undefined) return known;
  const chain: X509Certificate[] = [];
  let next: X509Certificate | undefined = socket.getPeerX509Certificate();
  while (next !== undefined && chain.length < PEER_CHAIN_MAX && chain.at(-1)?.fingerprint256 !== next.fingerprint256) {
    chain.push(next);
    next = (next as { issuerCertificate?: X509Certificate }).issuerCertificate;
  }
  peers.set(socket, chain);
  return chain;
}

/** Headers whose values may hold commas are taken as they came, one value a line. */
const IDENTITY = /^(impersonate-|x-remote-)/i;

function headersOf(request: Http2ServerRequest | IncomingMessage): Headers {
  const { rawHeaders } = request;
  const lists: Record<string, string[]> = {};
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    if (IDENTITY.test(name)) (lists[name.toLowerCase()] ??= []).push(rawHeaders[at + 1] as string);
  }
  return Object.keys(lists).length === 0 ? request.headers : { ...request.headers, ...lists };
}

/** Resolves when the answer is given; a watch counts as given once it has begun, until `streams` ends it. */
async function serve(
  front: Handler,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  streams: Set<() => void>,
): Promise<void> {
  const socket = (request.httpVersionMajor === 2 ? request.stream.session?.socket : request.socket) as TLSSocket;
  const asked: FrontRequest = {
    method: request.method,
    url: request.url,
    headers: headersOf(request),
    peer: peerOf(socket),
    body: () => readAll(request),
  };
  const { remoteAddress } = socket;
  const answer = await front.handle(
    remoteAddress === undefined ? asked : copyWith(asked, { remoteAddress: remoteAddress.replace(/^::ffff:/, "") }),
  );
  if ("forward" in answer) return pass(answer, request, response, socket.remoteAddress);
  if ("accept" in answer) {
    const { status } = badRequest("unable to upgrade: missing upgrade headers in request");
    response.writeHead(400, { "content-type": "application/json" });
    response.end(JSON.stringify(status));
    return;
  }
  if ("stream" in answer) {
    response.writeHead(200, {
      "content-type": answer.contentType,
      "cache-control": "no-cache, private",
      ...answer.headers,
      ...(request.httpVersionMajor === 1 ? { "transfer-encoding": "chunked" } : {}),
    });
    if (request.httpVersionMajor === 1) (response as unknown as { flushHeaders(): void }).flushHeaders();
    let isEnded = false;
    const end = () => {
      streams.delete(finish);
      if (isEnded) return;
      isEnded = true;
      response.end();
    };
    const finish = () => {
      handle.stop();
      end();
    };
    const handle = answer.start((frame) => {
      if (isEnded) return;
      response.write(frame);
      const lag =
        (request.httpVersionMajor === 2
          ? request.stream.writableLength
          : (response as unknown as { writableLength: number }).writableLength) ?? 0;
      if (lag > LAG_BYTES_MAX) {
        isEnded = true;
        response.destroy();
      }
    }, end);
    const stop = () => {
      isEnded = true;
      streams.delete(finish);
      handle.stop();
    };
    if (!isEnded) streams.add(finish);
    response.on("close", stop);
    request.on("aborted", stop);
    return;
  }
  const acceptsGzip = /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""));
  if ("pieces" in answer) return sendPieces(answer, response, acceptsGzip);
  const body = acceptsGzip && answer.body.length >= GZIP_FROM_BYTES ? await compress(answer.body) : answer.body;
  response.writeHead(
    answer.status,
    copyWith(
      answer.headers,
      body === answer.body
        ? { "content-length": body.length }
        : { "content-encoding": "gzip", vary: "Accept-Encoding", "content-length": body.length },
    ),
  );
  await new Promise<void>((resolve) => {
    response.once("close", resolve);
    if (request.method === "HEAD") response.end(resolve);
    else response.end(body, resolve);
  });
}

/** Sends a long answer as fast as the client takes it; no more of it is made before. */
async function sendPieces(
  { status, headers, pieces }: FrontPieces,
  response: Http2ServerResponse,
  isPacked: boolean,
): Promise<void> {
  response.writeHead(status, {
    ...headers,
    ...(isPacked ? { "content-encoding": "gzip", vary: "Accept-Encoding" } : {}),
  });
  const closed = new Promise<void>((resolve) => response.once("close", resolve));
  let isClosed = false;
  void closed.then(() => {
    isClosed = true;
  });
  const packed = isPacked ? pipeline(Readable.from(pieces), createGzip({ level: 1 }), () => {}) : undefined;
  for await (const piece of packed ?? pieces) {
    if (isClosed) return;
    if (response.write(piece)) continue;
    const drained = new Promise<void>((resolve) => response.once("drain", resolve));
    await Promise.race([drained, closed]);
  }
  await Promise.race([closed, new Promise<void>((resolve) => response.end(resolve))]);
}

/** Carries a request on to another server and its answer back, chunk by chunk. */
async function pass(
  { forward, sent, rewrite }: FrontForward,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  remoteAddress: string | undefined,
): Promise<void> {
  const abort = new AbortController();
  response.on("close", () => abort.abort());
  try {
    const answer = await forwardRequest(forward, {
      method: request.method,
      rawHeaders: request.rawHeaders,
      ...(remoteAddress === undefined ? {} : { remoteAddress }),
      body: sent ?? request,
      signal: abort.signal,
    });
    response.writeHead(answer.status, answer.headers);
    if (request.httpVersionMajor === 1) (response as unknown as { flushHeaders(): void }).flushHeaders();
    answer.body.on("error", () => response.destroy());
    answer.body.on("aborted", () => response.destroy());
    const shown = rewrite === undefined ? answer.body : answer.body.pipe(rewrite);
    shown.pipe(response as unknown as Writable);
  } catch (error) {
    if (abort.signal.aborted) return;
    const { status } = internalError(error);
    response.writeHead(500, { "content-type": "application/json" });
    response.end(JSON.stringify(status));
  }
}

async function upgrade(front: Handler, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  socket.on("error", () => socket.destroy());
  const answer = await front.handle({
    method: request.method ?? "GET",
    url: request.url ?? "/",
    headers: headersOf(request),
    peer: peerOf(request.socket as TLSSocket),
    body: () => Promise.resolve(Buffer.alloc(0)),
    isUpgrade: true,
  });
  if ("forward" in answer) {
    const { remoteAddress } = request.socket;
    const asked = {
      method: request.method ?? "GET",
      rawHeaders: request.rawHeaders,
      ...(remoteAddress === undefined ? {} : { remoteAddress }),
    };
    await forwardUpgrade(answer.forward, asked, socket, head);
  } else if ("accept" in answer) answer.accept(request, socket, head);
  else if ("stream" in answer) throw badRequest("watches are not served over WebSocket connections");
  else writeWhole(socket, answer.status, answer.headers, wholeBody(answer));
}

/** Answers a request whose connection was handed over for an upgrade that will not be. */
function writeWhole(
  socket: Duplex,
  status: number,
  headers: Readonly<Record<string, string | string[]>>,
  body: Buffer,
): void {
  if (socket.destroyed) return;
  const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}`));
  socket.end(
    Buffer.concat([
      Buffer.from(
        [
          `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
          ...lines,
          `content-length: ${body.length}`,
          "connection: close",
          "",
          "",
        ].join("\r\n"),
      ),
      body,
    ]),
  );
}

function compress(body: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) =>
    gzip(body, { level: 1 }, (error, packed) => (error === null ? resolve(packed) : reject(error))),
  );
}

async function readAll(request: Http2ServerRequest): Promise<Buffer> {
  if (Number(request.headers["content-length"]) <= SMALL_BYTES) return readSmall(request);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw requestEntityTooLarge(`limit is ${BODY_BYTES_MAX}`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** An iterator costs more than a small body; for a large one it leaves the connection to the refusal when it ends early. */
function readSmall(request: Http2ServerRequest): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    let isWhole = false;
    request.on("end", () => {
      isWhole = true;
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    });
    request.on("error", reject);
    request.on("close", () => {
      // An error is dear, for it notes its stack.
      if (!isWhole) reject(new Error("the request ended before its body"));
    });
  });
}
