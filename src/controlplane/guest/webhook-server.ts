import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { answerWebhook, aggregatedRoutes, type WebhookAnswer, webhookRoutes } from "#admission";
import type { AdmissionPlugin } from "#apiserver";
import type { Logger } from "#base";
import type { KeyPair } from "#certs";

/** Two objects of the largest size an API server takes, and what JSON adds. */
const BODY_BYTES_MAX = 8 * 1024 * 1024;
const CLOSE_MS = 2_000;

export interface WebhookServer {
  readonly port: number;
  /** New connections get another certificate; those that are open stay. */
  renew(certificate: KeyPair): void;
  stop(): Promise<void>;
}

export interface WebhookServerOptions {
  readonly host: string;
  readonly port: number;
  readonly certificate: KeyPair;
  readonly plugins: readonly AdmissionPlugin[];
  readonly log: Logger;
}

/** Serves admission and conversion to a foreign API server, at upstream's paths (wire). */
export function startWebhookServer(options: WebhookServerOptions): Promise<WebhookServer> {
  const { plugins, log } = options;
  const routes = [...webhookRoutes, ...aggregatedRoutes];
  async function answer(path: string, request: IncomingMessage): Promise<WebhookAnswer> {
    if (request.method !== "POST") return answerWebhook(plugins, path, undefined, routes);
    let review: unknown;
    try {
      review = JSON.parse((await bodyOf(request)).toString("utf8"));
    } catch (error) {
      return { status: 400, body: { message: `body: ${error instanceof Error ? error.message : String(error)}` } };
    }
    return answerWebhook(plugins, path, review, routes);
  }
  const server = createServer(
    { cert: options.certificate.certificate, key: options.certificate.key, minVersion: "TLSv1.2" },
    (request: IncomingMessage, response: ServerResponse) => {
      const path = (request.url ?? "").split("?", 1)[0] ?? "";
      answer(path, request).then(
        ({ status, body }) => {
          response.writeHead(status, { "content-type": "application/json" });
          response.end(JSON.stringify(body));
        },
        (error: unknown) => {
          log.error("a webhook failed", { path, error });
          response.writeHead(500, { "content-type": "application/json" });
          response.end(JSON.stringify({ message: error instanceof Error ? error.message : String(error) }));
        },
      );
    },
  );
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      const address = server.address();
      resolve({
        port: typeof address === "object" && address !== null ? address.port : options.port,
        renew: ({ certificate, key }) => server.setSecureContext({ cert: certificate, key, minVersion: "TLSv1.2" }),
        stop: () =>
          new Promise((done) => {
            const timer = setTimeout(() => server.closeAllConnections(), CLOSE_MS);
            server.close(() => {
              clearTimeout(timer);
              done();
            });
            server.closeIdleConnections();
          }),
      });
    });
  });
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > BODY_BYTES_MAX) throw new Error(`more than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}
