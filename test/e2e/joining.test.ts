/** What joining a push member leaves behind in both clusters, and what it refuses (failover.md §2.2). */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { ClusterRole, ClusterRoleBinding, Namespace, Secret, ServiceAccount } from "#apis/kubernetes";
import { Cluster } from "#apis/karmada";
import { parseKubeconfig, resolveContext } from "#certs";
import { type Client, createClient, createHttpTransport, type HttpTransport } from "#client";
import { runCommand } from "#cli";
import type { Fleet } from "#controlplane";
import { captured, eventually, startTestFleet } from "#testing";

interface Merged {
  readonly clusters: readonly object[];
  readonly users: readonly object[];
  readonly contexts: readonly object[];
}

const folder = mkdtempSync(join(tmpdir(), "flotilla-joining-"));
let fleet: Fleet;
let plane: Client;
let member: Client;
let transport: HttpTransport;
const SPACE = "karmada-cluster";

beforeAll(async () => {
  fleet = await startTestFleet(["member1", "member2"]);
  plane = createClient(fleet.controlPlane.transport);
  const { namespace: _namespace, ...endpoint } = resolveContext(parseKubeconfig(kubeconfig("member1")));
  transport = createHttpTransport(endpoint);
  member = createClient(transport);
}, 60_000);
afterAll(async () => {
  await transport.close();
  await fleet.stop();
  rmSync(folder, { recursive: true, force: true });
});

const kubeconfig = (name: string) => fleet.kubeconfigs.get(name) ?? "";

