/** Policies by their numbered rules (propagation.md 3, 4 and 5), in virtual time. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ConfigMap,
  CustomResourceDefinition,
  Deployment,
  Event,
  Namespace,
  PriorityClass,
  Role,
} from "#apis/kubernetes";
import {
  type AnyBinding,
  ClusterPropagationPolicy,
  ClusterResourceBinding,
  OverridePolicy,
  PropagationPolicy,
  ResourceBinding,
  Work,
} from "#apis/karmada";
import { retryOnConflict } from "#client";
import { isNotFound, type KubeObject, type ResourceKind, setPath } from "#machinery";
import { aDeployment, startVirtualFleet, type VirtualFleet } from "#testing";

interface Spec {
  readonly spec: unknown;
}

let fleet: VirtualFleet;
beforeAll(async () => {
  fleet = await startVirtualFleet({
    members: ["m1", "m2"],
    flags: ["--feature-gates=PropagationPolicyPreemption=true,MultiplePodTemplatesScheduling=true"],
  });
});
afterAll(() => fleet.stop());

const at = (name: string) => ({ namespace: "default", name });
const clusters = (...clusterNames: string[]) => ({ clusterAffinity: { clusterNames } });
const configMap = (name: string, more: object = {}) =>
  ({ apiVersion: "v1", kind: "ConfigMap", metadata: { ...at(name), ...more }, data: { a: "1" } }) as ConfigMap;
const policy = (name: string, selector: object, spec: object = {}) =>
  fleet.plane.create(PropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: at(name),
    spec: {
      resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", ...selector }],
      placement: clusters("m1"),
      ...spec,
    },
  } as unknown as PropagationPolicy);
const clusterPolicy = (name: string, selector: object, spec: object = {}) =>
  fleet.plane.create(ClusterPropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "ClusterPropagationPolicy",
    metadata: { name },
    spec: {
      resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", ...selector }],
      placement: clusters("m1"),
      ...spec,
    },
  } as unknown as ClusterPropagationPolicy);
const edit = <T extends KubeObject>(
  kind: ResourceKind<T>,
  where: { readonly namespace?: string; readonly name: string },
  change: (object: T) => object,
) =>
  retryOnConflict(async () =>
    fleet.plane.update(kind, change(await fleet.plane.get(kind, where as { name: string })) as T),
  );
const respec = (name: string, spec: object) =>
  edit(PropagationPolicy, at(name), (present) => ({ ...present, spec: { ...present.spec, ...spec } }));
let touches = 0;
/** A user changes the template, in whatever: an annotation will do. */
const touch = (name: string) =>
  edit(ConfigMap, at(name), ({ metadata, ...rest }) => ({
    ...rest,
    metadata: { ...metadata, annotations: { ...metadata.annotations, touched: String(++touches) } },
  }));
const marks = async (name: string) => (await fleet.plane.get(ConfigMap, at(name))).metadata;
const holder = async (name: string) => {
  const { annotations = {}, labels = {} } = await marks(name);
  if (labels["propagationpolicy.karmada.io/permanent-id"]) return annotations["propagationpolicy.karmada.io/name"];
  return labels["clusterpropagationpolicy.karmada.io/permanent-id"]
    ? `cluster ${annotations["clusterpropagationpolicy.karmada.io/name"]}`
    : undefined;
};
const binding = (name: string, kind = "configmap") => fleet.plane.find(ResourceBinding, at(`${name}-${kind}`));
const copy = (cluster: string, name: string) => fleet.member(cluster).find(ConfigMap, at(name));
const eventsOf = async (kind: string, name: string) =>
  (await fleet.plane.list(Event)).items
    .filter(({ involvedObject }) => involvedObject.kind === kind && involvedObject.name === name)
    .map(({ type, reason, message, source }) => `${source?.component}: ${type} ${reason} ${message}`);
/** Long enough for everything that is going to happen by itself. */
const rest = () => fleet.advance(30_000);

