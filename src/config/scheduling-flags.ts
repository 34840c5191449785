import { featureGateList } from "./feature-gates.ts";
import { type Component, type ConfigOf, flag } from "./flag.ts";
import { listenerFlags, logFlags, rateLimiterFlags } from "./process-flags.ts";
import {
  amount,
  boolean,
  duration,
  list,
  nonEmptyText,
  oneOf,
  optionalText,
  port,
  positiveDuration,
  wholeNumber,
  words,
} from "./values.ts";

const BOTH = ["scheduler", "descheduler"] as const;

/** How estimators of members elsewhere are found and asked. */
export const estimatorClientFlags = {
  schedulerEstimatorTimeoutMs: flag(
    "scheduler-estimator-timeout",
    positiveDuration,
    "3s",
    "one deadline for asking all clusters",
    { of: BOTH, by: "estimator" },
  ),
  schedulerEstimatorPort: flag("scheduler-estimator-port", port, "10352", "port of the estimators' services", {
    of: BOTH,
    by: "estimator",
  }),
  schedulerEstimatorServiceNamespace: flag(
    "scheduler-estimator-service-namespace",
    nonEmptyText,
    "karmada-system",
    "namespace of the estimators' services",
    { of: BOTH, by: "estimator" },
  ),
  schedulerEstimatorServicePrefix: flag(
    "scheduler-estimator-service-prefix",
    nonEmptyText,
    "karmada-scheduler-estimator",
    "what stands before -CLUSTER in the names of the services",
    { of: BOTH, by: "estimator" },
  ),
  schedulerEstimatorCertFile: flag("scheduler-estimator-cert-file", optionalText, "", "client certificate", {
    of: BOTH,
    by: "estimator",
  }),
  schedulerEstimatorKeyFile: flag("scheduler-estimator-key-file", optionalText, "", "key of the client certificate", {
    of: BOTH,
    by: "estimator",
  }),
  schedulerEstimatorCaFile: flag(
    "scheduler-estimator-ca-file",
    optionalText,
    "",
    "authority of the estimators' certificates; without it they are asked in plain text",
    { of: BOTH, by: "estimator" },
  ),
  insecureSkipEstimatorVerify: flag(
    "insecure-skip-estimator-verify",
    boolean,
    "false",
    "speak TLS without verifying estimators",
    { of: BOTH, by: "estimator" },
  ),
};

/** What a scheduler does, wherever it runs. */
export const schedulerOnlyFlags = {
  schedulerName: flag("scheduler-name", nonEmptyText, "default-scheduler", "which bindings the scheduler handles", {
    of: "scheduler",
    by: "scheduler",
  }),
  plugins: flag("plugins", words, "*", "scheduler plugins: * is all, -NAME leaves one out", {
    of: "scheduler",
    by: "scheduler",
  }),
  schedulerPlugins: flag("scheduler-plugin", list, "", "modules of scheduler plugins of one's own, by path", {
    of: "flotilla",
    by: "scheduler",
  }),
  enableEmptyWorkloadPropagation: flag(
    "enable-empty-workload-propagation",
    boolean,
    "false",
    "selected clusters get workloads of 0 replicas too",
    { of: "scheduler", by: "scheduler" },
  ),
  enableSchedulerEstimator: flag(
    "enable-scheduler-estimator",
    boolean,
    "false",
    "ask accurate estimators: those of connected members in this process, others over gRPC",
    { of: "scheduler", by: "estimator" },
  ),
  disableSchedulerEstimatorInPullMode: flag(
    "disable-scheduler-estimator-in-pull-mode",
    boolean,
    "false",
    "leave out the estimators of pull members",
    { of: "scheduler", by: "estimator" },
  ),
  unclaimedBindings: flag(
    "unclaimed-bindings",
    oneOf("freeze", "follow"),
    "freeze",
    "what becomes of bindings that no policy claims",
    { of: "flotilla", by: "controllers/binding" },
  ),
};

/** What a descheduler does, wherever it runs. */
export const deschedulerOnlyFlags = {
  deschedulingIntervalMs: flag("descheduling-interval", positiveDuration, "2m", "how often replicas are looked at", {
    of: "descheduler",
    by: "controllers/descheduler",
  }),
  unschedulableThresholdMs: flag(
    "unschedulable-threshold",
    duration,
    "5m",
    "how long a pod must have found no node before its replica is taken away",
    { of: "descheduler", by: "controllers/descheduler" },
  ),
};

/** How a program that is not the server reaches the control plane. */
const clientFlags = {
  kubeconfig: flag("kubeconfig", optionalText, "", "kubeconfig of the control plane; default as kubectl's", {
    of: BOTH,
    by: "cli",
  }),
  master: flag("master", optionalText, "", "address of the control plane, in place of the kubeconfig's", {
    of: BOTH,
    by: "cli",
  }),
  kubeApiQps: flag("kube-api-qps", amount, "0", "requests a second to the control plane; 0 is no limit", {
    of: BOTH,
    by: "client",
    upstream: "40",
  }),
  kubeApiBurst: flag("kube-api-burst", wholeNumber(1), "60", "requests at once above --kube-api-qps", {
    of: BOTH,
    by: "client",
  }),
};

