import { Namespace, Secret } from "#apis/kubernetes";
import { Cluster, CLUSTER_NAMESPACE, SYSTEM } from "#apis/karmada";
import { deepEqual } from "#base";
import { type Client, ensureObject, retryOnConflict } from "#client";
import { controllerReference, DNS_LABEL, withMetadata } from "#machinery";
import { type MemberCredentials, obtainCredentials } from "#member";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { systemClock } from "../process.ts";

/** `flotilla join CLUSTER --cluster-kubeconfig FILE`: registers a member by URL and credentials. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        ...kubeconfigFlags,
        { name: "cluster-kubeconfig", meaning: "path of the member's kubeconfig" },
        { name: "cluster-context", meaning: "context in it; default is the current one" },
        {
          name: "cluster-namespace",
          default: CLUSTER_NAMESPACE,
          meaning: "namespace of credentials, in both clusters",
        },
        { name: "cluster-provider", meaning: "provider of the member" },
        { name: "cluster-region", meaning: "region of the member" },
        { name: "cluster-zones", meaning: "zones of the member, separated by commas" },
        { name: "dry-run", isSwitch: true, meaning: "do everything but write" },
      ],
      `${program} join CLUSTER --cluster-kubeconfig FILE`,
    );
    const [name, ...more] = parsed.args;
    if (name === undefined) throw new Error("cluster name is required");
    if (more.length > 0) throw new Error("more than one cluster name is not supported");
    if (name.length > 48 || !DNS_LABEL.test(name))
      throw new Error(
        `invalid cluster name(${name}): a lowercase RFC 1123 label of no more than 48 characters is required`,
      );
    const namespace = parsed.get("cluster-namespace") ?? CLUSTER_NAMESPACE;
    const plane = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    const member = openConnection(parsed.get("cluster-kubeconfig"), parsed.get("cluster-context"));
    try {
      const id = (await member.client.get(Namespace, { name: "kube-system" })).metadata.uid ?? "";
      const { items } = await plane.client.list(Cluster);
      if (items.some((cluster) => cluster.metadata.name === name || (id !== "" && cluster.spec?.id === id)))
        throw new Error(`the cluster ID ${id} or the cluster name ${name} has been registered`);
      if (parsed.isOn("dry-run")) {
        process.stdout.write(`cluster(${name}) is joined successfully\n`);
        return 0;
      }
      const { token, authority, impersonatorToken } = await obtainCredentials(
        member.client,
        name,
        namespace,
        systemClock,
      );
      const zones = parsed.get("cluster-zones")?.split(",").filter(Boolean);
      const provider = parsed.get("cluster-provider");
      const region = parsed.get("cluster-region");
      await register(plane.client, name, namespace, {
        token,
        authority,
        impersonatorToken,
        spec: {
          syncMode: "Push",
          id,
          apiEndpoint: member.endpoint.server,
          secretRef: { namespace, name },
          impersonatorSecretRef: { namespace, name: `${name}-impersonator` },
          ...(member.endpoint.insecureSkipTlsVerify ? { insecureSkipTLSVerification: true } : {}),
          ...(member.endpoint.proxyUrl === undefined ? {} : { proxyURL: member.endpoint.proxyUrl }),
          ...(provider === undefined ? {} : { provider }),
          ...(region === undefined ? {} : { region }),
          ...(zones === undefined ? {} : { zones }),
        },
      });
      process.stdout.write(`cluster(${name}) is joined successfully\n`);
      return 0;
    } finally {
      await plane.transport.close();
      await member.transport.close();
    }
  });
}

/** A secret left over from an earlier member of that name gets the present credentials. */
async function putSecret(client: Client, wanted: Secret): Promise<void> {
  const present = await ensureObject(client, Secret, wanted);
  if (deepEqual(present.data, wanted.data)) return;
  await client.update(Secret, { ...present, data: wanted.data } as Secret);
}

interface Registration extends MemberCredentials {
  readonly spec: Readonly<Record<string, unknown>>;
}

/** Credentials and the Cluster in the control plane; the credentials go with the Cluster. */
async function register(
  client: Client,
  name: string,
  namespace: string,
  { token, authority, impersonatorToken, spec }: Registration,
): Promise<void> {
  await ensureObject(client, Namespace, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: namespace, labels: { [SYSTEM]: "true" } },
  });
  const secret = (secretName: string, data: Readonly<Record<string, string>>): Secret => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { namespace, name: secretName },
    data,
  });
  await putSecret(client, secret(name, { token, caBundle: authority }));
  await putSecret(client, secret(`${name}-impersonator`, { token: impersonatorToken }));
  const cluster = await client.create(Cluster, {
    apiVersion: "cluster.karmada.io/v1alpha1",
    kind: "Cluster",
    metadata: { name },
    spec,
  } as unknown as Cluster);
  for (const secretName of [name, `${name}-impersonator`])
    await retryOnConflict(async () => {
      const present = await client.get(Secret, { namespace, name: secretName });
      await client.update(Secret, withMetadata(present, { ownerReferences: [controllerReference(cluster)] }));
    });
}
