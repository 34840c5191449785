import { setMaxListeners } from "node:events";
import { type Clock, type Logger, type Metrics, silentMetrics, sleep } from "#base";
import { type Client, createClient, createInformers, createKindMapper, type Informers, type KindMapper } from "#client";
import type { KubeObject, Transport } from "#machinery";
import { type FlowOptions, type FlowStatus, type Room, withFlow } from "./flow.ts";

/** One member cluster as the control plane reaches it. A change of address or credentials makes a new one. */
export interface Member {
  readonly name: string;
  readonly transport: Transport;
  /** The connection without limits and breaker: for probes, which must not wait behind what they are to judge. */
  readonly direct: Transport;
  readonly client: Client;
  /** Caches of the member, one a kind, shared by all controllers. */
  readonly informers: Informers;
  readonly kinds: KindMapper;
  readonly flow: FlowStatus;
  /** For work that comes in bulk: it stands aside while the member has enough to do. */
  readonly room: Room;
  /** Aborted when this connection is given up. */
  readonly signal: AbortSignal;
}

/** What a connection is made from. Two equal fingerprints mean the same connection. */
export interface MemberEndpoint {
  readonly name: string;
  readonly fingerprint: string;
  /** Opens the transport; `close` runs when the member leaves or its endpoint changes. */
  open(): {
    readonly transport: Transport;
    /**
     * Objects come over a wire and are held for this member alone: its caches leave out who set which field, which is as
     * much as the rest of an object. Default false.
     */
    readonly isForeign?: boolean;
    close?(): void | Promise<void>;
  };
}

export type MemberChange =
  | { readonly type: "connected"; readonly member: Member }
  | { readonly type: "disconnected"; readonly member: Member };

/** The members that can be reached at present. */
export interface MemberPool {
  get(name: string): Member | undefined;
  readonly all: readonly Member[];
  /** Notes how a member was last seen, before thresholds decide what is published. */
  report(name: string, isWell: boolean): void;
  /** Members last seen unwell, published or not. */
  readonly unwell: ReadonlySet<string>;
  /** Connects, reconnects when the fingerprint differs, or leaves everything as it is. */
  connect(endpoint: MemberEndpoint): Member;
  disconnect(name: string): void;
  /** Tells of present members at once and of later changes. Returns how to stop. */
  follow(react: (change: MemberChange) => void): () => void;
  stop(): void;
  /**
   * Stops when `work` that uses the members has ended, or a few seconds after at the latest: nobody waits for a member that
   * does not answer. Resolves when the work has ended.
   */
  stopAfter(work: Promise<unknown>): Promise<void>;
}

/** How long requests under way may take when everything is to stop. */
const STOP_PATIENCE_MS = 2_000;

interface Held {
  readonly member: Member;
  readonly fingerprint: string;
  readonly stop: () => void;
}

const states = ({ inFlightLimit, inFlight, waiting, aside, throttled }: FlowStatus) =>
  [
    ["limit", inFlightLimit],
    ["in_flight", inFlight],
    ["waiting", waiting],
    ["aside", aside],
    ["throttled", throttled],
  ] as const;

function withoutManagers(object: KubeObject): KubeObject {
  const { managedFields: _managedFields, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** A pool that opens what it is told to; who tells it is the cluster controller, or the composition root in tests. */
export function createMemberPool(options: {
  readonly clock: Clock;
  readonly log: Logger;
  readonly flow?: Omit<FlowOptions, "clock">;
  readonly metrics?: Metrics;
}): MemberPool {
  const { clock, log } = options;
  const held = new Map<string, Held>();
  const metrics = options.metrics ?? silentMetrics;
  const requests = metrics.gauge(
    "flotilla_member_requests",
    "What a member is asked at a time: the limit that adapts to its answers, requests in flight and waiting, Works that stand aside until there is room, and requests refused with 429 that wait as long as it asked.",
    ["member_cluster", "state"],
  );
  metrics.onRead(() => {
    for (const { member } of held.values())
      for (const [state, number] of states(member.flow)) requests.set(number, { member_cluster: member.name, state });
  });
  const unwell = new Set<string>();
  const followers = new Set<(change: MemberChange) => void>();
  const tell = (change: MemberChange) => {
    for (const react of [...followers]) react(change);
  };

  function open(endpoint: MemberEndpoint): Held {
    const abort = new AbortController();
    // Every kind that is followed in the member listens.
    setMaxListeners(0, abort.signal);
    const opened = endpoint.open();
    const transport = withFlow(opened.transport, { clock, ...options.flow, signal: abort.signal });
    const memberLog = log.with({ cluster: endpoint.name });
    const informers = createInformers(transport, {
      clock,
      log: memberLog,
      ...(opened.isForeign === true ? { transform: withoutManagers } : {}),
    });
    informers.start();
    const member: Member = {
      name: endpoint.name,
      transport,
      direct: opened.transport,
      client: createClient(transport, { fieldManager: "karmada-controller-manager" }),
      informers,
      kinds: createKindMapper(transport, clock),
      get flow() {
        return transport.flow;
      },
      room: transport.room,
      signal: abort.signal,
    };
    const stop = () => {
      abort.abort();
      informers.stop();
      void opened.close?.();
    };
    return { member, fingerprint: endpoint.fingerprint, stop };
  }

  const disconnect = (name: string) => {
    const gone = held.get(name);
    if (gone === undefined) return;
    held.delete(name);
    for (const [state] of states(gone.member.flow)) requests.remove({ member_cluster: name, state });
    gone.stop();
    tell({ type: "disconnected", member: gone.member });
  };

  const stop = () => {
    for (const name of [...held.keys()]) disconnect(name);
    followers.clear();
  };

  return {
    get: (name) => held.get(name)?.member,
    get all() {
      return [...held.values()].map(({ member }) => member);
    },
    report(name, isWell) {
      if (isWell) unwell.delete(name);
      else unwell.add(name);
    },
    unwell,
    connect(endpoint) {
      const present = held.get(endpoint.name);
      if (present?.fingerprint === endpoint.fingerprint) return present.member;
      disconnect(endpoint.name);
      const fresh = open(endpoint);
      held.set(endpoint.name, fresh);
      tell({ type: "connected", member: fresh.member });
      return fresh.member;
    },
    disconnect,
    follow(react) {
      followers.add(react);
      for (const { member } of held.values()) react({ type: "connected", member });
      return () => followers.delete(react);
    },
    stop,
    async stopAfter(work) {
      const ended = new AbortController();
      const isOver = work.finally(() => ended.abort());
      // It is awaited below; a failure before that must not end the process.
      isOver.catch(() => undefined);
      await sleep(clock, STOP_PATIENCE_MS, ended.signal);
      stop();
      await isOver;
    },
  };
}
