/** What may happen while a pull member registers, and to its agent afterwards: the cause is named, and nobody starts anew. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CertificateSigningRequest, ClusterRole, ConfigMap, Deployment, Lease, Secret } from "#apis/kubernetes";
import { Cluster, PropagationPolicy } from "#apis/karmada";
import { parseKubeconfig, resolveContext } from "#certs";
import type { Client } from "#client";
import { aDeployment, aPropagationPolicy, eventually, kubeconfigClients } from "#testing";
import { bundleProgram, type Finished, type Program, type Running } from "../program.ts";

const LIMIT_MS = 90_000;
const HOUR_MS = 3_600_000;
const folder = mkdtempSync(join(tmpdir(), "flotilla-register-"));
const admin = join(folder, "plane", "admin.kubeconfig");
const memberConfig = join(folder, "edge", "edge.kubeconfig");
const agentConfig = join(folder, "agent.kubeconfig");
const { connect, close: closeClients } = kubeconfigClients();
let program: Program;
let server: Running;
let plane: Client;
let member: Client;
let port = "0";

/** Nobody approves requests but the test. */
const startServer = async () => {
  server = await program.start(
    [
      "server",
      `--data-dir=${join(folder, "plane")}`,
      `--secure-port=${port}`,
      "--controllers=*,-agentcsrapproving",
      "--cluster-success-threshold=1s",
    ],
    /control plane is ready/,
  );
  ({ port } = new URL(resolveContext(parseKubeconfig(admin)).server));
};

beforeAll(async () => {
  program = await bundleProgram();
  await startServer();
  await program.start(
    ["simulate", "member", "edge", "--nodes=1", `--data-dir=${join(folder, "edge")}`],
    /edge is ready/,
  );
  plane = connect(admin);
  member = connect(memberConfig);
}, LIMIT_MS);
afterAll(async () => {
  await closeClients();
  await program?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A token of its own for each try, and what registers by it. */
async function newRegistration(): Promise<{ id: string; begin: (...more: readonly string[]) => Promise<Finished> }> {
  const printed = await program.run("token", "create", "--kubeconfig", admin, "--print-register-command");
  const [, , address = "", ...access] = printed.stdout.trim().split(" ");
  const id = (access[1] ?? "").slice(0, 6);
  // The one that is not waited for long finds the token's signature there.
  await eventually(async () => {
    const info = await plane.get(ConfigMap, { namespace: "kube-public", name: "cluster-info" });
    return info.data?.[`jws-kubeconfig-${id}`] !== undefined;
  }, LIMIT_MS);
  const begin = (...more: readonly string[]) =>
    program.run("register", address, ...access, "--kubeconfig", memberConfig, "--cluster-name=edge", ...more);
  return { id, begin };
}
const requests = async (prefix: string) =>
  (await plane.list(CertificateSigningRequest)).items.filter(
    ({ metadata, status }) => metadata.name?.startsWith(prefix) === true && (status?.conditions ?? []).length === 0,
  );
async function decide(request: CertificateSigningRequest, type: "Approved" | "Denied", message: string): Promise<void> {
  await plane.patch(
    CertificateSigningRequest,
    { name: request.metadata.name ?? "" },
    "application/merge-patch+json",
    { status: { conditions: [{ type, status: "True", reason: "ByHand", message }] } },
    { subresource: "approval" } as never,
  );
}
/** The one request that waits under a prefix. */
const waiting = (prefix: string) =>
  eventually(async () => {
    const [first] = await requests(prefix);
    return first;
  }, LIMIT_MS);
const clear = async () => {
  for (const { metadata } of (await plane.list(CertificateSigningRequest)).items)
    await plane.delete(CertificateSigningRequest, { name: metadata.name ?? "" });
};
const GENERATOR = "agent-rbac-generator-edge";
/** Neither side has anything of the try. */
const nothingIsLeft = async () => {
  expect(await member.find(Secret, { namespace: "karmada-system", name: "karmada-kubeconfig" })).toBeUndefined();
  expect(await plane.find(ClusterRole, { name: "system:karmada:edge:agent" })).toBeUndefined();
  expect(await plane.find(Cluster, { name: "edge" })).toBeUndefined();
  await clear();
};

test("a certificate request that nobody approves, that is denied, or whose token is deleted meanwhile: each says the cause, and leaves nothing", {
  timeout: 300_000,
}, async () => {
  const { begin } = await newRegistration();
  const late = await begin("--discovery-timeout=2s");
  expect(late.code).toBe(1);
  expect(late.stderr).toMatch(
    /certificate request (agent-rbac-generator-edge\w{5}) is not approved: .*kubectl certificate approve \1\n/,
  );
  await nothingIsLeft();

  const denied = begin();
  await decide(await waiting(GENERATOR), "Denied", "not this one");
  expect(await denied).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/certificate request agent-rbac-generator-edge\w{5} was denied: not this one\n$/),
  });
  await nothingIsLeft();

  // The first is approved, the second is not: the rights that were given are taken back.
  const half = begin();
  await decide(await waiting(GENERATOR), "Approved", "");
  const second = await waiting("edge-");
  expect(await plane.find(ClusterRole, { name: "system:karmada:edge:agent" })).toBeDefined();
  await decide(second, "Denied", "no agent for edge");
  const refused = await half;
  expect([refused.code, refused.stdout]).toEqual([
    1,
    expect.stringContaining("karmadactl register failed and started deleting the created resources"),
  ]);
  expect(refused.stderr).toContain("was denied: no agent for edge");
  await nothingIsLeft();

  const outdated = await newRegistration();
  const expired = outdated.begin();
  await waiting(GENERATOR);
  await plane.delete(Secret, { namespace: "kube-system", name: `bootstrap-token-${outdated.id}` });
  expect(await expired).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /the control plane does not know the token or certificate any more: .* `token create --print-register-command`/,
    ),
  });
  await nothingIsLeft();
});

