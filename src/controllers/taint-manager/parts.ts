import { EvictionBrake } from "./brake.ts";
import type { TaintManagerContext } from "./context.ts";
import { Pace } from "./pace.ts";
import { Queued } from "./queued.ts";

interface Parts {
  readonly pace: Pace;
  readonly brake: EvictionBrake;
  readonly queued: Queued;
  /** Failures to read the state of a copy that is to go, by binding. */
  readonly stateTries: Map<string, number>;
}

const parts = new WeakMap<AbortSignal, Parts>();

/** What one running taint manager keeps; a restart may lose it. */
export function partsOf(context: TaintManagerContext): Parts {
  let found = parts.get(context.signal);
  if (found === undefined) {
    found = {
      pace: new Pace(context.options.resourceEvictionRate),
      brake: new EvictionBrake(context),
      queued: new Queued(
        context.metrics.gauge("eviction_kind_total", "Workloads that wait to be evicted, each counted once", [
          "member_cluster",
          "resource_kind",
        ]),
      ),
      stateTries: new Map(),
    };
    parts.set(context.signal, found);
  }
  return found;
}
