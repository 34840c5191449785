import type { AnyBinding, Cluster, ResourceBinding, ResourceBindingSpec, TargetCluster } from "#apis/karmada";
import type { AssumedWorkload } from "#estimator";
import { formatTime, parseTime } from "#machinery";
import type { Decision } from "./decision.ts";
import type { Gates } from "./facts.ts";
import { decisionKey, type PassPlan, planPass } from "./pass.ts";
import { isClaimed } from "./triggers.ts";
import { builtinPlugins } from "./plugins/index.ts";
import type { AlgorithmOptions, Estimator } from "./algorithm.ts";
import type { SchedulerPlugin } from "./plugins/plugin.ts";

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

/**
 * What would happen: runs the scheduler's own code over a snapshot with changes, binding after binding by priority, and
 * changes nothing. Each decision sees the room that those before it have taken; room that is freed is not counted.
 */
export function simulateSchedule(
  snapshot: FleetSnapshot,
  changes: FleetChanges,
  options: SimulationOptions,
): Simulation {
  const clusters = changedClusters(snapshot, changes);
  const removed = new Set(changes.removeClusters ?? []);
  const bindings = changedBindings(snapshot, changes);
  const originals = new Map(snapshot.bindings.map((binding) => [decisionKey(binding), binding.spec.clusters ?? []]));
  const added = new Set((changes.addBindings ?? []).map(decisionKey));
  const taken = new Map<string, AssumedWorkload[]>();
  const current = new Map(bindings.map((binding) => [decisionKey(binding), binding]));
  const results: SimulatedBinding[] = [];
  for (const binding of bindings) {
    const key = decisionKey(binding);
    const before = originals.get(key) ?? [];
    const left = (binding.spec.clusters ?? []).filter(({ name }) => !removed.has(name));
    const evicted: AnyBinding = { ...binding, spec: { ...binding.spec, clusters: left } } as AnyBinding;
    const isHit = left.length !== (binding.spec.clusters ?? []).length;
    const algorithm: AlgorithmOptions = {
      plugins: options.plugins ?? builtinPlugins,
      estimators: options.estimators ?? [],
      propagatesEmptyWorkloads: options.propagatesEmptyWorkloads ?? false,
      assumed: taken,
    };
    const peers = (
      binding.spec.workloadAffinityGroups === undefined
        ? []
        : [...current.values()].filter(({ kind }) => kind === "ResourceBinding")
    ) as readonly ResourceBinding[];
    const isHeld = binding.spec.suspension?.scheduling === true || !(added.has(key) || isClaimed(binding));
    const plan: Partial<PassPlan> = isHeld
      ? {}
      : planPass({
          binding: changes.rebalances ? asTriggered(evicted, options.nowMs) : evicted,
          clusters,
          peers,
          gates: options.gates,
          algorithm,
          nowMs: options.nowMs,
          explains: true,
          isForced: isHit || added.has(key),
        });
    const after = plan.clusters ?? left;
    const moves = movesOf(before, after);
    takenBy(binding.spec, moves, taken);
    current.set(key, { ...binding, spec: { ...binding.spec, clusters: after } } as AnyBinding);
    const isFailed = plan.condition?.status === "False";
    const { apiVersion, kind, namespace, name } = binding.spec.resource;
    results.push({
      binding: key,
      resource: `${apiVersion} ${kind} ${namespace ? `${namespace}/` : ""}${name}`,
      before,
      after,
      moves,
      outcome: isHeld ? "held" : isFailed ? "failed" : moves.length === 0 ? "unchanged" : "changed",
      ...(isFailed && plan.condition !== undefined
        ? { reason: plan.condition.reason, message: plan.condition.message }
        : {}),
      ...(plan.decision === undefined ? {} : { decision: plan.decision }),
    });
  }
  return { clusters: clusters.map(({ metadata }) => metadata.name ?? "").sort(), bindings: results };
}
