import type { Random } from "#base";
import type { ApiError, KubeObject, Transport, WatchEventType, WatchHandle } from "#machinery";

/** One request as a client saw it. `called` and `answered` are places in the order of everything that happened. */
export interface Operation {
  readonly kind: "create" | "update" | "delete" | "get";
  readonly key: string;
  readonly called: number;
  readonly answered: number;
  /** The version an update was made from; absent for updates of whatever is there. */
  readonly expected?: number;
  readonly outcome: "done" | "NotFound" | "AlreadyExists" | "Conflict";
  /** The version that was written or read. */
  readonly revision?: number;
  /** What a deletion removed. */
  readonly uid?: string;
}

export interface WatchedEvent {
  readonly type: WatchEventType;
  readonly key: string;
  readonly revision: number;
  readonly uid: string;
}

/** What one watcher saw, over all its watches, each begun where the one before ended. */
export interface WatchedHistory {
  readonly from: number;
  readonly events: WatchedEvent[];
}

export interface History {
  readonly operations: readonly Operation[];
  readonly watches: readonly WatchedHistory[];
  /** What a list shows in the end: key to version. */
  readonly final: ReadonlyMap<string, number>;
}

export interface HistoryOptions {
  readonly operations: number;
  readonly writers: number;
  readonly watchers: number;
  readonly keys: number;
  readonly random: Random;
}

const ADDRESS = { group: "", version: "v1", resource: "configmaps", namespace: "default" };

/** Lets writers and watchers loose on the replicas of a server and writes down what they see. */
export async function recordHistory(replicas: readonly Transport[], options: HistoryOptions): Promise<History> {
  const { random } = options;
  const operations: Operation[] = [];
  let moment = 0;
  let left = options.operations;
  const revisionOf = (object: KubeObject) => Number(object.metadata.resourceVersion);
  const known = new Map<string, number>();

  const replica = (): Transport => replicas[random.below(replicas.length)] as Transport;
  // A replica keeps changes from its first look at a kind on; a watch it is asked for must not be from before that.
  for (const one of replicas) await one.list(ADDRESS);
  const start = await replica().list(ADDRESS);
  const from = Number(start.metadata.resourceVersion);
  const watchers = Array.from({ length: options.watchers }, () => watchOn(replica, from, random));

  const act = async (): Promise<void> => {
    const key = `k${random.below(options.keys)}`;
    const dice = random.below(10);
    const kind = dice < 2 ? "create" : dice < 6 ? "update" : dice < 8 ? "delete" : "get";
    const expected = kind === "update" && random.below(2) === 0 ? known.get(key) : undefined;
    const body = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: key, ...(expected === undefined ? {} : { resourceVersion: String(expected) }) },
      data: { value: `${moment}` },
    } as unknown as KubeObject;
    const called = moment++;
    const head = { kind, key, called, ...(expected === undefined ? {} : { expected }) } as const;
    const transport = replica();
    try {
      const answer =
        kind === "create"
          ? await transport.send({ verb: "create", ...ADDRESS, body })
          : kind === "update"
            ? await transport.send({ verb: "update", ...ADDRESS, name: key, body })
            : await transport.send({ verb: kind, ...ADDRESS, name: key });
      const answered = moment++;
      if (kind === "delete") {
        const { details } = answer as unknown as { readonly details: { readonly uid: string } };
        operations.push({ ...head, answered, outcome: "done", uid: details.uid });
      } else {
        const revision = revisionOf(answer);
        known.set(key, revision);
        operations.push({ ...head, answered, outcome: "done", revision });
      }
    } catch (error) {
      const outcome = (error as ApiError).reason;
      if (outcome !== "NotFound" && outcome !== "AlreadyExists" && outcome !== "Conflict") throw error;
      operations.push({ ...head, answered: moment++, outcome });
    }
  };
  const write = async (): Promise<void> => {
    while (left-- > 0) await act();
  };
  await Promise.all(Array.from({ length: options.writers }, write));
  const last = await replica().list(ADDRESS);
  const until = Number(last.metadata.resourceVersion);
  await Promise.all(watchers.map((watcher) => watcher.reach(until)));
  return {
    operations,
    watches: watchers.map(({ history }) => history),
    final: new Map(last.items.map((item) => [item.metadata.name ?? "", revisionOf(item)])),
  };
}

/** A watcher that stops at random and goes on from the last version it saw. */
function watchOn(replica: () => Transport, from: number, random: Random) {
  const events: WatchedEvent[] = [];
  let last = from;
  let handle: WatchHandle | undefined;
  let failure: Error | undefined;
  let waiting: { readonly revision: number; done(): void; failed(error: Error): void } | undefined;
  const begin = () => {
    let budget = 50 + random.below(500);
    handle = replica().watch(
      { ...ADDRESS, resourceVersion: String(last), allowWatchBookmarks: true },
      {
        event(type, object) {
          const revision = Number(object.metadata.resourceVersion);
          if (type !== "BOOKMARK")
            events.push({ type, key: object.metadata.name ?? "", revision, uid: object.metadata.uid ?? "" });
          last = revision;
          if (waiting !== undefined && last >= waiting.revision) waiting.done();
          if (--budget > 0) return;
          handle?.stop();
          queueMicrotask(begin);
        },
        closed(error) {
          failure = error ?? new Error("the watch ended by itself");
          waiting?.failed(failure);
        },
      },
    );
  };
  begin();
  return {
    history: { from, events } satisfies WatchedHistory,
    /** Resolves when the watcher has seen a version, or everything up to it. */
    reach: (revision: number) =>
      new Promise<void>((resolve, reject) => {
        const done = () => {
          handle?.stop();
          resolve();
        };
        if (failure !== undefined) return reject(failure);
        if (last >= revision) return done();
        waiting = { revision, done, failed: reject };
      }),
  };
}

