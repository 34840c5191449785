import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse, stringify } from "yaml";
import type { KeyPair } from "./authority.ts";

/** One reachable server with one identity, texts instead of file names. */
export interface KubeconfigEndpoint {
  readonly server: string;
  readonly certificateAuthority?: string;
  readonly insecureSkipTlsVerify?: boolean;
  readonly tlsServerName?: string;
  readonly proxyUrl?: string;
  readonly clientCertificate?: string;
  readonly clientKey?: string;
  readonly token?: string;
  readonly username?: string;
  readonly password?: string;
  readonly namespace?: string;
  /** A program that gives credentials; whoever opens the server runs it. */
  readonly exec?: ExecPlugin;
}

/** A credential plugin as a kubeconfig names it (`client.authentication.k8s.io`). */
export interface ExecPlugin {
  readonly apiVersion: string;
  /** As it is to be started: with a path where the kubeconfig gave one. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly interactiveMode: "Never" | "IfAvailable" | "Always";
  readonly providesClusterInfo: boolean;
  readonly installHint?: string;
}

interface Named<T> {
  readonly name: string;
  readonly value: T;
}

/** A kubeconfig as parsed; files it names are resolved beside it. */
export interface Kubeconfig {
  readonly folder: string;
  readonly currentContext: string;
  readonly clusters: readonly Named<Readonly<Record<string, unknown>>>[];
  readonly users: readonly Named<Readonly<Record<string, unknown>>>[];
  readonly contexts: readonly Named<{
    readonly cluster?: string;
    readonly user?: string;
    readonly namespace?: string;
  }>[];
}

/** What a kubeconfig of one context says. */
export interface KubeconfigText {
  /** Names the cluster, and the user and context where those have no name of their own. */
  readonly name: string;
  readonly user?: string;
  readonly context?: string;
  readonly server: string;
  /** PEM; absent where the server is not verified. */
  readonly authority?: string;
  readonly proxyUrl?: string;
  readonly client?: KeyPair;
}

/** A kubeconfig with everything inline; without a client it only says where the cluster is. */
export function kubeconfigText(of: KubeconfigText): string {
  const { name, user = name, context = name, server, authority, proxyUrl, client } = of;
  const trust =
    authority === undefined
      ? { "insecure-skip-tls-verify": true }
      : { "certificate-authority-data": base64(authority) };
  const proxy = proxyUrl === undefined ? {} : { "proxy-url": proxyUrl };
  const head = { apiVersion: "v1", kind: "Config", clusters: [{ name, cluster: { ...trust, server, ...proxy } }] };
  if (client === undefined) return stringify({ ...head, contexts: null, "current-context": "", users: null });
  const identity = {
    "client-certificate-data": base64(client.certificate),
    "client-key-data": base64(client.key),
  };
  return stringify({
    ...head,
    users: [{ name: user, user: identity }],
    contexts: [{ name: context, context: { cluster: name, user } }],
    "current-context": context,
  });
}

/** Writes a kubeconfig with everything inline. */
export function writeKubeconfig(path: string, name: string, server: string, authority: string, client: KeyPair): void {
  writeFileSync(path, kubeconfigText({ name, server, authority, client }), { mode: 0o600 });
}

/** The same kubeconfig with another certificate and key for the user of its current context. */
export function withClient(text: string, client: KeyPair): string {
  const config = parse(text, { version: "1.1" }) as {
    "current-context"?: string;
    contexts?: { name: string; context: { user?: string } }[];
    users?: { name: string; user: Record<string, unknown> }[];
  };
  const user = config.contexts?.find(({ name }) => name === config["current-context"])?.context.user;
  const users = (config.users ?? []).map((entry) =>
    entry.name === user
      ? {
          ...entry,
          user: {
            ...entry.user,
            "client-certificate-data": base64(client.certificate),
            "client-key-data": base64(client.key),
          },
        }
      : entry,
  );
  return stringify({ ...config, users });
}

const base64 = (text: string) => Buffer.from(text).toString("base64");

/** Reads a kubeconfig file. Throws with the file's name and what is wrong. */
export function parseKubeconfig(path: string): Kubeconfig {
  if (!existsSync(path)) throw new Error(`stat ${path}: no such file or directory`);
  return readKubeconfig(readFileSync(path, "utf8"), path);
}

/** Reads the text of a kubeconfig; `path` is where it came from, beside which files it names are looked for. */
export function readKubeconfig(text: string, path = "kubeconfig"): Kubeconfig {
  let config: Record<string, unknown>;
  try {
    config = parse(text, { version: "1.1" }) as Record<string, unknown>;
  } catch (error) {
    throw new Error(`error loading config file "${path}": ${error instanceof Error ? error.message : String(error)}`);
  }
  const named = <T>(list: unknown, member: string): Named<T>[] =>
    ((list ?? []) as { name: string }[]).map((entry) => ({
      name: entry.name,
      value: ((entry as Record<string, unknown>)[member] ?? {}) as T,
    }));
  return {
    folder: dirname(resolve(path)),
    currentContext: String(config?.["current-context"] ?? ""),
    clusters: named(config?.["clusters"], "cluster"),
    users: named(config?.["users"], "user"),
    contexts: named(config?.["contexts"], "context"),
  };
}

/** Members of a kubeconfig that lead outside it: to files of whoever reads it, or to programs to run. */
const OUTSIDE = ["certificate-authority", "client-certificate", "client-key", "tokenFile", "exec", "auth-provider"];

/** Refuses a kubeconfig that came from elsewhere and leads outside itself: nobody's files may be read by its say. */
export function refuseOutside({ clusters, users }: Kubeconfig): void {
  for (const [list, entries] of Object.entries({ clusters, users }))
    for (const { name, value } of entries) {
      const found = OUTSIDE.find((member) => value[member] !== undefined && value[member] !== "");
      if (found !== undefined)
        throw new Error(
          `${list} ${JSON.stringify(name)}: ${found} leads outside the kubeconfig, which must hold everything`,
        );
    }
}

/** The endpoint a context names; the current one by default. */
export function resolveContext(config: Kubeconfig, context?: string): KubeconfigEndpoint {
  const wanted = context ?? config.currentContext;
  const chosen = config.contexts.find(({ name }) => name === wanted);
  if (chosen === undefined) throw new Error(`context "${wanted}" does not exist`);
  const cluster = config.clusters.find(({ name }) => name === chosen.value.cluster)?.value;
  const user = config.users.find(({ name }) => name === chosen.value.user)?.value ?? {};
  if (cluster === undefined) throw new Error(`cluster "${chosen.value.cluster}" does not exist`);
  const text = (from: Readonly<Record<string, unknown>>, name: string): string | undefined => {
    const inline = from[`${name}-data`];
    if (typeof inline === "string" && inline !== "") return Buffer.from(inline, "base64").toString("utf8");
    const file = from[name];
    return typeof file === "string" && file !== "" ? readFileSync(resolve(config.folder, file), "utf8") : undefined;
  };
  const optional = (values: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value !== ""));
  const tokenFile = text({ tokenFile: user["tokenFile"] }, "tokenFile")?.trim();
  return {
    server: String(cluster["server"] ?? ""),
    ...optional({
      certificateAuthority: text(cluster, "certificate-authority"),
      insecureSkipTlsVerify: cluster["insecure-skip-tls-verify"],
      tlsServerName: cluster["tls-server-name"],
      proxyUrl: cluster["proxy-url"],
      clientCertificate: text(user, "client-certificate"),
      clientKey: text(user, "client-key"),
      token: tokenFile ?? user["token"],
      username: user["username"],
      password: user["password"],
      namespace: chosen.value.namespace,
      exec: execOf(config.folder, chosen.value.user ?? "", user),
    }),
  };
}

