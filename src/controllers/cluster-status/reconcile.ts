import { Cluster, CLUSTER_FINALIZER } from "#apis/karmada";
import { deepEqual, sleep } from "#base";
import { done, type Request, requeueAfter, type Result } from "#controller-runtime";
import { isConflict, isNotFound } from "#machinery";
import type { Member } from "#member";
import { collect, type Facts } from "./collect.ts";
import { identityOf } from "./identity.ts";
import type { ClusterStatusContext } from "./context.ts";
import { keepLease } from "./lease.ts";
import { forgetMetrics, publishMetrics } from "./measures.ts";
import { delayConditions, type Observation, observeReady, type Probe, readyCondition, withConditions } from "./plan.ts";
import { probe, REQUEST_TIMEOUT_MS, withinTime } from "./probe.ts";

/** How often it is looked for delays while a member is asked for long. */
const DELAY_LOOK_MS = 5_000;

/** What one running controller remembers of a cluster. A restart may lose it. */
interface Memory {
  readonly probes: Map<string, Probe>;
  /** Which cluster answered last under each name. */
  readonly identities: Map<string, string>;
  readonly leases: Map<string, AbortController>;
}

const memories = new WeakMap<AbortSignal, Memory>();

function memoryOf({ signal }: { readonly signal: AbortSignal }): Memory {
  let memory = memories.get(signal);
  if (memory === undefined)
    memories.set(signal, (memory = { probes: new Map(), identities: new Map(), leases: new Map() }));
  return memory;
}

