import type { Cluster } from "#apis/karmada";
import type { SchedulingInput } from "../facts.ts";

/** A scheduler plugin. Both parts are optional; scores lie in 0..100. */
export interface SchedulerPlugin {
  /** Upstream's name in `--plugins` (wire). */
  readonly name: string;
  /** The reason a cluster is refused; `undefined` when it may be used. */
  filter?(input: SchedulingInput, cluster: Cluster): string | undefined;
  score?(input: SchedulingInput, cluster: Cluster): number;
}

export const definePlugin = (plugin: SchedulerPlugin): SchedulerPlugin => plugin;