describe("3. a template", () => {
  test("3.2 3.5 is claimed, bound and told so, and nothing is written again when nothing changed", async () => {
    await policy("told", { name: "told" });
    await fleet.plane.create(ConfigMap, configMap("told"));
    await fleet.until(() => copy("m1", "told"));
    expect(await holder("told")).toBe("told");
    expect(await eventsOf("ConfigMap", "told")).toContain(
      "resource-detector: Normal ApplyPolicySucceed Apply policy(default/told) succeed",
    );
    await rest();
    const { generation } = (await binding("told"))?.metadata ?? {};
    const before = (await marks("told")).resourceVersion;
    await fleet.restart();
    await rest();
    expect((await binding("told"))?.metadata.generation).toBe(generation);
    expect((await marks("told")).resourceVersion).toBe(before);
  });

  test("3.2 that says it is claimed by something else is left alone, and looked at when the label goes", async () => {
    const label = "resourcetemplate.karmada.io/claimed-by";
    await policy("leaves-alone", { name: "taken" });
    await fleet.plane.create(ConfigMap, configMap("taken", { labels: { [label]: "multiclusterservices" } }));
    await rest();
    expect(await holder("taken")).toBeUndefined();
    await edit(ConfigMap, at("taken"), ({ metadata, ...object }) => ({
      ...object,
      metadata: { ...metadata, labels: {} },
    }));
    await fleet.until(() => copy("m1", "taken"));
  });

  test("3.1 12.5a whose labels stop matching is handed back at once and finds another policy; the copy stays", async () => {
    await policy("front", { labelSelector: { matchLabels: { tier: "front" } } });
    await clusterPolicy("back", { labelSelector: { matchLabels: { tier: "back" } } });
    await fleet.plane.create(ConfigMap, configMap("tiered", { labels: { tier: "front" } }));
    await fleet.until(async () => (await holder("tiered")) === "front" && (await copy("m1", "tiered")));
    const { uid } = (await copy("m1", "tiered"))?.metadata ?? {};
    const relabel = (labels: object) =>
      edit(ConfigMap, at("tiered"), ({ metadata, ...object }) => ({
        ...object,
        metadata: { ...metadata, labels: { ...metadata.labels, ...labels } },
      }));
    await relabel({ tier: "back" });
    await fleet.until(async () => (await holder("tiered")) === "cluster back");
    await relabel({ tier: "none" });
    await fleet.until(async () => (await holder("tiered")) === undefined);
    await rest();
    expect((await copy("m1", "tiered"))?.metadata.uid).toBe(uid);
    const { labels, annotations } = (await binding("tiered"))?.metadata ?? {};
    expect(JSON.stringify({ labels, annotations })).not.toMatch(/propagationpolicy/);
  });

  test("3.4 4.1 of a cluster-scoped kind is a matter of ClusterPropagationPolicies only; its binding has no namespace", async () => {
    const role = (kind: "ClusterRole" | "Role", name: string) => ({
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind,
      metadata: kind === "Role" ? at(name) : { name },
      rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }],
    });
    await clusterPolicy("roles", { apiVersion: "rbac.authorization.k8s.io/v1", kind: "Role" }, { propagateDeps: true });
    await fleet.plane.create(Role, role("Role", "team:a") as unknown as Role);
    const found = await fleet.plane
      .list(ResourceBinding, { namespace: "default" })
      .then(() => fleet.until(async () => await fleet.plane.find(ResourceBinding, at("team.a-role"))))
      .then(() => fleet.plane.get(ResourceBinding, at("team.a-role")));
    expect(found.spec).toMatchObject({ resource: { name: "team:a" }, propagateDeps: true });
    expect(found.metadata.annotations).toMatchObject({ "clusterpropagationpolicy.karmada.io/name": "roles" });
  });

  test("3.5 waits for the overrides its policy depends on, says so, and goes on the moment they are there", async () => {
    await policy("depends", { name: "overridden" }, { dependentOverrides: ["first-this"] });
    await fleet.plane.create(ConfigMap, configMap("overridden"));
    // Long enough for the retries to be minutes apart.
    await fleet.advance(600_000);
    expect(await binding("overridden")).toBeUndefined();
    await fleet.plane.create(OverridePolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "OverridePolicy",
      metadata: at("first-this"),
      spec: {
        resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: "overridden" }],
        overrideRules: [{ overriders: { labelsOverrider: [{ operator: "add", value: { by: "override" } }] } }],
      },
    } as unknown as OverridePolicy);
    expect(await fleet.until(() => copy("m1", "overridden"))).toBeLessThan(5_000);
    expect((await copy("m1", "overridden"))?.metadata.labels).toMatchObject({ by: "override" });
  });
});

