import type { AnyBinding, Cluster } from "#apis/karmada";
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

/** A plugin's answers for one pass: a plugin like any other, with its estimates beside. */
export interface HostedPlugin extends SchedulerPlugin {
  /** Room by cluster, −1 for "does not know"; absent when the plugin estimates nothing. */
  readonly estimates?: ReadonlyMap<string, number>;
}

/** A plugin that runs apart from the scheduler and is asked once a pass, before the decision. */
export interface PluginHost {
  readonly name: string;
  /**
   * The plugin with its answers for one binding over these clusters, ready to be asked without waiting. Rejects with a
   * `ScheduleError` that names the plugin when it throws, hangs or answers nonsense.
   */
  ask(binding: AnyBinding, clusters: readonly Cluster[]): Promise<HostedPlugin>;
  close(): void;
}
