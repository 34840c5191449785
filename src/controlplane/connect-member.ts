import type { Cluster } from "#apis/karmada";
import { Secret } from "#apis/kubernetes";
import { createHttpTransport } from "#client";
import type { Manager } from "#controller-runtime";
import { objectKey, type Transport } from "#machinery";
import type { Member, MemberPool } from "#member";

/** Opens the member a Cluster names: within the process where it is one of ours, over HTTPS otherwise. */
export async function connectMember(
  cluster: Cluster,
  manager: Manager,
  members: MemberPool,
  rated: (transport: Transport) => Transport,
  inProcess: ReadonlyMap<string, Transport> | undefined,
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
  const secret =
    manager.informers.of(Secret).get(objectKey(namespace, secretName)) ??
    (await manager.client.find(Secret, { namespace, name: secretName }));
  if (secret === undefined) throw new Error(`secrets ${JSON.stringify(secretName)} not found`);
  const read = (key: string) => Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
  const token = read("token");
  if (token === "") throw new Error(`the secret of cluster ${name} has no token`);
  const certificateAuthority = read("caBundle");
  const isInsecure = spec.insecureSkipTLSVerification === true;
  if (certificateAuthority === "" && !isInsecure) throw new Error(`the secret of cluster ${name} has no caBundle`);
  const proxyHeaders = Object.fromEntries(Object.entries((spec.proxyHeader ?? {}) as Readonly<Record<string, string>>));
  const fingerprint = JSON.stringify([endpoint, token, certificateAuthority, isInsecure, spec.proxyURL, proxyHeaders]);
  return members.connect({
    name,
    fingerprint,
    open: () => {
      const transport = createHttpTransport({
        server: endpoint,
        token,
        ...(isInsecure ? { insecureSkipTlsVerify: true } : { certificateAuthority }),
        ...(spec.proxyURL === undefined ? {} : { proxyUrl: spec.proxyURL, proxyHeaders }),
        userAgent: "karmada-controller-manager",
      });
      return { transport: rated(transport), close: () => transport.close() };
    },
  });
}