describe("4.4 4.6 a policy", () => {
  test("narrowed, then deleted, then followed by another: copies stay all along, and marks go first", async () => {
    await policy(
      "wide",
      {},
      { resourceSelectors: ["kept-1", "kept-2"].map((name) => ({ apiVersion: "v1", kind: "ConfigMap", name })) },
    );
    for (const name of ["kept-1", "kept-2"]) await fleet.plane.create(ConfigMap, configMap(name));
    await fleet.until(async () => (await copy("m1", "kept-1")) && (await copy("m1", "kept-2")));
    const uids = await Promise.all(["kept-1", "kept-2"].map(async (name) => (await copy("m1", name))?.metadata.uid));
    await respec("wide", { resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: "kept-1" }] });
    await fleet.until(async () => (await holder("kept-2")) === undefined);
    expect((await binding("kept-2"))?.spec).toMatchObject({ placement: clusters("m1"), clusters: [{ name: "m1" }] });
    await fleet.plane.delete(PropagationPolicy, at("wide"));
    await fleet.until(async () => (await fleet.plane.find(PropagationPolicy, at("wide"))) === undefined);
    expect(await holder("kept-1")).toBeUndefined();
    expect((await binding("kept-1"))?.metadata.labels).not.toHaveProperty("propagationpolicy.karmada.io/permanent-id");
    await policy(
      "second",
      {},
      { resourceSelectors: ["kept-1", "kept-2"].map((name) => ({ apiVersion: "v1", kind: "ConfigMap", name })) },
    );
    await fleet.until(async () => (await holder("kept-1")) === "second" && (await holder("kept-2")) === "second");
    await rest();
    expect(await Promise.all(["kept-1", "kept-2"].map(async (name) => (await copy("m1", name))?.metadata.uid))).toEqual(
      uids,
    );
  });

  test("4.1 of the namespace takes over from a cluster-wide one only by preemption, and takes its marks off", async () => {
    await clusterPolicy("wide-first", { name: "contended", namespace: "default" }, { priority: 100 });
    await fleet.plane.create(ConfigMap, configMap("contended"));
    await fleet.until(
      async () => (await holder("contended")) === "cluster wide-first" && (await copy("m1", "contended")),
    );
    await policy("own", { name: "contended" }, { placement: clusters("m2") });
    await rest();
    expect(await holder("contended")).toBe("cluster wide-first");
    await respec("own", { preemption: "Always" });
    await fleet.until(async () => (await copy("m2", "contended")) && (await copy("m1", "contended")) === undefined);
    expect((await marks("contended")).labels).not.toHaveProperty("clusterpropagationpolicy.karmada.io/permanent-id");
    expect((await binding("contended"))?.metadata.annotations).not.toHaveProperty(
      "clusterpropagationpolicy.karmada.io/name",
    );
    expect(await eventsOf("ConfigMap", "contended")).toContain(
      "resource-detector: Normal PreemptPolicySucceed Propagation policy(default/own) preempted cluster propagation policy(wide-first) successfully",
    );
    await clusterPolicy("wider", { name: "contended", namespace: "default" }, { priority: 500, preemption: "Always" });
    await rest();
    expect(await holder("contended")).toBe("own");
  });
});

