import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Backend, createMemoryBackend, openFileBackend } from "#store";
import { checkHistory, type History } from "./history.ts";
import { expectSoundHistory, SEED } from "./suite.ts";

/** `npm run test:long` asks for many more. */
const OPERATIONS = Number(process.env["HISTORY_OPERATIONS"] ?? 4_000);

const drivers: Readonly<Record<string, (folder: string) => Backend | Promise<Backend>>> = {
  memory: () => createMemoryBackend(),
  file: (folder) => openFileBackend(folder),
};

describe.each(Object.entries(drivers))("many writers and watchers on the %s store", (_name, open) => {
  it(`leave a history that is linearizable for every object, and watches without loss (seed ${SEED})`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "flotilla-history-"));
    const backend = await open(folder);
    try {
      await expectSoundHistory([backend], OPERATIONS);
    } finally {
      await backend.close();
      await rm(folder, { recursive: true, force: true });
    }
  }, 600_000);
});

describe("the checker", () => {
  const done = { outcome: "done" } as const;
  const event = (type: "ADDED" | "MODIFIED" | "DELETED", revision: number, uid = "u") => ({
    type,
    key: "k",
    revision,
    uid,
  });
  const history = (
    operations: History["operations"],
    events: History["watches"][number]["events"],
    final = new Map(),
  ): History => ({
    operations,
    watches: [{ from: 0, events }],
    final,
  });
  const create = { kind: "create", key: "k", called: 0, answered: 1, revision: 5, ...done } as const;
  const update = { kind: "update", key: "k", called: 2, answered: 3, revision: 6, ...done } as const;

  it.each<[string, History, RegExp]>([
    [
      "a read of the past",
      history(
        [create, update, { kind: "get", key: "k", called: 4, answered: 5, revision: 5, ...done }],
        [event("ADDED", 5), event("MODIFIED", 6)],
        new Map([["k", 6]]),
      ),
      /was not the present one/,
    ],
    ["a write nobody saw", history([create], []), /no watcher saw it/],
    ["a change nobody made", history([], [event("ADDED", 5)], new Map([["k", 5]])), /changes nobody made/],
    [
      "versions against time",
      history([{ ...create, revision: 7 }, update], [event("ADDED", 6), event("MODIFIED", 7)], new Map([["k", 7]])),
      /was asked for after 7 was answered/,
    ],
    [
      "an update of an older version that passed",
      history(
        [create, update, { ...update, called: 4, answered: 5, revision: 7, expected: 5 }],
        [event("ADDED", 5), event("MODIFIED", 6), event("MODIFIED", 7)],
        new Map([["k", 7]]),
      ),
      /it was made from 5, not 6/,
    ],
    [
      "an absence that never was",
      history(
        [create, { kind: "get", key: "k", called: 2, answered: 3, outcome: "NotFound" }],
        [event("ADDED", 5)],
        new Map([["k", 5]]),
      ),
      /NotFound was true at no moment/,
    ],
    ["an event twice", history([create], [event("ADDED", 5), event("ADDED", 5)], new Map([["k", 5]])), /behind 5/],
    [
      "a list that shows something else",
      history([create], [event("ADDED", 5)], new Map([["k", 4]])),
      /not what a list shows/,
    ],
    [
      "a deletion of another object",
      history(
        [create, { kind: "delete", key: "k", called: 2, answered: 3, uid: "u", ...done }],
        [event("ADDED", 5), event("DELETED", 6, "v")],
      ),
      /of another k/,
    ],
  ])("finds %s", (_title, recorded, wanted) => {
    expect(checkHistory(recorded).join("\n")).toMatch(wanted);
  });
});
