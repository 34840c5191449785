import { describe, expect, it } from "vitest";
import type { ApiError, KubeObject } from "#machinery";
import { createTestServer, type TestServer } from "#testing";

const about = { kind: "Pod", namespace: "default", name: "p" };
const anEvent = (more: object = {}) =>
  ({
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: { name: "e" },
    eventTime: "2026-01-02T03:04:05.000000Z",
    action: "A",
    reason: "R",
    type: "Normal",
    reportingController: "example.com/c",
    reportingInstance: "i",
    regarding: about,
    note: "n",
    ...more,
  }) as unknown as KubeObject;
const NEW = "events.k8s.io/v1/events";
const at = { namespace: "default" };
const create = (server: TestServer, body: KubeObject, resource = NEW) =>
  server.send("create", resource, { ...at, body });
const change = (server: TestServer, body: object, resource = NEW) =>
  server.send("patch", resource, { ...at, name: "e", patchType: "application/merge-patch+json", body });
const messageOf = (answer: Promise<KubeObject>) =>
  answer.then(
    () => "",
    (error: ApiError) => error.message,
  );
const LONG = "x".repeat(129);

describe("an Event", () => {
  it("grows as a series in the new group, and both groups show the same object", async () => {
    const server = await createTestServer();
    await create(server, anEvent());
    await change(server, { series: { count: 2, lastObservedTime: "2026-01-02T03:05:05.000000Z" } });
    await change(server, { series: { count: 3, lastObservedTime: "2026-01-02T03:06:05.000000Z" } });
    const series = { count: 3, lastObservedTime: "2026-01-02T03:06:05.000000Z" };
    const core = await server.send("get", "v1/events", { ...at, name: "e" });
    const own = await server.send("get", NEW, { ...at, name: "e" });
    expect(core).toMatchObject({ involvedObject: about, message: "n", reportingComponent: "example.com/c", series });
    expect(own).toMatchObject({ regarding: about, note: "n", reportingController: "example.com/c", series });
    expect(own.metadata).toEqual(core.metadata);
    // The old group's count is the new one's deprecated count.
    await change(server, { count: 7 }, "v1/events");
    expect(await server.send("get", NEW, { ...at, name: "e" })).toMatchObject({ deprecatedCount: 7 });
    server.stop();
  });

  it.each<[string, object, string]>([
    ["has no time", { eventTime: undefined }, "eventTime: Required value"],
    ["is of no known type", { type: "Odd" }, 'type: Invalid value: "": has invalid value: Odd'],
    [
      "is reported by nobody",
      { reportingController: "example com" },
      `reportingController: Invalid value: "example com": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
    ],
    [
      "says too much",
      { note: LONG.repeat(8), action: LONG, reason: LONG, reportingInstance: LONG },
      '[reportingInstance: Invalid value: "": can have at most 128 characters, action: Invalid value: "": can have at most 128 characters, reason: Invalid value: "": can have at most 128 characters, message: Invalid value: "": can have at most 1024 characters]',
    ],
    [
      "uses the old group's fields",
      { deprecatedCount: 3, deprecatedSource: { host: "h" }, deprecatedFirstTimestamp: "2026-01-02T03:04:05Z" },
      '[firstTimestamp: Invalid value: "": needs to be unset, count: Invalid value: "": needs to be unset, source: Invalid value: "": needs to be unset]',
    ],
    [
      "begins as a series of one",
      { series: { count: 1, lastObservedTime: "2026-01-02T03:05:05.000000Z" } },
      'series.count: Invalid value: "": should be at least 2',
    ],
  ])("of the new group is refused when it %s", async (_title, more, message) => {
    const server = await createTestServer();
    expect(await messageOf(create(server, anEvent(more)))).toBe(`Event "e" is invalid: ${message}`);
    server.stop();
  });

  it.each<[string, object, string]>([
    ["the note", { note: "o" }, 'message: Invalid value: "o": field is immutable'],
    [
      "reason, type and action",
      { reason: "o", action: "o", type: "Warning" },
      '[reason: Invalid value: "o": field is immutable, type: Invalid value: "Warning": field is immutable, action: Invalid value: "o": field is immutable]',
    ],
    [
      "what it is about",
      { regarding: { name: "q" } },
      'involvedObject: Invalid value: {"Kind":"Pod","Namespace":"default","Name":"q","UID":"","APIVersion":"","ResourceVersion":"","FieldPath":""}: field is immutable',
    ],
    [
      "who reported",
      { deprecatedSource: { component: "c" } },
      'source: Invalid value: {"Component":"c","Host":""}: field is immutable',
    ],
    ["the old count", { deprecatedCount: 3 }, "count: Invalid value: 3: field is immutable"],
  ])("of the new group keeps %s", async (_title, body, message) => {
    const server = await createTestServer();
    await create(server, anEvent());
    expect(await messageOf(change(server, body))).toBe(`Event "e" is invalid: ${message}`);
    await change(server, { metadata: { labels: { a: "b" } } });
    server.stop();
  });

  it("of the old group need not say much, unless it has an eventTime", async () => {
    const server = await createTestServer();
    const old = {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: "e" },
      involvedObject: about,
    } as unknown as KubeObject;
    const odd = { ...old, involvedObject: { ...about, namespace: "other" } } as KubeObject;
    expect(await messageOf(create(server, odd, "v1/events"))).toBe(
      'Event "e" is invalid: involvedObject.namespace: Invalid value: "other": does not match event.namespace',
    );
    const timed = {
      ...old,
      eventTime: "2026-01-02T03:04:05.000000Z",
      reportingComponent: "c",
    } as unknown as KubeObject;
    expect(await messageOf(create(server, timed, "v1/events"))).toBe(
      'Event "e" is invalid: [reportingInstance: Required value, action: Required value, reason: Required value]',
    );
    await create(server, old, "v1/events");
    server.stop();
  });
});
