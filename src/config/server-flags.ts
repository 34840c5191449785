import { apiserverFlags } from "./apiserver-flags.ts";
import { controllerList } from "./controller-names.ts";
import { featureGateList } from "./feature-gates.ts";
import { failoverFlags, profileDefaults, profileGates } from "./failover-flags.ts";
import { type ConfigOf, environmentName, flag, type FlagTable } from "./flag.ts";
import { listenerFlags, logFlags, rateLimiterFlags } from "./process-flags.ts";
import { type FlagSources, readFlags } from "./read-flags.ts";
import { searchFlags } from "./search-flags.ts";
import { deschedulerOnlyFlags, estimatorClientFlags, replicaFlags, schedulerOnlyFlags } from "./scheduling-flags.ts";
import {
  amount,
  boolean,
  duration,
  list,
  oneOf,
  optionalText,
  patterns,
  port,
  positiveDuration,
  share,
  text,
  wholeNumber,
  workers,
} from "./values.ts";

const MANAGER = "controller-manager";

/** What an API server and a store of one's own ask for. */
const ownServerFlags = {
  dataDir: flag("data-dir", text, "", "folder of the store, certificates and admin.kubeconfig", {
    of: "flotilla",
    by: "cli",
  }),
  securePort: flag("secure-port", port, "5443", "port of the API server; 0 chooses a free one", {
    of: ["flotilla", "aggregated-apiserver", "search", "webhook"],
    by: "apiserver",
    upstream: "443, 8443",
  }),
  advertiseAddress: flag(
    "advertise-address",
    optionalText,
    "",
    "address others reach this server by; default its first one that is no loopback address",
    { of: "flotilla", by: "apiserver" },
  ),
  bindAddress: flag("bind-address", text, "127.0.0.1", "address the API server listens on", {
    of: ["flotilla", "aggregated-apiserver", "search", "webhook"],
    by: "apiserver",
    upstream: "0.0.0.0",
  }),
  store: flag(
    "store",
    optionalText,
    "",
    "store by URL: file:FOLDER, memory:// or etcd://[USER:PASSWORD@]HOST:PORT,…; default is inside the data folder",
    {
      of: "flotilla",
      by: "store",
    },
  ),
  etcdCompactionIntervalMs: flag(
    "etcd-compaction-interval",
    duration,
    "5m",
    "how often one of the replicas lets etcd forget what is older than this; 0 for never",
    { of: "flotilla", by: "store" },
  ),
  etcdCafile: flag("etcd-cafile", optionalText, "", "authority of etcd's servers; PEM file", {
    of: ["aggregated-apiserver", "search"],
    by: "store",
  }),
  etcdCertfile: flag("etcd-certfile", optionalText, "", "client certificate shown to etcd; PEM file", {
    of: ["aggregated-apiserver", "search"],
    by: "store",
  }),
  etcdKeyfile: flag("etcd-keyfile", optionalText, "", "key of --etcd-certfile; PEM file", {
    of: ["aggregated-apiserver", "search"],
    by: "store",
  }),
  clusterSigningDurationMs: flag(
    "cluster-signing-duration",
    positiveDuration,
    "8760h",
    "longest and usual life of certificates signed for CertificateSigningRequests",
    { of: "flotilla", by: "controllers/csr-signing" },
  ),
  tlsSans: flag("tls-san", list, "", "further host names and addresses of the server's certificate", {
    of: "flotilla",
    by: "certs",
  }),
};

