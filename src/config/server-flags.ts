import { parseFeatureGates } from "./feature-gates.ts";

/** What a control plane is started with, defaulted and checked. */
export interface ServerConfig {
  readonly dataDir: string;
  readonly securePort: number;
  readonly bindAddress: string;
  readonly store: string | undefined;
  readonly tlsSans: readonly string[];
  readonly gates: ReadonlySet<string>;
  readonly controllers: readonly string[];
  readonly clusterStatusUpdateFrequencyMs: number;
  readonly clusterFailureThresholdMs: number;
  readonly clusterSuccessThresholdMs: number;
  readonly enableClusterResourceModeling: boolean;
  readonly enableTaintManager: boolean;
  readonly enableNoExecuteTaintEviction: boolean;
  readonly allowNoExecuteTaintPolicy: boolean;
  readonly noExecuteTaintEvictionPurgeMode: "Gracefully" | "Directly";
  readonly resourceEvictionRate: number;
  readonly gracefulEvictionTimeoutMs: number;
  readonly skippedPropagatingApis: string;
  readonly skippedPropagatingNamespaces: readonly string[];
  readonly concurrentWorkSyncs: number;
  readonly concurrentResourcebindingSyncs: number;
  readonly concurrentResourceTemplateSyncs: number;
  readonly schedulerName: string;
  readonly plugins: string;
  readonly enableEmptyWorkloadPropagation: boolean;
  readonly unclaimedBindings: "freeze" | "follow";
  readonly writeTemplateStatus: boolean;
  readonly logLevel: string;
}

interface Flag<K extends keyof ServerConfig = keyof ServerConfig> {
  readonly name: string;
  readonly field: K;
  readonly default: string;
  readonly meaning: string;
  readonly parse: (text: string, flag: string) => ServerConfig[K];
}

/** Reads a Go duration such as `10s`, `2m30s`, `500ms` into milliseconds. */
export function parseDuration(text: string, flag: string): number {
  const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text)
    throw new Error(`--${flag}: ${JSON.stringify(text)} is no duration such as 10s or 2m`);
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNITS[unit as string] ?? 0), 0);
}

function bool(text: string, flag: string): boolean {
  if (text !== "true" && text !== "false") throw new Error(`--${flag}: ${JSON.stringify(text)} must be true or false`);
  return text === "true";
}

function count(text: string, flag: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0)
    throw new Error(`--${flag}: ${JSON.stringify(text)} must be a whole number of at least 0`);
  return value;
}

function oneOf<T extends string>(...choices: readonly T[]) {
  return (text: string, flag: string): T => {
    if (!choices.includes(text as T))
      throw new Error(`--${flag}: ${JSON.stringify(text)} must be one of ${choices.join(", ")}`);
    return text as T;
  };
}

const text = (value: string) => value;
const list = (separator: string) => (value: string) =>
  value
    .split(separator)
    .map((part) => part.trim())
    .filter(Boolean);
const flag = <K extends keyof ServerConfig>(
  name: string,
  field: K,
  fallback: string,
  parse: Flag<K>["parse"],
  meaning: string,
): Flag => ({ name, field, default: fallback, parse, meaning }) as unknown as Flag;

