/**
 * Cluster status: how a push member fares. Probes its API server, publishes readiness by thresholds, and collects version,
 * served APIs, nodes and resources from caches kept by watching: the cost grows with change, not with the fleet.
 */
import { Node, Pod } from "#apis/kubernetes";
import { Cluster, CLUSTER_FINALIZER } from "#apis/karmada";
import { deepEqual } from "#base";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
} from "#controller-runtime";
import { isConflict, isNotFound } from "#machinery";
import type { Member, MemberPool } from "#member";
import { collectApis, observeReady, type Probe, readyCondition, withConditions } from "./plan.ts";
import { type ResourceAccount, ResourceLedger } from "./resource-ledger.ts";

export { observeReady, readyCondition } from "./plan.ts";

export interface ClusterStatusDeps {
  readonly members: MemberPool;
  /** Opens the member a Cluster object names; throws when its credentials or address are no use. */
  readonly connect: (cluster: Cluster) => Promise<Member>;
  readonly gates: ReadonlySet<string>;
}

export interface ClusterStatusOptions {
  readonly clusterStatusUpdateFrequencyMs: number;
  readonly clusterFailureThresholdMs: number;
  readonly clusterSuccessThresholdMs: number;
  readonly enableClusterResourceModeling: boolean;
}

type Context = ControllerContext<ClusterStatusDeps, ClusterStatusOptions>;
const PROBE_TIMEOUT_MS = 5_000;

export const clusterStatus = defineController<ClusterStatusDeps, ClusterStatusOptions>({
  name: "clusterStatus",
  reconciles: [Cluster],
  when: (change) => {
    if (change.type !== "updated") return true;
    const had = (change.old.metadata.finalizers ?? []).includes(CLUSTER_FINALIZER);
    return (
      change.object.metadata.generation !== change.old.metadata.generation ||
      (!had && (change.object.metadata.finalizers ?? []).includes(CLUSTER_FINALIZER))
    );
  },
  writes: [{ kind: Cluster, verbs: ["update"], subresources: ["status"] }],
  options: {
    clusterStatusUpdateFrequencyMs: 10_000,
    clusterFailureThresholdMs: 30_000,
    clusterSuccessThresholdMs: 30_000,
    enableClusterResourceModeling: true,
  },
  concurrency: () => 32,
  reconcile,
});

const probes = new WeakMap<AbortSignal, Map<string, Probe>>();
const ledgers = new WeakMap<Member, ResourceLedger>();

async function reconcile(request: Request, context: Context): Promise<Result> {
  const { deps, options, clock } = context;
  const cluster = context.cache(Cluster).get(request.key);
  let known = probes.get(context.signal);
  if (known === undefined) probes.set(context.signal, (known = new Map()));
  if (cluster === undefined) {
    known.delete(request.name);
    deps.members.disconnect(request.name);
    return done;
  }
  if (
    cluster.spec?.syncMode === "Pull" ||
    cluster.spec?.secretRef === undefined ||
    !(cluster.metadata.finalizers ?? []).includes(CLUSTER_FINALIZER)
  )
    return done;
  let observed: ReturnType<typeof readyCondition>;
  let member: Member | undefined;
  try {
    member = await deps.connect(cluster);
    observed = readyCondition(await probe(member, context));
  } catch (error) {
    observed = {
      type: "Ready",
      status: "False",
      reason: "StatusCollectionFailed",
      message: `failed to create a ClusterClient: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
  const { published, next } = observeReady(cluster, observed, known.get(request.name), clock.now(), options);
  known.set(request.name, next);
  const isReady = published.status === "True" && observed.status === "True";
  const facts = isReady && member !== undefined ? await collect(cluster, member, context) : undefined;
  const latest = context.cache(Cluster).get(request.key) ?? cluster;
  const status = {
    ...withConditions(latest, [...(facts?.conditions ?? []), published], clock.now()),
    ...facts?.fields,
  };
  if (!deepEqual(status, latest.status ?? {})) {
    try {
      await context.client.updateStatus(Cluster, { ...latest, status } as Cluster);
    } catch (error) {
      if (isNotFound(error)) return done;
      if (isConflict(error)) return requeueAfter(1);
      throw error;
    }
  }
  // A flip that waits for its threshold is looked at when it is due, and no member is asked more often than agreed.
  return requeueAfter(options.clusterStatusUpdateFrequencyMs);
}

async function probe(member: Member, context: Context): Promise<"healthy" | "unhealthy" | "offline"> {
  const ask = async (path: string) => {
    const abort = new AbortController();
    const timer = context.clock.after(PROBE_TIMEOUT_MS, () => abort.abort());
    try {
      return (await member.transport.raw({ method: "GET", path, signal: abort.signal })).status;
    } finally {
      timer.cancel();
    }
  };
  try {
    let status = await ask("/readyz");
    if (status === 404) status = await ask("/healthz");
    if (status === 200) return "healthy";
    return status > 200 && status <= 206 ? "unhealthy" : "offline";
  } catch {
    return "offline";
  }
}

async function collect(cluster: Cluster, member: Member, context: Context) {
  const { options, deps } = context;
  const [version] = await Promise.all([versionOf(member), member.kinds.refresh().catch(() => undefined)]);
  const { enablements, condition } = collectApis(await member.kinds.all(), member.kinds.failedGroupVersions.length);
  const fields: Record<string, unknown> = { kubernetesVersion: version, apiEnablements: enablements };
  if (options.enableClusterResourceModeling) {
    let ledger = ledgers.get(member);
    if (ledger === undefined) {
      ledger = new ResourceLedger();
      ledgers.set(member, ledger);
      const own = ledger;
      member.informers.of(Node).handle({
        add: (node) => own.putNode(node),
        update: (node) => own.putNode(node),
        delete: (node) => own.removeNode(node),
      });
      member.informers.of(Pod).handle({
        add: (pod) => own.putPod(pod),
        update: (pod) => own.putPod(pod),
        delete: (pod) => own.removePod(pod),
      });
    }
    await Promise.all([member.informers.of(Node).whenSynced(), member.informers.of(Pod).whenSynced()]);
    const account: ResourceAccount = ledger.account(
      deps.gates.has("CustomizedClusterResourceModeling") ? (cluster.spec?.resourceModels ?? []) : [],
    );
    fields["nodeSummary"] = account.nodeSummary;
    fields["resourceSummary"] = account.resourceSummary;
  }
  return { conditions: [condition], fields };
}

async function versionOf(member: Member): Promise<string> {
  try {
    const answer = await member.transport.raw({ method: "GET", path: "/version" });
    return (JSON.parse(new TextDecoder().decode(answer.body)) as { readonly gitVersion?: string }).gitVersion ?? "";
  } catch {
    return "";
  }
}
