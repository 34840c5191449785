import type { Backend } from "./backend.ts";
import { StoreError } from "./errors.ts";
import { openEtcdBackend } from "./etcd/etcd.ts";
import { openFileBackend } from "./file.ts";
import { createMemoryBackend } from "./memory.ts";

/** How etcd is spoken to; other stores need none of it. PEM files, as kube-apiserver's `--etcd-*` flags name them. */
export interface EtcdFiles {
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** Opens a store by URL. A scheme nobody knows is refused by name. */
export async function openBackend(url: string, files: EtcdFiles = {}): Promise<Backend> {
  if (url === "memory://" || url === "memory:") return createMemoryBackend();
  if (url.startsWith("file:")) return openFileBackend(url.slice("file:".length).replace(/^\/\/(?=\/)/, ""));
  if (url.startsWith("etcd://")) return openEtcdBackend({ ...etcdOf(url), ...files });
  throw new StoreError(
    "STORE_UNKNOWN_SCHEME",
    `--store ${url}: known are memory://, file:FOLDER and etcd://HOST:PORT,…`,
  );
}

/** `etcd://[user:password@]host:port[,host:port…]` */
function etcdOf(url: string): {
  readonly endpoints: readonly string[];
  readonly username?: string;
  readonly password?: string;
} {
  const rest = url.slice("etcd://".length).replace(/\/+$/, "");
  const at = rest.lastIndexOf("@");
  const endpoints = rest.slice(at + 1).split(",");
  for (const endpoint of endpoints)
    if (!/^(\[[0-9a-fA-F:.]+\]|[^:/\s]+):\d{1,5}$/.test(endpoint))
      throw new StoreError("STORE_UNKNOWN_SCHEME", `--store: ${JSON.stringify(endpoint)} is not host:port`);
  if (at < 0) return { endpoints };
  const [username = "", password = ""] = rest.slice(0, at).split(":").map(decodeURIComponent);
  return { endpoints, username, password };
}
