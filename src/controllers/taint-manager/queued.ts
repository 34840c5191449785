import type { Gauge } from "#base";

interface Entry {
  readonly kind: string;
  readonly clusters: readonly string[];
}

/** Workloads that are to leave clusters, each counted once, by cluster and kind. */
export class Queued {
  readonly #entries = new Map<string, Entry>();
  readonly #counts = new Map<string, number>();
  readonly #gauge: Gauge;

  constructor(gauge: Gauge) {
    this.#gauge = gauge;
  }

  /** From now on the workload waits to leave these clusters, and no others. */
  put(key: string, kind: string, clusters: readonly string[]): void {
    const before = this.#entries.get(key);
    if (before === undefined && clusters.length === 0) return;
    for (const cluster of before?.clusters ?? [])
      if (!clusters.includes(cluster)) this.#count(cluster, before?.kind ?? kind, -1);
    for (const cluster of clusters) if (!before?.clusters.includes(cluster)) this.#count(cluster, kind, 1);
    if (clusters.length === 0) this.#entries.delete(key);
    else this.#entries.set(key, { kind, clusters });
  }

  #count(cluster: string, kind: string, by: number): void {
    const key = `${cluster} ${kind}`;
    const count = (this.#counts.get(key) ?? 0) + by;
    const labels = { member_cluster: cluster, resource_kind: kind };
    if (count > 0) {
      this.#counts.set(key, count);
      this.#gauge.set(count, labels);
    } else {
      this.#counts.delete(key);
      this.#gauge.remove(labels);
    }
  }
}
