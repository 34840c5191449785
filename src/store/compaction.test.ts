import { expect, it } from "vitest";
import { silentLogger, VirtualClock } from "#base";
import { settle } from "#testing";
import { startCompaction } from "./compaction.ts";
import { createMemoryBackend } from "./memory.ts";

const MINUTE = 60_000;

it("one of several replicas compacts in an interval, and only what is older than that", async () => {
  const backend = createMemoryBackend();
  const compacted: number[] = [];
  const counted = {
    ...backend,
    get revision() {
      return backend.revision;
    },
    compact: (revision: number) => {
      compacted.push(revision);
      return backend.compact(revision);
    },
  };
  const clock = new VirtualClock(0, settle);
  const write = () => backend.txn([{ type: "put", key: "/registry/a", value: Buffer.from("x") }]);
  const options = { clock, log: silentLogger, intervalMs: 5 * MINUTE };
  const stops = [startCompaction(counted, options)];
  await clock.advance(MINUTE);
  stops.push(startCompaction(counted, options), startCompaction(counted, options));
  const revisions: number[] = [];
  for (let round = 0; round < 4; round++) {
    for (let n = 0; n < 10; n++) await write();
    revisions.push(backend.revision);
    await clock.advance(5 * MINUTE);
  }
  // The first interval only left a note; each later one compacted what was before the note of the interval before.
  expect(compacted.length).toBe(3);
  for (const [at, revision] of compacted.entries()) {
    expect(revision).toBeGreaterThanOrEqual(revisions[at] as number);
    expect(revision).toBeLessThan(revisions[at + 1] as number);
  }
  expect(backend.compactedRevision).toBe(compacted.at(-1));
  for (const stop of stops) stop();
  await clock.advance(20 * MINUTE);
  expect(compacted.length).toBe(3);
});

it("a note nobody can read is written anew and compacts nothing", async () => {
  const backend = createMemoryBackend();
  const clock = new VirtualClock(0, settle);
  await backend.txn([{ type: "put", key: "compact_rev_key", value: Buffer.from("nonsense") }]);
  const stop = startCompaction(backend, { clock, log: silentLogger, intervalMs: MINUTE });
  await clock.advance(2 * MINUTE);
  expect(backend.compactedRevision).toBe(0);
  expect(Number(Buffer.from((await backend.get("compact_rev_key"))?.value ?? []).toString())).toBeGreaterThan(0);
  await clock.advance(MINUTE);
  expect(backend.compactedRevision).toBeGreaterThan(0);
  stop();
});
