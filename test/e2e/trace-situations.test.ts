/** `flotilla explain` in the situations users come to it with: the first broken link, why, and what to do next. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { ConfigMap, Deployment } from "#apis/kubernetes";
import { Cluster, OverridePolicy, PropagationPolicy, ResourceInterpreterCustomization } from "#apis/karmada";
import { runCommand } from "#cli";
import { type Client, createClient, retryOnConflict } from "#client";
import { setPath } from "#machinery";
import type { Fleet } from "#controlplane";
import { aDeployment, eventually, startTestFleet } from "#testing";

let fleet: Fleet;
let plane: Client;
const folder = mkdtempSync(join(tmpdir(), "flotilla-trace-"));
const at = (name: string) => ({ namespace: "default", name });
const member = (name: string) => createClient(fleet.members.get(name)?.api.transport() as never);

async function flotillaInto(write: (text: string) => void, ...words: readonly string[]): Promise<number> {
  const spy = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    write(String(text));
    return true;
  });
  try {
    return await runCommand("flotilla", [...words, "--kubeconfig", fleet.kubeconfigs.get("flotilla") as string]);
  } finally {
    spy.mockRestore();
  }
}
async function flotilla(...words: readonly string[]) {
  let out = "";
  const code = await flotillaInto((text) => (out += text), ...words);
  return { code, out };
}
const explained = async (what: string, stage: string) =>
  eventually(async () => {
    const found = await flotilla("explain", what, "--since=1h");
    expect(found.out).toMatch(new RegExp(`^✗ ${stage} .*← here$`, "m"));
    return found;
  });
const policy = (name: string, spec: object, apiVersion = "v1", kind = "ConfigMap") =>
  plane.create(PropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: at(name),
    spec: { resourceSelectors: [{ apiVersion, kind, name }], placement: placedIn("member1"), ...spec },
  } as unknown as PropagationPolicy);
const placedIn = (...clusterNames: readonly string[]) => ({ clusterAffinity: { clusterNames } });
const settings = (name: string) =>
  plane.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: at(name), data: { a: "1" } } as ConfigMap);
const copy = (cluster: string, name: string) => member(cluster).find(ConfigMap, at(name));

beforeAll(async () => {
  fleet = await startTestFleet(undefined, ["--mass-deletion-share=0.001", "--mass-deletion-floor=0"]);
  plane = createClient(fleet.controlPlane.transport);
  await eventually(async () =>
    (await plane.list(Cluster)).items.every(
      ({ status, spec }) => status?.resourceSummary !== undefined && (spec?.taints ?? []).length === 0,
    ),
  );
});
afterAll(async () => {
  await fleet.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("no policy selects it: the ones that nearly do, and why not", async () => {
  await policy("near", {
    resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", labelSelector: { matchLabels: { a: "b" } } }],
  });
  await settings("lonely");
  const { code, out } = await explained("configmap/lonely", "Policy");
  expect(code).toBe(2);
  expect(out).toContain(
    'PropagationPolicy default/near speaks of ConfigMaps, but its label selector {"matchLabels":{"a":"b"}} does not match {}',
  );
  expect(out).toContain("Next: create a PropagationPolicy or ClusterPropagationPolicy that selects it.");
});

test("another policy won by priority and names no cluster that fits", async () => {
  await policy("mine", {});
  await policy("stronger", {
    resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: "mine" }],
    placement: placedIn("elsewhere"),
    priority: 7,
  });
  await settings("mine");
  const { out } = await explained("configmap/mine", "Scheduling");
  expect(out).toContain("default/mine selects it by its name, priority 0: lost: its priority 0 is lower than 7");
  expect(out).toMatch(/member1: out, refused by ClusterAffinity/);
  expect(out).toMatch(/It stops at Scheduling: NoClusterFit: .* Next: change the placement of the policy/);
});

test("dispatching is suspended, as a whole and in one cluster", async () => {
  await policy("paused", { suspension: { dispatching: true } });
  await settings("paused");
  expect((await explained("configmap/paused", "Binding")).out).toContain(
    "It stops at Binding: its dispatching is suspended. Next: set spec.suspension.dispatching of the policy to false.",
  );
  await policy("partly", {
    placement: placedIn("member1", "member2"),
    suspension: { dispatchingOnClusters: { clusterNames: ["member2"] } },
  });
  await settings("partly");
  const { out } = await explained("configmap/partly", "Work");
  expect(out).toContain("✗ member2: Work dispatching is in a suspended state.");
});

test("a lazy policy has not taken effect, and a diff says when it would", async () => {
  await policy("idle", {});
  await settings("idle");
  await eventually(() => copy("member1", "idle"));
  await retryOnConflict(async () => {
    const present = await plane.get(PropagationPolicy, at("idle"));
    const spec = { ...present.spec, activationPreference: "Lazy", placement: placedIn("member2") };
    await plane.update(PropagationPolicy, { ...present, spec } as unknown as PropagationPolicy);
  });
  expect((await explained("configmap/idle", "Policy")).out).toContain(
    "PropagationPolicy default/idle is lazy and has not taken effect: what was said before holds until the template changes",
  );
  expect(await flotilla("diff", "configmap/idle")).toMatchObject({ code: 0, out: "" });
  const path = join(folder, "idle.json");
  writeFileSync(path, JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: at("idle"), data: { a: "2" } }));
  expect((await flotilla("diff", "-f", path)).out).toBe(
    "member1: ConfigMap default/idle would be deleted\nmember2: ConfigMap default/idle would be created\n",
  );
});

test("what only follows others says whom, and is rendered where they are", async () => {
  await policy("needs", { propagateDeps: true }, "apps/v1", "Deployment");
  await settings("needed");
  await plane.create(
    Deployment,
    setPath(
      aDeployment("needs"),
      ["spec", "template", "spec", "volumes"],
      [{ name: "v", configMap: { name: "needed" } }],
    ),
  );
  await eventually(() => copy("member1", "needed"));
  expect((await flotilla("explain", "configmap/needed")).out).toContain(
    "✓ Policy     none of its own: it follows default/needs-deployment, which need it",
  );
  expect((await flotilla("render", "configmap/needed")).out).toMatch(/# member1\n[\s\S]*name: needed/);
});

test("an override cannot be applied", async () => {
  await plane.create(OverridePolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "OverridePolicy",
    metadata: at("wrong"),
    spec: {
      resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: "overridden" }],
      overrideRules: [{ overriders: { plaintext: [{ path: "/spec/none", operator: "replace", value: 1 }] } }],
    },
  } as unknown as OverridePolicy);
  await policy("overridden", {});
  await settings("overridden");
  const { out } = await explained("configmap/overridden", "Override");
  expect(out).toMatch(/✗ member1: replace operation does not apply.*\(Apply override policy\(default\/wrong\)/);
  expect(out).toMatch(/What happened:[\s\S]*SyncWorkFailed/);
});

test("the member has an object of its own", async () => {
  await member("member1").create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: at("taken"),
    data: { own: "1" },
  });
  await policy("taken", {});
  await settings("taken");
  const { out } = await explained("configmap/taken", "Work");
  expect(out).toContain("Next: take the member's object over with conflictResolution: Overwrite, or remove it.");
});

test("it cannot be told how the copy fares", async () => {
  await plane.create(ResourceInterpreterCustomization, {
    apiVersion: "config.karmada.io/v1alpha1",
    kind: "ResourceInterpreterCustomization",
    metadata: { name: "broken" },
    spec: {
      target: { apiVersion: "v1", kind: "Secret" },
      customizations: {
        healthInterpretation: { luaScript: "function InterpretHealth(o)\n  error('no idea')\nend" },
      },
    },
  } as unknown as ResourceInterpreterCustomization);
  await policy("secretive", {}, "v1", "Secret");
  await plane.create({ group: "", version: "v1", kind: "Secret", resource: "secrets", namespaced: true }, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: at("secretive"),
    type: "Opaque",
  } as never);
  const { out } = await explained("secret/secretive", "Status");
  expect(out).toMatch(/✗ InterpretHealthFailed: .*no idea/);
  expect(out).toContain("correct the ResourceInterpreterCustomization, webhook or plugin for its kind");
});

test("a deletion is held by the brake", async () => {
  await policy("held", { placement: placedIn("member1", "member2") });
  await settings("held");
  await eventually(() => copy("member2", "held"));
  await retryOnConflict(async () => {
    const present = await plane.get(PropagationPolicy, at("held"));
    await plane.update(PropagationPolicy, {
      ...present,
      spec: { ...present.spec, placement: placedIn("member1") },
    } as PropagationPolicy);
  });
  const { out } = await explained("configmap/held", "Work");
  expect(out).toMatch(/✗ member2: its deletion is held: Too many deletions in cluster member2/);
  expect(out).toContain("Next: let it go on by flotilla release deletions CLUSTER.");
  expect((await flotilla("release", "deletions", "member2")).out).toContain("cluster/member2: deletions go on until");
  await eventually(async () => (await copy("member2", "held")) === undefined);
});

test("a field is contested", async () => {
  await policy("contested", {});
  await settings("contested");
  await eventually(() => copy("member1", "contested"));
  for (let times = 0; times < 4; times++) {
    await member("member1").patch(ConfigMap, at("contested"), "application/merge-patch+json", {
      data: { a: "theirs" },
    });
    if (times < 3) await eventually(async () => (await copy("member1", "contested"))?.data?.["a"] === "1");
  }
  const { out } = await explained("configmap/contested", "Work");
  expect(out).toMatch(/✗ member1: applied, but data\.a of ConfigMap default\/contested is set to "theirs"/);
  expect(out).toContain("let the template say what the member wants");
});

test("pods wait: the member says what for; then the member is down", async () => {
  await policy("big", { placement: placedIn("member3") }, "apps/v1", "Deployment");
  const plain = aDeployment("big", 2) as unknown as { spec: { template: { spec: object } } };
  await plane.create(Deployment, {
    ...plain,
    spec: {
      ...plain.spec,
      template: {
        ...plain.spec.template,
        spec: {
          ...plain.spec.template.spec,
          nodeSelector: { "node-that": "is-not-there" },
        },
      },
    },
  } as unknown as Deployment);
  await eventually(async () => {
    const { code, out } = await flotilla("explain", "deployment/big");
    expect(out).toMatch(/✗ member3: Pod big-\S+: (Unschedulable|FailedScheduling)/);
    expect(out).toMatch(/It is in progress at Member/);
    expect(code).toBe(3);
    return true;
  });
  fleet.members.get("member3")?.setFaults({ isDown: true });
  const { out } = await explained("deployment/big", "Cluster");
  expect(out).toMatch(/✗ member3: not ready for \d+s: ClusterNotReachable/);
  expect(out).toContain("Next: bring the cluster back; nothing leaves it without a NoExecute taint");
});

test("--watch shows it anew when it changes, until interrupted", async () => {
  await settings("watched");
  let shown = "";
  const watching = flotillaInto((text) => (shown += text), "trace", "configmap/watched", "--watch");
  await eventually(() => shown.includes("no policy selects it"));
  await policy("watched", {});
  await eventually(() => shown.includes("All is well."));
  process.emit("SIGTERM");
  expect(await watching).toBe(0);
});

test("diff --across says how copies differ between members, and which have none", async () => {
  const make = (cluster: string, data: object) =>
    member(cluster).create(ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: at("across"),
      data,
    } as unknown as ConfigMap);
  await make("member1", { "a.b": "1", same: "x" });
  expect(await flotilla("diff", "--across", "configmap/across", "-C", "member1")).toMatchObject({
    out: expect.stringContaining("member2 does not have it\n"),
  });
  await make("member2", { same: "x", extra: "y" });
  const { out, code } = await flotilla("diff", "--across", "configmap", "across");
  expect(out).toContain(
    'member2 differs from member1\n  /data/a.b: absent (member1: "1")\n  /data/extra: "y" (member1: absent)\n',
  );
  expect(out).toContain("member3 does not have it");
  expect(code).toBe(1);
});
