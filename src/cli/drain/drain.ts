import {
  type AnyBinding,
  ClusterResourceBinding,
  evicted,
  type GracefulEvictionTask,
  ResourceBinding,
} from "#apis/karmada";
import { type Clock, sleep } from "#base";
import { type Client, retryOnConflict } from "#client";
import { keyOf, type ResourceKind } from "#machinery";
import { setSchedulable } from "../connection.ts";
import type { Simulate } from "../what-if/scheduler-flags.ts";
import { takeSnapshot } from "../what-if/snapshot.ts";

/** Who asks for an eviction, and why, in the task it leaves. */
export const DRAIN_PRODUCER = "flotilla-drain";
export const DRAIN_REASON = "ClusterDrain";

export interface DrainOptions {
  readonly client: Client;
  readonly clock: Clock;
  /** The scheduler that says what finds another place. */
  readonly simulate: Simulate;
  /** Workloads that find no other place leave as well. */
  readonly isForced: boolean;
  /** Only says what would happen. */
  readonly isDryRun: boolean;
  /** How long an old copy waits for its successor; absent: as the server's `--graceful-eviction-timeout`. */
  readonly gracePeriodSeconds?: number;
  readonly timeoutMs: number;
  readonly say: (line: string) => void;
}

/** What became of a drain. */
export interface DrainResult {
  readonly moved: readonly string[];
  /** Workloads that were left, each with its reason. */
  readonly left: readonly { readonly workload: string; readonly why: string }[];
  /** Workloads whose old copy was still there when time was over. */
  readonly pending: readonly string[];
}

const WRITERS = 16;
const LOOK_MS = 1_000;

const describe = ({ spec: { resource } }: AnyBinding) =>
  `${resource.kind} ${resource.namespace ? `${resource.namespace}/` : ""}${resource.name}`;
const kindOf = (binding: AnyBinding) =>
  (binding.kind === "ClusterResourceBinding"
    ? ClusterResourceBinding
    : ResourceBinding) as ResourceKind<ResourceBinding>;
const decisionKey = (binding: AnyBinding) => `${binding.kind}/${keyOf(binding)}`;

/**
 * Empties a cluster: keeps new workloads away, then takes it out of every binding that has another place to go, with a task
 * that keeps the old copy until the new one is healthy. What would fit nowhere else stays, unless forced; where that is
 * because its copy elsewhere is still being removed, that is waited for first.
 */
export async function drainCluster(name: string, options: DrainOptions): Promise<DrainResult> {
  const { client, clock, say } = options;
  const endMs = clock.now() + options.timeoutMs;
  let plan = await planDrain(name, options);
  const cordon = async () => {
    if (await setSchedulable(client, name, false)) say(`${name} cluster cordoned`);
  };
  if (plan.underWay.length > 0 && !options.isDryRun) {
    await cordon();
    for (const binding of plan.underWay) say(`${describe(binding)} is still leaving another cluster`);
    await waitForTasks(plan.underWay, endsByItself, endMs, options);
    plan = await planDrain(name, options);
  }
  const { left, leaving, placesOf } = plan;
  for (const { workload, why } of left) say(`${workload} stays: ${why}`);
  if (options.isDryRun) {
    for (const binding of leaving) say(`${describe(binding)} would move to ${placesOf(binding) || "nowhere"}`);
    return { moved: [], left, pending: [] };
  }
  await cordon();
  await evictAll(name, leaving, options);
  const pending = await waitForTasks(
    leaving,
    ({ fromCluster }) => fromCluster === name,
    endMs,
    options,
    (count) => say(`${leaving.length - count} of ${leaving.length} workloads have left ${name}`),
  );
  const waiting = new Set(pending);
  return { moved: leaving.map(describe).filter((workload) => !waiting.has(workload)), left, pending };
}

/** One that is suppressed waits for a person. */
const endsByItself = ({ suppressDeletion }: GracefulEvictionTask) => suppressDeletion !== true;

/** What leaves a cluster, where it goes, and what stays as things are. */
async function planDrain(name: string, { client, clock, simulate, isForced }: DrainOptions) {
  const snapshot = await takeSnapshot(client, clock.now());
  if (!snapshot.clusters.some(({ metadata }) => metadata.name === name))
    throw new Error(`there is no cluster ${JSON.stringify(name)}`);
  const here = snapshot.bindings.filter(({ spec }) => (spec.clusters ?? []).some((target) => target.name === name));
  const { bindings: outcomes } = await simulate(snapshot, { removeClusters: [name] });
  const outcomeOf = new Map(outcomes.map((outcome) => [outcome.binding, outcome]));
  const left: { workload: string; why: string }[] = [];
  const leaving: AnyBinding[] = [];
  /** What fits nowhere else while its copy elsewhere is being removed. */
  const underWay: AnyBinding[] = [];
  for (const binding of here) {
    const outcome = outcomeOf.get(decisionKey(binding));
    const isNowhere = outcome?.outcome === "failed";
    if (isNowhere && binding.spec.gracefulEvictionTasks?.some(endsByItself) === true) underWay.push(binding);
    if (outcome?.outcome === "held")
      left.push({ workload: describe(binding), why: "its scheduling is suspended, or no policy claims it" });
    else if (isNowhere && !isForced)
      left.push({ workload: describe(binding), why: outcome.message ?? "it fits nowhere else" });
    else leaving.push(binding);
  }
  const placesOf = (binding: AnyBinding) =>
    (outcomeOf.get(decisionKey(binding))?.after ?? []).map((target) => target.name).join(", ");
  return { left, leaving, underWay, placesOf };
}

async function evictAll(name: string, leaving: readonly AnyBinding[], options: DrainOptions): Promise<void> {
  const { client, gracePeriodSeconds } = options;
  let next = 0;
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      while (next < leaving.length) {
        const binding = leaving[next++] as AnyBinding;
        const kind = kindOf(binding);
        const { namespace, name: bindingName = "" } = binding.metadata;
        await retryOnConflict(async () => {
          const latest = await client.find(kind, { namespace, name: bindingName });
          if (latest === undefined) return;
          const changed = evicted(latest, name, {
            producer: DRAIN_PRODUCER,
            reason: DRAIN_REASON,
            purgeMode: "Gracefully",
            ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
          });
          if (changed !== latest) await client.update(kind, changed);
        });
      }
    }),
  );
}

/** Workloads that still have such a task when time is over; `told` hears how many have, whenever that changes. */
async function waitForTasks(
  awaited: readonly AnyBinding[],
  isMeant: (task: GracefulEvictionTask) => boolean,
  endMs: number,
  { client, clock }: DrainOptions,
  told: (count: number) => void = () => undefined,
): Promise<readonly string[]> {
  const keys = new Set(awaited.map(decisionKey));
  let before = -1;
  for (;;) {
    const { bindings } = await takeSnapshot(client, clock.now());
    const pending = bindings.filter(
      (binding) => keys.has(decisionKey(binding)) && (binding.spec.gracefulEvictionTasks ?? []).some(isMeant),
    );
    if (pending.length !== before) told(pending.length);
    before = pending.length;
    if (pending.length === 0 || clock.now() >= endMs) return pending.map(describe);
    await sleep(clock, LOOK_MS);
  }
}
