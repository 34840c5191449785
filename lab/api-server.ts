import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCertificateAuthority, type KubeconfigEndpoint, loadPki, type Pki, writeKubeconfig } from "#certs";
import { createHttpTransport } from "#client";
import { partPath } from "./build.ts";
import { type Etcd, startEtcd } from "./etcd.ts";
import { freePort, type LabProcess, type Lifetime, startProcess, untilReady } from "./process.ts";

export interface RealApiServerOptions {
  /** The cluster's name in its kubeconfig; default `real`. */
  readonly name?: string;
  /** Where certificates, kubeconfig, data and logs are; by default a folder that `stop` removes. */
  readonly folder?: string;
  readonly lifetime?: Lifetime;
  readonly port?: number;
  /** An etcd that stays the caller's; by default one of its own is started and stopped with it. */
  readonly etcd?: Etcd;
  /** Certificates to serve with and to trust; by default its own, kept in the folder. */
  readonly pki?: Pki;
  /** Further flags; a flag given here wins over the same flag of the lab. */
  readonly args?: readonly string[];
  /** Leave out etcd's fsync. Default false. */
  readonly isUnsafe?: boolean;
}

/** A running kube-apiserver with an administrator's kubeconfig. */
export interface RealApiServer {
  readonly name: string;
  readonly folder: string;
  readonly port: number;
  readonly server: string;
  /** File of the administrator's kubeconfig. */
  readonly kubeconfig: string;
  readonly endpoint: KubeconfigEndpoint;
  readonly pki: Pki;
  readonly etcd: Etcd;
  readonly process: () => LabProcess;
  /** Starts it again on the same port with the same certificates and data. */
  readonly restart: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const READY_LIMIT_MS = 90_000;

/** Starts etcd and kube-apiserver, nothing else: no controllers, no nodes. Resolves when `/readyz` says ok. */
export async function startRealApiServer(options: RealApiServerOptions = {}): Promise<RealApiServer> {
  const { name = "real", lifetime } = options;
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), `flotilla-${name}-`));
  mkdirSync(folder, { recursive: true });
  const pki = options.pki ?? (await loadPki(folder));
  const etcd =
    options.etcd ??
    (await startEtcd({
      folder: join(folder, "etcd"),
      ...(lifetime === undefined ? {} : { lifetime }),
      ...(options.isUnsafe === undefined ? {} : { isUnsafe: options.isUnsafe }),
    }));
  const port = options.port ?? (await freePort());
  const server = `https://127.0.0.1:${port}`;
  const kubeconfig = join(folder, `${name}.kubeconfig`);
  writeKubeconfig(kubeconfig, name, server, pki.authority.certificate, pki.admin);
  const endpoint: KubeconfigEndpoint = {
    server,
    certificateAuthority: pki.authority.certificate,
    clientCertificate: pki.admin.certificate,
    clientKey: pki.admin.key,
  };
  const args = merge(await flags(folder, pki, etcd, port), options.args ?? []);
  const start = () =>
    startProcess({
      command: partPath("kube-apiserver"),
      args,
      logFile: join(folder, "kube-apiserver.log"),
      ...(lifetime === undefined ? {} : { lifetime }),
    });
  const ready = async (program: LabProcess) => {
    const transport = createHttpTransport({ ...endpoint, timeoutMs: 2000 });
    try {
      await untilReady(
        program,
        async () => (await transport.raw({ method: "GET", path: "/readyz" })).status === 200,
        READY_LIMIT_MS,
        "an ok of /readyz",
      );
    } finally {
      await transport.close();
    }
  };
  const stopEtcd = async () => {
    if (options.etcd === undefined) await etcd.stop();
  };
  let program: LabProcess;
  try {
    program = await start();
    await ready(program);
  } catch (error) {
    await stopEtcd();
    throw error;
  }
  return {
    name,
    folder,
    port,
    server,
    kubeconfig,
    endpoint,
    pki,
    etcd,
    process: () => program,
    async restart() {
      await program.stop();
      program = await start();
      await ready(program);
    },
    async stop() {
      await program.stop();
      await stopEtcd();
      if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function flags(folder: string, pki: Pki, etcd: Etcd, port: number): Promise<string[]> {
  const write = (file: string, text: string) => {
    writeFileSync(join(folder, file), text, { mode: 0o600 });
    return join(folder, file);
  };
  const frontProxy = await createCertificateAuthority("front-proxy");
  const proxyClient = await frontProxy.issueClient("front-proxy-client");
  const store =
    etcd.client === undefined
      ? []
      : [
          `--etcd-cafile=${write("etcd-ca.crt", etcd.client.authority)}`,
          `--etcd-certfile=${write("etcd-client.crt", etcd.client.certificate)}`,
          `--etcd-keyfile=${write("etcd-client.key", etcd.client.key)}`,
        ];
  return [
    `--etcd-servers=${etcd.url}`,
    ...store,
    `--secure-port=${port}`,
    "--bind-address=127.0.0.1",
    "--advertise-address=127.0.0.1",
    // The loopback address is no valid endpoint of the Service `kubernetes`.
    "--endpoint-reconciler-type=none",
    `--tls-cert-file=${write("apiserver.crt", pki.server.certificate)}`,
    `--tls-private-key-file=${write("apiserver.key", pki.server.key)}`,
    `--client-ca-file=${write("ca.crt", pki.authority.certificate)}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    `--service-account-key-file=${write("service-account.pub", pki.serviceAccount.publicKey)}`,
    `--service-account-signing-key-file=${write("service-account.key", pki.serviceAccount.privateKey)}`,
    "--service-cluster-ip-range=10.96.0.0/16",
    "--authorization-mode=Node,RBAC",
    "--enable-bootstrap-token-auth=true",
    "--allow-privileged=true",
    `--requestheader-client-ca-file=${write("front-proxy-ca.crt", frontProxy.certificate)}`,
    "--requestheader-allowed-names=front-proxy-client",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-username-headers=X-Remote-User",
    `--proxy-client-cert-file=${write("front-proxy-client.crt", proxyClient.certificate)}`,
    `--proxy-client-key-file=${write("front-proxy-client.key", proxyClient.key)}`,
    "--profiling=false",
  ];
}

/** Flags of ours that are given again are left out; the order of the rest stays. */
function merge(ours: readonly string[], given: readonly string[]): string[] {
  const name = (flag: string) => flag.split("=", 1)[0];
  const names = new Set(given.map(name));
  return [...ours.filter((flag) => !names.has(name(flag))), ...given];
}
