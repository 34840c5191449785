import { Agent } from "undici";
import { getPath, type JsonPatchOperation, isJsonObject, parseJson, type StatusDetails, writeJson } from "#machinery";
import type { ApiServer } from "../server.ts";
import { resolveService } from "./service-routing.ts";
import type { Webhook, WebhookClientConfig } from "./types.ts";

/** What a webhook answered, read and checked. */
export interface WebhookAnswer {
  readonly isAllowed: boolean;
  readonly status:
    | {
        readonly code?: number;
        readonly message?: string;
        readonly reason?: string;
        readonly details?: StatusDetails;
      }
    | undefined;
  readonly patch: readonly JsonPatchOperation[];
  readonly warnings: readonly string[];
  readonly auditAnnotations: Readonly<Record<string, string>>;
}

const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
const AGENTS_MAX = 100;

/** What a connection failed for, in Go's words where both say the same. */
const dialled = (message: string) =>
  message
    .replace(/^connect ECONNREFUSED (\S+)$/, "dial tcp $1: connect: connection refused")
    .replace(
      /^(?:unable to verify the first certificate|(?:self-signed|unable to get local issuer) certificate.*)$/,
      "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    )
    .replace(/^services ("[^"]*" not found)$/, "service $1");

/** What was answered, but is no answer. */
class AnswerError extends Error {
  override readonly name = "AnswerError";
}

/** Calls webhooks over HTTPS with kept connections, one set a destination and authority. */
export class WebhookClient {
  readonly #server: ApiServer;
  readonly #agents = new Map<string, Agent>();
  constructor(server: ApiServer) {
    this.#server = server;
  }

  /** Sends a review; throws an `Error` whose message says what went wrong between us and the webhook. */
  async call(
    webhook: Webhook,
    review: Readonly<Record<string, unknown>>,
    uid: string,
    mayPatch: boolean,
  ): Promise<WebhookAnswer> {
    const read = (text: string) => readReview(text);
    const body = await this.post(webhook.clientConfig, webhook.timeoutSeconds ?? 10, review, read);
    return parseAnswer(body, uid, mayPatch);
  }

  /** Posts JSON to where a configuration says and reads the text of the answer; throws as `call` does. */
  async post<T>(
    config: WebhookClientConfig,
    seconds: number,
    body: Readonly<Record<string, unknown>>,
    read: (text: string) => T,
  ): Promise<T> {
    const { service, url } = config;
    const shown =
      service === undefined
        ? (url ?? "")
        : `https://${service.name}.${service.namespace}.svc:${service.port ?? 443}${service.path ?? "/"}`;
    const target = new URL(shown);
    target.searchParams.set("timeout", `${seconds}s`);
    // The port of a Service is shown always, as it was not written by hand.
    const named =
      service === undefined
        ? String(target)
        : `${/^https:\/\/[^/]+/.exec(shown)?.[0] ?? ""}${target.pathname}${target.search}`;
    const abort = new AbortController();
    const timer = this.#server.clock.after(seconds * 1000, () => abort.abort(new Error("context deadline exceeded")));
    try {
      const { origin, agent } = await this.#route(config, target);
      const answer = await agent.request({
        origin,
        path: `${target.pathname}${target.search}`,
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/json, */*", host: target.host },
        body: writeJson(body),
        signal: abort.signal,
      });
      const text = await readBounded(answer.body, ANSWER_BYTES_MAX);
      if (answer.statusCode < 200 || answer.statusCode > 206) throw new AnswerError(refusedCall(answer.statusCode));
      const type = String(answer.headers["content-type"] ?? "");
      if (text === "")
        throw new AnswerError(`0-length response with status code: ${answer.statusCode} and content type: ${type}`);
      return read(text);
    } catch (error) {
      if (error instanceof AnswerError) throw new Error(`failed to call webhook: ${error.message}`, { cause: error });
      const why = abort.signal.aborted
        ? "context deadline exceeded"
        : error instanceof Error
          ? dialled(error.message)
          : String(error);
      throw new Error(`failed to call webhook: Post ${JSON.stringify(named)}: ${why}`, { cause: error });
    } finally {
      timer.cancel();
    }
  }

  async #route(config: WebhookClientConfig, target: URL): Promise<{ readonly origin: string; readonly agent: Agent }> {
    const { service, caBundle } = config;
    const found = service === undefined ? undefined : await resolveService(this.#server, service);
    const host = found === undefined ? target.host : `${bracketed(found.host)}:${found.port}`;
    const serverName = found?.serverName ?? target.hostname.replace(/^\[|\]$/g, "");
    const key = `${host} ${serverName} ${caBundle ?? ""}`;
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      if (this.#agents.size >= AGENTS_MAX) this.close();
      agent = new Agent({
        connections: 32,
        connect: {
          timeout: 10_000,
          ...(/^[\d.]+$|:/.test(serverName) ? {} : { servername: serverName }),
          ...(caBundle ? { ca: Buffer.from(caBundle, "base64").toString("utf8") } : {}),
        },
      });
      this.#agents.set(key, agent);
    }
    return { origin: `https://${host}`, agent };
  }

  close(): void {
    for (const agent of this.#agents.values()) void agent.close().catch(() => {});
    this.#agents.clear();
  }
}

const bracketed = (host: string) => (host.includes(":") && !host.startsWith("[") ? `[${host}]` : host);

async function readBounded(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Error(`the answer is larger than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** What a client of Kubernetes makes of a status that is no success. */
function refusedCall(status: number): string {
  if (status === 404) return "the server could not find the requested resource";
  if (status === 403) return "unknown";
  return 'an error on the server ("unknown") has prevented the request from succeeding';
}

const HEAD_TYPE =
  'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }';

/** The complaint about an answer that is no object. */
export const noHead = (what: string): Error =>
  new AnswerError(
    `couldn't get version/kind; json parse error: json: cannot unmarshal ${what} into Go value of type ${HEAD_TYPE}`,
  );

/** An AdmissionReview, or an object without a head, which is looked at later. */
function readReview(text: string): Readonly<Record<string, unknown>> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // Read as YAML, a text is a text.
    throw noHead("string");
  }
  if (!isJsonObject(body)) throw noHead(Array.isArray(body) ? "array" : typeof body);
  const { apiVersion, kind } = body;
  if (kind === "AdmissionReview" && apiVersion === "admission.k8s.io/v1beta1")
    throw new AnswerError("converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion");
  if (kind === "Status" && apiVersion === "v1")
    throw new AnswerError("converting (v1.Status) to (v1.AdmissionReview): unknown conversion");
  if (kind && !(kind === "AdmissionReview" && apiVersion === "admission.k8s.io/v1"))
    throw new AnswerError(
      `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion ?? "")} in scheme "pkg/runtime/scheme.go:111"`,
    );
  const allowed: unknown = getPath(body, "response", "allowed");
  if (allowed !== undefined && typeof allowed !== "boolean")
    throw new AnswerError(
      `json: cannot unmarshal ${typeof allowed} into Go struct field AdmissionResponse.response.allowed of type bool`,
    );
  return body;
}

function parseAnswer(body: Readonly<Record<string, unknown>>, uid: string, mayPatch: boolean): WebhookAnswer {
  const refuse = (why: string) => new Error(`received invalid webhook response: ${why}`);
  if (!body["kind"])
    throw refuse("expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=");
  const { response } = body;
  if (!isJsonObject(response)) throw refuse("webhook response was absent");
  if (response["uid"] !== uid)
    throw refuse(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response["uid"] ?? "")}`);
  if (!mayPatch && response["patch"]) throw refuse("validating webhook may not return response.patch");
  if (!mayPatch && response["patchType"]) throw refuse("validating webhook may not return response.patchType");
  return {
    isAllowed: response["allowed"] === true,
    status: isJsonObject(response["status"]) ? (response["status"] as WebhookAnswer["status"]) : undefined,
    patch: patchOf(response, refuse),
    warnings: Array.isArray(response["warnings"]) ? response["warnings"].map(String) : [],
    auditAnnotations: isJsonObject(response["auditAnnotations"])
      ? Object.fromEntries(Object.entries(response["auditAnnotations"]).map(([key, value]) => [key, String(value)]))
      : {},
  };
}

function patchOf(
  response: Readonly<Record<string, unknown>>,
  refuse: (why: string) => Error,
): readonly JsonPatchOperation[] {
  const { patch, patchType } = response;
  if (patch === undefined || patch === null || patch === "") {
    if (patchType !== undefined && patchType !== null)
      throw refuse("webhook returned response.patchType but not response.patch");
    return [];
  }
  if (patchType === undefined) throw refuse("webhook returned response.patch but not response.patchType");
  if (patchType !== "JSONPatch") throw new Error(`unsupported patch type ${JSON.stringify(patchType)}`);
  let operations: unknown;
  try {
    operations = parseJson(Buffer.from(String(patch), "base64").toString("utf8"));
  } catch {
    throw refuse("response.patch is no base64 of a JSON patch");
  }
  if (!Array.isArray(operations) || !operations.every(isJsonObject)) throw refuse("response.patch is no JSON patch");
  return operations as unknown as readonly JsonPatchOperation[];
}
