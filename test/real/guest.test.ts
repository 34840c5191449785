/** Controllers on an API server that is there already: a production cluster whose live objects are the templates. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  Cluster,
  ClusterPropagationPolicy,
  FederatedResourceQuota,
  PropagationPolicy,
  ResourceBinding,
  Work,
} from "#apis/karmada";
import { ConfigMap, Deployment, Namespace, Pod, Service } from "#apis/kubernetes";
import type { Client } from "#client";
import { type RealMember, startRealMember } from "#lab";
import { getPath, type KubeObject } from "#machinery";
import {
  aDefinition,
  aDeployment,
  aPropagationPolicy,
  aWidget,
  eventually,
  kubeconfigClients,
  kubectl,
  Widget,
} from "#testing";
import { describeReal, memberParts } from "./parts.ts";
import { bundleProgram, type Program, type Running } from "../program.ts";

const file = (name: string) =>
  readFileSync(new URL(`../../examples/disaster-recovery/${name}`, import.meta.url), "utf8");

describeReal("controllers on a production cluster", memberParts, () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-guest-"));
  const { connect, close: closeClients } = kubeconfigClients();
  let program: Program;
  let guest: Running;
  let production: RealMember;
  let standby: RealMember;
  let here: Client;
  let there: Client;

  const startControllers = (...more: string[]) =>
    program.start(
      [
        "controllers",
        `--kubeconfig=${production.kubeconfig}`,
        "--webhook-port=0",
        "--cluster-proxy-port=0",
        "--cluster-status-update-frequency=500ms",
        "--cluster-success-threshold=1s",
        "--feature-gates=FederatedQuotaEnforcement=true",
        ...more,
      ],
      /controllers run/,
    );
  const apply = (name: string) => kubectl(production.kubeconfig, ["apply", "-f", "-"], file(name));
  const copy = (name: string) => there.find(Deployment, { namespace: "shop", name });

  /** A client of production that knows nothing of us: it watches from before the installation on. */
  const clientOfBefore = { pods: [] as string[], seen: [] as string[], ends: 0, stop: () => {} };

  beforeAll(async () => {
    program = await bundleProgram();
    [production, standby] = (await Promise.all(
      ["production", "standby"].map((name) => startRealMember({ name, folder: join(folder, name), isUnsafe: true })),
    )) as [RealMember, RealMember];
    here = connect(production.kubeconfig);
    there = connect(standby.kubeconfig);
    await apply("production/shop.yaml");
    await eventually(
      async () => (await here.get(Deployment, { namespace: "shop", name: "frontend" })).status?.readyReplicas === 3,
      60_000,
    );
    const { items } = await here.list(Pod, { namespace: "shop" });
    clientOfBefore.pods = items.map(({ metadata }) => metadata.uid ?? "").sort();
    const { metadata } = await here.get(Deployment, { namespace: "shop", name: "frontend" });
    const stop = here.watch(
      Deployment,
      { namespace: "shop", resourceVersion: metadata.resourceVersion ?? "" },
      {
        event: (_type, object) => clientOfBefore.seen.push(object.metadata.annotations?.["client"] ?? ""),
        closed: () => clientOfBefore.ends++,
      },
    );
    clientOfBefore.stop = () => stop.stop();
    guest = await startControllers();
    const joined = await program.run(
      "join",
      "standby",
      "--kubeconfig",
      production.kubeconfig,
      "--cluster-kubeconfig",
      standby.kubeconfig,
    );
    expect(joined).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    await closeClients();
    await program?.close();
    await Promise.all([production?.stop(), standby?.stop()]);
    rmSync(folder, { recursive: true, force: true });
  });

  test("[DR-33] [DR-35] Karmada's kinds are served by the production API server, with admission of ours", async () => {
    expect(await kubectl(production.kubeconfig, ["get", "clusters"])).toMatch(/standby/);
    await expect(
      kubectl(
        production.kubeconfig,
        ["apply", "-f", "-"],
        JSON.stringify({
          apiVersion: "policy.karmada.io/v1alpha1",
          kind: "PropagationPolicy",
          metadata: { name: "wrong", namespace: "shop" },
          spec: {
            resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap" }],
            placement: { spreadConstraints: [{ spreadByField: "cluster", maxGroups: 1, minGroups: 2 }] },
          },
        }),
      ),
    ).rejects.toThrow(/admission webhook "propagationpolicy.karmada.io" denied the request/);
    await expect(
      kubectl(production.kubeconfig, [
        "patch",
        "cluster",
        "standby",
        "--type=merge",
        "-p",
        '{"spec":{"zone":"a","zones":["b"]}}',
      ]),
    ).rejects.toThrow(/Zone and Zones cannot co-exist/);
    expect((await here.get(Cluster, { name: "standby" })).spec?.resourceModels?.length).toBeGreaterThan(3);
  });

  test("[DR-11] [DR-13] [DR-15] [DR-16] [DR-52] live workloads stand by with no pods, annotated and tolerating", async () => {
    await apply("override-policy.yaml");
    await apply("propagation-policy.yaml");
    for (const name of ["frontend", "cart"]) await eventually(() => copy(name), 30_000);
    const frontend = await copy("frontend");
    const cart = await copy("cart");
    expect(frontend?.spec?.replicas).toBe(0);
    expect(getPath(frontend as KubeObject, "spec", "template", "metadata", "annotations")).toMatchObject({
      team: "shop",
      "vendor.example.com/runtime": "serverless",
    });
    expect(getPath(cart as KubeObject, "spec", "template", "metadata", "annotations")).toMatchObject({
      "vendor.example.com/runtime": "serverless",
    });
    expect(getPath(cart as KubeObject, "spec", "template", "spec", "tolerations")).toMatchObject([
      { key: "dedicated" },
      { key: "virtual-node" },
    ]);
    await eventually(() => there.find(ConfigMap, { namespace: "shop", name: "settings" }));
    await eventually(() => there.find(Service, { namespace: "shop", name: "frontend" }));
  });

  test("[DR-34] [DR-48] [DR-50] production's own objects keep spec and status, and run on", async () => {
    // Standby's own status of no replicas has arrived before one looks.
    await eventually(async () => {
      const { status } = await here.get(ResourceBinding, { namespace: "shop", name: "frontend-deployment" });
      return status?.aggregatedStatus?.some((of) => of.clusterName === "standby" && of.status !== undefined);
    }, 60_000);
    const frontend = await here.get(Deployment, { namespace: "shop", name: "frontend" });
    expect(frontend.spec?.replicas).toBe(3);
    expect(frontend.status).toMatchObject({ readyReplicas: 3, replicas: 3 });
    expect(getPath(frontend as KubeObject, "spec", "template", "metadata", "annotations")).toEqual({ team: "shop" });
  });

  test("[DR-40] [DR-41] what no policy names and what is Kubernetes' own stays at home", async () => {
    expect(await there.find(ConfigMap, { namespace: "kube-system", name: "kube-root-ca.crt" })).toBeDefined();
    const works = await here.list(Work, { namespace: "karmada-es-standby" });
    const kinds = new Set(
      works.items.flatMap((work) =>
        ((work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[]).map(
          ({ kind, metadata }) => `${kind} ${metadata.namespace ?? metadata.name}`,
        ),
      ),
    );
    // Beside what policies name: the right to act as a user, which the cluster proxy needs in every member.
    for (const kind of kinds) expect(kind).toMatch(/ (shop|default)$|^ClusterRole(Binding)? karmada-impersonator$/);
  });

  test("[DR-22] [DR-23] a change in production is in standby within seconds", async () => {
    await here.patch(ConfigMap, { namespace: "shop", name: "settings" }, "application/merge-patch+json", {
      data: { currency: "CHF" },
    });
    await eventually(
      async () => (await there.get(ConfigMap, { namespace: "shop", name: "settings" })).data?.["currency"] === "CHF",
      5_000,
    );
  });

  test("[DR-43] [DR-44] names of 53, 63 and 253 characters arrive", async () => {
    const names = [53, 63, 253].map((length) => "n".repeat(length));
    for (const name of names)
      await here.create(ConfigMap, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { namespace: "shop", name },
        data: { length: String(name.length) },
      });
    for (const name of names) await eventually(() => there.find(ConfigMap, { namespace: "shop", name }), 20_000);
  });

  test("[DR-32] clients of production stay where they are: same address, a watch from before goes on, the same pods run", async () => {
    const at = { namespace: "shop", name: "frontend" };
    await here.patch(Deployment, at, "application/merge-patch+json", { metadata: { annotations: { client: "here" } } });
    await eventually(() => clientOfBefore.seen.includes("here"), 30_000);
    expect(clientOfBefore.ends).toBe(0);
    const { items } = await here.list(Pod, { namespace: "shop" });
    expect(items.map(({ metadata }) => metadata.uid).sort()).toEqual(clientOfBefore.pods);
    clientOfBefore.stop();
  });

  test("[DR-18] a kind nobody knew comes along by policy alone", async () => {
    const definition = aDefinition(Widget);
    const policy = {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "ClusterPropagationPolicy",
      metadata: { name: "widgets" },
      spec: {
        resourceSelectors: [
          { apiVersion: "example.io/v1", kind: "Widget", namespace: "shop" },
          { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", name: "widgets.example.io" },
        ],
        placement: { clusterAffinity: { clusterNames: ["standby"] } },
      },
    };
    await kubectl(
      production.kubeconfig,
      ["apply", "-f", "-"],
      `${JSON.stringify(definition)}\n---\n${JSON.stringify(policy)}`,
    );
    await kubectl(production.kubeconfig, ["wait", "--for=condition=Established", "crd/widgets.example.io"]);
    const widget = { ...aWidget("one"), metadata: { namespace: "shop", name: "one" } };
    await eventually(async () => {
      try {
        await kubectl(production.kubeconfig, ["apply", "-f", "-"], JSON.stringify(widget));
        return true;
      } catch {
        return false;
      }
    }, 20_000);
    await eventually(async () => {
      try {
        return await there.find(Widget, { namespace: "shop", name: "one" });
      } catch {
        return undefined;
      }
    }, 60_000);
  });

  test("[DR-14] standby is activated by removing zero replicas from the override, and it arrives at once", async () => {
    await kubectl(production.kubeconfig, [
      "patch",
      "clusteroverridepolicy",
      "shop-in-standby",
      "--type=json",
      "-p",
      '[{"op":"replace","path":"/spec/overrideRules/0/overriders/plaintext/0/value","value":4}]',
    ]);
    await eventually(async () => (await copy("frontend"))?.spec?.replicas === 4, 10_000);
    await kubectl(production.kubeconfig, [
      "patch",
      "clusteroverridepolicy",
      "shop-in-standby",
      "--type=json",
      "-p",
      '[{"op":"replace","path":"/spec/overrideRules/0/overriders/plaintext/0/value","value":0}]',
    ]);
    // All of them, for the next test watches them all.
    const shop = async () => (await there.list(Deployment, { namespace: "shop" })).items;
    await eventually(async () => (await shop()).every(({ spec }) => spec?.replicas === 0), 30_000);
  });

  test("[DR-45] [DR-47] without its policies the copy stays as it was rendered last: nothing starts in silence", async () => {
    // From now on, of all of them: a version of one may be older than the last zero of another.
    const { metadata } = await there.list(Deployment, { namespace: "shop" });
    const seen: (number | undefined)[] = [];
    const watching = there.watch(
      Deployment,
      { namespace: "shop", resourceVersion: metadata.resourceVersion ?? "" },
      { event: (_type, object) => seen.push((object as Deployment).spec?.replicas), closed: () => seen.push(-1) },
    );
    // By file order the override would go first: it refuses, and the policy goes all the same.
    const folder = fileURLToPath(new URL("../../examples/disaster-recovery", import.meta.url));
    await expect(kubectl(production.kubeconfig, ["delete", "-f", folder])).rejects.toThrow(
      /This resource is protected/,
    );
    await eventually(
      async () => (await here.find(ClusterPropagationPolicy, { name: "shop-to-standby" })) === undefined,
      30_000,
    );
    const override = "clusteroverridepolicy/shop-in-standby";
    await kubectl(production.kubeconfig, ["label", override, "resourcetemplate.karmada.io/deletion-protected-"]);
    await kubectl(production.kubeconfig, ["delete", override]);
    await kubectl(production.kubeconfig, ["annotate", "-n", "shop", "deployment", "frontend", "touched=yes"]);
    // Something that is propagated after it shows that the controllers have gone past it.
    await here.create(
      PropagationPolicy,
      aPropagationPolicy("marker", { clusterAffinity: { clusterNames: ["standby"] } }),
    );
    await here.create(Deployment, aDeployment("marker", 1));
    await eventually(() => there.find(Deployment, { namespace: "default", name: "marker" }), 20_000);
    expect((await copy("frontend"))?.spec?.replicas).toBe(0);
    watching.stop();
    expect(seen.filter((replicas) => replicas !== 0)).toEqual([]);
  });

  test("FQ-4 of twenty bindings at once just as many are admitted as a federated quota has room for, and they are counted", async () => {
    const namespace = "bounded";
    await here.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    await here.create(FederatedResourceQuota, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "FederatedResourceQuota",
      metadata: { name: "team", namespace },
      spec: { overall: { cpu: "5" } },
    } as unknown as FederatedResourceQuota);
    const quota = () => here.get(FederatedResourceQuota, { namespace, name: "team" });
    await eventually(async () => (await quota()).status?.overallUsed?.["cpu"] === "0", 30_000);
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        here
          .create(ResourceBinding, {
            apiVersion: "work.karmada.io/v1alpha2",
            kind: "ResourceBinding",
            metadata: { name: `app-${n}`, namespace },
            spec: {
              resource: { apiVersion: "apps/v1", kind: "Deployment", namespace, name: `app-${n}` },
              replicaRequirements: { resourceRequest: { cpu: "1" } },
              clusters: [{ name: "standby", replicas: 1 }],
              suspension: { dispatching: true },
            },
          } as unknown as ResourceBinding)
          .then(
            () => "admitted",
            (error: Error) =>
              /exceeded for resource cpu: requested sum 6, limit 5/.test(error.message) ? "exceeded" : error.message,
          ),
      ),
    );
    expect([outcomes.filter((text) => text === "admitted").length, new Set(outcomes)]).toEqual([
      5,
      new Set(["admitted", "exceeded"]),
    ]);
    await eventually(async () => {
      const { items } = await here.list(ResourceBinding, { namespace });
      return (await quota()).status?.overallUsed?.["cpu"] === String(items.length);
    }, 30_000);
    await here.delete(Namespace, { name: namespace });
  });

  test("a restart writes nothing and keeps everything", async () => {
    await apply("override-policy.yaml");
    await apply("propagation-policy.yaml");
    await eventually(
      async () =>
        (await here.find(ClusterPropagationPolicy, { name: "shop-to-standby" })) !== undefined &&
        (await copy("cart"))?.spec?.replicas === 0,
      20_000,
    );
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const before = (await copy("cart"))?.metadata.resourceVersion;
    await guest.end("SIGTERM");
    guest = await startControllers();
    await here.create(Deployment, aDeployment("marker-two", 1));
    await eventually(() => there.find(Deployment, { namespace: "default", name: "marker-two" }), 30_000);
    expect((await copy("cart"))?.metadata.resourceVersion).toBe(before);
  });

  test("[DR-34] --uninstall after a kill takes everything out and leaves workloads running, here and there", {
    timeout: 480_000,
  }, async () => {
    await guest.end("SIGKILL");
    // What it served for the API server is missing now, and namespaces wait for it (docs/guides/disaster-recovery.md).
    let count = 0;
    const leaving = await eventually(async () => {
      const name = `leaving-${count++}`;
      await here.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
      await here.delete(Namespace, { name });
      // The API server may notice late that nobody answers; a namespace that went before is no witness.
      const seen = await eventually(async () => {
        const namespace = await here.find(Namespace, { name });
        if (namespace === undefined) return "gone";
        const conditions = namespace.status?.conditions ?? [];
        return conditions.some(({ type, status }) => type === "NamespaceDeletionDiscoveryFailure" && status === "True")
          ? "held"
          : undefined;
      }, 90_000);
      return seen === "held" ? { name } : undefined;
    }, 180_000);
    const removed = await program.run("controllers", `--kubeconfig=${production.kubeconfig}`, "--uninstall");
    expect(removed).toMatchObject({ code: 0 });
    await eventually(async () => (await here.find(Namespace, leaving)) === undefined, 90_000);
    const frontend = await here.get(Deployment, { namespace: "shop", name: "frontend" });
    expect(frontend.status?.readyReplicas).toBe(3);
    expect(JSON.stringify(frontend.metadata)).not.toMatch(/karmada/);
    expect((await copy("frontend"))?.spec?.replicas).toBe(0);
    expect(await kubectl(production.kubeconfig, ["get", "crds"])).not.toMatch(/karmada/);
    await eventually(async () => (await here.find(Namespace, { name: "karmada-es-standby" })) === undefined, 60_000);
    expect(
      await kubectl(production.kubeconfig, [
        "get",
        "validatingwebhookconfigurations,mutatingwebhookconfigurations",
        "-o",
        "name",
      ]),
    ).toBe("");
    // Nothing refuses or delays what users do afterwards.
    await here.create(ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: "shop", name: "after" },
    });
  });
});
