import { FederatedResourceQuota, quotaUsageOf, ResourceBinding } from "#apis/karmada";
import type { Client } from "#client";
import { formatQuantity } from "#machinery";

/** A binding of a Deployment whose replicas ask for one CPU each, placed in one cluster. */
export const aBindingOfCpus = (name: string, replicas = 1): ResourceBinding =>
  ({
    metadata: { name, namespace: "default" },
    spec: {
      resource: { apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name },
      replicaRequirements: { resourceRequest: { cpu: "1" } },
      clusters: [{ name: "m1", replicas }],
    },
  }) as unknown as ResourceBinding;

export const aQuotaOfCpus = (name: string, cpu: string): FederatedResourceQuota =>
  ({ metadata: { name, namespace: "default" }, spec: { overall: { cpu } } }) as unknown as FederatedResourceQuota;

/** The CPUs a quota's status says are used. */
export const usedCpus = async (client: Client, quota = "team"): Promise<string | number | undefined> =>
  (await client.get(FederatedResourceQuota, { namespace: "default", name: quota })).status?.overallUsed?.["cpu"];

/** The CPUs the stored bindings use, counted anew. */
export async function countedCpus(client: Client): Promise<number> {
  let sum = 0;
  for (const item of (await client.list(ResourceBinding, { namespace: "default" })).items) {
    const amount = quotaUsageOf(item).get("cpu");
    sum += amount === undefined ? 0 : Number(formatQuantity(amount));
  }
  return sum;
}

/** How a write under quotas went: `written`, `exceeded`, or another error's message. */
export const outcomeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "written",
    (error: Error) => (error.message.includes("exceeded for resource cpu") ? "exceeded" : error.message),
  );