describe("4.7 lazy activation", () => {
  const lazy = { activationPreference: "Lazy" };

  test("the policy is there first: a new template goes at once; what the policy says later waits for the user", async () => {
    await policy("lazy-1", { name: "lazy-1" }, lazy);
    await fleet.plane.create(ConfigMap, configMap("lazy-1"));
    await fleet.until(() => copy("m1", "lazy-1"));
    await respec("lazy-1", { placement: clusters("m2") });
    await rest();
    expect((await binding("lazy-1"))?.spec.clusters).toEqual([{ name: "m1" }]);
    await touch("lazy-1");
    await fleet.until(async () => (await copy("m2", "lazy-1")) && (await copy("m1", "lazy-1")) === undefined);
  });

  test("the switch to lazy is not applied either, whatever comes with it, nor over a restart; the switch back is at once", async () => {
    await policy("lazy-2", { name: "lazy-2" });
    await fleet.plane.create(ConfigMap, configMap("lazy-2"));
    await fleet.until(() => copy("m1", "lazy-2"));
    await respec("lazy-2", { ...lazy, placement: clusters("m2") });
    await rest();
    expect((await binding("lazy-2"))?.spec.clusters).toEqual([{ name: "m1" }]);
    await fleet.restart();
    await rest();
    expect((await binding("lazy-2"))?.spec.clusters).toEqual([{ name: "m1" }]);
    await respec("lazy-2", { activationPreference: undefined });
    await fleet.until(async () => (await copy("m2", "lazy-2")) && (await copy("m1", "lazy-2")) === undefined);
  });

  test("a template that waited is claimed and nothing else until the user changes it, also over a restart", async () => {
    await fleet.plane.create(ConfigMap, configMap("lazy-3"));
    await rest();
    await policy("lazy-3", { name: "lazy-3" }, lazy);
    await fleet.until(async () => (await holder("lazy-3")) === "lazy-3");
    await rest();
    expect(await binding("lazy-3")).toBeUndefined();
    await fleet.restart();
    await rest();
    expect(await binding("lazy-3")).toBeUndefined();
    await touch("lazy-3");
    await fleet.until(() => copy("m1", "lazy-3"));
  });

  test("a template that waits and that others depend on is not activated by a restart either", async () => {
    await fleet.plane.create(ConfigMap, configMap("lazy-6"));
    await rest();
    await policy("lazy-6", { name: "lazy-6" }, { ...lazy, placement: clusters("m1", "m2") });
    await fleet.until(async () => (await holder("lazy-6")) === "lazy-6");
    await policy("needs-6", { apiVersion: "apps/v1", kind: "Deployment", name: "needs-6" }, { propagateDeps: true });
    await fleet.plane.create(
      Deployment,
      setPath(
        aDeployment("needs-6"),
        ["spec", "template", "spec", "volumes"],
        [{ name: "v", configMap: { name: "lazy-6" } }],
      ),
    );
    await fleet.until(() => copy("m1", "lazy-6"));
    await fleet.restart();
    await rest();
    expect((await binding("lazy-6"))?.spec.placement).toBeUndefined();
    expect(await copy("m2", "lazy-6")).toBeUndefined();
    await touch("lazy-6");
    await fleet.until(() => copy("m2", "lazy-6"));
  });

  test("what the user changed while nobody looked counts at the next start", async () => {
    await policy("lazy-4", { name: "lazy-4" }, lazy);
    await fleet.plane.create(ConfigMap, configMap("lazy-4"));
    await fleet.until(() => copy("m1", "lazy-4"));
    await respec("lazy-4", { placement: clusters("m1", "m2") });
    await rest();
    expect(await copy("m2", "lazy-4")).toBeUndefined();
    await fleet.controlPlane.manager.stop();
    await touch("lazy-4");
    await fleet.restart();
    await fleet.until(() => copy("m2", "lazy-4"));
  });

  test("a lazy policy that preempts claims; the binding, and with it dependencies, wait for the user", async () => {
    await policy("holds", { apiVersion: "apps/v1", kind: "Deployment", name: "lazy-5" }, { propagateDeps: true });
    const plain = aDeployment("lazy-5") as unknown as { spec: { template: { spec: object } } };
    await fleet.plane.create(ConfigMap, configMap("needed"));
    await fleet.plane.create(Deployment, {
      ...plain,
      spec: {
        ...plain.spec,
        template: {
          ...plain.spec.template,
          spec: { ...plain.spec.template.spec, volumes: [{ name: "v", configMap: { name: "needed" } }] },
        },
      },
    } as unknown as Deployment);
    await fleet.until(() => copy("m1", "needed"));
    await policy(
      "takes",
      { apiVersion: "apps/v1", kind: "Deployment", name: "lazy-5" },
      { ...lazy, priority: 5, preemption: "Always", placement: clusters("m2"), propagateDeps: true },
    );
    const held = async () =>
      (await fleet.plane.get(Deployment, at("lazy-5"))).metadata.annotations?.["propagationpolicy.karmada.io/name"];
    await fleet.until(async () => (await held()) === "takes");
    await rest();
    expect((await binding("lazy-5", "deployment"))?.spec.clusters).toMatchObject([{ name: "m1" }]);
    expect(await copy("m2", "needed")).toBeUndefined();
    await edit(Deployment, at("lazy-5"), (present) => ({ ...present, spec: { ...present.spec, replicas: 2 } }));
    await fleet.until(async () => (await copy("m2", "needed")) && (await copy("m1", "needed")) === undefined);
  });
});

