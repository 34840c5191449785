import { describe, expect, it } from "vitest";
import {
  FederatedResourceQuota,
  karmadaConversions,
  karmadaCustomResourceDefinitions,
  type MultiClusterIngress,
  PropagationPolicy,
  ResourceBinding,
  ResourceInterpreterCustomization,
  quotaUsageOf,
} from "#apis/karmada";
import { seededRandom, systemClock } from "#base";
import { type Client, createClient } from "#client";
import type { FieldError } from "#machinery";
import { startTestApiServer } from "#testing";
import { bindingErrors } from "./binding/index.ts";
import { charge, difference } from "./binding/quota.ts";
import { karmadaAdmission } from "./index.ts";
import { multiClusterIngressErrors } from "./multi-cluster-ingress/index.ts";

const texts = (errors: readonly FieldError[]) => errors.map(({ field, message }) => `${field}: ${message}`);

async function start() {
  let client: Client | undefined;
  const server = await startTestApiServer({
    customResourceDefinitions: karmadaCustomResourceDefinitions(),
    conversions: karmadaConversions,
    admission: karmadaAdmission(seededRandom(1), {
      gates: new Set(["FederatedQuotaEnforcement", "MultiplePodTemplatesScheduling"]),
      luaSyntaxError: (script) => (script.includes("function") ? undefined : "<string> at EOF: syntax error"),
      client: () => (client ??= createClient(server.transport())),
      clock: systemClock,
    }),
  });
  return { server, client: createClient(server.transport()) };
}

const binding = (replicas: number, cpu = "1", name = "web-deployment"): ResourceBinding =>
  ({
    metadata: { name, namespace: "default" },
    spec: {
      resource: { apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name: "web" },
      replicaRequirements: { resourceRequest: { cpu } },
      clusters: [{ name: "m1", replicas }],
    },
  }) as unknown as ResourceBinding;
const quota = (cpu: string, name = "team"): FederatedResourceQuota =>
  ({ metadata: { name, namespace: "default" }, spec: { overall: { cpu } } }) as unknown as FederatedResourceQuota;

describe("ResourceBinding", () => {
  it("has readable dependencies and components with names of their own", () => {
    const errors = (annotations: object, components: readonly object[] = []) =>
      texts(
        bindingErrors(
          { metadata: { name: "a", annotations }, spec: { resource: {}, components } } as unknown as ResourceBinding,
          true,
        ),
      );
    const key = "resourcebinding.karmada.io/dependencies";
    expect(errors({ [key]: '[{"kind":"Secret"}]' })).toEqual([]);
    expect(errors({ [key]: "{" })).toEqual([
      `metadata.annotations.${key}: Invalid value: "{": annotation value must be a valid JSON`,
    ]);
    expect(errors({}, [{ name: "jobmanager" }, { name: "" }, { name: "jobmanager" }])).toEqual([
      'spec.components[1].name: Invalid value: "": component names must be non-empty',
      'spec.components[2].name: Invalid value: "jobmanager": component names must be unique',
    ]);
  });

  it("uses replicas times requests, or clusters times components", () => {
    const nano = (amount: bigint) => amount * 1_000_000_000n;
    expect(quotaUsageOf(binding(3, "2")).get("cpu")?.nano).toBe(nano(6n));
    const components = {
      ...binding(1),
      spec: {
        ...binding(1).spec,
        clusters: [{ name: "m1" }, { name: "m2" }],
        components: [{ name: "a", replicas: 3, replicaRequirements: { resourceRequest: { cpu: "1" } } }],
      },
    } as ResourceBinding;
    expect(quotaUsageOf(components).get("cpu")?.nano).toBe(nano(6n));
  });

  it("may take less of a resource even where the quota was lowered below what is used; every excess is named", () => {
    const used = {
      ...quota("1"),
      spec: { overall: { cpu: "1", memory: "1Gi" } },
      status: { overallUsed: { cpu: "4", memory: "2Gi", "count/pods": "7" } },
    } as unknown as FederatedResourceQuota;
    const less = difference(quotaUsageOf(binding(1)), quotaUsageOf(binding(3)));
    expect(charge(used, less)).toEqual({ kind: "used", overallUsed: { cpu: "2", memory: "2Gi", "count/pods": "7" } });
    expect(charge(used, difference(quotaUsageOf(binding(1)), new Map()))).toEqual({
      kind: "exceeded",
      message: "FederatedResourceQuota(default/team) exceeded for resource cpu: requested sum 5, limit 1.",
    });
  });

  it("is charged to the quotas of its namespace, refused where there is no room, and never half charged", async () => {
    const { server, client } = await start();
    try {
      await client.create(FederatedResourceQuota, quota("5", "a"));
      await client.create(FederatedResourceQuota, quota("3", "b"));
      const used = async () =>
        (await client.list(FederatedResourceQuota, { namespace: "default" })).items.map(
          ({ status }) => status?.overallUsed?.["cpu"],
        );
      await client.create(ResourceBinding, binding(2));
      expect(await used()).toEqual(["2", "2"]);
      await expect(client.create(ResourceBinding, binding(2, "1", "more-deployment"))).rejects.toMatchObject({
        code: 403,
        reason: "QuotaExceeded",
        message:
          'admission webhook "resourcebinding.karmada.io" denied the request: FederatedResourceQuota(default/b) exceeded for resource cpu: requested sum 4, limit 3.',
      });
      await client.create(ResourceBinding, binding(1, "1", "dry-deployment"), { dryRun: true });
      expect(await used()).toEqual(["2", "2"]);
      const present = await client.get(ResourceBinding, { namespace: "default", name: "web-deployment" });
      await client.update(ResourceBinding, {
        ...present,
        spec: { ...present.spec, clusters: [{ name: "m1", replicas: 1 }] },
      });
      expect(await used()).toEqual(["1", "1"]);
    } finally {
      server.stop();
    }
  });
});

