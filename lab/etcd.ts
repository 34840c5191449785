import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get as httpGet } from "node:http";
import { get as httpsGet } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CertificateAuthority, KeyPair } from "#certs";
import { partPath } from "./build.ts";
import { freePort, type LabProcess, type Lifetime, startProcess, untilReady } from "./process.ts";

export interface EtcdOptions {
  /** `3.6` is the lab's own build, `3.4` Debian's package; default `3.6`. */
  readonly version?: "3.6" | "3.4";
  /** Where its data and log are; by default a folder that `stop` removes. */
  readonly folder?: string;
  readonly lifetime?: Lifetime;
  readonly clientPort?: number;
  readonly peerPort?: number;
  /** Serve TLS and demand client certificates of this authority. */
  readonly authority?: CertificateAuthority;
  /** Members of one cluster by name; each is started with the same list. Default: this one alone. */
  readonly cluster?: { readonly name: string; readonly peers: Readonly<Record<string, string>> };
  /** Leave out fsync, for tests that do not look at durability. Default false. */
  readonly isUnsafe?: boolean;
  readonly args?: readonly string[];
}

export interface Etcd {
  /** `http://127.0.0.1:PORT`, or `https://…`. */
  readonly url: string;
  /** What a client shows when the server demands certificates; PEM. */
  readonly client: (KeyPair & { readonly authority: string }) | undefined;
  readonly folder: string;
  readonly process: () => LabProcess;
  /** Starts it again on the same ports with the data it left. */
  readonly restart: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const READY_LIMIT_MS = 30_000;
const DEBIAN_ETCD = "/usr/bin/etcd";

/** Debian's etcd 3.4, when its package `etcd-server` is installed. */
export function debianEtcd(): string | undefined {
  try {
    return /^etcd Version: 3\.4\./.test(execFileSync(DEBIAN_ETCD, ["--version"], { encoding: "utf8" }))
      ? DEBIAN_ETCD
      : undefined;
  } catch {
    return undefined;
  }
}

/** Starts one etcd server on free ports of the loopback address. Resolves when it answers. */
export async function startEtcd(options: EtcdOptions = {}): Promise<Etcd> {
  const command = options.version === "3.4" ? debianEtcd() : partPath("etcd");
  if (command === undefined) throw new Error("etcd 3.4 is missing: install Debian's package etcd-server");
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "flotilla-etcd-"));
  mkdirSync(folder, { recursive: true });
  const [clientPort, peerPort] = [options.clientPort ?? (await freePort()), options.peerPort ?? (await freePort())];
  const { authority, cluster } = options;
  const scheme = authority === undefined ? "http" : "https";
  const url = `${scheme}://127.0.0.1:${clientPort}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  const name = cluster?.name ?? "default";
  const peers = cluster?.peers ?? { [name]: peerUrl };
  const tls = authority === undefined ? undefined : await writeCertificates(folder, authority);
  const args = [
    `--name=${name}`,
    `--data-dir=${join(folder, "data")}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=${Object.entries(peers)
      .map(([member, address]) => `${member}=${address}`)
      .join(",")}`,
    ...(tls?.flags ?? []),
    ...(options.isUnsafe ? ["--unsafe-no-fsync"] : []),
    ...(options.args ?? []),
  ];
  const start = () =>
    startProcess({
      command,
      args,
      logFile: join(folder, "etcd.log"),
      ...(options.lifetime === undefined ? {} : { lifetime: options.lifetime }),
    });
  let program = await start();
  const isAlone = Object.keys(peers).length === 1;
  const ready = () => untilReady(program, () => isHealthy(url, tls?.client), READY_LIMIT_MS, "a healthy answer");
  // A member of a larger cluster is healthy only when the others are there; the caller starts them together.
  if (isAlone) await ready();
  return {
    url,
    client: tls?.client,
    folder,
    process: () => program,
    async restart() {
      await program.stop();
      program = await start();
      await ready();
    },
    async stop() {
      await program.stop();
      if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Starts a cluster of several members, as production has; resolves when each of them answers. */
export async function startEtcdCluster(size: number, options: Omit<EtcdOptions, "cluster"> = {}): Promise<Etcd[]> {
  const ports = await Promise.all(Array.from({ length: size }, () => freePort()));
  const peers = Object.fromEntries(ports.map((port, at) => [`etcd${at}`, `http://127.0.0.1:${port}`]));
  const members = await Promise.all(
    ports.map((peerPort, at) => startEtcd({ ...options, peerPort, cluster: { name: `etcd${at}`, peers } })),
  );
  await Promise.all(
    members.map((member) =>
      untilReady(member.process(), () => isHealthy(member.url, member.client), READY_LIMIT_MS, "a healthy answer"),
    ),
  );
  return members;
}

async function writeCertificates(folder: string, authority: CertificateAuthority) {
  const [server, client] = await Promise.all([
    authority.issueServer("etcd", ["127.0.0.1", "localhost"]),
    authority.issueClient("etcd-client"),
  ]);
  const write = (file: string, text: string) => {
    writeFileSync(join(folder, file), text, { mode: 0o600 });
    return join(folder, file);
  };
  const flags = [
    `--cert-file=${write("server.crt", server.certificate)}`,
    `--key-file=${write("server.key", server.key)}`,
    `--trusted-ca-file=${write("ca.crt", authority.certificate)}`,
    "--client-cert-auth",
  ];
  write("client.crt", client.certificate);
  write("client.key", client.key);
  return { flags, client: { ...client, authority: authority.certificate } };
}

function isHealthy(url: string, client: Etcd["client"]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const tls = client === undefined ? {} : { ca: client.authority, cert: client.certificate, key: client.key };
    const get = client === undefined ? httpGet : httpsGet;
    get(`${url}/health`, { ...tls, timeout: 1000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    })
      .on("timeout", () => reject(new Error("no answer within 1 s")))
      .on("error", reject);
  });
}
