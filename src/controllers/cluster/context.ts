import type { ControllerContext } from "#controller-runtime";
import type { MemberPool } from "#member";

export interface ClusterDeps {
  /** Where members that are late are noted before they are too late; may be left out. */
  readonly members?: MemberPool;
}

export interface ClusterOptions {
  readonly clusterMonitorPeriodMs: number;
  readonly clusterMonitorGracePeriodMs: number;
  readonly clusterStartupGracePeriodMs: number;
  /** Unhealthy for so long, a cluster gets a NoExecute taint; 0, the default, leaves that to policies and people. */
  readonly failoverEvictionTimeoutMs: number;
}

export type ClusterContext = ControllerContext<ClusterDeps, ClusterOptions>;
