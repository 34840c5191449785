/** Many objects of a member that become templates by one plan (cli.md §14.1). */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigMap, CustomResourceDefinition, Deployment, Namespace, Pod, Secret, Service } from "#apis/kubernetes";
import { ClusterPropagationPolicy, PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { type Client, createClient } from "#client";
import { runCommand } from "#cli";
import type { Fleet } from "#controlplane";
import { aDefinition, aDeployment, aWidget, captured, eventually, startTestFleet, Widget } from "#testing";

let fleet: Fleet;
let plane: Client;
let member: Client;
const folder = mkdtempSync(join(tmpdir(), "flotilla-promote-"));
const LIMIT_MS = 60_000;
const inShop = (name: string) => ({ namespace: "shop", name });

beforeAll(async () => {
  fleet = await startTestFleet(["member1"]);
  plane = createClient(fleet.controlPlane.transport);
  member = createClient(fleet.members.get("member1")?.transport as never);
  await member.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
  for (const name of ["web", "api"]) await makeInMember(name, "a");
  await makeInMember("other", "b");
  await member.create(Secret, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: inShop("robot-token"),
    type: "bootstrap.kubernetes.io/token",
  } as Secret);
}, 120_000);
afterAll(async () => {
  await fleet.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A Deployment that reads a ConfigMap, and its Service, as somebody made them in the member. */
async function makeInMember(name: string, team: string): Promise<void> {
  const labels = { team, "app.kubernetes.io/instance": name };
  await member.create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { ...inShop(`${name}-settings`), labels },
    data: { a: "1" },
  });
  const made = aDeployment(name, 1, "shop");
  await member.create(Deployment, { ...made, metadata: { ...made.metadata, labels } });
  await member.create(Service, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { ...inShop(name), labels },
    spec: { selector: { app: name }, ports: [{ port: 80 }] },
  } as unknown as Service);
  await eventually(async () => (await member.get(Deployment, inShop(name))).status?.readyReplicas === 1, LIMIT_MS);
}

const promote = (...words: readonly string[]) =>
  captured(() =>
    runCommand("karmadactl", [
      "promote",
      ...words,
      "-C",
      "member1",
      "--kubeconfig",
      fleet.kubeconfigs.get("flotilla") ?? "",
    ]),
  );
interface Shown {
  readonly kind: string;
  readonly items: readonly {
    readonly action?: string;
    readonly result?: string;
    readonly kind: string;
    readonly name: string;
    readonly policy?: string;
    readonly note?: string;
    readonly message?: string;
  }[];
}
const shown = async (...words: readonly string[]) => {
  const { code, stdout, stderr } = await promote(...words);
  expect(stderr).toBe("");
  return { code, plan: JSON.parse(stdout) as Shown };
};
const lines = ({ items }: Shown) =>
  items.map(({ action, result, kind, name }) => `${action ?? result} ${kind} ${name}`);
/** What would differ had anything in the member been made anew. */
const traces = async () => {
  const { items } = await member.list(Deployment, { namespace: "shop" });
  const pods = (await member.list(Pod, { namespace: "shop" })).items.map(({ metadata }) => metadata.uid).sort();
  return [items.map(({ metadata: { name, uid, generation } }) => ({ name, uid, generation })), pods];
};
const inPlane = async () =>
  Promise.all([
    plane.list(Deployment),
    plane.list(PropagationPolicy),
    plane.list(ConfigMap, { namespace: "shop" }),
  ]).then((lists) =>
    lists.flatMap(({ items }) =>
      items.map(({ metadata }) => `${metadata.name} ${metadata.generation ?? metadata.uid}`),
    ),
  );
/** Promoted objects, with what a write would change. */
const specs = async () =>
  (await plane.list(PropagationPolicy)).items.map(({ metadata }) => `${metadata.name} ${metadata.generation}`);

