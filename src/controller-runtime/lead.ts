import { hostname } from "node:os";
import type { Clock, Logger, Metrics, Random } from "#base";
import { createClient } from "#client";
import { conflict, type Transport } from "#machinery";
import { createLeaderElector, type LeaderElector } from "./leader-election.ts";

export interface LeadOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: Metrics;
  readonly config: {
    readonly leaderElect: boolean;
    readonly leaderElectLeaseDurationMs: number;
    readonly leaderElectRenewDeadlineMs: number;
    readonly leaderElectRetryPeriodMs: number;
    readonly leaderElectResourceNamespace: string;
  };
  /** Names of the leases, all of which must be held. */
  readonly leases: readonly string[];
  /** `wait` begins anew when the leases are won again; `fail` ends, as upstream's programs do. */
  readonly whenLost: "wait" | "fail";
  /** Begins the work; what it is given refuses to write from the moment the lead is lost. */
  start(fenced: Transport): Promise<{ stop(): Promise<void> }>;
}

/** Work done by one of several processes. */
export interface Led {
  readonly isLeader: boolean;
  /** What stands in a lease that is held here. */
  readonly identity: string;
  /** Rejects when the work could not start, or the lead was lost and that ends it. It never resolves. */
  readonly failed: Promise<never>;
  /** Ends the work, then gives the leases back, so that another replica takes over at once. */
  stop(): Promise<void>;
}

/**
 * Does the work on one replica of several. It begins when all leases are held and ends when one is lost; two works of one
 * process never overlap. Without leader election it begins at once.
 */
export function lead(options: LeadOptions): Led {
  const { transport, clock, log, config, leases, whenLost } = options;
  const status = options.metrics?.gauge("leader_election_master_status", "Whether this process leads", ["name"]);
  const held = new Set<string>();
  let work: Promise<{ stop(): Promise<void> } | undefined> = Promise.resolve(undefined);
  let fence: Fence | undefined;
  let isLeader = false;
  let isStopping = false;
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  failed.catch(() => undefined);

  const begin = () => {
    isLeader = true;
    const own = new Fence();
    fence = own;
    work = work.then(async () => {
      try {
        return own.isOpen ? await options.start(own.around(transport)) : undefined;
      } catch (error) {
        // Whoever lost the lead meanwhile tries again with the next one.
        if (own.isOpen) fail(error);
        else log.warn("the work of a lead that is over did not start", { error });
        return undefined;
      }
    });
  };
  const end = () => {
    isLeader = false;
    work = work.then(async (running) => {
      await running?.stop();
      return undefined;
    });
  };
  const later = (name: string) => electors[leases.indexOf(name) + 1];
  const hold = (name: string) => {
    status?.set(1, { name });
    held.add(name);
    later(name)?.hurry();
    if (held.size === leases.length) begin();
  };
  const lose = (name: string) => {
    status?.set(0, { name });
    const wasWhole = held.size === leases.length;
    held.delete(name);
    later(name)?.hurry();
    if (!wasWhole || isStopping) return;
    fence?.close();
    end();
    if (whenLost === "fail") fail(new Error(`lost the lease ${config.leaderElectResourceNamespace}/${name}`));
  };
  const client = createClient(transport, { fieldManager: "leader-election" });
  const identity = `${hostname()}_${options.random.uuid()}`;
  for (const name of leases) status?.set(0, { name });
  const electors: readonly LeaderElector[] = config.leaderElect
    ? leases.map((name) =>
        createLeaderElector({
          client,
          clock,
          log,
          namespace: config.leaderElectResourceNamespace,
          name,
          identity,
          leaseDurationMs: config.leaderElectLeaseDurationMs,
          renewDeadlineMs: config.leaderElectRenewDeadlineMs,
          retryPeriodMs: config.leaderElectRetryPeriodMs,
          // One after the other: of two processes that each held one lease, neither would ever get the other's.
          mayHold: () => leases.slice(0, leases.indexOf(name)).every((before) => held.has(before)),
          onStarted: () => hold(name),
          onStopped: () => lose(name),
        }),
      )
    : [];
  for (const elector of electors) elector.start();
  if (!config.leaderElect) for (const name of leases) hold(name);
  return {
    get isLeader() {
      return isLeader;
    },
    identity,
    failed,
    async stop() {
      // The work ends before the leases are given back: two may never write at once.
      isStopping = true;
      if (isLeader) end();
      await work;
      fence?.close();
      await Promise.all(electors.map((elector) => elector.stop()));
    },
  };
}

/** Lets requests through until it is closed; after that, writes are refused. */
class Fence {
  #isOpen = true;

  get isOpen(): boolean {
    return this.#isOpen;
  }

  close(): void {
    this.#isOpen = false;
  }

  around(transport: Transport): Transport {
    return {
      ...transport,
      send: (request) =>
        this.#isOpen || request.verb === "get"
          ? transport.send(request)
          : Promise.reject(
              conflict({ group: request.group, resource: request.resource }, "", "this replica leads no more"),
            ),
      list: (request) => transport.list(request),
      watch: (request, sink) => transport.watch(request, sink),
      raw: (request) => transport.raw(request),
    };
  }
}
