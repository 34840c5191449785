import { request as startRequest, type IncomingMessage, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex, Readable } from "node:stream";
import { dial, type ProxyOptions, type TlsOptions } from "./dial.ts";
import { keptConnections } from "./kept-connections.ts";

/** Where a request is sent on to, and as whom. */
export interface ForwardTarget {
  /** `https://host:port` or `http://host:port`, with nothing behind it. */
  readonly origin: string;
  /** Where to connect when that is not what the origin names. */
  readonly connectTo?: { readonly host: string; readonly port: number };
  /** Path and query at the target. */
  readonly path: string;
  /** Headers that replace what the client sent of the same name; several of one name are sent one by one. */
  readonly headers: readonly (readonly [string, string])[];
  /** Headers of the client that must not pass, beside those that only concern its own connection (lower case). */
  readonly isDropped?: (name: string) => boolean;
  readonly tls?: TlsOptions;
  readonly proxy?: ProxyOptions;
  /** Limit until the answer is complete; absent for requests that may take as long as they like. */
  readonly timeoutMs?: number;
}

export interface ForwardedRequest {
  readonly method: string;
  readonly rawHeaders: readonly string[];
  readonly remoteAddress?: string;
  readonly body: Readable | Buffer;
  readonly signal: AbortSignal;
}

export interface ForwardedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Readable;
}

/** Headers of one connection, which end with it. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

const hasHeader = (rawHeaders: readonly string[], ...names: readonly string[]): boolean =>
  rawHeaders.some((name, at) => at % 2 === 0 && names.includes(name.toLowerCase()));

function headersFor(
  target: ForwardTarget,
  rawHeaders: readonly string[],
  remoteAddress: string | undefined,
  isUpgrade: boolean,
): string[] {
  const replaced = new Set(target.headers.map(([name]) => name.toLowerCase()));
  const sent: string[] = [];
  let forwardedFor: string | undefined;
  let hasHost = replaced.has("host");
  let hasLength = false;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    const value = rawHeaders[at + 1] as string;
    const lower = name.toLowerCase();
    if (lower === ":authority") {
      if (!hasHost) sent.push("host", value);
      hasHost = true;
      continue;
    }
    if (lower.startsWith(":") || replaced.has(lower) || target.isDropped?.(lower)) continue;
    if (HOP_BY_HOP.has(lower) && !(isUpgrade && (lower === "connection" || lower === "upgrade"))) continue;
    if (lower === "x-forwarded-for") {
      forwardedFor = forwardedFor === undefined ? value : `${forwardedFor}, ${value}`;
      continue;
    }
    if (lower === "host") {
      if (hasHost) continue;
      hasHost = true;
    }
    if (lower === "content-length") hasLength = true;
    sent.push(name, value);
  }
  for (const [name, value] of target.headers) sent.push(name, value);
  if (!hasHost) sent.push("host", new URL(target.origin).host);
  if (remoteAddress !== undefined)
    sent.push("x-forwarded-for", forwardedFor === undefined ? remoteAddress : `${forwardedFor}, ${remoteAddress}`);
  if (!hasLength && !isUpgrade && hasHeader(rawHeaders, "transfer-encoding")) sent.push("transfer-encoding", "chunked");
  return sent;
}

function dialTarget(target: ForwardTarget, signal: AbortSignal): Promise<Socket> {
  const origin = new URL(target.origin);
  const isSecure = origin.protocol === "https:";
  return dial({
    host: target.connectTo?.host ?? origin.hostname,
    port: target.connectTo?.port ?? Number(origin.port || (isSecure ? 443 : 80)),
    signal,
    ...(isSecure ? { tls: { serverName: origin.hostname.replace(/^\[|\]$/g, ""), ...target.tls } } : {}),
    ...(target.proxy === undefined ? {} : { proxy: target.proxy }),
  });
}

/** Everything that decides where a connection leads, whom it trusts and as whom it comes. */
const identityOf = ({ origin, connectTo, tls, proxy }: ForwardTarget): string =>
  JSON.stringify([origin, connectTo, tls, proxy]);

const NO_BODY = Buffer.alloc(0);

/** Whether a request can be sent again when the connection it was sent on turns out to have ended: it changes nothing. */
const isRepeatable = ({ method, rawHeaders, body }: ForwardedRequest): boolean =>
  (method === "GET" || method === "HEAD") &&
  (Buffer.isBuffer(body) ? body.length === 0 : !hasHeader(rawHeaders, "content-length", "transfer-encoding"));

/** A connection that was kept had ended before the request came. */
class EndedMeanwhile extends Error {}

/**
 * Sends a request on; resolves with the answer's head as soon as it is there, its body following as a stream. What only
 * reads goes on a connection that an earlier one left, where there is one.
 */
