import type { AnyBinding, Cluster } from "#apis/karmada";
import type { Clock, Logger } from "#base";
import { type ModuleLife, startUserModule } from "#user-modules";
import { schedulerError } from "../errors.ts";
import type { HostedPlugin, PluginHost } from "../plugins/plugin.ts";
import { PLUGIN_API_VERSION } from "./api.ts";
import { workerSource } from "./worker-source.ts";

export interface PluginHostOptions {
  /** URL of the user's module: `file:///…/my-plugin.js`. */
  readonly url: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Time for one pass, all clusters together; default 1 s. */
  readonly timeoutMs?: number;
  /** Time to load the module; default 10 s. */
  readonly loadTimeoutMs?: number;
}

interface Loaded {
  readonly name: string;
  readonly points: readonly string[];
}

interface Answers {
  readonly reasons: Readonly<Record<string, string>>;
  /** As the plugin scored, and after its normalisation. */
  readonly raw: Readonly<Record<string, number>>;
  readonly scores: Readonly<Record<string, number>>;
  readonly estimates: Readonly<Record<string, number>>;
}

/** Tells a life of the worker only of clusters that changed since it was last told. */
function tellClusters(life: ModuleLife<Loaded>, known: Map<string, Cluster>, clusters: readonly Cluster[]): void {
  const set = clusters.filter((cluster) => known.get(cluster.metadata.name ?? "") !== cluster);
  const present = new Set(clusters.map(({ metadata }) => metadata.name ?? ""));
  const gone = [...known.keys()].filter((name) => !present.has(name));
  for (const cluster of set) known.set(cluster.metadata.name ?? "", cluster);
  for (const name of gone) known.delete(name);
  if (set.length > 0 || gone.length > 0) life.tell({ set, gone });
}

/**
 * Loads a user's plugin into a thread of its own. What the plugin throws, and an answer that makes no sense, fails the pass
 * with a condition that names the plugin; a plugin that hangs is ended and loaded anew for the next pass. Rejects when the
 * module cannot be loaded or is no plugin of this API version.
 */
export async function startPluginHost(options: PluginHostOptions): Promise<PluginHost> {
  const module = await startUserModule<Loaded>({
    ...options,
    apiVersion: PLUGIN_API_VERSION,
    what: "scheduler plugin",
    program: workerSource,
  });
  const { name } = module.loaded;
  const known = new WeakMap<ModuleLife<Loaded>, Map<string, Cluster>>();
  // One question at a time, so that each has the whole limit to itself and only the one that hangs fails.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(ask: () => Promise<T>): Promise<T> => {
    const mine = last.then(ask);
    last = mine.catch(() => undefined);
    return mine;
  };
  const askNow = async (binding: AnyBinding, clusters: readonly Cluster[]): Promise<HostedPlugin> => {
    let points: readonly string[] = [];
    try {
      const { reasons, raw, scores, estimates } = (await module.ask((life) => {
        let told = known.get(life);
        if (told === undefined) known.set(life, (told = new Map()));
        tellClusters(life, told, clusters);
        ({ points } = life.loaded);
        return { binding, names: clusters.map(({ metadata }) => metadata.name) };
      })) as Answers;
      const nameOf = (cluster: Cluster) => cluster.metadata.name ?? "";
      return {
        name,
        ...(points.includes("filter") ? { filter: (_: unknown, cluster: Cluster) => reasons[nameOf(cluster)] } : {}),
        ...(points.includes("score") ? { score: (_: unknown, cluster: Cluster) => raw[nameOf(cluster)] ?? 0 } : {}),
        ...(points.includes("normalizeScores") ? { normalizeScores: () => new Map(Object.entries(scores)) } : {}),
        ...(points.includes("estimate") ? { estimates: new Map(Object.entries(estimates)) } : {}),
      };
    } catch (error) {
      throw schedulerError(
        `plugin ${JSON.stringify(name)} failed: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  };
  return {
    name,
    ask: (binding, clusters) => inTurn(() => askNow(binding, clusters)),
    close: () => module.close(),
  };
}
