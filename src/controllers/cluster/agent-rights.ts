import { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from "#apis/kubernetes";
import {
  agentRoleName,
  agentSecretRoleName,
  type Cluster,
  CLUSTER_NAMESPACE,
  clusterOfAgentRole,
  SYSTEM,
} from "#apis/karmada";
import type { Client, ObjectName } from "#client";
import { done, requeueAfter, type Result } from "#controller-runtime";
import { formatTime, isConflict, isNotFound, parseTime, type ResourceKind } from "#machinery";
import type { ClusterContext } from "./context.ts";

/** On the binding of an agent whose Cluster is gone: when its rights go. */
const RIGHTS_END = "cluster.flotilla.io/rights-end";
/** `karmadactl unregister`, with the agent's rights, still asks for a while whether the Cluster is gone. */
const RIGHTS_LAST_MS = 120_000;

/** The cluster whose agent's rights have an end, by their binding. */
export function clusterOfEnding({ metadata }: ClusterRoleBinding): string | undefined {
  return metadata.annotations?.[RIGHTS_END] === undefined ? undefined : clusterOfAgentRole(metadata.name ?? "");
}

/**
 * Gives an end to the rights that `register` gave the agent of a pull cluster that goes. Those on its Secrets go at once, and
 * those in its execution namespace have gone with that. Only what carries the names and the mark of `register` counts.
 */
export async function endAgentRights(cluster: Cluster, { client, clock }: ClusterContext): Promise<void> {
  const name = cluster.metadata.name ?? "";
  const { secretRef, impersonatorSecretRef } = cluster.spec ?? {};
  const namespaces = [CLUSTER_NAMESPACE, secretRef?.namespace, impersonatorSecretRef?.namespace];
  for (const namespace of new Set(namespaces.filter((one) => one !== undefined && one !== ""))) {
    const at = { namespace, name: agentSecretRoleName(name) };
    await removeMarked(client, RoleBinding, at);
    await removeMarked(client, Role, at);
  }
  const binding = await client.find(ClusterRoleBinding, { name: agentRoleName(name) });
  if (binding?.metadata.labels?.[SYSTEM] !== "true" || binding.metadata.annotations?.[RIGHTS_END] !== undefined) return;
  await setEnd(client, name, formatTime(clock.now() + RIGHTS_LAST_MS));
}

/** An agent that was registered anew keeps its rights. */
export async function keepAgentRights(name: string, context: ClusterContext): Promise<void> {
  const binding = context.cache(ClusterRoleBinding).get(agentRoleName(name));
  if (binding?.metadata.annotations?.[RIGHTS_END] !== undefined) await setEnd(context.client, name, null);
}

/** Takes rights away whose end has come; their Cluster is gone. */
export async function takeEndedRights(name: string, context: ClusterContext): Promise<Result> {
  const { client, clock } = context;
  const binding = context.cache(ClusterRoleBinding).get(agentRoleName(name));
  const endMs = parseTime(binding?.metadata.annotations?.[RIGHTS_END]);
  if (endMs === undefined || binding?.metadata.labels?.[SYSTEM] !== "true") return done;
  if (endMs > clock.now()) return requeueAfter(endMs - clock.now());
  // The binding last: it is what remembers.
  await removeMarked(client, ClusterRole, { name: agentRoleName(name) });
  await removeMarked(client, ClusterRoleBinding, { name: agentRoleName(name) });
  return done;
}

async function setEnd(client: Client, cluster: string, end: string | null): Promise<void> {
  try {
    await client.patch(ClusterRoleBinding, { name: agentRoleName(cluster) }, "application/merge-patch+json", {
      metadata: { annotations: { [RIGHTS_END]: end } },
    });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

async function removeMarked(client: Client, kind: ResourceKind, at: ObjectName): Promise<void> {
  const present = await client.find(kind, at);
  if (present?.metadata.labels?.[SYSTEM] !== "true") return;
  try {
    await client.delete(kind, at, { preconditions: { uid: present.metadata.uid ?? "" } });
  } catch (error) {
    // Somebody made another one of that name.
    if (!isConflict(error)) throw error;
  }
}
