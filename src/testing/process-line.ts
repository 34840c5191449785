import type { Transport } from "#machinery";
import type { Backend } from "#store";

/** What one process reaches others by: its way to a shared store can be cut and mended, and all ends when it is killed. */
export interface ProcessLine {
  readonly backend: Backend;
  readonly isCut: boolean;
  /** While it is cut the store does not answer and changes are held back, as behind a broken network. */
  setCut(isCut: boolean): void;
  /** The process's way to another server: nothing passes any more when it is killed. */
  around(transport: Transport): Transport;
  /** As `kill -9`: what is under way is lost, and nobody hears of the process again. */
  kill(): void;
}

/** A line of its own to `shared`. `isReplicated` makes its user take a lead before it works, as on etcd. */
export function processLine(shared: Backend, isReplicated: boolean): ProcessLine {
  let cutAt: number | undefined;
  let isDead = false;
  const held: (() => void)[] = [];
  const dead = () => new Error("the process is dead");
  const pass = <T>(work: () => Promise<T>): Promise<T> =>
    isDead || cutAt !== undefined ? Promise.reject(new Error("the store does not answer")) : work();
  const deliver = (work: () => void) => {
    if (isDead) return;
    if (cutAt !== undefined) held.push(work);
    else work();
  };
  const living = async <T>(work: () => Promise<T>): Promise<T> => {
    if (isDead) throw dead();
    const answer = await work();
    if (isDead) throw dead();
    return answer;
  };
  const backend: Backend = {
    // What was reported to this process, and no more.
    get revision() {
      return cutAt ?? shared.revision;
    },
    get compactedRevision() {
      return shared.compactedRevision;
    },
    get: (key) => pass(() => shared.get(key)),
    list: (prefix, options) => pass(() => shared.list(prefix, options)),
    txn: (operations) => pass(() => shared.txn(operations)),
    compact: (revision) => pass(() => shared.compact(revision)),
    watch: (prefix, after, sink) =>
      shared.watch(prefix, after, {
        changes: (changes) => deliver(() => sink.changes(changes)),
        closed: (error) => deliver(() => sink.closed(error)),
      }),
    ...(isReplicated ? { settle: () => pass(() => Promise.resolve()) } : {}),
    // The store outlives whoever uses it.
    close: () => Promise.resolve(),
  };
  return {
    backend,
    get isCut() {
      return cutAt !== undefined;
    },
    setCut(isCut) {
      cutAt = isCut ? (cutAt ?? shared.revision) : undefined;
      if (!isCut) for (const work of held.splice(0)) work();
    },
    around: (transport) => ({
      send: (request) => living(() => transport.send(request)),
      list: (request) => living(() => transport.list(request)),
      raw: (request) => living(() => transport.raw(request)),
      watch: (request, sink) =>
        transport.watch(request, {
          event: (type, object) => {
            if (!isDead) sink.event(type, object);
          },
          closed: (error) => {
            if (!isDead) sink.closed(error);
          },
        }),
    }),
    kill() {
      isDead = true;
      held.length = 0;
    },
  };
}
