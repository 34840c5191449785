/** What becomes of workloads when their push member leaves (cli.md §14.5). */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ClusterRole, Deployment } from "#apis/kubernetes";
import { Cluster, PropagationPolicy, ResourceBinding, Work } from "#apis/karmada";
import { parseKubeconfig, resolveContext } from "#certs";
import { type Client, createClient, createHttpTransport, type HttpTransport } from "#client";
import { runCommand } from "#cli";
import type { Fleet } from "#controlplane";
import { aDeployment, aPropagationPolicy, captured, eventually, FAILOVER_FLAGS, startTestFleet } from "#testing";

let fleet: Fleet;
let plane: Client;
const members = new Map<string, Client>();
const opened: HttpTransport[] = [];
const kubeconfig = (name: string) => fleet.kubeconfigs.get(name) ?? "";
const member = (name: string) => members.get(name) as Client;

beforeAll(async () => {
  fleet = await startTestFleet(["member1", "member2", "member3"], FAILOVER_FLAGS);
  plane = createClient(fleet.controlPlane.transport);
  for (const name of ["member1", "member2", "member3"]) {
    const { namespace: _namespace, ...endpoint } = resolveContext(parseKubeconfig(kubeconfig(name)));
    const transport = createHttpTransport(endpoint);
    opened.push(transport);
    members.set(name, createClient(transport));
  }
}, 120_000);
afterAll(async () => {
  for (const transport of opened) await transport.close();
  await fleet.stop();
});

const unjoin = (...words: readonly string[]) =>
  captured(() => runCommand("flotilla", ["unjoin", ...words, "--kubeconfig", kubeconfig("flotilla"), "--wait=4m"]));
const at = (name: string) => ({ namespace: "default", name });
const copy = (cluster: string, name: string) => member(cluster).find(Deployment, at(name));
const affinity = (clusterNames: readonly string[]) => ({
  clusterAffinity: { clusterNames },
  spreadConstraints: [{ spreadByField: "cluster", minGroups: 1, maxGroups: 1 }],
});
async function deploy(name: string, clusterNames: readonly string[]): Promise<void> {
  const resourceSelectors = [{ apiVersion: "apps/v1", kind: "Deployment", name }];
  await plane.create(
    PropagationPolicy,
    aPropagationPolicy(name, affinity(clusterNames), "default", { resourceSelectors }),
  );
  await plane.create(Deployment, aDeployment(name, 1));
  await eventually(async () => (await copy(clusterNames[0] as string, name)) !== undefined, 60_000);
}

test("cli 14.5: --cascade=orphan leaves what runs in the member, without our marks, and takes our own rights along", async () => {
  await deploy("web", ["member1"]);
  const impersonator = () => member("member1").find(ClusterRole, { name: "karmada-impersonator" });
  await eventually(async () => (await impersonator()) !== undefined, 60_000);
  expect((await unjoin("member1", "--cascade=sideways")).stderr).toContain(
    '--cascade: "sideways" must be one of delete, orphan',
  );
  expect((await unjoin("member1", "--cascade=orphan", "--drain")).stderr).toContain("only one of them can be given");
  expect((await copy("member1", "web"))?.metadata.labels).toMatchObject({ "karmada.io/managed": "true" });
  const { uid } = (await copy("member1", "web"))?.metadata ?? {};
  expect(await unjoin("member1", "--cascade=orphan")).toMatchObject({
    code: 0,
    stdout: "cluster(member1) is unjoined successfully\n",
  });
  const left = await copy("member1", "web");
  expect(left?.metadata.uid).toBe(uid);
  expect(left?.metadata.deletionTimestamp).toBeUndefined();
  expect(Object.keys(left?.metadata.labels ?? {}).filter((key) => key.includes("karmada.io"))).toEqual([]);
  expect(await impersonator()).toBeUndefined();
}, 300_000);

test("cli 14.5: --cascade=orphan unjoins nothing where something puts back what its works are to leave, and names what would be lost", async () => {
  await deploy("kept", ["member3"]);
  const namespace = "karmada-es-member3";
  const stubborn = plane.watch(
    Work,
    { namespace },
    {
      event: (_type, object) => {
        const work = object as Work;
        if (work.spec?.preserveResourcesOnDeletion !== true) return;
        const name = work.metadata.name ?? "";
        plane
          .patch(Work, { namespace, name }, "application/merge-patch+json", {
            spec: { preserveResourcesOnDeletion: false },
          })
          .catch(() => undefined);
      },
      closed: () => undefined,
    },
  );
  try {
    const refused = await unjoin("member3", "--cascade=orphan");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(
      /cluster\(member3\) is not unjoined: something sets spec\.preserveResourcesOnDeletion of its works back, and their objects would be deleted: .*kept-/,
    );
  } finally {
    stubborn.stop();
  }
  expect((await plane.get(Cluster, { name: "member3" })).metadata.deletionTimestamp).toBeUndefined();
  expect(await copy("member3", "kept")).toBeDefined();
}, 120_000);

test("cli 14.5: --drain moves workloads first, and unjoins nothing while some have no other place", async () => {
  await deploy("bound", ["member2"]);
  await deploy("moving", ["member2"]);
  await plane.patch(PropagationPolicy, at("moving"), "application/merge-patch+json", {
    spec: { placement: affinity(["member2", "member3"]) },
  });
  await eventually(async () => {
    const { spec } = await plane.get(ResourceBinding, at("moving-deployment"));
    return spec.placement?.clusterAffinity?.clusterNames?.length === 2;
  }, 60_000);
  await eventually(async () => (await plane.get(Deployment, at("moving"))).status?.readyReplicas === 1, 60_000);
  const dry = await unjoin("member2", "--drain", "--dry-run");
  expect([dry.code, dry.stderr]).toEqual([
    0,
    expect.stringContaining("Deployment default/moving would move to member3"),
  ]);
  const taints = (await plane.get(Cluster, { name: "member2" })).spec?.taints ?? [];
  expect(taints.map(({ key }) => key)).not.toContain("cluster.karmada.io/unschedulable");

  const refused = await unjoin("member2", "--drain");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain(
    "cluster(member2) is cordoned but not unjoined: 1 workloads are still there: Deployment default/bound; --force unjoins",
  );
  expect((await plane.get(Cluster, { name: "member2" })).metadata.deletionTimestamp).toBeUndefined();
  expect([(await copy("member2", "bound")) !== undefined, (await copy("member3", "moving")) !== undefined]).toEqual([
    true,
    true,
  ]);
  await eventually(async () => (await copy("member2", "moving")) === undefined, 60_000);

  expect(await unjoin("member2", "--drain", "--force")).toMatchObject({ code: 0 });
  expect(await plane.find(Cluster, { name: "member2" })).toBeUndefined();
  expect([await copy("member2", "bound"), (await copy("member3", "moving"))?.metadata.name]).toEqual([
    undefined,
    "moving",
  ]);
}, 600_000);
