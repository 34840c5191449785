/** Why and what if, as a user asks: the commands against a control plane with simulated members. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cluster, PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { ConfigMap, Deployment } from "#apis/kubernetes";
import { type Client, createClient } from "#client";
import { runCommand } from "#cli";
import type { Fleet } from "#controlplane";
import type { Simulation } from "#scheduler";
import { aDeployment, aPropagationPolicy, captured, eventually, startTestFleet } from "#testing";

let fleet: Fleet;
let client: Client;
const folder = mkdtempSync(join(tmpdir(), "flotilla-what-if-"));
const at = (name: string) => join(folder, name);

const dynamic = {
  clusterAffinity: { exclude: ["member3"] },
  replicaScheduling: {
    replicaSchedulingType: "Divided",
    replicaDivisionPreference: "Weighted",
    weightPreference: { dynamicWeight: "AvailableReplicas" },
  },
};

beforeAll(async () => {
  fleet = await startTestFleet(undefined, ["--enable-scheduler-estimator"]);
  client = createClient(fleet.controlPlane.transport);
  // A cluster whose APIs are not known yet is refused for that reason and no other.
  await eventually(async () =>
    (await client.list(Cluster)).items.every(({ status }) => (status?.apiEnablements ?? []).length > 0),
  );
  await client.create(PropagationPolicy, aPropagationPolicy("all", dynamic));
  await client.create(Deployment, aDeployment("web", 4));
  await eventually(async () => {
    const binding = await client.find(ResourceBinding, { namespace: "default", name: "web-deployment" });
    return (
      binding?.status?.schedulerObservedGeneration === binding?.metadata.generation &&
      (binding?.spec.clusters ?? []).length === 2
    );
  });
});
afterAll(async () => {
  await fleet.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a command line as the program would. */
const run = (...words: readonly string[]) =>
  captured(() => runCommand("flotilla", [...words, "--kubeconfig", fleet.kubeconfigs.get("flotilla") ?? ""]));

describe("flotilla explain schedule", () => {
  it("says why each cluster was taken or left, from the scheduler's own record", async () => {
    const { code, stdout } = await run("explain", "schedule", "deploy/web");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ResourceBinding\/default\/web-deployment: decided at .*, because .*\.\n/);
    expect(stdout).toContain("member3: refused by ClusterAffinity: cluster(s) did not match the placement");
    expect(stdout).toMatch(/member1: score 0 .*general-estimator \d+/);
    expect(stdout).toContain("Scheduled: True (Success) Binding has been scheduled successfully.");
  });

  it("gives the same as JSON, and decides anew where asked to, without writing", async () => {
    const before = await client.get(ResourceBinding, { namespace: "default", name: "web-deployment" });
    const kept = JSON.parse((await run("explain", "schedule", "deployment", "web", "-o", "json")).stdout);
    expect(kept).toMatchObject({ kind: "SchedulingDecision", source: "kept", isCurrent: true });
    expect(kept.decision.result).toEqual(before.spec.clusters);
    const fresh = JSON.parse(
      (await run("explain", "schedule", "resourcebinding/web-deployment", "--fresh", "-o", "json")).stdout,
    );
    expect(fresh.source).toBe("computed");
    expect(fresh.decision.terms[0].candidates[0].estimates).toHaveProperty("scheduler-estimator");
    const after = await client.get(ResourceBinding, { namespace: "default", name: "web-deployment" });
    expect(after.metadata.generation).toBe(before.metadata.generation);
  });

  it("names what is wrong", async () => {
    expect((await run("explain", "schedule", "deploy/none")).stderr).toContain(
      "deployment/none is not in the control plane in namespace default",
    );
    const metadata = { namespace: "default", name: "alone" };
    await client.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata });
    expect((await run("explain", "schedule", "configmap/alone")).stderr).toContain(
      "configmap/alone has no binding in namespace default: no policy selects it",
    );
    expect((await run("explain", "schedule", "teapot/x")).stderr).toContain('a resource type "teapot"');
    expect((await run("explain", "schedule", "deploy/web", "-o", "xml")).stderr).toContain("--output");
  });
});

