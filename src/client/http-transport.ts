import { createSecureContext, type SecureContext } from "node:tls";
import { Agent, type Dispatcher } from "undici";
import {
  ApiError,
  apiError,
  type KubeList,
  type KubeObject,
  type ListRequest,
  type RawRequest,
  type RawResponse,
  type ResourceAddress,
  type Status,
  type Transport,
  type WatchRequest,
  type WatchSink,
  type ResourceRequest,
  type WriteOptions,
  parseJson,
  writeJson,
} from "#machinery";
import { dial, type TlsOptions } from "#network";
import { type Exchange, exchange } from "./exchange.ts";
import type { RequestMeasure } from "./rest-metrics.ts";
import { WatchFrames, type WatchTurn } from "./watch-frames.ts";

/** Where an API server is and who asks. PEM texts, not file names. */
export interface HttpTransportOptions {
  /** `https://host:port`, optionally with a path that prefixes every request. */
  readonly server: string;
  readonly certificateAuthority?: string;
  readonly clientCertificate?: string;
  readonly clientKey?: string;
  /** Bearer token, or a function that gives the present one so that it can be rotated. */
  readonly token?: string | (() => string | undefined);
  readonly username?: string;
  readonly password?: string;
  readonly insecureSkipTlsVerify?: boolean;
  readonly tlsServerName?: string;
  readonly proxyUrl?: string;
  readonly proxyHeaders?: Readonly<Record<string, string>>;
  readonly impersonate?: { readonly user: string; readonly groups?: readonly string[]; readonly uid?: string };
  readonly userAgent?: string;
  /** Requests at a time; default 64. */
  readonly connectionsMax?: number;
  /** Limit of one request that is no watch; default 32 s. */
  readonly timeoutMs?: number;
  /** Largest answer read into memory; default 256 MiB. */
  readonly answerBytesMax?: number;
  /** Told of each answer; `code` is `<error>` where none came. */
  readonly measure?: RequestMeasure;
  /** Asks for a turn in which what watches brought is read; default at once. */
  readonly inTurn?: (turn: WatchTurn) => void;
}

export interface HttpTransport extends Transport {
  /** Ends everything at once. */
  close(): Promise<void>;
  /** Ends watches and resolves when requests under way are answered: for one whose place another takes. */
  retire(): Promise<void>;
}

const NO_HEADERS: Readonly<Record<string, string>> = {};
const CONNECTIONS_MAX = 64;
const CONNECT_MS = 10_000;
const [OPENING, CLOSING, NEWLINE] = Buffer.from("{}\n");
/** Kinds followed at a time. */
const WATCHES_MAX = 4_096;

