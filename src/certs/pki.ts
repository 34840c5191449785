import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type CertificateAuthority,
  createCertificateAuthority,
  expiresWithin,
  type KeyPair,
  loadCertificateAuthority,
} from "./authority.ts";

/** Everything one API server needs to prove who it is and to know who others are. */
export interface Pki {
  readonly authority: CertificateAuthority;
  readonly server: KeyPair;
  /** The administrator's certificate, of group `system:masters`. */
  readonly admin: KeyPair;
  /** Proves to aggregated API servers that identity headers come from this one; common name `front-proxy-client`. */
  readonly frontProxy: KeyPair;
  /** Signs service account tokens; PEM. */
  readonly serviceAccount: { readonly privateKey: string; readonly publicKey: string };
}

/** What replicas of one control plane have in common: who signs, and who signs tokens. */
export interface PkiRoot {
  readonly authority: KeyPair;
  readonly serviceAccount: Pki["serviceAccount"];
}

/** The one name aggregated servers are told to believe (wire: in `extension-apiserver-authentication`). */
export const FRONT_PROXY = "front-proxy-client";
const RENEW_BEFORE_MS = 30 * 24 * 3_600_000;
const HOSTS = [
  "localhost",
  "127.0.0.1",
  "::1",
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "karmada-apiserver.karmada-system.svc",
];

/**
 * Loads the set from a folder, makes what is missing, and renews what ends within 30 days. Without a folder everything is
 * made anew and kept in memory. A `root` is taken over; throws when the folder holds another authority.
 */
export async function loadPki(
  folder: string | undefined,
  hosts: readonly string[] = [],
  root?: PkiRoot,
  now: () => number = Date.now,
): Promise<Pki> {
  const keep = folder === undefined ? undefined : join(folder, "pki");
  if (keep !== undefined) mkdirSync(keep, { recursive: true, mode: 0o700 });
  if (root !== undefined) adopt(keep, root);
  const authority = await (keep === undefined && root !== undefined
    ? loadCertificateAuthority(root.authority, now)
    : authorityIn(keep, now));
  const wanted = [...new Set([...HOSTS, ...hosts])];
  const [server, admin, frontProxy] = await Promise.all([
    pairIn(keep, "server", () => authority.issueServer("flotilla-apiserver", wanted), now, wanted.join(",")),
    pairIn(keep, "admin", () => authority.issueClient("system:admin", ["system:masters"]), now),
    pairIn(keep, "front-proxy", () => authority.issueClient(FRONT_PROXY), now),
  ]);
  return { authority, server, admin, frontProxy, serviceAccount: root?.serviceAccount ?? serviceAccountIn(keep) };
}

function adopt(keep: string | undefined, root: PkiRoot): void {
  const present = read(keep, "ca");
  if (present === undefined) write(keep, "ca", root.authority);
  else if (present.certificate.trim() !== root.authority.certificate.trim())
    throw new Error(
      `the certificate authority in ${keep} is not the one of the store; use an empty --data-dir or the store it belongs to`,
    );
}

async function authorityIn(keep: string | undefined, now: () => number): Promise<CertificateAuthority> {
  const present = read(keep, "ca");
  if (present !== undefined) return loadCertificateAuthority(present, now);
  const made = await createCertificateAuthority("flotilla", now);
  write(keep, "ca", made);
  return made;
}

async function pairIn(
  keep: string | undefined,
  name: string,
  make: () => Promise<KeyPair>,
  now: () => number,
  facts = "",
): Promise<KeyPair> {
  const present = read(keep, name);
  const factsFile = keep === undefined ? undefined : join(keep, `${name}.facts`);
  const isSame =
    factsFile === undefined || facts === "" || (existsSync(factsFile) && readFileSync(factsFile, "utf8") === facts);
  if (present !== undefined && isSame && !expiresWithin(present.certificate, RENEW_BEFORE_MS, now())) return present;
  const made = await make();
  write(keep, name, made);
  if (factsFile !== undefined && facts !== "") writeFileSync(factsFile, facts, { mode: 0o600 });
  return made;
}

function read(keep: string | undefined, name: string): KeyPair | undefined {
  if (keep === undefined || !existsSync(join(keep, `${name}.key`))) return undefined;
  return {
    certificate: readFileSync(join(keep, `${name}.crt`), "utf8"),
    key: readFileSync(join(keep, `${name}.key`), "utf8"),
  };
}

function write(keep: string | undefined, name: string, pair: KeyPair): void {
  if (keep === undefined) return;
  // The key is written last and by renaming: a pair is there whole or not at all.
  writeFileSync(join(keep, `${name}.crt`), pair.certificate, { mode: 0o600 });
  writeFileSync(join(keep, `${name}.key.new`), pair.key, { mode: 0o600 });
  renameSync(join(keep, `${name}.key.new`), join(keep, `${name}.key`));
}

function serviceAccountIn(keep: string | undefined): { readonly privateKey: string; readonly publicKey: string } {
  const path = keep === undefined ? undefined : join(keep, "service-account.key");
  const publicPath = keep === undefined ? undefined : join(keep, "service-account.pub");
  if (path !== undefined && publicPath !== undefined && existsSync(path) && existsSync(publicPath))
    return { privateKey: readFileSync(path, "utf8"), publicKey: readFileSync(publicPath, "utf8") };
  const { privateKey, publicKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  if (path !== undefined && publicPath !== undefined) {
    writeFileSync(publicPath, publicKey, { mode: 0o600 });
    writeFileSync(`${path}.new`, privateKey, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
  return { privateKey, publicKey };
}
