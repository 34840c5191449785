import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConfigMap, Namespace } from "#apis/kubernetes";
import { Cluster, ResourceRegistry } from "#apis/karmada";
import { aggregatedDefinitions } from "#aggregated-apiserver";
import type { RunningApiServer } from "#apiserver";
import { silentLogger, systemClock } from "#base";
import { type Client, createClient } from "#client";
import type { KubeObject, Transport } from "#machinery";
import { createMemberPool, type MemberPool } from "#member";
import { eventually, startTestApiServer } from "#testing";
import { MemberCaches, type ObjectStore } from "./member-caches.ts";

const MAPS = { group: "", version: "v1", resource: "configmaps" };

let plane: RunningApiServer;
let client: Client;
let pool: MemberPool;
let caches: MemberCaches;
let isLeading: boolean;
const running: { stop(): void }[] = [];
const transports = new Map<string, Transport>();
/** What was asked of members, as `cluster verb resource namespace`. */
const asked: string[] = [];
const stored = new Map<string, string[]>();
const connects: string[] = [];

/** A member that is a server of its own; one that hangs accepts and never answers. */
async function aMember(name: string, { hangs = false } = {}): Promise<Client> {
  const api = await startTestApiServer();
  running.push(api);
  const inner = api.transport();
  const never = () => new Promise<never>(() => undefined);
  transports.set(name, {
    ...inner,
    list: (request) => {
      asked.push(`${name} list ${request.resource} ${request.namespace ?? "*"}`);
      return hangs ? never() : inner.list(request);
    },
  });
  await client.create(Cluster, {
    apiVersion: "cluster.karmada.io/v1alpha1",
    kind: "Cluster",
    metadata: { name },
    spec: { syncMode: "Push", apiEndpoint: `https://${name}` },
  } as Cluster);
  await setReady(name, "True");
  const member = createClient(inner);
  await member.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
  return member;
}

async function setReady(name: string, status: string): Promise<void> {
  const conditions = [
    { type: "Ready", status, reason: "Test", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" },
  ];
  await client.patch(
    Cluster,
    { name },
    "application/merge-patch+json",
    { status: { conditions } },
    { subresource: "status" },
  );
}

const register = (name: string, spec: object) =>
  client.create(ResourceRegistry, {
    apiVersion: "search.karmada.io/v1alpha1",
    kind: "ResourceRegistry",
    metadata: { name },
    spec: { targetCluster: {}, ...spec },
  } as ResourceRegistry);
const maps = (...namespaces: readonly string[]) => ({
  resourceSelectors: (namespaces.length === 0 ? [""] : namespaces).map((namespace) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    ...(namespace === "" ? {} : { namespace }),
  })),
});
const map = (name: string): ConfigMap =>
  ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "shop" } }) as ConfigMap;
const caching = () => caches.caching(MAPS).map(({ cluster }) => cluster);

function start(needsAllNamespaces = true): void {
  caches = new MemberCaches({
    transport: client.transport,
    members: pool,
    connect: ({ metadata: { name = "" } }) => {
      connects.push(name);
      const transport = transports.get(name);
      if (transport === undefined) return Promise.reject(new Error(`no way to ${name}`));
      return Promise.resolve(pool.connect({ name, fingerprint: name, open: () => ({ transport }) }));
    },
    openStore: (cluster): ObjectStore => {
      const seen: string[] = [];
      stored.set(cluster, seen);
      const tell = (what: string) => (object: KubeObject) => void seen.push(`${what} ${object.metadata.name}`);
      return { put: tell("put"), remove: tell("remove"), stop: () => void seen.push("stop") };
    },
    writesStores: () => isLeading,
    needsAllNamespaces,
    clock: systemClock,
    log: silentLogger,
  });
  caches.start();
}

beforeEach(async () => {
  for (const list of [asked, connects]) list.length = 0;
  transports.clear();
  stored.clear();
  isLeading = true;
  plane = await startTestApiServer({ aggregated: aggregatedDefinitions(systemClock) });
  running.push(plane);
  client = createClient(plane.transport());
  pool = createMemberPool({ clock: systemClock, log: silentLogger });
});
afterEach(async () => {
  await caches.stop();
  pool.stop();
  for (const one of running.splice(0)) one.stop();
});

