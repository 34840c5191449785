import { Cluster, CLUSTER_NAMESPACE, SYSTEM_NAMESPACE } from "#apis/karmada";
import { DNS_LABEL } from "#machinery";
import { joinMember, memberId, refuseRegistered } from "#member";
import { impersonationFlags, impersonationOf, kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { systemClock } from "../process.ts";

/** `flotilla join CLUSTER --cluster-kubeconfig FILE`: registers a member by URL and credentials. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        ...kubeconfigFlags,
        ...impersonationFlags,
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
    if (more.length > 0) throw new Error("only the cluster name is allowed as an argument");
    if (name.length > 48 || !DNS_LABEL.test(name))
      throw new Error(
        `invalid cluster name(${name}): a lowercase RFC 1123 label of no more than 48 characters is required`,
      );
    const namespace = parsed.get("cluster-namespace") ?? CLUSTER_NAMESPACE;
    if (namespace === SYSTEM_NAMESPACE)
      process.stderr.write(
        `warning: ${SYSTEM_NAMESPACE} is the namespace of the control plane's own objects; another --cluster-namespace is better\n`,
      );
    const plane = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"), {
      ...impersonationOf(parsed),
    });
    const member = openConnection(parsed.get("cluster-kubeconfig"), parsed.get("cluster-context"));
    try {
      const id = await memberId(member.client);
      refuseRegistered((await plane.client.list(Cluster)).items, name, id);
      if (parsed.isOn("dry-run")) {
        process.stdout.write(planOf(name, namespace));
        return 0;
      }
      const zones = parsed.list("cluster-zones");
      const provider = parsed.get("cluster-provider");
      const region = parsed.get("cluster-region");
      const spec = {
        id,
        ...(provider === undefined ? {} : { provider }),
        ...(region === undefined ? {} : { region }),
        ...(zones.length === 0 ? {} : { zones }),
      };
      await joinMember(plane.client, { cluster: name, namespace }, member, { spec }, systemClock);
      process.stdout.write(`cluster(${name}) is joined successfully\n`);
      return 0;
    } finally {
      await plane.transport.close();
      await member.transport.close();
    }
  });
}

/** What a join would make, on either side. */
function planOf(name: string, namespace: string): string {
  const accounts = ["karmada-impersonator", `karmada-${name}`];
  const role = `karmada-controller-manager:karmada-${name}`;
  return [
    "in the member:",
    `  namespace/${namespace}`,
    ...accounts.flatMap((account) => [
      `  serviceaccount/${account} in ${namespace}`,
      `  secret/${account} in ${namespace}`,
    ]),
    `  clusterrole/${role}`,
    `  clusterrolebinding/${role}`,
    "in the control plane:",
    `  namespace/${namespace}`,
    `  secret/${name} in ${namespace}`,
    `  secret/${name}-impersonator in ${namespace}`,
    `  cluster/${name}`,
    `cluster(${name}) is joined successfully (dry run)`,
    "",
  ].join("\n");
}
