import type { Clock, Logger } from "#base";
import type { Client, Informers } from "#client";
import {
  createEstimatorPool,
  type DiscoveryOptions,
  followEstimators,
  followMembers,
  type MutableEstimatorPool,
} from "#estimator";
import type { MemberPool } from "#member";
import type { DecisionLog } from "./decision-log.ts";
import type { Gates } from "./facts.ts";
import type { SchedulerDeps } from "./options.ts";
import { startPluginHost } from "./plugin-host/host.ts";
import type { PluginHost } from "./plugins/plugin.ts";

/** What a program's flags say about the scheduler's surroundings. */
export interface SchedulerSetup {
  readonly gates: Gates;
  readonly clock: Clock;
  readonly log: Logger;
  readonly decisions?: DecisionLog;
  /** `--scheduler-plugin`: URLs of users' modules. */
  readonly pluginUrls?: readonly string[];
  /** `--scheduler-estimator-timeout`; default 3 s. */
  readonly estimatorTimeoutMs?: number;
  /** Members connected to this process, estimated in it. */
  readonly members?: MemberPool;
  /** `--enable-scheduler-estimator` for members elsewhere: their estimators are found by Service and asked over gRPC. */
  readonly remote?: { readonly informers: Informers; readonly client: Client; readonly options?: DiscoveryOptions };
}

export interface AssembledScheduler {
  /** To be handed to `schedulerController`. */
  readonly deps: SchedulerDeps;
  /** The same pool serves the descheduler. */
  readonly estimatorPool: MutableEstimatorPool;
  /** Ends plugin threads and connections; call it after the scheduler stopped. */
  stop(): void;
}

/** Loads plugins and connects estimators. Rejects when a plugin cannot be used, with its cause; nothing is left running then. */
export async function assembleScheduler(setup: SchedulerSetup): Promise<AssembledScheduler> {
  const { clock, log, gates, members, remote, estimatorTimeoutMs } = setup;
  const pluginHosts: PluginHost[] = [];
  try {
    for (const url of setup.pluginUrls ?? []) {
      const host = await startPluginHost({ url, clock, log });
      pluginHosts.push(host);
      if (pluginHosts.some((other) => other !== host && other.name === host.name))
        throw new Error(`two scheduler plugins are named ${JSON.stringify(host.name)}`);
    }
  } catch (error) {
    for (const host of pluginHosts) host.close();
    throw error;
  }
  const estimatorPool = createEstimatorPool({
    clock,
    log,
    ...(estimatorTimeoutMs === undefined ? {} : { timeoutMs: estimatorTimeoutMs }),
  });
  const leaveMembers = members === undefined ? undefined : followMembers(members, estimatorPool, { clock, gates });
  const following = remote === undefined ? undefined : followEstimators({ ...remote, pool: estimatorPool, clock, log });
  return {
    deps: {
      gates,
      estimatorPool,
      pluginHosts,
      ...(setup.decisions === undefined ? {} : { decisions: setup.decisions }),
    },
    estimatorPool,
    stop() {
      leaveMembers?.();
      following?.stop();
      estimatorPool.close();
      for (const host of pluginHosts) host.close();
    },
  };
}