export async function forwardRequest(target: ForwardTarget, request: ForwardedRequest): Promise<ForwardedAnswer> {
  const deadline = target.timeoutMs === undefined ? undefined : AbortSignal.timeout(target.timeoutMs);
  const signal = deadline === undefined ? request.signal : AbortSignal.any([request.signal, deadline]);
  const sendAlone = async (one: ForwardedRequest) => sendOn(target, one, signal, await dialTarget(target, signal));
  try {
    if (!isRepeatable(request)) return await sendAlone(request);
    const bare = { ...request, body: NO_BODY };
    try {
      return await sendOn(target, bare, signal);
    } catch (error) {
      if (!(error instanceof EndedMeanwhile)) throw error;
      return await sendAlone(bare);
    }
  } catch (error) {
    throw deadline?.aborted ? new Error("the request timed out", { cause: error }) : error;
  }
}

/** Sends a request on `socket`, which ends with it, or on a connection that is kept. */
function sendOn(
  target: ForwardTarget,
  request: ForwardedRequest,
  signal: AbortSignal,
  socket?: Socket,
): Promise<ForwardedAnswer> {
  return new Promise((resolve, reject) => {
    const sent = startRequest({
      ...(socket === undefined
        ? keptConnections.optionsFor(identityOf(target), () => dialTarget(target, signal))
        : { createConnection: () => socket }),
      method: request.method,
      path: target.path,
      headers: headersFor(target, request.rawHeaders, request.remoteAddress, false),
      setHost: false,
      signal,
    });
    sent.once("error", (error) =>
      reject(sent.reusedSocket && !signal.aborted ? new EndedMeanwhile("it ended", { cause: error }) : error),
    );
    sent.once("response", (answer: IncomingMessage) => {
      // Errors after this point end the body, which whoever reads it sees.
      sent.on("error", () => {});
      if (socket !== undefined) answer.once("close", () => socket.destroy());
      resolve({ status: answer.statusCode ?? 502, headers: plainHeaders(answer), body: answer });
    });
    if (Buffer.isBuffer(request.body)) sent.end(request.body);
    else request.body.on("error", () => sent.destroy()).pipe(sent);
  });
}

function plainHeaders(answer: IncomingMessage): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(answer.headers))
    if (value !== undefined && !HOP_BY_HOP.has(name)) headers[name] = value;
  return headers;
}

/**
 * Sends a protocol upgrade on and joins both connections byte for byte. An answer that is no upgrade is relayed as it is.
 * Resolves when the two are joined or the answer was given; rejects when the target cannot be reached.
 */
export async function forwardUpgrade(
  target: ForwardTarget,
  request: { readonly method: string; readonly rawHeaders: readonly string[]; readonly remoteAddress?: string },
  client: Duplex,
  head: Buffer,
): Promise<void> {
  const abort = new AbortController();
  const gone = () => abort.abort();
  client.once("close", gone);
  const socket = await dialTarget(target, abort.signal);
  return new Promise((resolve, reject) => {
    const sent = startRequest({
      createConnection: () => socket,
      method: request.method,
      path: target.path,
      headers: headersFor(target, request.rawHeaders, request.remoteAddress, true),
      setHost: false,
    });
    sent.once("error", (error) => {
      client.off("close", gone);
      reject(error);
    });
    sent.once("upgrade", (answer: IncomingMessage, remote: Socket, remoteHead: Buffer) => {
      client.off("close", gone);
      client.write(headOf(answer));
      if (remoteHead.length > 0) client.write(remoteHead);
      if (head.length > 0) remote.write(head);
      join(client, remote);
      resolve();
    });
    sent.once("response", (answer: IncomingMessage) => {
      client.off("close", gone);
      const status = answer.statusCode ?? 502;
      if (status < 400) {
        answer.resume();
        socket.destroy();
        return reject(new Error(`invalid upgrade response: status code ${status}`));
      }
      client.write(headOf(answer, true));
      answer.on("data", (chunk: Buffer) => client.write(chunk));
      answer.once("close", () => {
        client.end();
        socket.destroy();
      });
      resolve();
    });
    sent.end();
  });
}

function headOf(answer: IncomingMessage, isClosing = false): string {
  const status = answer.statusCode ?? 502;
  const lines = [`HTTP/1.1 ${status} ${answer.statusMessage || (STATUS_CODES[status] ?? "")}`];
  for (let at = 0; at < answer.rawHeaders.length; at += 2) {
    const name = answer.rawHeaders[at] as string;
    // The body comes without its framing: it ends where the connection ends.
    if (isClosing && HOP_BY_HOP.has(name.toLowerCase())) continue;
    lines.push(`${name}: ${answer.rawHeaders[at + 1]}`);
  }
  if (isClosing) lines.push("Connection: close");
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** Joins two connections until either ends. */
function join(left: Duplex, right: Duplex): void {
  left.pipe(right);
  right.pipe(left);
  for (const [one, other] of [
    [left, right],
    [right, left],
  ] as const) {
    one.once("error", () => other.destroy());
    one.once("close", () => other.destroy());
  }
}