interface Change {
  readonly revision: number;
  readonly isDeletion: boolean;
  readonly called: number;
  readonly answered: number;
}

/** Whatever in a history no correct server can answer; empty when all is well. */
export function checkHistory({ operations, watches, final }: History): readonly string[] {
  const wrong: string[] = [];
  const complete = watches[0]?.events ?? [];
  wrong.push(...watches.flatMap((watch, at) => checkWatch(watch, complete, `watcher ${at}`)));
  const deletions = new Map(
    complete.filter(({ type }) => type === "DELETED").map((event) => [event.uid, event.revision]),
  );
  const changes = new Map<string, Change[]>();
  const seen = new Map(complete.map((event) => [event.revision, event]));
  for (const { kind, key, outcome, revision, uid, called, answered } of operations) {
    if (outcome !== "done" || kind === "get") continue;
    const at = kind === "delete" ? deletions.get(uid ?? "") : revision;
    if (at === undefined || seen.get(at)?.key !== key) {
      wrong.push(`${kind} of ${key} was acknowledged, and no watcher saw it`);
      continue;
    }
    const list = changes.get(key) ?? [];
    changes.set(key, list);
    list.push({ revision: at, isDeletion: kind === "delete", called, answered });
  }
  const acknowledged = [...changes.values()].flat();
  if (new Set(acknowledged.map(({ revision }) => revision)).size < complete.length)
    wrong.push("watchers saw changes nobody made");
  wrong.push(...checkRealTime(acknowledged));
  for (const list of changes.values()) list.sort((left, right) => left.revision - right.revision);
  for (const operation of operations) {
    const mistake = checkOperation(operation, changes.get(operation.key) ?? []);
    if (mistake !== undefined) wrong.push(`${operation.kind} of ${operation.key} at ${operation.called}: ${mistake}`);
  }
  const held = new Map<string, number>();
  for (const { type, key, revision } of complete)
    if (type === "DELETED") held.delete(key);
    else held.set(key, revision);
  const shown = (map: ReadonlyMap<string, number>) => JSON.stringify([...map].sort());
  if (shown(held) !== shown(final)) wrong.push("what watchers hold in the end is not what a list shows");
  return wrong;
}

/** Events of a watch must be in order, once each, complete, and fit what was there before. */
function checkWatch({ events }: WatchedHistory, complete: readonly WatchedEvent[], who: string): readonly string[] {
  const wrong: string[] = [];
  const held = new Map<string, string>();
  let last = 0;
  for (const { type, key, revision, uid } of events) {
    if (revision <= last) wrong.push(`${who} saw version ${revision} behind ${last}`);
    last = revision;
    if ((type === "ADDED") === held.has(key))
      wrong.push(`${who} saw ${type} of ${key} which was ${held.has(key) ? "" : "not "}there`);
    if (type !== "ADDED" && held.get(key) !== uid) wrong.push(`${who} saw ${type} of another ${key}`);
    if (type === "DELETED") held.delete(key);
    else held.set(key, uid);
  }
  if (JSON.stringify(events) !== JSON.stringify(complete)) wrong.push(`${who} did not see what the first one saw`);
  return wrong;
}

/** A change that was answered before another was asked for has the smaller version. */
function checkRealTime(changes: readonly Change[]): readonly string[] {
  const byCall = [...changes].sort((left, right) => left.called - right.called);
  const byAnswer = [...changes].sort((left, right) => left.answered - right.answered);
  let highest = 0;
  let next = 0;
  const wrong: string[] = [];
  for (const change of byCall) {
    for (; (byAnswer[next]?.answered ?? Number.MAX_VALUE) < change.called; next++)
      highest = Math.max(highest, byAnswer[next]?.revision ?? 0);
    if (change.revision <= highest)
      wrong.push(`version ${change.revision} was asked for after ${highest} was answered`);
  }
  return wrong;
}

/** Whether the answer can have been true at some moment between call and answer. */
function checkOperation(operation: Operation, changes: readonly Change[]): string | undefined {
  const { kind, outcome, expected, revision, called, answered } = operation;
  // States of the key: 0 is before any change, n is after the n-th.
  const isPossible = (state: number) =>
    (state === 0 || (changes[state - 1] as Change).called < answered) &&
    (changes[state] === undefined || (changes[state] as Change).answered > called);
  const isAbsent = (state: number) => state === 0 || (changes[state - 1] as Change).isDeletion;
  const states = Array.from({ length: changes.length + 1 }, (_, at) => at);
  const versionAt = (state: number) => (isAbsent(state) ? 0 : (changes[state - 1] as Change).revision);
  if (outcome === "done") {
    if (kind === "get") {
      const state = states.find((at) => versionAt(at) === revision);
      if (state === undefined) return `version ${revision} never was`;
      return isPossible(state) ? undefined : `version ${revision} was not the present one`;
    }
    const own = changes.findIndex((change) =>
      kind === "delete" ? change.called === called : change.revision === revision,
    );
    if (own < 0) return undefined;
    if (kind === "create") return isAbsent(own) ? undefined : "it was there already";
    if (isAbsent(own)) return "it was not there";
    if (expected !== undefined && versionAt(own) !== expected)
      return `it was made from ${expected}, not ${versionAt(own)}`;
    return undefined;
  }
  const fits = (state: number): boolean => {
    if (outcome === "NotFound") return isAbsent(state);
    if (outcome === "AlreadyExists") return !isAbsent(state);
    return !isAbsent(state) && versionAt(state) !== expected;
  };
  return states.some((state) => fits(state) && isPossible(state)) ? undefined : `${outcome} was true at no moment`;
}
