import { Cluster, CLUSTER_NAMESPACE, SYSTEM_NAMESPACE } from "#apis/karmada";
import { DNS_LABEL } from "#machinery";
import { adoptMember, IMPERSONATOR, joinMember, memberAccount, memberId, memberRole, refuseRegistered } from "#member";
import { impersonationFlags, impersonationOf, kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { systemClock } from "../process.ts";
import { checksText, isPassed, runChecks } from "../registration/checks.ts";
import { recordCreations } from "../registration/creations.ts";

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
        { name: "adopt", isSwitch: true, meaning: "go on with a join of this member that was cut off" },
        { name: "check", isSwitch: true, meaning: "only look whether the member can join; write nothing" },
        { name: "output", short: "o", default: "text", meaning: "of --check: text or json" },
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
    const output = parsed.get("output") ?? "text";
    if (output !== "text" && output !== "json")
      throw new Error(`--output: ${JSON.stringify(output)} must be one of text, json`);
    if (output === "json" && !parsed.isOn("check")) throw new Error("--output json needs --check");
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
      if (parsed.isOn("check")) {
        const found = await runChecks({ plane, member, cluster: name, namespace, isAdopting: parsed.isOn("adopt") });
        process.stdout.write(checksText(found, output));
        return isPassed(found) ? 0 : 1;
      }
      const id = await memberId(member.client);
      const clusters = (await plane.client.list(Cluster)).items;
      const present = parsed.isOn("adopt") ? clusters.find(({ metadata }) => metadata.name === name) : undefined;
      if (present === undefined) refuseRegistered(clusters, name, id);
      if (parsed.isOn("dry-run")) {
        process.stdout.write(planOf(name, namespace));
        return 0;
      }
      if (present !== undefined) {
        const given = parsed.all("cluster-namespace").at(-1);
        await adoptMember(plane.client, present, { id, namespace: given }, member.client, systemClock);
        process.stdout.write(`cluster(${name}) is adopted: its credentials are fresh\n`);
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
      const creations = recordCreations();
      try {
        const there = { endpoint: member.endpoint, client: creations.of("member", member.client) };
        const here = creations.of("control plane", plane.client);
        await joinMember(here, { cluster: name, namespace }, there, { spec }, systemClock);
      } catch (error) {
        process.stderr.write(`cluster(${name}) is not joined; what this run made is taken back\n`);
        for (const line of await creations.undo(systemClock)) process.stderr.write(`  ${line}\n`);
        throw error;
      }
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
  const accounts = [IMPERSONATOR, memberAccount(name)];
  const role = memberRole(name);
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
