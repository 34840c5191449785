import type { Clock, Logger } from "#base";
import type { Client, Informers } from "#client";
import type { MemberPool } from "#member";
import { type DiscoveryOptions, followEstimators } from "./grpc/discovery.ts";
import { followMembers } from "./member-estimator.ts";
import { createEstimatorPool, type EstimatorPool } from "./pool.ts";

export interface ConnectEstimatorsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly gates: ReadonlySet<string>;
  /** `--scheduler-estimator-timeout`; default 3 s. */
  readonly timeoutMs?: number;
  /** Members connected to this process, estimated in it. */
  readonly members?: MemberPool;
  /** Members elsewhere: their estimators are found by Service and asked over gRPC. */
  readonly remote?: { readonly informers: Informers; readonly client: Client; readonly options?: DiscoveryOptions };
}

/** The accurate estimators of a fleet, those in this process before those elsewhere, until stopped. */
export function connectEstimators(options: ConnectEstimatorsOptions): {
  readonly pool: EstimatorPool;
  /** Resolves when those elsewhere have been tried once; a scheduler without members of its own waits for it. */
  tried(): Promise<void>;
  /** Ends connections; call it after those who ask have stopped. */
  stop(): void;
} {
  const { clock, log, gates, members, remote, timeoutMs } = options;
  const pool = createEstimatorPool({ clock, log, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  const leaveMembers = members === undefined ? undefined : followMembers(members, pool, { clock, gates });
  const following = remote === undefined ? undefined : followEstimators({ ...remote, pool, clock, log });
  return {
    pool,
    tried: async () => following?.tried(),
    stop() {
      leaveMembers?.();
      following?.stop();
      pool.close();
    },
  };
}
