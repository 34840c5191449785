import { ClusterRole, ClusterRoleBinding, Namespace, Secret, ServiceAccount } from "#apis/kubernetes";
import { SYSTEM } from "#apis/karmada";
import { type Client, type ObjectName, retryOnConflict } from "#client";
import { IMPERSONATOR, memberAccount, memberRole } from "#member";
import { isNotFound, type KubeObject, type ResourceKind, withMetadata } from "#machinery";
import { strangersIn } from "../registration/strangers.ts";

const OTHERS_NAMED_MAX = 5;

/**
 * Removes from a member what join made there. The namespace goes only if it is ours and nobody else lives in it; if it
 * stays, the answer says why.
 */
export async function cleanMember(client: Client, cluster: string, namespace: string): Promise<string | undefined> {
  const account = memberAccount(cluster);
  const role = memberRole(cluster);
  await removed(client, ClusterRoleBinding, { name: role });
  await removed(client, ClusterRole, { name: role });
  await removed(client, ServiceAccount, { namespace, name: account });
  await removed(client, Secret, { namespace, name: account });
  const found = await client.find(Namespace, { name: namespace });
  if (found === undefined) return undefined;
  if (found.metadata.labels?.[SYSTEM] !== "true")
    return `namespace ${namespace} of the member stays: it does not carry the label ${SYSTEM}=true`;
  const others = await strangersIn(client, namespace, [IMPERSONATOR]);
  if (others.length > 0)
    return `namespace ${namespace} of the member stays: ${others.slice(0, OTHERS_NAMED_MAX).join(", ")}${others.length > OTHERS_NAMED_MAX ? `, … (${others.length})` : ""} live in it`;
  await removed(client, Namespace, { name: namespace });
  return undefined;
}

async function removed<T extends KubeObject>(client: Client, kind: ResourceKind<T>, name: ObjectName): Promise<void> {
  try {
    await client.delete(kind, name);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** Takes a finalizer off an object that may be gone already. */
export async function withoutFinalizer<T extends KubeObject>(
  client: Client,
  kind: ResourceKind<T>,
  { metadata }: T,
  finalizer: string,
): Promise<void> {
  await retryOnConflict(async () => {
    const present = await client.find(kind, { namespace: metadata.namespace, name: metadata.name ?? "" });
    if (present?.metadata.finalizers?.includes(finalizer) !== true) return;
    const finalizers = present.metadata.finalizers.filter((other) => other !== finalizer);
    await client.update(kind, withMetadata(present, { finalizers }));
  });
}
