import type { Cluster } from "#apis/karmada";
import type { Secret } from "#apis/kubernetes";
import { createHttpTransport, type HttpTransportOptions } from "#client";
import type { Transport } from "#machinery";
import { type Member, memberAddress, type MemberPool, secretText } from "#member";

/** Opens the member a Cluster names: within the process where it is one of ours, over HTTPS otherwise. */
export async function connectMember(
  cluster: Cluster,
  readSecret: (namespace: string, name: string) => Promise<Secret | undefined>,
  members: MemberPool,
  rated: (transport: Transport) => Transport,
  inProcess: ReadonlyMap<string, Transport> | undefined,
  options: Pick<HttpTransportOptions, "timeoutMs" | "measure" | "inTurn">,
): Promise<Member> {
  const name = cluster.metadata.name ?? "";
  const spec = cluster.spec as NonNullable<Cluster["spec"]>;
  const endpoint = spec.apiEndpoint ?? "";
  if (endpoint === "") throw new Error(`the api endpoint of cluster ${name} is empty`);
  const own = inProcess?.get(endpoint);
  if (own !== undefined)
    return members.connect({
      name,
      fingerprint: `in-process ${endpoint} ${cluster.metadata.uid}`,
      open: () => ({ transport: rated(own) }),
    });
  if (spec.secretRef === undefined) throw new Error(`cluster ${name} does not have a secret`);
  const { namespace, name: secretName } = spec.secretRef;
  const secret = await readSecret(namespace, secretName);
  if (secret === undefined) throw new Error(`secrets ${JSON.stringify(secretName)} not found`);
  const token = secretText(secret, "token");
  if (token === "") throw new Error(`the secret of cluster ${name} has no token`);
  const { tls, proxy } = memberAddress(cluster, secret);
  if (tls.ca === undefined && tls.isInsecure !== true) throw new Error(`the secret of cluster ${name} has no caBundle`);
  const fingerprint = JSON.stringify([endpoint, token, tls, proxy]);
  return members.connect({
    name,
    fingerprint,
    open: () => {
      const transport = createHttpTransport({
        server: endpoint,
        token,
        ...(tls.ca === undefined ? { insecureSkipTlsVerify: true } : { certificateAuthority: tls.ca }),
        ...(proxy === undefined ? {} : { proxyUrl: proxy.url, proxyHeaders: proxy.headers ?? {} }),
        userAgent: "karmada-controller-manager",
        ...options,
      });
      return { transport: rated(transport), isForeign: true, close: () => transport.close() };
    },
  });
}
