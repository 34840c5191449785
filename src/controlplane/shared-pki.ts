import type { Encryption } from "#apiserver";
import { type CertificateAuthority, loadPki, type Pki, type PkiRoot } from "#certs";
import { type Backend, StoreError } from "#store";

/** Outside of everything an API server keeps, so that a kube-apiserver on the same store does not stumble over it. */
const KEY = "/flotilla/pki";
const TRIES_MAX = 5;

/**
 * Certificates of a replica. Replicas of one store share authority and token keys, or a client of one would be a stranger
 * to the next: the first replica leaves them in the store, beside the Secrets, and the others take them from there. Server
 * and administrator certificates are each replica's own.
 *
 * They are kept as Secrets are: where those are encrypted, the keys of all tokens and certificates must not lie beside them
 * in the open. Throws when the folder holds another authority than the store.
 */
export async function loadSharedPki(
  backend: Backend,
  folder: string,
  hosts: readonly string[],
  encryption?: Encryption,
): Promise<Pki> {
  await encryption?.start?.();
  try {
    return await sharedPki(backend, folder, hosts, encryption);
  } finally {
    encryption?.stop?.();
  }
}

async function sharedPki(
  backend: Backend,
  folder: string,
  hosts: readonly string[],
  encryption: Encryption | undefined,
): Promise<Pki> {
  const cipher = encryption?.cipherOf("", "secrets");
  const sealed = (bytes: Buffer): Buffer => cipher?.seal(bytes, KEY) ?? bytes;
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const found = await backend.get(KEY);
    if (found !== undefined) {
      await encryption?.prepare?.(KEY, found.value);
      const { value, isStale } = cipher?.open(found.value, KEY) ?? { value: found.value, isStale: false };
      const root = parseRoot(value);
      // Another replica that was faster has written the same.
      if (isStale)
        await backend.txn([{ type: "put", key: KEY, value: sealed(Buffer.from(value)), expected: found.revision }]);
      return loadPki(folder, hosts, root);
    }
    const own = await loadPki(folder, hosts);
    const root: PkiRoot = { authority: pairOf(own.authority), serviceAccount: own.serviceAccount };
    const written = await backend.txn([
      { type: "put", key: KEY, value: sealed(Buffer.from(JSON.stringify(root))), expected: 0 },
    ]);
    if (written.ok) return own;
  }
  throw new StoreError("STORE_UNREADABLE", `the certificates at ${KEY} in the store can neither be read nor written`);
}

const pairOf = ({ certificate, key }: CertificateAuthority) => ({ certificate, key });

function parseRoot(value: Uint8Array): PkiRoot {
  const root: unknown = JSON.parse(Buffer.from(value).toString("utf8"));
  const text = (path: readonly string[]) =>
    path.reduce<unknown>(
      (at, name) =>
        typeof at === "object" && at !== null ? (at as Readonly<Record<string, unknown>>)[name] : undefined,
      root,
    );
  const must = (...path: string[]): string => {
    const found = text(path);
    if (typeof found !== "string")
      throw new StoreError("STORE_UNREADABLE", `${KEY} in the store has no ${path.join(".")}`);
    return found;
  };
  return {
    authority: { certificate: must("authority", "certificate"), key: must("authority", "key") },
    serviceAccount: {
      privateKey: must("serviceAccount", "privateKey"),
      publicKey: must("serviceAccount", "publicKey"),
    },
  };
}