/** A transport to a foreign API server: JSON over HTTP/1.1 with kept connections. */
export function createHttpTransport(options: HttpTransportOptions): HttpTransport {
  const { timeoutMs = 32_000, answerBytesMax = 256 * 1024 * 1024 } = options;
  const server = new URL(options.server);
  const prefix = server.pathname.replace(/\/+$/, "");
  const trust = server.protocol === "https:" ? trustOf(options) : {};
  const dispatcher = createDispatcher(options, trust, options.connectionsMax ?? CONNECTIONS_MAX);
  // A watch keeps its connection: were they taken from the same stock, many kinds followed would leave none for requests.
  const watcher = createDispatcher(options, trust, WATCHES_MAX);
  let isClosed = false;

  const headers = (): Record<string, string> => {
    const token = typeof options.token === "function" ? options.token() : options.token;
    const basic =
      options.username === undefined
        ? undefined
        : `Basic ${Buffer.from(`${options.username}:${options.password ?? ""}`).toString("base64")}`;
    return {
      accept: "application/json",
      "user-agent": options.userAgent ?? "flotilla",
      ...(token === undefined
        ? basic === undefined
          ? {}
          : { authorization: basic }
        : { authorization: `Bearer ${token}` }),
      ...(options.impersonate === undefined ? {} : { "impersonate-user": options.impersonate.user }),
      ...(options.impersonate?.uid === undefined ? {} : { "impersonate-uid": options.impersonate.uid }),
    };
  };
  const allHeaders = (more: Readonly<Record<string, string>>): string[] => {
    const flat: string[] = [];
    for (const [key, value] of Object.entries({ ...headers(), ...more })) flat.push(key, value);
    for (const group of options.impersonate?.groups ?? []) flat.push("impersonate-group", group);
    return flat;
  };

  /** Tells how long an answer took to begin. */
  function measured(method: string): (code: number | "<error>") => void {
    const { measure } = options;
    if (measure === undefined) return () => undefined;
    const startedMs = performance.now();
    return (code) => measure(method, server.host, String(code), (performance.now() - startedMs) / 1000);
  }

  /** Sends a request and reads its answer whole. */
  async function ask(
    method: string,
    path: string,
    more: Readonly<Record<string, string>>,
    body: Dispatcher.DispatchOptions["body"],
    signal: AbortSignal | undefined,
  ): Promise<Exchange> {
    const told = measured(method);
    let hasBegun = false;
    try {
      return await exchange(
        dispatcher,
        {
          origin: server.origin,
          path: prefix + path,
          method: method as Dispatcher.HttpMethod,
          headers: allHeaders(more),
          headersTimeout: timeoutMs,
          bodyTimeout: timeoutMs,
          // The library would close the connection after each DELETE with a body, and the next request begin with a handshake.
          reset: false,
          ...(body === undefined ? {} : { body }),
        },
        {
          bytesMax: answerBytesMax,
          began: (status) => {
            hasBegun = true;
            told(status);
          },
          ...(signal === undefined ? {} : { signal }),
        },
      );
    } catch (error) {
      if (!hasBegun) told("<error>");
      throw inWords(error, server.host, timeoutMs);
    }
  }

  async function request(
    method: string,
    path: string,
    body: unknown,
    contentType: string | undefined,
    signal: AbortSignal | undefined,
    onWarning?: (message: string) => void,
    unread?: WriteOptions["unread"],
  ): Promise<KubeObject> {
    const more = contentType === undefined ? NO_HEADERS : { "content-type": contentType };
    const answer = await ask(method, path, more, body === undefined ? undefined : writeJson(body), signal);
    if (onWarning !== undefined) for (const text of warningsOf(answer.values("warning"))) onWarning(text);
    const retryAfter = answer.status === 429 || answer.status >= 500 ? answer.values("retry-after")[0] : undefined;
    const read = () => parseAnswer(answer.status, answer.body.toString("utf8"), method, path, retryAfter);
    if (unread === undefined || !isObjectText(answer)) return read();
    unread(read);
    return body as KubeObject;
  }

  function write(
    method: "POST" | "PUT",
    path: string,
    query: URLSearchParams,
    { body, options, signal, onWarning }: Extract<ResourceRequest, { readonly verb: "create" | "update" }>,
  ): Promise<KubeObject> {
    writeQuery(query, options);
    return request(method, withQuery(path, query), body, "application/json", signal, onWarning, options?.unread);
  }

  return {
    send(sent) {
      const query = new URLSearchParams();
      const path = pathOf(sent);
      switch (sent.verb) {
        case "get":
          if (sent.resourceVersion !== undefined) query.set("resourceVersion", sent.resourceVersion);
          return request("GET", withQuery(path, query), undefined, undefined, sent.signal, sent.onWarning);
        case "create":
          return write("POST", path, query, sent);
        case "update":
          return write("PUT", path, query, sent);
        case "patch":
          writeQuery(query, sent.options);
          return request("PATCH", withQuery(path, query), sent.body, sent.patchType, sent.signal, sent.onWarning);
        case "delete":
          return request("DELETE", path, deleteBody(sent.options), "application/json", sent.signal, sent.onWarning);
        case "deletecollection":
          listQuery(query, sent.selection ?? {});
          return request(
            "DELETE",
            withQuery(path, query),
            deleteBody(sent.options),
            "application/json",
            sent.signal,
            sent.onWarning,
          );
      }
    },
    async list(list) {
      const query = new URLSearchParams();
      listQuery(query, list);
      const answer = (await request(
        "GET",
        withQuery(pathOf(list), query),
        undefined,
        undefined,
        list.signal,
      )) as unknown as KubeList & { items: KubeObject[] | null };
      // Items of a list carry neither apiVersion nor kind on the wire; give them what the list says.
      const apiVersion = answer.apiVersion;
      const kind = answer.kind.replace(/List$/, "");
      const items = (answer.items ?? []).map((item) =>
        item.kind === undefined || item.kind === "" ? { ...item, apiVersion, kind } : item,
      );
      return { ...answer, items };
    },
    watch(watch, sink) {
      const abort = new AbortController();
      void follow(watch, sink, abort.signal);
      return { stop: () => abort.abort() };
    },
    async raw(raw) {
      return sendRaw(raw);
    },
    async close() {
      if (isClosed) return;
      isClosed = true;
      await Promise.all([dispatcher.destroy(), watcher.destroy()]);
    },
    async retire() {
      await Promise.all([dispatcher.close(), watcher.destroy()]);
    },
  };

  async function sendRaw(raw: RawRequest): Promise<RawResponse> {
    const answer = await ask(raw.method, raw.path, raw.headers ?? NO_HEADERS, raw.body, raw.signal);
    return { status: answer.status, headers: answer.headers(), body: answer.body };
  }

  async function follow(watch: WatchRequest, sink: WatchSink, signal: AbortSignal): Promise<void> {
    let end: Error | undefined;
    let frames: WatchFrames | undefined;
    try {
      const query = new URLSearchParams({ watch: "true" });
      if (watch.labelSelector) query.set("labelSelector", watch.labelSelector);
      if (watch.fieldSelector) query.set("fieldSelector", watch.fieldSelector);
      if (watch.resourceVersion) query.set("resourceVersion", watch.resourceVersion);
      if (watch.resourceVersionMatch) query.set("resourceVersionMatch", watch.resourceVersionMatch);
      if (watch.allowWatchBookmarks) query.set("allowWatchBookmarks", "true");
      if (watch.sendInitialEvents !== undefined) query.set("sendInitialEvents", String(watch.sendInitialEvents));
      if (watch.timeoutSeconds !== undefined) query.set("timeoutSeconds", String(watch.timeoutSeconds));
      const path = withQuery(pathOf(watch), query);
      const told = measured("GET");
      const answer = await watcher
        .request({
          origin: server.origin,
          path: prefix + path,
          method: "GET",
          headers: allHeaders(NO_HEADERS),
          headersTimeout: timeoutMs,
          // A quiet watch is no dead watch; the connection's own keep-alive finds the dead ones.
          bodyTimeout: 0,
          signal,
        })
        .catch((error: unknown) => {
          told("<error>");
          throw inWords(error, server.host, timeoutMs);
        });
      told(answer.statusCode);
      if (answer.statusCode !== 200) {
        const text = Buffer.from(await readBody(answer.body, answerBytesMax)).toString("utf8");
        parseAnswer(answer.statusCode, text, "GET", path, [answer.headers["retry-after"]].flat()[0]);
      }
      const { body } = answer;
      frames = new WatchFrames(sink, signal, (error) => body.destroy(error), options.inTurn);
      for await (const chunk of body as AsyncIterable<Buffer>) {
        frames.take(chunk);
        if (signal.aborted) break;
      }
      frames.readAll();
    } catch (error) {
      end = error instanceof Error ? error : new Error(String(error));
    }
    // Whoever watches anew goes on after the last frame that was read.
    frames?.drop();
    if (!signal.aborted) sink.closed(end);
  }
}