test("cli 14.1: a plan comes first and writes nothing; it names what is in the way", {
  timeout: LIMIT_MS,
}, async () => {
  const nothing = await inPlane();
  const homeless = await shown("deploy,svc", "-n", "shop", "-l", "team=a", "--dry-run", "-o", "json");
  expect(homeless).toMatchObject({ code: 3, plan: { kind: "PromotePlan" } });
  expect(lines(homeless.plan)).toEqual([
    "blocked Deployment api",
    "blocked Deployment web",
    "blocked Service api",
    "blocked Service web",
  ]);
  expect(homeless.plan.items[0]?.note).toBe(
    "the control plane has no namespace shop: promote it, or give --create-namespace",
  );
  const words = ["all", "-n", "shop", "-l", "team=a", "--create-namespace"];
  const all = await shown(...words, "-o", "json");
  expect(all.code).toBe(0);
  expect(lines(all.plan)).toEqual([
    "create Namespace shop",
    "create ConfigMap api-settings",
    "create ConfigMap web-settings",
    "create Deployment api",
    "create Deployment web",
    "create Service api",
    "create Service web",
  ]);
  expect(new Set(all.plan.items.map(({ policy }) => policy))).toEqual(new Set(["promoted-member1"]));
  // Nobody is there to be asked.
  const unasked = await promote(...words);
  expect([unasked.code, unasked.stderr]).toEqual([2, "nothing is done: --yes carries the plan out\n"]);
  expect(unasked.stdout).toMatch(/^ACTION {3}KIND +NAMESPACE +NAME +POLICY +NOTE\ncreate +Namespace +shop +promoted/);
  const rendered = await promote(...words, "--policy-mode=per-app", "--render", "-o", "yaml");
  expect(rendered.stdout.match(/^kind: PropagationPolicy$/gm)).toHaveLength(2);
  expect(rendered.stdout).toContain("name: promoted-member1-web");
  expect(rendered.stdout).not.toMatch(/uid:|resourceVersion:|^status:/m);
  // What Kubernetes and its controllers made is nobody's to promote.
  const everything = await shown("all", "-n", "shop", "--exclude-kinds=svc", "-o", "json");
  expect(new Set(everything.plan.items.map(({ kind }) => kind))).toEqual(new Set(["ConfigMap", "Deployment"]));
  expect(everything.plan.items.map(({ name }) => name)).not.toContain("kube-root-ca.crt");
  const fleetWide = await shown("all", "-A", "-o", "json");
  expect(fleetWide.plan.items.filter(({ kind }) => kind === "Namespace").map(({ name }) => name)).toEqual([
    "default",
    "shop",
  ]);
  expect(fleetWide.plan.items.every(({ name }) => !/^(system:|kube-|karmada-)/.test(name))).toBe(true);
  expect(await inPlane()).toEqual(nothing);
  expect(await plane.find(Namespace, { name: "shop" })).toBeUndefined();
});

