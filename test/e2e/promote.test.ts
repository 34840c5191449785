/** Objects of a member that become templates: what was running goes on running (cli.md §9). */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigMap, Deployment, Namespace, Pod, Service } from "#apis/kubernetes";
import { PropagationPolicy, ResourceBinding, ResourceInterpreterCustomization, safeHash } from "#apis/karmada";
import { type Client, createClient } from "#client";
import { runCommand } from "#cli";
import type { Fleet } from "#controlplane";
import { aDeployment, captured, eventually, startTestFleet } from "#testing";

let fleet: Fleet;
let plane: Client;
let member: Client;
const LIMIT_MS = 60_000;
const inShop = (name: string) => ({ namespace: "shop", name });

beforeAll(async () => {
  fleet = await startTestFleet(["member1", "member2"]);
  plane = createClient(fleet.controlPlane.transport);
  member = createClient(fleet.members.get("member1")?.transport as never);
  await member.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
}, 60_000);
afterAll(() => fleet.stop());

const promote = (...words: readonly string[]) =>
  captured(() =>
    runCommand("karmadactl", ["promote", ...words, "--kubeconfig", fleet.kubeconfigs.get("flotilla") ?? ""]),
  );

/** A Deployment that reads a ConfigMap, and a Service, as somebody made them in the member. */
async function makeInMember(name: string): Promise<void> {
  const made = aDeployment(name, 2, "shop");
  const labels = { workload: name };
  await member.create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: inShop(`${name}-settings`),
    data: { a: "1" },
  });
  const container = {
    name: "app",
    image: "nginx:1.29",
    envFrom: [{ configMapRef: { name: `${name}-settings` } }],
  };
  await member.create(Deployment, {
    ...made,
    metadata: { ...made.metadata, labels: { app: "shop" } },
    spec: {
      ...made.spec,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [container] } },
    },
  } as unknown as Deployment);
  await eventually(async () => (await member.get(Deployment, inShop(name))).status?.readyReplicas === 2, LIMIT_MS);
}
/** What would differ had anything been made anew. */
async function tracesOf(name: string) {
  const { uid, generation, creationTimestamp } = (await member.get(Deployment, inShop(name))).metadata;
  const pods = (await member.list(Pod, { namespace: "shop", labelSelector: `workload=${name}` })).items;
  return { uid, generation, creationTimestamp, pods: pods.map(({ metadata }) => metadata.uid).sort() };
}

