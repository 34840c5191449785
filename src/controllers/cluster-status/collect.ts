import { Node, Pod } from "#apis/kubernetes";
import type { Cluster } from "#apis/karmada";
import type { Informer } from "#client";
import { isForbidden, isTooManyRequests, type KubeObject } from "#machinery";
import { isMemberBusy, type Member } from "#member";
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
  let undiscovered: unknown;
  const [version, apis] = await Promise.all([
    withinTime(clock, REQUEST_TIMEOUT_MS, signal, (inTime) => versionOf(member, inTime)).catch(() => undefined),
    withinTime(clock, REQUEST_TIMEOUT_MS, signal, async (inTime) => {
      await member.kinds.refresh(inTime);
      return member.kinds.served;
    }).catch((error: unknown) => {
      undiscovered = error;
      // It serves what it served: that it does not say so now takes no kind from it.
      return member.kinds.served;
    }),
  ]);
  if (undiscovered === undefined) recalled(member, "what it serves");
  else if (!signal.aborted) tellUncollected(cluster, member, "what it serves", undiscovered, context);
  const { enablements, condition } = collectApis(
    apis,
    member.kinds.failedGroupVersions.length + (undiscovered === undefined ? 0 : 1),
    undiscovered === undefined ? undefined : cluster.status?.apiEnablements,
  );
  // What was known of it stays known while it does not say so.
  const kubernetesVersion = version ?? cluster.status?.kubernetesVersion ?? "";
  const fields: Record<string, unknown> = { kubernetesVersion, apiEnablements: enablements };
  if (options.enableClusterResourceModeling) {
    const ledger = ledgerOf(member);
    const limitMs = options.clusterCacheSyncTimeoutMs;
    const [nodes, pods] = await withinTime(clock, limitMs, signal, () =>
      Promise.all([refusalOf(member.informers.of(Node), limitMs), refusalOf(member.informers.of(Pod), limitMs)]),
    ).catch((error: unknown) => {
      const cause = member.informers.of(Node).listFailure ?? member.informers.of(Pod).listFailure;
      if (!signal.aborted) tellUncollected(cluster, member, "its nodes and pods", cause ?? error, context);
      throw error;
    });
    recalled(member, "its nodes and pods");
    const refusal = nodes ?? pods;
    if (refusal !== undefined) tellHidden(cluster, member, refusal, context);
    const models = deps.gates.has("CustomizedClusterResourceModeling") ? cluster.spec?.resourceModels : undefined;
    const { nodeSummary, resourceSummary } = ledger.account(models ?? []);
    if (nodes === undefined) fields["nodeSummary"] = nodeSummary;
    // What is free is known from both together.
    if (refusal === undefined) fields["resourceSummary"] = resourceSummary;
  }
  return { conditions: [condition], fields };
}

/** What was said to an account that may not list a kind; `undefined` once the kind is in the cache. */
async function refusalOf(informer: Informer<KubeObject>, limitMs: number): Promise<string | undefined> {
  if (!isForbidden(informer.listFailure)) await informer.whenTried(limitMs);
  if (isForbidden(informer.listFailure)) return (informer.listFailure as Error).message;
  // It says itself that it has too much to do: whoever looks is told, and it is asked again later.
  if (isTooManyRequests(informer.listFailure) || isMemberBusy(informer.listFailure)) throw informer.listFailure;
  await informer.whenSynced();
  return undefined;
}

const told = new WeakSet<Member>();

/** A serverless cluster shows its nodes to nobody: it can be worked with, and whoever looks for its summaries learns why. */
function tellHidden(cluster: Cluster, member: Member, refusal: string, { events }: ClusterStatusContext): void {
  if (told.has(member)) return;
  told.add(member);
  events
    .from("cluster-status-controller")
    .warning(
      cluster,
      "ClusterResourcesHidden",
      `cluster(${cluster.metadata.name}) does not show what it has, so that its room is not estimated: ${refusal}`,
    );
}

type Uncollected = "what it serves" | "its nodes and pods";
const uncollected = new WeakMap<Member, Set<Uncollected>>();
const recalled = (member: Member, what: Uncollected) => uncollected.get(member)?.delete(what);

/** A member that is well but cannot be looked at has no condition that says why: whoever waits for it learns it, once. */
function tellUncollected(
  cluster: Cluster,
  member: Member,
  what: Uncollected,
  cause: unknown,
  { events }: ClusterStatusContext,
): void {
  const before = uncollected.get(member) ?? new Set();
  if (before.has(what)) return;
  uncollected.set(member, before.add(what));
  events
    .from("cluster-status-controller")
    .warning(
      cluster,
      "StatusCollectionFailed",
      `cluster(${cluster.metadata.name}) is reachable, but ${what} cannot be listed: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
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

/** `undefined` where the answer names none, refusals among them. */
async function versionOf(member: Member, signal: AbortSignal): Promise<string | undefined> {
  const answer = await member.transport.raw({ method: "GET", path: "/version", signal });
  if (answer.status !== 200) return undefined;
  const said = JSON.parse(new TextDecoder().decode(answer.body)) as { readonly gitVersion?: unknown } | null;
  return typeof said?.gitVersion === "string" ? said.gitVersion : undefined;
}