/** Every flag of `flotilla server`, with upstream's names. */
export const serverFlags: readonly Flag[] = [
  flag("data-dir", "dataDir", "", text, "folder of the store, certificates and admin.kubeconfig"),
  flag("secure-port", "securePort", "5443", count, "port of the API server; 0 chooses a free one"),
  flag("bind-address", "bindAddress", "127.0.0.1", text, "address the API server listens on"),
  flag(
    "store",
    "store",
    "",
    (value) => (value === "" ? undefined : value),
    "store by URL: file:FOLDER or memory://; default is inside the data folder",
  ),
  flag("tls-san", "tlsSans", "", list(","), "further host names and addresses of the server's certificate"),
  flag(
    "feature-gates",
    "gates",
    "",
    parseFeatureGates,
    "NAME=true,… over the defaults; AllAlpha and AllBeta name groups",
  ),
  flag("controllers", "controllers", "*", list(","), "controllers to run: * is all, -NAME leaves one out"),
  flag(
    "cluster-status-update-frequency",
    "clusterStatusUpdateFrequencyMs",
    "10s",
    parseDuration,
    "how often a member's status is posted",
  ),
  flag(
    "cluster-failure-threshold",
    "clusterFailureThresholdMs",
    "30s",
    parseDuration,
    "how long a member must fail before it is not ready",
  ),
  flag(
    "cluster-success-threshold",
    "clusterSuccessThresholdMs",
    "30s",
    parseDuration,
    "how long a member must answer before it is ready again",
  ),
  flag(
    "enable-cluster-resource-modeling",
    "enableClusterResourceModeling",
    "true",
    bool,
    "collect nodes and resources of members",
  ),
  flag("enable-taint-manager", "enableTaintManager", "true", bool, "run the taint manager (with gate Failover)"),
  flag(
    "enable-no-execute-taint-eviction",
    "enableNoExecuteTaintEviction",
    "false",
    bool,
    "evict workloads by NoExecute taints",
  ),
  flag(
    "allow-no-execute-taint-policy",
    "allowNoExecuteTaintPolicy",
    "false",
    bool,
    "let ClusterTaintPolicies set NoExecute taints",
  ),
  flag(
    "no-execute-taint-eviction-purge-mode",
    "noExecuteTaintEvictionPurgeMode",
    "Gracefully",
    oneOf("Gracefully", "Directly"),
    "purge mode of such evictions",
  ),
  flag(
    "resource-eviction-rate",
    "resourceEvictionRate",
    "0.5",
    (value, name) => {
      const rate = Number(value);
      if (!Number.isFinite(rate) || rate < 0)
        throw new Error(`--${name}: ${JSON.stringify(value)} must be a number of at least 0`);
      return rate;
    },
    "evictions per second and worker",
  ),
  flag("graceful-eviction-timeout", "gracefulEvictionTimeoutMs", "10m", parseDuration, "longest wait for the new copy"),
  flag(
    "skipped-propagating-apis",
    "skippedPropagatingApis",
    "",
    text,
    "APIs that are never propagated: GROUP;GROUP/VERSION;GROUP/VERSION/KIND",
  ),
  flag(
    "skipped-propagating-namespaces",
    "skippedPropagatingNamespaces",
    "kube-.*",
    list(","),
    "namespaces that are never propagated, as regular expressions",
  ),
  flag("concurrent-work-syncs", "concurrentWorkSyncs", "128", count, "Works carried out at a time"),
  flag(
    "concurrent-resourcebinding-syncs",
    "concurrentResourcebindingSyncs",
    "64",
    count,
    "bindings rendered at a time",
  ),
  flag(
    "concurrent-resource-template-syncs",
    "concurrentResourceTemplateSyncs",
    "64",
    count,
    "templates matched at a time",
  ),
  flag(
    "scheduler-name",
    "schedulerName",
    "default-scheduler",
    (value, name) => {
      if (value === "") throw new Error(`--${name} must not be empty`);
      return value;
    },
    "which bindings the scheduler handles",
  ),
  flag("plugins", "plugins", "*", text, "scheduler plugins: * is all, -NAME leaves one out"),
  flag(
    "enable-empty-workload-propagation",
    "enableEmptyWorkloadPropagation",
    "false",
    bool,
    "selected clusters get workloads of 0 replicas too",
  ),
  flag(
    "unclaimed-bindings",
    "unclaimedBindings",
    "freeze",
    oneOf("freeze", "follow"),
    "what becomes of bindings that no policy claims",
  ),
  flag("write-template-status", "writeTemplateStatus", "true", bool, "sum up member statuses into templates"),
  flag("log-level", "logLevel", "info", oneOf("debug", "info", "warn", "error", "silent"), "what is logged"),
];

/** Reads `--name=value`, `--name value` and `--name` for switches. Throws on the first flag nobody knows, by its name. */
export function parseFlags(words: readonly string[], defaults: Readonly<Record<string, string>> = {}): ServerConfig {
  const given = new Map<string, string>();
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    if (!word.startsWith("--")) throw new Error(`unknown argument: ${word}`);
    const equals = word.indexOf("=");
    const name = (equals < 0 ? word.slice(2) : word.slice(2, equals)).replaceAll("_", "-");
    const known = serverFlags.find((candidate) => candidate.name === name);
    if (known === undefined) throw new Error(`unknown flag: --${name}`);
    if (equals >= 0) given.set(name, word.slice(equals + 1));
    else if (known.parse === (bool as unknown)) given.set(name, "true");
    else {
      const value = words[++at];
      if (value === undefined) throw new Error(`flag needs an argument: --${name}`);
      given.set(name, value);
    }
  }
  const config: Record<string, unknown> = {};
  for (const { name, field, default: fallback, parse } of serverFlags)
    config[field] = parse(given.get(name) ?? defaults[name] ?? fallback, name);
  return Object.freeze(config) as unknown as ServerConfig;
}