async function run(...words: readonly string[]): Promise<string> {
  let written = "";
  const spies = (["stdout", "stderr"] as const).map((stream) =>
    vi.spyOn(process[stream], "write").mockImplementation((text) => {
      written += String(text);
      return true;
    }),
  );
  try {
    await runCommand("flotilla", [...words, "--kubeconfig", kubeconfig("flotilla")]);
    return written;
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
/** A kubeconfig for both members, as tools merge them: the current context is that of `member2`. */
function bothContexts(): string {
  const [own, other] = ["member1", "member2"].map((name) => parse(readFileSync(kubeconfig(name), "utf8")) as Merged);
  if (own === undefined || other === undefined) throw new Error("two kubeconfigs are needed");
  const { clusters, users, contexts } = own;
  return stringify({
    ...other,
    clusters: [...other.clusters, ...clusters],
    users: [...other.users, ...users],
    contexts: [...other.contexts, ...contexts],
  });
}
const joinAs = (name: string, ...more: readonly string[]) =>
  run("join", name, "--cluster-kubeconfig", kubeconfig("member1"), ...more);
const text = (secret: Secret | undefined, key: string) =>
  Buffer.from(secret?.data?.[key] ?? "", "base64").toString("utf8");
const secretOf = (client: Client, name: string) => client.find(Secret, { namespace: SPACE, name });

test("CL-6 CL-7 CL-8 CL-9 D-20: a member is known by its kube-system; nobody joins twice; accounts there and credentials here belong together, replace stale ones and go with the Cluster", async () => {
  const id = (await member.get(Namespace, { name: "kube-system" })).metadata.uid;
  expect((await plane.get(Cluster, { name: "member1" })).spec?.id).toBe(id);
  // Neither under another name nor under its own; and nothing was made for the one that was refused.
  const registered = (name: string) => `the cluster ID ${id} or the cluster name ${name} has been registered`;
  expect(await joinAs("other")).toContain(registered("other"));
  expect(await joinAs("member2")).toContain(registered("member2"));
  expect([await plane.find(Cluster, { name: "other" }), await secretOf(plane, "other")]).toEqual([
    undefined,
    undefined,
  ]);
  expect(await member.find(ServiceAccount, { namespace: SPACE, name: "karmada-other" })).toBeUndefined();

  // Of a kubeconfig's contexts that of the cluster's name leads to the member, whichever is the current one.
  const both = join(folder, "both.kubeconfig");
  writeFileSync(both, bothContexts());
  const unjoined = await run("unjoin", "member1", "--cluster-kubeconfig", both);
  expect(unjoined).toContain("cluster(member1) is unjoined successfully");
  const account = (name: string) => ({ namespace: SPACE, name: `karmada-${name}` });
  expect(await member.find(ServiceAccount, account("member1"))).toBeUndefined();
  // The credentials go with the Cluster.
  await eventually(async () => {
    const left = [await secretOf(plane, "member1"), await secretOf(plane, "member1-impersonator")];
    return left.every((secret) => secret === undefined);
  }, 30_000);
  // Whoever joins while the member still clears the namespace away is told so.
  await eventually(async () => {
    const left = await member.find(Namespace, { name: SPACE });
    return left?.metadata.deletionTimestamp === undefined;
  }, 60_000);
  await plane.create(Secret, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { namespace: SPACE, name: "member1" },
    data: { token: Buffer.from("stale").toString("base64"), caBundle: "" },
  });
  // D7: what would be made, on either side, and nothing is.
  const plan = await joinAs("member1", "--dry-run");
  expect(plan).toMatch(/^in the member:\n[\s\S]*\n {2}clusterrole\/karmada-controller-manager:karmada-member1\n/);
  expect(plan).toMatch(/\nin the control plane:\n[\s\S]*\n {2}cluster\/member1\n.* successfully \(dry run\)\n$/);
  expect([await plane.find(Cluster, { name: "member1" }), text(await secretOf(plane, "member1"), "token")]).toEqual([
    undefined,
    "stale",
  ]);
  const zones = ["--cluster-zones=a", "--cluster-zones=b"];
  expect(await joinAs("member1", "--cluster-provider=own", "--cluster-region=north", ...zones)).toBe(
    "cluster(member1) is joined successfully\n",
  );

  const labels = { "karmada.io/system": "true" };
  expect((await member.get(Namespace, { name: SPACE })).metadata.labels).toMatchObject(labels);
  for (const name of ["karmada-impersonator", "karmada-member1"]) {
    expect(await member.find(ServiceAccount, { namespace: SPACE, name })).toBeDefined();
    const secret = await secretOf(member, name);
    expect(secret?.type).toBe("kubernetes.io/service-account-token");
    expect(text(secret, "token")).toMatch(/^ey/);
  }
  const role = "karmada-controller-manager:karmada-member1";
  expect((await member.get(ClusterRole, { name: role })).rules).toEqual([
    { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
    { verbs: ["get"], nonResourceURLs: ["*"] },
  ]);
  expect(await member.get(ClusterRoleBinding, { name: role })).toMatchObject({
    subjects: [{ kind: "ServiceAccount", name: "karmada-member1", namespace: SPACE }],
    roleRef: { kind: "ClusterRole", name: role },
  });

  const cluster = await plane.get(Cluster, { name: "member1" });
  expect(cluster.spec).toMatchObject({
    id,
    syncMode: "Push",
    apiEndpoint: resolveContext(parseKubeconfig(kubeconfig("member1"))).server,
    secretRef: { namespace: SPACE, name: "member1" },
    impersonatorSecretRef: { namespace: SPACE, name: "member1-impersonator" },
    provider: "own",
    region: "north",
    zones: ["a", "b"],
  });
  const [own, impersonator] = [await secretOf(plane, "member1"), await secretOf(plane, "member1-impersonator")];
  const theirs = await secretOf(member, "karmada-member1");
  expect([text(own, "token"), text(own, "caBundle")]).toEqual([text(theirs, "token"), text(theirs, "ca.crt")]);
  expect(text(impersonator, "token")).toBe(text(await secretOf(member, "karmada-impersonator"), "token"));
  for (const secret of [own, impersonator])
    expect(secret?.metadata.ownerReferences).toEqual([
      {
        apiVersion: "cluster.karmada.io/v1alpha1",
        kind: "Cluster",
        name: "member1",
        uid: cluster.metadata.uid,
        controller: true,
        blockOwnerDeletion: true,
      },
    ]);
  await eventually(async () =>
    (await plane.get(Cluster, { name: "member1" })).status?.conditions?.some(
      ({ type, status }) => type === "Ready" && status === "True",
    ),
  );
  // Only those who join look for the id: the API server takes it twice.
  const spec = { syncMode: "Pull", id } as unknown as Cluster["spec"];
  const twin = { apiVersion: "cluster.karmada.io/v1alpha1", kind: "Cluster", metadata: { name: "twin" }, spec };
  expect((await plane.create(Cluster, twin as unknown as Cluster)).spec?.id).toBe(id);
}, 120_000);

test("D8: what can be seen before a join is checked; one that fails takes back what it made; one that was cut off is gone on with", async () => {
  const { namespace: _namespace, ...endpoint } = resolveContext(parseKubeconfig(kubeconfig("member2")));
  const second = createHttpTransport(endpoint);
  try {
    const there = createClient(second);
    const access = ["--kubeconfig", kubeconfig("flotilla"), "--cluster-kubeconfig", kubeconfig("member2")];
    const join = (...words: readonly string[]) => captured(() => runCommand("flotilla", ["join", ...words, ...access]));
    const account = (name: string) => there.find(ServiceAccount, { namespace: SPACE, name });
    const role = { name: "karmada-controller-manager:karmada-member2" };
    const inMember = async () =>
      [
        await account("karmada-member2"),
        await there.find(ClusterRole, role),
        await there.find(ClusterRoleBinding, role),
      ]
        .filter((object) => object !== undefined)
        .map(({ kind }) => kind);
    const spaceIsGone = async () => (await there.find(Namespace, { name: SPACE })) === undefined;

    const taken = await join("member2", "--check");
    expect([taken.code, taken.stdout]).toEqual([
      1,
      expect.stringMatching(/^name and id: failed .*has been registered/m),
    ]);
    expect((await captured(() => runCommand("flotilla", ["unjoin", "member2", ...access]))).code).toBe(0);
    await eventually(spaceIsGone, 60_000);
    await eventually(async () => {
      const left = [await secretOf(plane, "member2"), await secretOf(plane, "member2-impersonator")];
      return left.every((secret) => secret === undefined);
    }, 60_000);

    // Somebody who may do everything in the control plane but make a Cluster.
    const rbac = "rbac.authorization.k8s.io";
    const rules = [
      { apiGroups: [""], resources: ["namespaces", "secrets"], verbs: ["*"] },
      { apiGroups: ["cluster.karmada.io"], resources: ["clusters"], verbs: ["list"] },
    ];
    const head = { apiVersion: `${rbac}/v1`, metadata: { name: "half" } };
    await plane.create(ClusterRole, { ...head, kind: "ClusterRole", rules } as ClusterRole);
    await plane.create(ClusterRoleBinding, {
      ...head,
      kind: "ClusterRoleBinding",
      subjects: [{ kind: "User", apiGroup: rbac, name: "half" }],
      roleRef: { apiGroup: rbac, kind: "ClusterRole", name: "half" },
    } as ClusterRoleBinding);
    // Rights that were just given hold a moment later.
    await eventually(async () => {
      const { code, stdout } = await join("member2", "--check", "--karmada-as=half");
      const lines = stdout.split("\n").filter((line) => line.includes(": failed"));
      const wanted = "rights in the control plane: failed (missing: create clusters.cluster.karmada.io)";
      return code === 1 && lines.join() === wanted;
    }, 60_000);
    const good = await join("member2", "--check", "--output=json");
    const id = (await there.get(Namespace, { name: "kube-system" })).metadata.uid;
    expect(good.code).toBe(0);
    const seen = JSON.parse(good.stdout) as readonly { check: string; result: string; message: string }[];
    expect(seen.map(({ check, result }) => `${check}: ${result}`)).toEqual([
      "control plane reachable: ok",
      "member reachable: ok",
      "member reachable from the control plane: unknown",
      "proxy: ok",
      "server version: ok",
      "clocks: ok",
      "rights in the member: ok",
      "rights in the control plane: ok",
      "name and id: ok",
    ]);
    expect(seen.at(-1)?.message).toBe(id);
    expect([await spaceIsGone(), await inMember(), await secretOf(plane, "member2")]).toEqual([true, [], undefined]);
    expect((await join("member2", "--output=json")).stderr).toContain("--output json needs --check");

    const failed = await join("member2", "--karmada-as=half");
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain("cluster(member2) is not joined; what this run made is taken back\n");
    for (const line of [
      "removed secret/member2 in karmada-cluster of the control plane",
      "removed clusterrole/karmada-controller-manager:karmada-member2 of the member",
      "removed serviceaccount/karmada-impersonator in karmada-cluster of the member",
      "removed namespace/karmada-cluster of the member",
    ])
      expect(failed.stderr).toContain(`  ${line}\n`);
    expect(failed.stderr).not.toContain("stays");
    expect([await inMember(), await secretOf(plane, "member2"), await secretOf(plane, "member2-impersonator")]).toEqual(
      [[], undefined, undefined],
    );
    // What was there before is not this run's to remove.
    expect(await plane.find(Namespace, { name: SPACE })).toBeDefined();
    await eventually(spaceIsGone, 60_000);

    // Rights left over from credentials in another namespace are no rights of the account that is made now.
    const stale = { kind: "ServiceAccount", name: "karmada-member2", namespace: "elsewhere" };
    await there.create(ClusterRoleBinding, {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRoleBinding",
      metadata: role,
      subjects: [stale],
      roleRef: { apiGroup: rbac, kind: "ClusterRole", name: role.name },
    } as ClusterRoleBinding);
    // Cut off after the Cluster was made: stale credentials, and none of them goes with it.
    expect(await join("member2", "--adopt")).toMatchObject({ code: 0, stdout: expect.stringContaining("is joined") });
    expect((await there.get(ClusterRoleBinding, role)).subjects).toEqual([stale, { ...stale, namespace: SPACE }]);
    const before = await plane.get(Cluster, { name: "member2" });
    const cut = { metadata: { ownerReferences: null }, data: { token: Buffer.from("stale").toString("base64") } };
    await plane.patch(Secret, { namespace: SPACE, name: "member2" }, "application/merge-patch+json", cut);
    await plane.delete(Secret, { namespace: SPACE, name: "member2-impersonator" });
    expect((await join("member2")).stderr).toContain("has been registered");
    expect(await join("member2", "--adopt", "--check")).toMatchObject({ code: 0 });
    const elsewhere = await join("member2", "--adopt", "--cluster-namespace=elsewhere");
    expect(elsewhere.stderr).toContain("its credentials lie in namespace karmada-cluster, not in elsewhere");
    expect((await join("member1", "--adopt")).stderr).toContain("cannot be adopted: it is another member");
    expect((await join("third", "--adopt")).stderr).toContain("has been registered");
    expect(await join("member2", "--adopt")).toMatchObject({
      code: 0,
      stdout: "cluster(member2) is adopted: its credentials are fresh\n",
    });
    const owned = [{ kind: "Cluster", name: "member2", uid: before.metadata.uid }];
    for (const [here, from] of [
      ["member2", "karmada-member2"],
      ["member2-impersonator", "karmada-impersonator"],
    ] as const) {
      const secret = await secretOf(plane, here);
      expect(secret?.metadata.ownerReferences).toMatchObject(owned);
      expect(text(secret, "token")).toBe(text(await secretOf(there, from), "token"));
    }
  } finally {
    await second.close();
  }
}, 240_000);

test("AG-1: an agent does not start without a name for its cluster, with a lease that lasts no time, or with a share of it that is none", async () => {
  const refused = async (...words: readonly string[]) => {
    let written = "";
    const spy = vi.spyOn(process.stderr, "write").mockImplementation((chunk) => {
      written += String(chunk);
      return true;
    });
    try {
      expect(await runCommand("flotilla", ["agent", "--karmada-kubeconfig=x", ...words])).toBe(1);
      return written;
    } finally {
      spy.mockRestore();
    }
  };
  expect(await refused()).toContain('--cluster-name: "" must be');
  expect(await refused("--cluster-name=No_Label")).toContain('--cluster-name: "No_Label" must be');
  expect(await refused(`--cluster-name=${"a".repeat(49)}`)).toContain("no more than 48 characters");
  expect(await refused("--cluster-name=m1", "--cluster-lease-duration=-1s")).toContain("--cluster-lease-duration");
  for (const fraction of ["0", "1", "1.5"])
    expect(await refused("--cluster-name=m1", `--cluster-lease-renew-interval-fraction=${fraction}`)).toContain(
      `--cluster-lease-renew-interval-fraction: "${fraction}"`,
    );
});
