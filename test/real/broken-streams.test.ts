/** Streams of kubectl through the cluster proxy, while their member is killed, hangs, or is reached by another way. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { ConfigMap, Deployment, Pod } from "#apis/kubernetes";
import { Cluster } from "#apis/karmada";
import { parseKubeconfig, resolveContext } from "#certs";
import { aDeployment, eventually, kubeconfigClients, kubectl, startConnectProxy, startKubectl } from "#testing";
import { bundleProgram, type Program, type Running } from "../program.ts";
import { describeReal } from "./parts.ts";

const LIMIT_MS = 90_000;

describeReal("streams through the cluster proxy that break", ["kubectl"], () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-streams-"));
  const admin = join(folder, "plane", "admin.kubeconfig");
  const memberConfig = join(folder, "m1", "m1.kubeconfig");
  const through = join(folder, "through.kubeconfig");
  const { connect, close } = kubeconfigClients();
  let program: Program;
  let server: Running;
  let member: Running;
  let port = "0";
  let pod = "";

  const startMember = async () => {
    member = await program.start(
      ["simulate", "member", "m1", "--nodes=1", `--port=${port}`, `--data-dir=${join(folder, "m1")}`],
      /m1 is ready/,
    );
    ({ port } = new URL(resolveContext(parseKubeconfig(memberConfig)).server));
  };
  const ready = async (wanted: string) =>
    eventually(async () => {
      const { status } = await connect(admin).get(Cluster, { name: "m1" });
      return status?.conditions?.find(({ type }) => type === "Ready")?.status === wanted;
    }, LIMIT_MS);
  const get = (...words: readonly string[]) =>
    kubectl(through, ["get", ...words]).catch((error: unknown) => String((error as Error).message));
  const start = (words: readonly string[], env = {}) => {
    const running = startKubectl(through, words, env);
    onTestFinished(() => running.stop());
    return running;
  };
  const note = (name: string) =>
    connect(memberConfig).create(ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: "default", name },
    });

  beforeAll(async () => {
    program = await bundleProgram();
    server = await program.start(
      [
        "server",
        `--data-dir=${join(folder, "plane")}`,
        "--secure-port=0",
        "--cluster-status-update-frequency=500ms",
        "--cluster-failure-threshold=1s",
        "--cluster-success-threshold=1s",
      ],
      /control plane is ready/,
    );
    await startMember();
    const joined = await program.run("join", "m1", "--kubeconfig", admin, "--cluster-kubeconfig", memberConfig);
    expect(joined).toMatchObject({ code: 0 });
    const own = parse(readFileSync(admin, "utf8")) as { clusters: { cluster: { server: string } }[] };
    for (const { cluster } of own.clusters) cluster.server += "/apis/cluster.karmada.io/v1alpha1/clusters/m1/proxy";
    writeFileSync(through, JSON.stringify(own), { mode: 0o600 });
    await ready("True");
    await connect(memberConfig).create(Deployment, aDeployment("web", 1));
    pod = await eventually(async () => {
      const [found] = (await connect(memberConfig).list(Pod, { namespace: "default" })).items;
      return found?.status?.phase === "Running" ? found.metadata.name : undefined;
    }, LIMIT_MS);
  }, LIMIT_MS);
  afterAll(async () => {
    await close();
    await program?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Streams of every kind, each known to run. */
  async function streams() {
    const watch = start(["get", "configmaps", "-w", "-o", "name"]);
    const logs = start(["logs", "-f", pod]);
    const sockets = ["true", "false"].map((isWebSocket) =>
      start(["exec", "-i", pod, "--", "cat"], { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: isWebSocket }),
    );
    const forward = start(["port-forward", pod, ":80"]);
    await watch.until(/configmap\/kube-root-ca\.crt|configmap\//);
    await logs.until(/\n/);
    await forward.until(/127\.0\.0\.1:\d+ -> 80/);
    return { watch, logs, sockets };
  }

  test("[GF-31] a member that is killed ends them all, what comes next says why, and once it is back the same commands work", {
    timeout: 300_000,
  }, async () => {
    await note("before");
    const { watch, logs, sockets } = await streams();
    await member.end("SIGKILL");
    for (const running of [watch, logs, ...sockets]) await running.ended;
    expect(await get("pods")).toMatch(/ECONNREFUSED|connection refused|ServiceUnavailable|cannot be reached/i);
    await ready("False");
    await startMember();
    await ready("True");
    expect(await get("pods", "-o", "name")).toContain(`pod/${pod}`);
    await streams();
    expect(server.isRunning()).toBe(true);
  });

  test("[GF-31] a member that hangs holds up nobody else; who asks it anew is told in time, and what ran goes on where it was", {
    timeout: 300_000,
  }, async () => {
    const { watch, logs, sockets } = await streams();
    let ended = 0;
    for (const running of [watch, logs, ...sockets]) void running.ended.then(() => ended++);
    member.signal("SIGSTOP");
    try {
      expect(await get("pods", "--request-timeout=2s")).toMatch(/timeout|deadline exceeded/i);
      const startedMs = performance.now();
      await connect(admin).create(ConfigMap, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { namespace: "default", name: "meanwhile" },
      });
      expect(performance.now() - startedMs).toBeLessThan(5_000);
      expect(ended).toBe(0);
    } finally {
      member.signal("SIGCONT");
    }
    await note("after-it-hung");
    await watch.until(/configmap\/after-it-hung/);
    expect(ended).toBe(0);
    expect(await get("pods", "-o", "name")).toContain(`pod/${pod}`);
  });

  test("[DR-37] another proxyURL leaves running streams where they are, new ones take the new way, and one that breaks ends its streams", {
    timeout: 300_000,
  }, async () => {
    const [one, other] = [await startConnectProxy(), await startConnectProxy()];
    onTestFinished(() => {
      one.close();
      other.close();
    });
    const name = (proxyURL: string | null) =>
      connect(admin).patch(Cluster, { name: "m1" }, "application/merge-patch+json", { spec: { proxyURL } });
    await name(one.url);
    await eventually(async () => (await get("pods", "-o", "name")).includes(pod) && one.asked.length > 0, LIMIT_MS);
    const { watch, logs, sockets } = await streams();
    await name(other.url);
    await eventually(async () => (await get("pods", "-o", "name")).includes(pod) && other.asked.length > 0, LIMIT_MS);
    const asked = one.asked.length;
    await note("after-the-change");
    await watch.until(/configmap\/after-the-change/);
    const next = start(["get", "configmaps", "-w", "-o", "name"]);
    await next.until(/configmap\/after-the-change/);
    expect(one.asked).toHaveLength(asked);
    one.cut();
    for (const running of [watch, logs, ...sockets]) await running.ended;
    await note("after-the-cut");
    await next.until(/configmap\/after-the-cut/);
    await name(null);
    // What was under way by the old way may end there; then nothing takes it any more.
    await eventually(async () => {
      const before = other.asked.length;
      expect(await get("pods", "-o", "name")).toContain(pod);
      return other.asked.length === before;
    }, LIMIT_MS);
    await ready("True");
  });
});
