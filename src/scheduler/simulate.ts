import {
  type AnyBinding,
  type Cluster,
  isClaimedBinding,
  type ResourceBinding,
  type ResourceBindingSpec,
  type TargetCluster,
} from "#apis/karmada";
import type { AssumedWorkload } from "#estimator";
import { formatTime, parseTime } from "#machinery";
import type { Decision } from "./decision.ts";
import type { Gates } from "./facts.ts";
import { ScheduleError } from "./errors.ts";
import { decisionKey, failedPlan, type PassPlan, planPass } from "./pass.ts";
import { builtinPlugins } from "./plugins/index.ts";
import type { AlgorithmOptions, Estimator } from "./algorithm.ts";
import type { HostedPlugin, PluginHost, SchedulerPlugin } from "./plugins/plugin.ts";

/** A fleet at one moment: what the scheduler would see. */
export interface FleetSnapshot {
  readonly clusters: readonly Cluster[];
  readonly bindings: readonly AnyBinding[];
}

/** What is to be different. */
export interface FleetChanges {
  /** Clusters to take away, with what runs on them. */
  readonly removeClusters?: readonly string[];
  /** Clusters to add; one of a known name takes its place. */
  readonly addClusters?: readonly Cluster[];
  /** Bindings to add; one of a known kind and name takes its place and keeps the present targets. */
  readonly addBindings?: readonly AnyBinding[];
  /** Places everything anew, as a rebalance of all workloads would; default false. */
  readonly rebalances?: boolean;
}

export interface SimulationOptions {
  readonly gates: Gates;
  /** Default: all built-in ones. */
  readonly plugins?: readonly SchedulerPlugin[];
  readonly estimators?: readonly Estimator[];
  readonly propagatesEmptyWorkloads?: boolean;
  readonly nowMs: number;
}

/** How one target changes. */
export interface Move {
  readonly cluster: string;
  readonly from: number;
  readonly to: number;
}

/** What becomes of one binding. */
export interface SimulatedBinding {
  /** `ResourceBinding/<namespace>/<name>` or `ClusterResourceBinding/<name>`. */
  readonly binding: string;
  readonly resource: string;
  readonly before: readonly TargetCluster[];
  readonly after: readonly TargetCluster[];
  readonly moves: readonly Move[];
  /** `held`: scheduling of it is suspended, or nothing claims it; the scheduler leaves it alone. */
  readonly outcome: "unchanged" | "changed" | "failed" | "held";
  readonly reason?: string;
  readonly message?: string;
  /** Why; absent when nothing called for a decision. */
  readonly decision?: Decision;
}

export interface Simulation {
  readonly clusters: readonly string[];
  readonly bindings: readonly SimulatedBinding[];
}

const byKey = (left: AnyBinding, right: AnyBinding) => (decisionKey(left) < decisionKey(right) ? -1 : 1);
const priorityOf = ({ spec }: AnyBinding) => spec.schedulePriority?.priority ?? 0;

function changedClusters(
  { clusters }: FleetSnapshot,
  { removeClusters = [], addClusters = [] }: FleetChanges,
): readonly Cluster[] {
  const removed = new Set(removeClusters);
  const byName = new Map(clusters.map((cluster) => [cluster.metadata.name, cluster]));
  for (const cluster of addClusters) byName.set(cluster.metadata.name, cluster);
  return [...byName.values()].filter(({ metadata }) => !removed.has(metadata.name ?? ""));
}

function changedBindings({ bindings }: FleetSnapshot, { addBindings = [] }: FleetChanges): readonly AnyBinding[] {
  const known = new Map(bindings.map((binding) => [decisionKey(binding), binding]));
  for (const binding of addBindings) {
    const present = known.get(decisionKey(binding));
    const clusters = binding.spec.clusters ?? present?.spec.clusters;
    const status = binding.status ?? present?.status;
    known.set(decisionKey(binding), {
      ...binding,
      spec: { ...binding.spec, ...(clusters === undefined ? {} : { clusters }) },
      ...(status === undefined ? {} : { status }),
    } as AnyBinding);
  }
  return [...known.values()].sort((left, right) => priorityOf(right) - priorityOf(left) || byKey(left, right));
}

