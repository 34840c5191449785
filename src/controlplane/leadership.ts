import { hostname } from "node:os";
import type { Clock, Logger, Metrics, Random } from "#base";
import { createClient } from "#client";
import { createLeaderElector } from "#controller-runtime";
import { conflict, type Transport } from "#machinery";

/** Lock of controllers and scheduler together (wire: the name upstream's controller manager takes). */
const LEASE = "karmada-controller-manager";
/** The scheduler's own lock: another scheduler of that name must not work beside ours (wire). */
const SCHEDULER_LEASE = "karmada-scheduler";

export interface LeadershipOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: Metrics;
  readonly namespace: string;
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
  /** Starts the work; what it is given refuses to write from the moment the lead is lost. */
  start(fenced: Transport): Promise<{ stop(): Promise<void> }>;
}

export interface Leadership {
  readonly isLeader: boolean;
  /** Rejects when the work could not start: another try would end alike. It never resolves. */
  readonly failed: Promise<never>;
  /** Gives the lead back, so that another replica takes it at once. */
  stop(): Promise<void>;
}

/**
 * Does the work on one replica of several. It begins when both leases are held, ends when one is lost, and begins anew
 * when they are won again; two works of one process never overlap.
 */
export function takeLead(options: LeadershipOptions): Leadership {
  const { transport, clock, log, namespace, leaseDurationMs, renewDeadlineMs, retryPeriodMs } = options;
  const identity = `${hostname()}_${options.random.uuid()}`;
  const status = options.metrics?.gauge("leader_election_master_status", "Whether this process leads", ["name"]);
  const client = createClient(transport, { fieldManager: "leader-election" });
  const held = new Set<string>();
  let work: Promise<{ stop(): Promise<void> } | undefined> = Promise.resolve(undefined);
  let fence: Fence | undefined;
  let isLeader = false;
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
    fence?.close();
    work = work.then(async (running) => {
      await running?.stop();
      return undefined;
    });
  };
  const electors = [LEASE, SCHEDULER_LEASE].map((name) => {
    status?.set(0, { name });
    return createLeaderElector({
      client,
      clock,
      log,
      namespace,
      name,
      identity,
      leaseDurationMs,
      renewDeadlineMs,
      retryPeriodMs,
      onStarted: () => {
        status?.set(1, { name });
        held.add(name);
        if (held.size === 2) begin();
      },
      onStopped: () => {
        status?.set(0, { name });
        if (held.size === 2) end();
        held.delete(name);
      },
    });
  });
  for (const elector of electors) elector.start();
  return {
    get isLeader() {
      return isLeader;
    },
    failed,
    async stop() {
      // The work ends before the leases are given back: two may never write at once.
      const wasLeader = isLeader;
      isLeader = false;
      if (wasLeader)
        work = work.then(async (running) => {
          await running?.stop();
          return undefined;
        });
      await work;
      fence?.close();
      held.clear();
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
