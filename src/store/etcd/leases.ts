import type { Operation } from "../backend.ts";
import type { EtcdConnection } from "./connection.ts";
import { leaseGrant } from "./messages.ts";

/** A lease is shared by writes of at most this long, at the price of ending that much later. */
const SHARED_SECONDS_MAX = 60;

/** Leases for keys that end by themselves; few leases for many keys, as etcd likes it. */
export class LeasePool {
  readonly #connection: EtcdConnection;
  readonly #leases = new Map<number, { readonly id: Promise<string>; readonly untilMs: number }>();

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
  }

  /** The lease of a transaction's puts; nothing when none of them ends. */
  of(operations: readonly Operation[]): Promise<string | undefined> {
    let seconds = 0;
    for (const operation of operations)
      if (operation.type === "put") seconds = Math.max(seconds, operation.leaseSeconds ?? 0);
    if (seconds === 0) return Promise.resolve(undefined);
    const nowMs = performance.now();
    const shared = Math.min(SHARED_SECONDS_MAX, Math.ceil(seconds / 10));
    const present = this.#leases.get(seconds);
    if (present !== undefined && present.untilMs > nowMs) return present.id;
    const id = this.#connection.ask(leaseGrant, { ttl: seconds + shared }).then((granted) => granted.id);
    id.catch(() => this.#leases.delete(seconds));
    this.#leases.set(seconds, { id, untilMs: nowMs + shared * 1000 });
    return id;
  }
}