function movesOf(before: readonly TargetCluster[], after: readonly TargetCluster[]): readonly Move[] {
  const count = (targets: readonly TargetCluster[], name: string) =>
    targets.find((target) => target.name === name)?.replicas ?? 0;
  const isIn = (targets: readonly TargetCluster[], name: string) => targets.some((target) => target.name === name);
  const names = [...new Set([...before, ...after].map(({ name }) => name))].sort();
  return names
    .map((cluster) => ({ cluster, from: count(before, cluster), to: count(after, cluster) }))
    .filter(({ cluster, from, to }) => from !== to || isIn(before, cluster) !== isIn(after, cluster));
}

/** What a move takes that the clusters' figures do not show yet. */
function takenBy(spec: ResourceBindingSpec, moves: readonly Move[], taken: Map<string, AssumedWorkload[]>): void {
  for (const { cluster, from, to } of moves) {
    if (to <= from) continue;
    const { replicaRequirements } = spec;
    const component = {
      name: spec.resource.name,
      replicas: to - from,
      ...(replicaRequirements === undefined ? {} : { replicaRequirements }),
    };
    const workloads = taken.get(cluster) ?? [];
    workloads.push({ namespace: spec.resource.namespace ?? "", components: [component] });
    taken.set(cluster, workloads);
  }
}

/** The binding as a rebalance leaves it; one that was never placed is placed anew anyway. */
function asTriggered(binding: AnyBinding, nowMs: number): AnyBinding {
  const lastMs = parseTime(binding.status?.lastScheduledTime);
  if (lastMs === undefined) return binding;
  const rescheduleTriggeredAt = formatTime(Math.max(nowMs, lastMs + 1000));
  return { ...binding, spec: { ...binding.spec, rescheduleTriggeredAt } } as AnyBinding;
}

/** One run over a snapshot with changes: its bindings by priority, each to be placed in turn. */
class Run {
  readonly clusters: readonly Cluster[];
  readonly bindings: readonly AnyBinding[];
  readonly #changes: FleetChanges;
  readonly #options: SimulationOptions;
  readonly #removed: ReadonlySet<string>;
  readonly #added: ReadonlySet<string>;
  readonly #originals: ReadonlyMap<string, readonly TargetCluster[]>;
  readonly #current: Map<string, AnyBinding>;
  /** Room that decisions have taken so far. */
  readonly #taken = new Map<string, AssumedWorkload[]>();
  readonly #results: SimulatedBinding[] = [];

  constructor(snapshot: FleetSnapshot, changes: FleetChanges, options: SimulationOptions) {
    this.clusters = changedClusters(snapshot, changes);
    this.bindings = changedBindings(snapshot, changes);
    this.#changes = changes;
    this.#options = options;
    this.#removed = new Set(changes.removeClusters ?? []);
    this.#added = new Set((changes.addBindings ?? []).map(decisionKey));
    this.#originals = new Map(snapshot.bindings.map((binding) => [decisionKey(binding), binding.spec.clusters ?? []]));
    this.#current = new Map(this.bindings.map((binding) => [decisionKey(binding), binding]));
  }