/** What controllers and scheduler ask for, wherever they run. */
const engineFlags = {
  ...replicaFlags,
  gates: flag("feature-gates", featureGateList, "", "NAME=true,… over the defaults; AllAlpha and AllBeta are groups", {
    of: [MANAGER, "scheduler", "webhook", "agent", "scheduler-estimator", "aggregated-apiserver"],
    by: "config",
  }),
  controllers: flag(
    "controllers",
    controllerList,
    "*",
    "controllers to run: * is all that are on, -NAME leaves one out",
    {
      of: [MANAGER, "agent"],
      by: "controlplane",
    },
  ),
  clusterStatusUpdateFrequencyMs: flag(
    "cluster-status-update-frequency",
    positiveDuration,
    "10s",
    "how often a member's status is posted",
    { of: [MANAGER, "agent"], by: "controllers/cluster-status" },
  ),
  clusterFailureThresholdMs: flag(
    "cluster-failure-threshold",
    duration,
    "30s",
    "how long a member must fail before it is not ready",
    { of: [MANAGER, "agent"], by: "controllers/cluster-status" },
  ),
  clusterSuccessThresholdMs: flag(
    "cluster-success-threshold",
    duration,
    "30s",
    "how long a member must answer before it is ready again",
    { of: [MANAGER, "agent"], by: "controllers/cluster-status" },
  ),
  enableClusterResourceModeling: flag(
    "enable-cluster-resource-modeling",
    boolean,
    "true",
    "collect nodes and resources of members",
    { of: [MANAGER, "agent"], by: "controllers/cluster-status" },
  ),
  enableTaintManager: flag("enable-taint-manager", boolean, "true", "run the taint manager (with gate Failover)", {
    of: MANAGER,
    by: "controllers/taint-manager",
  }),
  enableNoExecuteTaintEviction: flag(
    "enable-no-execute-taint-eviction",
    boolean,
    "false",
    "evict workloads by NoExecute taints",
    { of: MANAGER, by: "controllers/taint-manager" },
  ),
  noExecuteTaintEvictionPurgeMode: flag(
    "no-execute-taint-eviction-purge-mode",
    oneOf("Gracefully", "Directly"),
    "Gracefully",
    "purge mode of such evictions",
    { of: MANAGER, by: "controllers/taint-manager" },
  ),
  resourceEvictionRate: flag("resource-eviction-rate", amount, "100", "evictions per second and worker, of three", {
    of: MANAGER,
    by: "controllers/taint-manager",
    upstream: "0.5",
  }),
  gracefulEvictionTimeoutMs: flag("graceful-eviction-timeout", duration, "10m", "longest wait for the new copy", {
    of: MANAGER,
    by: "controllers/graceful-eviction",
  }),
  allowNoExecuteTaintPolicy: flag(
    "allow-no-execute-taint-policy",
    boolean,
    "false",
    "let ClusterTaintPolicies set NoExecute taints",
    { of: "webhook", by: "admission" },
  ),
  skippedPropagatingApis: flag(
    "skipped-propagating-apis",
    text,
    "",
    "APIs that are never propagated: GROUP;GROUP/VERSION;GROUP/VERSION/KIND",
    { of: MANAGER, by: "controllers/detector" },
  ),
  skippedPropagatingNamespaces: flag(
    "skipped-propagating-namespaces",
    patterns,
    "kube-.*",
    "namespaces that are never propagated, as regular expressions",
    { of: MANAGER, by: "controllers/detector" },
  ),
  concurrentWorkSyncs: flag("concurrent-work-syncs", workers, "256", "Works carried out at a time", {
    of: [MANAGER, "agent"],
    by: "controllers/execution",
    upstream: "5",
  }),
  concurrentClusterSyncs: flag("concurrent-cluster-syncs", workers, "32", "clusters looked after at a time", {
    of: [MANAGER, "agent"],
    by: "controllers/cluster-status",
    upstream: "5",
  }),
  concurrentResourcebindingSyncs: flag(
    "concurrent-resourcebinding-syncs",
    workers,
    "256",
    "ResourceBindings worked on at a time",
    { of: MANAGER, by: "controllers/binding", upstream: "5" },
  ),
  concurrentClusterresourcebindingSyncs: flag(
    "concurrent-clusterresourcebinding-syncs",
    workers,
    "5",
    "ClusterResourceBindings; they share workers with ResourceBindings, the greater number counts",
    { of: MANAGER, by: "controllers/binding" },
  ),
  concurrentResourceTemplateSyncs: flag(
    "concurrent-resource-template-syncs",
    workers,
    "256",
    "templates matched at a time",
    { of: MANAGER, by: "controllers/detector", upstream: "5" },
  ),
  concurrentDependentResourceSyncs: flag(
    "concurrent-dependent-resource-syncs",
    workers,
    "64",
    "bindings whose dependencies are followed at a time",
    { of: MANAGER, by: "controllers/dependencies-distributor", upstream: "2" },
  ),
  propagateClusterScopedDependencies: flag(
    "propagate-cluster-scoped-dependencies",
    boolean,
    "false",
    "what templates without a namespace need follows them too, where their policy says propagateDeps",
    { of: "flotilla", by: "controllers/dependencies-distributor" },
  ),
  concurrentNamespaceSyncs: flag("concurrent-namespace-syncs", workers, "16", "namespaces synchronised at a time", {
    of: MANAGER,
    by: "controllers/namespace-sync",
    upstream: "1",
  }),
  kubeApiQps: flag("kube-api-qps", amount, "0", "requests a second to the control plane; 0 is no limit", {
    of: [MANAGER, "scheduler", "descheduler", "agent"],
    by: "client",
    upstream: "40",
  }),
  kubeApiBurst: flag("kube-api-burst", wholeNumber(1), "60", "requests at once above --kube-api-qps", {
    of: [MANAGER, "scheduler", "descheduler", "agent"],
    by: "client",
  }),
  clusterApiKubeconfig: flag(
    "cluster-api-kubeconfig",
    optionalText,
    "",
    "kubeconfig of a Cluster API management cluster, whose clusters are joined",
    { of: MANAGER, by: "controllers/cluster-api" },
  ),
  clusterApiContext: flag("cluster-api-context", optionalText, "", "context in it; default is the current one", {
    of: MANAGER,
    by: "controllers/cluster-api",
  }),
  clusterApiQps: flag("cluster-api-qps", amount, "0", "requests a second to each member; 0 adapts to its answers", {
    of: [MANAGER, "agent", "search"],
    by: "member",
    upstream: "40",
  }),
  clusterApiBurst: flag("cluster-api-burst", wholeNumber(1), "60", "requests at once above --cluster-api-qps", {
    of: [MANAGER, "agent", "search"],
    by: "member",
  }),
  clusterApiTimeoutMs: flag(
    "cluster-api-timeout",
    positiveDuration,
    "32s",
    "longest a push member may take to answer; watches are not bounded",
    { of: "flotilla", by: "member" },
  ),
  ...rateLimiterFlags,
  ...schedulerOnlyFlags,
  ...estimatorClientFlags,
  enableDescheduler: flag("enable-descheduler", boolean, "false", "run the descheduler in this process", {
    of: "flotilla",
    by: "controllers/descheduler",
  }),
  ...deschedulerOnlyFlags,
  interpreterPlugins: flag("interpreter-plugin", list, "", "modules that say what kinds mean, by path", {
    of: "flotilla",
    by: "interpreter",
  }),
  massDeletionShare: flag(
    "mass-deletion-share",
    share,
    "0",
    "share of a member's Works that may be deleted within the window; beyond it deletions are held; 0 holds none",
    { of: "flotilla", by: "controllers/execution" },
  ),
  massDeletionWindowMs: flag("mass-deletion-window", positiveDuration, "10m", "window of --mass-deletion-share", {
    of: "flotilla",
    by: "controllers/execution",
  }),
  massDeletionFloor: flag(
    "mass-deletion-floor",
    wholeNumber(0),
    "20",
    "deletions within the window that are never held",
    { of: "flotilla", by: "controllers/execution" },
  ),
  writeTemplateStatus: flag("write-template-status", boolean, "true", "sum up member statuses into templates", {
    of: "flotilla",
    by: "controllers/binding-status",
  }),
  ...failoverFlags,
  ...searchFlags,
  ...apiserverFlags,
  ...listenerFlags("0", "0", { metrics: ":8080", health: ":10357, :10351, :10358, :8000" }),
  ...logFlags,
};

