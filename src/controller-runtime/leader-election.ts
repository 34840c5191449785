import type { Clock, Logger, Timer } from "#base";
import type { Client } from "#client";
import {
  formatMicroTime,
  isAlreadyExists,
  isConflict,
  type KubeObject,
  type ResourceKind,
  type WatchHandle,
} from "#machinery";

interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

const LeaseKind: ResourceKind<Lease> = {
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  resource: "leases",
  namespaced: true,
};

export interface LeaderElectionOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly namespace: string;
  /** Lock name; upstream's names are kept (wire), such as `karmada-controller-manager`. */
  readonly name: string;
  readonly identity: string;
  /** Defaults 15 s, 10 s and 2 s, as client-go's. */
  readonly leaseDurationMs?: number;
  readonly renewDeadlineMs?: number;
  readonly retryPeriodMs?: number;
  /** Whether the lease may be held now; while not, it is only looked at, and given back if it is held. Default always. */
  readonly mayHold?: () => boolean;
  /** Called when leadership is won. */
  readonly onStarted: () => void;
  /** Called when it is lost or given back. The caller must stop writing before it returns. */
  readonly onStopped: () => void;
}

export interface LeaderElector {
  readonly isLeader: boolean;
  start(): void;
  /** Tries now and not when the retry period is over: something has changed. */
  hurry(): void;
  /** Gives the lease back, so that another replica takes over at once. */
  stop(): Promise<void>;
}

/**
 * Leader election by Lease, compatible with client-go: other holders are judged by when *we* saw them renew. Who waits
 * follows the Lease besides, and tries at once when it is given back; where it may not be watched, the retry period counts.
 */
export function createLeaderElector(options: LeaderElectionOptions): LeaderElector {
  const { client, clock, log, namespace, name, identity } = options;
  const { mayHold = () => true } = options;
  const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryPeriodMs = 2_000 } = options;
  let isLeader = false;
  let isStopped = true;
  let timer: Timer | undefined;
  let renewedMs = 0;
  let observed: { readonly resourceVersion: string; readonly atMs: number } | undefined;
  /** The holder whose lead was said to be waited for. */
  let waitedFor: string | undefined;
  let running: Promise<void> = Promise.resolve();
  let isHurried = false;
  let following: WatchHandle | undefined;

  function follow(): void {
    if (following !== undefined) return;
    let isClosed = false;
    const handle = client.transport.watch(
      {
        group: "coordination.k8s.io",
        version: "v1",
        resource: "leases",
        namespace,
        fieldSelector: `metadata.name=${name}`,
      },
      {
        event(type, object) {
          const isFree = type === "DELETED" || (object as Lease).spec?.holderIdentity === "";
          if (isFree && type !== "BOOKMARK" && !isLeader) hurry();
        },
        closed() {
          isClosed = true;
          following = undefined;
        },
      },
    );
    if (!isClosed) following = handle;
  }

  function unfollow(): void {
    following?.stop();
    following = undefined;
  }

  async function tryHold(): Promise<boolean> {
    const nowMs = clock.monotonicMs();
    const now = formatMicroTime(clock.now());
    const lease = await client.find(LeaseKind, { namespace, name });
    const leaseDurationSeconds = Math.round(leaseDurationMs / 1000);
    if (lease === undefined) {
      if (!mayHold()) return false;
      await client.create(LeaseKind, {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { namespace, name },
        spec: { holderIdentity: identity, leaseDurationSeconds, acquireTime: now, renewTime: now, leaseTransitions: 0 },
      });
      return true;
    }
    const spec = lease.spec ?? {};
    const resourceVersion = lease.metadata.resourceVersion ?? "";
    if (observed?.resourceVersion !== resourceVersion) observed = { resourceVersion, atMs: nowMs };
    if (!mayHold()) return false;
    const isHeldByOther =
      spec.holderIdentity !== undefined && spec.holderIdentity !== "" && spec.holderIdentity !== identity;
    const durationMs = (spec.leaseDurationSeconds ?? leaseDurationSeconds) * 1000;
    if (isHeldByOther && nowMs < observed.atMs + durationMs) {
      if (waitedFor !== spec.holderIdentity)
        log.info("waits for the lead", { lease: name, holder: spec.holderIdentity });
      waitedFor = spec.holderIdentity;
      return false;
    }
    const isRenewal = spec.holderIdentity === identity;
    const written = await client.update(LeaseKind, {
      ...lease,
      spec: {
        ...spec,
        holderIdentity: identity,
        leaseDurationSeconds,
        acquireTime: isRenewal ? (spec.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: (spec.leaseTransitions ?? 0) + (isRenewal ? 0 : 1),
      },
    });
    observed = { resourceVersion: written.metadata.resourceVersion ?? "", atMs: nowMs };
    return true;
  }

  async function turn(): Promise<void> {
    let holds = false;
    try {
      holds = await tryHold();
    } catch (error) {
      if (!isConflict(error) && !isAlreadyExists(error)) log.warn("lease not written", { lease: name, error });
      // A leader that cannot renew stays leader until the deadline: others must wait for the lease to run out anyway.
      holds = isLeader && mayHold() && clock.monotonicMs() < renewedMs + renewDeadlineMs;
      if (holds) return;
    }
    if (isStopped) return;
    if (holds) renewedMs = clock.monotonicMs();
    if (holds && !isLeader) {
      isLeader = true;
      waitedFor = undefined;
      log.info("became leader", { lease: name, identity });
      options.onStarted();
    } else if (!holds && isLeader) {
      isLeader = false;
      log.warn("lost leadership", { lease: name, identity });
      options.onStopped();
      if (!mayHold()) await giveBack();
    }
    if (isLeader) unfollow();
    else follow();
  }

  async function giveBack(): Promise<void> {
    try {
      const lease = await client.find(LeaseKind, { namespace, name });
      if (lease?.spec?.holderIdentity === identity)
        await client.update(LeaseKind, {
          ...lease,
          spec: { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1 },
        });
    } catch (error) {
      log.debug("lease not given back", { lease: name, error });
    }
  }

  const loop = () => {
    running = turn().finally(() => {
      if (!isStopped) timer = clock.after(retryPeriodMs, loop);
    });
  };

  function hurry(): void {
    if (isHurried) return;
    isHurried = true;
    void running.then(() => {
      isHurried = false;
      if (isStopped) return;
      timer?.cancel();
      loop();
    });
  }

  return {
    get isLeader() {
      return isLeader;
    },
    start() {
      if (!isStopped) return;
      isStopped = false;
      loop();
    },
    hurry,
    async stop() {
      if (isStopped) return;
      isStopped = true;
      timer?.cancel();
      await running;
      unfollow();
      if (!isLeader) return;
      isLeader = false;
      options.onStopped();
      await giveBack();
    },
  };
}
