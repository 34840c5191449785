import type { Component } from "./flag.ts";

/** A flag upstream has and we cannot honour: given, it is refused with its reason, unless the value asks for nothing. */
export interface RefusedFlag {
  readonly flag: string;
  readonly of: readonly Component[];
  /** Upstream's default. */
  readonly default: string;
  readonly why: string;
  /** Values under which we do what upstream does; they are accepted and change nothing. */
  readonly accepts: readonly string[];
  readonly isSwitch: boolean;
}

const refused = (
  of: Component | readonly Component[],
  names: string,
  fallback: string,
  why: string,
  accepts: readonly string[] = [],
): readonly RefusedFlag[] =>
  names.split(" ").map((flag) => ({
    flag,
    of: typeof of === "string" ? [of] : of,
    default: fallback,
    why,
    accepts,
    isSwitch: fallback === "true" || fallback === "false",
  }));

const ALL: readonly Component[] = [
  "controller-manager",
  "scheduler",
  "descheduler",
  "scheduler-estimator",
  "webhook",
  "agent",
];
const SERVERS: readonly Component[] = ["aggregated-apiserver", "search", "metrics-adapter"];

/** One line for flags of one reason. A flag that becomes real moves to the table it belongs to and leaves this one. */
export const refusedFlags: readonly RefusedFlag[] = [
  ...refused(ALL, "enable-pprof", "false", "profiles in Go's format are not offered; use node --cpu-prof", ["false"]),
  ...refused(ALL, "profiling-bind-address", ":6060", "profiles in Go's format are not offered; use node --cpu-prof", [
    ":6060",
  ]),
  ...refused(
    ALL,
    "vmodule log-flush-frequency log-json-info-buffer-size log-json-split-stream log-text-info-buffer-size log-text-split-stream",
    "",
    "of the log, only level (-v, --log-level) and format can be chosen",
  ),
  ...refused(
    ["controller-manager", "scheduler", "descheduler", "webhook"],
    "kubeconfig master",
    "",
    "the server has its own API server; other commands take the address of one",
  ),
  ...refused(
    "scheduler",
    "leader-elect-resource-name",
    "karmada-scheduler",
    "the server's own scheduler takes upstream's lease; `flotilla scheduler` can take another",
    ["karmada-scheduler"],
  ),
  ...refused(
    "controller-manager",
    "concurrent-propagation-policy-syncs concurrent-cluster-propagation-policy-syncs",
    "1",
    "policies have no queue of their own; --concurrent-resource-template-syncs sizes the one they share",
  ),
  ...refused("controller-manager", "resync-period", "0s", "caches are never replayed without a change", ["0", "0s"]),
  ...refused(
    "controller-manager",
    "horizontal-pod-autoscaler-sync-period horizontal-pod-autoscaler-upscale-delay horizontal-pod-autoscaler-downscale-delay horizontal-pod-autoscaler-downscale-stabilization horizontal-pod-autoscaler-tolerance horizontal-pod-autoscaler-cpu-initialization-period horizontal-pod-autoscaler-initial-readiness-delay",
    "15s, 3m, 5m, 5m, 0.1, 5m, 30s",
    "federated autoscaling is not there yet",
  ),
  ...refused(
    "webhook",
    "cert-dir tls-cert-file-name tls-private-key-file-name",
    "",
    "admission runs within the API server, without a server of its own",
  ),
  ...refused(SERVERS, "etcd-servers etcd-prefix", "", "the store is chosen with --store"),
  ...refused(SERVERS, "storage-media-type", "application/json", "objects are stored as JSON", ["application/json"]),
  ...refused(
    SERVERS,
    "authentication-kubeconfig authorization-kubeconfig authentication-skip-lookup",
    "",
    "the API server authenticates and authorizes by itself",
  ),
  ...refused(
    SERVERS,
    "authorization-always-allow-paths",
    "/healthz,/readyz,/livez",
    "health is open to everybody, nothing else is",
    ["/healthz,/readyz,/livez"],
  ),
  ...refused(
    "search",
    "request-timeout min-request-timeout",
    "1m, 1800",
    "the API server's own bounds cannot be chosen yet",
  ),
];

const byFlag = new Map(refusedFlags.map((entry) => [entry.flag, entry]));

/** The refusal of a flag, where it is one we know and cannot honour. */
export function refusedFlag(
  name: string,
): { readonly isSwitch: boolean; check(value: string, shown: string): void } | undefined {
  const entry = byFlag.get(name);
  if (entry === undefined) return undefined;
  return {
    isSwitch: entry.isSwitch,
    check(value, shown) {
      if (!entry.accepts.includes(value)) throw new Error(`flag ${shown} cannot be honoured: ${entry.why}`);
    },
  };
}
