/**
 * Controllers in a third cluster, which reaches production and standby but is reached by neither: production's API server asks
 * nobody about Karmada's objects, and synchronisation works all the same.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigMap, Deployment, Event, Namespace, PersistentVolume, PersistentVolumeClaim } from "#apis/kubernetes";
import {
  Cluster,
  ClusterOverridePolicy,
  ClusterPropagationPolicy,
  OverridePolicy,
  PROPAGATION_POLICY_ID,
  PropagationPolicy,
  ResourceBinding,
  Work,
} from "#apis/karmada";
import type { Client } from "#client";
import { type RealMember, startRealMember } from "#lab";
import { aDeployment, aPropagationPolicy, eventually, kubeconfigClients, kubectl } from "#testing";
import { bundleProgram, type Program, type Running } from "../program.ts";
import { memberParts, describeReal } from "./parts.ts";

const PATIENCE_MS = 60_000;
const inShop = (name: string) => ({ namespace: "shop", name });
const standby = { clusterAffinity: { clusterNames: ["standby"] } };
const soon = <T>(look: () => T | Promise<T>) => eventually(look, PATIENCE_MS);

describeReal("controllers that production does not reach", [...memberParts, "kubectl"], () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-third-"));
  const { connect, close: closeClients } = kubeconfigClients();
  let program: Program;
  let production: RealMember;
  let controllers: Running;
  let here: Client;
  let there: Client;

  const startControllers = () =>
    program.start(
      [
        "controllers",
        `--kubeconfig=${production.kubeconfig}`,
        "--admission-webhooks=false",
        "--cluster-proxy=false",
        "--cluster-status-update-frequency=500ms",
        "--cluster-success-threshold=1s",
        "--leader-elect=false",
      ],
      /controllers run/,
    );
  const join1 = () =>
    program.run(
      "join",
      "standby",
      "--kubeconfig",
      production.kubeconfig,
      "--cluster-kubeconfig",
      join(folder, "standby", "standby.kubeconfig"),
    );
  const copy = (name: string) => there.find(Deployment, inShop(name));
  const events = async (about: string, reason: string) =>
    (await here.list(Event)).items.filter((event) => event.reason === reason && event.involvedObject?.name === about);

  beforeAll(async () => {
    program = await bundleProgram();
    [production] = await Promise.all([
      startRealMember({ isUnsafe: true, folder: join(folder, "production") }),
      program.start(
        ["simulate", "member", "standby", "--nodes=1", `--data-dir=${join(folder, "standby")}`],
        /standby is ready/,
      ),
    ]);
    here = connect(production.kubeconfig);
    there = connect(join(folder, "standby", "standby.kubeconfig"));
    controllers = await startControllers();
  });
  afterAll(async () => {
    await closeClients();
    await program?.close();
    await production?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("[DR-38] [DR-39] nothing leads to them: no webhook, no APIService; what needs admission is refused by name", async () => {
    const listed = await kubectl(production.kubeconfig, [
      "get",
      "validatingwebhookconfigurations,mutatingwebhookconfigurations",
      "-o",
      "name",
    ]);
    expect(listed).toMatch(/^(No resources found\n)?$/);
    expect(await kubectl(production.kubeconfig, ["get", "apiservice", "v1alpha1.cluster.karmada.io"])).toMatch(/Local/);
    const refused = await program.run(
      "controllers",
      `--kubeconfig=${production.kubeconfig}`,
      "--admission-webhooks=false",
      "--feature-gates=FederatedQuotaEnforcement=true",
    );
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/FederatedQuotaEnforcement needs them/) });
    expect(controllers.output()).toMatch(
      /no admission webhooks: .* deletion protection is kept by a ValidatingAdmission/,
    );
  });

  test("[DR-38] [DR-43] [DR-44] [DR-52] the reference configuration works as in production itself, whatever the names' length", async () => {
    expect(await join1()).toMatchObject({ code: 0, stderr: "" });
    await soon(async () =>
      (await here.get(Cluster, { name: "standby" })).status?.conditions?.some(
        ({ type, status }) => type === "Ready" && status === "True",
      ),
    );
    // What admission would have filled in.
    await soon(async () => ((await here.get(Cluster, { name: "standby" })).spec?.resourceModels ?? []).length === 9);
    for (const name of ["production/shop", "override-policy", "propagation-policy"])
      await kubectl(
        production.kubeconfig,
        ["apply", "-f", "-"],
        readFileSync(new URL(`../../examples/disaster-recovery/${name}.yaml`, import.meta.url), "utf8"),
      );
    const names = ["frontend", "cart", ...[53, 63, 253].map((length) => "n".repeat(length))];
    for (const name of names.slice(2)) await here.create(Deployment, aDeployment(name, 2, "shop"));
    for (const name of names) {
      const found = await soon(() => copy(name));
      expect([name, found.spec?.replicas]).toEqual([name, 0]);
      expect(found.spec?.template.metadata?.annotations).toMatchObject({ "vendor.example.com/runtime": "serverless" });
      expect((await here.get(Deployment, inShop(name))).spec?.replicas).toBeGreaterThan(0);
    }
    await soon(async () => (await there.get(ConfigMap, inShop("settings"))).data?.["currency"] === "EUR");
    // Every Work was admitted on its way, and says that it was carried out.
    await soon(async () => {
      const { items } = await here.list(Work, { namespace: "karmada-es-standby" });
      const applied = items.filter(({ status }) =>
        status?.conditions?.some(({ type, status: is }) => type === "Applied" && is === "True"),
      );
      expect(items.every(({ metadata }) => metadata.labels?.["work.karmada.io/permanent-id"])).toBe(true);
      return applied.length >= names.length + 2;
    });
    const bindings = (await here.list(ResourceBinding, { namespace: "shop" })).items;
    expect(new Set(bindings.map(({ metadata }) => metadata.name)).size).toBe(bindings.length);
    expect(bindings.every(({ metadata }) => metadata.labels?.["resourcebinding.karmada.io/permanent-id"])).toBe(true);
  });

  test("policies are filled in after they were written, copied ones get an id of their own, wrong ones are told", async () => {
    const policy = aPropagationPolicy("own", standby, "shop", {
      resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: "one" }],
    });
    await here.create(PropagationPolicy, policy);
    const admitted = await soon(async () => {
      const found = await here.get(PropagationPolicy, inShop("own"));
      return found.metadata.labels?.[PROPAGATION_POLICY_ID] === undefined ? undefined : found;
    });
    expect(admitted.spec.resourceSelectors[0]?.namespace).toBe("shop");
    const id = admitted.metadata.labels?.[PROPAGATION_POLICY_ID] ?? "";
    const copied = { ...policy, metadata: { ...inShop("copied"), labels: { [PROPAGATION_POLICY_ID]: id } } };
    await here.create(PropagationPolicy, {
      ...copied,
      spec: { ...copied.spec, resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: "two" }] },
    } as PropagationPolicy);
    await soon(
      async () => (await here.get(PropagationPolicy, inShop("copied"))).metadata.labels?.[PROPAGATION_POLICY_ID] !== id,
    );
    expect((await here.get(PropagationPolicy, inShop("own"))).metadata.labels?.[PROPAGATION_POLICY_ID]).toBe(id);
    await here.create(OverridePolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "OverridePolicy",
      metadata: inShop("labelled"),
      spec: {
        resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: "one" }],
        overrideRules: [{ overriders: { labelsOverrider: [{ operator: "add", value: { from: "third" } }] } }],
      },
    } as unknown as OverridePolicy);
    for (const name of ["one", "two"])
      await here.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: inShop(name), data: { a: "1" } });
    await soon(async () => (await there.find(ConfigMap, inShop("one")))?.metadata.labels?.["from"] === "third");
    await soon(() => there.find(ConfigMap, inShop("two")));
    const wrong = aPropagationPolicy(
      "wrong",
      { ...standby, spreadConstraints: [{ spreadByField: "cluster", minGroups: 2, maxGroups: 1 }] },
      "shop",
      { resourceSelectors: [{ apiVersion: "v1", kind: "Secret" }] },
    );
    await here.create(PropagationPolicy, wrong);
    const [told] = await soon(async () => {
      const found = await events("wrong", "Inadmissible");
      return found.length === 0 ? undefined : found;
    });
    expect(told?.message).toMatch(/maxGroups/);
  });

  test("[DR-49] a claim of production keeps the capacity it has, whatever standby reports", async () => {
    const claims = { accessModes: ["ReadWriteOnce"], storageClassName: "" };
    await here.create(PersistentVolume, {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: "disk" },
      spec: { ...claims, capacity: { storage: "5Gi" }, hostPath: { path: "/none" } },
    } as unknown as PersistentVolume);
    await here.create(PersistentVolumeClaim, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: inShop("data"),
      spec: { ...claims, resources: { requests: { storage: "1Gi" } } },
    } as unknown as PersistentVolumeClaim);
    const status = { phase: "Bound", accessModes: ["ReadWriteOnce"], capacity: { storage: "5Gi" } };
    const merge = "application/merge-patch+json";
    await soon(async () => (await here.get(PersistentVolumeClaim, inShop("data"))).status?.phase === "Bound");
    await here.create(
      PropagationPolicy,
      aPropagationPolicy("claims", standby, "shop", {
        resourceSelectors: [{ apiVersion: "v1", kind: "PersistentVolumeClaim" }],
      }),
    );
    await soon(() => there.find(PersistentVolumeClaim, inShop("data")));
    const small = { phase: "Bound", capacity: { storage: "1Gi" } };
    await there.patch(PersistentVolumeClaim, inShop("data"), merge, { status: small }, { subresource: "status" });
    // What standby says has arrived, at the binding, before one looks at the claim.
    await soon(async () => {
      const { status: found } = await here.get(ResourceBinding, inShop("data-persistentvolumeclaim"));
      return JSON.stringify(found?.aggregatedStatus ?? []).includes("1Gi");
    });
    expect((await here.get(PersistentVolumeClaim, inShop("data"))).status).toMatchObject(status);
  });

  test("[DR-45] [DR-47] a cluster that leaves and joins again gets nothing that no policy names any more", async () => {
    // Nobody of ours is asked: production's API server protects the override, and warns, by a policy of its own.
    const override = { name: "shop-in-standby" };
    await expect(here.delete(ClusterOverridePolicy, override)).rejects.toThrow(/This resource is protected/);
    await here.delete(ClusterPropagationPolicy, { name: "shop-to-standby" });
    await here.patch(ClusterOverridePolicy, override, "application/merge-patch+json", {
      metadata: { labels: { "resourcetemplate.karmada.io/deletion-protected": null } },
    });
    expect(await kubectl(production.kubeconfig, ["delete", "clusteroverridepolicy", override.name])).toMatch(
      /Warning: .*copies are rendered without this override at once/,
    );
    await soon(
      async () =>
        Object.keys((await here.get(Deployment, inShop("cart"))).metadata.labels ?? {}).filter((key) =>
          key.startsWith("clusterpropagationpolicy"),
        ).length === 0,
    );
    expect((await copy("cart"))?.spec?.replicas).toBe(0);
    const left = await program.run("unjoin", "standby", "--kubeconfig", production.kubeconfig, "--wait=80s");
    expect(left).toMatchObject({ code: 0, stderr: "" });
    // Somebody cleans up what was kept there.
    for (const { metadata } of (await there.list(Deployment, { namespace: "shop" })).items)
      await there.delete(Deployment, { namespace: "shop", name: metadata.name ?? "" });
    await controllers.end("SIGTERM");
    controllers = await startControllers();
    expect(await join1()).toMatchObject({ code: 0, stderr: "" });
    // What a policy still names comes back, and with it everything that would come.
    await here.create(
      PropagationPolicy,
      aPropagationPolicy("marker", standby, "shop", {
        resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: "marker" }],
      }),
    );
    await here.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: inShop("marker"), data: {} });
    await soon(() => there.find(ConfigMap, inShop("marker")));
    expect((await there.list(Deployment, { namespace: "shop" })).items).toEqual([]);
  });

  test("[DR-34] --uninstall takes everything out from there as well", async () => {
    await controllers.end("SIGKILL");
    const removed = await program.run("controllers", `--kubeconfig=${production.kubeconfig}`, "--uninstall");
    expect(removed).toMatchObject({ code: 0 });
    const left = await kubectl(production.kubeconfig, [
      "get",
      "crds,validatingadmissionpolicies,validatingadmissionpolicybindings",
      "-o",
      "name",
    ]);
    expect(left).not.toMatch(/karmada|flotilla/);
    expect(JSON.stringify((await here.get(Deployment, inShop("cart"))).metadata)).not.toMatch(/karmada/);
    expect(await there.find(ConfigMap, inShop("marker"))).toBeDefined();
    expect(await there.find(Namespace, { name: "shop" })).toBeDefined();
  });
});
