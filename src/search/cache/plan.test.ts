import { describe, expect, it } from "vitest";
import type { Cluster, ResourceRegistry } from "#apis/karmada";
import { type CachedKind, planCaches, selectorKey } from "./plan.ts";

const kindOf = (group: string, version: string, kind: string, resource: string, namespaced = true): CachedKind => ({
  group,
  version,
  kind,
  resource,
  namespaced,
});
const KINDS = new Map(
  [
    ["v1", kindOf("", "v1", "Pod", "pods")],
    ["v1", kindOf("", "v1", "Node", "nodes", false)],
    ["apps/v1", kindOf("apps", "v1", "Deployment", "deployments")],
  ].map(([apiVersion, kind]) => [selectorKey(apiVersion as string, (kind as CachedKind).kind), kind as CachedKind]),
);

const cluster = (
  name: string,
  { isReady = true, ...more }: { isReady?: boolean; labels?: object; apis?: object[] } = {},
) =>
  ({
    metadata: { name, ...("labels" in more ? { labels: more.labels } : {}) },
    status: {
      conditions: [
        { type: "Ready", status: isReady ? "True" : "False" },
        ...(more.apis === undefined ? [] : [{ type: "CompleteAPIEnablements", status: "True" }]),
      ],
      ...(more.apis === undefined ? {} : { apiEnablements: more.apis }),
    },
  }) as unknown as Cluster;
const registry = (name: string, selectors: readonly (readonly [string, string, string?])[], more: object = {}) =>
  ({
    metadata: { name },
    spec: {
      targetCluster: {},
      resourceSelectors: selectors.map(([apiVersion, kind, namespace]) => ({ apiVersion, kind, namespace })),
      ...more,
    },
  }) as unknown as ResourceRegistry;
const of = (registries: readonly ResourceRegistry[], clusters: readonly Cluster[]) =>
  Object.fromEntries(
    planCaches(registries, clusters, KINDS).clusters.map(({ cluster: { metadata }, kinds }) => [
      metadata.name,
      Object.fromEntries(
        [...kinds.values()].map(({ kind, namespaces }) => [
          kind.resource,
          namespaces === undefined ? "*" : [...namespaces],
        ]),
      ),
    ]),
  );
const openSearch = (address: string) => ({
  backendStore: { openSearch: { addresses: [address], secretRef: { namespace: "n", name: "s" } } },
});

describe("[GF-46] what is kept of members", () => {
  it.each([
    ["nothing without a registry", [], [cluster("m1")], {}],
    [
      "nothing of a cluster that is not ready",
      [registry("r", [["v1", "Pod"]])],
      [cluster("m1", { isReady: false })],
      {},
    ],
    ["nothing of a kind nobody knows", [registry("r", [["v2", "Pod"]])], [cluster("m1")], {}],
    [
      "all clusters' where none is named",
      [registry("r", [["v1", "Pod"]])],
      [cluster("m1"), cluster("m2")],
      { m1: { pods: "*" }, m2: { pods: "*" } },
    ],
    [
      "the named clusters' alone",
      [registry("r", [["v1", "Pod"]], { targetCluster: { clusterNames: ["m2"] } })],
      [cluster("m1"), cluster("m2")],
      { m2: { pods: "*" } },
    ],
    [
      "the clusters' with the labels",
      [registry("r", [["v1", "Pod"]], { targetCluster: { labelSelector: { matchLabels: { a: "b" } } } })],
      [cluster("m1", { labels: { a: "b" } }), cluster("m2")],
      { m1: { pods: "*" } },
    ],
    [
      "the union of what several select",
      [
        registry("r1", [["v1", "Pod", "a"]]),
        registry("r2", [
          ["v1", "Pod", "b"],
          ["apps/v1", "Deployment"],
        ]),
      ],
      [cluster("m1")],
      { m1: { pods: ["a", "b"], deployments: "*" } },
    ],
    [
      "all namespaces where one asks for all",
      [registry("r1", [["v1", "Pod", "a"]]), registry("r2", [["v1", "Pod"]])],
      [cluster("m1")],
      { m1: { pods: "*" } },
    ],
    [
      "whole kinds that are in no namespace",
      [registry("r", [["v1", "Node", "a"]])],
      [cluster("m1")],
      { m1: { nodes: "*" } },
    ],
    [
      "no kind a cluster says it does not serve",
      [
        registry("r", [
          ["v1", "Pod"],
          ["apps/v1", "Deployment"],
        ]),
      ],
      [cluster("m1", { apis: [{ groupVersion: "v1", resources: [{ kind: "Pod", name: "pods" }] }] }), cluster("m2")],
      { m1: { pods: "*" }, m2: { pods: "*", deployments: "*" } },
    ],
  ])("is %s", (_, registries, clusters, expected) => {
    expect(of(registries, clusters)).toEqual(expected);
  });

  it("leaks no namespace of one registry to the clusters of another", () => {
    const one = registry("r1", [["v1", "Pod", "a"]]);
    const other = registry("r2", [["v1", "Pod", "b"]], { targetCluster: { clusterNames: ["m2"] } });
    expect(of([one, other], [cluster("m1"), cluster("m2")])).toEqual({ m1: { pods: ["a"] }, m2: { pods: ["a", "b"] } });
  });

  it("goes to the store of the first registry that has one", () => {
    const stores = (...registries: ResourceRegistry[]) =>
      planCaches(registries, [cluster("m1")], KINDS).clusters.map(({ store }) => store?.addresses[0]);
    const pods = [["v1", "Pod"]] as const;
    expect(stores(registry("b", pods, openSearch("http://b")), registry("a", pods))).toEqual(["http://b"]);
    expect(stores(registry("b", pods, openSearch("http://b")), registry("a", pods, openSearch("http://a")))).toEqual([
      "http://a",
    ]);
    expect(stores(registry("a", pods))).toEqual([undefined]);
  });

  it("is registered also where no cluster has it", () => {
    expect([...planCaches([registry("r", [["v1", "Pod"]])], [], KINDS).registered.keys()]).toEqual(["/v1/pods"]);
  });
});