export async function reconcile(request: Request, context: ClusterStatusContext): Promise<Result> {
  const { deps, options, clock } = context;
  if (deps.own !== undefined && request.name !== deps.own) return done;
  const cluster = context.cache(Cluster).get(request.key);
  const memory = memoryOf(context);
  if (cluster === undefined) {
    memory.probes.delete(request.name);
    memory.identities.delete(request.name);
    deps.members.report(request.name, true);
    memory.leases.get(request.name)?.abort();
    memory.leases.delete(request.name);
    forgetMetrics(context.metrics, request.name);
    deps.members.disconnect(request.name);
    return done;
  }
  if (deps.own === undefined && (cluster.spec?.syncMode === "Pull" || cluster.spec?.secretRef === undefined))
    return done;
  if (!(cluster.metadata.finalizers ?? []).includes(CLUSTER_FINALIZER)) return done;
  const startedMs = clock.monotonicMs();
  let observed: Observation;
  let member: Member | undefined;
  let cause: string | undefined;
  try {
    member = await deps.connect(cluster);
    const signal = AbortSignal.any([context.signal, member.signal]);
    const probed = await probe(member, { clock, signal });
    if (member.signal.aborted) return requeueAfter(1);
    ({ cause } = probed);
    observed = readyCondition(probed.outcome);
    if (observed.status === "True" && (await isAnother(cluster, member, memory, context))) {
      // What is cached of the old one, and where its watches stood, means nothing to the new one.
      deps.members.disconnect(request.name);
      return requeueAfter(1);
    }
  } catch (error) {
    observed = {
      type: "Ready",
      status: "False",
      reason: "StatusCollectionFailed",
      message: `failed to create a ClusterClient: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
  deps.members.report(request.name, observed.status === "True");
  const latest = () => context.cache(Cluster).get(request.key) ?? cluster;
  const { published, next } = observeReady(
    latest(),
    observed,
    memory.probes.get(request.name),
    clock.monotonicMs(),
    options,
  );
  memory.probes.set(request.name, next);
  const isReady = published.status === "True" && observed.status === "True";
  let facts: Facts | undefined;
  try {
    facts =
      isReady && member !== undefined
        ? await tellingDelays(member, latest, context, collect(cluster, member, context))
        : undefined;
  } catch (error) {
    // The connection was replaced meanwhile: what the old one said counts for nothing.
    if (member?.signal.aborted) return requeueAfter(1);
    const seen = latest();
    await write(seen, delayConditions(seen, member?.flow.delay), undefined, context);
    throw error;
  }
  const before = latest();
  const delays = delayConditions(before, member?.flow.delay);
  const conditions = [...(facts?.conditions ?? []), published, ...delays];
  const written = await write(before, conditions, facts?.fields, context);
  if (written === undefined) return done;
  tellOfDelay(before, written, delays, context);
  // The condition's words are the contract's; what was in the way stands in an event, once a flip.
  if (cause !== undefined && published.status !== "True" && statusOf(before, "Ready") !== statusOf(written, "Ready"))
    context.events
      .from("cluster-status-controller")
      .warning(written, published.reason, `${published.message}: ${cause}`);
  publishMetrics(context.metrics, written, (clock.monotonicMs() - startedMs) / 1000);
  if (isReady && deps.own !== undefined && !memory.leases.has(request.name)) {
    const abort = new AbortController();
    memory.leases.set(request.name, abort);
    void keepLease(cluster, context, AbortSignal.any([abort.signal, context.signal]));
  }
  return requeueAfter(options.clusterStatusUpdateFrequencyMs);
}

/** A member that is late with changes is late with what is asked of it here: that it is so is not told only when it is over. */
async function tellingDelays<T>(
  member: Member,
  latest: () => Cluster,
  context: ClusterStatusContext,
  collecting: Promise<T>,
): Promise<T> {
  const isOver = new AbortController();
  const ends = AbortSignal.any([isOver.signal, context.signal, member.signal]);
  const telling = (async () => {
    for (;;) {
      await sleep(context.clock, DELAY_LOOK_MS, ends);
      if (ends.aborted) return;
      const seen = latest();
      const delays = delayConditions(seen, member.flow.delay);
      const written = delays.length === 0 ? undefined : await write(seen, delays, undefined, context);
      if (written !== undefined) tellOfDelay(seen, written, delays, context);
    }
  })().catch((error: unknown) => context.log.debug("delay not told", { cluster: member.name, error }));
  try {
    return await collecting;
  } finally {
    isOver.abort();
    await telling;
  }
}

/** The event beside the condition, once a flip. */
function tellOfDelay(
  before: Cluster,
  written: Cluster,
  [delay]: readonly Observation[],
  { events }: ClusterStatusContext,
): void {
  if (delay?.status !== "True" || statusOf(before, delay.type) === "True") return;
  events
    .from("cluster-status-controller")
    .warning(written, delay.type, `cluster(${written.metadata.name}) is synchronized late: ${delay.message}`);
}

/** Whether another cluster answers under the name than before; said in an event, also when it is not the one that joined. */
async function isAnother(
  cluster: Cluster,
  member: Member,
  { identities }: Memory,
  context: ClusterStatusContext,
): Promise<boolean> {
  const name = cluster.metadata.name ?? "";
  const signal = AbortSignal.any([context.signal, member.signal]);
  const found = await withinTime(context.clock, REQUEST_TIMEOUT_MS, signal, (inTime) =>
    identityOf(member, inTime),
  ).catch(() => undefined);
  const known = identities.get(name);
  if (found === undefined || found === known) return false;
  identities.set(name, found);
  const expected = known ?? cluster.spec?.id ?? "";
  if (expected === "" || expected === found) return false;
  context.events
    .from("cluster-status-controller")
    .warning(
      cluster,
      "ClusterIdentityChanged",
      `Another cluster answers for cluster(${name}): its id is ${found}, not ${expected}. What is to run there is compared anew.`,
    );
  return known !== undefined;
}

const statusOf = ({ status }: Cluster, wanted: string) =>
  status?.conditions?.find(({ type }) => type === wanted)?.status;

/** Writes what differs; a status that somebody else changed meanwhile keeps their part. Absent when the cluster is gone. */
async function write(
  known: Cluster,
  conditions: readonly Observation[],
  fields: Readonly<Record<string, unknown>> | undefined,
  context: ClusterStatusContext,
): Promise<Cluster | undefined> {
  let latest: Cluster | undefined = known;
  for (let tries = 0; ; tries++) {
    const status = { ...withConditions(latest, conditions, context.clock.now()), ...fields };
    if (deepEqual(status, latest.status ?? {})) return latest;
    try {
      return await context.client.updateStatus(Cluster, { ...latest, status } as Cluster);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      if (!isConflict(error) || tries >= 4) throw error;
      latest = await context.client.find(Cluster, { name: known.metadata.name ?? "" });
      if (latest === undefined || latest.metadata.uid !== known.metadata.uid) return undefined;
    }
  }
}