describe("PropagationPolicy", () => {
  it("keeps its id when it comes back from a backup, and never takes one that a living policy holds", async () => {
    const { server, client } = await start();
    const label = "propagationpolicy.karmada.io/permanent-id";
    const policy = (name: string, id: string | undefined) =>
      ({
        metadata: { name, namespace: "default", ...(id === undefined ? {} : { labels: { [label]: id } }) },
        spec: { resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment" }] },
      }) as unknown as PropagationPolicy;
    try {
      const idOf = async (name: string, id?: string) =>
        (await client.create(PropagationPolicy, policy(name, id))).metadata.labels?.[label] ?? "";
      const backup = "0f8fad5b-d9cb-469f-a165-70867728950e";
      expect(await idOf("restored", backup)).toBe(backup);
      expect(await idOf("copied", backup)).not.toBe(backup);
      expect(await idOf("odd", "no-uuid")).toMatch(/^[0-9a-f]{8}-/);
      expect(await idOf("new")).toMatch(/^[0-9a-f]{8}-/);
    } finally {
      server.stop();
    }
  });
});

describe("ResourceInterpreterCustomization", () => {
  const customization = (name: string, customizations: object) =>
    ({
      metadata: { name },
      spec: { target: { apiVersion: "apps/v1", kind: "Deployment" }, customizations },
    }) as unknown as ResourceInterpreterCustomization;
  const script = { luaScript: "function f() end" };

  it("does each operation of a kind once, also when two arrive together, and has scripts that can be read", async () => {
    const { server, client } = await start();
    try {
      const create = (name: string, customizations: object) =>
        client.create(ResourceInterpreterCustomization, customization(name, customizations));
      const both = await Promise.allSettled([create("a", { retention: script }), create("b", { retention: script })]);
      expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
      await create("deps", { dependencyInterpretation: script });
      await create("more-deps", { dependencyInterpretation: script });
      await create("health", { healthInterpretation: script });
      await expect(create("health2", { healthInterpretation: script })).rejects.toMatchObject({
        message:
          'admission webhook "resourceinterpretercustomization.karmada.io" denied the request: conflicting with InterpreterOperation(InterpretHealth) of existing ResourceInterpreterCustomization(health)',
      });
      await expect(create("bad", { statusReflection: { luaScript: "funct" } })).rejects.toMatchObject({
        message:
          'admission webhook "resourceinterpretercustomization.karmada.io" denied the request: InterpreterOperation(InterpretStatus) Lua script error: <string> at EOF: syntax error',
      });
    } finally {
      server.stop();
    }
  });
});

describe("MultiClusterIngress", () => {
  const errors = (spec: object) =>
    texts(multiClusterIngressErrors({ metadata: { name: "web" }, spec } as unknown as MultiClusterIngress));
  const service = { service: { name: "web", port: { number: 80 } } };
  const path = (change: object) => ({
    rules: [{ http: { paths: [{ path: "/", pathType: "Prefix", backend: service, ...change }] } }],
  });
  const at = "spec.rules[0].http.paths[0]";
  it.each([
    ["nothing wrong", path({}), []],
    ["no rule", {}, ["spec: Invalid value: {}: either `defaultBackend` or `rules` must be specified"]],
    [
      "two backends",
      { defaultBackend: { ...service, resource: { kind: "Bucket", name: "b" } } },
      ['spec.defaultBackend: Invalid value: "": cannot set both resource and service backends'],
    ],
    [
      "no backend",
      { defaultBackend: {} },
      ['spec.defaultBackend: Invalid value: "": resource or service backend is required'],
    ],
    [
      "a port twice",
      { defaultBackend: { service: { name: "web", port: { name: "http", number: 80 } } } },
      ['spec.defaultBackend.service: Invalid value: "": cannot set both port name & port number'],
    ],
    [
      "no port",
      { defaultBackend: { service: { name: "web" } } },
      ["spec.defaultBackend.service: Required value: port name or number is required"],
    ],
    [
      "an address as host",
      { rules: [{ host: "10.0.0.1", http: { paths: [] } }] },
      [
        'spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
        "spec.rules[0].http.paths: Required value",
      ],
    ],
    ["a wildcard", { rules: [{ host: "*.example.com" }] }, []],
    ["no type of path", path({ pathType: "" }), [`${at}.pathType: Required value: pathType must be specified`]],
    [
      "an unknown type of path",
      path({ pathType: "Regex" }),
      [`${at}.pathType: Unsupported value: "Regex": supported values: "Exact", "ImplementationSpecific", "Prefix"`],
    ],
    [
      "a path that climbs",
      path({ path: "/a//b/.." }),
      [
        `${at}.path: Invalid value: "/a//b/..": must not contain '//'`,
        `${at}.path: Invalid value: "/a//b/..": cannot end with '/..'`,
      ],
    ],
  ])("with %s", (_, spec, expected) => {
    expect(errors(spec)).toEqual(expected);
  });
});
