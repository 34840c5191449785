import { hostname } from "node:os";
import type { Clock, Logger, Metrics, Random } from "#base";
import type { Client } from "#client";
import { createLeaderElector } from "./leader-election.ts";

export interface LeadOptions {
  readonly client: Client;
  readonly config: {
    readonly leaderElect: boolean;
    readonly leaderElectLeaseDurationMs: number;
    readonly leaderElectRenewDeadlineMs: number;
    readonly leaderElectRetryPeriodMs: number;
    readonly leaderElectResourceNamespace: string;
  };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Work done by one of several processes. */
export interface Led {
  /** Rejects when the work failed or the lease was lost. It never resolves. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

/** Runs work while its lease is held; who lost it fails, as upstream's programs end then. */
export function lead(
  work: { start(): Promise<void>; stop(): Promise<void> },
  lease: string,
  { client, config, clock, random, log, metrics }: LeadOptions,
): Led {
  const status = metrics.gauge("leader_election_master_status", "Whether this process leads", ["name"]);
  status.set(0, { name: lease });
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  failed.catch(() => undefined);
  const begin = () => {
    status.set(1, { name: lease });
    work.start().catch((error: unknown) => fail(error instanceof Error ? error : new Error(String(error))));
  };
  if (!config.leaderElect) {
    begin();
    return { failed, stop: () => work.stop() };
  }
  let isStopping = false;
  const elector = createLeaderElector({
    client,
    clock,
    log,
    namespace: config.leaderElectResourceNamespace,
    name: lease,
    identity: `${hostname()}_${random.uuid()}`,
    leaseDurationMs: config.leaderElectLeaseDurationMs,
    renewDeadlineMs: config.leaderElectRenewDeadlineMs,
    retryPeriodMs: config.leaderElectRetryPeriodMs,
    onStarted: begin,
    onStopped: () => {
      status.set(0, { name: lease });
      if (!isStopping) fail(new Error(`lost the lease ${config.leaderElectResourceNamespace}/${lease}`));
    },
  });
  elector.start();
  return {
    failed,
    async stop() {
      isStopping = true;
      await work.stop();
      await elector.stop();
    },
  };
}
