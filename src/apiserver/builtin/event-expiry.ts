import { formatTime, getPath, type KubeObject } from "#machinery";
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
  async function sweep(): Promise<void> {
    const definition = server.registry.find("", "v1", "events");
    if (definition === undefined) return;
    const store = server.store(definition);
    await store.load();
    const before = server.clock.now() - EVENT_TTL_MS;
    const created = formatTime(before);
    const old: { readonly key: string; readonly revision: number }[] = [];
    // Most are younger altogether, which costs no reading of times.
    for (const [key, { object, revision }] of store.range(undefined))
      if ((object.metadata.creationTimestamp ?? "") < created && lastSeenMs(object) < before)
        old.push({ key, revision });
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