test("[DR-31] cli 14.1: many at once by one policy a namespace; again it is nothing; what differs is a conflict; and back, with everything where it was", {
  timeout: 180_000,
}, async () => {
  const before = await traces();
  const words = ["all", "-n", "shop", "-l", "team=a", "--create-namespace"];
  const file = join(folder, "plan.json");
  expect(await promote(...words, "--dry-run", "--plan-file", file)).toMatchObject({ code: 0 });
  expect(statSync(file).mode & 0o077).toBe(0);
  const run = await promote("--plan-file", file, "--yes", "--wait=60s");
  expect(run).toMatchObject({ code: 0, stderr: "" });
  expect(run.stdout).toContain('Resource "apps/v1, Resource=deployments"(shop/web) is promoted successfully\n');
  expect(run.stdout).toMatch(/\n7 done, 0 failed, 0 skipped\n$/);
  const policy = await plane.get(PropagationPolicy, inShop("promoted-member1"));
  expect(policy.spec).toMatchObject({ conflictResolution: "Overwrite", preserveResourcesOnDeletion: true });
  expect(policy.spec?.resourceSelectors).toHaveLength(6);
  expect(await plane.find(ClusterPropagationPolicy, { name: "promoted-member1" })).toBeDefined();
  expect((await member.get(Deployment, inShop("web"))).metadata.labels).toMatchObject({ "karmada.io/managed": "true" });
  expect(await traces()).toEqual(before);

  const [stands, policies] = [await inPlane(), await specs()];
  const again = await shown(...words, "--yes", "-o", "json");
  expect(again.code).toBe(0);
  expect(again.plan.kind).toBe("PromoteReport");
  expect(new Set(again.plan.items.map(({ result }) => result))).toEqual(new Set(["skipped"]));
  expect([await inPlane(), await specs()]).toEqual([stands, policies]);

  // A plan that made nothing has nothing to take back.
  const idle = join(folder, "idle.json");
  expect(await promote(...words, "--dry-run", "--plan-file", idle)).toMatchObject({ code: 0 });
  const none = await promote("--undo", "-f", idle, "--yes");
  expect([none.code, none.stdout]).toEqual([0, expect.stringMatching(/0 done, 0 failed, \d skipped\n$/)]);
  expect(await inPlane()).toEqual(stands);

  // More into the same policy; another ConfigMap of that name is somebody's.
  await plane.create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: inShop("other-settings"),
    data: { a: "not this one" },
  });
  const careful = await promote("all", "-n", "shop", "-l", "team=b", "--yes", "--on-error=stop");
  expect(careful.code).toBe(3);
  expect(careful.stdout).toMatch(
    /^failed +ConfigMap +shop +other-settings +conflict: the control plane has another one/m,
  );
  expect(careful.stdout).toMatch(/^skipped +Deployment +shop +other +not begun, for another one failed$/m);
  expect(await plane.find(Deployment, inShop("other"))).toBeUndefined();
  const more = await promote("all", "-n", "shop", "-l", "team=b", "--yes", "--wait");
  expect(more.code).toBe(3);
  expect(more.stdout).toMatch(/2 done, 1 failed, 0 skipped\n$/);
  expect((await plane.get(PropagationPolicy, inShop("promoted-member1"))).spec?.resourceSelectors).toHaveLength(8);
  expect((await plane.get(ConfigMap, inShop("other-settings"))).data).toEqual({ a: "not this one" });

  // A binding that would take its copies along keeps its template.
  await plane.patch(PropagationPolicy, inShop("promoted-member1"), "application/merge-patch+json", {
    spec: { preserveResourcesOnDeletion: false },
  });
  await eventually(async () => {
    const { spec } = await plane.get(ResourceBinding, inShop("web-deployment"));
    return spec.preserveResourcesOnDeletion !== true;
  }, LIMIT_MS);
  const doomed = await promote("deploy", "web", "-n", "shop", "--undo", "--yes", "--wait=1s");
  expect(doomed.code).toBe(1);
  expect(doomed.stdout).toContain("does not say preserveResourcesOnDeletion");
  expect(await plane.find(Deployment, inShop("web"))).toBeDefined();
  await plane.patch(PropagationPolicy, inShop("promoted-member1"), "application/merge-patch+json", {
    spec: { preserveResourcesOnDeletion: true },
  });
  expect(await promote("deploy,svc", "-n", "shop", "-l", "team=b", "--undo", "--yes")).toMatchObject({ code: 0 });
  expect((await promote("--undo", "-f", file)).code).toBe(2);
  const space = await promote("--undo", "-f", file, "--yes");
  // The namespace holds what nobody promoted: it stays here.
  expect(space.stdout).toMatch(/^failed +Namespace +shop +these lie in it .* go along: ConfigMap other-settings$/m);
  expect(space.stdout).toMatch(/6 done, 1 failed, 0 skipped\n$/);
  expect(await plane.find(Deployment, inShop("web"))).toBeUndefined();
  expect(await plane.find(PropagationPolicy, inShop("promoted-member1"))).toBeUndefined();
  const left = await member.get(Deployment, inShop("web"));
  expect(Object.keys(left.metadata.labels ?? {}).filter((key) => key.includes("karmada.io"))).toEqual([]);
  const [deployments, pods] = await traces();
  expect((deployments as { uid: string }[]).map(({ uid }) => uid)).toEqual(
    (before[0] as { uid: string }[]).map(({ uid }) => uid),
  );
  expect(pods).toEqual(before[1]);
});

test("cli 14.1: the undo of a plan that only added a policy takes the policy back, and leaves the template that was there", {
  timeout: LIMIT_MS,
}, async () => {
  const settings = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { namespace: "default", name: "bare" },
    data: { a: "1" },
  };
  await member.create(ConfigMap, settings as ConfigMap);
  const { metadata } = await plane.create(ConfigMap, settings as ConfigMap);
  const file = join(folder, "policy-only.json");
  const words = ["cm", "bare", "-n", "default"];
  const planned = await promote(...words, "--dry-run", "--plan-file", file);
  expect(planned.stdout).toContain("it is in the control plane: only its policy is made");
  const at = { namespace: "default", name: "bare" };
  const policies = async () =>
    (await plane.list(PropagationPolicy, { namespace: "default" })).items.map((policy) => policy.metadata.name);
  const before = await policies();
  expect(await promote("--plan-file", file, "--yes", "--wait")).toMatchObject({ code: 0 });
  expect(await policies()).toHaveLength(before.length + 1);
  const undone = await promote("--undo", "-f", file, "--yes");
  expect(undone).toMatchObject({ code: 0, stdout: expect.stringMatching(/1 done, 0 failed, 0 skipped\n$/) });
  expect(await policies()).toEqual(before);
  expect((await plane.get(ConfigMap, at)).metadata.uid).toBe(metadata.uid);
  expect((await member.get(ConfigMap, at)).data).toEqual({ a: "1" });
});

