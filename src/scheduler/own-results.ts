import type { AnyBinding, ResourceBinding, TargetCluster } from "#apis/karmada";
import { deepEqual } from "#base";
import { keyOf } from "#machinery";
import type { PassPlan } from "./pass.ts";

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

/**
 * Patches of `spec.clusters` that are on their way. A pass over what such a patch made would decide the same again: its
 * change wakes nobody.
 */
export class OwnPatches {
  readonly #patches = new Map<string, { readonly from: AnyBinding; readonly clusters: readonly TargetCluster[] }>();

  /** Notes that `key` is being patched as it is in this generation; the caller ends it with `forget`. */
  sent(key: string, from: AnyBinding, clusters: readonly TargetCluster[]): void {
    this.#patches.set(key, { from, clusters });
  }

  forget(key: string): void {
    this.#patches.delete(key);
  }

  /** Whether a change of a binding is the patch that was sent, and nothing else. */
  isOwn(key: string, old: AnyBinding, now: AnyBinding): boolean {
    const sent = this.#patches.get(key);
    return (
      sent !== undefined &&
      sent.from.metadata.uid === now.metadata.uid &&
      sent.from.metadata.generation === old.metadata.generation &&
      now.metadata.generation === (old.metadata.generation ?? 0) + 1 &&
      deepEqual(now.spec.clusters ?? [], sent.clusters) &&
      deepEqual({ ...now.spec, clusters: undefined }, { ...old.spec, clusters: undefined })
    );
  }
}

/** Bindings that are created with a placement of ours: that they appear wakes nobody. */
export class OwnBirths {
  readonly #clusters = new Map<string, readonly TargetCluster[]>();

  /** Notes that `key` is being created with these clusters. It is kept until it appears, or until it is forgotten. */
  sent(key: string, clusters: readonly TargetCluster[]): void {
    this.#clusters.set(key, clusters);
  }

  forget(key: string): void {
    this.#clusters.delete(key);
  }

  /** Whether a binding that appears is what was created, and nothing else. */
  appears(key: string, binding: AnyBinding): boolean {
    const clusters = this.#clusters.get(key);
    if (clusters === undefined) return false;
    this.forget(key);
    return binding.metadata.generation === 1 && deepEqual(binding.spec.clusters ?? [], clusters);
  }
}

/**
 * What a pass had to say in the status of a binding and could not write: the next pass that decides nothing itself says it.
 * One that decides something has its own to say. A restart forgets it.
 */
export class UntoldPasses {
  readonly #passes = new Map<string, { readonly uid: string | undefined; readonly plan: PassPlan }>();

  keep(key: string, binding: AnyBinding, plan: PassPlan): void {
    this.#passes.set(key, { uid: binding.metadata.uid, plan });
  }

  forget(key: string): void {
    this.#passes.delete(key);
  }

  /** `plan`, with what is still to be said where it decides nothing itself. */
  with(key: string, binding: AnyBinding, plan: PassPlan): PassPlan {
    const untold = this.#passes.get(key);
    const isSilent = plan.cause === undefined && plan.condition === undefined && plan.events.length === 0;
    return untold === undefined || !isSilent || untold.uid !== binding.metadata.uid
      ? plan
      : { ...untold.plan, ...plan };
  }
}
