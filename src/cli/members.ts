import { Secret } from "#apis/kubernetes";
import type { Cluster } from "#apis/karmada";
import { type Client, createClient, createHttpTransport } from "#client";
import type { Connection } from "./connection.ts";

/** A member as this user reaches it. */
export interface MemberConnection {
  readonly client: Client;
  close(): Promise<void>;
}

/**
 * Opens a member: through the control plane's proxy with the caller's own rights, or, where the proxy is not served, at
 * its own address with the credentials its Cluster names. Throws what keeps it from being reached.
 */
export async function openMember(
  connection: Connection,
  cluster: Cluster,
  timeoutMs = 5_000,
): Promise<MemberConnection> {
  // With the credentials of now, which a plugin may have given.
  const { namespace: _namespace, ...endpoint } = connection.transport.endpoint();
  const name = cluster.metadata.name ?? "";
  const proxy = createHttpTransport({
    ...endpoint,
    server: `${endpoint.server.replace(/\/+$/, "")}/apis/cluster.karmada.io/v1alpha1/clusters/${name}/proxy`,
    userAgent: "karmadactl",
    timeoutMs,
  });
  const answer = await proxy.raw({ method: "GET", path: "/version" }).catch(() => undefined);
  if (answer !== undefined && answer.status < 300) return { client: createClient(proxy), close: () => proxy.close() };
  await proxy.close();
  const { secretRef, apiEndpoint, insecureSkipTLSVerification, proxyURL } = cluster.spec as NonNullable<
    Cluster["spec"]
  >;
  if (!apiEndpoint || secretRef === undefined) throw new Error(`cluster ${name} can only be reached through the proxy`);
  const { namespace, name: secretName } = secretRef;
  const secret = await connection.client.get(Secret, { namespace, name: secretName });
  const read = (key: string) => Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
  const direct = createHttpTransport({
    server: apiEndpoint,
    token: read("token"),
    ...(insecureSkipTLSVerification === true
      ? { insecureSkipTlsVerify: true }
      : { certificateAuthority: read("caBundle") }),
    ...(proxyURL === undefined ? {} : { proxyUrl: proxyURL }),
    userAgent: "karmadactl",
    timeoutMs,
  });
  return { client: createClient(direct), close: () => direct.close() };
}
