/** Propagation end to end on simulated members, rule by rule. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConfigMap, CustomResourceDefinition, Deployment, Namespace, Secret, ServiceAccount } from "#apis/kubernetes";
import {
  Cluster,
  ClusterPropagationPolicy,
  ClusterResourceBinding,
  OverridePolicy,
  PropagationPolicy,
  ResourceBinding,
  Work,
} from "#apis/karmada";
import { type Client, createClient, retryOnConflict } from "#client";
import type { Fleet } from "#controlplane";
import { getPath, type KubeObject, type ResourceKind } from "#machinery";
import { aDeployment, aPropagationPolicy, eventually, startTestFleet } from "#testing";

let fleet: Fleet;
let plane: Client;
const member = (name: string) => createClient(fleet.members.get(name)?.api.transport() as never);
const policyFor = (
  name: string,
  object: { kind: string; apiVersion: string; name?: string },
  placement: unknown = { clusterAffinity: { clusterNames: ["member1"] } },
  more: object = {},
  namespace = "default",
) =>
  ({
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: { namespace, name },
    spec: { resourceSelectors: [object], placement, ...more },
  }) as unknown as PropagationPolicy;
const override = (name: string, selector: object, overriders: object, cluster = "member1") =>
  ({
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "OverridePolicy",
    metadata: { namespace: "default", name },
    spec: {
      resourceSelectors: [selector],
      overrideRules: [{ targetCluster: { clusterNames: [cluster] }, overriders }],
    },
  }) as unknown as OverridePolicy;
const configMap = (name: string, data: Record<string, string>, more: object = {}) =>
  ({ apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: "default", name, ...more }, data }) as ConfigMap;
const inMember = <T extends KubeObject>(
  cluster: string,
  kind: ResourceKind<T>,
  name: string,
  namespace: string | undefined = "default",
) => eventually(() => member(cluster).find(kind, { namespace, name }));
const goneIn = (cluster: string, kind: ResourceKind, name: string) =>
  eventually(async () => (await member(cluster).find(kind, { namespace: "default", name })) === undefined);
const change = <T extends KubeObject>(kind: ResourceKind<T>, name: string, edit: (object: T) => T) =>
  retryOnConflict(async () => plane.update(kind, edit(await plane.get(kind, { namespace: "default", name }))));

beforeAll(async () => {
  fleet = await startTestFleet();
  plane = createClient(fleet.controlPlane.transport);
  await eventually(async () =>
    (await plane.list(Cluster)).items.every(
      ({ status, spec }) => status?.resourceSummary !== undefined && (spec?.taints ?? []).length === 0,
    ),
  );
});
afterAll(() => fleet.stop());

describe("policies", () => {
  test("[O-1] [DR-2] [DR-25] [DR-22] a template reaches the members its policy names, and follows its changes", async () => {
    await plane.create(ConfigMap, configMap("settings", { a: "1" }));
    await plane.create(
      PropagationPolicy,
      policyFor(
        "settings",
        { apiVersion: "v1", kind: "ConfigMap", name: "settings" },
        { clusterAffinity: { clusterNames: ["member1", "member2"] } },
      ),
    );
    expect((await inMember("member1", ConfigMap, "settings")).data).toEqual({ a: "1" });
    await inMember("member2", ConfigMap, "settings");
    await change(ConfigMap, "settings", (object) => ({ ...object, data: { a: "2" } }));
    await eventually(
      async () =>
        (await member("member2").get(ConfigMap, { namespace: "default", name: "settings" })).data?.["a"] === "2",
    );
    expect(await member("member3").find(ConfigMap, { namespace: "default", name: "settings" })).toBeUndefined();
  });

  test("[DR-10] [DR-46] a policy that no longer names a cluster withdraws the copy there and only there", async () => {
    await change(
      PropagationPolicy,
      "settings",
      (policy) =>
        ({
          ...policy,
          spec: { ...policy.spec, placement: { clusterAffinity: { clusterNames: ["member2"] } } },
        }) as PropagationPolicy,
    );
    await goneIn("member1", ConfigMap, "settings");
    await inMember("member2", ConfigMap, "settings");
    expect(await plane.find(ConfigMap, { namespace: "default", name: "settings" })).toBeDefined();
  });

  test("[RN-23] deleting the policy leaves template and copies", async () => {
    await plane.delete(PropagationPolicy, { namespace: "default", name: "settings" });
    await eventually(
      async () => (await plane.find(PropagationPolicy, { namespace: "default", name: "settings" })) === undefined,
    );
    await eventually(
      async () =>
        (await plane.get(ConfigMap, { namespace: "default", name: "settings" })).metadata.labels?.[
          "propagationpolicy.karmada.io/permanent-id"
        ] === undefined,
    );
    expect(await member("member2").find(ConfigMap, { namespace: "default", name: "settings" })).toBeDefined();
  });

  test("[RN-19] deleting the template deletes the copies", async () => {
    await plane.create(ConfigMap, configMap("short-lived", { a: "1" }));
    await plane.create(
      PropagationPolicy,
      policyFor("short-lived", { apiVersion: "v1", kind: "ConfigMap", name: "short-lived" }),
    );
    await inMember("member1", ConfigMap, "short-lived");
    await plane.delete(ConfigMap, { namespace: "default", name: "short-lived" });
    await goneIn("member1", ConfigMap, "short-lived");
    await eventually(
      async () =>
        (await plane.find(ResourceBinding, { namespace: "default", name: "short-lived-configmap" })) === undefined,
    );
  });

  test("[RN-20] [RN-21] [RN-22] preserveResourcesOnDeletion leaves the copies, without our marks", async () => {
    await plane.create(ConfigMap, configMap("kept", { a: "1" }));
    await plane.create(
      PropagationPolicy,
      policyFor("kept", { apiVersion: "v1", kind: "ConfigMap", name: "kept" }, undefined, {
        preserveResourcesOnDeletion: true,
      }),
    );
    await inMember("member1", ConfigMap, "kept");
    await eventually(async () =>
      (await plane.list(Work, { namespace: "karmada-es-member1" })).items.some(
        ({ metadata, spec }) => metadata.name?.startsWith("kept-") && spec?.preserveResourcesOnDeletion,
      ),
    );
    await plane.delete(ConfigMap, { namespace: "default", name: "kept" });
    await eventually(
      async () =>
        !(await plane.list(Work, { namespace: "karmada-es-member1" })).items.some(({ metadata }) =>
          metadata.name?.startsWith("kept-"),
        ),
    );
    const left = await member("member1").get(ConfigMap, { namespace: "default", name: "kept" });
    expect(Object.keys(left.metadata.labels ?? {})).toEqual([]);
  });

  test("[DR-18] a custom kind is propagated by policy alone", async () => {
    const crd = {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "widgets.example.com" },
      spec: {
        group: "example.com",
        scope: "Namespaced",
        names: { plural: "widgets", kind: "Widget" },
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            schema: {
              openAPIV3Schema: {
                type: "object",
                properties: { spec: { type: "object", properties: { size: { type: "integer" } } } },
              },
            },
          },
        ],
      },
    } as unknown as CustomResourceDefinition;
    await plane.create(CustomResourceDefinition, crd);
    await plane.create(ClusterPropagationPolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "ClusterPropagationPolicy",
      metadata: { name: "widgets" },
      spec: {
        resourceSelectors: [
          { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", name: "widgets.example.com" },
        ],
        placement: { clusterAffinity: { clusterNames: ["member3"] } },
      },
    } as unknown as ClusterPropagationPolicy);
    await eventually(() => member("member3").find(CustomResourceDefinition, { name: "widgets.example.com" }));
    expect(
      await plane.find(ClusterResourceBinding, { name: "widgets.example.com-customresourcedefinition" }),
    ).toBeDefined();
    const Widget: ResourceKind = {
      group: "example.com",
      version: "v1",
      kind: "Widget",
      resource: "widgets",
      namespaced: true,
    };
    await plane.create(Widget, {
      apiVersion: "example.com/v1",
      kind: "Widget",
      metadata: { namespace: "default", name: "one" },
      spec: { size: 3 },
    } as KubeObject);
    await plane.create(
      PropagationPolicy,
      policyFor(
        "widgets",
        { apiVersion: "example.com/v1", kind: "Widget" },
        { clusterAffinity: { clusterNames: ["member3"] } },
      ),
    );
    // The member's list of served APIs is posted with its status.
    await eventually(async () =>
      (await plane.get(Cluster, { name: "member3" })).status?.apiEnablements?.some(
        ({ groupVersion }) => groupVersion === "example.com/v1",
      ),
    );
    await plane.patch(Widget, { namespace: "default", name: "one" }, "application/merge-patch+json", {
      spec: { size: 4 },
    });
    await eventually(async () => getPath(await inMember("member3", Widget, "one"), "spec", "size") === 4);
  });

  test.each([53, 63, 253 - "-deployment".length])(
    "[DR-43] [DR-44] a Deployment with a name of %i characters reaches its member",
    async (length) => {
      const name = "n".repeat(length);
      await plane.create(Deployment, aDeployment(name, 1));
      await plane.create(
        PropagationPolicy,
        policyFor(`long-${length}`, { apiVersion: "apps/v1", kind: "Deployment", name }),
      );
      await inMember("member1", Deployment, name);
    },
  );

  test("[DR-41] [DR-42] what lives in system namespaces stays where it is", async () => {
    await plane.create(ConfigMap, {
      ...configMap("internal", { a: "1" }),
      metadata: { namespace: "kube-system", name: "internal" },
    });
    await plane.create(
      PropagationPolicy,
      policyFor("internal", { apiVersion: "v1", kind: "ConfigMap", name: "internal" }, undefined, {}, "kube-system"),
    );
    await plane.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shared" } });
    for (const cluster of ["member1", "member2", "member3"])
      await eventually(() => member(cluster).find(Namespace, { name: "shared" }));
    expect(await plane.find(ResourceBinding, { namespace: "kube-system", name: "internal-configmap" })).toBeUndefined();
  });

  test("a more precise policy wins over a general one of the same namespace", async () => {
    await plane.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "choice" } });
    await plane.create(
      PropagationPolicy,
      policyFor(
        "general",
        { apiVersion: "v1", kind: "ConfigMap" },
        { clusterAffinity: { clusterNames: ["member2"] } },
        {},
        "choice",
      ),
    );
    await plane.create(
      PropagationPolicy,
      policyFor("precise", { apiVersion: "v1", kind: "ConfigMap", name: "picked" }, undefined, {}, "choice"),
    );
    await plane.create(ConfigMap, { ...configMap("picked", {}), metadata: { namespace: "choice", name: "picked" } });
    await eventually(() => member("member1").find(ConfigMap, { namespace: "choice", name: "picked" }));
    expect(await member("member2").find(ConfigMap, { namespace: "choice", name: "picked" })).toBeUndefined();
  });
});

describe("overrides", () => {
  test("[DR-13] [DR-14] [DR-17] a standby copy stays at zero replicas until the override goes", async () => {
    await plane.create(Deployment, aDeployment("standby", 4));
    await plane.create(
      OverridePolicy,
      override(
        "standby",
        { apiVersion: "apps/v1", kind: "Deployment", name: "standby" },
        { plaintext: [{ operator: "replace", path: "/spec/replicas", value: 0 }] },
        "member2",
      ),
    );
    await plane.create(
      PropagationPolicy,
      policyFor(
        "standby",
        { apiVersion: "apps/v1", kind: "Deployment", name: "standby" },
        { clusterAffinity: { clusterNames: ["member1", "member2"] } },
      ),
    );
    expect((await inMember("member2", Deployment, "standby")).spec?.replicas).toBe(0);
    await eventually(
      async () =>
        (await member("member1").get(Deployment, { namespace: "default", name: "standby" })).status?.readyReplicas ===
        4,
    );
    const binding = await eventually(async () => {
      const found = await plane.get(ResourceBinding, { namespace: "default", name: "standby-deployment" });
      return found.status?.aggregatedStatus?.length === 2 &&
        found.status.aggregatedStatus.every(({ health }) => health === "Healthy")
        ? found
        : undefined;
    });
    expect(binding.status?.conditions?.find(({ type }) => type === "FullyApplied")?.status).toBe("True");
    await plane.delete(OverridePolicy, { namespace: "default", name: "standby" });
    await eventually(
      async () =>
        (await member("member2").get(Deployment, { namespace: "default", name: "standby" })).spec?.replicas === 4,
    );
  });

  test("[DR-15] [DR-16] [DR-51] [DR-52] pod annotations and tolerations are added, whether there were any or not", async () => {
    const bare = aDeployment("bare", 1);
    const dressed = aDeployment("dressed", 1);
    await plane.create(Deployment, bare);
    await plane.create(Deployment, {
      ...dressed,
      spec: {
        ...dressed.spec,
        template: { ...dressed.spec?.template, metadata: { labels: { workload: "test" }, annotations: { own: "1" } } },
      },
    } as Deployment);
    await plane.create(OverridePolicy, {
      ...override("vendor", { apiVersion: "apps/v1", kind: "Deployment" }, {}),
      spec: {
        resourceSelectors: [
          { apiVersion: "apps/v1", kind: "Deployment", name: "bare" },
          { apiVersion: "apps/v1", kind: "Deployment", name: "dressed" },
        ],
        overrideRules: [
          {
            targetCluster: { clusterNames: ["member1"] },
            overriders: {
              plaintext: [
                {
                  operator: "add",
                  path: "/spec/template/metadata/annotations/vendor.example.com~1runtime",
                  value: "serverless",
                },
                {
                  operator: "add",
                  path: "/spec/template/spec/tolerations/-",
                  value: { key: "virtual", operator: "Exists" },
                },
              ],
            },
          },
        ],
      },
    } as unknown as OverridePolicy);
    for (const name of ["bare", "dressed"])
      await plane.create(PropagationPolicy, policyFor(name, { apiVersion: "apps/v1", kind: "Deployment", name }));
    expect((await inMember("member1", Deployment, "bare")).spec?.template.metadata?.annotations).toEqual({
      "vendor.example.com/runtime": "serverless",
    });
    expect((await inMember("member1", Deployment, "dressed")).spec?.template.metadata?.annotations).toEqual({
      own: "1",
      "vendor.example.com/runtime": "serverless",
    });
  });

  test("[DR-45] [DR-47] with policy and override gone together the standby copy stays as it was", async () => {
    await plane.create(Deployment, aDeployment("released", 3));
    await plane.create(
      OverridePolicy,
      override(
        "released",
        { apiVersion: "apps/v1", kind: "Deployment", name: "released" },
        { plaintext: [{ operator: "replace", path: "/spec/replicas", value: 0 }] },
      ),
    );
    await plane.create(
      PropagationPolicy,
      policyFor("released", { apiVersion: "apps/v1", kind: "Deployment", name: "released" }),
    );
    expect((await inMember("member1", Deployment, "released")).spec?.replicas).toBe(0);
    // Nobody waits in between, and the override may well be the first that is seen to be gone.
    await plane.delete(PropagationPolicy, { namespace: "default", name: "released" });
    await plane.delete(OverridePolicy, { namespace: "default", name: "released" });
    await eventually(
      async () =>
        (await plane.get(ResourceBinding, { namespace: "default", name: "released-deployment" })).metadata.labels?.[
          "propagationpolicy.karmada.io/permanent-id"
        ] === undefined,
    );
    await change(Deployment, "released", (object) => ({
      ...object,
      metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, touched: "1" } },
    }));
    await fleet.controlPlane.manager.whenIdle();
    expect((await member("member1").get(Deployment, { namespace: "default", name: "released" })).spec?.replicas).toBe(
      0,
    );
  });

  test("[RN-37] [RN-38] [RN-39] [RN-40] [RN-41] [RN-42] parts of structured texts differ per cluster, in ConfigMaps and Secrets", async () => {
    await plane.create(
      ConfigMap,
      configMap("app", {
        "app.json": '{"db":{"host":"prod","port":1},"log":"info"}',
        "app.yaml": "db:\n  host: prod\nlog: info\n",
      }),
    );
    await plane.create(Secret, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { namespace: "default", name: "app" },
      data: { "app.json": Buffer.from('{"user":"a"}').toString("base64") },
    });
    await plane.create(
      OverridePolicy,
      override(
        "app",
        { apiVersion: "v1", kind: "ConfigMap", name: "app" },
        {
          fieldOverrider: [
            { fieldPath: "/data/app.json", json: [{ subPath: "/db/host", operator: "replace", value: "standby" }] },
            {
              fieldPath: "/data/app.yaml",
              yaml: [
                { subPath: "/db/host", operator: "replace", value: "standby" },
                { subPath: "/log", operator: "remove" },
              ],
            },
          ],
        },
      ),
    );
    await plane.create(
      OverridePolicy,
      override(
        "app-secret",
        { apiVersion: "v1", kind: "Secret", name: "app" },
        {
          fieldOverrider: [
            { fieldPath: "/data/app.json", json: [{ subPath: "/user", operator: "replace", value: "b" }] },
          ],
        },
      ),
    );
    await plane.create(
      PropagationPolicy,
      policyFor(
        "app",
        { apiVersion: "v1", kind: "ConfigMap", name: "app" },
        { clusterAffinity: { clusterNames: ["member1", "member2"] } },
      ),
    );
    await plane.create(PropagationPolicy, policyFor("app-secret", { apiVersion: "v1", kind: "Secret", name: "app" }));
    const changed = (await inMember("member1", ConfigMap, "app")).data;
    expect(JSON.parse(changed?.["app.json"] ?? "")).toEqual({ db: { host: "standby", port: 1 }, log: "info" });
    expect(changed?.["app.yaml"]).toBe("db:\n  host: standby\n");
    expect((await inMember("member2", ConfigMap, "app")).data?.["app.yaml"]).toContain("prod");
    expect(Buffer.from((await inMember("member1", Secret, "app")).data?.["app.json"] ?? "", "base64").toString()).toBe(
      '{"user":"b"}',
    );
  });
});

describe("execution", () => {
  test("[DR-20] drift is repaired, deletion is undone, and what members add is kept", async () => {
    await plane.create(ConfigMap, configMap("steady", { a: "1" }));
    await plane.create(PropagationPolicy, policyFor("steady", { apiVersion: "v1", kind: "ConfigMap", name: "steady" }));
    const object = await inMember("member1", ConfigMap, "steady");
    await member("member1").update(ConfigMap, {
      ...object,
      data: { a: "changed" },
      metadata: { ...object.metadata, labels: { ...object.metadata.labels, "member/own": "x" } },
    });
    await eventually(
      async () =>
        (await member("member1").get(ConfigMap, { namespace: "default", name: "steady" })).data?.["a"] === "1",
    );
    expect(
      (await member("member1").get(ConfigMap, { namespace: "default", name: "steady" })).metadata.labels?.[
        "member/own"
      ],
    ).toBe("x");
    await member("member1").delete(ConfigMap, { namespace: "default", name: "steady" });
    await inMember("member1", ConfigMap, "steady");
  });

  test("[DR-34] an object that is not ours is left alone and reported, unless the policy says to take it over", async () => {
    await member("member1").create(ConfigMap, configMap("theirs", { owner: "member" }));
    await plane.create(ConfigMap, configMap("theirs", { owner: "plane" }));
    await plane.create(PropagationPolicy, policyFor("theirs", { apiVersion: "v1", kind: "ConfigMap", name: "theirs" }));
    const binding = await eventually(async () => {
      const found = await plane.find(ResourceBinding, { namespace: "default", name: "theirs-configmap" });
      return found?.status?.aggregatedStatus?.[0]?.appliedMessage === undefined ? undefined : found;
    });
    expect(binding.status?.aggregatedStatus?.[0]?.appliedMessage).toContain("Karmada will not manage this resource");
    expect((await member("member1").get(ConfigMap, { namespace: "default", name: "theirs" })).data).toEqual({
      owner: "member",
    });
    await change(
      PropagationPolicy,
      "theirs",
      (policy) => ({ ...policy, spec: { ...policy.spec, conflictResolution: "Overwrite" } }) as PropagationPolicy,
    );
    await eventually(
      async () =>
        (await member("member1").get(ConfigMap, { namespace: "default", name: "theirs" })).data?.["owner"] === "plane",
    );
  });

  test("[DR-34] of a template only its policy's marks are written, of what no policy selects nothing", async () => {
    const [chosen, bystander] = [aDeployment("chosen", 1), configMap("bystander", { a: "1" })];
    const before = await plane.create(Deployment, chosen);
    const { metadata } = await plane.create(ConfigMap, bystander);
    await plane.create(
      PropagationPolicy,
      policyFor("chosen", { apiVersion: "apps/v1", kind: "Deployment", name: "chosen" }),
    );
    // What the member says has come back: everything that is written to a template has been.
    const after = await eventually(async () => {
      const found = await plane.get(Deployment, { namespace: "default", name: "chosen" });
      return found.status?.readyReplicas === 1 ? found : undefined;
    });
    const policy = await plane.get(PropagationPolicy, { namespace: "default", name: "chosen" });
    const id = policy.metadata.labels?.["propagationpolicy.karmada.io/permanent-id"] ?? "";
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(after.metadata.labels).toEqual({
      ...before.metadata.labels,
      "propagationpolicy.karmada.io/permanent-id": id,
    });
    expect(after.metadata.annotations).toEqual({
      ...before.metadata.annotations,
      "propagationpolicy.karmada.io/name": "chosen",
      "propagationpolicy.karmada.io/namespace": "default",
    });
    const { finalizers, ownerReferences, generation } = after.metadata;
    expect({ finalizers, ownerReferences, generation }).toEqual({ generation: 1 });
    expect(after.spec).toEqual(before.spec);
    expect((await plane.get(ConfigMap, { namespace: "default", name: "bystander" })).metadata).toEqual(metadata);
  });

  test("a new template is marked by the write that creates it, where it is certain whose it is", async () => {
    const marks = ({ metadata }: KubeObject) => metadata.annotations?.["propagationpolicy.karmada.io/name"];
    const kind = { apiVersion: "v1", kind: "ConfigMap" };
    await plane.create(PropagationPolicy, policyFor("at-once", { ...kind, name: "at-once" }));
    await plane.create(
      PropagationPolicy,
      policyFor("lazily", { ...kind, name: "lazily" }, undefined, { activationPreference: "Lazy" }),
    );
    await plane.create(
      PropagationPolicy,
      policyFor("waits", { ...kind, name: "waits" }, undefined, { dependentOverrides: ["there-is-none"] }),
    );
    const create = (name: string, options: object = {}) =>
      plane.create(ConfigMap, configMap(name, { a: "1" }), options as never);
    const shown = await create("at-once", { dryRun: true });
    expect(marks(shown)).toBeUndefined();
    const written = await create("at-once");
    expect(marks(written)).toBe("at-once");
    await inMember("member1", ConfigMap, "at-once");
    const after = await plane.get(ConfigMap, { namespace: "default", name: "at-once" });
    expect(after.metadata.resourceVersion).toBe(written.metadata.resourceVersion);
    expect(marks(await create("lazily"))).toBeUndefined();
    await inMember("member1", ConfigMap, "lazily");
    expect(marks(await create("waits"))).toBeUndefined();
    expect(marks(await create("nobodys"))).toBeUndefined();
    await plane.delete(PropagationPolicy, { namespace: "default", name: "at-once" });
    await eventually(async () =>
      marks(await plane.get(ConfigMap, { namespace: "default", name: "at-once" })) === undefined ? true : undefined,
    );
    expect(marks(await create("at-once-2"))).toBeUndefined();
  });

  test("a suspended policy dispatches nothing until it is resumed", async () => {
    await plane.create(ServiceAccount, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { namespace: "default", name: "paused" },
    });
    await plane.create(
      PropagationPolicy,
      policyFor("paused", { apiVersion: "v1", kind: "ServiceAccount", name: "paused" }, undefined, {
        suspension: { dispatching: true },
      }),
    );
    await eventually(async () =>
      (await plane.list(Work, { namespace: "karmada-es-member1" })).items.some(
        ({ metadata, status }) =>
          metadata.name?.startsWith("paused-") &&
          status?.conditions?.some(({ type, status: state }) => type === "Dispatching" && state === "False"),
      ),
    );
    expect(await member("member1").find(ServiceAccount, { namespace: "default", name: "paused" })).toBeUndefined();
    await change(
      PropagationPolicy,
      "paused",
      (policy) => ({ ...policy, spec: { ...policy.spec, suspension: {} } }) as PropagationPolicy,
    );
    await inMember("member1", ServiceAccount, "paused");
  });
});

test("a policy that cannot be is refused with the field's name", async () => {
  const refused = (spec: object) => plane.create(PropagationPolicy, aPropagationPolicy("wrong", spec));
  await expect(refused({ clusterAffinity: {}, clusterAffinities: [{ affinityName: "a" }] })).rejects.toThrow(
    /admission webhook "propagationpolicy.karmada.io" denied the request: spec.placement: Invalid value: .*clusterAffinities cannot co-exist with clusterAffinity/,
  );
  await expect(
    refused({ spreadConstraints: [{ spreadByField: "region", minGroups: 2, maxGroups: 1 }] }),
  ).rejects.toThrow(/maxGroups lower than minGroups is not allowed/);
});