test("cli 14.1: a plan of templates and a later one of their policies are taken back one after the other, and the object stays", {
  timeout: 180_000,
}, async () => {
  const at = { namespace: "default", name: "twice" };
  const made = await member.create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: at,
    data: { a: "1" },
  } as ConfigMap);
  const [first, second] = [join(folder, "templates.json"), join(folder, "policies.json")];
  const words = ["cm", "twice", "-n", "default", "--dry-run"];
  expect(await promote(...words, "--policy-mode=none", "--plan-file", first)).toMatchObject({ code: 0 });
  expect(await promote("--plan-file", first, "--yes")).toMatchObject({ code: 0 });
  expect(await promote(...words, "--plan-file", second)).toMatchObject({ code: 0 });
  expect(await promote("--plan-file", second, "--yes", "--wait")).toMatchObject({ code: 0 });
  expect((await member.get(ConfigMap, at)).metadata.labels).toMatchObject({ "karmada.io/managed": "true" });
  for (const file of [second, first]) {
    const undone = await promote("--undo", "-f", file, "--yes");
    expect(undone).toMatchObject({ code: 0, stdout: expect.stringMatching(/1 done, 0 failed, 0 skipped\n$/) });
  }
  expect(await plane.find(ConfigMap, at)).toBeUndefined();
  const left = await member.get(ConfigMap, at);
  expect(left.metadata.uid).toBe(made.metadata.uid);
  expect(Object.keys(left.metadata.labels ?? {}).filter((key) => key.includes("karmada.io"))).toEqual([]);
});

test("cli 14.1: a CRD comes before what is of it, and a manifest names what is meant", {
  timeout: LIMIT_MS,
}, async () => {
  await member.create(CustomResourceDefinition, aDefinition(Widget));
  await eventually(async () => {
    await member.create(Widget, aWidget("gear"));
    return true;
  }, LIMIT_MS);
  const file = join(folder, "list.json");
  const { metadata } = aDefinition(Widget);
  const definition = { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata };
  const absent = { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: "default", name: "absent" } };
  writeFileSync(
    file,
    JSON.stringify({ apiVersion: "v1", kind: "List", items: [aWidget("gear", 7), definition, absent] }),
  );
  const alone = await shown("widgets", "-n", "default", "--policy-mode=none", "-o", "json");
  expect(alone.plan.items).toMatchObject([
    { action: "blocked", note: "the control plane does not know the kind: promote its CRD, too" },
  ]);
  const run = await promote("-f", file, "--yes", "--wait");
  expect(run.code).toBe(1);
  expect(run.stdout).toMatch(/^failed +ConfigMap +default +absent +blocked: it is not in the member$/m);
  expect(run.stdout).toMatch(/2 done, 1 failed, 0 skipped\n$/);
  // As it is in the member, whatever the manifest says.
  expect(await plane.get(Widget, { namespace: "default", name: "gear" })).toMatchObject({ spec: { n: 1 } });
});

test("cli 14.1: what cannot be meant ends with 2 and names the flag", { timeout: LIMIT_MS }, async () => {
  const noPlan = join(folder, "no-plan.json");
  writeFileSync(noPlan, '{"kind":"Pod"}');
  const elsewhere = join(folder, "elsewhere.json");
  writeFileSync(
    elsewhere,
    readFileSync(join(folder, "plan.json"), "utf8").replace('"cluster": "member1"', '"cluster": "m9"'),
  );
  for (const [words, code, message] of [
    [["deploy,svc", "--on-error=maybe"], 2, '--on-error: "maybe" must be one of continue, stop, rollback'],
    [["deploy,svc", "--policy-mode=some"], 2, '--policy-mode: "some" must be one of per-resource, per-namespace'],
    [["deploy,svc", "--concurrency=0"], 2, '--concurrency: "0" must be a number from 1 to 999'],
    [["deploy,svc", "-o", "wide"], 2, "invalid output format: supported formats are json and yaml"],
    [["deploy,svc", "--render"], 2, "--render needs --output json or yaml"],
    [["deploy,svc", "-A", "-n", "shop"], 2, "--all-namespaces and --namespace: only one of them can be given"],
    [["deploy,svc", "--policy-name=mine"], 2, "--policy-name names the policy of one object"],
    [["all", "web"], 2, "names need one type"],
    [["--yes"], 2, "incorrect command format"],
    [["nonsense,svc"], 1, 'the server doesn\'t have a resource type "nonsense"'],
    [["deploy,svc", "--wait=soon"], 1, "--wait"],
    [["--plan-file", join(folder, "none"), "--yes"], 1, "no such file or directory"],
    [["--plan-file", noPlan, "--yes"], 1, "is no plan of promote: its kind is not PromotePlan"],
    [["--plan-file", elsewhere, "--yes"], 1, "is a plan for cluster(m9), not for cluster(member1)"],
  ] as const) {
    const said = await promote(...words);
    expect([said.code, said.stderr], words.join(" ")).toEqual([code, expect.stringContaining(message)]);
  }
});
