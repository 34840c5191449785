/** A pull member as users meet it: control plane, member and agent are programs of their own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  CertificateSigningRequest,
  ClusterRole,
  ConfigMap,
  Deployment,
  Lease,
  Namespace,
  Role,
  Secret,
} from "#apis/kubernetes";
import { Cluster, PropagationPolicy, ResourceBinding, Work } from "#apis/karmada";
import { describeCertificates, readKubeconfig, resolveContext } from "#certs";
import { aDeployment, aPropagationPolicy, eventually, kubeconfigClients } from "#testing";
import { bundleProgram, type Program } from "../program.ts";

const folder = mkdtempSync(join(tmpdir(), "flotilla-pull-"));
let programs: Program;

const { connect, connectText, close: closeClients } = kubeconfigClients();

const dataDir = join(folder, "plane");
const admin = join(dataDir, "admin.kubeconfig");
const memberFolder = join(folder, "member");
const memberConfig = join(memberFolder, "edge.kubeconfig");
const agentConfig = join(folder, "agent", "karmada-kubeconfig");

/** A port of the loopback that nobody uses. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

beforeAll(async () => {
  programs = await bundleProgram();
});
afterAll(async () => {
  await closeClients();
  await programs.close();
  rmSync(folder, { recursive: true, force: true });
});

test("[DR-3] E24 AG-1 AG-3 AG-4 AG-5 D-18 D-19 CL-10 CL-11 CL-19 a cluster registers with a token, runs Works through its agent, and unregisters", {
  timeout: 300_000,
}, async () => {
  const { start, run } = programs;
  await start(["server", `--data-dir=${dataDir}`, "--secure-port=0"], /control plane is ready/);
  await start(["simulate", "member", "edge", "--nodes=2", `--data-dir=${memberFolder}`], /edge is ready/);
  const plane = connect(admin);
  const member = connect(memberConfig);

  const printed = await run("token", "create", "--kubeconfig", admin, "--print-register-command", "--description=edge");
  expect(printed.stdout).toMatch(
    /^flotilla register 127\.0\.0\.1:\d+ --token [a-z0-9]{6}\.[a-z0-9]{16} --discovery-token-ca-cert-hash sha256:[0-9a-f]{64}\n$/,
  );
  const [, , address = "", , token = "", , pin = ""] = printed.stdout.trim().split(" ");
  const list = async (...words: string[]) => (await run("token", "list", "--kubeconfig", admin, ...words)).stdout;
  expect(await list("-o", "name")).toBe(`secret/bootstrap-token-${token.slice(0, 6)}\n`);
  const ofToken = [{ id: token.slice(0, 6), description: "edge", expired: false }];
  expect(JSON.parse(await list("-o", "json"))).toMatchObject(ofToken);
  expect(await list("-o", "yaml")).not.toContain(token);
  expect(await list("-o", "yaml", "--show-secret")).toContain(`token: ${token}\n`);
  expect((await run("token", "list", "--kubeconfig", admin, "-o", "xml")).stderr).toContain(
    '--output: "xml" must be one of',
  );
  expect(await run("token", "delete", "--expired", "--kubeconfig", admin)).toMatchObject({ code: 0, stdout: "" });
  const listed = await list();
  expect(listed).toMatch(/^TOKEN\s+TTL\s+EXPIRES\s+USAGES\s+DESCRIPTION\s+EXTRA GROUPS\n/);
  expect(listed).toMatch(
    new RegExp(
      `${token}\\s+23h\\s+\\S+\\s+authentication,signing\\s+edge\\s+system:bootstrappers:karmada:default-cluster-token`,
    ),
  );

  // What is wrong is said by name, and nothing is left behind.
  const register = (...more: string[]) =>
    run("register", address, "--kubeconfig", memberConfig, "--cluster-name=edge", ...more);
  expect((await run("register")).stderr).toBe("error: accepts 1 arg(s), received 0\n");
  expect((await register()).stderr).toContain("token is required");
  expect((await register("--token", token)).stderr).toContain("need to verify CACertHashes");
  const wrongPin = await register("--token", token, `--discovery-token-ca-cert-hash=sha256:${"0".repeat(64)}`);
  expect(wrongPin.stderr).toContain("cluster CA found in cluster-info ConfigMap is invalid");
  const forged = `${token.slice(0, 7)}${"0".repeat(16)}`;
  const wrongToken = await register("--token", forged, "--discovery-token-ca-cert-hash", pin);
  expect(wrongToken.stderr).toContain("failed to verify JWS signature");
  expect(await member.find(Secret, { namespace: "karmada-system", name: "karmada-kubeconfig" })).toBeUndefined();

  const joined = await register(
    "--token",
    token,
    "--discovery-token-ca-cert-hash",
    pin,
    "--cluster-region=north",
    "--cert-expiration-seconds=3600",
  );
  expect(joined).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /\[preflight] Running pre-flight checks\n[\s\S]*\ncluster\(edge\) is joined successfully\n$/,
    ),
  });
  const again = await register("--token", token, "--discovery-token-ca-cert-hash", pin);
  expect(again.code).toBe(1);
  expect(again.stdout).toContain("\t[ERROR]: karmada-system/karmada-kubeconfig Secret already exists");

  const rights = await plane.get(ClusterRole, { name: "system:karmada:edge:agent" });
  expect(rights.metadata.labels?.["karmada.io/system"]).toBe("true");
  expect(rights.rules?.[0]).toEqual({
    apiGroups: ["cluster.karmada.io"],
    resources: ["clusters"],
    resourceNames: ["edge"],
    verbs: ["get", "delete"],
  });
  expect(
    (await plane.get(Role, { namespace: "karmada-es-edge", name: "system:karmada:edge:agent-work" })).rules,
  ).toHaveLength(2);
  const requests = (await plane.list(CertificateSigningRequest)).items.map(({ metadata }) => metadata.name ?? "");
  expect(requests.filter((name) => name.startsWith("edge-"))).toHaveLength(1);
  // The generator's own request of the successful try is gone; none of the refused ones came so far.
  expect(requests.filter((name) => name.startsWith("agent-rbac-generator-edge"))).toHaveLength(0);

  // The agent as the Deployment would start it, with the kubeconfig from its Secret.
  const deployment = await member.get(Deployment, { namespace: "karmada-system", name: "karmada-agent" });
  const command = deployment.spec?.template?.spec?.containers?.[0]?.command ?? [];
  expect(command[0]).toBe("/bin/karmada-agent");
  const secret = await member.get(Secret, { namespace: "karmada-system", name: "karmada-kubeconfig" });
  const text = Buffer.from(secret.data?.["karmada-kubeconfig"] ?? "", "base64").toString();
  mkdirSync(join(folder, "agent"), { recursive: true });
  writeFileSync(agentConfig, text, { mode: 0o600 });
  const probe = await freePort();
  const words = command.slice(1).map((word) =>
    word
      .replace("/etc/kubeconfig/karmada-kubeconfig", agentConfig)
      .replace("--controllers=*", "--controllers=*,certRotation")
      .replace("frequency=10s", "frequency=200ms")
      .replace(/-bind-address=\S+/, "-bind-address=0"),
  );
  const plugin = join(folder, "settings.mjs");
  writeFileSync(
    plugin,
    `export default { apiVersion: "flotilla.io/interpreter-plugin/v1", name: "Settings", kinds: { "v1/ConfigMap": {
      health: () => false, reflect: ({ data }) => ({ keys: Object.keys(data).length }) } } };`,
  );
  const agentWords = [
    "agent",
    ...words,
    "--kubeconfig",
    memberConfig,
    "--cluster-success-threshold=300ms",
    "--cert-rotation-checking-interval=500ms",
    `--health-probe-bind-address=127.0.0.1:${probe}`,
    `--interpreter-plugin=${plugin}`,
  ];
  const agent = await start(agentWords, /the agent looks after its member/);
  const cluster = await eventually(async () => {
    const found = await plane.get(Cluster, { name: "edge" });
    return found.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True")
      ? found
      : undefined;
  });
  expect(cluster.spec).toMatchObject({
    syncMode: "Pull",
    region: "north",
    id: (await member.get(Namespace, { name: "kube-system" })).metadata.uid,
    secretRef: { namespace: "karmada-cluster", name: "edge" },
    impersonatorSecretRef: { namespace: "karmada-cluster", name: "edge-impersonator" },
  });
  expect(
    (await plane.get(Secret, { namespace: "karmada-cluster", name: "edge" })).metadata.ownerReferences?.[0],
  ).toMatchObject({ kind: "Cluster", name: "edge" });
  await plane.create(PropagationPolicy, aPropagationPolicy("all", {}));
  await plane.create(Deployment, aDeployment("web", 3));
  await eventually(
    async () => (await plane.get(Deployment, { namespace: "default", name: "web" })).status?.readyReplicas === 3,
  );
  expect((await member.get(Deployment, { namespace: "default", name: "web" })).spec?.replicas).toBe(3);
  // The agent's own module says what kinds mean in its member.
  await plane.create(PropagationPolicy, {
    ...aPropagationPolicy("settings", {}),
    spec: { resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: "settings" }], placement: {} },
  } as unknown as PropagationPolicy);
  const settings = { namespace: "default", name: "settings" };
  await plane.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: settings, data: { a: "1" } });
  await eventually(async () => {
    const item = (await plane.get(ResourceBinding, { namespace: "default", name: "settings-configmap" })).status
      ?.aggregatedStatus?.[0];
    expect(item).toMatchObject({ applied: true, health: "Unhealthy", status: { keys: 1 } });
    return true;
  });
  expect((await plane.get(Lease, { namespace: "karmada-cluster", name: "edge" })).spec?.holderIdentity).toBe("edge");

  expect((await fetch(`http://127.0.0.1:${probe}/healthz`)).status).toBe(200);

  // The agent's rights end where its cluster ends.
  const own = connectText(text);
  await expect(own.list(Work, { namespace: "karmada-es-other" })).rejects.toMatchObject({ code: 403 });
  await expect(own.list(Secret, { namespace: "karmada-cluster" })).rejects.toMatchObject({ code: 403 });
  await expect(own.get(ConfigMap, { namespace: "default", name: "x" })).rejects.toMatchObject({ code: 403 });
  await expect(own.get(Cluster, { name: "other" })).rejects.toMatchObject({ code: 403 });

  // A certificate near its end is renewed, and the agent goes on with the new one without a restart.
  const before = resolveContext(readKubeconfig(text)).clientCertificate;
  await agent.end();
  // Its flags say another region by now: it may not write that, says so, and works.
  const eager = await start(
    [...agentWords, "--cluster-region=south", "--cert-rotation-remaining-time-threshold=1"],
    /rotated the agent's certificate/,
  );
  expect(eager.output()).toContain("the Cluster differs from the agent's flags, and the agent may not change it");
  expect((await plane.get(Cluster, { name: "edge" })).spec?.region).toBe("north");
  const renewed = await eventually(async () => {
    const present = await member.get(Secret, { namespace: "karmada-system", name: "karmada-kubeconfig" });
    const now = Buffer.from(present.data?.["karmada-kubeconfig"] ?? "", "base64").toString();
    return now === text ? undefined : now;
  });
  const after = resolveContext(readKubeconfig(renewed)).clientCertificate ?? "";
  expect(after).not.toBe(before);
  expect(describeCertificates(after)).toMatchObject({
    commonName: "system:karmada:agent:edge",
    organizations: ["system:karmada:agents"],
  });
  await plane.patch(Deployment, { namespace: "default", name: "web" }, "application/merge-patch+json", {
    spec: { replicas: 4 },
  });
  await eventually(
    async () => (await plane.get(Deployment, { namespace: "default", name: "web" })).status?.readyReplicas === 4,
  );

  // A push command refuses it; unregister works with the agent's own rights.
  expect((await run("unjoin", "edge", "--kubeconfig", admin)).stderr).toContain("is a Pull mode member cluster");
  expect(eager.isRunning()).toBe(true);
  const unregister = () => run("unregister", "edge", "--cluster-kubeconfig", memberConfig, "--wait=120s");
  const gone = await unregister();
  expect(gone).toMatchObject({ code: 0, stderr: expect.stringContaining("the agent may not remove its own rights") });
  expect(await plane.find(Cluster, { name: "edge" })).toBeUndefined();
  expect(await plane.find(Namespace, { name: "karmada-es-edge" })).toBeUndefined();
  for (const name of ["karmada-agent", "karmada-agent-sa"])
    expect(await member.find(Deployment, { namespace: "karmada-system", name })).toBeUndefined();
  expect(await member.find(Secret, { namespace: "karmada-system", name: "karmada-kubeconfig" })).toBeUndefined();

  // A second life, without a pin, on the user's own word that the address can be trusted, with credentials in another namespace.
  await eager.end();
  expect(
    await register("--token", token, "--discovery-token-unsafe-skip-ca-verification", "--cluster-namespace=team-edge"),
  ).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("cluster(edge) is joined successfully\n"),
  });
  const anew = await member.get(Secret, { namespace: "karmada-system", name: "karmada-kubeconfig" });
  writeFileSync(agentConfig, Buffer.from(anew.data?.["karmada-kubeconfig"] ?? "", "base64"), { mode: 0o600 });
  const started = await member.get(Deployment, { namespace: "karmada-system", name: "karmada-agent" });
  expect(started.spec?.template?.spec?.containers?.[0]?.command).toContain("--cluster-namespace=team-edge");
  await start([...agentWords, "--cluster-namespace=team-edge"], /the agent looks after its member/);
  const second = await eventually(async () => {
    const found = await plane.find(Cluster, { name: "edge" });
    return found?.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True")
      ? found
      : undefined;
  });
  const there = { namespace: "team-edge" };
  expect(second.spec).toMatchObject({
    secretRef: { ...there, name: "edge" },
    impersonatorSecretRef: { ...there, name: "edge-impersonator" },
  });
  expect((await plane.list(Secret, there)).items.map(({ metadata }) => metadata.name).sort()).toEqual([
    "edge",
    "edge-impersonator",
  ]);
  // Whoever is let through the control plane gets there by these credentials; so does promote.
  await member.create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { namespace: "default", name: "theirs" },
    data: { a: "1" },
  });
  await eventually(async () => {
    const promoted = await run("promote", "configmap", "theirs", "-n", "default", "-C", "edge", "--kubeconfig", admin);
    expect(promoted).toMatchObject({ code: 0, stdout: expect.stringContaining("is promoted successfully") });
    return true;
  });
  // The namespace of credentials is the control plane's own: no Work carries it to members.
  const works = (await plane.list(Work, { namespace: "karmada-es-edge" })).items;
  expect(works.map(({ metadata }) => metadata.name).filter((name) => name?.startsWith("team-edge"))).toEqual([]);
  expect((await unregister()).code).toBe(0);
  expect(await plane.find(Cluster, { name: "edge" })).toBeUndefined();
  await eventually(async () => (await plane.list(Secret, there)).items.length === 0);
  await eventually(async () => (await member.find(Namespace, { name: "team-edge" })) === undefined);
  await eventually(
    async () => (await plane.find(Role, { ...there, name: "system:karmada:edge:agent-secret" })) === undefined,
  );

  const deleted = await run("token", "delete", token, "--kubeconfig", admin);
  expect(deleted.stdout).toBe(`bootstrap token "${token.slice(0, 6)}" deleted\n`);
  expect((await run("token", "delete", token, "--kubeconfig", admin)).stderr).toContain(
    `err: secrets "bootstrap-token-${token.slice(0, 6)}" not found`,
  );
  expect((await run("token", "delete", "what", "--kubeconfig", admin)).stderr).toContain(
    "given token didn't match pattern",
  );
});

test("[DR-3] of two agents for one cluster one works and the next takes over; another cluster's agent is refused by its id", {
  timeout: 180_000,
}, async () => {
  const { start, run } = programs;
  const simulate = (name: string) =>
    start(
      ["simulate", "member", name, "--nodes=1", `--data-dir=${join(folder, name)}`],
      new RegExp(`${name} is ready`),
    );
  await start(["server", `--data-dir=${join(folder, "two")}`, "--secure-port=0"], /control plane is ready/);
  await Promise.all([simulate("pair"), simulate("stranger")]);
  const kubeconfig = join(folder, "two", "admin.kubeconfig");
  const agentOf = (cluster: string, name: string) => [
    "agent",
    `--cluster-name=${name}`,
    `--karmada-kubeconfig=${kubeconfig}`,
    `--kubeconfig=${join(folder, cluster, `${cluster}.kubeconfig`)}`,
    "--metrics-bind-address=0",
    "--health-probe-bind-address=0",
    "--cluster-status-update-frequency=200ms",
    "--cluster-success-threshold=300ms",
    "--leader-elect-lease-duration=3s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=300ms",
  ];
  const plane = connect(kubeconfig);
  const member = connect(join(folder, "pair", "pair.kubeconfig"));
  const works = /the agent looks after its member/;
  const first = await start(agentOf("pair", "pair"), works);
  const second = await start(agentOf("pair", "pair"), /waits for the lead/);
  await plane.create(PropagationPolicy, aPropagationPolicy("all", {}));
  await plane.create(Deployment, aDeployment("web", 2));
  const at = { namespace: "default", name: "web" };
  const readyReplicas = async () => (await plane.get(Deployment, at)).status?.readyReplicas;
  await eventually(async () => (await readyReplicas()) === 2, 60_000);
  const { uid, generation } = (await member.get(Deployment, at)).metadata;
  // Made once, and changed by nobody since.
  expect(generation).toBe(1);
  expect(second.output()).not.toMatch(works);

  // Under the name of a member, or for a member of another name, an agent ends at once and says why.
  for (const words of [agentOf("stranger", "pair"), agentOf("pair", "other")]) {
    const refused = await run(...words);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/the cluster ID \S+ or the cluster name (pair|other) has been registered/);
    expect(refused.stdout + refused.stderr).not.toMatch(/waits for the lead|became leader/);
  }
  expect((await plane.list(Cluster)).items.map(({ metadata }) => metadata.name)).toEqual(["pair"]);

  const scale = (replicas: number) =>
    plane.patch(Deployment, at, "application/merge-patch+json", { spec: { replicas } });
  await first.end("SIGKILL");
  await scale(3);
  await eventually(() => works.test(second.output()), 60_000);
  await eventually(async () => (await readyReplicas()) === 3, 60_000);
  expect((await member.get(Deployment, at)).metadata).toMatchObject({ uid, generation: 2 });
  // One that stops in order hands over at once.
  const third = await start(agentOf("pair", "pair"), /waits for the lead/);
  await second.end();
  await scale(4);
  await eventually(() => works.test(third.output()), 60_000);
  await eventually(async () => (await readyReplicas()) === 4, 60_000);
  expect((await member.get(Deployment, at)).metadata).toMatchObject({ uid, generation: 3 });

  // cli 7.3 D20: nobody carries out what is left; who insists gets rid of it, and what runs in the member runs on.
  await third.end("SIGKILL");
  const unregister = (...more: string[]) =>
    run(
      "unregister",
      "pair",
      "--cluster-kubeconfig",
      join(folder, "pair", "pair.kubeconfig"),
      "--karmada-config",
      kubeconfig,
      ...more,
    );
  expect((await unregister("--force=perhaps")).stderr).toContain(
    'error: invalid argument "perhaps" for "--force" flag: strconv.ParseBool: parsing "perhaps": invalid syntax\n',
  );
  const waited = await unregister("--wait=1s", "--force=false");
  expect(waited.code).toBe(1);
  expect(waited.stderr).toMatch(
    /works of pair are still there \(.*web-.*\): does the agent run\? --force gives up on them/,
  );
  expect(await unregister("--wait=1s", "--force=1")).toMatchObject({ code: 0 });
  expect((await plane.list(Cluster)).items).toEqual([]);
  expect((await member.get(Deployment, at)).metadata.uid).toBe(uid);
});
