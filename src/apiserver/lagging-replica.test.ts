import { expect, it } from "vitest";
import { systemClock } from "#base";
import type { KubeList, KubeObject, WatchEventType } from "#machinery";
import { type Backend, type BackendChange, createMemoryBackend } from "#store";
import { createTestServer, eventually } from "#testing";

const ADDRESS = { group: "", version: "v1", resource: "configmaps", namespace: "default" } as const;
const namesOf = ({ items }: KubeList) => items.map(({ metadata }) => metadata.name);
const aConfigMap = (name: string) =>
  ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name } }) as unknown as KubeObject;

/** What another replica sees of a store: changes come to it only when it asks whether it is behind. */
function lagging(inner: Backend): Backend {
  let held: (() => void)[] = [];
  let revision = inner.revision;
  return {
    get revision() {
      return revision;
    },
    get compactedRevision() {
      return inner.compactedRevision;
    },
    get: (key) => inner.get(key),
    list: (prefix, options) => inner.list(prefix, options),
    txn: (operations) => inner.txn(operations),
    compact: (upTo) => inner.compact(upTo),
    close: () => Promise.resolve(),
    watch: (prefix, after, sink) =>
      inner.watch(prefix, after, {
        changes: (changes: readonly BackendChange[]) =>
          held.push(() => {
            revision = changes[changes.length - 1]?.revision ?? revision;
            sink.changes(changes);
          }),
        closed: (error) => sink.closed(error),
      }),
    settle: async () => {
      const due = held;
      held = [];
      for (const tell of due) tell();
    },
  };
}

it("a replica that is behind answers lists and watches that name no version with what is there now", async () => {
  const backend = createMemoryBackend();
  const first = await createTestServer({ backend, clock: systemClock });
  const second = await createTestServer({ backend: lagging(backend), clock: systemClock });
  const make = (name: string) => first.inside.send({ verb: "create", ...ADDRESS, body: aConfigMap(name) });
  try {
    expect(namesOf(await second.inside.list(ADDRESS))).not.toContain("a");
    await make("a");
    expect(namesOf(await second.inside.list({ ...ADDRESS, resourceVersion: "0" }))).not.toContain("a");
    expect(namesOf(await second.inside.list(ADDRESS))).toContain("a");

    const { metadata } = await make("b");
    const notOlder = { resourceVersion: metadata.resourceVersion ?? "", resourceVersionMatch: "NotOlderThan" } as const;
    expect(namesOf(await second.inside.list({ ...ADDRESS, ...notOlder }))).toContain("b");

    await make("c");
    const seen: (readonly [WatchEventType, string | undefined])[] = [];
    const watch = second.inside.watch(
      { ...ADDRESS, sendInitialEvents: true, resourceVersionMatch: "NotOlderThan", allowWatchBookmarks: true },
      { event: (type, object) => seen.push([type, object.metadata.name]), closed: () => {} },
    );
    await eventually(() => expect(seen.map(([type]) => type)).toContain("BOOKMARK"));
    watch.stop();
    expect(seen.map(([, name]) => name)).toContain("c");

    await make("d");
    const page = await first.inside.list({ ...ADDRESS, limit: 2 });
    const rest = await second.inside.list({ ...ADDRESS, limit: 500, continue: page.metadata.continue ?? "" });
    expect([...namesOf(page), ...namesOf(rest)]).toEqual(namesOf(await first.inside.list(ADDRESS)));

    await make("e");
    await second.inside.send({ verb: "deletecollection", ...ADDRESS });
    expect(namesOf(await first.inside.list(ADDRESS))).toEqual([]);
  } finally {
    second.stop();
    first.stop();
  }
});
