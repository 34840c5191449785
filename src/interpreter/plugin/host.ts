import { Worker } from "node:worker_threads";
import type { Clock, Logger } from "#base";
import { type Answers, Unanswered } from "../answers.ts";
import type { RuleSource } from "../interpreter.ts";
import { verifiedDependencies } from "../lua/customization.ts";
import type { AggregatedItem, Dependency, Json, KindRules, Replicas } from "../rules.ts";
import type { KubeObject } from "#machinery";
import { workerSource } from "./worker-source.ts";

/** The version of what a user's interpreter module may rely on. It changes only when a module could break. */
const PLUGIN_API_VERSION = "flotilla.io/interpreter-plugin/v1";

type Later<T> = T | Promise<T>;

/** What a user's module says of one kind; a missing part means that other sources answer. */
interface UserKindRules {
  replicas?(object: KubeObject): Later<Replicas>;
  components?(object: KubeObject): Later<readonly Json[] | undefined>;
  revise?(object: KubeObject, replicas: number): Later<KubeObject>;
  retain?(desired: KubeObject, observed: KubeObject): Later<KubeObject>;
  /** The new `.status`. */
  aggregate?(object: KubeObject, items: readonly AggregatedItem[] | undefined): Later<Json | undefined>;
  dependencies?(object: KubeObject): Later<readonly Dependency[]>;
  reflect?(object: KubeObject): Later<Json | undefined>;
  health?(object: KubeObject): Later<boolean>;
}

/** The default export of a user's interpreter module. */
export interface InterpreterPlugin {
  readonly apiVersion: typeof PLUGIN_API_VERSION;
  /** A word of letters and digits that messages name it by. */
  readonly name: string;
  /** Rules by `apiVersion/Kind`, for example `example.io/v1/Widget`. */
  readonly kinds: Readonly<Record<string, UserKindRules>>;
}

/** Fixes the types of a module; nothing else. */
export const defineInterpreterPlugin = (plugin: InterpreterPlugin): InterpreterPlugin => plugin;

export interface PluginHostOptions {
  /** URL of the module: `file:///…/widgets.js`. */
  readonly url: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Time for one answer; default 1 s. */
  readonly timeoutMs?: number;
  /** Time to load the module; default 10 s. */
  readonly loadTimeoutMs?: number;
}

/** A user's module in a thread of its own. */
export interface InterpreterPluginHost {
  readonly name: string;
  readonly source: RuleSource;
  close(): void;
}

interface Loaded {
  readonly name: string;
  /** The parts each kind has rules for. */
  readonly kinds: Readonly<Record<string, readonly string[]>>;
}

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** One life of the worker: it ends when the module hangs, and another begins. */
class Life {
  readonly worker: Worker;
  readonly loaded: Promise<Loaded>;
  readonly #waiting = new Map<number, Waiting>();
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

  ask(kind: string, part: string, given: readonly unknown[]): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, kind, part, given });
    });
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

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Checks an answer; what makes no sense is an error that names the part. */
function checked(part: string, answer: unknown): unknown {
  const wrong = (wanted: string): never => {
    throw new Error(`${part} must answer ${wanted}`);
  };
  switch (part) {
    case "replicas": {
      if (!isObject(answer) || !Number.isInteger(answer["replica"])) return wrong("{ replica, requirements? }");
      if (answer["requirements"] !== undefined && !isObject(answer["requirements"]))
        return wrong("requirements as an object");
      return { replica: answer["replica"], requirements: answer["requirements"] };
    }
    case "components":
      return answer === undefined || (Array.isArray(answer) && answer.every(isObject))
        ? answer
        : wrong("a list of components");
    case "revise":
    case "retain":
      return isObject(answer) && isObject(answer["metadata"]) ? answer : wrong("an object");
    case "aggregate":
    case "reflect":
      return answer === undefined || isObject(answer) ? answer : wrong("a status or nothing");
    case "dependencies":
      return Array.isArray(answer) && answer.every(isObject)
        ? verifiedDependencies(answer)
        : wrong("a list of dependencies");
    default:
      return typeof answer === "boolean" ? answer : wrong("true or false");
  }
}

/**
 * Loads a user's interpreter module into a thread of its own. What it throws, and an answer that makes no sense, fails the
 * one operation, with a message that names the module; a module that hangs is ended and loaded anew. Rejects when the
 * module cannot be loaded or is none of this API version.
 */
export async function startInterpreterPlugin({
  url,
  clock,
  log,
  timeoutMs = 1_000,
  loadTimeoutMs = 10_000,
}: PluginHostOptions): Promise<InterpreterPluginHost> {
  let life = new Life(url);
  let loaded: Loaded;
  try {
    loaded = await within(clock, loadTimeoutMs, life.loaded);
  } catch (error) {
    life.kill();
    const cause = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot use the interpreter plugin ${url}: ${cause}`, { cause: error });
  }
  const { name, kinds } = loaded;
  let isClosed = false;
  async function fetch(kind: string, part: string, given: readonly unknown[]): Promise<unknown> {
    const mine = life;
    try {
      await within(clock, loadTimeoutMs, mine.loaded);
      return checked(part, await within(clock, timeoutMs, mine.ask(kind, part, given)));
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      if (mine === life && !isClosed && /did not answer|worker ended/.test(cause)) {
        log.warn("an interpreter plugin is started anew", { plugin: name, cause });
        life = new Life(url);
        mine.end(new Error("it was ended because it hung"));
        mine.kill();
      }
      throw new Error(`interpreter plugin ${JSON.stringify(name)} failed: ${cause}`);
    }
  }
  return {
    name,
    source(apiVersion, kind, answers?: Answers) {
      const key = `${apiVersion}/${kind}`;
      const parts = Object.hasOwn(kinds, key) ? kinds[key] : undefined;
      if (parts === undefined) return undefined;
      const rules: Record<string, (...given: readonly unknown[]) => unknown> = {};
      for (const part of parts)
        rules[part] = (...given) => {
          // The time an aggregation is made at is not the module's business.
          const asked = part === "aggregate" ? given.slice(0, 2) : given;
          const question = JSON.stringify([name, key, part, asked]);
          const get = () => fetch(key, part, asked);
          if (answers === undefined) throw new Unanswered(question, get);
          return answers.get(question, get);
        };
      return rules as KindRules;
    },
    close() {
      isClosed = true;
      life.kill();
    },
  };
}