  /** Whether the scheduler would leave the binding alone. */
  isHeld(binding: AnyBinding): boolean {
    return (
      binding.spec.suspension?.scheduling === true ||
      !(this.#added.has(decisionKey(binding)) || isClaimedBinding(binding))
    );
  }

  /** The binding as the scheduler would meet it: without the clusters that went, and triggered where all are to be. */
  met(binding: AnyBinding): AnyBinding {
    const clusters = (binding.spec.clusters ?? []).filter(({ name }) => !this.#removed.has(name));
    const evicted: AnyBinding = { ...binding, spec: { ...binding.spec, clusters } } as AnyBinding;
    return this.#changes.rebalances ? asTriggered(evicted, this.#options.nowMs) : evicted;
  }

  plan(binding: AnyBinding, hosted: readonly HostedPlugin[]): PassPlan {
    const { plugins = builtinPlugins, estimators = [], propagatesEmptyWorkloads = false, gates, nowMs } = this.#options;
    const met = this.met(binding);
    const isHit = (met.spec.clusters ?? []).length !== (binding.spec.clusters ?? []).length;
    const peers = (
      binding.spec.workloadAffinityGroups === undefined
        ? []
        : [...this.#current.values()].filter(({ kind }) => kind === "ResourceBinding")
    ) as readonly ResourceBinding[];
    const algorithm: AlgorithmOptions = {
      plugins: plugins.map((plugin) => hosted.find(({ name }) => name === plugin.name) ?? plugin),
      estimators: [
        ...estimators,
        ...hosted.flatMap(({ name, estimates }) =>
          estimates === undefined ? [] : [{ name, replicas: () => estimates, sets: () => estimates }],
        ),
      ],
      propagatesEmptyWorkloads,
      assumed: this.#taken,
    };
    const isForced = isHit || this.#added.has(decisionKey(binding));
    return planPass({
      binding: met,
      clusters: this.clusters,
      peers,
      gates,
      algorithm,
      nowMs,
      explains: true,
      isForced,
    });
  }

  /** Takes over what became of a binding; without a plan it is held. */
  settle(binding: AnyBinding, plan: PassPlan | undefined): void {
    const key = decisionKey(binding);
    const before = this.#originals.get(key) ?? [];
    const after = plan?.clusters ?? this.met(binding).spec.clusters ?? [];
    const moves = movesOf(before, after);
    takenBy(binding.spec, moves, this.#taken);
    this.#current.set(key, { ...binding, spec: { ...binding.spec, clusters: after } } as AnyBinding);
    const isFailed = plan?.condition?.status === "False";
    const { apiVersion, kind, namespace, name } = binding.spec.resource;
    this.#results.push({
      binding: key,
      resource: `${apiVersion} ${kind} ${namespace ? `${namespace}/` : ""}${name}`,
      before,
      after,
      moves,
      outcome: plan === undefined ? "held" : isFailed ? "failed" : moves.length === 0 ? "unchanged" : "changed",
      ...(isFailed && plan?.condition !== undefined
        ? { reason: plan.condition.reason, message: plan.condition.message }
        : {}),
      ...(plan?.decision === undefined ? {} : { decision: plan.decision }),
    });
  }

  end(): Simulation {
    return { clusters: this.clusters.map(({ metadata }) => metadata.name ?? "").sort(), bindings: this.#results };
  }
}

/**
 * What would happen: runs the scheduler's own code over a snapshot with changes, binding after binding by priority, and
 * changes nothing. Each decision sees the room that those before it have taken; room that is freed is not counted.
 */
export function simulateSchedule(
  snapshot: FleetSnapshot,
  changes: FleetChanges,
  options: SimulationOptions,
): Simulation {
  const run = new Run(snapshot, changes, options);
  for (const binding of run.bindings) run.settle(binding, run.isHeld(binding) ? undefined : run.plan(binding, []));
  return run.end();
}

/**
 * The same with users' plugins asked for each binding, as a running scheduler would. `plugins` must name those that are
 * wanted. A binding about which a plugin gives no answer fails with its cause; the others go on.
 */
export async function simulateWithPlugins(
  snapshot: FleetSnapshot,
  changes: FleetChanges,
  options: SimulationOptions,
  hosts: readonly PluginHost[],
): Promise<Simulation> {
  const run = new Run(snapshot, changes, options);
  const wanted = hosts.filter(({ name }) => (options.plugins ?? builtinPlugins).some((plugin) => plugin.name === name));
  for (const binding of run.bindings) {
    if (run.isHeld(binding)) {
      run.settle(binding, undefined);
      continue;
    }
    let plan: PassPlan;
    try {
      const met = run.met(binding);
      plan = run.plan(binding, await Promise.all(wanted.map((host) => host.ask(met, run.clusters))));
    } catch (error) {
      if (!(error instanceof ScheduleError)) throw error;
      plan = failedPlan(binding, error, options.nowMs);
    }
    run.settle(binding, plan);
  }
  return run.end();
}
