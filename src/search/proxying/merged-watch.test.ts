import { describe, expect, it } from "vitest";
import { apiError, type KubeObject, type WatchSink } from "#machinery";
import { settle } from "#testing";
import { mergedWatch, type WatchSource } from "./merged-watch.ts";
import { decodeVersions } from "./tokens.ts";

const FROM = "resource.karmada.io/cached-from-cluster";
const INITIAL_END = { "k8s.io/initial-events-end": "true" };
const pod = (name: string, resourceVersion: string, more: object = {}): KubeObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, resourceVersion, ...more },
});

/** Watches of clusters that are driven by hand, merged into what was `seen`. */
function merged(clusters: readonly string[], more: Partial<WatchSource> = {}, from = "") {
  const sinks = new Map<string, WatchSink>();
  const stopped: string[] = [];
  const seen: string[] = [];
  const sources = clusters.map(
    (cluster): WatchSource => ({
      cluster,
      start: (sink) => {
        sinks.set(cluster, sink);
        return { stop: () => stopped.push(cluster) };
      },
      ...more,
    }),
  );
  const handle = mergedWatch(sources, decodeVersions(from), {
    event: (type, { metadata }) => {
      const versions = Buffer.from(metadata.resourceVersion ?? "", "base64url").toString();
      seen.push(`${type} ${metadata.annotations?.[FROM]}/${metadata.name} ${versions}`);
    },
    closed: (error) => seen.push(`closed ${error?.message ?? "in order"}`),
  });
  return { at: (cluster: string) => sinks.get(cluster) as WatchSink, seen, stopped, handle };
}

describe("[GF-46] several watches as one", () => {
  it("tells where each object is, with the versions of all clusters so far", () => {
    const { at, seen } = merged(["a", "b"], {}, Buffer.from('{"a":"1","b":"1"}').toString("base64url"));
    at("b").event("ADDED", pod("x", "5"));
    at("a").event("MODIFIED", pod("y", "2"));
    at("a").event("BOOKMARK", pod("", "9"));
    expect(seen).toEqual([
      'ADDED b/x {"a":"1","b":"5"}',
      'MODIFIED a/y {"a":"2","b":"5"}',
      'BOOKMARK a/ {"a":"9","b":"5"}',
    ]);
  });

  it("leaves out what was not asked for, and keeps its version", () => {
    const { at, seen } = merged(["a"], { covers: ({ metadata }) => metadata.namespace === "in" });
    at("a").event("ADDED", pod("x", "5", { namespace: "out" }));
    at("a").event("ADDED", pod("y", "6", { namespace: "in" }));
    expect(seen).toEqual(['ADDED a/y {"a":"6"}']);
  });

  it("tells the end of the beginning once, when it is that of all", () => {
    const { at, seen } = merged(["a", "b"]);
    at("a").event("BOOKMARK", pod("", "1", { annotations: INITIAL_END }));
    expect(seen).toEqual([]);
    at("b").event("BOOKMARK", pod("", "2", { annotations: INITIAL_END }));
    expect(seen).toEqual(['BOOKMARK b/ {"a":"1","b":"2"}']);
  });

  it("ends when one ends, and says why where a server did", () => {
    const one = merged(["a", "b"]);
    one.at("a").closed();
    one.at("b").event("ADDED", pod("x", "1"));
    expect(one).toMatchObject({ seen: ["closed in order"], stopped: ["a", "b"] });
    const other = merged(["a", "b"]);
    other.at("b").closed(apiError(410, "Expired", "too old resource version"));
    expect(other.seen).toEqual(["closed too old resource version"]);
    const broken = merged(["a"]);
    broken.at("a").closed(new Error("connect ECONNREFUSED"));
    expect(broken.seen).toEqual(["closed in order"]);
  });

  it("ends at once without any, and when one cannot even begin", async () => {
    const none = merged([]);
    await settle();
    expect(none.seen).toEqual(["closed in order"]);
    const refused = merged(["a", "b"], {
      start: () => {
        throw apiError(400, "BadRequest", "no");
      },
    });
    expect(refused.seen).toEqual(["closed no"]);
  });

  it("is silent after it was stopped", () => {
    const { at, seen, stopped, handle } = merged(["a", "b"]);
    handle.stop();
    at("a").event("ADDED", pod("x", "1"));
    at("a").closed();
    expect(seen).toEqual([]);
    expect(stopped).toEqual(["a", "b"]);
  });
});
