import type { Clock, Logger } from "#base";
import { type Answers, Unanswered } from "../answers.ts";
import type { RuleSource } from "../interpreter.ts";
import { verifiedDependencies } from "../lua/customization.ts";
import type { AggregatedItem, Dependency, Json, KindRules, Replicas } from "../rules.ts";
import type { KubeObject } from "#machinery";
import { startUserModule } from "#user-modules";
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
export async function startInterpreterPlugin(options: PluginHostOptions): Promise<InterpreterPluginHost> {
  const module = await startUserModule<Loaded>({
    ...options,
    apiVersion: PLUGIN_API_VERSION,
    what: "interpreter plugin",
    program: workerSource,
  });
  const { name, kinds } = module.loaded;
  async function fetch(kind: string, part: string, given: readonly unknown[]): Promise<unknown> {
    try {
      return checked(part, await module.ask(() => ({ kind, part, given })));
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
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
    close: () => module.close(),
  };
}
