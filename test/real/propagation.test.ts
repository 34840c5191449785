/** Rules of propagation on a real cluster: what its API server fills in, keeps and refuses must not disturb them. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  ConfigMap,
  CustomResourceDefinition,
  Deployment,
  Namespace,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Service,
} from "#apis/kubernetes";
import { ClusterPropagationPolicy, PropagationPolicy, Work } from "#apis/karmada";
import { systemClock } from "#base";
import { type Client, createKindMapper, retryOnConflict } from "#client";
import { getPath, type KubeObject, type ResourceKind } from "#machinery";
import { aDefinition, aDeployment, aWidget, eventually, Widget } from "#testing";
import { type PushFleet, startPushFleet } from "./push-fleet.ts";
import { describeReal, memberParts } from "./parts.ts";

const LIMIT_MS = 90_000;
const at = (name: string) => ({ namespace: "default", name });
const merge = "application/merge-patch+json";

describeReal("propagation to a real cluster", memberParts, () => {
  let fleet: PushFleet;
  let plane: Client;
  let member: Client;

  const soon = <T>(look: () => T | Promise<T>) => eventually(look, LIMIT_MS);
  const policy = (name: string, apiVersion: string, kind: string, more: object = {}) =>
    plane.create(PropagationPolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "PropagationPolicy",
      metadata: at(name),
      spec: { resourceSelectors: [{ apiVersion, kind, name }], placement: {}, ...more },
    } as unknown as PropagationPolicy);
  const change = <T extends KubeObject>(kind: ResourceKind<T>, name: string, edit: (object: T) => object) =>
    retryOnConflict(async () => plane.update(kind, edit(await plane.get(kind, at(name))) as T));
  const settings = (name: string, data: Record<string, string>, annotations: Record<string, string> = {}) =>
    ({ apiVersion: "v1", kind: "ConfigMap", metadata: { ...at(name), annotations }, data }) as ConfigMap;
  const label = <T extends KubeObject>(kind: ResourceKind<T>, name: string) =>
    change(kind, name, (object) => ({
      ...object,
      metadata: { ...object.metadata, labels: { ...object.metadata.labels, tier: "front" } },
    }));
  const labelled = (kind: ResourceKind, name: string) =>
    soon(async () => {
      const found = await member.find(kind, at(name));
      return found?.metadata.labels?.["tier"] === "front" ? found : undefined;
    });
  const applied = async (name: string) =>
    (await plane.list(Work, { namespace: "karmada-es-real" })).items
      .find(({ metadata }) => metadata.name?.startsWith(`${name}-`))
      ?.status?.conditions?.find(({ type }) => type === "Applied");

  beforeAll(async () => {
    fleet = await startPushFleet({ members: ["real"] });
    ({ plane } = fleet);
    member = fleet.inMember("real");
    expect((await fleet.join("real")).code).toBe(0);
    await fleet.untilReady("real", "True");
  });

  afterAll(async () => {
    await fleet?.stop();
  });

  test("8.2 [DR-34] what is there already is left alone, unless policy or template say to take it over", async () => {
    for (const name of ["left", "taken", "annotated"]) await member.create(ConfigMap, settings(name, { own: "1" }));
    await policy("left", "v1", "ConfigMap");
    await policy("taken", "v1", "ConfigMap", { conflictResolution: "Overwrite" });
    await policy("annotated", "v1", "ConfigMap");
    await plane.create(ConfigMap, settings("left", { a: "1" }));
    await plane.create(ConfigMap, settings("taken", { a: "1" }));
    const overwrite = { "work.karmada.io/conflict-resolution": "overwrite" };
    await plane.create(ConfigMap, settings("annotated", { a: "1" }, overwrite));
    for (const name of ["taken", "annotated"])
      await soon(async () => JSON.stringify((await member.get(ConfigMap, at(name))).data) === '{"a":"1"}');
    expect((await soon(() => applied("left"))).message).toBe(
      "Failed to apply all manifests (0/1): resource(kind=ConfigMap, default/left) already exists in the cluster real and the work.karmada.io/conflict-resolution strategy value is empty, Karmada will not manage this resource",
    );
    expect(await member.get(ConfigMap, at("left"))).toMatchObject({ data: { own: "1" } });
    await change(PropagationPolicy, "left", ({ spec, ...rest }) => ({
      ...rest,
      spec: { ...spec, conflictResolution: "Overwrite" },
    }));
    await soon(async () => JSON.stringify((await member.get(ConfigMap, at("left"))).data) === '{"a":"1"}');
  });

  test("6.3 what the member fills in stays: a Service's addresses, a claim's volume, a Pod's node and mounts", async () => {
    await policy("kept", "v1", "Service");
    await policy("data", "v1", "PersistentVolumeClaim");
    await policy("one", "v1", "Pod");
    await member.create(PersistentVolume, {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: "disk" },
      spec: {
        capacity: { storage: "1Gi" },
        accessModes: ["ReadWriteOnce"],
        hostPath: { path: "/none" },
        storageClassName: "",
      },
    } as unknown as PersistentVolume);
    await plane.create(Service, {
      apiVersion: "v1",
      kind: "Service",
      metadata: at("kept"),
      spec: { type: "NodePort", selector: { app: "x" }, ports: [{ port: 80 }] },
    } as unknown as Service);
    await plane.create(PersistentVolumeClaim, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: at("data"),
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "" },
    } as unknown as PersistentVolumeClaim);
    await plane.create(Pod, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: at("one"),
      spec: { containers: [{ name: "app", image: "nginx:1.29" }] },
    } as unknown as Pod);
    const claim = await soon(async () => {
      const found = await member.find(PersistentVolumeClaim, at("data"));
      return getPath(found, "spec", "volumeName") === "disk" ? found : undefined;
    });
    const pod = await soon(async () => {
      const found = await member.find(Pod, at("one"));
      return getPath(found, "spec", "nodeName") === undefined ? undefined : found;
    });
    const service = await soon(() => member.find(Service, at("kept")));
    for (const [kind, name] of [
      [Service, "kept"],
      [PersistentVolumeClaim, "data"],
      [Pod, "one"],
    ] as const)
      await label(kind as ResourceKind, name);
    expect(((await labelled(Service as ResourceKind, "kept")) as unknown as Service).spec).toEqual(service.spec);
    expect(
      ((await labelled(PersistentVolumeClaim as ResourceKind, "data")) as unknown as PersistentVolumeClaim).spec,
    ).toEqual(claim.spec);
    expect(((await labelled(Pod as ResourceKind, "one")) as unknown as Pod).spec).toEqual(pod.spec);
    for (const name of ["kept", "data", "one"]) expect((await soon(() => applied(name))).status).toBe("True");
  });

  test("8.5 [DR-20] drift is repaired, deletion undone, and nothing is written that changes nothing", async () => {
    await policy("web", "apps/v1", "Deployment");
    await plane.create(Deployment, aDeployment("web", 2));
    await soon(async () => (await plane.get(Deployment, at("web"))).status?.readyReplicas === 2);
    await member.patch(Deployment, at("web"), merge, { spec: { replicas: 5 }, metadata: { labels: { theirs: "1" } } });
    const repaired = await soon(async () => {
      const found = await member.get(Deployment, at("web"));
      return found.spec?.replicas === 2 ? found : undefined;
    });
    expect(repaired.metadata.labels?.["theirs"]).toBe("1");
    await member.delete(Deployment, at("web"));
    const anew = await soon(async () => {
      const found = await member.find(Deployment, at("web"));
      return found !== undefined && found.metadata.uid !== repaired.metadata.uid && found.status?.readyReplicas === 2
        ? found
        : undefined;
    });
    // An override that matches nothing of it renders the Work anew and changes nothing.
    const ours = (object: Deployment) =>
      object.metadata.managedFields
        ?.filter(({ subresource }) => subresource === undefined)
        .map(({ manager, time }) => `${String(manager)} ${String(time)}`);
    await change(PropagationPolicy, "web", ({ spec, ...rest }) => ({ ...rest, spec: { ...spec, priority: 3 } }));
    await label(ConfigMap, "left");
    await labelled(ConfigMap as ResourceKind, "left");
    const later = await member.get(Deployment, at("web"));
    expect(later.metadata.generation).toBe(anew.metadata.generation);
    expect(ours(later)).toEqual(ours(anew));
  });

  test("5.1 8.1 a suspended policy dispatches nothing until it is resumed", async () => {
    await policy("paused", "v1", "ConfigMap");
    await plane.create(ConfigMap, settings("paused", { a: "1" }));
    await soon(() => member.find(ConfigMap, at("paused")));
    await change(PropagationPolicy, "paused", ({ spec, ...rest }) => ({
      ...rest,
      spec: { ...spec, suspension: { dispatching: true } },
    }));
    await change(ConfigMap, "paused", (object) => ({ ...object, data: { a: "2" } }));
    await soon(async () =>
      (await plane.list(Work, { namespace: "karmada-es-real" })).items.some(
        ({ metadata, status }) =>
          metadata.name?.startsWith("paused-") &&
          status?.conditions?.some(({ type, status: is }) => type === "Dispatching" && is === "False"),
      ),
    );
    expect((await member.get(ConfigMap, at("paused"))).data).toEqual({ a: "1" });
    await change(PropagationPolicy, "paused", ({ spec: { suspension: _over, ...spec }, ...rest }) => ({
      ...rest,
      spec,
    }));
    await soon(async () => (await member.get(ConfigMap, at("paused"))).data?.["a"] === "2");
  });

  test("8.6 [RN-20] [RN-21] [RN-22] preserved copies stay without our marks, others go with their template", async () => {
    await policy("stays", "v1", "ConfigMap", { preserveResourcesOnDeletion: true });
    await policy("goes", "v1", "ConfigMap");
    for (const name of ["stays", "goes"]) await plane.create(ConfigMap, settings(name, { a: "1" }));
    await soon(async () => (await applied("stays"))?.status === "True" && (await applied("goes"))?.status === "True");
    const { uid } = (await member.get(ConfigMap, at("stays"))).metadata;
    for (const name of ["stays", "goes"]) await plane.delete(ConfigMap, at(name));
    await soon(async () => (await member.find(ConfigMap, at("goes"))) === undefined);
    const left = await soon(async () => {
      const found = await member.get(ConfigMap, at("stays"));
      return found.metadata.labels === undefined ? found : undefined;
    });
    expect(left.metadata.uid).toBe(uid);
    expect(JSON.stringify({ ...left.metadata, managedFields: [] })).not.toMatch(/karmada|flotilla/);
  });

  test("10. namespaces come and go with the control plane's; one that was there is not adopted, and is used", async () => {
    const namespace = (name: string) =>
      ({ apiVersion: "v1", kind: "Namespace", metadata: { name } }) as unknown as Namespace;
    await member.create(Namespace, namespace("theirs"));
    for (const name of ["theirs", "shop"]) await plane.create(Namespace, namespace(name));
    await soon(() => member.find(Namespace, { name: "shop" }));
    expect((await soon(() => applied("theirs"))).status).toBe("False");
    await plane.create(PropagationPolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "PropagationPolicy",
      metadata: { namespace: "theirs", name: "all" },
      spec: { resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap" }], placement: {} },
    } as unknown as PropagationPolicy);
    const inside = { ...settings("inside", { a: "1" }), metadata: { namespace: "theirs", name: "inside" } };
    await plane.create(ConfigMap, inside);
    await soon(() => member.find(ConfigMap, inside.metadata));
    for (const name of ["theirs", "shop"]) await plane.delete(Namespace, { name });
    await soon(async () => (await member.find(Namespace, { name: "shop" })) === undefined);
    await soon(async () => (await member.find(ConfigMap, inside.metadata)) === undefined);
    expect((await member.get(Namespace, { name: "theirs" })).metadata.deletionTimestamp).toBeUndefined();
  });

  test("2.1 [DR-18] a kind nobody knew is propagated by policy alone; its definition goes after its objects only", async () => {
    const definition = aDefinition(Widget);
    await plane.create(ClusterPropagationPolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "ClusterPropagationPolicy",
      metadata: { name: "definitions" },
      spec: {
        resourceSelectors: [
          { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", name: "widgets.example.io" },
        ],
        placement: {},
      },
    } as unknown as ClusterPropagationPolicy);
    await plane.create(CustomResourceDefinition, definition);
    await soon(() => member.find(CustomResourceDefinition, { name: "widgets.example.io" }));
    await policy("w", "example.io/v1", "Widget");
    await soon(() => plane.create(Widget, aWidget("w", 1)));
    const { uid } = (await soon(() => member.find(Widget, at("w")))).metadata;
    await plane.delete(CustomResourceDefinition, { name: "widgets.example.io" });
    await soon(async () =>
      (await plane.list(Work, { namespace: "karmada-es-real" })).items.some(({ status }) =>
        status?.conditions?.some(
          ({ type, status: is, reason }) => type === "DeletionHeld" && is === "True" && reason === "InUse",
        ),
      ),
    );
    expect((await member.get(Widget, at("w"))).metadata.uid).toBe(uid);
    await plane.create(CustomResourceDefinition, definition);
    await soon(() => plane.create(Widget, aWidget("w", 2)));
    await soon(async () => getPath(await member.get(Widget, at("w")), "spec", "n") === 2);
    expect((await member.get(Widget, at("w"))).metadata.uid).toBe(uid);
    await plane.delete(Widget, at("w"));
    await soon(async () => (await member.find(Widget, at("w"))) === undefined);
    await plane.delete(CustomResourceDefinition, { name: "widgets.example.io" });
    await soon(async () => (await member.find(CustomResourceDefinition, { name: "widgets.example.io" })) === undefined);
  });

  test("[DR-31] cli 14.1: a namespace of a real cluster becomes templates that are equal, then ours, with nothing made anew, and its policies are taken back", {
    timeout: 300_000,
  }, async () => {
    const namespace = "legacy";
    const metadata = { namespace, name: "app" };
    await member.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    const pods = { metadata: { labels: { app: "x" } }, spec: { containers: [{ name: "c", image: "nginx:1.29" }] } };
    const selector = { matchLabels: { app: "x" } };
    const once = { ...pods, spec: { ...pods.spec, restartPolicy: "Never" } };
    const objects: readonly object[] = [
      { apiVersion: "v1", kind: "ConfigMap", data: { a: "1" } },
      { apiVersion: "v1", kind: "Secret", stringData: { a: "1" } },
      { apiVersion: "v1", kind: "ServiceAccount" },
      {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "none" },
      },
      { apiVersion: "v1", kind: "Service", spec: { selector: { app: "x" }, ports: [{ port: 80 }] } },
      { apiVersion: "apps/v1", kind: "Deployment", spec: { replicas: 2, selector, template: pods } },
      { apiVersion: "apps/v1", kind: "StatefulSet", spec: { serviceName: "app", selector, template: pods } },
      { apiVersion: "apps/v1", kind: "DaemonSet", spec: { selector, template: pods } },
      { apiVersion: "batch/v1", kind: "Job", spec: { template: once } },
      {
        apiVersion: "batch/v1",
        kind: "CronJob",
        spec: { schedule: "0 0 1 1 *", jobTemplate: { spec: { template: once } } },
      },
      { apiVersion: "policy/v1", kind: "PodDisruptionBudget", spec: { minAvailable: 1, selector } },
      {
        apiVersion: "autoscaling/v2",
        kind: "HorizontalPodAutoscaler",
        spec: {
          maxReplicas: 3,
          scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "other" },
          metrics: [
            { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } },
          ],
        },
      },
      { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", spec: { podSelector: {} } },
      {
        apiVersion: "networking.k8s.io/v1",
        kind: "Ingress",
        spec: { defaultBackend: { service: { name: "app", port: { number: 80 } } } },
      },
      {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "Role",
        rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }],
      },
      {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "RoleBinding",
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "app" },
        subjects: [{ kind: "ServiceAccount", name: "app", namespace }],
      },
    ];
    const kinds = createKindMapper(member.transport, systemClock);
    const kindOf = async (object: object) => {
      const { apiVersion, kind } = object as KubeObject;
      return (await kinds.find(apiVersion, kind)) as ResourceKind<KubeObject>;
    };
    for (const object of objects) await member.create(await kindOf(object), { ...object, metadata } as KubeObject);
    await soon(async () => (await member.get(Deployment, metadata)).status?.readyReplicas === 2);
    const uids = async () =>
      Promise.all(objects.map(async (object) => (await member.get(await kindOf(object), metadata)).metadata.uid));
    const before = await uids();
    const running = async () =>
      (await member.list(Pod, { namespace })).items.map(({ metadata: { uid } }) => uid).sort();
    const podsBefore = await running();
    const promote = (...words: readonly string[]) =>
      fleet.program.run("promote", "-C", "real", "--kubeconfig", fleet.admin, ...words);
    const words = ["all", "-n", namespace, "--create-namespace"];
    const made = await promote(...words, "--policy-mode=none", "--yes");
    expect(made.stdout).toMatch(new RegExp(`\\n${objects.length + 1} done, 0 failed, 0 skipped\\n$`));
    // As the real server filled them in, and as ours did.
    const again = JSON.parse((await promote(...words, "--policy-mode=none", "--dry-run", "-o", "json")).stdout) as {
      readonly items: readonly { readonly action: string; readonly kind: string }[];
    };
    expect(again.items.filter(({ action }) => action !== "skip")).toEqual([]);
    const plan = join(fleet.folder, "legacy.json");
    expect(await promote(...words, "--dry-run", "--plan-file", plan)).toMatchObject({ code: 0 });
    expect(await promote("--plan-file", plan, "--yes", "--wait=90s")).toMatchObject({ code: 0 });
    expect([await uids(), await running()]).toEqual([before, podsBefore]);
    expect((await member.get(Deployment, metadata)).metadata.labels).toMatchObject({ "karmada.io/managed": "true" });
    // This plan found the templates there and added policies: it takes back no more than them.
    const back = await promote("--undo", "-f", plan, "--yes");
    expect(back).toMatchObject({ code: 0 });
    expect(back.stdout).toMatch(new RegExp(`(^|\\n)${objects.length} done, 0 failed, 0 skipped\n$`));
    expect([await uids(), await running()]).toEqual([before, podsBefore]);
    expect((await plane.list(PropagationPolicy, { namespace })).items).toEqual([]);
    expect(await plane.find(Deployment, metadata)).toBeDefined();
  });
});