describe("5.1 the binding", () => {
  test("carries the priority of the policy's class, of both kinds; a class that is missing is said and waited for", async () => {
    const schedulePriority = { priorityClassSource: "KubePriorityClass", priorityClassName: "urgent" };
    await policy("priority", { name: "urgent" }, { schedulePriority });
    await clusterPolicy("priority", { kind: "Namespace", name: "urgent" }, { schedulePriority });
    await fleet.plane.create(ConfigMap, configMap("urgent"));
    await fleet.plane.create(Namespace, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "urgent" },
    } as Namespace);
    await rest();
    expect(await binding("urgent")).toBeUndefined();
    expect(await eventsOf("ConfigMap", "urgent")).toContain(
      'resource-detector: Warning ApplyPolicyFailed Apply policy(default/priority) failed: priorityclasses.scheduling.k8s.io "urgent" not found',
    );
    await fleet.plane.create(PriorityClass, {
      apiVersion: "scheduling.k8s.io/v1",
      kind: "PriorityClass",
      metadata: { name: "urgent" },
      value: 1000,
    } as unknown as PriorityClass);
    await fleet.until(() => copy("m1", "urgent"));
    const wide = () => fleet.plane.find(ClusterResourceBinding, { name: "urgent-namespace" });
    await fleet.until(wide);
    for (const found of [await binding("urgent"), await wide()])
      expect((found as AnyBinding).spec).toMatchObject({ schedulePriority: { priority: 1000 } });
  });

  test("suspends by cluster and as a whole, and keeps a suspension of scheduling somebody else asked for", async () => {
    const work = async (cluster: string) =>
      (await fleet.plane.list(Work, { namespace: `karmada-es-${cluster}` })).items.find(({ metadata }) =>
        metadata.name?.startsWith("paused-"),
      );
    const dispatching = async (cluster: string) =>
      (await work(cluster))?.status?.conditions?.find(({ type }) => type === "Dispatching");
    await policy(
      "paused",
      { name: "paused" },
      { placement: clusters("m1", "m2"), suspension: { dispatchingOnClusters: { clusterNames: ["m2"] } } },
    );
    await fleet.plane.create(ConfigMap, configMap("paused"));
    await fleet.until(async () => (await copy("m1", "paused")) && (await dispatching("m2")));
    expect(await copy("m2", "paused")).toBeUndefined();
    expect((await work("m2"))?.spec?.suspendDispatching).toBe(true);
    expect((await work("m1"))?.spec?.suspendDispatching).toBe(false);
    expect(await dispatching("m2")).toMatchObject({
      status: "False",
      reason: "SuspendDispatching",
      message: "Work dispatching is in a suspended state.",
    });
    expect(await eventsOf("Work", (await work("m2"))?.metadata.name ?? "")).toContain(
      "execution-controller: Normal WorkDispatching Work dispatching is in a suspended state.",
    );
    await edit(ResourceBinding, at("paused-configmap"), (present) => ({
      ...present,
      spec: { ...present.spec, suspension: { ...present.spec.suspension, scheduling: true } },
    }));
    await respec("paused", { suspension: { dispatching: true } });
    await fleet.until(async () => (await dispatching("m1"))?.status === "False");
    expect((await binding("paused"))?.spec.suspension).toEqual({ dispatching: true, scheduling: true });
    // Suspended: neither drift nor the template's changes reach the member.
    await edit(ConfigMap, at("paused"), (present) => ({ ...present, data: { a: "2" } }));
    await fleet
      .member("m1")
      .patch(ConfigMap, at("paused"), "application/merge-patch+json", { data: { drifted: "yes" } });
    await rest();
    expect((await copy("m1", "paused"))?.data).toEqual({ a: "1", drifted: "yes" });
    await respec("paused", { suspension: undefined });
    await fleet.until(async () => (await copy("m2", "paused"))?.data?.["a"] === "2");
    await fleet.until(async () => JSON.stringify((await copy("m1", "paused"))?.data) === '{"a":"2"}');
    expect((await binding("paused"))?.spec.suspension).toEqual({ scheduling: true });
    expect(await dispatching("m1")).toMatchObject({
      status: "True",
      reason: "Dispatching",
      message: "Work is being dispatched to member clusters.",
    });
  });
});