/** Every flag of `flotilla server`, with upstream's names. A new flag is one entry: the key is its field. */
export const serverFlags = { ...ownServerFlags, ...engineFlags };

/** Every flag of `flotilla controllers`, which works on an API server that is there already. */
export const guestFlags = {
  kubeconfig: flag("kubeconfig", optionalText, "", "kubeconfig of the API server to work on; default as kubectl's", {
    of: MANAGER,
    by: "cli",
  }),
  kubeContext: flag("kube-context", optionalText, "", "context in it; default is the current one", {
    of: "flotilla",
    by: "cli",
  }),
  admissionWebhooks: flag(
    "admission-webhooks",
    boolean,
    "true",
    "let the API server ask this process about Karmada's objects; false where it cannot reach it",
    { of: "flotilla", by: "controlplane/guest" },
  ),
  webhookHost: flag("webhook-host", text, "127.0.0.1", "name or address the API server reaches this process by", {
    of: "flotilla",
    by: "controlplane/guest",
  }),
  webhookPort: flag("webhook-port", port, "8443", "port admission is served at; 0 chooses a free one", {
    of: "flotilla",
    by: "controlplane/guest",
  }),
  webhookBindAddress: flag("webhook-bind-address", text, "127.0.0.1", "address admission is served at", {
    of: "flotilla",
    by: "controlplane/guest",
  }),
  clusterProxy: flag("cluster-proxy", boolean, "true", "serve clusters/NAME/proxy and search behind APIServices", {
    of: "flotilla",
    by: "controlplane/guest",
  }),
  clusterProxyPort: flag("cluster-proxy-port", port, "8444", "port it is served at; 0 chooses a free one", {
    of: "flotilla",
    by: "controlplane/guest",
  }),
  uninstall: flag("uninstall", boolean, "false", "remove everything that was installed; workloads stay", {
    of: "flotilla",
    by: "controlplane/guest",
  }),
  ...engineFlags,
  writeTemplateStatus: {
    ...engineFlags.writeTemplateStatus,
    default: "false",
    meaning: "sum up member statuses into templates, which are live objects of this cluster",
  },
};

/** What a control plane is started with, defaulted and checked. */
export type ServerConfig = ConfigOf<typeof serverFlags>;
export type EngineConfig = ConfigOf<typeof engineFlags>;
export type GuestConfig = ConfigOf<typeof guestFlags>;

/** Reads the flags of `flotilla server`; a failover profile stands for defaults of its own. */
export const parseFlags = (words: readonly string[], sources: FlagSources = {}): ServerConfig =>
  withProfile(serverFlags, words, sources);

/** The same for `flotilla controllers`. */
export const parseGuestFlags = (words: readonly string[], sources: FlagSources = {}): GuestConfig =>
  withProfile(guestFlags, words, sources);

function withProfile<C extends EngineConfig>(table: FlagTable, words: readonly string[], sources: FlagSources): C {
  const first = readFlags(table, words, sources) as unknown as C;
  const { failoverProfile: profile } = first;
  if (profile === "current") return first;
  const config = readFlags(table, words, {
    ...sources,
    defaults: { ...profileDefaults(profile), ...sources.defaults },
  }) as unknown as C;
  const given = [...words, sources.env?.[environmentName("feature-gates")] ?? ""].join(",");
  const texts = given.replace(/--feature-gates[= ,]/g, ",");
  return Object.freeze({ ...config, gates: profileGates(profile, config.gates, texts) });
}
