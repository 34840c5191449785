import type { AnyBinding, Cluster } from "#apis/karmada";
import type { SchedulingInput } from "../facts.ts";
import { type Pass, passOf } from "../place.ts";

/** A scheduler plugin. All parts are optional; scores lie in 0..100, after normalisation where there is one. */
export interface SchedulerPlugin {
  /** Upstream's name in `--plugins` (wire). */
  readonly name: string;
  /** The reason a cluster is refused; `undefined` when it may be used. */
  filter?(input: SchedulingInput, cluster: Cluster): string | undefined;
  score?(input: SchedulingInput, cluster: Cluster): number;
  /** Brings the scores of all clusters that fit, by their names, to 0..100; told once all are known. */
  normalizeScores?(input: SchedulingInput, scores: ReadonlyMap<string, number>): ReadonlyMap<string, number>;
  /** `filter` for a whole pass; the scheduler asks this one where there is one. */
  prepareFilter?(pass: Pass): Verdicts;
  /** `score` for a whole pass. */
  prepareScore?(pass: Pass): Scores;
}

/** What a filter says of each cluster, by place in the pass's fleet; `undefined` when it refuses none of them. */
export type Verdicts = ((place: number) => string | undefined) | undefined;

/** The score of each cluster, by place, or of all of them. */
export type Scores = ((place: number) => number) | number;

export const definePlugin = (plugin: SchedulerPlugin): SchedulerPlugin => plugin;

/** Parts of a built-in plugin, which are written for a whole pass: what no cluster changes is looked at once. */
type PassParts = Pick<SchedulerPlugin, "name" | "prepareFilter" | "prepareScore">;

/** A plugin made of its parts for whole passes; it answers for single clusters by them, too. */
export function definePassPlugin(parts: PassParts): SchedulerPlugin {
  const { name, prepareFilter, prepareScore } = parts;
  const alone = (input: SchedulingInput, cluster: Cluster) => passOf({ ...input, clusters: [cluster] });
  return {
    name,
    ...(prepareFilter === undefined
      ? {}
      : { prepareFilter, filter: (input, cluster) => prepareFilter(alone(input, cluster))?.(0) }),
    ...(prepareScore === undefined
      ? {}
      : {
          prepareScore,
          score: (input, cluster) => {
            const scores = prepareScore(alone(input, cluster));
            return typeof scores === "number" ? scores : scores(0);
          },
        }),
  };
}

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
