import type { AnyBinding, Component, TargetCluster } from "#apis/karmada";
import type { AssumedWorkload } from "#estimator";
import { keyOf } from "#machinery";
import { isWorkload } from "./facts.ts";

interface Entry {
  readonly workload: AssumedWorkload;
  readonly expiresMs: number;
}

/** How long a placement counts that never shows in the cluster's figures. */
const ASSUMED_MS = 300_000;

/** What one target of a workload will take, in full. */
function footprint({ spec }: AnyBinding, { replicas = 0 }: TargetCluster): AssumedWorkload {
  const namespace = spec.resource.namespace ?? "";
  if ((spec.components ?? []).length > 0) return { namespace, components: spec.components ?? [] };
  const { replicaRequirements } = spec;
  const component: Component = {
    name: spec.resource.name,
    replicas,
    ...(replicaRequirements === undefined ? {} : { replicaRequirements }),
  };
  return { namespace, components: [component] };
}

const healthOf = (binding: AnyBinding, cluster: string): string | undefined =>
  binding.status?.aggregatedStatus?.find(({ clusterName }) => clusterName === cluster)?.health;

/**
 * Workloads placed a moment ago, by cluster (gate `SchedulingOvercommitProtection`). An entry ends when the cluster
 * reports the workload healthy, when the binding goes, or after five minutes.
 */
export class AssumedWorkloads {
  readonly #byCluster = new Map<string, Map<string, Entry>>();

  remember(binding: AnyBinding, targets: readonly TargetCluster[], nowMs: number): void {
    if (binding.kind !== "ResourceBinding" || !isWorkload(binding.spec)) return;
    const key = keyOf(binding);
    this.forget(key);
    for (const target of targets) {
      let entries = this.#byCluster.get(target.name);
      if (entries === undefined) this.#byCluster.set(target.name, (entries = new Map()));
      entries.set(key, { workload: footprint(binding, target), expiresMs: nowMs + ASSUMED_MS });
    }
  }

  forget(key: string): void {
    for (const [cluster, entries] of this.#byCluster)
      if (entries.delete(key) && entries.size === 0) this.#byCluster.delete(cluster);
  }

  /** Told of a change of a binding: clusters that turned healthy show the workload in their own figures. */
  seen(old: AnyBinding, now: AnyBinding): void {
    if (this.#byCluster.size === 0) return;
    const key = keyOf(now);
    for (const { clusterName } of now.status?.aggregatedStatus ?? []) {
      if (healthOf(now, clusterName) !== "Healthy" || healthOf(old, clusterName) === "Healthy") continue;
      const entries = this.#byCluster.get(clusterName);
      if (entries?.delete(key) && entries.size === 0) this.#byCluster.delete(clusterName);
    }
  }

  /** What counts now, by cluster. */
  present(nowMs: number): ReadonlyMap<string, readonly AssumedWorkload[]> {
    const result = new Map<string, readonly AssumedWorkload[]>();
    for (const [cluster, entries] of this.#byCluster) {
      for (const [key, { expiresMs }] of entries) if (expiresMs <= nowMs) entries.delete(key);
      if (entries.size === 0) this.#byCluster.delete(cluster);
      else
        result.set(
          cluster,
          [...entries.values()].map(({ workload }) => workload),
        );
    }
    return result;
  }
}
