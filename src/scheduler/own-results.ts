import type { ResourceBinding, TargetCluster } from "#apis/karmada";
import { keyOf } from "#machinery";

interface Own {
  readonly binding: ResourceBinding;
  /** Absent while the write is under way. */
  readonly resourceVersion?: number;
}

const versionOf = (binding: ResourceBinding): number => Number(binding.metadata.resourceVersion ?? 0);

/**
 * Results the scheduler has decided but not yet seen come back: affinity between workloads looks at the freshest known
 * targets. Kept from the decision until the cache holds the same or a newer revision.
 */
export class OwnResults {
  readonly #results = new Map<string, Own>();

  decided(binding: ResourceBinding, clusters: readonly TargetCluster[]): void {
    this.#results.set(keyOf(binding), { binding: { ...binding, spec: { ...binding.spec, clusters } } });
  }

  written(binding: ResourceBinding): void {
    if (this.#results.has(keyOf(binding)))
      this.#results.set(keyOf(binding), { binding, resourceVersion: versionOf(binding) });
  }

  forget(key: string): void {
    this.#results.delete(key);
  }

  /** Told of what the cache now holds. */
  seen(binding: ResourceBinding): void {
    const own = this.#results.get(keyOf(binding));
    if (own?.resourceVersion !== undefined && versionOf(binding) >= own.resourceVersion)
      this.#results.delete(keyOf(binding));
  }

  /** The newest known state of a cached binding. */
  freshest(cached: ResourceBinding): ResourceBinding {
    return this.#results.get(keyOf(cached))?.binding ?? cached;
  }
}
