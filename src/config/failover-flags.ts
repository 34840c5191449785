import { flag } from "./flag.ts";
import { duration, oneOf, positiveDuration, share, type ValueReader, wholeNumber } from "./values.ts";

const MANAGER = "controller-manager";

/** A number of seconds, or nothing. */
const optionalSeconds: ValueReader<number | undefined> = {
  type: "seconds",
  read: (value, label) => (value === "" ? undefined : wholeNumber(0).read(value, label)),
};

/** Flags of cluster health, failover and what holds it back. */
export const failoverFlags = {
  failoverProfile: flag(
    "failover-profile",
    oneOf("current", "v1.3", "v1.12"),
    "current",
    "whose failover defaults hold: of the current release, v1.3 or v1.12",
    { of: "flotilla", by: "config" },
  ),
  clusterMonitorPeriodMs: flag(
    "cluster-monitor-period",
    positiveDuration,
    "5s",
    "how often the health monitor looks at every cluster",
    { of: MANAGER, by: "controllers/cluster" },
  ),
  clusterMonitorGracePeriodMs: flag(
    "cluster-monitor-grace-period",
    positiveDuration,
    "40s",
    "silence of a pull cluster after which it is Unknown",
    { of: MANAGER, by: "controllers/cluster" },
  ),
  clusterStartupGracePeriodMs: flag(
    "cluster-startup-grace-period",
    positiveDuration,
    "1m",
    "the same for a pull cluster that never reported",
    { of: MANAGER, by: "controllers/cluster" },
  ),
  clusterCacheSyncTimeoutMs: flag(
    "cluster-cache-sync-timeout",
    positiveDuration,
    "2m",
    "how long the first list of a member's nodes and pods may take",
    { of: [MANAGER, "agent"], by: "controllers/cluster-status" },
  ),
  failoverEvictionTimeoutMs: flag(
    "failover-eviction-timeout",
    duration,
    "0",
    "unhealthy for so long, a cluster gets a NoExecute taint; 0 never (v1.3, v1.12: 5m)",
    { of: MANAGER, by: "controllers/cluster" },
  ),
  defaultNotReadyTolerationSeconds: flag(
    "default-not-ready-toleration-seconds",
    optionalSeconds,
    "",
    "toleration of not-ready:NoExecute given to every policy; empty gives none (v1.3: 600)",
    { of: "webhook", by: "admission" },
  ),
  defaultUnreachableTolerationSeconds: flag(
    "default-unreachable-toleration-seconds",
    optionalSeconds,
    "",
    "toleration of unreachable:NoExecute given to every policy; empty gives none (v1.3: 600)",
    { of: "webhook", by: "admission" },
  ),
  federatedResourceQuotaSyncPeriodMs: flag(
    "federated-resource-quota-sync-period",
    positiveDuration,
    "5m",
    "how often the use of federated quotas is counted anew",
    { of: MANAGER, by: "controllers/federated-resource-quota-enforcement" },
  ),
  failBackAfterMs: flag(
    "fail-back-after",
    duration,
    "0",
    "workloads return to a cluster that has been well for so long after their eviction; 0 leaves them",
    { of: "flotilla", by: "controllers/fail-back" },
  ),
  evictionBrakeShare: flag(
    "eviction-brake-share",
    share,
    "0.75",
    "no evictions while more than this share of the clusters fails at once; 1 never holds",
    { of: "flotilla", by: "controllers/taint-manager" },
  ),
  evictionBrakeSettleMs: flag(
    "eviction-brake-settle-time",
    duration,
    "2m",
    "how long that must be over before evictions go on",
    { of: "flotilla", by: "controllers/taint-manager" },
  ),
};

/** Defaults of older releases, by flag: what `--failover-profile` stands for. A flag that is given wins. */
const PROFILES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  current: {},
  "v1.3": {
    "enable-no-execute-taint-eviction": "true",
    "failover-eviction-timeout": "5m",
    "resource-eviction-rate": "1000",
    "default-not-ready-toleration-seconds": "600",
    "default-unreachable-toleration-seconds": "600",
  },
  "v1.12": {
    "enable-no-execute-taint-eviction": "true",
    "failover-eviction-timeout": "5m",
    "resource-eviction-rate": "1000",
    "default-not-ready-toleration-seconds": "300",
    "default-unreachable-toleration-seconds": "300",
  },
};

export const profileDefaults = (profile: string): Readonly<Record<string, string>> => PROFILES[profile] ?? {};

/** Gates a profile turns on, unless the gates that were given speak of them. */
export function profileGates(profile: string, gates: ReadonlySet<string>, given: string): ReadonlySet<string> {
  if (profile !== "v1.3" || /(^|,)\s*(Failover|AllBeta)=/.test(given)) return gates;
  return new Set([...gates, "Failover"]);
}
