import { ClusterRole, ClusterRoleBinding, Namespace, Secret, ServiceAccount } from "#apis/kubernetes";
import { SYSTEM } from "#apis/karmada";
import { type Clock, sleep } from "#base";
import { type Client, ensureObject } from "#client";

/** Tokens of a member's two accounts, and its authority; base64 as Secrets hold them. */
export interface MemberCredentials {
  readonly token: string;
  readonly authority: string;
  readonly impersonatorToken: string;
}

const TOKEN_WAIT_MS = 30_000;
const TOKEN_RETRY_MIN_MS = 10;
const TOKEN_RETRY_MAX_MS = 1_000;
export const IMPERSONATOR = "karmada-impersonator";

/** The account the control plane has in a member. */
export const memberAccount = (cluster: string): string => `karmada-${cluster}`;

/** Its role there, and what binds the account to it. */
export const memberRole = (cluster: string): string => `karmada-controller-manager:${memberAccount(cluster)}`;

/**
 * Makes accounts, rights and token Secrets in a member (`CL-8`) and waits for the tokens. What is there already is used.
 * Throws when the member gives no token within half a minute.
 */
export async function obtainCredentials(
  client: Client,
  cluster: string,
  namespace: string,
  clock: Clock,
): Promise<MemberCredentials> {
  const labels = { [SYSTEM]: "true" };
  await ensureObject(client, Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace, labels } });
  const account = memberAccount(cluster);
  for (const name of [account, IMPERSONATOR]) {
    const metadata = { namespace, name, labels };
    await ensureObject(client, ServiceAccount, { apiVersion: "v1", kind: "ServiceAccount", metadata });
    await ensureObject(client, Secret, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { namespace, name, annotations: { "kubernetes.io/service-account.name": name } },
      type: "kubernetes.io/service-account-token",
    });
  }
  const role = memberRole(cluster);
  await ensureObject(client, ClusterRole, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: role, labels },
    rules: [
      { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
      { verbs: ["get"], nonResourceURLs: ["*"] },
    ],
  } as ClusterRole);
  const subject = { kind: "ServiceAccount", name: account, namespace };
  const binding = await ensureObject(client, ClusterRoleBinding, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: role, labels },
    subjects: [subject],
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role },
  } as ClusterRoleBinding);
  // One that is left over from credentials in another namespace would leave the account without rights.
  const isBound = binding.subjects?.some(
    (one) => one.kind === subject.kind && one.name === account && one.namespace === namespace,
  );
  if (isBound !== true)
    await client.update(ClusterRoleBinding, { ...binding, subjects: [...(binding.subjects ?? []), subject] });
  const impersonator = await tokenOf(client, cluster, namespace, IMPERSONATOR, clock);
  const own = await tokenOf(client, cluster, namespace, account, clock);
  return { token: own.token, authority: own.authority, impersonatorToken: impersonator.token };
}

async function tokenOf(
  client: Client,
  cluster: string,
  namespace: string,
  name: string,
  clock: Clock,
): Promise<{ readonly token: string; readonly authority: string }> {
  let pauseMs = TOKEN_RETRY_MIN_MS;
  for (let waitedMs = 0; waitedMs <= TOKEN_WAIT_MS; waitedMs += pauseMs) {
    const { data = {} } = await client.get(Secret, { namespace, name });
    if (data["token"]) return { token: data["token"], authority: data["ca.crt"] ?? "" };
    await sleep(clock, pauseMs);
    pauseMs = Math.min(TOKEN_RETRY_MAX_MS, pauseMs * 2);
  }
  const purpose = name === IMPERSONATOR ? "for impersonation " : "";
  throw new Error(
    `failed to get serviceAccount secret ${purpose}from cluster(${cluster}), error: the member gave secret ${namespace}/${name} no token`,
  );
}
