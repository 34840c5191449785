import { Worker } from "node:worker_threads";
import type { AnyBinding, Cluster } from "#apis/karmada";
import type { Clock, Logger } from "#base";
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
  readonly scores: Readonly<Record<string, number>>;
  readonly estimates: Readonly<Record<string, number>>;
}

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

const TIMEOUT_MS = 1_000;
const LOAD_TIMEOUT_MS = 10_000;

/** One life of the worker: it ends when the plugin hangs, and another begins. */
class Life {
  readonly worker: Worker;
  readonly loaded: Promise<Loaded>;
  readonly #waiting = new Map<number, Waiting>();
  readonly #known = new Map<string, Cluster>();
  #nextId = 1;

  constructor(url: string) {
    this.worker = new Worker(workerSource, {
      eval: true,
      workerData: { url, apiVersion: PLUGIN_API_VERSION },
      stdout: false,
      stderr: false,
    });
    this.worker.unref();
    this.worker.on(
      "message",
      ({ id, answer, error }: { readonly id: number; readonly answer?: unknown; readonly error?: string }) => {
        const waiting = this.#waiting.get(id);
        this.#waiting.delete(id);
        if (error === undefined) waiting?.resolve(answer);
        else waiting?.reject(new Error(error));
      },
    );
    this.worker.on("error", (error) => this.end(error instanceof Error ? error : new Error(String(error))));
    this.worker.on("exit", () => this.end(new Error("its worker ended")));
    this.loaded = new Promise<Loaded>((resolve, reject) =>
      this.#waiting.set(0, { resolve: (answer) => resolve(answer as Loaded), reject }),
    );
    this.loaded.catch(() => undefined);
  }

  ask(binding: AnyBinding, clusters: readonly Cluster[]): Promise<Answers> {
    this.#tell(clusters);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: (answer) => resolve(answer as Answers), reject });
      this.worker.postMessage({ kind: "ask", id, binding, names: clusters.map(({ metadata }) => metadata.name) });
    });
  }

  /** Sends only clusters that changed since they were last sent. */
  #tell(clusters: readonly Cluster[]): void {
    const set = clusters.filter((cluster) => this.#known.get(cluster.metadata.name ?? "") !== cluster);
    const present = new Set(clusters.map(({ metadata }) => metadata.name ?? ""));
    const gone = [...this.#known.keys()].filter((name) => !present.has(name));
    for (const cluster of set) this.#known.set(cluster.metadata.name ?? "", cluster);
    for (const name of gone) this.#known.delete(name);
    if (set.length > 0 || gone.length > 0) this.worker.postMessage({ kind: "clusters", set, gone });
  }

  end(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  kill(): void {
    void this.worker.terminate();
  }
}

function within<T>(clock: Clock, limitMs: number, running: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(limitMs, () => reject(new Error(`it did not answer within ${limitMs} ms`)));
    running.then(resolve, reject).finally(() => timer.cancel());
  });
}

/**
 * Loads a user's plugin into a thread of its own. What the plugin throws, and an answer that makes no sense, fails the pass
 * with a condition that names the plugin; a plugin that hangs is ended and loaded anew for the next pass. Rejects when the
 * module cannot be loaded or is no plugin of this API version.
 */
export async function startPluginHost({
  url,
  clock,
  log,
  timeoutMs = TIMEOUT_MS,
  loadTimeoutMs = LOAD_TIMEOUT_MS,
}: PluginHostOptions): Promise<PluginHost> {
  let life = new Life(url);
  let name: string;
  try {
    ({ name } = await within(clock, loadTimeoutMs, life.loaded));
  } catch (error) {
    life.kill();
    throw new Error(
      `cannot use the scheduler plugin ${url}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
  let isClosed = false;
  // One question at a time, so that each has the whole limit to itself and only the one that hangs fails.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(ask: () => Promise<T>): Promise<T> => {
    const mine = last.then(ask);
    last = mine.catch(() => undefined);
    return mine;
  };
  const askNow = async (binding: AnyBinding, clusters: readonly Cluster[]): Promise<HostedPlugin> => {
    const mine = life;
    try {
      const { points } = await within(clock, loadTimeoutMs, mine.loaded);
      const { reasons, scores, estimates } = await within(clock, timeoutMs, mine.ask(binding, clusters));
      const nameOf = (cluster: Cluster) => cluster.metadata.name ?? "";
      return {
        name,
        ...(points.includes("filter") ? { filter: (_: unknown, cluster: Cluster) => reasons[nameOf(cluster)] } : {}),
        ...(points.includes("score") ? { score: (_: unknown, cluster: Cluster) => scores[nameOf(cluster)] ?? 0 } : {}),
        ...(points.includes("estimate") ? { estimates: new Map(Object.entries(estimates)) } : {}),
      };
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      if (mine === life && !isClosed && /did not answer|worker ended/.test(cause)) {
        log.warn("a scheduler plugin is started anew", { plugin: name, cause });
        life = new Life(url);
        mine.end(new Error("it was ended because it hung"));
        mine.kill();
      }
      throw schedulerError(`plugin ${JSON.stringify(name)} failed: ${cause}`);
    }
  };
  return {
    name,
    ask: (binding, clusters) => inTurn(() => askNow(binding, clusters)),
    close() {
      isClosed = true;
      life.kill();
    },
  };
}
