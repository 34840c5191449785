import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Secret } from "#apis/kubernetes";
import type { ResourceRegistry } from "#apis/karmada";
import type { RunningApiServer } from "#apiserver";
import { silentLogger, systemClock } from "#base";
import { type Client, createClient } from "#client";
import type { EventRecorder } from "#controller-runtime";
import type { KubeObject } from "#machinery";
import { eventually, startTestApiServer } from "#testing";
import type { ObjectStore } from "../cache/member-caches.ts";
import { openSearchStore } from "./index.ts";

/** A server that answers as OpenSearch does, as far as it is asked here. */
class PlayedOpenSearch {
  readonly indexes = new Map<string, Readonly<Record<string, unknown>>>();
  readonly documents = new Map<string, Readonly<Record<string, unknown>>>();
  readonly authorizations = new Set<string | undefined>();
  bulks = 0;
  /** What the next changes are answered with. */
  refuse: ((id: string) => number | undefined) | undefined;
  down = false;
  #server: Server | undefined;
  address = "";

  async start(): Promise<void> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        this.authorizations.add(request.headers.authorization);
        const [status, body] = this.#answer(request.method ?? "", request.url ?? "", Buffer.concat(chunks).toString());
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify(body));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.#server = server;
    this.address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  #answer(method: string, path: string, text: string): readonly [number, unknown] {
    if (this.down) return [503, { error: "no master" }];
    if (method === "PUT") {
      if (this.indexes.has(path)) return [400, { error: { type: "resource_already_exists_exception" } }];
      this.indexes.set(path, JSON.parse(text) as Readonly<Record<string, unknown>>);
      return [200, { acknowledged: true }];
    }
    if (method !== "POST" || path !== "/_bulk" || !text.endsWith("\n")) return [400, { error: `${method} ${path}` }];
    this.bulks++;
    const lines = text.trimEnd().split("\n");
    const items: object[] = [];
    for (let at = 0; at < lines.length; at++) {
      const action = JSON.parse(lines[at] as string) as Readonly<
        Record<string, { readonly _index: string; readonly _id: string }>
      >;
      const [verb = "", { _index, _id } = { _index: "", _id: "" }] = Object.entries(action)[0] ?? [];
      const document =
        verb === "index" ? (JSON.parse(lines[++at] as string) as Readonly<Record<string, unknown>>) : undefined;
      const refused = this.refuse?.(_id);
      const key = `${_index}/${_id}`;
      if (refused !== undefined)
        items.push({ [verb]: { status: refused, error: { type: "mapper_parsing_exception" } } });
      else if (document !== undefined) {
        this.documents.set(key, document);
        items.push({ index: { status: 201 } });
      } else items.push({ delete: { status: this.documents.delete(key) ? 200 : 404 } });
    }
    return [200, { errors: false, items }];
  }

  async stop(): Promise<void> {
    const server = this.#server;
    server?.closeAllConnections();
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  }
}

let played: PlayedOpenSearch;
let api: RunningApiServer;
let client: Client;
let told: string[];
let stores: ObjectStore[];
const events: EventRecorder = {
  normal: () => undefined,
  warning: (_about, reason, message) => void told.push(`${reason} ${message}`),
  from: () => events,
  flush: () => Promise.resolve(),
};
const registry = {
  apiVersion: "search.karmada.io/v1alpha1",
  kind: "ResourceRegistry",
  metadata: { name: "r" },
} as ResourceRegistry;

beforeEach(async () => {
  told = [];
  stores = [];
  played = new PlayedOpenSearch();
  await played.start();
  api = await startTestApiServer();
  client = createClient(api.transport());
  await client.create(Secret, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { namespace: "default", name: "opensearch" },
    data: { username: Buffer.from("me").toString("base64"), password: Buffer.from("pw").toString("base64") },
  } as Secret);
});
afterEach(async () => {
  for (const store of stores) store.stop();
  await played.stop();
  api.stop();
});

function open(secret = "opensearch", addresses: readonly string[] = [played.address]): ObjectStore {
  const store = openSearchStore({ client, events, clock: systemClock, log: silentLogger })("m1", {
    registry,
    addresses,
    secret: { namespace: "default", name: secret },
  });
  stores.push(store);
  return store;
}
const aPod = (uid: string, more: object = {}) =>
  ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `pod-${uid}`,
      namespace: "shop",
      uid,
      creationTimestamp: "2026-01-01T00:00:00Z",
      labels: { a: "b" },
    },
    spec: { nodeName: "n1" },
    status: { phase: "Running" },
    ...more,
  }) as KubeObject;

describe("[GF-46] OpenSearch as the store of a registry", () => {
  it("gets objects as documents by uid, in an index of their kind, and loses them again", async () => {
    const store = open();
    store.put(aPod("1", { status: { phase: "Pending" } }));
    store.put(aPod("1"));
    store.put(aPod("2"));
    await eventually(() => played.documents.size === 2);
    expect(played.indexes.get("/kubernetes-pod")).toMatchObject({
      settings: { index: { number_of_shards: 1, number_of_replicas: 0 } },
    });
    expect(played.documents.get("kubernetes-pod/1")).toEqual({
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: "pod-1",
        namespace: "shop",
        creationTimestamp: "2026-01-01T00:00:00Z",
        labels: { a: "b" },
        annotations: { "resource.karmada.io/cached-from-cluster": "m1" },
      },
      spec: '{"nodeName":"n1"}',
      status: '{"phase":"Running"}',
    });
    expect(played.bulks).toBe(1);
    expect([...played.authorizations]).toEqual([`Basic ${Buffer.from("me:pw").toString("base64")}`]);
    store.remove(aPod("1"));
    store.remove(aPod("never-there"));
    await eventually(() => played.documents.size === 1);
    expect(told).toEqual([]);
  });

  it("is asked as nobody where its Secret cannot be read, and at another address where one is gone", async () => {
    played.indexes.set("/kubernetes-pod", {});
    open("none", ["http://127.0.0.1:1", played.address]).put(aPod("1"));
    await eventually(() => played.documents.size === 1);
    expect([...played.authorizations]).toEqual([undefined]);
  });

  it("gets later what it does not take now; the registry says why it waits", async () => {
    played.down = true;
    const store = open();
    store.put(aPod("1"));
    await eventually(() => told.length > 0);
    expect(told[0]).toMatch(/^OpenSearchFailed cluster m1: OpenSearch cannot be written to: .*503/);
    store.remove(aPod("1"));
    store.put(aPod("2"));
    played.refuse = (id) => (id === "2" && played.bulks < 2 ? 429 : undefined);
    played.down = false;
    await eventually(() => played.documents.size === 1, 30_000);
    expect([...played.documents.keys()]).toEqual(["kubernetes-pod/2"]);
  });

  it("is told once of what it will never take", async () => {
    played.refuse = (id) => (id === "bad" ? 400 : undefined);
    const store = open();
    store.put(aPod("bad"));
    store.put(aPod("good"));
    await eventually(() => played.documents.size === 1 && told.length === 1);
    expect(told[0]).toMatch(/OpenSearch refuses objects: kubernetes-pod\/bad: .*mapper_parsing_exception/);
    store.put(aPod("better"));
    await eventually(() => played.documents.size === 2);
    expect(told).toHaveLength(1);
  });
});
