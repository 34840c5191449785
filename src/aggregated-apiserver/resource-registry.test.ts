import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ResourceRegistry } from "#apis/karmada";
import { aggregatedDefinitions } from "#aggregated-apiserver";
import type { RunningApiServer } from "#apiserver";
import { systemClock } from "#base";
import { type Client, createClient, discover } from "#client";
import { startTestApiServer } from "#testing";

let api: RunningApiServer;
let client: Client;
beforeAll(async () => {
  api = await startTestApiServer({ aggregated: aggregatedDefinitions(systemClock) });
  client = createClient(api.transport());
});
afterAll(() => api.stop());

const registry = (name: string, spec?: object, more: object = {}) =>
  ({
    apiVersion: "search.karmada.io/v1alpha1",
    kind: "ResourceRegistry",
    metadata: { name },
    ...(spec === undefined ? {} : { spec }),
    ...more,
  }) as ResourceRegistry;

describe("[GF-46] a ResourceRegistry", () => {
  it.each([
    [
      "of clusters by a field nobody knows",
      { targetCluster: { fieldSelector: { matchExpressions: [{ key: "size", operator: "In", values: ["1"] }] } } },
      [["spec.targetCluster.fieldSelector", 'unsupported key "size", must be provider, region, or zone']],
    ],
    [
      "of clusters by a comparison nobody makes",
      { targetCluster: { fieldSelector: { matchExpressions: [{ key: "zone", operator: "Exists" }] } } },
      [["spec.targetCluster.fieldSelector", 'unsupported operator "Exists", must be In or NotIn']],
    ],
    [
      "of versions that cannot be read, and namespaces that cannot be",
      {
        resourceSelectors: [
          { apiVersion: "a/b/c", kind: "Pod" },
          { apiVersion: "v1", kind: "Pod", namespace: "A" },
        ],
      },
      [
        ["spec.resourceSelectors[0].apiVersion", "unexpected GroupVersion string: a/b/c"],
        ["spec.resourceSelectors[1].namespace", "a lowercase RFC 1123 label must consist of"],
      ],
    ],
    [
      "kept at addresses that are none",
      {
        backendStore: {
          openSearch: { addresses: ["https://10.0.0.1:9200", "10.0.0.1:9200", "ftp://h", "http://", "http:///path"] },
        },
      },
      [1, 2, 3, 4].map((at) => [
        `spec.backendStore.openSearch.addresses[${at}]`,
        "must be a valid http or https URL with non-empty scheme and host",
      ]),
    ],
  ])("%s is refused by field", async (_, spec, causes) => {
    const refused = await client.create(ResourceRegistry, registry("bad", spec)).then(
      () => undefined,
      (error: unknown) => error as { readonly code: number; readonly status: { details?: { causes?: object[] } } },
    );
    expect(refused?.code).toBe(422);
    expect(refused?.status.details?.causes).toEqual(
      causes.map(([field, message]) =>
        expect.objectContaining({ field, message: expect.stringContaining(message as string) }),
      ),
    );
  });

  it("must have a name that is one", async () => {
    await expect(client.create(ResourceRegistry, registry("No_Name", {}))).rejects.toThrow(
      /metadata.name: Invalid value/,
    );
  });

  it("may leave out what its schema calls required, keeps no status it is sent with, and counts no generations", async () => {
    const made = await client.create(
      ResourceRegistry,
      registry("all", undefined, { status: { conditions: [{ type: "Mine", status: "True" }] } }),
    );
    expect(made).toMatchObject({ spec: { targetCluster: {}, resourceSelectors: [] } });
    expect(made.status?.conditions ?? []).toEqual([]);
    expect(made.metadata.generation).toBeUndefined();
    const changed = await client.update(ResourceRegistry, {
      ...made,
      spec: { targetCluster: {}, resourceSelectors: [{ apiVersion: "v1", kind: "Pod" }] },
      status: {
        conditions: [{ type: "Mine", status: "True", reason: "R", message: "", lastTransitionTime: null as never }],
      },
    });
    expect(changed.status?.conditions ?? []).toEqual([]);
    expect(changed.metadata.generation).toBeUndefined();
  });
});

describe("[GF-46] discovery of search.karmada.io", () => {
  const served = async (server: RunningApiServer) =>
    Object.fromEntries(
      (await discover(server.transport())).resources
        .filter(({ group }) => group === "search.karmada.io")
        .map(({ resource, kind, verbs, subresources, singular }) => [
          resource,
          { kind, verbs, subresources, singular },
        ]),
    );

  it("names the registries and both addresses", async () => {
    expect(await served(api)).toEqual({
      resourceregistries: {
        kind: "ResourceRegistry",
        singular: "resourceregistry",
        verbs: ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        subresources: ["status"],
      },
      search: { kind: "Search", singular: "search", verbs: ["get"], subresources: [] },
      proxying: {
        kind: "Proxying",
        singular: "proxying",
        verbs: ["create", "delete", "get", "patch", "update"],
        subresources: [],
      },
    });
  });

  it("leaves out what is disabled, and an address alone answers nothing", async () => {
    const bare = await startTestApiServer({
      aggregated: aggregatedDefinitions(systemClock, { disableSearch: true, disableProxy: true }),
    });
    expect(Object.keys(await served(bare))).toEqual(["resourceregistries"]);
    bare.stop();
    const at = "/apis/search.karmada.io/v1alpha1/";
    for (const [method, path, status] of [
      ["GET", "search", 405],
      ["GET", "search/cache", 404],
      ["GET", "proxying/any", 404],
      ["GET", "search/cache/api/v1/pods", 404],
    ] as const)
      expect((await api.transport().raw({ method, path: at + path })).status, path).toBe(status);
  });
});