/** Leases, so that of several replicas one works; with a default life each program has of its own. */
export const leaderElectionFlags = (of: readonly Component[], lease: string, renewal: string, pause: string) => ({
  leaderElect: flag("leader-elect", boolean, "true", "work only while holding the lease", {
    of,
    by: "controller-runtime",
  }),
  leaderElectLeaseDurationMs: flag("leader-elect-lease-duration", positiveDuration, lease, "how long a lease holds", {
    of,
    by: "controller-runtime",
    ...(lease === "15s" ? {} : { upstream: "15s" }),
  }),
  leaderElectRenewDeadlineMs: flag(
    "leader-elect-renew-deadline",
    positiveDuration,
    renewal,
    "how long a holder that cannot renew keeps on",
    { of, by: "controller-runtime", ...(renewal === "10s" ? {} : { upstream: "10s" }) },
  ),
  leaderElectRetryPeriodMs: flag("leader-elect-retry-period", positiveDuration, pause, "pause between two tries", {
    of,
    by: "controller-runtime",
    ...(pause === "2s" ? {} : { upstream: "2s" }),
  }),
  leaderElectResourceNamespace: flag(
    "leader-elect-resource-namespace",
    nonEmptyText,
    "karmada-system",
    "namespace of the lease",
    { of, by: "controller-runtime" },
  ),
});

/** Replicas of the server on one store: the next one shall work within fifteen seconds of the leader's death. */
export const replicaFlags = leaderElectionFlags(["controller-manager"], "10s", "7s", "1s");

/** Every flag of `flotilla scheduler`. */
export const schedulerFlags = {
  ...clientFlags,
  ...schedulerOnlyFlags,
  ...estimatorClientFlags,
  gates: flag("feature-gates", featureGateList, "", "NAME=true,… over the defaults; AllAlpha and AllBeta are groups", {
    of: "scheduler",
    by: "config",
  }),
  ...rateLimiterFlags,
  ...leaderElectionFlags(BOTH, "15s", "10s", "2s"),
  leaderElectResourceName: flag("leader-elect-resource-name", nonEmptyText, "karmada-scheduler", "name of the lease", {
    of: "scheduler",
    by: "controller-runtime",
  }),
  ...listenerFlags(":8080", ":10351"),
  ...logFlags,
};

/** Every flag of `flotilla descheduler`. */
export const deschedulerFlags = {
  ...clientFlags,
  ...deschedulerOnlyFlags,
  ...estimatorClientFlags,
  ...leaderElectionFlags(BOTH, "15s", "10s", "2s"),
  ...listenerFlags(":8080", ":10358"),
  ...logFlags,
};

const ESTIMATOR = { of: "scheduler-estimator", by: "estimator" } as const;

/** Every flag of `flotilla estimator`. */
export const estimatorFlags = {
  clusterName: flag("cluster-name", nonEmptyText, "", "the member cluster to answer for; required", ESTIMATOR),
  kubeconfig: flag("kubeconfig", optionalText, "", "kubeconfig of the member; default as kubectl's", ESTIMATOR),
  master: flag("master", optionalText, "", "address of the member, in place of the kubeconfig's", ESTIMATOR),
  serverPort: flag("server-port", port, "10352", "port of the gRPC service; 0 chooses a free one", ESTIMATOR),
  bindAddress: flag("bind-address", nonEmptyText, "0.0.0.0", "address the gRPC service listens on", {
    of: "flotilla",
    by: "estimator",
  }),
  grpcAuthCertFile: flag("grpc-auth-cert-file", optionalText, "", "certificate of the service", ESTIMATOR),
  grpcAuthKeyFile: flag("grpc-auth-key-file", optionalText, "", "key of the certificate", ESTIMATOR),
  grpcClientCaFile: flag(
    "grpc-client-ca-file",
    optionalText,
    "",
    "authority of client certificates, which are then required",
    ESTIMATOR,
  ),
  insecureSkipGrpcClientVerify: flag(
    "insecure-skip-grpc-client-verify",
    boolean,
    "false",
    "take clients without a certificate all the same",
    ESTIMATOR,
  ),
  parallelism: flag("parallelism", wholeNumber(0), "0", "has no effect, as upstream's has none", ESTIMATOR),
  kubeApiQps: flag("kube-api-qps", amount, "20", "requests a second to the member; 0 is no limit", ESTIMATOR),
  kubeApiBurst: flag("kube-api-burst", wholeNumber(1), "30", "requests at once above --kube-api-qps", ESTIMATOR),
  gates: flag("feature-gates", featureGateList, "", "NAME=true,… over the defaults; AllAlpha and AllBeta are groups", {
    of: "scheduler-estimator",
    by: "config",
  }),
  ...listenerFlags(":8080", ":10351"),
  ...logFlags,
};

export type EstimatorClientConfig = ConfigOf<typeof estimatorClientFlags>;
export type SchedulerConfig = ConfigOf<typeof schedulerFlags>;
export type DeschedulerConfig = ConfigOf<typeof deschedulerFlags>;
export type EstimatorConfig = ConfigOf<typeof estimatorFlags>;
