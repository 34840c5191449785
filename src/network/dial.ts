import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, rootCertificates } from "node:tls";
import { SocksClient } from "socks";

/** How the other side proves who it is, and we to it. PEM texts. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Default: the host that is dialled. */
  readonly serverName?: string;
  /** Whether a certificate nobody vouches for is taken; default false. */
  readonly isInsecure?: boolean;
  readonly minVersion?: "TLSv1.2" | "TLSv1.3";
}

/** A proxy on the way: `http://`, `https://` or `socks5://`, with user and password in the URL. */
export interface ProxyOptions {
  readonly url: string;
  /** Headers of the CONNECT request of HTTP proxies; a value may hold several, separated by commas. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface DialOptions {
  readonly host: string;
  readonly port: number;
  /** Absent for plain TCP. */
  readonly tls?: TlsOptions;
  readonly proxy?: ProxyOptions;
  /** Limit of all steps together; default 30 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const HEAD_BYTES_MAX = 16 * 1024;
/** What is written goes at once, as it does from Go: nothing waits for what was sent before to be confirmed. */
const openTcp = (host: string, port: number): Socket => connectTcp({ host, port, noDelay: true });
const unbracketed = (host: string) => host.replace(/^\[|\]$/g, "");

/** Opens a connection, through a proxy where one is given, up to a finished TLS handshake. Rejects with what failed. */
export async function dial(options: DialOptions): Promise<Socket> {
  const { timeoutMs = 30_000, signal } = options;
  const host = unbracketed(options.host);
  const deadline = AbortSignal.timeout(timeoutMs);
  const limit = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
  let socket: Socket | undefined;
  const giveUp = () =>
    socket?.destroy(new Error(deadline.aborted ? `dial tcp ${host}:${options.port}: i/o timeout` : "aborted"));
  limit.addEventListener("abort", giveUp, { once: true });
  try {
    socket =
      options.proxy === undefined
        ? await opened(openTcp(host, options.port), "connect")
        : await throughProxy(options.proxy, host, options, (own) => (socket = own), limit);
    if (options.tls !== undefined) {
      socket = secured(socket, host, options.tls);
      await opened(socket, "secureConnect");
    }
    if (limit.aborted) throw new Error(`dial tcp ${host}:${options.port}: i/o timeout`);
    return socket;
  } catch (error) {
    socket?.destroy();
    throw error;
  } finally {
    limit.removeEventListener("abort", giveUp);
  }
}

const IP = /^[\d.]+$|:/;

function secured(socket: Socket, host: string, tls: TlsOptions): Socket {
  const name = tls.serverName ?? host;
  return connectTls({
    socket,
    ...(IP.test(name) ? { host: name } : { host: name, servername: name }),
    ...(tls.ca === undefined || tls.ca === "" ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    ...(tls.minVersion === undefined ? {} : { minVersion: tls.minVersion }),
    rejectUnauthorized: tls.isInsecure !== true,
    ALPNProtocols: ["http/1.1"],
  });
}

/** Resolves when a socket says so; rejects when it fails or closes before. */
function opened(socket: Socket, event: "connect" | "secureConnect"): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      socket.off("error", failed);
      socket.off("close", closed);
      act();
    };
    const failed = (error: Error) => settle(() => reject(error));
    const closed = () => settle(() => reject(new Error("the connection was closed before it was ready")));
    socket.once(event, () => settle(() => resolve(socket)));
    socket.once("error", failed);
    socket.once("close", closed);
  });
}

/** An https proxy may have its certificate from whom the target has its own, as in Go, or from a public authority. */
const trustOfProxy = (tls: TlsOptions | undefined): TlsOptions =>
  tls?.isInsecure === true
    ? { isInsecure: true }
    : tls?.ca === undefined || tls.ca === ""
      ? {}
      : { ca: [...rootCertificates, tls.ca].join("\n") };

async function throughProxy(
  proxy: ProxyOptions,
  host: string,
  { port, tls }: Pick<DialOptions, "port" | "tls">,
  hold: (socket: Socket) => void,
  signal: AbortSignal,
): Promise<Socket> {
  const url = new URL(proxy.url);
  const proxyHost = unbracketed(url.hostname);
  const user = decodeURIComponent(url.username);
  const password = decodeURIComponent(url.password);
  try {
    if (url.protocol === "socks5:" || url.protocol === "socks5h:") {
      const raw = await opened(openTcp(proxyHost, Number(url.port || 1080)), "connect");
      hold(raw);
      const { socket } = await SocksClient.createConnection({
        command: "connect",
        destination: { host, port },
        proxy: {
          host: proxyHost,
          port: Number(url.port || 1080),
          type: 5,
          ...(user === "" ? {} : { userId: user, password }),
        },
        existing_socket: raw,
      });
      return socket;
    }
    if (url.protocol !== "http:" && url.protocol !== "https:")
      throw new Error(`the scheme ${url.protocol} is not supported`);
    const isSecure = url.protocol === "https:";
    let socket = await opened(openTcp(proxyHost, Number(url.port || (isSecure ? 443 : 80))), "connect");
    hold(socket);
    if (isSecure) socket = await opened(secured(socket, proxyHost, trustOfProxy(tls)), "secureConnect");
    await askForTunnel(socket, host, port, user, password, proxy.headers, signal);
    return socket;
  } catch (error) {
    throw new Error(`proxy ${url.protocol}//${url.host}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** Sends CONNECT and reads the answer's head; bytes after it are given back to the socket. */
function askForTunnel(
  socket: Socket,
  host: string,
  port: number,
  user: string,
  password: string,
  headers: ProxyOptions["headers"],
  signal: AbortSignal,
): Promise<void> {
  const target = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const lines = [`CONNECT ${target} HTTP/1.1`, `Host: ${target}`];
  if (user !== "") lines.push(`Proxy-Authorization: Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`);
  for (const [name, values] of Object.entries(headers ?? {}))
    for (const value of values.split(",")) lines.push(`${name}: ${value.trim().replace(/[\r\n]/g, "")}`);
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0);
    const finish = (error?: Error) => {
      socket.off("data", read);
      socket.off("error", finish);
      socket.off("close", closed);
      signal.removeEventListener("abort", closed);
      socket.pause();
      if (error === undefined) resolve();
      else reject(error);
    };
    const closed = () => finish(new Error("the proxy closed the connection"));
    const read = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return head.length > HEAD_BYTES_MAX ? finish(new Error("the proxy's answer has no end")) : undefined;
      const status = head.subarray(0, head.indexOf("\r\n")).toString("latin1");
      if (!/^HTTP\/1\.[01] 2\d\d/.test(status))
        return finish(new Error(`the proxy answered ${status.replace(/^HTTP\/1\.[01] /, "")}`));
      const rest = head.subarray(end + 4);
      finish();
      if (rest.length > 0) socket.unshift(rest);
    };
    socket.on("data", read);
    socket.once("error", finish);
    socket.once("close", closed);
    signal.addEventListener("abort", closed, { once: true });
  });
}
