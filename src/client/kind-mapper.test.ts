/** Discovery of servers some of whose groups do not answer. */
import { expect, test } from "vitest";
import { VirtualClock } from "#base";
import type { Transport } from "#machinery";
import { createKindMapper } from "./kind-mapper.ts";

type Answers = Readonly<Record<string, unknown>>;

/** A server that says what `answers` say now; a path that is not among them is answered with 503, as a dead aggregated server. */
const server = (answers: () => Answers): Transport =>
  ({
    raw: ({ path }: { readonly path: string }) => {
      const body = answers()[path];
      const text = JSON.stringify(body ?? { kind: "Status", code: 503, reason: "ServiceUnavailable" });
      return Promise.resolve({
        status: body === undefined ? 503 : 200,
        headers: {},
        body: new TextEncoder().encode(text),
      });
    },
  }) as unknown as Transport;

const resource = (name: string, kind: string) => ({ name, kind, namespaced: true, verbs: ["list", "watch", "delete"] });
const core = { kind: "APIResourceList", groupVersion: "v1", resources: [resource("pods", "Pod")] };
const widgets = { kind: "APIResourceList", groupVersion: "x.io/v1", resources: [resource("widgets", "Widget")] };
const groups = {
  kind: "APIGroupList",
  groups: [{ name: "x.io", versions: [{ groupVersion: "x.io/v1", version: "v1" }] }],
};
const classic = { "/api": { kind: "APIVersions", versions: ["v1"] }, "/apis": groups, "/api/v1": core };

const entry = (resource: string, kind: string) => ({
  resource,
  responseKind: { group: "", version: "", kind },
  scope: "Namespaced",
  verbs: ["list"],
});
const list = (items: readonly object[]) => ({ kind: "APIGroupDiscoveryList", items });
const group = (name: string, freshness: string, resources: readonly object[]) => ({
  metadata: { name },
  versions: [{ version: "v1", freshness, resources }],
});
const aggregated = (freshness: string, resources: readonly object[]) => ({
  "/api": list([group("", "Current", [entry("pods", "Pod")])]),
  "/apis": list([group("x.io", freshness, resources)]),
});

test.each<readonly [string, Answers, Answers, Answers]>([
  [
    "group by group",
    { ...classic, "/apis/x.io/v1": widgets },
    classic,
    { ...classic, "/apis/x.io/v1": { ...widgets, resources: [] } },
  ],
  [
    "in one list",
    aggregated("Current", [entry("widgets", "Widget")]),
    aggregated("Stale", []),
    aggregated("Current", []),
  ],
])(
  "2.1 asked %s, a group that stays silent serves what it served, others go on, and it is told",
  async (_how, ...seen) => {
    let answers = seen[0] as Answers;
    const clock = new VirtualClock(0, () => Promise.resolve());
    const kinds = createKindMapper(
      server(() => answers),
      clock,
    );
    expect(await kinds.find("x.io/v1", "Widget")).toMatchObject({ resource: "widgets" });
    answers = seen[1] as Answers;
    await kinds.refresh();
    expect(kinds.failedGroupVersions).toEqual(["x.io/v1"]);
    expect(await kinds.find("x.io/v1", "Widget")).toMatchObject({ resource: "widgets" });
    expect(await kinds.find("v1", "Pod")).toMatchObject({ resource: "pods" });
    answers = seen[2] as Answers;
    await kinds.refresh();
    expect(kinds.failedGroupVersions).toEqual([]);
    expect(kinds.known("x.io/v1", "Widget")).toBeUndefined();
  },
);

test("2.1 asked group by group, one that never answers holds up the others for ten seconds at most", async () => {
  const clock = new VirtualClock(0, () => new Promise((resolve) => setImmediate(resolve)));
  const answering = server(() => classic);
  const silent = new Promise<never>(() => {});
  let isGivenUp = false;
  const kinds = createKindMapper(
    {
      raw: (request: Parameters<Transport["raw"]>[0]) => {
        if (request.path !== "/apis/x.io/v1") return answering.raw(request);
        request.signal?.addEventListener("abort", () => {
          isGivenUp = true;
        });
        return silent;
      },
    } as unknown as Transport,
    clock,
  );
  const refreshed = kinds.refresh();
  await clock.advance(9_999);
  expect(isGivenUp).toBe(false);
  await clock.advance(1);
  await refreshed;
  expect(isGivenUp).toBe(true);
  expect(kinds.failedGroupVersions).toEqual(["x.io/v1"]);
  expect(kinds.known("v1", "Pod")).toMatchObject({ resource: "pods" });
  expect(clock.nextMs).toBeUndefined();
});

test("2.1 a server that does not answer at all keeps what is known of it", async () => {
  let answers: Answers = { ...classic, "/apis/x.io/v1": widgets };
  const kinds = createKindMapper(
    server(() => answers),
    new VirtualClock(0, () => Promise.resolve()),
  );
  await kinds.refresh();
  answers = {};
  await expect(kinds.refresh()).rejects.toMatchObject({ status: { code: 503 } });
  expect(await kinds.find("x.io/v1", "Widget")).toMatchObject({ resource: "widgets" });
});
