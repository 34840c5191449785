/** The program as programs: a server, a member of its own, joined over HTTPS, and what they say when something is wrong. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ClusterRoleBinding, ConfigMap, Deployment } from "#apis/kubernetes";
import { Cluster, PropagationPolicy } from "#apis/karmada";
import { aDeployment, aPropagationPolicy, eventually, kubeconfigClients } from "#testing";
import { bundleProgram, type Program } from "../program.ts";

const folder = mkdtempSync(join(tmpdir(), "flotilla-processes-"));
const { connect, close: closeClients } = kubeconfigClients();
let program: Program;

const dataDir = join(folder, "plane");
const admin = join(dataDir, "admin.kubeconfig");
const flags = [
  `--data-dir=${dataDir}`,
  "--secure-port=0",
  "--cluster-status-update-frequency=200ms",
  "--cluster-failure-threshold=300ms",
  "--cluster-success-threshold=300ms",
];

beforeAll(async () => {
  program = await bundleProgram();
});

afterAll(async () => {
  await closeClients();
  await program.close();
  rmSync(folder, { recursive: true, force: true });
});

test("a reader that has seen enough ends a command in silence", async () => {
  expect(await program.runUnread("server", "--help")).toEqual({ code: 141, stderr: "" });
});

test("the quickstart's members run in threads of their own where it is asked for", { timeout: 180_000 }, async () => {
  const data = join(folder, "threads");
  const up = await program.start(
    ["up", "--no-tour", "--in-memory", "--member-threads=2", "--port=0", `--data-dir=${data}`],
    /Ctrl-C/,
  );
  const plane = connect(join(data, "admin.kubeconfig"));
  await plane.create(PropagationPolicy, aPropagationPolicy("all", { clusterAffinity: { clusterNames: ["member3"] } }));
  await plane.create(Deployment, aDeployment("web", 2));
  const at = { namespace: "default", name: "web" };
  await eventually(async () => (await plane.get(Deployment, at)).status?.readyReplicas === 2, 90_000);
  const member = connect(join(data, "member3.kubeconfig"));
  expect((await member.get(Deployment, at)).status?.readyReplicas).toBe(2);
  await up.end();
  expect(up.output()).toContain("Stopping");
});

test("[DR-3] [DR-36] a server, a member of its own process, join, propagation over HTTPS, restart, unjoin", {
  timeout: 180_000,
}, async () => {
  const server = await program.start(["server", ...flags], /control plane is ready/);
  const memberFolder = join(folder, "member");
  const member = await program.start(
    ["simulate", "member", "far", "--nodes=2", `--data-dir=${memberFolder}`],
    /far is ready/,
  );
  const memberConfig = join(memberFolder, "far.kubeconfig");
  const joined = await program.run(
    "join",
    "far",
    "--kubeconfig",
    admin,
    "--cluster-kubeconfig",
    memberConfig,
    "--cluster-region=north",
  );
  expect(joined).toMatchObject({ code: 0, stdout: "cluster(far) is joined successfully\n" });
  const plane = connect(admin);
  await plane.create(ClusterRoleBinding, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: "night" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "Group", name: "ops,night" }],
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
  });
  const joinAs = (...more: string[]) =>
    program.run("join", "far", "--kubeconfig", admin, "--cluster-kubeconfig", memberConfig, ...more);
  const registered = /^error: the cluster ID \S+ or the cluster name far has been registered/;
  expect((await joinAs()).stderr).toMatch(registered);
  expect((await joinAs("--karmada-as=nobody", "--karmada-as-group=ops", "--karmada-as-group=night")).stderr).toMatch(
    /User "nobody" cannot list resource "clusters"/,
  );
  expect(
    (await joinAs("--karmada-as=nobody", "--karmada-as-group=any", "--karmada-as-group=ops,night")).stderr,
  ).toMatch(registered);
  expect((await joinAs("--karmada-as-group=ops")).stderr).toMatch(/need --karmada-as/);
  await eventually(async () =>
    (await plane.get(Cluster, { name: "far" })).status?.conditions?.some(
      ({ type, status }) => type === "Ready" && status === "True",
    ),
  );
  expect((await program.run("get", "clusters", "--kubeconfig", admin)).stdout).toMatch(/far\s+v1\.\S+\s+Push\s+True/);
  await plane.create(PropagationPolicy, aPropagationPolicy("all", {}));
  await plane.create(Deployment, aDeployment("web", 3));
  await eventually(
    async () => (await plane.get(Deployment, { namespace: "default", name: "web" })).status?.readyReplicas === 3,
  );
  expect((await program.run("explain", "placement", "deploy/web", "--kubeconfig", admin)).stdout).toMatch(
    /far\s+3\s+-\s+True\s+Healthy/,
  );

  // Killed, not stopped: what was acknowledged is there after the start, and nothing in the member was touched.
  const before = await connect(memberConfig).get(Deployment, { namespace: "default", name: "web" });
  await server.end("SIGKILL");
  await program.start(["server", ...flags], /control plane is ready/);
  const restarted = connect(admin);
  expect((await restarted.get(Deployment, { namespace: "default", name: "web" })).spec?.replicas).toBe(3);
  await restarted.patch(Deployment, { namespace: "default", name: "web" }, "application/merge-patch+json", {
    spec: { replicas: 4 },
  });
  await eventually(
    async () => (await restarted.get(Deployment, { namespace: "default", name: "web" })).status?.readyReplicas === 4,
  );
  expect((await connect(memberConfig).get(Deployment, { namespace: "default", name: "web" })).metadata.uid).toBe(
    before.metadata.uid,
  );

  // A process of its own fails when it is told to, and its owner can look inside meanwhile.
  const fault = (...words: string[]) =>
    program.run("simulate", "fault", ...words, `--data-dir=${memberFolder}`, "--kubeconfig", admin);
  const isReady = async (status: string) =>
    (await restarted.get(Cluster, { name: "far" })).status?.conditions?.some(
      (condition) => condition.type === "Ready" && condition.status === status,
    );
  expect(await fault("far", "down")).toMatchObject({ code: 0, stdout: "far down\n" });
  await eventually(() => isReady("False"), 90_000);
  const direct = connect(join(memberFolder, "far-direct.kubeconfig"));
  expect((await direct.get(Deployment, { namespace: "default", name: "web" })).spec?.replicas).toBe(4);
  expect(await fault("far", "up")).toMatchObject({ code: 0 });
  await eventually(() => isReady("True"), 90_000);
  const asked = (member: string, ...more: string[]) =>
    program.run("simulate", "fault", member, "down", "--kubeconfig", admin, ...more);
  expect(await fault("far", "throttled")).toMatchObject({
    code: 1,
    stderr: "error: throttled: only members within a control plane answer so; this one runs by itself\n",
  });
  expect((await asked("near")).stderr).toBe('error: there is no cluster "near"\n');
  expect((await asked("far", `--data-dir=${folder}`)).stderr).toBe(
    `error: --data-dir: no simulated member runs in ${folder}\n`,
  );

  // A member with a wrong address becomes a condition with the cause.
  await member.end();
  await eventually(async () =>
    (await restarted.get(Cluster, { name: "far" })).status?.conditions?.some(
      ({ type, status, reason }) => type === "Ready" && status === "False" && reason === "ClusterNotReachable",
    ),
  );
  const unjoined = await program.run("unjoin", "far", "--kubeconfig", admin, "--wait=20");
  expect(unjoined.stderr + unjoined.stdout).toMatch(/unjoined successfully|still being removed/);
});

test("a server says what is wrong with what it was given", async () => {
  expect((await program.run("server", "--secure-port=0")).stderr).toBe("error: required flag: --data-dir\n");
  expect((await program.run("server", "--data-dir=x", "--no-such-flag=1")).stderr).toBe(
    "error: unknown flag: --no-such-flag\n",
  );
  expect((await program.run("server", "--data-dir=x", "--feature-gates=Nonsense=true")).stderr).toBe(
    'error: --feature-gates: there is no gate "Nonsense"\n',
  );
  expect((await program.run("frobnicate")).stderr).toBe('error: unknown command "frobnicate" for "flotilla"\n');
  const newer = join(folder, "newer");
  mkdirSync(join(newer, "store"), { recursive: true });
  writeFileSync(join(newer, "store/format"), "99\n");
  expect((await program.run("server", `--data-dir=${newer}`)).stderr).toMatch(
    /has format 99, this program knows 1; it was left as it is/,
  );
  expect(readFileSync(join(newer, "store/format"), "utf8")).toBe("99\n");
});

test("a port that is taken is named", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as { port: number };
  const { stderr, code } = await program.run("server", `--data-dir=${join(folder, "busy")}`, `--secure-port=${port}`);
  taken.close();
  expect(code).toBe(1);
  expect(stderr).toContain(`port ${port} on 127.0.0.1 is in use`);
});

test("a data folder in use is refused by name", { timeout: 90_000 }, async () => {
  const own = join(folder, "own");
  const { pid } = await program.start(["server", `--data-dir=${own}`, "--secure-port=0"], /control plane is ready/);
  expect((await program.run("server", `--data-dir=${own}`, "--secure-port=0")).stderr).toContain(
    `is in use by process ${pid}`,
  );
  const client = connect(join(own, "admin.kubeconfig"));
  await client.create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { namespace: "default", name: "alive" },
  });
});
