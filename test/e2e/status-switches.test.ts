/** Whose status it is: switches of what is written back, what is left out, and what can be measured. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConfigMap, CronJob, Deployment, Namespace, PersistentVolumeClaim } from "#apis/kubernetes";
import { ClusterPropagationPolicy, PropagationPolicy, ResourceBinding, Work } from "#apis/karmada";
import { type Client, createClient } from "#client";
import type { Fleet } from "#controlplane";
import type { KubeObject, ResourceKind } from "#machinery";
import { aDeployment, eventually, startTestFleet } from "#testing";

const at = (name: string, namespace = "default") => ({ namespace, name });
const placement = { clusterAffinity: { clusterNames: ["member1"] } };
const policy = (name: string, resourceSelectors: readonly object[], namespace = "default") =>
  ({
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: { namespace, name },
    spec: { resourceSelectors, placement },
  }) as unknown as PropagationPolicy;
const memberOf = (fleet: Fleet) => createClient(fleet.members.get("member1")?.api.transport() as never);
const isApplied = async (plane: Client, prefix: string) =>
  (await plane.list(Work, { namespace: "karmada-es-member1" })).items.some(
    ({ metadata, status }) =>
      metadata.name?.startsWith(`${prefix}-`) &&
      status?.manifestStatuses !== undefined &&
      status.conditions?.some(({ type, status: state }) => type === "Applied" && state === "True"),
  );

describe("with --controllers=*,-bindingStatus and lists of what is skipped", () => {
  let fleet: Fleet;
  let plane: Client;
  beforeAll(async () => {
    fleet = await startTestFleet(
      ["member1"],
      [
        "--controllers=*,-bindingStatus",
        "--skipped-propagating-apis=batch/v1/CronJob",
        "--skipped-propagating-namespaces=monitoring-.*",
      ],
    );
    plane = createClient(fleet.controlPlane.transport);
  });
  afterAll(() => fleet.stop());

  test("[DR-50] copies are made and looked after, and no status is written back to template or binding", async () => {
    await plane.create(Deployment, aDeployment("web", 2));
    await plane.create(PropagationPolicy, policy("web", [{ apiVersion: "apps/v1", kind: "Deployment" }]));
    await eventually(() => isApplied(plane, "web"));
    await eventually(async () => (await memberOf(fleet).get(Deployment, at("web"))).status?.readyReplicas === 2);
    await fleet.controlPlane.manager.whenIdle();
    expect(((await plane.get(Deployment, at("web"))) as { status?: object }).status ?? {}).toEqual({});
    expect((await plane.get(ResourceBinding, at("web-deployment"))).status?.aggregatedStatus).toBeUndefined();
  });

  test("[DR-19] [DR-40] kinds and namespaces on the lists are left out, others of the same policy are not", async () => {
    await plane.create(Namespace, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "monitoring-a" },
    } as Namespace);
    const settings = (namespace: string) =>
      ({ apiVersion: "v1", kind: "ConfigMap", metadata: at("settings", namespace), data: {} }) as unknown as ConfigMap;
    await plane.create(ConfigMap, settings("monitoring-a"));
    await plane.create(ConfigMap, settings("default"));
    await plane.create(CronJob, {
      apiVersion: "batch/v1",
      kind: "CronJob",
      metadata: at("nightly"),
      spec: {
        schedule: "0 3 * * *",
        jobTemplate: {
          spec: { template: { spec: { restartPolicy: "Never", containers: [{ name: "a", image: "a:1" }] } } },
        },
      },
    } as unknown as CronJob);
    await plane.create(ClusterPropagationPolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "ClusterPropagationPolicy",
      metadata: { name: "everything" },
      spec: {
        resourceSelectors: [
          { apiVersion: "v1", kind: "ConfigMap", name: "settings" },
          { apiVersion: "batch/v1", kind: "CronJob" },
        ],
        placement,
      },
    } as unknown as ClusterPropagationPolicy);
    await eventually(() => memberOf(fleet).find(ConfigMap, at("settings")));
    await fleet.controlPlane.manager.whenIdle();
    expect(await plane.find(ResourceBinding, at("settings-configmap", "monitoring-a"))).toBeUndefined();
    expect(await plane.find(ResourceBinding, at("nightly-cronjob"))).toBeUndefined();
    expect(await memberOf(fleet).find(Namespace, { name: "monitoring-a" })).toBeUndefined();
  });
});

describe("as it comes", () => {
  let fleet: Fleet;
  let plane: Client;
  beforeAll(async () => {
    fleet = await startTestFleet(["member1"]);
    plane = createClient(fleet.controlPlane.transport);
  });
  afterAll(() => fleet.stop());

  test("[DR-48] a template that keeps its own status keeps it, while its binding collects what members report", async () => {
    const kept = aDeployment("kept", 1);
    await plane.create(Deployment, {
      ...kept,
      metadata: { ...kept.metadata, annotations: { "status.flotilla.io/template-status": "Keep" } },
    } as Deployment);
    await plane.updateStatus(Deployment, {
      ...(await plane.get(Deployment, at("kept"))),
      status: { replicas: 7, readyReplicas: 7 },
    } as Deployment);
    await plane.create(
      PropagationPolicy,
      policy("kept", [{ apiVersion: "apps/v1", kind: "Deployment", name: "kept" }]),
    );
    await eventually(async () =>
      (await plane.find(ResourceBinding, at("kept-deployment")))?.status?.aggregatedStatus?.some(
        ({ health }) => health === "Healthy",
      ),
    );
    await fleet.controlPlane.manager.whenIdle();
    expect((await plane.get(Deployment, at("kept"))).status).toMatchObject({ replicas: 7, readyReplicas: 7 });
  });

  test("[DR-49] a claim keeps the capacity it has here", async () => {
    const claim = await plane.create(PersistentVolumeClaim, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: at("data"),
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
    } as unknown as PersistentVolumeClaim);
    await plane.updateStatus(PersistentVolumeClaim, {
      ...claim,
      status: { phase: "Pending", capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"] },
    } as unknown as PersistentVolumeClaim);
    await plane.create(PropagationPolicy, policy("data", [{ apiVersion: "v1", kind: "PersistentVolumeClaim" }]));
    const copy = await eventually(() => memberOf(fleet).find(PersistentVolumeClaim, at("data")));
    await memberOf(fleet).updateStatus(PersistentVolumeClaim, { ...copy, status: { phase: "Bound" } } as never);
    await eventually(
      async () =>
        ((await plane.get(PersistentVolumeClaim, at("data"))) as { status?: { phase?: string } }).status?.phase ===
        "Bound",
    );
    expect((await plane.get(PersistentVolumeClaim as ResourceKind, at("data"))) as KubeObject).toMatchObject({
      status: { phase: "Bound", capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"] },
    });
  });

  test("[DR-21] how many are in step and how many are not can be measured, by cluster", async () => {
    const settings = { apiVersion: "v1", kind: "ConfigMap", metadata: at("taken"), data: {} } as unknown as ConfigMap;
    await memberOf(fleet).create(ConfigMap, settings);
    await plane.create(ConfigMap, settings);
    await plane.create(PropagationPolicy, policy("taken", [{ apiVersion: "v1", kind: "ConfigMap", name: "taken" }]));
    const gauge = async (state: string) => {
      const answer = await plane.transport.raw({ method: "GET", path: "/metrics" });
      const text = Buffer.from(answer.body).toString("utf8");
      return Number(
        new RegExp(`^flotilla_works\\{member_cluster="member1",state="${state}"\\} (\\d+)`, "m").exec(text)?.[1],
      );
    };
    await eventually(async () => (await gauge("failed")) === 1);
    const works = (await plane.list(Work, { namespace: "karmada-es-member1" })).items;
    await eventually(async () => (await gauge("applied")) === works.length - 1);
    const text = Buffer.from((await plane.transport.raw({ method: "GET", path: "/metrics" })).body).toString("utf8");
    for (const name of [
      "create_resource_to_cluster",
      "work_sync_workload_duration_seconds",
      "binding_sync_work_duration_seconds",
      "policy_apply_attempts_total",
      "resource_apply_policy_duration_seconds",
    ])
      expect(text).toContain(name);
  });
});
