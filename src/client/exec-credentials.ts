import { execFile } from "node:child_process";
import type { KubeconfigEndpoint } from "#certs";

/** What a credential plugin gave. */
export interface IssuedCredentials {
  readonly token?: string;
  readonly clientCertificate?: string;
  readonly clientKey?: string;
  /** From then on the plugin is asked again; absent where only a refusal says so. */
  readonly expiresMs?: number;
}

const RUN_LIMIT_MS = 60_000;
const OUTPUT_BYTES_MAX = 1024 * 1024;

/** Runs the endpoint's plugin by the protocol of `client.authentication.k8s.io`. Rejects with what it said. */
export async function runCredentialPlugin(endpoint: KubeconfigEndpoint): Promise<IssuedCredentials> {
  const { exec } = endpoint;
  if (exec === undefined) return {};
  if (exec.interactiveMode === "Always")
    throw new Error(
      `exec: ${exec.command} wants to ask at a terminal (interactiveMode: Always), and none is given to it`,
    );
  const info = {
    apiVersion: exec.apiVersion,
    kind: "ExecCredential",
    spec: { interactive: false, ...(exec.providesClusterInfo ? { cluster: clusterInfo(endpoint) } : {}) },
  };
  const env = { ...process.env, ...exec.env, KUBERNETES_EXEC_INFO: JSON.stringify(info) };
  const output = await new Promise<string>((resolve, reject) => {
    const child = execFile(
      exec.command,
      exec.args,
      { env, timeout: RUN_LIMIT_MS, maxBuffer: OUTPUT_BYTES_MAX },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const hint = exec.installHint === undefined ? "" : `\n${exec.installHint}`;
        const said = stderr.trim().slice(-1024);
        reject(
          new Error(
            (error as NodeJS.ErrnoException).code === "ENOENT"
              ? `exec: executable ${exec.command} not found${hint}`
              : `exec: executable ${exec.command} failed${typeof error.code === "number" ? ` with exit code ${error.code}` : `: ${error.message}`}${said === "" ? "" : `: ${said}`}`,
          ),
        );
      },
    );
    child.stdin?.end();
  });
  return issuedFrom(output, exec.apiVersion, exec.command);
}

/** Where the server is, for plugins that ask to be told. */
const clusterInfo = (endpoint: KubeconfigEndpoint) => ({
  server: endpoint.server,
  ...(endpoint.tlsServerName === undefined ? {} : { "tls-server-name": endpoint.tlsServerName }),
  ...(endpoint.insecureSkipTlsVerify === true ? { "insecure-skip-tls-verify": true } : {}),
  ...(endpoint.certificateAuthority === undefined
    ? {}
    : { "certificate-authority-data": Buffer.from(endpoint.certificateAuthority).toString("base64") }),
  ...(endpoint.proxyUrl === undefined ? {} : { "proxy-url": endpoint.proxyUrl }),
});

/** Reads what a plugin printed. Throws what is wrong with it. */
function issuedFrom(output: string, apiVersion: string, command: string): IssuedCredentials {
  const wrong = (what: string) => new Error(`exec plugin ${command}: ${what}`);
  let answer: { readonly kind?: unknown; readonly apiVersion?: unknown; readonly status?: unknown } | null;
  try {
    answer = JSON.parse(output) as typeof answer;
  } catch (error) {
    throw wrong(`its output is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (answer?.kind !== "ExecCredential") throw wrong("its output is no ExecCredential");
  if (answer.apiVersion !== apiVersion)
    throw wrong(
      `plugin is configured to use API version ${apiVersion}, plugin returned version ${String(answer.apiVersion)}`,
    );
  const status = (answer.status ?? undefined) as Readonly<Record<string, unknown>> | undefined;
  if (status === undefined) throw wrong("it didn't return a status field");
  const text = (name: string) => {
    const value = status[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const [token, certificate, key] = [text("token"), text("clientCertificateData"), text("clientKeyData")];
  if (token === undefined && certificate === undefined && key === undefined)
    throw wrong("it didn't return a token or cert/key pair");
  if ((certificate === undefined) !== (key === undefined)) throw wrong("it returned only certificate or key, not both");
  const expires = text("expirationTimestamp");
  const expiresMs = expires === undefined ? undefined : Date.parse(expires);
  if (expiresMs !== undefined && Number.isNaN(expiresMs))
    throw wrong(`status.expirationTimestamp: ${JSON.stringify(expires)} is no time`);
  return {
    ...(token === undefined ? {} : { token }),
    ...(certificate === undefined || key === undefined ? {} : { clientCertificate: certificate, clientKey: key }),
    ...(expiresMs === undefined ? {} : { expiresMs }),
  };
}
