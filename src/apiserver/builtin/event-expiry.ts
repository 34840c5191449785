import { getPath, type KubeObject } from "#machinery";
import type { ApiServer } from "../server.ts";

/** How long an Event is kept after it was last seen, as `--event-ttl` by default. */
export const EVENT_TTL_MS = 3_600_000;
const LOOK_EVERY_MS = 60_000;

/** When an Event was last reported. */
function lastSeenMs(event: KubeObject): number {
  const times = [
    getPath(event, "series", "lastObservedTime"),
    getPath(event, "lastTimestamp"),
    getPath(event, "eventTime"),
    event.metadata.creationTimestamp,
  ];
  return Math.max(
    0,
    ...times.flatMap((time) => (typeof time === "string" ? [Date.parse(time)] : [])).filter(Number.isFinite),
  );
}

/** Removes Events nobody has reported for an hour. Returns what ends it. */
export function expireEvents(server: ApiServer): () => void {
  // A store with leases does it by itself.
  if (server.backend.expiresLeases === true) return () => {};
  let timer = server.clock.after(LOOK_EVERY_MS, look);
  let isStopped = false;
  /** Which revisions there were at earlier looks. What was written since one of them is younger than it. */
  let marks: readonly { readonly atMs: number; readonly revision: number }[] = [];
  async function sweep(): Promise<void> {
    const definition = server.registry.find("", "v1", "events");
    if (definition === undefined) return;
    const store = server.store(definition);
    await store.load();
    const nowMs = server.clock.now();
    const before = nowMs - EVENT_TTL_MS;
    const passed = marks.filter(({ atMs }) => atMs <= before);
    const newest = passed.at(-1);
    // A clock that was set back begins anew.
    marks = [...marks.filter(({ atMs }) => atMs > before && atMs <= nowMs), { atMs: nowMs, revision: store.revision }];
    if (newest !== undefined) marks = [newest, ...marks];
    const old: { readonly key: string; readonly revision: number }[] = [];
    // Most are younger altogether, which costs no reading of them.
    for (const [key, stored] of store.range(undefined))
      if (newest !== undefined && stored.revision <= newest.revision && lastSeenMs(stored.object) < before)
        old.push({ key, revision: stored.revision });
    for (const { key, revision } of old) {
      if (isStopped) return;
      // One that was reported again meanwhile has another revision and stays.
      await store.delete(key, revision);
    }
  }
  function look(): void {
    if (isStopped) return;
    sweep()
      .catch((error: unknown) => server.log.error("could not remove old events", { error }))
      .finally(() => {
        if (!isStopped) timer = server.clock.after(LOOK_EVERY_MS, look);
      });
  }
  return () => {
    isStopped = true;
    timer.cancel();
  };
}
