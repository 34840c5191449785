import { controllerListOf } from "./controller-names.ts";
import { type ConfigOf, flag } from "./flag.ts";
import { listenerFlags, logFlags, rateLimiterFlags } from "./process-flags.ts";
import { leaderElectionFlags } from "./scheduling-flags.ts";
import { serverFlags } from "./server-flags.ts";
import { amount, list, nonEmptyText, oneOf, optionalText, positiveDuration, text, type ValueReader } from "./values.ts";

const OF = "agent";

const secretKind = oneOf("KubeCredentials", "KubeImpersonator", "None");
const secretKinds: ValueReader<readonly string[]> = {
  type: "list",
  isList: true,
  read(value, label) {
    const kinds = list.read(value, label).map((kind) => secretKind.read(kind, label));
    if (kinds.includes("None") && kinds.length > 1) throw new Error(`${label}: None stands alone`);
    return kinds;
  },
};

/** Every flag of `flotilla agent`, with upstream's names. */
export const agentFlags = {
  karmadaKubeconfig: flag(
    "karmada-kubeconfig",
    text,
    "",
    "kubeconfig of the control plane; read again when it changes",
    {
      of: OF,
      by: "agent",
    },
  ),
  karmadaContext: flag("karmada-context", optionalText, "", "context in it; default is the current one", {
    of: OF,
    by: "agent",
  }),
  kubeconfig: flag("kubeconfig", optionalText, "", "kubeconfig of the member; default is the pod's own account", {
    of: "flotilla",
    by: "agent",
  }),
  clusterName: flag("cluster-name", text, "", "name of the member in the control plane", { of: OF, by: "agent" }),
  clusterNamespace: flag(
    "cluster-namespace",
    nonEmptyText,
    "karmada-cluster",
    "namespace of the member's credentials in the control plane",
    { of: OF, by: "agent" },
  ),
  clusterApiEndpoint: flag("cluster-api-endpoint", text, "", "address of the member's API server", {
    of: OF,
    by: "agent",
  }),
  clusterProvider: flag("cluster-provider", text, "", "provider of the member", { of: OF, by: "agent" }),
  clusterRegion: flag("cluster-region", text, "", "region of the member", { of: OF, by: "agent" }),
  clusterZones: flag("cluster-zones", list, "", "zones of the member", { of: OF, by: "agent" }),
  proxyServerAddress: flag("proxy-server-address", text, "", "proxy by which the control plane reaches the member", {
    of: OF,
    by: "agent",
  }),
  reportSecrets: flag(
    "report-secrets",
    secretKinds,
    "KubeCredentials,KubeImpersonator",
    "credentials of the member the control plane gets: KubeCredentials, KubeImpersonator, or None",
    { of: OF, by: "agent" },
  ),
  controllers: flag(
    "controllers",
    controllerListOf([
      "clusterStatus",
      "execution",
      "workStatus",
      "serviceExport",
      "endpointsliceCollect",
      "certRotation",
    ]),
    "*",
    "controllers to run: * is all that are on, -NAME leaves one out",
    { of: OF, by: "agent" },
  ),
  certRotationCheckingIntervalMs: flag(
    "cert-rotation-checking-interval",
    positiveDuration,
    "5m",
    "how often the certificate's life is looked at (controller certRotation)",
    { of: OF, by: "controllers/cert-rotation" },
  ),
  certRotationRemainingTimeThreshold: flag(
    "cert-rotation-remaining-time-threshold",
    amount,
    "0.2",
    "share of its life left at which a certificate is renewed",
    { of: OF, by: "controllers/cert-rotation" },
  ),
  karmadaKubeconfigNamespace: flag(
    "karmada-kubeconfig-namespace",
    nonEmptyText,
    "karmada-system",
    "namespace in the member of the Secret karmada-kubeconfig",
    { of: OF, by: "controllers/cert-rotation" },
  ),
  clusterLeaseDurationMs: flag("cluster-lease-duration", positiveDuration, "40s", "how long the member's Lease holds", {
    of: OF,
    by: "controllers/cluster-status",
  }),
  clusterLeaseRenewIntervalFraction: flag(
    "cluster-lease-renew-interval-fraction",
    amount,
    "0.25",
    "share of that time after which it is renewed",
    { of: OF, by: "controllers/cluster-status" },
  ),
  gates: serverFlags.gates,
  clusterStatusUpdateFrequencyMs: serverFlags.clusterStatusUpdateFrequencyMs,
  clusterFailureThresholdMs: serverFlags.clusterFailureThresholdMs,
  clusterSuccessThresholdMs: serverFlags.clusterSuccessThresholdMs,
  enableClusterResourceModeling: serverFlags.enableClusterResourceModeling,
  clusterCacheSyncTimeoutMs: serverFlags.clusterCacheSyncTimeoutMs,
  concurrentWorkSyncs: serverFlags.concurrentWorkSyncs,
  clusterApiQps: serverFlags.clusterApiQps,
  clusterApiBurst: serverFlags.clusterApiBurst,
  kubeApiQps: serverFlags.kubeApiQps,
  kubeApiBurst: serverFlags.kubeApiBurst,
  interpreterPlugins: serverFlags.interpreterPlugins,
  massDeletionShare: serverFlags.massDeletionShare,
  massDeletionWindowMs: serverFlags.massDeletionWindowMs,
  massDeletionFloor: serverFlags.massDeletionFloor,
  ...rateLimiterFlags,
  ...leaderElectionFlags([OF], "15s", "10s", "2s"),
  ...listenerFlags(":8080", ":10357"),
  ...logFlags,
};

export type AgentConfig = ConfigOf<typeof agentFlags>;
