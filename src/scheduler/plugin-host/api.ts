import type { AnyBinding, Cluster } from "#apis/karmada";

/** The version of what a user's plugin may rely on. It changes only when a plugin could break. */
export const PLUGIN_API_VERSION = "flotilla.io/scheduler-plugin/v1";

/** What a plugin is asked about: one binding and one cluster, as plain API objects. */
export interface PluginQuestion {
  readonly binding: AnyBinding;
  readonly cluster: Cluster;
}

type Answer<T> = T | Promise<T>;

/**
 * A scheduler plugin of a user's own module, its default export. Every function may answer at once or later; together they
 * have the plugin's time limit for one pass. Plugins must not remember anything that changes answers: the same question
 * gets the same answer.
 */
export interface UserPlugin {
  readonly apiVersion: typeof PLUGIN_API_VERSION;
  /** A word of letters and digits; `--plugins` switches it on and off by this name. */
  readonly name: string;
  /** The reason a cluster is refused, as events show it; nothing when it may be used. */
  filter?(question: PluginQuestion): Answer<string | undefined>;
  /** 0 to 100 after normalisation; only asked for clusters that fit. */
  score?(question: PluginQuestion): Answer<number>;
  /** Brings raw scores to 0 to 100; without it they must lie there already. */
  normalizeScores?(of: {
    readonly binding: AnyBinding;
    readonly scores: Readonly<Record<string, number>>;
  }): Answer<Readonly<Record<string, number>>>;
  /** Replicas (component sets) a cluster has room for, −1 for "does not know". The least of all estimators holds. */
  estimate?(question: PluginQuestion): Answer<number | undefined>;
}

/** Fixes the types of a plugin; nothing else. */
export const defineUserPlugin = (plugin: UserPlugin): UserPlugin => plugin;
