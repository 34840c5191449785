import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface PlainListenerOptions {
  /** `--metrics-bind-address`; serves `/metrics`. */
  readonly metrics: Address | undefined;
  /** `--health-probe-bind-address`; serves `/healthz`, `/livez` and `/readyz`. An address equal to the first is shared. */
  readonly health: Address | undefined;
  readonly metricsText: () => Promise<string>;
  readonly isReady: () => boolean;
}

export interface PlainListeners {
  /** The ports listened on, in the order metrics, health. */
  readonly ports: readonly number[];
  close(): Promise<void>;
}

type Answer = (path: string) => Promise<{ readonly status: number; readonly type?: string; readonly body: string }>;

/** The plain HTTP ports that probes and scrapers of upstream's manifests ask. Rejects when one is taken, naming it. */
export async function startPlainListeners(options: PlainListenerOptions): Promise<PlainListeners> {
  const { metrics, health } = options;
  const isShared =
    metrics !== undefined &&
    metrics.host === health?.host &&
    metrics.port === health.port &&
    // Two free ports are two ports.
    metrics.port !== 0;
  const servers: Server[] = [];
  const close = async () => {
    await Promise.all(
      servers.map((server) => {
        server.closeAllConnections();
        return new Promise((resolve) => server.close(resolve));
      }),
    );
  };
  const answer =
    (isMetrics: boolean, isHealth: boolean): Answer =>
    async (path) => {
      if (isMetrics && path === "/metrics")
        return { status: 200, type: "text/plain; version=0.0.4; charset=utf-8", body: await options.metricsText() };
      if (isHealth && (path === "/healthz" || path === "/livez")) return { status: 200, body: "ok" };
      if (isHealth && path === "/readyz")
        return options.isReady() ? { status: 200, body: "ok" } : { status: 500, body: "not ready" };
      return { status: 404, body: "404 page not found\n" };
    };
  try {
    if (metrics !== undefined) servers.push(await listen(metrics, answer(true, isShared)));
    if (health !== undefined && !isShared) servers.push(await listen(health, answer(false, true)));
  } catch (error) {
    await close();
    throw error;
  }
  return { ports: servers.map((server) => (server.address() as AddressInfo).port), close };
}

async function listen({ host, port }: Address, answer: Answer): Promise<Server> {
  const server = createServer((request, response) => {
    const path = (request.url ?? "/").split("?", 1)[0] as string;
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405).end();
      return;
    }
    answer(path).then(
      ({ status, type = "text/plain; charset=utf-8", body }) =>
        response.writeHead(status, { "content-type": type }).end(request.method === "HEAD" ? undefined : body),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "EADDRINUSE" ? new Error(`port ${port} on ${host} is in use`, { cause: error }) : error),
    );
    server.listen(port, host, resolve);
  });
  return server;
}
