/** `flotilla trace`, `diff` and `render` as a user sees them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigMap, Deployment } from "#apis/kubernetes";
import { PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { runCommand } from "#cli";
import { type Client, createClient } from "#client";
import type { Fleet } from "#controlplane";
import { aDeployment, captured, eventually, startTestFleet } from "#testing";

let fleet: Fleet;
let plane: Client;
let folder: string;
const at = (name: string) => ({ namespace: "default", name });

async function flotilla(...words: readonly string[]) {
  const { code, stdout, stderr } = await captured(() =>
    runCommand("flotilla", [...words, "--kubeconfig", fleet.kubeconfigs.get("flotilla") as string]),
  );
  return { code, out: stdout, err: stderr };
}

const policy = (name: string, spec: object) =>
  ({
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: { namespace: "default", name },
    spec,
  }) as unknown as PropagationPolicy;
const of = (name: string) => [{ apiVersion: "apps/v1", kind: "Deployment", name }];
const placedIn = (...clusterNames: readonly string[]) => ({ placement: { clusterAffinity: { clusterNames } } });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-trace-"));
  fleet = await startTestFleet(["member1", "member2"]);
  plane = createClient(fleet.controlPlane.transport);
  await plane.create(Deployment, aDeployment("web", 2));
  await plane.create(
    PropagationPolicy,
    policy("web", { resourceSelectors: of("web"), ...placedIn("member1"), priority: 1 }),
  );
  await plane.create(
    PropagationPolicy,
    policy("everything", {
      resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment" }],
      ...placedIn("nowhere"),
    }),
  );
  await eventually(async () =>
    (await plane.find(ResourceBinding, at("web-deployment")))?.status?.aggregatedStatus?.some(
      ({ health }) => health === "Healthy",
    ),
  );
});
afterAll(async () => {
  await fleet.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("[DR-27] trace follows a workload from template to member and says who lost and why", async () => {
  const { code, out, err } = await flotilla("trace", "deployment/web");
  expect(err).toBe("");
  expect(out).toContain("All is well.");
  expect(out).toContain("PropagationPolicy default/web selects it by its name, priority 1: has it");
  expect(out).toContain(
    "default/everything selects it as one of its kind, priority 0: lost: its priority 0 is lower than 1",
  );
  expect(out).toMatch(/member2: out, refused by ClusterAffinity/);
  expect(out).toContain("member1: present, 2 of 2 replicas ready");
  expect(code).toBe(0);
  const parsed = JSON.parse((await flotilla("why", "deploy", "web", "-o", "json")).out);
  expect(parsed).toMatchObject({ kind: "Trace", object: { kind: "Deployment", name: "web" } });
  expect(parsed.stages.map(({ name }: { name: string }) => name)).toEqual([
    "Template",
    "Policy",
    "Binding",
    "Scheduling",
    "Override",
    "Cluster",
    "Work",
    "Member",
    "Status",
  ]);
});

test("trace marks the first broken link and names the next step", async () => {
  expect(await flotilla("explain", "deployment/absent")).toMatchObject({
    code: 2,
    out: expect.stringContaining(
      "It stops at Template: Deployment default/absent is not in the control plane. Next: create it",
    ),
  });
  await plane.create(Deployment, aDeployment("lost", 1));
  await eventually(async () =>
    (await plane.find(ResourceBinding, at("lost-deployment")))?.status?.conditions?.some(
      ({ type, status }) => type === "Scheduled" && status === "False",
    ),
  );
  const lost = await flotilla("trace", "deployment/lost");
  expect(lost.code).toBe(2);
  expect(lost.out).toMatch(/✗ Scheduling +NoClusterFit: .* {3}← here/);
  const member = createClient(fleet.members.get("member2")?.api.transport() as never);
  const settings = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: at("settings"),
    data: { a: "1" },
  } as unknown as ConfigMap;
  await member.create(ConfigMap, settings);
  await plane.create(ConfigMap, settings);
  expect((await flotilla("trace", "configmap/settings")).out).toContain("It stops at Policy: no policy selects it.");
  await plane.create(
    PropagationPolicy,
    policy("settings", {
      resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: "settings" }],
      ...placedIn("member2"),
    }),
  );
  await eventually(async () => (await flotilla("trace", "cm/settings")).out.includes("It stops at Work"));
  expect((await flotilla("trace", "cm/settings")).out).toContain("conflictResolution: Overwrite");
});

test("render shows a manifest as it would arrive, also under an override that is not applied yet", async () => {
  const path = join(folder, "override.yaml");
  writeFileSync(
    path,
    `apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: { name: tag }
spec:
  resourceSelectors: [{ apiVersion: apps/v1, kind: Deployment, name: web }]
  overrideRules:
    - targetCluster: { clusterNames: [member1] }
      overriders: { imageOverrider: [{ component: Tag, operator: replace, value: "9.9" }] }
`,
  );
  const plain = await flotilla("render", "deployment", "web", "-C", "member1");
  expect(plain).toMatchObject({ code: 0, err: "", out: expect.stringContaining("image: nginx:1.29") });
  expect(plain.out).not.toContain("karmada.io");
  expect((await flotilla("render", "deployment/web", "--policy", path)).out).toMatch(
    /# member1\n[\s\S]*image: nginx:9\.9/,
  );
  expect((await flotilla("render", "deployment/web", "-C", "member2")).err).toContain("does not go to member2");
  const diff = await flotilla("diff", "-f", path);
  expect(diff).toMatchObject({ code: 1, err: "" });
  expect(diff.out).toBe(
    `member1: Deployment default/web would be changed
- /spec/template/spec/containers/0/image: "nginx:1.29"
+ /spec/template/spec/containers/0/image: "nginx:9.9"
`,
  );
});

test("diff says what a changed template or policy would do in members, with kubectl's exit codes", async () => {
  expect(await flotilla("diff", "deployment/web")).toMatchObject({ code: 0, out: "", err: "" });
  const template = aDeployment("web", 5);
  const path = join(folder, "template.yaml");
  writeFileSync(
    path,
    JSON.stringify({ ...template, metadata: { ...template.metadata, labels: { app: "test", tier: "front" } } }),
  );
  const changed = await flotilla("diff", "-f", path, "-o", "json");
  expect(changed.code).toBe(1);
  const [{ patch, ...what }, ...others] = JSON.parse(changed.out);
  expect(others).toEqual([]);
  expect(what).toEqual({ cluster: "member1", object: "Deployment default/web", change: "update" });
  // What the server has defaulted is no difference to a file that does not speak of it.
  expect(patch).toHaveLength(2);
  expect(patch).toContainEqual({ op: "add", path: "/metadata/labels/tier", value: "front" });
  expect(patch).toContainEqual({ op: "replace", path: "/spec/replicas", value: 5 });
  const moved = join(folder, "policy.json");
  writeFileSync(
    moved,
    JSON.stringify(policy("web", { resourceSelectors: of("web"), ...placedIn("member2"), priority: 1 })),
  );
  expect((await flotilla("diff", "-f", moved)).out).toBe(
    "member1: Deployment default/web would be deleted\nmember2: Deployment default/web would be created\n",
  );
  expect(await flotilla("diff")).toMatchObject({ code: 2, err: expect.stringContaining("is required") });
});
