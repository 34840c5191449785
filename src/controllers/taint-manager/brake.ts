import { Cluster } from "#apis/karmada";
import { sleep } from "#base";
import { formatTime, isConflict, isNotFound, parseTime } from "#machinery";
import type { TaintManagerContext } from "./context.ts";

/** On a Cluster: the time until which evictions from it go on whatever the brake says. */
export const RELEASE_EVICTIONS = "failover.flotilla.io/release-evictions-until";
/** On a Cluster: whether evictions from it are held at present. */
export const EVICTION_HELD = "EvictionHeld";

const LOOK_MS = 5_000;

export interface BrakeState {
  readonly isEngaged: boolean;
  readonly failing: ReadonlySet<string>;
  /** Clusters that failed since it is engaged, those that came back included: their taints may not have gone yet. */
  readonly held: ReadonlySet<string>;
  readonly total: number;
  /** Since when fewer clusters fail than the brake stands for; only while it is engaged. */
  readonly calmSinceMs?: number;
}

const readyOf = (cluster: Cluster) => cluster.status?.conditions?.find(({ type }) => type === "Ready")?.status;

/**
 * Whether evictions are held: more than `share` of the clusters fail at once, which says more about the control plane's
 * own network than about them. It lets go when that has been over for `settleMs`, as clusters come back one by one.
 */
export function judgeBrake(
  clusters: readonly Cluster[],
  unwell: ReadonlySet<string>,
  before: BrakeState | undefined,
  nowMs: number,
  options: { readonly share: number; readonly settleMs: number },
): BrakeState {
  const known = clusters.filter(
    (cluster) => readyOf(cluster) !== undefined && cluster.metadata.deletionTimestamp === undefined,
  );
  const failing = new Set(
    known
      .filter((cluster) => readyOf(cluster) !== "True" || unwell.has(cluster.metadata.name ?? ""))
      .map(({ metadata }) => metadata.name ?? ""),
  );
  const total = known.length;
  const isTooMany = total > 0 && failing.size / total > options.share;
  // A process that has just started goes on where the one before it was, by what that one published.
  const wasHeld =
    before === undefined ? new Set(known.filter(isMarkedHeld).map(({ metadata }) => metadata.name ?? "")) : before.held;
  if (!isTooMany && !(before?.isEngaged ?? wasHeld.size > 0))
    return { isEngaged: false, failing, held: new Set(), total };
  const held = new Set([...wasHeld, ...failing]);
  if (isTooMany) return { isEngaged: true, failing, held, total };
  const calmSinceMs = before?.calmSinceMs ?? nowMs;
  return nowMs - calmSinceMs >= options.settleMs
    ? { isEngaged: false, failing, held: new Set(), total }
    : { isEngaged: true, failing, held, total, calmSinceMs };
}

const isMarkedHeld = ({ status }: Cluster) =>
  status?.conditions?.some(({ type, status: is }) => type === EVICTION_HELD && is === "True") ?? false;

export function isReleased(cluster: Cluster, nowMs: number): boolean {
  return (parseTime(cluster.metadata.annotations?.[RELEASE_EVICTIONS]) ?? 0) > nowMs;
}

/** The brake of a running taint manager. */
export class EvictionBrake {
  readonly #context: TaintManagerContext;
  #state: BrakeState | undefined;

  constructor(context: TaintManagerContext) {
    this.#context = context;
  }

  get state(): BrakeState {
    const { options, deps, clock } = this.#context;
    this.#state = judgeBrake(
      this.#context.cache(Cluster).list(),
      deps.members?.unwell ?? new Set(),
      this.#state,
      clock.monotonicMs(),
      { share: options.evictionBrakeShare, settleMs: options.evictionBrakeSettleMs },
    );
    return this.#state;
  }

  /** Whether evictions from a cluster wait. People's own taints on a cluster that is well are never held. */
  holds(cluster: Cluster): boolean {
    const { isEngaged, held } = this.state;
    if (!isEngaged || isReleased(cluster, this.#context.clock.now())) return false;
    return held.has(cluster.metadata.name ?? "");
  }

  /** Keeps conditions, events and metrics in step until the controller stops; `resume` when evictions may go on. */
  async watch(resume: (cluster: Cluster) => void): Promise<void> {
    const { clock, signal, metrics } = this.#context;
    const gauge = metrics.gauge(
      "flotilla_evictions_held",
      "Whether evictions from a cluster are held because too many clusters fail at once",
      ["member_cluster"],
    );
    for (;;) {
      await sleep(clock, LOOK_MS, signal);
      if (signal.aborted) return;
      for (const cluster of this.#context.cache(Cluster).list()) {
        const isHeld = this.holds(cluster);
        const present = cluster.status?.conditions?.find(({ type }) => type === EVICTION_HELD);
        const wasHeld = isMarkedHeld(cluster);
        if (isHeld || present !== undefined) gauge.set(isHeld ? 1 : 0, { member_cluster: cluster.metadata.name ?? "" });
        if (isHeld === wasHeld) continue;
        try {
          await this.#publish(cluster, isHeld);
          if (!isHeld) resume(cluster);
        } catch (error) {
          if (!isNotFound(error) && !isConflict(error))
            this.#context.log.warn("could not publish the brake's state", {
              cluster: cluster.metadata.name ?? "",
              error,
            });
        }
      }
    }
  }

  async #publish(cluster: Cluster, isHeld: boolean): Promise<void> {
    const { clock, client, events, log, options } = this.#context;
    const name = cluster.metadata.name ?? "";
    const { failing, total } = this.state;
    const message = isHeld
      ? `${failing.size} of ${total} clusters fail at once, more than the share of ${options.evictionBrakeShare} that is evicted from; "flotilla release evictions ${name}" lets evictions from this cluster go on.`
      : "Evictions from this cluster are not held.";
    const condition = {
      type: EVICTION_HELD,
      status: isHeld ? "True" : "False",
      reason: isHeld ? "TooManyClustersFailed" : "Released",
      message,
      lastTransitionTime: formatTime(clock.now()),
    };
    const others = (cluster.status?.conditions ?? []).filter(({ type }) => type !== EVICTION_HELD);
    await client.updateStatus(Cluster, {
      ...cluster,
      status: { ...cluster.status, conditions: [...others, condition] },
    } as Cluster);
    const recorder = events.from("taint-manager");
    if (isHeld) recorder.warning(cluster, "EvictionHeld", message);
    else recorder.normal(cluster, "EvictionResumed", message);
    log.warn(isHeld ? "holding evictions" : "evictions go on", { cluster: name, failing: failing.size, total });
  }
}
