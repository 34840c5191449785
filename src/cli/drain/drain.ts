import { type AnyBinding, ClusterResourceBinding, evicted, ResourceBinding } from "#apis/karmada";
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
 * that keeps the old copy until the new one is healthy. What would fit nowhere else stays, unless forced.
 */
export async function drainCluster(name: string, options: DrainOptions): Promise<DrainResult> {
  const { client, clock, say } = options;
  const snapshot = await takeSnapshot(client, clock.now());
  if (!snapshot.clusters.some(({ metadata }) => metadata.name === name))
    throw new Error(`there is no cluster ${JSON.stringify(name)}`);
  const here = snapshot.bindings.filter(({ spec }) => (spec.clusters ?? []).some((target) => target.name === name));
  const { bindings: outcomes } = await options.simulate(snapshot, { removeClusters: [name] });
  const outcomeOf = new Map(outcomes.map((outcome) => [outcome.binding, outcome]));
  const left: { workload: string; why: string }[] = [];
  const leaving = here.filter((binding) => {
    const outcome = outcomeOf.get(decisionKey(binding));
    const why =
      outcome?.outcome === "failed"
        ? (outcome.message ?? "it fits nowhere else")
        : outcome?.outcome === "held"
          ? "its scheduling is suspended, or no policy claims it"
          : undefined;
    if (why === undefined || (options.isForced && outcome?.outcome !== "held")) return true;
    left.push({ workload: describe(binding), why });
    return false;
  });
  for (const { workload, why } of left) say(`${workload} stays: ${why}`);
  if (options.isDryRun) {
    for (const binding of leaving) {
      const after = outcomeOf.get(decisionKey(binding))?.after ?? [];
      say(`${describe(binding)} would move to ${after.map((target) => target.name).join(", ") || "nowhere"}`);
    }
    return { moved: [], left, pending: [] };
  }
  if (await setSchedulable(client, name, false)) say(`${name} cluster cordoned`);
  await evictAll(name, leaving, options);
  const pending = await waitForTasks(name, leaving, options);
  const waiting = new Set(pending);
  return { moved: leaving.map(describe).filter((workload) => !waiting.has(workload)), left, pending };
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

/** Workloads whose task for the cluster is still there when time is over. */
async function waitForTasks(
  name: string,
  leaving: readonly AnyBinding[],
  options: DrainOptions,
): Promise<readonly string[]> {
  const { client, clock, say } = options;
  const keys = new Set(leaving.map(decisionKey));
  const endMs = clock.now() + options.timeoutMs;
  let before = -1;
  for (;;) {
    const { bindings } = await takeSnapshot(client, clock.now());
    const pending = bindings.filter(
      (binding) =>
        keys.has(decisionKey(binding)) &&
        (binding.spec.gracefulEvictionTasks ?? []).some(({ fromCluster }) => fromCluster === name),
    );
    if (pending.length !== before)
      say(`${leaving.length - pending.length} of ${leaving.length} workloads have left ${name}`);
    before = pending.length;
    if (pending.length === 0 || clock.now() >= endMs) return pending.map(describe);
    await sleep(clock, LOOK_MS);
  }
}