const EXEC_VERSIONS = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
const MODES = ["Never", "IfAvailable", "Always"] as const;

/** The plugin of a user, checked field by field. */
function execOf(folder: string, name: string, user: Readonly<Record<string, unknown>>): ExecPlugin | undefined {
  const refused = (what: string) => new Error(`users ${JSON.stringify(name)}: ${what}`);
  if (user["auth-provider"] !== undefined && user["auth-provider"] !== null)
    throw refused("auth-provider is not supported; use a credential plugin (exec)");
  const given = user["exec"] as Readonly<Record<string, unknown>> | null | undefined;
  if (given === undefined || given === null) return undefined;
  const { apiVersion, command, args, env, interactiveMode, provideClusterInfo, installHint } = given;
  if (typeof apiVersion !== "string" || !EXEC_VERSIONS.includes(apiVersion))
    throw refused(`exec.apiVersion: ${JSON.stringify(apiVersion ?? "")} is none of ${EXEC_VERSIONS.join(", ")}`);
  if (typeof command !== "string" || command === "") throw refused("exec.command must be specified");
  const mode = interactiveMode ?? (apiVersion === EXEC_VERSIONS[0] ? undefined : "IfAvailable");
  if (!MODES.some((known) => known === mode))
    throw refused(`exec.interactiveMode: ${JSON.stringify(mode ?? "")} is none of ${MODES.join(", ")}`);
  return {
    apiVersion,
    // A name without a path is looked for on the PATH, a path beside the kubeconfig.
    command: command.includes("/") ? resolve(folder, command) : command,
    args: ((args ?? []) as readonly unknown[]).map(String),
    env: Object.fromEntries(
      ((env ?? []) as readonly { name: string; value: string }[]).map(({ name: key, value }) => [key, value]),
    ),
    interactiveMode: mode as ExecPlugin["interactiveMode"],
    providesClusterInfo: provideClusterInfo === true,
    ...(typeof installHint === "string" && installHint !== "" ? { installHint } : {}),
  };
}

/** Where a pod finds what its service account may use. */
const ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The API server of the cluster this program runs in, as the pod's service account; nothing outside a cluster. */
export function ownCluster(
  env: Readonly<Record<string, string | undefined>>,
  folder: string = ACCOUNT_FOLDER,
): KubeconfigEndpoint | undefined {
  const { KUBERNETES_SERVICE_HOST: host = "", KUBERNETES_SERVICE_PORT: port = "" } = env;
  if (host === "" && port === "") return undefined;
  if (host === "" || port === "")
    throw new Error(
      "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined",
    );
  const read = (name: string) => readFileSync(resolve(folder, name), "utf8").trim();
  const namespace = existsSync(resolve(folder, "namespace")) ? read("namespace") : "";
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    token: read("token"),
    certificateAuthority: read("ca.crt"),
    ...(namespace === "" ? {} : { namespace }),
  };
}
