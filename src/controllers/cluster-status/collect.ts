import { Node, Pod } from "#apis/kubernetes";
import type { Cluster } from "#apis/karmada";
import type { Member } from "#member";
import type { ClusterStatusContext } from "./context.ts";
import { collectApis, type Observation } from "./plan.ts";
import { REQUEST_TIMEOUT_MS, withinTime } from "./probe.ts";
import { ResourceLedger } from "./resource-ledger.ts";

/** What a healthy member says of itself: fields of the status, and the condition on its APIs. */
export interface Facts {
  readonly conditions: readonly Observation[];
  readonly fields: Readonly<Record<string, unknown>>;
}

const ledgers = new WeakMap<Member, ResourceLedger>();

export async function collect(cluster: Cluster, member: Member, context: ClusterStatusContext): Promise<Facts> {
  const { options, deps, clock } = context;
  const signal = AbortSignal.any([context.signal, member.signal]);
  const [version, apis] = await Promise.all([
    withinTime(clock, REQUEST_TIMEOUT_MS, signal, (inTime) => versionOf(member, inTime)).catch(() => ""),
    withinTime(clock, REQUEST_TIMEOUT_MS, signal, async (inTime) => {
      await member.kinds.refresh(inTime).catch(() => undefined);
      return member.kinds.all(inTime);
    }).catch(() => []),
  ]);
  const { enablements, condition } = collectApis(apis, member.kinds.failedGroupVersions.length);
  const fields: Record<string, unknown> = { kubernetesVersion: version, apiEnablements: enablements };
  if (options.enableClusterResourceModeling) {
    const ledger = ledgerOf(member);
    await withinTime(clock, options.clusterCacheSyncTimeoutMs, signal, () =>
      Promise.all([member.informers.of(Node).whenSynced(), member.informers.of(Pod).whenSynced()]),
    );
    const models = deps.gates.has("CustomizedClusterResourceModeling") ? cluster.spec?.resourceModels : undefined;
    const { nodeSummary, resourceSummary } = ledger.account(models ?? []);
    fields["nodeSummary"] = nodeSummary;
    fields["resourceSummary"] = resourceSummary;
  }
  return { conditions: [condition], fields };
}

/** The running account of a member's nodes and pods, fed by its caches; one for each connection. */
function ledgerOf(member: Member): ResourceLedger {
  const present = ledgers.get(member);
  if (present !== undefined) return present;
  const ledger = new ResourceLedger();
  ledgers.set(member, ledger);
  const stops = [
    member.informers.of(Node).handle({
      add: (node) => ledger.putNode(node),
      update: (node) => ledger.putNode(node),
      delete: (node) => ledger.removeNode(node),
    }),
    member.informers.of(Pod).handle({
      add: (pod) => ledger.putPod(pod),
      update: (pod) => ledger.putPod(pod),
      delete: (pod) => ledger.removePod(pod),
    }),
  ];
  for (const stop of stops) member.signal.addEventListener("abort", stop, { once: true });
  return ledger;
}

async function versionOf(member: Member, signal: AbortSignal): Promise<string> {
  const answer = await member.transport.raw({ method: "GET", path: "/version", signal });
  return (JSON.parse(new TextDecoder().decode(answer.body)) as { readonly gitVersion?: string }).gitVersion ?? "";
}
