import { expect } from "vitest";
import { seededRandom, systemClock } from "#base";
import type { Backend } from "#store";
import { createTestServer } from "#testing";
import { checkHistory, recordHistory } from "./history.ts";

export const SEED = Number(process.env["HISTORY_SEED"] ?? 1);

/** Records a history on the replicas of one store, one for each backend, and expects nothing in it to be wrong. */
export async function expectSoundHistory(backends: readonly Backend[], operations: number): Promise<void> {
  const servers = [];
  // Each replica has its own chance: the uids of two would be the same otherwise.
  for (const [at, backend] of backends.entries())
    servers.push(await createTestServer({ backend, clock: systemClock, random: seededRandom(SEED * 100 + at) }));
  try {
    const history = await recordHistory(
      servers.map(({ inside }) => inside),
      { operations, writers: 32, watchers: 8, keys: 24, random: seededRandom(SEED) },
    );
    expect(history.operations).toHaveLength(operations);
    const outcomes = new Set(history.operations.map(({ kind, outcome }) => `${kind} ${outcome}`));
    expect(outcomes.size, [...outcomes].join(", ")).toBeGreaterThan(6);
    expect(checkHistory(history)).toEqual([]);
  } finally {
    for (const server of servers) server.stop();
  }
}