/** Whom connections trust and as whom they come. */
interface Trust {
  readonly secureContext?: SecureContext;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Certificates are read once for all connections. Those that cannot be read are left to a connection to complain of. */
function trustOf(options: HttpTransportOptions): Trust {
  const trust = {
    ...(options.certificateAuthority === undefined ? {} : { ca: options.certificateAuthority }),
    ...(options.clientCertificate === undefined ? {} : { cert: options.clientCertificate }),
    ...(options.clientKey === undefined ? {} : { key: options.clientKey }),
  };
  try {
    return { secureContext: createSecureContext(trust) };
  } catch {
    return trust;
  }
}

function createDispatcher(options: HttpTransportOptions, trust: Trust, connections: number): Dispatcher {
  const tls = {
    ...trust,
    ...(options.insecureSkipTlsVerify ? { rejectUnauthorized: false } : {}),
    ...(options.tlsServerName === undefined ? {} : { servername: options.tlsServerName }),
  };
  const shared = {
    connections,
    pipelining: 1,
    keepAliveTimeout: 60_000,
    keepAliveMaxTimeout: 300_000,
  };
  if (options.proxyUrl === undefined || options.proxyUrl === "")
    return new Agent({ ...shared, connect: { ...tls, timeout: CONNECT_MS } });
  const { proxyUrl, proxyHeaders } = options;
  return new Agent({
    ...shared,
    connect: (wanted, callback) => {
      const isSecure = wanted.protocol === "https:";
      dial({
        host: wanted.hostname,
        port: Number(wanted.port || (isSecure ? 443 : 80)),
        timeoutMs: 30_000,
        proxy: { url: proxyUrl, ...(proxyHeaders === undefined ? {} : { headers: proxyHeaders }) },
        ...(isSecure ? { tls: tlsOf(options) } : {}),
      }).then(
        (socket) => callback(null, socket),
        (error: Error) => callback(error, null),
      );
    },
  });
}

const tlsOf = (options: HttpTransportOptions): TlsOptions => ({
  ...(options.certificateAuthority === undefined ? {} : { ca: options.certificateAuthority }),
  ...(options.clientCertificate === undefined ? {} : { cert: options.clientCertificate }),
  ...(options.clientKey === undefined ? {} : { key: options.clientKey }),
  ...(options.tlsServerName === undefined ? {} : { serverName: options.tlsServerName }),
  ...(options.insecureSkipTlsVerify ? { isInsecure: true } : {}),
});

/** The path of a resource request below the server's root. */
export function pathOf(address: ResourceAddress): string {
  const root = address.group === "" ? `/api/${address.version}` : `/apis/${address.group}/${address.version}`;
  const namespace =
    address.namespace === undefined || address.namespace === ""
      ? ""
      : `/namespaces/${encodeURIComponent(address.namespace)}`;
  const name = address.name === undefined || address.name === "" ? "" : `/${encodeURIComponent(address.name)}`;
  const subresource = address.subresource === undefined ? "" : `/${address.subresource}`;
  return `${root}${namespace}/${address.resource}${name}${subresource}`;
}

function withQuery(path: string, query: URLSearchParams): string {
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

function writeQuery(query: URLSearchParams, options: WriteOptions | undefined): void {
  if (options?.dryRun) query.set("dryRun", "All");
  if (options?.fieldManager) query.set("fieldManager", options.fieldManager);
  if (options?.fieldValidation) query.set("fieldValidation", options.fieldValidation);
  if (options?.force !== undefined) query.set("force", String(options.force));
}

function listQuery(query: URLSearchParams, options: Partial<ListRequest>): void {
  if (options.labelSelector) query.set("labelSelector", options.labelSelector);
  if (options.fieldSelector) query.set("fieldSelector", options.fieldSelector);
  if (options.limit) query.set("limit", String(options.limit));
  if (options.continue) query.set("continue", options.continue);
  if (options.resourceVersion) query.set("resourceVersion", options.resourceVersion);
  if (options.resourceVersionMatch) query.set("resourceVersionMatch", options.resourceVersionMatch);
}

function deleteBody(options: object | undefined): unknown {
  if (options === undefined) return undefined;
  const { dryRun, ...rest } = options as { dryRun?: boolean };
  return { apiVersion: "v1", kind: "DeleteOptions", ...rest, ...(dryRun ? { dryRun: ["All"] } : {}) };
}

function warningsOf(lines: readonly string[]): string[] {
  return lines.flatMap((line) =>
    [...line.matchAll(/299 \S+ "((?:[^"\\]|\\.)*)"/g)].map((match) => (match[1] ?? "").replace(/\\(.)/g, "$1")),
  );
}

/** What the library calls a headers timeout says nothing to whoever waited. */
function inWords(error: unknown, host: string, timeoutMs: number): unknown {
  switch ((error as { readonly code?: unknown } | null)?.code) {
    case "UND_ERR_HEADERS_TIMEOUT":
      return new Error(`no answer from ${host} within ${timeoutMs / 1000} s`);
    case "UND_ERR_CONNECT_TIMEOUT":
      return new Error(`no connection to ${host} within ${CONNECT_MS / 1000} s`);
    default:
      return error;
  }
}

async function readBody(body: AsyncIterable<Buffer>, bytesMax: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Error(`answer is larger than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Whether an answer is a success that looks like an object from without. */
function isObjectText({ status, body }: Exchange): boolean {
  const end = body.at(-1) === NEWLINE ? body.at(-2) : body.at(-1);
  return status >= 200 && status < 300 && body[0] === OPENING && end === CLOSING;
}

function parseAnswer(
  code: number,
  text: string,
  method: string,
  path: string,
  retryAfter: string | undefined,
): KubeObject {
  let body: unknown;
  try {
    body = parseJson(text);
  } catch {
    body = undefined;
  }
  const isObject = typeof body === "object" && body !== null && typeof (body as KubeObject).kind === "string";
  if (code >= 200 && code < 300) {
    if (isObject) return body as KubeObject;
    throw apiError(
      500,
      "InternalError",
      `${method} ${path}: the server answered ${code} with something that is no object`,
    );
  }
  if (isObject && (body as KubeObject).kind === "Status") throw new ApiError(body as Status);
  const retryAfterSeconds = Number(retryAfter ?? Number.NaN);
  throw apiError(
    code,
    REASONS[code] ?? (code >= 500 ? "InternalError" : "Unknown"),
    text.trim().slice(0, 1024) || `the server answered ${code}`,
    Number.isFinite(retryAfterSeconds) ? { retryAfterSeconds } : undefined,
  );
}

const REASONS: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  406: "NotAcceptable",
  409: "Conflict",
  410: "Gone",
  413: "RequestEntityTooLarge",
  415: "UnsupportedMediaType",
  422: "Invalid",
  429: "TooManyRequests",
  500: "InternalError",
  503: "ServiceUnavailable",
  504: "Timeout",
};
