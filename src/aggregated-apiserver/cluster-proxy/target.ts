import type { Secret } from "#apis/kubernetes";
import { Cluster } from "#apis/karmada";
import type { User } from "#apiserver";
import { internalError, notFound } from "#machinery";
import { memberAddress, secretText } from "#member";
import type { ForwardTarget } from "#network";
import { type InnerRequest, isLongRunning, joinPaths } from "./inner-path.ts";

/** Where Clusters and their Secrets are read: present state, not later than the last write. */
export interface ClusterSource {
  cluster(name: string): Promise<Cluster | undefined>;
  clusters(): Promise<readonly Cluster[]>;
  secret(namespace: string, name: string): Promise<Secret | undefined>;
}

const REQUEST_MS = 60_000;
const IMPLIED_GROUPS = new Set(["system:authenticated", "system:unauthenticated"]);

/** Identity headers of the client say who it is to us, not who the member is to take it for. */
const isIdentity = (name: string): boolean =>
  name === "authorization" || name.startsWith("impersonate-") || name.startsWith("x-remote-");

/** Where a request for a member goes and as whom: the impersonator's token, the caller's name and groups. */
export async function memberTarget(
  source: ClusterSource,
  cluster: Cluster,
  inner: InnerRequest,
  user: User,
): Promise<ForwardTarget> {
  const name = cluster.metadata.name ?? "";
  const { secretRef, impersonatorSecretRef } = cluster.spec ?? {};
  const read = async (reference: { readonly namespace: string; readonly name: string }) => {
    const secret = await source.secret(reference.namespace, reference.name);
    if (secret === undefined) throw notFound({ group: "", resource: "secrets" }, reference.name);
    return secret;
  };
  const address = memberAddress(cluster, secretRef === undefined ? undefined : await read(secretRef));
  if (address.endpoint === "") throw internalError(new Error(`API endpoint of cluster ${name} should not be empty`));
  if (impersonatorSecretRef === undefined)
    throw internalError(new Error(`the impersonatorSecretRef of cluster ${name} is nil`));
  const token = secretText(await read(impersonatorSecretRef), "token");
  if (token === "") throw internalError(new Error(`failed to get impresonateToken for cluster ${name}`));
  const endpoint = new URL(address.endpoint);
  return {
    origin: endpoint.origin,
    path: joinPaths(endpoint.pathname, inner.path) + inner.search,
    headers: [
      ["authorization", `bearer ${token}`],
      ["impersonate-user", user.name],
      ...user.groups
        .filter((group) => !IMPLIED_GROUPS.has(group))
        .map((group) => ["impersonate-group", group] as const),
    ],
    isDropped: isIdentity,
    tls: { ...address.tls, minVersion: "TLSv1.3" },
    ...(address.proxy === undefined ? {} : { proxy: address.proxy }),
    ...(isLongRunning(inner) ? {} : { timeoutMs: REQUEST_MS }),
  };
}

export async function findCluster(source: ClusterSource, name: string): Promise<Cluster> {
  const cluster = await source.cluster(name);
  if (cluster === undefined) throw notFound(Cluster, name);
  return cluster;
}
