/** Bindings, dependencies, Works, namespaces and status by their numbered rules (propagation.md 5 to 10), in virtual time. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ConfigMap,
  Deployment,
  Event,
  IngressClass,
  Job,
  Namespace,
  PodDisruptionBudget,
  Service,
} from "#apis/kubernetes";
import {
  ClusterOverridePolicy,
  ClusterPropagationPolicy,
  PropagationPolicy,
  ResourceBinding,
  ResourceInterpreterCustomization,
  Work,
} from "#apis/karmada";
import { retryOnConflict } from "#client";
import { getPath, type KubeObject, type ResourceKind, setPath } from "#machinery";
import { aDeployment, aDeploymentThatNeeds, startVirtualFleet, type VirtualFleet } from "#testing";

let fleet: VirtualFleet;
beforeAll(async () => {
  fleet = await startVirtualFleet({ members: ["m1", "m2"] });
});
afterAll(() => fleet.stop());

const at = (name: string) => ({ namespace: "default", name });
const clusters = (...clusterNames: string[]) => ({ clusterAffinity: { clusterNames } });
const select = (apiVersion: string, kind: string, name: string, more: object = {}) => ({
  resourceSelectors: [{ apiVersion, kind, name }],
  placement: clusters("m1"),
  ...more,
});
const policy = (name: string, spec: object) =>
  fleet.plane.create(PropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: at(name),
    spec,
  } as unknown as PropagationPolicy);
const configMap = (name: string) =>
  fleet.plane.create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: at(name),
    data: { a: "1" },
  } as ConfigMap);
const workload = (name: string, needs: string) => fleet.plane.create(Deployment, aDeploymentThatNeeds(name, needs));
const edit = <T extends KubeObject>(kind: ResourceKind<T>, name: string, change: (object: T) => object) =>
  retryOnConflict(async () => fleet.plane.update(kind, change(await fleet.plane.get(kind, at(name))) as T));
const copy = (cluster: string, name: string) => fleet.member(cluster).find(ConfigMap, at(name));
const binding = (name: string) => fleet.plane.find(ResourceBinding, at(name));
const eventsOf = async (kind: string, name: string) =>
  (await fleet.plane.list(Event)).items
    .filter(({ involvedObject }) => involvedObject.kind === kind && involvedObject.name === name)
    .map(({ type, reason, message, source }) => `${source?.component}: ${type} ${reason} ${message}`);
const workOf = async (cluster: string, name: string) =>
  (await fleet.plane.list(Work, { namespace: `karmada-es-${cluster}` })).items.find(({ metadata }) =>
    metadata.name?.startsWith(`${name}-`),
  );
const rest = () => fleet.advance(30_000);

describe("5.3 a dependency of two owners", () => {
  test("takes the bolder and the more careful wish, says so, follows both, and is let go by each", async () => {
    await policy("one", select("apps/v1", "Deployment", "one", { propagateDeps: true }));
    await policy(
      "two",
      select("apps/v1", "Deployment", "two", {
        propagateDeps: true,
        placement: clusters("m2"),
        conflictResolution: "Overwrite",
        preserveResourcesOnDeletion: true,
      }),
    );
    await configMap("shared");
    await workload("one", "shared");
    await workload("two", "shared");
    await fleet.until(async () => (await copy("m1", "shared")) && (await copy("m2", "shared")));
    expect((await binding("shared-configmap"))?.spec).toMatchObject({
      conflictResolution: "Overwrite",
      preserveResourcesOnDeletion: true,
    });
    expect(await eventsOf("ResourceBinding", "shared-configmap")).toContain(
      "dependencies-distributor: Warning DependencyPolicyConflict Dependency policy conflict detected: ConflictResolution conflicted (Overwrite vs Abort); PreserveResourcesOnDeletion conflicted (true vs false).",
    );
    expect(await eventsOf("Deployment", "one")).toContainEqual(
      expect.stringContaining("dependencies-distributor: Normal GetDependenciesSucceed"),
    );
    expect(await eventsOf("ResourceBinding", "one-deployment")).toContain(
      "dependencies-distributor: Normal SyncScheduleResultToDependenciesSucceed Sync schedule results to dependencies succeed.",
    );
    await fleet.plane.delete(Deployment, at("two"));
    await fleet.until(async () => (await binding("shared-configmap"))?.spec.conflictResolution === "Abort");
    await fleet.plane.delete(Deployment, at("one"));
    await fleet.until(async () => (await copy("m1", "shared")) === undefined);
    expect(await fleet.plane.find(ConfigMap, at("shared"))).toBeDefined();
  });

  test("whose one owner went by force does not hold up the other, and leaves the clusters of the one that went", async () => {
    await policy("three", select("apps/v1", "Deployment", "three", { propagateDeps: true }));
    await policy("four", select("apps/v1", "Deployment", "four", { propagateDeps: true, placement: clusters("m2") }));
    await configMap("common");
    await workload("three", "common");
    await workload("four", "common");
    await fleet.until(async () => (await copy("m1", "common")) && (await copy("m2", "common")));
    // Somebody takes the finalizers off: the binding is gone before it could let go of anything.
    const controller = fleet.controlPlane.manager;
    await controller.stop();
    await fleet.plane.delete(Deployment, at("four"));
    await fleet.plane.delete(ResourceBinding, at("four-deployment"));
    await edit(ResourceBinding, "four-deployment", ({ metadata, ...object }) => ({
      ...object,
      metadata: { ...metadata, finalizers: [] },
    }));
    await fleet.restart();
    await fleet.plane.delete(Deployment, at("three"));
    await fleet.until(async () => (await binding("three-deployment")) === undefined);
    await fleet.until(async () => (await copy("m1", "common")) === undefined);
    await fleet.until(async () => (await copy("m2", "common")) === undefined);
  });
});

test("5.3 12.2 what was let go goes on needing what it needed then, over changes of its template and a restart", async () => {
  await policy("freed", select("apps/v1", "Deployment", "freed", { propagateDeps: true }));
  await configMap("freed-before");
  await configMap("freed-after");
  await workload("freed", "freed-before");
  await fleet.until(() => copy("m1", "freed-before"));
  await fleet.plane.delete(PropagationPolicy, at("freed"));
  await fleet.until(
    async () =>
      (await binding("freed-deployment"))?.metadata.labels?.["propagationpolicy.karmada.io/permanent-id"] === undefined,
  );
  await edit(Deployment, "freed", (object) =>
    setPath(object, ["spec", "template", "spec", "volumes"], [{ name: "v", configMap: { name: "freed-after" } }]),
  );
  await fleet.restart();
  await rest();
  expect(await copy("m1", "freed-before")).toBeDefined();
  expect(await copy("m1", "freed-after")).toBeUndefined();
  await policy("freed-again", select("apps/v1", "Deployment", "freed", { propagateDeps: true }));
  await fleet.until(async () => (await copy("m1", "freed-after")) && (await copy("m1", "freed-before")) === undefined);
});

test("5.3 12.2 what was let go keeps the clusters of its policy and leaves those of what depended on it", async () => {
  await policy("lent", select("v1", "ConfigMap", "lent"));
  await policy(
    "borrows",
    select("apps/v1", "Deployment", "borrows", { propagateDeps: true, placement: clusters("m2") }),
  );
  await configMap("lent");
  await workload("borrows", "lent");
  await fleet.until(async () => (await copy("m1", "lent")) && (await copy("m2", "lent")));
  await fleet.plane.delete(PropagationPolicy, at("lent"));
  await fleet.until(
    async () =>
      (await binding("lent-configmap"))?.metadata.labels?.["propagationpolicy.karmada.io/permanent-id"] === undefined,
  );
  await fleet.plane.delete(Deployment, at("borrows"));
  await fleet.until(async () => (await copy("m2", "lent")) === undefined);
  await rest();
  expect(await copy("m1", "lent")).toBeDefined();
  const left = await fleet.plane.get(ResourceBinding, at("lent-configmap"));
  expect(left.spec).toMatchObject({ clusters: [{ name: "m1" }] });
  expect(Object.keys(left.metadata.annotations ?? {}).filter((key) => key.includes("flotilla"))).toEqual([]);
  await fleet.restart();
  await rest();
  expect(await copy("m1", "lent")).toBeDefined();
});

test("5.3 12.5f what a cluster-scoped template needs follows it where the flag says so, and leaves with it", async () => {
  const other = await startVirtualFleet({
    members: ["m1", "m2"],
    flags: ["--propagate-cluster-scoped-dependencies=true"],
  });
  try {
    const { plane } = other;
    await plane.create(ResourceInterpreterCustomization, {
      apiVersion: "config.karmada.io/v1alpha1",
      kind: "ResourceInterpreterCustomization",
      metadata: { name: "classes" },
      spec: {
        target: { apiVersion: "networking.k8s.io/v1", kind: "IngressClass" },
        customizations: {
          dependencyInterpretation: {
            luaScript: `function GetDependencies(o)
  local p = o.spec.parameters
  return { { apiVersion = 'v1', kind = p.kind, namespace = p.namespace, name = p.name } }
end`,
          },
        },
      },
    } as unknown as ResourceInterpreterCustomization);
    await plane.create(ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: at("parameters"),
      data: { a: "1" },
    } as ConfigMap);
    await plane.create(IngressClass, {
      apiVersion: "networking.k8s.io/v1",
      kind: "IngressClass",
      metadata: { name: "edge" },
      spec: {
        controller: "example.io/edge",
        parameters: { kind: "ConfigMap", scope: "Namespace", namespace: "default", name: "parameters" },
      },
    } as unknown as IngressClass);
    const places = (...names: string[]) => ({
      resourceSelectors: [{ apiVersion: "networking.k8s.io/v1", kind: "IngressClass", name: "edge" }],
      placement: clusters(...names),
      propagateDeps: true,
    });
    await plane.create(ClusterPropagationPolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "ClusterPropagationPolicy",
      metadata: { name: "edge" },
      spec: places("m1"),
    } as unknown as ClusterPropagationPolicy);
    const there = (name: string) => other.member(name).find(ConfigMap, at("parameters"));
    await other.until(() => there("m1"));
    const attached = await plane.get(ResourceBinding, at("parameters-configmap"));
    expect(attached.spec.requiredBy).toEqual([{ name: "edge-ingressclass", clusters: [{ name: "m1" }] }]);
    const move = async (spec: object) =>
      retryOnConflict(async () => {
        const present = await plane.get(ClusterPropagationPolicy, { name: "edge" });
        await plane.update(ClusterPropagationPolicy, { ...present, spec } as unknown as ClusterPropagationPolicy);
      });
    await move(places("m2"));
    await other.until(async () => (await there("m2")) && (await there("m1")) === undefined);
    await move({ ...places("m2"), propagateDeps: false });
    await other.until(async () => (await there("m2")) === undefined);
    await move(places("m1"));
    await other.until(() => there("m1"));
    await plane.delete(IngressClass, { name: "edge" });
    await other.until(async () => (await there("m1")) === undefined);
  } finally {
    await other.stop();
  }
});

test("7.2 completions of a divided Job follow its replicas, a number nobody counts to as well", async () => {
  await policy("sums", {
    ...select("batch/v1", "Job", "sums"),
    placement: {
      ...clusters("m1", "m2"),
      replicaScheduling: {
        replicaSchedulingType: "Divided",
        replicaDivisionPreference: "Weighted",
        weightPreference: {
          staticWeightList: [
            { targetCluster: { clusterNames: ["m1"] }, weight: 3 },
            { targetCluster: { clusterNames: ["m2"] }, weight: 2 },
          ],
        },
      },
    },
  });
  await fleet.plane.create(Job, {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: at("sums"),
    spec: {
      parallelism: 5,
      completions: 2_000_000_000,
      template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "busybox:1" }] } },
    },
  } as unknown as Job);
  const spec = async (cluster: string) =>
    getPath((await workOf(cluster, "sums"))?.spec, "workload", "manifests", "0", "spec") as
      | { readonly completions: number; readonly parallelism: number }
      | undefined;
  await fleet.until(async () => (await spec("m1")) && (await spec("m2")));
  expect(await spec("m1")).toMatchObject({ parallelism: 3, completions: 1_200_000_000 });
  expect(await spec("m2")).toMatchObject({ parallelism: 2, completions: 800_000_000 });
  await fleet.plane.delete(Job, at("sums"));
});

describe("9.3 a template's status", () => {
  test("keeps what no aggregation speaks of", async () => {
    await policy("budget", select("policy/v1", "PodDisruptionBudget", "budget"));
    await policy("balanced", select("v1", "Service", "balanced"));
    await fleet.plane.create(PodDisruptionBudget, {
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata: at("budget"),
      spec: { minAvailable: 1, selector: { matchLabels: { app: "x" } } },
    } as unknown as PodDisruptionBudget);
    await fleet.plane.create(Service, {
      apiVersion: "v1",
      kind: "Service",
      metadata: at("balanced"),
      spec: { type: "LoadBalancer", ports: [{ port: 80 }] },
    } as unknown as Service);
    const condition = (type: string) => ({
      type,
      status: "True",
      reason: "Own",
      message: "of the control plane's own controller",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    });
    for (const [kind, name, type] of [
      [PodDisruptionBudget, "budget", "DisruptionAllowed"],
      [Service, "balanced", "Own"],
    ] as const) {
      await fleet.until(() => fleet.member("m1").find(kind as ResourceKind, at(name)));
      await retryOnConflict(async () => {
        const present = (await fleet.plane.get(kind as ResourceKind, at(name))) as KubeObject & { status?: object };
        await fleet.plane.updateStatus(
          kind as ResourceKind,
          {
            ...present,
            status: { ...present.status, conditions: [condition(type)] },
          } as unknown as KubeObject,
        );
      });
      const inMember = (await fleet.member("m1").get(kind as ResourceKind, at(name))) as KubeObject & {
        status?: object;
      };
      await fleet.member("m1").updateStatus(
        kind as ResourceKind,
        {
          ...inMember,
          status:
            name === "budget"
              ? { currentHealthy: 2, desiredHealthy: 1, expectedPods: 2, disruptionsAllowed: 1 }
              : { loadBalancer: { ingress: [{ ip: "10.9.9.9" }] } },
        } as unknown as KubeObject,
      );
      const status = async () =>
        ((await fleet.plane.get(kind as ResourceKind, at(name))) as unknown as { status: Record<string, unknown> })
          .status;
      await fleet.until(async () =>
        name === "budget"
          ? (await status())["currentHealthy"] === 2
          : JSON.stringify((await status())["loadBalancer"]).includes("10.9.9.9"),
      );
      expect(await status()).toMatchObject({ conditions: [condition(type)] });
    }
  });

  test("that cannot be summed up is said on the template, and copies and binding go on", async () => {
    await fleet.plane.create(ResourceInterpreterCustomization, {
      apiVersion: "config.karmada.io/v1alpha1",
      kind: "ResourceInterpreterCustomization",
      metadata: { name: "sums-nothing" },
      spec: {
        target: { apiVersion: "apps/v1", kind: "StatefulSet" },
        customizations: {
          statusAggregation: { luaScript: "function AggregateStatus(o, items)\n  error('cannot add')\nend" },
        },
      },
    } as unknown as ResourceInterpreterCustomization);
    const StatefulSet: ResourceKind = {
      group: "apps",
      version: "v1",
      kind: "StatefulSet",
      resource: "statefulsets",
      namespaced: true,
    };
    await policy("stateful", select("apps/v1", "StatefulSet", "stateful"));
    await fleet.plane.create(StatefulSet, {
      ...aDeployment("stateful"),
      kind: "StatefulSet",
      spec: { ...(aDeployment("stateful").spec as object), serviceName: "s" },
    } as unknown as KubeObject);
    await fleet.until(async () =>
      (await eventsOf("StatefulSet", "stateful")).some(
        (text) =>
          text.startsWith("resource-binding-status-controller: Warning AggregateStatusFailed") &&
          text.includes("cannot add"),
      ),
    );
    await fleet.until(
      async () => (await binding("stateful-statefulset"))?.status?.aggregatedStatus?.[0]?.applied === true,
    );
    const events = await eventsOf("Work", (await workOf("m1", "stateful"))?.metadata.name ?? "");
    expect(events).toContain(
      "work-status-controller: Normal ReflectStatusSucceed Reflect status for object(StatefulSet/default/stateful) succeed.",
    );
    await fleet.until(async () =>
      (await eventsOf("Work", (await workOf("m1", "stateful"))?.metadata.name ?? "")).includes(
        "work-status-controller: Normal InterpretHealthSucceed Interpret health of object(StatefulSet/default/stateful) as healthy.",
      ),
    );
  });
});

describe("10. a namespace", () => {
  const namespace = (name: string, labels: Record<string, string> = {}) =>
    ({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } }) as unknown as Namespace;
  const isThere = async (cluster: string, name: string) =>
    (await fleet.member(cluster).find(Namespace, { name })) !== undefined;

  test("goes to every member; the skip label counts in any letter case, and later withdraws nothing", async () => {
    const skip = "namespace.karmada.io/skip-auto-propagation";
    await fleet.plane.create(Namespace, namespace("skipped", { [skip]: "TRUE" }));
    await fleet.plane.create(Namespace, namespace("kube-mine"));
    await fleet.plane.create(Namespace, namespace("spread"));
    await fleet.until(async () => (await isThere("m1", "spread")) && (await isThere("m2", "spread")));
    await fleet.plane.patch(Namespace, { name: "spread" }, "application/merge-patch+json", {
      metadata: { labels: { [skip]: "true" } },
    });
    await rest();
    expect(await isThere("m1", "spread")).toBe(true);
    expect(await isThere("m1", "skipped")).toBe(false);
    expect(await isThere("m1", "kube-mine")).toBe(false);
    const work = await workOf("m1", "spread");
    expect(work?.metadata.labels).not.toHaveProperty("clusterresourcebinding.karmada.io/permanent-id");
    expect(work?.metadata.annotations ?? {}).not.toHaveProperty("work.karmada.io/conflict-resolution");
  });

  test("takes cluster overrides, with and without selectors, and forgets those that go", async () => {
    await fleet.plane.create(Namespace, namespace("labelled"));
    await fleet.until(() => isThere("m1", "labelled"));
    const labels = async () => (await fleet.member("m1").get(Namespace, { name: "labelled" })).metadata.labels ?? {};
    await fleet.plane.create(ClusterOverridePolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "ClusterOverridePolicy",
      metadata: { name: "all" },
      spec: {
        overrideRules: [{ overriders: { labelsOverrider: [{ operator: "add", value: { from: "override" } }] } }],
      },
    } as unknown as ClusterOverridePolicy);
    await fleet.until(async () => (await labels())["from"] === "override");
    expect((await workOf("m1", "labelled"))?.metadata.annotations).toHaveProperty(
      "policy.karmada.io/applied-cluster-overrides",
    );
    await fleet.plane.delete(ClusterOverridePolicy, { name: "all" });
    await fleet.until(async () => (await labels())["from"] === undefined);
    expect((await workOf("m1", "labelled"))?.metadata.annotations ?? {}).not.toHaveProperty(
      "policy.karmada.io/applied-cluster-overrides",
    );
  });

  test("that a member has of its own is not adopted, and what belongs into it arrives all the same", async () => {
    await fleet.member("m1").create(Namespace, namespace("theirs"));
    await fleet.plane.create(Namespace, namespace("theirs"));
    await fleet.plane.create(ClusterPropagationPolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "ClusterPropagationPolicy",
      metadata: { name: "into-theirs" },
      spec: {
        resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", namespace: "theirs" }],
        placement: clusters("m1"),
      },
    } as unknown as ClusterPropagationPolicy);
    const inside = { namespace: "theirs", name: "inside" };
    await fleet.plane.create(ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: inside,
      data: {},
    } as ConfigMap);
    await fleet.until(() => fleet.member("m1").find(ConfigMap, inside));
    const applied = (await workOf("m1", "theirs"))?.status?.conditions?.find(({ type }) => type === "Applied");
    expect(applied).toMatchObject({ status: "False", reason: "AppliedFailed" });
    expect(applied?.message).toContain("resource(kind=Namespace, /theirs) already exists in the cluster m1");
    await fleet.plane.delete(Namespace, { name: "theirs" });
    await fleet.until(async () => (await fleet.member("m1").find(ConfigMap, inside)) === undefined);
    await rest();
    expect(await isThere("m1", "theirs")).toBe(true);
  });
});

test("8.1 a member that falls silent is told of once it has been for ten seconds, and a hitch is not said to be a failure", async () => {
  const other = await startVirtualFleet({ members: ["m1"] });
  try {
    await other.plane.create(ClusterPropagationPolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "ClusterPropagationPolicy",
      metadata: { name: "all" },
      spec: { resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap" }], placement: clusters("m1") },
    } as unknown as ClusterPropagationPolicy);
    const burst = (name: string) =>
      Promise.all(
        Array.from({ length: 150 }, (_, number) =>
          other.plane.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: at(`${name}-${number}`) }),
        ),
      );
    const failures = async () =>
      (await other.plane.list(Event)).items.filter(({ reason }) => reason === "SyncFailed").length;
    const copies = async () =>
      (await other.member("m1").list(ConfigMap, { namespace: "default" })).items.filter(
        ({ metadata }) => metadata.labels?.["karmada.io/managed"],
      ).length;
    await burst("first");
    await other.until(async () => (await copies()) === 150);
    other.simulated("m1").setFaults({ isHanging: true });
    await burst("hitch");
    await other.advance(6_000);
    expect(await copies()).toBe(150);
    other.simulated("m1").setFaults({ isHanging: false });
    expect(await failures()).toBe(0);
    await other.until(async () => (await copies()) === 300);
    other.simulated("m1").setFaults({ isHanging: true });
    await burst("silent");
    await other.until(async () => (await failures()) > 0, 60_000);
    other.simulated("m1").setFaults({ isHanging: false });
    await other.until(async () => (await copies()) === 450);
  } finally {
    await other.stop();
  }
});

test("8.2 a policy that overwrites elsewhere leaves a member's own object alone in the cluster it moves away from", async () => {
  const own = { apiVersion: "v1", kind: "ConfigMap", metadata: at("contended"), data: { mine: "1" } };
  const { uid } = (await fleet.member("m2").create(ConfigMap, own as ConfigMap)).metadata;
  await policy("contended", select("v1", "ConfigMap", "contended", { placement: clusters("m2") }));
  await configMap("contended");
  await fleet.until(async () =>
    (await workOf("m2", "contended"))?.status?.conditions?.some(({ type }) => type === "Applied"),
  );
  await edit(PropagationPolicy, "contended", (object) => ({
    ...object,
    spec: { ...object.spec, placement: clusters("m1"), conflictResolution: "Overwrite" },
  }));
  await fleet.until(async () => (await copy("m1", "contended")) && (await workOf("m2", "contended")) === undefined);
  await rest();
  const left = await copy("m2", "contended");
  expect(left?.metadata).toMatchObject({ uid });
  expect(left?.metadata.labels).toBeUndefined();
  expect(left?.data).toEqual({ mine: "1" });
});

test("9.1 12.5n an object that is deleted where it is not made again is no longer reported as it was", async () => {
  await fleet.plane.create(Deployment, aDeployment("held") as unknown as Deployment);
  await policy("held", select("apps/v1", "Deployment", "held"));
  const item = async () => (await binding("held-deployment"))?.status?.aggregatedStatus?.[0];
  await fleet.until(async () => getPath(await item(), "status", "readyReplicas") === 1);
  await edit(PropagationPolicy, "held", (object) => ({
    ...object,
    spec: { ...object.spec, suspension: { dispatching: true } },
  }));
  await fleet.until(async () => (await workOf("m1", "held"))?.spec?.suspendDispatching === true);
  expect(await item()).toMatchObject({ health: "Healthy" });
  await fleet.member("m1").delete(Deployment, at("held"));
  await fleet.until(async () => (await item())?.health === "Unknown");
  expect(await item()).toEqual({ clusterName: "m1", applied: true, health: "Unknown" });
  expect(getPath(await fleet.plane.get(Deployment, at("held")), "status", "readyReplicas") ?? 0).toBe(0);
  await edit(PropagationPolicy, "held", (object) => ({ ...object, spec: { ...object.spec, suspension: {} } }));
  await fleet.until(async () => getPath(await item(), "status", "readyReplicas") === 1);
  expect(await item()).toMatchObject({ applied: true, health: "Healthy" });
});