test("5.2 with MultiplePodTemplatesScheduling a binding lists what its workload is made of; what cannot be read is said", async () => {
  const group = "sparkoperator.k8s.io";
  const kind: ResourceKind = {
    group,
    version: "v1beta2",
    kind: "SparkApplication",
    resource: "sparkapplications",
    namespaced: true,
  };
  await fleet.plane.create(CustomResourceDefinition, {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `sparkapplications.${group}`,
      annotations: { "api-approved.kubernetes.io": "unapproved, in a test" },
    },
    spec: {
      group,
      scope: "Namespaced",
      names: { kind: "SparkApplication", plural: "sparkapplications" },
      versions: [
        {
          name: "v1beta2",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
        },
      ],
    },
  } as unknown as CustomResourceDefinition);
  const application = (memory: string) =>
    ({
      apiVersion: `${group}/v1beta2`,
      kind: "SparkApplication",
      metadata: at("pi"),
      spec: { type: "Scala", driver: { cores: 1, memory: "512m" }, executor: { instances: 3, memory } },
    }) as unknown as KubeObject;
  await policy("pi", { apiVersion: `${group}/v1beta2`, kind: "SparkApplication", name: "pi" });
  await fleet.until(async () => {
    try {
      return await fleet.plane.create(kind, application("plenty"));
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  });
  const about = () => eventsOf("SparkApplication", "pi");
  const failure = 'spec.executor.memory: "plenty" is no size such as 512m or 2g';
  await fleet.until(async () => (await about()).includes(`resource-detector: Warning GetComponentsFailed ${failure}`));
  expect(await about()).toContain(
    `resource-detector: Warning ApplyPolicyFailed Apply policy(default/pi) failed: ${failure}`,
  );
  expect(await binding("pi", "sparkapplication")).toBeUndefined();
  await edit(kind, at("pi"), (present) => ({ ...present, spec: (application("1g") as unknown as Spec).spec }));
  await fleet.until(() => binding("pi", "sparkapplication"));
  const { spec } = (await binding("pi", "sparkapplication")) as AnyBinding;
  expect((spec as { readonly components?: unknown }).components).toMatchObject([
    { name: "driver", replicas: 1, replicaRequirements: { resourceRequest: { cpu: "1" } } },
    { name: "executor", replicas: 3, replicaRequirements: { resourceRequest: { cpu: "1" } } },
  ]);
  expect(spec.replicas).toBeUndefined();
  expect(spec.replicaRequirements).toBeUndefined();
  expect(await about()).toContain(
    "resource-detector: Normal GetComponentsSucceed Get components of resource template successfully.",
  );
});

test("7.1 a Work that cannot be withdrawn is said on the binding, and withdrawn when it can be", async () => {
  await policy("stuck", { name: "stuck" });
  await fleet.plane.create(ConfigMap, configMap("stuck"));
  await fleet.until(() => copy("m1", "stuck"));
  const work = async () =>
    (await fleet.plane.list(Work, { namespace: "karmada-es-m1" })).items.find(({ metadata }) =>
      metadata.name?.startsWith("stuck-"),
    ) as Work;
  const label = "resourcetemplate.karmada.io/deletion-protected";
  const protect = async (value: string | null) =>
    fleet.plane.patch(
      Work,
      { namespace: "karmada-es-m1", name: (await work()).metadata.name ?? "" },
      "application/merge-patch+json",
      { metadata: { labels: { [label]: value } } },
    );
  await protect("Always");
  await respec("stuck", { placement: clusters("m2") });
  const message = `This resource is protected, please make sure to remove the label: ${label}`;
  await fleet.until(async () =>
    (await eventsOf("ResourceBinding", "stuck-configmap")).some(
      (text) => text.startsWith("binding-controller: Warning CleanupWorkFailed") && text.includes(message),
    ),
  );
  expect(await copy("m1", "stuck")).toBeDefined();
  await protect(null);
  await fleet.until(async () => (await copy("m2", "stuck")) && (await copy("m1", "stuck")) === undefined);
});

test("1.1 a protected object is not deleted, whatever it is; without the label it is", async () => {
  const label = "resourcetemplate.karmada.io/deletion-protected";
  await policy("guarded", { name: "guarded" });
  await fleet.plane.create(ConfigMap, configMap("guarded", { labels: { [label]: "Always" } }));
  await fleet.until(() => copy("m1", "guarded"));
  const message = `This resource is protected, please make sure to remove the label: ${label}`;
  await expect(fleet.plane.delete(ConfigMap, at("guarded"))).rejects.toThrow(message);
  await edit(PropagationPolicy, at("guarded"), ({ metadata, ...object }) => ({
    ...object,
    metadata: { ...metadata, labels: { ...metadata.labels, [label]: "Always" } },
  }));
  await expect(fleet.plane.delete(PropagationPolicy, at("guarded"))).rejects.toThrow(message);
  await edit(ConfigMap, at("guarded"), ({ metadata, ...object }) => ({
    ...object,
    metadata: { ...metadata, labels: { ...metadata.labels, [label]: "Never" } },
  }));
  await fleet.plane.delete(ConfigMap, at("guarded"));
  await fleet.until(async () => (await copy("m1", "guarded")) === undefined);
});