test("[DR-30] cli §9: the namespace, then a workload with what it depends on, and nothing in the member is made anew", {
  timeout: 120_000,
}, async () => {
  await makeInMember("cart");
  const service = await member.create(Service, {
    apiVersion: "v1",
    kind: "Service",
    metadata: inShop("cart"),
    spec: { selector: { workload: "cart" }, ports: [{ port: 80 }] },
  } as unknown as Service);
  const before = await tracesOf("cart");
  expect(await promote("namespace", "shop", "-C", "member1")).toEqual({
    code: 0,
    stderr: "",
    stdout: `ResourceTemplate (/shop) is created successfully
ClusterPropagationPolicy shop-646d6c6947 is created successfully
Resource "/v1, Resource=namespaces"(/shop) is promoted successfully
`,
  });
  // What would be made is shown, and nothing is made.
  const shown = await promote("deployment", "cart", "-n", "shop", "-C", "member1", "-o", "yaml");
  expect(shown.stdout).toMatch(/kind: Deployment[\s\S]*\n---\n[\s\S]*kind: PropagationPolicy/);
  expect(shown.stdout).not.toMatch(/uid:|resourceVersion:|status:|deployment\.kubernetes\.io\/revision/);
  expect(await promote("deployment", "cart", "-n", "shop", "-C", "member1", "--dry-run")).toMatchObject({
    code: 0,
    stdout: "",
  });
  expect(await plane.find(Deployment, inShop("cart"))).toBeUndefined();

  expect(await promote("deployment", "cart", "-n", "shop", "-C", "member1", "--dependencies")).toEqual({
    code: 0,
    stderr: "",
    stdout: `Dependency resource "/v1, Resource=configmaps"(shop/cart-settings) is promoted successfully
ResourceTemplate (shop/cart) is created successfully
PropagationPolicy (shop/cart-${safeHash("shopapps/v1, Kind=Deployment")}) is created successfully
Resource "apps/v1, Resource=deployments"(shop/cart) is promoted successfully
`,
  });
  expect(await promote("service", "cart", "-n", "shop", "-C", "member1", "--policy-name", "own")).toMatchObject({
    code: 0,
  });
  // The control plane has taken over: it says what runs there, and carries out changes.
  await eventually(async () => (await plane.get(Deployment, inShop("cart"))).status?.readyReplicas === 2, LIMIT_MS);
  await eventually(
    async () => (await member.get(Deployment, inShop("cart"))).metadata.labels?.["karmada.io/managed"] === "true",
    LIMIT_MS,
  );
  await eventually(
    async () => (await member.get(Service, inShop("cart"))).metadata.labels?.["karmada.io/managed"] === "true",
    LIMIT_MS,
  );
  expect(await tracesOf("cart")).toEqual(before);
  expect((await member.get(Service, inShop("cart"))).spec?.clusterIP).toBe(service.spec?.clusterIP);
  const { spec } = await plane.get(PropagationPolicy, inShop("own"));
  expect(spec).toMatchObject({
    resourceSelectors: [{ apiVersion: "v1", kind: "Service", name: "cart" }],
    placement: { clusterAffinity: { clusterNames: ["member1"] } },
    conflictResolution: "Overwrite",
    preserveResourcesOnDeletion: true,
  });
  await plane.patch(Deployment, inShop("cart"), "application/merge-patch+json", { spec: { replicas: 3 } });
  await eventually(async () => (await member.get(Deployment, inShop("cart"))).status?.readyReplicas === 3, LIMIT_MS);
  const [running] = before.pods;
  expect((await tracesOf("cart")).pods).toContain(running);
  // And back: without its template the copy stays where it always was.
  await plane.delete(Deployment, inShop("cart"));
  await eventually(
    async () => (await member.get(Deployment, inShop("cart"))).metadata.labels?.["karmada.io/managed"] === undefined,
    LIMIT_MS,
  );
  expect((await tracesOf("cart")).pods).toContain(running);
});

test("[DR-31] many at once, by their own manifests and one policy: a dry run shows what would change, and nothing is made anew", {
  timeout: 120_000,
}, async () => {
  const names = ["one", "two", "three", "four"];
  await Promise.all(names.map(makeInMember));
  const before = await Promise.all(names.map(tracesOf));
  // Every template of the kind and label, as `promote -o json` prints it, in one go.
  const templates: Deployment[] = [];
  for (const name of names) {
    const { stdout } = await promote(
      "deployment",
      name,
      "-n",
      "shop",
      "-C",
      "member1",
      "-o",
      "json",
      "--auto-create-policy=false",
    );
    templates.push(JSON.parse(stdout) as Deployment);
  }
  for (const template of templates) await plane.create(Deployment, template, { dryRun: true });
  expect(await plane.find(Deployment, inShop("one"))).toBeUndefined();
  for (const template of templates) await plane.create(Deployment, template);
  await plane.create(PropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: inShop("migrated"),
    spec: {
      resourceSelectors: [
        { apiVersion: "apps/v1", kind: "Deployment", labelSelector: { matchLabels: { app: "shop" } } },
      ],
      placement: { clusterAffinity: { clusterNames: ["member1"] } },
      propagateDeps: true,
      conflictResolution: "Overwrite",
      preserveResourcesOnDeletion: true,
    },
  } as unknown as PropagationPolicy);
  for (const name of names)
    await eventually(async () => {
      const { status } = await plane.get(ResourceBinding, inShop(`${name}-deployment`));
      const [copy] = status?.aggregatedStatus ?? [];
      return copy?.applied === true && copy.health === "Healthy";
    }, LIMIT_MS);
  expect(await Promise.all(names.map(tracesOf))).toEqual(before);
});

