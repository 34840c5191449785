import {
  APPLIED_PLACEMENT,
  type Cluster,
  currentPurgeMode,
  type GracefulEvictionTask,
  type ResourceBinding,
} from "#apis/karmada";
import type { Deployment } from "#apis/kubernetes";
import { deepEqual } from "#base";
import { parseTime } from "#machinery";
import type { Checker } from "../world.ts";
import { type FailoverWorld, TIMEOUT_SECONDS, workloadOf } from "./world.ts";

type FailoverChecker = Checker<FailoverWorld>;

/** How much later than its time a task may end: a lease must be won, caches filled, requests tried again. */
const LATE_MS = 90_000;
const REASON = /^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/;

const tasksOf = (binding: ResourceBinding | undefined) => binding?.spec.gracefulEvictionTasks ?? [];
const targetsOf = (binding: ResourceBinding | undefined) => binding?.spec.clusters ?? [];
const graceMs = ({ gracePeriodSeconds = TIMEOUT_SECONDS }: GracefulEvictionTask) => gracePeriodSeconds * 1000;
const createdMs = ({ creationTimestamp }: GracefulEvictionTask) => parseTime(creationTimestamp as string | undefined);
const availableIn = ({ chronicle }: FailoverWorld, cluster: string, name: string) =>
  chronicle.copies.get(`${cluster} ${name}`)?.status?.availableReplicas ?? 0;
const isBlind = (world: FailoverWorld, cluster: string) =>
  (world.blindUntilMs.get(cluster) ?? 0) > world.fleet.clock.now();
/** Whether a cluster is being removed, or is gone: then everything leaves it, with or without a task. */
const isLeaving = ({ chronicle }: FailoverWorld, cluster: string) => {
  const present = chronicle.clusters.get(cluster);
  return present === undefined || present.metadata.deletionTimestamp !== undefined;
};
const isReady = ({ status }: Cluster) =>
  status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;

/** Follows each single change; what is wrong is noted at once and said at the next look. */
function following(
  name: string,
  follow: (world: FailoverWorld, breach: (text: string) => void) => void,
): FailoverChecker {
  return {
    name,
    watch(world, before) {
      if (before === undefined) {
        const found: string[] = [];
        follow(world, (text) =>
          found.push(`${text} (at ${new Date(world.fleet.clock.now()).toISOString().slice(11, 23)})`),
        );
        return Promise.resolve(found);
      }
      const [first] = before as readonly string[];
      if (first !== undefined) throw new Error(first);
      return Promise.resolve(before);
    },
  };
}

const graceful = following("no old copy goes in a graceful eviction before the new ones run", (world, breach) => {
  world.chronicle.onBinding((name, { before, now }) => {
    if (now === undefined || now.metadata.deletionTimestamp !== undefined) return;
    if (!world.chronicle.templates.has(name)) return;
    const nowMs = world.fleet.clock.now();
    for (const task of tasksOf(before)) {
      const { fromCluster, purgeMode, suppressDeletion } = task;
      if (tasksOf(now).some((kept) => kept.fromCluster === fromCluster)) continue;
      if (currentPurgeMode(purgeMode) !== "Gracefully" || suppressDeletion === false) continue;
      const bornMs = createdMs(task);
      if (bornMs !== undefined && nowMs > bornMs + graceMs(task) - 1_000) continue;
      if (targetsOf(now).some((target) => target.name === fromCluster)) continue;
      if (isLeaving(world, fromCluster)) continue;
      if (targetsOf(now).length === 0) breach(`${name} was given up in ${fromCluster} although it has no other place`);
      for (const target of targetsOf(now)) {
        const available = availableIn(world, target.name, name);
        if (available < (target.replicas ?? 0) && !isBlind(world, target.name))
          breach(
            `${name} was given up in ${fromCluster} while ${target.name} had ${available} of ${target.replicas} replicas`,
          );
      }
    }
  });
});

