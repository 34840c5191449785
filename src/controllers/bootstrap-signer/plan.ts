import type { ConfigMap, Secret } from "#apis/kubernetes";
import { type BootstrapToken, detachedSignature } from "#certs";
import { parseTime } from "#machinery";

const PREFIX = "jws-kubeconfig-";

/** A token that may sign now, or when one that may will no longer; `undefined` for Secrets that are no such tokens. */
export function signingToken(secret: Secret, nowMs: number): (BootstrapToken & { readonly endMs: number }) | undefined {
  if (secret.type !== "bootstrap.kubernetes.io/token" || secret.metadata.deletionTimestamp !== undefined)
    return undefined;
  const field = (name: string) => Buffer.from(secret.data?.[name] ?? "", "base64").toString();
  const id = field("token-id");
  const own = field("token-secret");
  if (id === "" || own === "" || secret.metadata.name !== `bootstrap-token-${id}`) return undefined;
  if (field("usage-bootstrap-signing") !== "true") return undefined;
  const expiration = field("expiration");
  const endMs = expiration === "" ? Number.POSITIVE_INFINITY : (parseTime(expiration) ?? 0);
  return endMs <= nowMs ? undefined : { id, secret: own, endMs };
}

/** The ConfigMap with one signature for each token, and without those of tokens that are gone. */
export function signed(info: ConfigMap, tokens: readonly BootstrapToken[]): ConfigMap {
  const { data = {} } = info;
  const kubeconfig = data["kubeconfig"];
  const kept = Object.entries(data).filter(([key]) => !key.startsWith(PREFIX));
  const signatures =
    kubeconfig === undefined ? [] : tokens.map((token) => [PREFIX + token.id, detachedSignature(kubeconfig, token)]);
  return { ...info, data: Object.fromEntries([...kept, ...signatures]) as Readonly<Record<string, string>> };
}