test("cli §9.2: what is there already, what is missing and what cannot be is said as upstream says it", {
  timeout: 60_000,
}, async () => {
  await makeInMember("twice");
  const at = ["-n", "shop", "-C", "member1"];
  expect(await promote("deployment", "twice", ...at)).toMatchObject({ code: 0 });
  expect(await promote("deployment", "twice", ...at)).toMatchObject({
    code: 0,
    stdout: "",
    stderr: expect.stringContaining(
      '"apps/v1, Resource=deployments"(shop/twice) already exist in karmada control plane',
    ),
  });
  // A policy of that name is somebody's: nothing is made (D10).
  await makeInMember("taken");
  const name = `taken-${safeHash("shopapps/v1, Kind=Deployment")}`;
  const { metadata: _metadata, ...other } = await plane.get(
    PropagationPolicy,
    inShop(`twice-${safeHash("shopapps/v1, Kind=Deployment")}`),
  );
  await plane.create(PropagationPolicy, {
    ...other,
    metadata: inShop(name),
    spec: { ...other.spec, resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name: "nobody" }] },
  });
  expect(await promote("deployment", "taken", ...at)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(
      `the PropagationPolicy(shop/${name}) already exist, please edit it to propagate resource`,
    ),
  });
  expect(await plane.find(Deployment, inShop("taken"))).toBeUndefined();
  // A dependency that is there already stays as it is, and the others are made all the same (D11).
  await makeInMember("depends");
  await plane.create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: inShop("depends-settings"),
    data: { a: "own" },
  });
  expect(await promote("deployment", "depends", ...at, "-d")).toMatchObject({
    code: 0,
    stderr: expect.stringContaining("(shop/depends-settings) already exist in karmada control plane"),
  });
  expect((await plane.get(ConfigMap, inShop("depends-settings"))).data).toEqual({ a: "own" });
  await member.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "hidden" } });
  await member.create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { namespace: "hidden", name: "a" },
  });
  expect(await promote("configmap", "a", "-n", "hidden", "-C", "member1")).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringContaining("the control plane has no namespace hidden"),
  });
  for (const [words, message] of [
    [["deployment", "-C", "member1"], "incorrect command format, please use correct command format"],
    [["deployment", "twice"], "the cluster cannot be empty"],
    [["deployment", "twice", ...at, "-o", "wide"], "invalid output format: supported formats are json and yaml"],
    [
      ["deployment", "nowhere", ...at],
      'failed to get resource in cluster(member1). err: deployments.apps "nowhere" not found',
    ],
    [["deployment", "twice", "-C", "member9"], 'clusters.cluster.karmada.io "member9" not found'],
  ] as const)
    expect(await promote(...words), words.join(" ")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(message),
    });
});

test("cli 14.1: --dependencies follows to the end, also in a ring, and all of it is taken over", {
  timeout: 120_000,
}, async () => {
  const luaScript = `
    function GetDependencies(desiredObj)
      local dependencies = {}
      if desiredObj.data ~= nil and desiredObj.data.next ~= nil then
        dependencies[1] = {
          apiVersion = "v1", kind = "ConfigMap", namespace = desiredObj.metadata.namespace, name = desiredObj.data.next
        }
      end
      return dependencies
    end`;
  await plane.create(ResourceInterpreterCustomization, {
    apiVersion: "config.karmada.io/v1alpha1",
    kind: "ResourceInterpreterCustomization",
    metadata: { name: "chains" },
    spec: {
      target: { apiVersion: "v1", kind: "ConfigMap" },
      customizations: { dependencyInterpretation: { luaScript } },
    },
  } as unknown as ResourceInterpreterCustomization);
  const chain = ["ring-a", "ring-b", "ring-c", "ring-d"];
  for (const [at, name] of chain.entries())
    await member.create(ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: inShop(name),
      data: { next: chain[(at + 1) % chain.length] ?? "" },
    });
  const promoted = await promote("configmap", "ring-a", "-n", "shop", "-C", "member1", "-d");
  expect([promoted.code, promoted.stderr]).toEqual([0, ""]);
  const made = [...promoted.stdout.matchAll(/^Dependency resource .*\(shop\/(\S+)\) is promoted successfully$/gm)];
  expect(made.map(([, name]) => name)).toEqual(["ring-b", "ring-c", "ring-d"]);
  for (const name of chain)
    await eventually(
      async () => (await member.get(ConfigMap, inShop(name))).metadata.labels?.["karmada.io/managed"] === "true",
      LIMIT_MS,
    );
  // The plan of many names each once, too.
  const plan = await promote(
    "configmap",
    "ring-a",
    "-n",
    "shop",
    "-C",
    "member1",
    "-d",
    "--dry-run",
    "--policy-mode=none",
    "-o",
    "json",
  );
  const { items } = JSON.parse(plan.stdout) as { readonly items: readonly { readonly name: string }[] };
  expect(items.map(({ name }) => name)).toEqual(chain);
});
