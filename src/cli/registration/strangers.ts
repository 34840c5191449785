import { Secret, ServiceAccount } from "#apis/kubernetes";
import type { Client } from "#client";
import type { KubeObject } from "#machinery";

const DEFAULT_ACCOUNT = "default";
const ACCOUNT = "kubernetes.io/service-account.name";

/**
 * Accounts and secrets in a namespace that are neither Kubernetes' own, which are its default account and the tokens of it,
 * nor called as one of `ours`. Each as `serviceaccount NAME` or `secret NAME`.
 */
export async function strangersIn(client: Client, namespace: string, ours: readonly string[] = []): Promise<string[]> {
  const [accounts, secrets] = await Promise.all([
    client.list(ServiceAccount, { namespace }),
    client.list(Secret, { namespace }),
  ]);
  const isStranger = ({ metadata }: KubeObject) => !ours.includes(metadata.name ?? "");
  return [
    ...accounts.items
      .filter((account) => isStranger(account) && account.metadata.name !== DEFAULT_ACCOUNT)
      .map(({ metadata }) => `serviceaccount ${metadata.name}`),
    ...secrets.items
      .filter((secret) => isStranger(secret) && secret.metadata.annotations?.[ACCOUNT] !== DEFAULT_ACCOUNT)
      .map(({ metadata }) => `secret ${metadata.name}`),
  ];
}
