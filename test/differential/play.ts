import { Agent, request as httpsRequest } from "node:https";
import { gunzipSync } from "node:zlib";
import { bodyOf, type Script, type Step } from "./script.ts";

/** A server to send scripts to, with an administrator's certificate. */
export interface Target {
  readonly server: string;
  readonly withCertificate: Agent;
  readonly anonymous: Agent;
  /** Where webhooks are asked, and the certificates they are trusted by, in base64. */
  readonly hooks?: { readonly url: string; readonly authority: string };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

const ANSWER_LIMIT_MS = 20_000;
const UNTIL_LIMIT_MS = 10_000;
const UNTIL_RETRY_MS = 100;

export function targetOf(endpoint: {
  readonly server: string;
  readonly certificateAuthority?: string;
  readonly clientCertificate?: string;
  readonly clientKey?: string;
  readonly hooks?: Target["hooks"];
}): Target & { close(): void } {
  const tls = { ca: endpoint.certificateAuthority, keepAlive: true, maxSockets: 32 };
  const withCertificate = new Agent({ ...tls, cert: endpoint.clientCertificate, key: endpoint.clientKey });
  const anonymous = new Agent(tls);
  return {
    server: endpoint.server,
    withCertificate,
    anonymous,
    ...(endpoint.hooks === undefined ? {} : { hooks: endpoint.hooks }),
    close() {
      withCertificate.destroy();
      anonymous.destroy();
    },
  };
}

/** Plays a script and gives the answers, one for each request. `id` must be the same for all servers and new each time. */
export async function play(script: Script, target: Target, id: string): Promise<readonly Answer[]> {
  const namespace = `ns-${id}`;
  if (script.steps.some(({ line }) => line.includes("$ns"))) {
    const body = JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    const answer = await send(
      target,
      "POST",
      "/api/v1/namespaces",
      { "content-type": "application/json" },
      Buffer.from(body),
    );
    if (answer.status !== 201) throw new Error(`namespace ${namespace}: ${answer.status} ${answer.text}`);
  }
  const answers: Answer[] = [];
  for (const step of script.steps) {
    const fill = (text: string) => fillIn(text, namespace, id, answers, target.hooks);
    const body = step.body === undefined ? undefined : bodyOf(step, fill(step.body));
    const headers = Object.fromEntries(Object.entries(step.headers).map(([name, value]) => [name, fill(value)]));
    if (body !== undefined && headers["content-type"] === undefined) headers["content-type"] = "application/json";
    // A header written without a value is left out.
    for (const [name, value] of Object.entries(headers)) if (value === "") delete headers[name];
    const attempt = () => send(target, step.method, fill(step.path), headers, body, step);
    answers.push(step.until === undefined ? await attempt() : await repeated(attempt, fill(step.until)));
  }
  return answers;
}

async function repeated(attempt: () => Promise<Answer>, until: string): Promise<Answer> {
  const endMs = Date.now() + UNTIL_LIMIT_MS;
  for (;;) {
    const answer = await attempt();
    const isReached =
      until === "warned"
        ? answer.headers["warning"] !== undefined
        : until.startsWith("text:")
          ? answer.text.includes(until.slice("text:".length))
          : answer.status === Number(until);
    if (isReached || Date.now() > endMs) return answer;
    await new Promise((resolve) => setTimeout(resolve, UNTIL_RETRY_MS));
  }
}

/** Puts names and parts of earlier answers into a text. */
function fillIn(
  text: string,
  namespace: string,
  id: string,
  answers: readonly Answer[],
  hooks: Target["hooks"],
): string {
  return text
    .replace(/\$hooks\b/g, hooks?.url ?? "")
    .replace(/\$authority\b/g, hooks?.authority ?? "")
    .replace(/\$ns\b/g, namespace)
    .replace(/\$id\b/g, id)
    .replace(/\$\{(\d+)\.([^}]+)\}/g, (_, number: string, path: string) => {
      const answer = answers[Number(number) - 1];
      if (answer === undefined) throw new Error(`there is no answer ${number} yet`);
      let value: unknown;
      try {
        value = JSON.parse(answer.text);
      } catch {
        return "unparsable-answer";
      }
      for (const key of path.split(".")) value = (value as Record<string, unknown> | undefined)?.[key];
      return value === undefined ? "absent" : typeof value === "object" ? JSON.stringify(value) : String(value);
    });
}

function send(
  target: Target,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: Buffer | undefined,
  step?: Step,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const url = new URL(target.server);
    const request = httpsRequest(
      {
        host: url.hostname,
        port: url.port,
        method,
        // Paths are sent as they are written, for what a server makes of odd ones is part of the question.
        path,
        headers: { ...headers, ...(body === undefined ? {} : { "content-length": String(body.length) }) },
        agent: step?.isAnonymous ? target.anonymous : target.withCertificate,
        timeout: ANSWER_LIMIT_MS,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const bytes = Buffer.concat(chunks);
          const plain = response.headers["content-encoding"] === "gzip" ? gunzipSync(bytes) : bytes;
          const isText = !/protobuf/.test(String(response.headers["content-type"] ?? ""));
          resolve({
            status: response.statusCode ?? 0,
            headers: Object.fromEntries(
              Object.entries(response.headers).map(([name, value]) => [
                name,
                Array.isArray(value) ? value.join(", ") : (value ?? ""),
              ]),
            ),
            text: isText ? plain.toString("utf8") : plain.toString("base64"),
          });
        });
      },
    );
    request.on("timeout", () => request.destroy(new Error(`no answer to ${method} ${path} within 20 s`)));
    request.on("error", (error) => reject(new Error(`${method} ${target.server}${path}: ${error.message}`)));
    request.end(body);
  });
}
