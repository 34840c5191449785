import { ClusterRole, ClusterRoleBinding, Deployment, Secret, ServiceAccount } from "#apis/kubernetes";
import {
  Cluster,
  CLUSTER_NAMESPACE,
  EXECUTION_FINALIZER,
  executionNamespace,
  SYSTEM_NAMESPACE,
  Work,
} from "#apis/karmada";
import { readKubeconfig, resolveContext } from "#certs";
import { type Client, createClient, createHttpTransport, type HttpTransport } from "#client";
import { duration } from "#config";
import { isNotFound } from "#machinery";
import { openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { AGENT, AGENT_ACCOUNT, AGENT_KUBECONFIG, kubeconfigOfAgent } from "../registration/agent-deployment.ts";
import { agentRights, revokeAgentRights } from "../registration/agent-rights.ts";
import { cleanMember, withoutFinalizer } from "./unjoin-member.ts";

const LOOK_AGAIN_MS = 200;
const NAMED_MAX = 5;
/** How long a cluster may take to go once its Works were given up. */
const FORCED_MS = 60_000;

/** `flotilla unregister CLUSTER --cluster-kubeconfig FILE`: removes a pull member and its agent. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        { name: "cluster-kubeconfig", meaning: "path of the member's kubeconfig" },
        { name: "cluster-context", meaning: "context in it; default is the current one" },
        { name: "karmada-config", meaning: "path of the control plane's kubeconfig; default is what the agent has" },
        { name: "karmada-context", meaning: "context in it" },
        { name: "namespace", short: "n", default: SYSTEM_NAMESPACE, meaning: "namespace of the agent in the member" },
        { name: "agent-name", default: AGENT, meaning: "name of the agent's Deployment" },
        {
          name: "cluster-namespace",
          meaning: `namespace of the member's credentials; default is the one the cluster names, or ${CLUSTER_NAMESPACE}`,
        },
        { name: "wait", default: "1m0s", meaning: "how long to wait until Works and cluster are gone" },
        { name: "force", isSwitch: true, meaning: "after the wait, give up on Works that nobody carries out any more" },
        { name: "dry-run", isSwitch: true, meaning: "check everything but write nothing" },
      ],
      `${program} unregister CLUSTER --cluster-kubeconfig FILE`,
    );
    const [name, ...more] = parsed.args;
    if (name === undefined) throw new Error("cluster name is required");
    if (more.length > 0) throw new Error("only the cluster name is allowed as an argument");
    const file = parsed.get("cluster-kubeconfig");
    if (file === undefined)
      throw new Error("--cluster-kubeconfig is required to specify KubeConfig of unregistering member cluster");
    const waitMs = duration.read(parsed.get("wait") ?? "", "--wait");
    if (waitMs <= 0) throw new Error(`--wait ${parsed.get("wait")} must be a positive duration, e.g. 1m0s`);
    const text = (flag: string) => parsed.get(flag) ?? "";
    const member = openConnection(file, parsed.get("cluster-context"));
    const ownConfig = parsed.get("karmada-config");
    let plane: { readonly client: Client; readonly transport: HttpTransport } | undefined;
    try {
      plane =
        ownConfig === undefined
          ? await asAgent(member.client, text("namespace"), text("agent-name"))
          : openConnection(ownConfig, parsed.get("karmada-context"));
      const { client } = plane;
      const cluster = await client.find(Cluster, { name });
      if (cluster === undefined) throw new Error(`no cluster object ${name} found in karmada control Plane`);
      if (cluster.spec?.syncMode !== "Pull")
        throw new Error(
          `cluster ${name} is a Push mode member cluster, please use command "${program} unjoin ${name}" to continue deleting the cluster`,
        );
      if (parsed.isOn("dry-run")) return 0;
      const clusterNamespace =
        parsed.get("cluster-namespace") ?? cluster.spec?.secretRef?.namespace ?? CLUSTER_NAMESPACE;
      const endMs = Date.now() + waitMs;
      const isForced = parsed.isOn("force");
      await removeWorks(client, name, endMs, isForced);
      await removeCluster(client, name, isForced ? Date.now() + Math.max(waitMs, FORCED_MS) : endMs);
      if (ownConfig === undefined) warnOfRights(name, clusterNamespace);
      else await revokeAgentRights(client, name, clusterNamespace);
      await removeAgent(member.client, name, clusterNamespace, text);
      return 0;
    } finally {
      await plane?.transport.close();
      await member.transport.close();
    }
  });
}

/** The control plane as the agent sees it: with the agent's rights and no more. */
async function asAgent(member: Client, namespace: string, agentName: string) {
  const { text, context } = await kubeconfigOfAgent(member, namespace, agentName);
  const { namespace: _namespace, ...endpoint } = resolveContext(
    readKubeconfig(text, "the agent's kubeconfig"),
    context,
  );
  const transport = createHttpTransport({ ...endpoint, userAgent: "karmadactl" });
  return { transport, client: createClient(transport, { fieldManager: "karmadactl" }) };
}

/** Works go first: with the execution namespace go the agent's rights to finish them. */
async function removeWorks(client: Client, cluster: string, endMs: number, isForced: boolean): Promise<void> {
  const namespace = executionNamespace(cluster);
  for (;;) {
    const { items } = await client.list(Work, { namespace });
    if (items.length === 0) return;
    for (const { metadata } of items)
      if (metadata.deletionTimestamp === undefined) await client.delete(Work, { namespace, name: metadata.name ?? "" });
    if (Date.now() > endMs && isForced) {
      for (const work of items) await withoutFinalizer(client, Work, work, EXECUTION_FINALIZER);
      return;
    }
    if (Date.now() > endMs)
      throw new Error(
        `${items.length} works of ${cluster} are still there (${items
          .slice(0, NAMED_MAX)
          .map(({ metadata }) => metadata.name)
          .join(", ")}): does the agent run? --force gives up on them`,
      );
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

async function removeCluster(client: Client, name: string, endMs: number): Promise<void> {
  await client.delete(Cluster, { name });
  for (;;) {
    try {
      await client.get(Cluster, { name });
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    if (Date.now() > endMs) throw new Error(`the cluster ${name} is still being removed`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

function warnOfRights(cluster: string, namespace: string): void {
  const left = agentRights(cluster, namespace)
    .map(({ kind, object }) => `${kind.resource}/${object.metadata.name}`)
    .join(" ");
  process.stderr.write(
    `warning: the agent may not remove its own rights; Flotilla does so within minutes, in another control plane remove them by hand: ${left}\n`,
  );
}

/** The agent, its rights and the control plane's accounts in the member. */
async function removeAgent(
  member: Client,
  cluster: string,
  clusterNamespace: string,
  text: (flag: string) => string,
): Promise<void> {
  const namespace = text("namespace");
  const left = await cleanMember(member, cluster, clusterNamespace);
  if (left !== undefined) process.stderr.write(`warning: ${left}\n`);
  await member.delete(Deployment, { namespace, name: text("agent-name") });
  await member.delete(ServiceAccount, { namespace, name: AGENT_ACCOUNT });
  await member.delete(ClusterRoleBinding, { name: AGENT });
  await member.delete(ClusterRole, { name: AGENT });
  await member.delete(Secret, { namespace, name: AGENT_KUBECONFIG });
}