const single = following("never two copies where the old one must go first", (world, breach) => {
  const changedMs = new Map<string, number>();
  world.chronicle.onCluster((name, { before, now }) => {
    if (now !== undefined && (before === undefined || isReady(before) !== isReady(now)))
      changedMs.set(name, world.fleet.clock.now());
  });
  world.chronicle.onWork((cluster, name, { before, now }) => {
    if (before !== undefined || now === undefined || workloadOf(world, name)?.clusters !== 1) return;
    for (const { fromCluster, purgeMode } of tasksOf(world.chronicle.bindings.get(name))) {
      if (fromCluster === cluster || currentPurgeMode(purgeMode) !== "Directly") continue;
      const from = world.chronicle.clusters.get(fromCluster);
      if (!world.chronicle.works.has(`${fromCluster} ${name}`) || from === undefined || !isReady(from)) continue;
      // It turned ready between the decision and the write.
      if (world.fleet.clock.now() - (changedMs.get(fromCluster) ?? 0) < 2_000) continue;
      breach(`${name} was made in ${cluster} while ${fromCluster}, which is ready, still had its copy`);
    }
  });
});

const carried = following("what an application leaves behind reaches its next cluster", (world, breach) => {
  const recorded = new Map<string, Set<string | undefined>>();
  world.chronicle.onBinding((name, { before, now }) => {
    for (const task of tasksOf(now)) {
      const state = task.preservedLabelState?.["carried-replicas"];
      if (state === undefined) continue;
      const known = recorded.get(name) ?? new Set();
      recorded.set(name, known.add(state));
      if (tasksOf(before).some((old) => old.fromCluster === task.fromCluster)) continue;
      const item = before?.status?.aggregatedStatus?.find(({ clusterName }) => clusterName === task.fromCluster);
      const reported = (item?.status as { readonly replicas?: number } | undefined)?.replicas;
      if (String(reported) !== state)
        breach(`${name} took ${state} along from ${task.fromCluster}, which reported ${reported}`);
    }
  });
  world.chronicle.onWork((cluster, name, { before, now }) => {
    if (before !== undefined || now === undefined) return;
    const binding = world.chronicle.bindings.get(name);
    const task = tasksOf(binding).at(-1);
    if (task?.preservedLabelState === undefined || currentPurgeMode(task.purgeMode) !== "Directly") return;
    if (targetsOf(binding).length !== 1 || targetsOf(binding)[0]?.name !== cluster) return;
    if (task.clustersBeforeFailover?.includes(cluster) === true || task.fromCluster === cluster) return;
    const [manifest] = (now.spec?.workload?.manifests ?? []) as unknown as readonly Deployment[];
    const label = manifest?.metadata.labels?.["carried-replicas"];
    if (label === undefined || recorded.get(name)?.has(label) !== true)
      breach(
        `${name} was made in ${cluster} with the state ${label} instead of ${JSON.stringify(task.preservedLabelState)}`,
      );
  });
});

/** Whether nothing but an eviction could take a cluster out of a binding at present. */
function isAtRest(world: FailoverWorld, binding: ResourceBinding): boolean {
  const { spec, status, metadata } = binding;
  const template = world.chronicle.templates.get(spec.resource.name);
  const targets = targetsOf(binding);
  const sum = targets.reduce((total, { replicas = 0 }) => total + replicas, 0);
  const count = workloadOf(world, spec.resource.name)?.clusters;
  // Evictions that were taken back together may leave more clusters than the placement asks for: the scheduler drops some.
  const isSatisfied =
    count === undefined
      ? sum === spec.replicas
      : targets.length <= count && targets.every(({ replicas }) => replicas === spec.replicas);
  const isAnew =
    (spec.rescheduleTriggeredAt ?? "") >= (status?.lastScheduledTime ?? "") && spec.rescheduleTriggeredAt !== undefined;
  return (
    template !== undefined &&
    isSatisfied &&
    !isAnew &&
    metadata.deletionTimestamp === undefined &&
    metadata.annotations?.[APPLIED_PLACEMENT] !== undefined
  );
}

const reasons = following("every eviction has its reason recorded", (world, breach) => {
  world.chronicle.onBinding((name, { before, now }) => {
    if (now === undefined) return;
    for (const { fromCluster, reason, producer } of tasksOf(now))
      if (!REASON.test(reason ?? "") || (producer ?? "") === "")
        breach(`${name}: the eviction from ${fromCluster} says ${JSON.stringify({ reason, producer })}`);
    if (
      before === undefined ||
      !isAtRest(world, before) ||
      before.spec.rescheduleTriggeredAt !== now.spec.rescheduleTriggeredAt
    )
      return;
    if (!deepEqual(before.spec.placement, now.spec.placement) || before.spec.replicas !== now.spec.replicas) return;
    for (const { name: cluster } of targetsOf(before)) {
      if (targetsOf(now).some((target) => target.name === cluster) || isLeaving(world, cluster)) continue;
      if (!tasksOf(now).some(({ fromCluster }) => fromCluster === cluster))
        breach(`${name} left ${cluster} and no task says why`);
    }
  });
});