describe("[GF-46] caches of members' objects", () => {
  it("are there for no registry, begin with one and end with the last", async () => {
    await aMember("m1");
    start();
    await caches.whenPlanned(10_000);
    expect([connects, asked, pool.all]).toEqual([[], [], []]);
    await register("r", maps());
    await eventually(() => caching().length === 1);
    expect(caches.registered(MAPS)?.kind).toBe("ConfigMap");
    await client.delete(ResourceRegistry, { name: "r" });
    await eventually(() => pool.all.length === 0);
    expect(caches.registered(MAPS)).toBeUndefined();
    expect(caching()).toEqual([]);
  });

  it("follow clusters as they become ready, stop being so, come and go; whoever watches is told", async () => {
    await aMember("m2");
    await register("r", maps());
    start();
    await eventually(() => caching().join() === "m2");
    const told: string[] = [];
    caches.follow((key) => void told.push(key));
    await aMember("m1");
    await eventually(() => caching().join() === "m1,m2");
    expect(told).toEqual(["/v1/configmaps"]);
    await setReady("m2", "False");
    await eventually(() => caching().join() === "m1");
    expect(told).toHaveLength(2);
    await setReady("m2", "True");
    await eventually(() => caching().join() === "m1,m2");
    await client.delete(Cluster, { name: "m1" });
    await eventually(() => caching().join() === "m2");
  });

  it("of one member that hangs hold up no other", async () => {
    await aMember("m1", { hangs: true });
    const m2 = await aMember("m2");
    await register("r", maps());
    start();
    await eventually(() => caching().join() === "m2");
    await m2.create(ConfigMap, map("x"));
    await eventually(() => caches.caching(MAPS)[0]?.informer.get("shop/x"));
    await caches.whenTried(MAPS, 50);
    expect(asked.filter((line) => line.startsWith("m1"))).toEqual(["m1 list configmaps *"]);
  });

  it("stay when another kind is added, and hold one namespace alone where nobody needs more", async () => {
    await aMember("m1");
    await register("r1", maps("shop"));
    start(false);
    await eventually(() => caching().length === 1);
    const lists = () => asked.filter((line) => line.includes("configmaps"));
    expect(lists()).toEqual(["m1 list configmaps shop"]);
    await register("r2", { resourceSelectors: [{ apiVersion: "v1", kind: "Pod" }] });
    await eventually(() => caches.caching({ ...MAPS, resource: "pods" }).length === 1);
    expect(lists()).toHaveLength(1);
    await register("r3", maps("other"));
    await eventually(() => caches.caching(MAPS)[0]?.namespaces?.size === 2);
    expect(lists()).toEqual(["m1 list configmaps shop", "m1 list configmaps *"]);
  });

  it("are looked for again where a member cannot be reached", async () => {
    await aMember("m1");
    const way = transports.get("m1") as Transport;
    transports.delete("m1");
    await register("r", maps());
    start();
    await eventually(() => connects.length > 0);
    expect(caching()).toEqual([]);
    transports.set("m1", way);
    await eventually(() => caching().length === 1, 30_000);
  });

  it("are written to the store of their registry by who leads alone", async () => {
    const m1 = await aMember("m1");
    await m1.create(ConfigMap, map("before"));
    const backendStore = { openSearch: { addresses: ["http://h"], secretRef: { namespace: "n", name: "s" } } };
    await register("r", { ...maps(), backendStore });
    isLeading = false;
    start();
    await eventually(() => caching().length === 1);
    expect([...stored]).toEqual([]);
    isLeading = true;
    caches.wake();
    await eventually(() => stored.get("m1")?.includes("put before"));
    await m1.create(ConfigMap, map("after"));
    await m1.delete(ConfigMap, { namespace: "shop", name: "after" });
    await eventually(() => stored.get("m1")?.includes("remove after"));
    await client.patch(ResourceRegistry, { name: "r" }, "application/merge-patch+json", {
      spec: { backendStore: null },
    });
    await eventually(() => stored.get("m1")?.at(-1) === "stop");
  });
});
