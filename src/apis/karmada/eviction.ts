import { compileJsonPath, JsonPathError, LABEL_VALUE } from "#machinery";
import type { AnyBinding, GracefulEvictionTask } from "./parts.ts";

/** Purge modes of older releases mean the same as their present names. */
export function currentPurgeMode(mode: string | undefined): "Directly" | "Gracefully" | "Never" {
  if (mode === "Directly" || mode === "Immediately") return "Directly";
  return mode === "Never" ? "Never" : "Gracefully";
}

export interface EvictionReason {
  readonly producer: string;
  readonly reason: string;
  readonly purgeMode: string;
  readonly message?: string;
  readonly gracePeriodSeconds?: number;
  readonly suppressDeletion?: boolean;
  readonly preservedLabelState?: Readonly<Record<string, string>>;
  readonly clustersBeforeFailover?: readonly string[];
}

/** The binding without the cluster and with a task that lets it go; the same binding when it is not there. */
export function evicted<T extends AnyBinding>(binding: T, cluster: string, why: EvictionReason): T {
  const target = (binding.spec.clusters ?? []).find(({ name }) => name === cluster);
  if (target === undefined) return binding;
  const tasks = binding.spec.gracefulEvictionTasks ?? [];
  const { clustersBeforeFailover: before, preservedLabelState: state, purgeMode, ...rest } = why;
  const task = {
    fromCluster: cluster,
    purgeMode,
    ...((target.replicas ?? 0) > 0 ? { replicas: target.replicas } : {}),
    ...rest,
    ...(state === undefined || Object.keys(state).length === 0 ? {} : { preservedLabelState: state }),
    ...(before === undefined ? {} : { clustersBeforeFailover: before }),
  } as unknown as GracefulEvictionTask;
  const isListed = tasks.some(({ fromCluster }) => fromCluster === cluster);
  const without = withoutTarget(binding, cluster);
  return { ...without, spec: { ...without.spec, gracefulEvictionTasks: isListed ? tasks : [...tasks, task] } };
}

/** The binding without the cluster, and with nothing that keeps the copy there. */
export function withoutTarget<T extends AnyBinding>(binding: T, cluster: string): T {
  const clusters = (binding.spec.clusters ?? []).filter(({ name }) => name !== cluster);
  const { clusters: _clusters, ...spec } = binding.spec;
  return { ...binding, spec: { ...spec, ...(clusters.length === 0 ? {} : { clusters }) } };
}

export interface StateRule {
  readonly aliasLabelName: string;
  readonly jsonPath: string;
}

/** State read from a copy that is to go. A value that can be no label is left out and named. */
export interface PreservedState {
  readonly labels: Readonly<Record<string, string>>;
  readonly skipped: readonly string[];
}

const LABEL_VALUE_MAX = 63;

/** A cluster has not reported any status of the copy, so that there is none to keep. */
export class StateNotReported extends Error {
  constructor(cluster: string) {
    super(`the application has no status in cluster ${cluster} to preserve state from`);
    this.name = "StateNotReported";
  }
}

/** Reads what is to survive from the status a cluster reported. Throws when a rule finds nothing to read. */
export function preserveState(binding: AnyBinding, cluster: string, rules: readonly StateRule[]): PreservedState {
  const labels: Record<string, string> = {};
  const skipped: string[] = [];
  if (rules.length === 0) return { labels, skipped };
  const item = binding.status?.aggregatedStatus?.find(({ clusterName }) => clusterName === cluster);
  if (item?.status === undefined || item.status === null) throw new StateNotReported(cluster);
  for (const { aliasLabelName, jsonPath } of rules) {
    let value: string;
    try {
      value = compileJsonPath(jsonPath)(item.status);
    } catch (error) {
      if (!(error instanceof JsonPathError)) throw error;
      throw new Error(`state of ${aliasLabelName} cannot be read by ${jsonPath}: ${error.message}`, { cause: error });
    }
    if (value.length <= LABEL_VALUE_MAX && LABEL_VALUE.test(value)) labels[aliasLabelName] = value;
    else skipped.push(`${aliasLabelName}: ${JSON.stringify(value.slice(0, 80))} can be no label value`);
  }
  return { labels, skipped };
}
