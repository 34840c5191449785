import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConfigMap } from "#apis/kubernetes";
import { Cluster, ResourceRegistry } from "#apis/karmada";
import { aggregatedDefinitions } from "#aggregated-apiserver";
import { type FrontOutcome, type RunningApiServer, systemUser } from "#apiserver";
import { silentLogger, systemClock } from "#base";
import { type Client, createClient } from "#client";
import type { EventRecorder } from "#controller-runtime";
import type { Transport } from "#machinery";
import { createMemberPool } from "#member";
import { type Search, startSearch } from "#search";
import { eventually, startTestApiServer } from "#testing";

const ROOT = "/apis/search.karmada.io/v1alpha1";
const MAPS = "api/v1/namespaces/default/configmaps";
const PATIENT_MS = 60_000;

let plane: RunningApiServer;
let client: Client;
let search: Search;
const running: { stop(): void }[] = [];
const transports = new Map<string, Transport>();
/** Members that were asked for a list. */
const asked = new Set<string>();
const events: EventRecorder = {
  normal: () => undefined,
  warning: () => undefined,
  from: () => events,
  flush: () => Promise.resolve(),
};

/** A ready member with one ConfigMap of its own name; lists wait for `gate`. */
async function aMember(name: string, gate: Promise<void> = Promise.resolve()): Promise<void> {
  const api = await startTestApiServer();
  running.push(api);
  const inner = api.transport();
  await createClient(inner).create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { namespace: "default", name: `of-${name}` },
  });
  transports.set(name, {
    ...inner,
    list: (request) => {
      asked.add(name);
      return gate.then(() => inner.list(request));
    },
  });
  await client.create(Cluster, {
    apiVersion: "cluster.karmada.io/v1alpha1",
    kind: "Cluster",
    metadata: { name },
    spec: { syncMode: "Push", apiEndpoint: `https://${name}` },
  } as Cluster);
  const time = "2026-01-01T00:00:00Z";
  const conditions = [{ type: "Ready", status: "True", reason: "Test", message: "", lastTransitionTime: time }];
  await client.patch(
    Cluster,
    { name },
    "application/merge-patch+json",
    { status: { conditions } },
    { subresource: "status" },
  );
}

function start(initializationMs: number): void {
  const members = createMemberPool({ clock: systemClock, log: silentLogger });
  search = startSearch({
    client,
    members,
    connect: ({ metadata: { name = "" } }) => {
      const transport = transports.get(name) as Transport;
      return Promise.resolve(members.connect({ name, fingerprint: name, open: () => ({ transport }) }));
    },
    toMember: () => Promise.reject(new Error("not asked here")),
    toControlPlane: (request, user) => plane.front.handle({ ...request, trustedUser: user }),
    review: (wanted) => Promise.resolve(plane.authorizer.authorize(wanted)),
    events,
    writesStores: () => true,
    disableSearch: false,
    disableProxy: false,
    initializationMs,
    clock: systemClock,
    log: silentLogger,
  });
}

const ask = (path: string): Promise<FrontOutcome> =>
  plane.front.handle({
    method: "GET",
    url: `${ROOT}/${path}`,
    headers: { accept: "application/json" },
    body: () => Promise.resolve(Buffer.alloc(0)),
    trustedUser: systemUser,
  });
async function names(path: string): Promise<readonly string[]> {
  const { body } = await plane.transport().raw({ method: "GET", path: `${ROOT}/${path}` });
  const { items } = JSON.parse(Buffer.from(body).toString()) as { readonly items: readonly ConfigMap[] };
  return items.map(({ metadata }) => metadata.name ?? "").filter((name) => name.startsWith("of-"));
}

beforeEach(async () => {
  transports.clear();
  asked.clear();
  plane = await startTestApiServer({
    aggregated: aggregatedDefinitions(systemClock),
    connect: (request, path, user) => search.connect(request, path, user),
  });
  running.push(plane);
  client = createClient(plane.transport());
  await client.create(ResourceRegistry, {
    apiVersion: "search.karmada.io/v1alpha1",
    kind: "ResourceRegistry",
    metadata: { name: "maps" },
    spec: { targetCluster: {}, resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap" }] },
  });
});
afterEach(async () => {
  await search.stop();
  for (const one of running.splice(0)) one.stop();
});

describe("[GF-46] search after a start", () => {
  it.each([`search/cache/${MAPS}`, `proxying/any/proxy/${MAPS}?resourceVersion=0`])(
    "waits for members that are slow, so that the first answer is whole: %s",
    async (path) => {
      let open: () => void = () => undefined;
      await aMember("m1");
      await aMember("m2", new Promise((resolve) => (open = resolve)));
      start(PATIENT_MS);
      const first = names(path);
      let isAnswered = false;
      void first.then(() => (isAnswered = true));
      await eventually(() => asked.size === 2);
      expect(isAnswered).toBe(false);
      open();
      expect(await first).toEqual(["of-m1", "of-m2"]);
    },
  );

  it("waits no longer than it may: a member that hangs is left out", async () => {
    await aMember("m1", new Promise(() => undefined));
    await aMember("m2");
    start(500);
    await eventually(async () => (await names(`search/cache/${MAPS}`)).join() === "of-m2");
    expect(await names(`proxying/any/proxy/${MAPS}`)).toEqual(["of-m2"]);
    // What concerns no member waits for none.
    expect((await plane.transport().raw({ method: "GET", path: `${ROOT}/proxying/any/proxy/version` })).status).toBe(
      200,
    );
  });
});

it("[GF-46] a cluster that comes ends watches, whose next list has it", async () => {
  await aMember("m1");
  start(PATIENT_MS);
  const at = `proxying/any/proxy/${MAPS}`;
  expect(await names(at)).toEqual(["of-m1"]);
  const outcome = await ask(`${at}?watch=true`);
  if (!("stream" in outcome)) throw new Error("no watch");
  let frames = "";
  let isEnded = false;
  outcome.start(
    (frame) => (frames += frame.toString()),
    () => (isEnded = true),
  );
  await eventually(() => frames.includes("of-m1"));
  expect(isEnded).toBe(false);
  await aMember("m2");
  await eventually(() => isEnded);
  expect(await names(at)).toEqual(["of-m1", "of-m2"]);
});