describe("flotilla simulate schedule", () => {
  const simulate = async (...words: readonly string[]) => {
    const { code, stdout, stderr } = await run("simulate", "schedule", "-o", "json", "--all", ...words);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    return JSON.parse(stdout) as Simulation & { readonly withoutPolicy: readonly string[] };
  };

  it("moves what ran on a cluster that is taken away, and changes nothing", async () => {
    const before = await client.get(ResourceBinding, { namespace: "default", name: "web-deployment" });
    const { bindings, clusters } = await simulate("--remove-cluster", "member1");
    expect(clusters).toEqual(["member2", "member3"]);
    expect(bindings).toHaveLength(1);
    expect(bindings[0]).toMatchObject({ outcome: "changed", after: [{ name: "member2", replicas: 4 }] });
    const after = await client.get(ResourceBinding, { namespace: "default", name: "web-deployment" });
    expect(after.metadata.generation).toBe(before.metadata.generation);
    const { stdout } = await run("simulate", "schedule", "--remove-cluster=member1");
    expect(stdout).toMatch(/apps\/v1 Deployment default\/web +member1:\d,member2:\d +member2:4 +would change/);
    expect(stdout).toContain("1 workload: 1 would change. Nothing was changed.");
  });

  it("places manifests on a snapshot: new workloads and policies, changed policies, clusters to come", async () => {
    expect((await run("simulate", "snapshot", "-o", at("fleet.json"))).stderr).toContain("3 clusters, 1 bindings");
    const snapshot = readFileSync(at("fleet.json"), "utf8");
    const policy = { ...aPropagationPolicy("all", { ...dynamic, clusterAffinity: { clusterNames: ["member9"] } }) };
    const manifests = [
      policy,
      aDeployment("new", 2),
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "lone" } },
    ];
    writeFileSync(at("new.yaml"), manifests.map((object) => JSON.stringify(object)).join("\n---\n"));
    const against = ["--against", at("fleet.json"), "-f", at("new.yaml")];
    const { bindings, withoutPolicy } = await simulate(...against, "--add-cluster", "member9=member2");
    expect(bindings.map(({ binding, outcome, after }) => [binding, outcome, after])).toEqual([
      ["ResourceBinding/default/new-deployment", "changed", [{ name: "member9", replicas: 2 }]],
      ["ResourceBinding/default/web-deployment", "changed", [{ name: "member9", replicas: 4 }]],
    ]);
    expect(withoutPolicy).toEqual(["v1 ConfigMap default/lone"]);
    const nowhere = await simulate(...against);
    expect(nowhere.bindings.map(({ outcome, reason }) => [outcome, reason])).toEqual([
      ["failed", "NoClusterFit"],
      ["failed", "NoClusterFit"],
    ]);
    expect(readFileSync(at("fleet.json"), "utf8")).toBe(snapshot);
  });

  it("interprets kinds by customizations of the fleet and of manifests, and asks plugins of one's own", async () => {
    const doubled = (name: string, factor: number) => ({
      apiVersion: "config.karmada.io/v1alpha1",
      kind: "ResourceInterpreterCustomization",
      metadata: { name },
      spec: {
        target: { apiVersion: "apps/v1", kind: "Deployment" },
        customizations: {
          replicaResource: { luaScript: `function GetReplicas(o) return o.spec.replicas * ${factor}, {} end` },
        },
      },
    });
    const snapshot = JSON.parse(readFileSync(at("fleet.json"), "utf8")) as object;
    writeFileSync(at("scripted.json"), JSON.stringify({ ...snapshot, customizations: [doubled("twice", 2)] }));
    writeFileSync(at("more.yaml"), JSON.stringify(aDeployment("more", 3)));
    const replicasOf = async (...words: readonly string[]) => {
      const { bindings } = await simulate("--against", at("scripted.json"), "-f", at("more.yaml"), ...words);
      const found = bindings.find(({ binding }) => binding.endsWith("/more-deployment"));
      return { ...found, sum: found?.after.reduce((sum, { replicas = 0 }) => sum + replicas, 0) };
    };
    expect((await replicasOf()).sum).toBe(6);
    writeFileSync(at("thrice.yaml"), JSON.stringify(doubled("twice", 3)));
    expect((await replicasOf("-f", at("thrice.yaml"))).sum).toBe(9);
    const plugin = (name: string, body: string) => {
      const text = `export default { apiVersion: "flotilla.io/scheduler-plugin/v1", name: "${name}", ${body} };`;
      writeFileSync(at(`${name}.mjs`), text);
      return ["--scheduler-plugin", at(`${name}.mjs`)];
    };
    const picky = plugin(
      "Picky",
      'filter: ({ cluster }) => cluster.metadata.name === "member1" ? "too far" : undefined',
    );
    expect((await replicasOf(...picky)).after).toEqual([{ name: "member2", replicas: 6 }]);
    expect((await replicasOf(...picky, "--plugins=*,-Picky")).after).toHaveLength(2);
    const broken = plugin("Broken", 'score() { throw new Error("no idea") }');
    expect(await replicasOf(...broken)).toMatchObject({
      outcome: "failed",
      reason: "SchedulerError",
      message: expect.stringContaining('plugin "Broken" failed: no idea'),
    });
    expect((await run("simulate", "schedule", "--scheduler-plugin", at("none.mjs"))).stderr).toContain(
      "--scheduler-plugin: there is no file and no package",
    );
  });

  it("foretells failovers and drains with the same plugins and switches", async () => {
    const text = 'filter: ({ cluster }) => cluster.metadata.name === "member2" ? "too far" : undefined';
    writeFileSync(
      at("far.mjs"),
      `export default { apiVersion: "flotilla.io/scheduler-plugin/v1", name: "Far", ${text} };`,
    );
    const far = ["--scheduler-plugin", at("far.mjs")];
    const failover = async (...words: readonly string[]) =>
      (await run("simulate", "failover", "--cluster=member1", ...words)).stdout;
    expect(await failover()).toMatch(/Deployment default\/web +member1:\d,member2:\d +member2:4 +would change/);
    expect(await failover(...far)).toContain("too far");
    expect(await failover(...far, "--plugins=*,-Far")).toContain("member2:4");
    const drain = async (...words: readonly string[]) =>
      (await run("drain", "cluster", "member1", "--dry-run", ...words)).stderr;
    expect(await drain()).toContain("Deployment default/web would move to member2");
    expect(await drain(...far)).toMatch(/Deployment default\/web stays: .*too far/);
    expect((await run("simulate", "failover", "--cluster=member1", "--feature-gates=Magic=true")).stderr).toContain(
      'there is no gate "Magic"',
    );
  });

  it("names what is wrong with its input", async () => {
    const refused = async (...words: readonly string[]) => (await run("simulate", "schedule", ...words)).stderr;
    expect(await refused("--remove-cluster=member7")).toContain('--remove-cluster: there is no cluster "member7"');
    expect(await refused("--add-cluster=new=member7")).toContain('there is no cluster "member7" to copy');
    writeFileSync(at("half.json"), JSON.stringify({ apiVersion: "flotilla.io/v1alpha1", kind: "FleetSnapshot" }));
    expect(await refused("--against", at("half.json"))).toContain("half.json: clusters must be a list");
    writeFileSync(at("bad.yaml"), "kind: Deployment\nmetadata: {name: x}\n");
    expect(await refused("-f", at("bad.yaml"))).toContain("bad.yaml, document 1: apiVersion, kind and metadata.name");
    const clash = { spreadConstraints: [{ spreadByField: "cluster", minGroups: 3, maxGroups: 1 }] };
    writeFileSync(at("clash.yaml"), JSON.stringify(aPropagationPolicy("clash", clash)));
    expect(await refused("-f", at("clash.yaml"))).toContain(
      "PropagationPolicy clash: spec.placement.spreadConstraints",
    );
    expect(await refused("--feature-gates=Magic=true")).toContain('there is no gate "Magic"');
  });
});