const tasksEnd: FailoverChecker = {
  name: "tasks end in time",
  watch(world, before) {
    const nowMs = world.fleet.clock.now();
    const known = (before ?? new Map<string, number>()) as ReadonlyMap<string, number>;
    // Since when each task should be over: a person may let one go at any time.
    const due = new Map<string, number>();
    for (const [name, binding] of world.chronicle.bindings)
      for (const task of tasksOf(binding)) {
        const { fromCluster, suppressDeletion } = task;
        const bornMs = createdMs(task);
        if (suppressDeletion === true || bornMs === undefined) continue;
        const endMs = suppressDeletion === false ? nowMs : bornMs + graceMs(task);
        if (nowMs < endMs) continue;
        const key = `${name} from ${fromCluster}`;
        const sinceMs = known.get(key) ?? endMs;
        due.set(key, sinceMs);
        if (nowMs > sinceMs + LATE_MS)
          throw new Error(`${key}: the task should have ended ${(nowMs - sinceMs) / 1000} s ago`);
      }
    return Promise.resolve(due);
  },
};

/** With everything mended each workload runs whole where its binding says, and nothing is left anywhere else. */
const rest: FailoverChecker = {
  name: "everything comes to rest whole",
  // eslint-disable-next-line @typescript-eslint/require-await
  async settled(world) {
    const { chronicle } = world;
    for (const name of world.clusters) {
      const cluster = chronicle.clusters.get(name);
      if (cluster === undefined) throw new Error(`${name} does not belong to the fleet`);
      if (!isReady(cluster)) throw new Error(`${name} is not ready: ${JSON.stringify(cluster.status?.conditions)}`);
      const taints = cluster.spec?.taints ?? [];
      if (taints.length > 0) throw new Error(`${name} is tainted: ${JSON.stringify(taints)}`);
      if (cluster.status?.conditions?.some(({ type, status }) => type === "EvictionHeld" && status === "True"))
        throw new Error(`evictions from ${name} are held`);
    }
    for (const { name, clusters } of world.workloads) {
      const binding = chronicle.bindings.get(name);
      const template = chronicle.templates.get(name);
      const wanted = template?.spec?.replicas ?? 0;
      if (binding === undefined || template === undefined) throw new Error(`${name} has no binding`);
      if (tasksOf(binding).length > 0) throw new Error(`${name} has tasks: ${JSON.stringify(tasksOf(binding))}`);
      const targets = targetsOf(binding);
      const text = JSON.stringify(targets);
      const sum = targets.reduce((total, { replicas = 0 }) => total + replicas, 0);
      if (clusters === undefined ? sum !== wanted : targets.length !== clusters)
        throw new Error(`${name} wants ${wanted} replicas in ${clusters ?? "any"} clusters and has ${text}`);
      for (const cluster of world.clusters) {
        const target = targets.find((found) => found.name === cluster);
        const copy = chronicle.copies.get(`${cluster} ${name}`);
        if (target === undefined) {
          if (copy !== undefined && !world.orphans.has(`${cluster} ${name}`))
            throw new Error(`${name} is left in ${cluster}, targets are ${text}`);
          if (chronicle.works.has(`${cluster} ${name}`)) throw new Error(`a Work of ${name} is left for ${cluster}`);
          continue;
        }
        const replicas = clusters === undefined ? target.replicas : wanted;
        if (copy?.spec?.replicas !== replicas || (copy?.status?.availableReplicas ?? 0) !== replicas)
          throw new Error(`${name} in ${cluster} has ${copy?.status?.availableReplicas} of ${replicas} replicas`);
        if (copy?.metadata.labels?.["carried-replicas"] !== undefined)
          throw new Error(`${name} in ${cluster} still carries state`);
      }
      const shown = template.status?.readyReplicas ?? 0;
      const running = clusters === undefined ? wanted : wanted * clusters;
      if (shown !== running) throw new Error(`${name} shows ${shown} ready replicas of ${running}`);
    }
  },
};

export const failoverCheckers: readonly FailoverChecker[] = [graceful, single, carried, reasons, tasksEnd, rest];