test("[DR-3] a control plane that is killed in the middle of a registration is waited for, and the member registers by the same command", {
  timeout: 300_000,
}, async () => {
  const { begin } = await newRegistration();
  const registering = begin();
  const request = await waiting(GENERATOR);
  await server.end("SIGKILL");
  await startServer();
  plane = connect(admin);
  await decide(request, "Approved", "");
  const second = await waiting("edge-");
  await server.end("SIGKILL");
  await startServer();
  plane = connect(admin);
  await decide(second, "Approved", "");
  const done = await registering;
  expect([done.code, done.stdout]).toEqual([0, expect.stringContaining("cluster(edge) is joined successfully\n")]);
  expect(done.stderr).toMatch(/^warning: the control plane does not answer, waiting for it: .+$/m);
  const kubeconfig = (await member.get(Secret, { namespace: "karmada-system", name: "karmada-kubeconfig" })).data;
  writeFileSync(agentConfig, Buffer.from(kubeconfig?.["karmada-kubeconfig"] ?? "", "base64"), { mode: 0o600 });
});

test("[DR-3] an agent whose clock is an hour ahead, and whose kubeconfig vanishes, works on; one that starts without it names the file", {
  timeout: 300_000,
}, async () => {
  const ahead = join(folder, "ahead.mjs");
  writeFileSync(
    ahead,
    `const real = globalThis.Date;
    const now = () => real.now() + ${HOUR_MS};
    globalThis.Date = new Proxy(real, {
      construct: (target, words, self) => Reflect.construct(target, words.length === 0 ? [now()] : words, self),
      get: (target, name) => (name === "now" ? now : Reflect.get(target, name)),
    });`,
  );
  const words = [
    "agent",
    "--cluster-name=edge",
    `--karmada-kubeconfig=${agentConfig}`,
    `--kubeconfig=${memberConfig}`,
    "--metrics-bind-address=0",
    "--health-probe-bind-address=0",
    "--cluster-status-update-frequency=500ms",
    "--cluster-success-threshold=1s",
  ];
  const agent = await program.start(words, /the agent looks after its member/, ["--import", pathToFileURL(ahead).href]);
  const ready = async () =>
    (await plane.get(Cluster, { name: "edge" })).status?.conditions?.find(({ type }) => type === "Ready")?.status;
  await eventually(async () => (await ready()) === "True", LIMIT_MS);
  const at = { namespace: "default", name: "web" };
  await plane.create(PropagationPolicy, aPropagationPolicy("all", {}));
  await plane.create(Deployment, aDeployment("web", 2));
  const readyReplicas = async () => (await plane.get(Deployment, at)).status?.readyReplicas;
  await eventually(async () => (await readyReplicas()) === 2, LIMIT_MS);
  const renewed = (await plane.get(Lease, { namespace: "karmada-cluster", name: "edge" })).spec?.renewTime ?? "";
  expect(Date.parse(renewed) - Date.now()).toBeGreaterThan(HOUR_MS / 2);

  renameSync(agentConfig, `${agentConfig}.away`);
  await eventually(() => agent.output().includes("credentials cannot be read anew; the last ones stay"), LIMIT_MS);
  const scale = (replicas: number) =>
    plane.patch(Deployment, at, "application/merge-patch+json", { spec: { replicas } });
  await scale(3);
  await eventually(async () => (await readyReplicas()) === 3, LIMIT_MS);
  const without = await program.run(...words);
  expect([without.code, without.stderr]).toEqual([1, expect.stringContaining(agentConfig)]);
  renameSync(`${agentConfig}.away`, agentConfig);
  await scale(1);
  await eventually(async () => (await readyReplicas()) === 1, LIMIT_MS);
  expect(await ready()).toBe("True");
  expect(agent.isRunning()).toBe(true);
});
