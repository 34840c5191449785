/** `clusters/NAME/proxy` behind an APIService of a real kube-apiserver: every verb, watches, logs, upgrades of both kinds. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { ClusterRole, ClusterRoleBinding, ConfigMap, Secret } from "#apis/kubernetes";
import { Cluster, ResourceRegistry } from "#apis/karmada";
import { createCertificateAuthority, kubeconfigText, writeKubeconfig } from "#certs";
import type { Client } from "#client";
import { type RealApiServer, startRealApiServer } from "#lab";
import { aDeployment, eventually, kubeconfigClients, kubectl, startKubectl } from "#testing";
import { bundleProgram, type Program, type Running } from "../program.ts";
import { apiServerParts, describeReal } from "./parts.ts";

const PATIENCE_MS = 60_000;
const CLUSTERS = "/apis/cluster.karmada.io/v1alpha1/clusters";

describeReal("the cluster proxy of a guest", apiServerParts, () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-guest-proxy-"));
  const { connect, close: closeClients } = kubeconfigClients();
  let program: Program;
  let real: RealApiServer;
  let guest: Running;
  let admin: Client;
  let echo: Server;
  const sockets = new Set<Socket>();
  const upgrades: string[] = [];

  const startControllers = (...more: string[]) =>
    program.start(
      [
        "controllers",
        `--kubeconfig=${real.kubeconfig}`,
        "--webhook-port=0",
        "--cluster-proxy-port=0",
        "--cluster-status-update-frequency=500ms",
        "--cluster-success-threshold=1s",
        // Whoever is killed is followed soon.
        "--leader-elect-lease-duration=4s",
        "--leader-elect-renew-deadline=3s",
        "--leader-elect-retry-period=500ms",
        ...more,
      ],
      /controllers run|waits for the lead/,
    );
  /** A kubeconfig of a user that addresses a member through the proxy. */
  async function through(cluster: string, user?: string): Promise<string> {
    const path = join(folder, `${user ?? "admin"}-${cluster}.kubeconfig`);
    const { authority, admin: own } = real.pki;
    const pair = user === undefined ? own : await authority.issueClient(user, ["viewers"]);
    writeKubeconfig(path, cluster, `${real.server}${CLUSTERS}/${cluster}/proxy`, authority.certificate, pair);
    return path;
  }
  const raw = async (path: string) => {
    const { status, body } = await admin.transport.raw({ method: "GET", path });
    return { status, text: Buffer.from(body).toString("utf8") };
  };

  beforeAll(async () => {
    program = await bundleProgram();
    real = await startRealApiServer({ isUnsafe: true, folder: join(folder, "real") });
    admin = connect(real.kubeconfig);
    guest = await startControllers();
    await program.start(
      ["simulate", "member", "far", "--nodes=1", `--data-dir=${join(folder, "far")}`],
      /far is ready/,
    );
    const words = ["--kubeconfig", real.kubeconfig, "--cluster-kubeconfig", join(folder, "far", "far.kubeconfig")];
    expect(await program.run("join", "far", ...words)).toMatchObject({ code: 0, stderr: "" });
    // A member that only knows how to change its protocol.
    const authority = await createCertificateAuthority("echo");
    const pair = await authority.issueServer("member", ["127.0.0.1"]);
    echo = createServer({ cert: pair.certificate, key: pair.key }, (_request, response) => void response.end("ok"));
    echo.on("connection", (socket: Socket) => sockets.add(socket));
    echo.on("upgrade", (request, socket: Socket) => {
      upgrades.push(`${request.method} ${request.url} ${request.headers["impersonate-user"]}`);
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n");
      socket.on("data", (chunk: Buffer) => socket.write(`echo ${chunk.toString()}`));
      socket.on("error", () => socket.destroy());
    });
    await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
    const secret = (name: string, data: Readonly<Record<string, string>>) =>
      admin.create(Secret, {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { namespace: "karmada-cluster", name },
        data,
      });
    await secret("echo", { token: btoa("own"), caBundle: btoa(authority.certificate) });
    await secret("echo-impersonator", { token: btoa("other") });
    await admin.create(Cluster, {
      apiVersion: "cluster.karmada.io/v1alpha1",
      kind: "Cluster",
      metadata: { name: "echo" },
      spec: {
        syncMode: "Push",
        apiEndpoint: `https://127.0.0.1:${(echo.address() as AddressInfo).port}`,
        secretRef: { namespace: "karmada-cluster", name: "echo" },
        impersonatorSecretRef: { namespace: "karmada-cluster", name: "echo-impersonator" },
      },
    } as unknown as Cluster);
    await eventually(
      async () => (await admin.get(Cluster, { name: "far" })).status?.resourceSummary !== undefined,
      PATIENCE_MS,
    );
    // The member knows the caller once his rights have arrived there.
    await eventually(async () => (await raw(`${CLUSTERS}/far/proxy/readyz`)).text === "ok", PATIENCE_MS);
  });
  afterAll(async () => {
    await closeClients();
    await program?.close();
    await real?.stop();
    for (const socket of sockets) socket.destroy();
    echo?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test("Clusters are served as ever: tables, discovery, schema, every way to write, and watches", async () => {
    const run = (...words: string[]) => kubectl(real.kubeconfig, words);
    expect(await run("get", "clusters")).toMatch(
      /^NAME\s+VERSION\s+MODE\s+READY\s+AGE\n[\s\S]*far\s+v1\.\S+\s+Push\s+True/,
    );
    expect(await run("get", "cluster", "far", "-o", "yaml")).not.toContain("v1direct");
    expect((await raw("/apis/cluster.karmada.io/v1alpha1")).text).toContain('"clusters/proxy"');
    expect(await run("get", "apiservice", "v1alpha1.cluster.karmada.io")).toMatch(/flotilla-cluster-api\s+True/);
    await eventually(async () => /syncMode/.test(await run("explain", "cluster.spec")), PATIENCE_MS);
    const seen: string[] = [];
    const watch = admin.transport.watch(
      {
        group: "cluster.karmada.io",
        version: "v1alpha1",
        resource: "clusters",
        fieldSelector: "metadata.name=by-hand",
      },
      {
        event: (type, object) =>
          seen.push(`${type} ${object.apiVersion} ${object.metadata.labels?.["step"] ?? ""}`.trim()),
        closed() {},
      },
    );
    const cluster = (step: string) =>
      `apiVersion: cluster.karmada.io/v1alpha1\nkind: Cluster\nmetadata:\n  name: by-hand\n  labels: {step: "${step}"}\nspec:\n  syncMode: Push\n`;
    await kubectl(real.kubeconfig, ["create", "-f", "-"], cluster("created"));
    await kubectl(real.kubeconfig, ["apply", "--server-side", "--force-conflicts", "-f", "-"], cluster("applied"));
    await run("label", "cluster", "by-hand", "step=labelled", "--overwrite");
    await expect(
      run("patch", "cluster", "by-hand", "--type=merge", "-p", '{"spec":{"zone":"a","zones":["b"]}}'),
    ).rejects.toThrow(/Zone and Zones cannot co-exist/);
    await run("delete", "cluster", "by-hand", "--wait=false");
    // No controller manager is there to end its execution namespace, which it waits for.
    await run("patch", "cluster", "by-hand", "--type=merge", "-p", '{"metadata":{"finalizers":null}}');
    for (const wanted of ["ADDED", "MODIFIED", "DELETED"])
      await eventually(
        () => seen.some((line) => line.startsWith(`${wanted} cluster.karmada.io/v1alpha1`)),
        PATIENCE_MS,
      );
    watch.stop();
  });

  test("[GF-31] kubectl works on a member through it: all verbs, watch, logs, exec", async () => {
    const far = await through("far");
    const member = connect(far);
    await kubectl(far, ["create", "-f", "-"], JSON.stringify(aDeployment("web", 1)));
    await kubectl(far, ["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"]);
    await kubectl(far, ["patch", "deployment", "web", "-p", '{"metadata":{"labels":{"a":"b"}}}']);
    const pod = (await kubectl(far, ["get", "pods", "-o", "name"])).trim().split("\n")[0] ?? "";
    expect(pod).toMatch(/^pod\/web-/);
    expect(await kubectl(far, ["logs", pod])).not.toBe("");
    expect(await kubectl(far, ["exec", pod, "--", "echo", "over here"])).toBe("over here\n");
    const seen: string[] = [];
    const watch = member.transport.watch(
      { group: "apps", version: "v1", resource: "deployments", namespace: "default" },
      { event: (type, object) => seen.push(`${type} ${object.metadata.name}`), closed() {} },
    );
    await eventually(() => seen.includes("ADDED web"), PATIENCE_MS);
    await kubectl(far, ["delete", "deployment", "web"]);
    await eventually(() => seen.includes("DELETED web"), PATIENCE_MS);
    watch.stop();
    expect(await kubectl(real.kubeconfig, ["get", "--raw", `${CLUSTERS}/*/proxy/api/v1/nodes`])).toContain('"far-');
    expect((await raw(`${CLUSTERS}/none/proxy/api`)).text).toContain(
      'clusters.cluster.karmada.io \\"none\\" not found',
    );
  });

  test("[GF-31] port-forward over WebSockets and SPDY, and a plain WebSocket, reach a pod of the member", async () => {
    const far = await through("far");
    const container = { name: "main", image: "i", ports: [{ containerPort: 8080 }] };
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "streams" }, spec: { containers: [container] } };
    await kubectl(far, ["apply", "-f", "-"], JSON.stringify(pod));
    await kubectl(far, ["wait", "--for=condition=Ready", "pod/streams", "--timeout=60s"]);
    for (const isWebSocket of ["true", "false"]) {
      const env = { KUBECTL_PORT_FORWARD_WEBSOCKETS: isWebSocket };
      const forwarding = startKubectl(far, ["port-forward", "pod/streams", ":8080"], env);
      try {
        const [port] = await forwarding.until(/127\.0\.0\.1:(\d+) -> 8080/);
        for (const n of [1, 2])
          expect(await (await fetch(`http://127.0.0.1:${port}/path?n=${n}`)).text()).toMatch(
            new RegExp(`^GET /path\\?n=${n}\\nanswered by container main of pod default/streams`),
          );
      } finally {
        await forwarding.stop();
      }
    }
    const { authority, admin: pair } = real.pki;
    const path = `${CLUSTERS}/far/proxy/api/v1/namespaces/default/pods/streams/exec`;
    const socket = new WebSocket(
      `${real.server.replace("https:", "wss:")}${path}?command=cat&stdin=true&stdout=true`,
      "v5.channel.k8s.io",
      { ca: authority.certificate, cert: pair.certificate, key: pair.key },
    );
    const heard = new Map<number, string>();
    socket.on("message", (data: Buffer) => {
      heard.set(data[0] ?? -1, `${heard.get(data[0] ?? -1) ?? ""}${data.subarray(1).toString()}`);
    });
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    expect(socket.protocol).toBe("v5.channel.k8s.io");
    // Channel 0 is standard input, 1 standard output, 3 how it ended; 255 closes the channel it names.
    socket.send(Buffer.from("\0over and out"));
    await eventually(() => heard.get(1) === "over and out", PATIENCE_MS);
    socket.send(Buffer.from([255, 0]));
    await eventually(() => /"Success"/.test(heard.get(3) ?? ""), PATIENCE_MS);
    socket.terminate();
  });

  test("an upgrade to SPDY goes through as the caller, both directions", async () => {
    const { authority, admin: pair } = real.pki;
    const socket = connectTls({
      host: "127.0.0.1",
      port: real.port,
      ca: authority.certificate,
      cert: pair.certificate,
      key: pair.key,
      ALPNProtocols: ["http/1.1"],
    });
    let heard = "";
    socket.on("data", (chunk: Buffer) => (heard += chunk.toString()));
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    socket.write(
      `POST ${CLUSTERS}/echo/proxy/api/v1/namespaces/a/pods/b/exec?command=sh HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n`,
    );
    await eventually(() => heard.includes("101 Switching Protocols"), PATIENCE_MS);
    socket.write("ping");
    await eventually(() => heard.includes("echo ping"), PATIENCE_MS);
    socket.destroy();
    expect(upgrades).toEqual(["POST /api/v1/namespaces/a/pods/b/exec?command=sh system:admin"]);
  });

  test("who may not use it is refused here, who may is himself in the member", async () => {
    const alice = await through("far", "alice");
    await expect(kubectl(alice, ["get", "pods"])).rejects.toThrow(/Forbidden/);
    await admin.create(ClusterRole, {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name: "far" },
      rules: [
        { apiGroups: ["cluster.karmada.io"], resources: ["clusters/proxy"], resourceNames: ["far"], verbs: ["*"] },
      ],
    });
    await admin.create(ClusterRoleBinding, {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "far" },
      subjects: ["User", "Group"].map((kind) => ({
        apiGroup: "rbac.authorization.k8s.io",
        kind,
        name: kind === "User" ? "alice" : "viewers",
      })),
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "far" },
    });
    // The member knows her by her name, and that she has no rights there.
    await eventually(async () => {
      const said = await kubectl(alice, ["get", "pods"]).catch((error: unknown) => String(error));
      return /User "alice" cannot list resource "pods"/.test(said);
    }, PATIENCE_MS);
  });

  test("nobody but the API server is answered, whatever identity he claims", async () => {
    const service = await admin.transport.send({
      verb: "get",
      group: "",
      version: "v1",
      resource: "services",
      namespace: "karmada-system",
      name: "flotilla-cluster-api",
    });
    const [{ port }] = (service as unknown as { spec: { ports: [{ port: number }] } }).spec.ports;
    const { authority, admin: pair } = real.pki;
    const text = kubeconfigText({
      name: "x",
      server: `https://127.0.0.1:${port}`,
      authority: authority.certificate,
      client: pair,
    });
    const path = join(folder, "direct.kubeconfig");
    writeFileSync(path, text.replace(/certificate-authority-data: .*/, "insecure-skip-tls-verify: true"));
    expect(readFileSync(path, "utf8")).toContain("insecure");
    const { status } = await connect(path).transport.raw({
      method: "GET",
      path: `${CLUSTERS}/far/proxy/api`,
      headers: { "x-remote-user": "system:admin", "x-remote-group": "system:masters" },
    });
    expect(status).toBe(401);
  });

  test("[GF-46] search and the unified endpoint are served the same way", async () => {
    const root = "/apis/search.karmada.io/v1alpha1";
    const run = (...words: string[]) => kubectl(real.kubeconfig, words);
    const everywhere = (...words: string[]) =>
      run("--server", `${real.server}${root}/proxying/karmada/proxy`, ...words);
    expect(await run("get", "apiservice", "v1alpha1.search.karmada.io")).toMatch(/flotilla-cluster-api\s+True/);
    const { text: discovery } = await raw(root);
    for (const name of ["resourceregistries", "resourceregistries/status", "search", "proxying"])
      expect(discovery).toContain(`"name":${JSON.stringify(name)}`);
    const registry = (spec: object) =>
      ({
        apiVersion: "search.karmada.io/v1alpha1",
        kind: "ResourceRegistry",
        metadata: { name: "maps" },
        spec: { targetCluster: {}, ...spec },
      }) as ResourceRegistry;
    await expect(
      admin.create(ResourceRegistry, registry({ resourceSelectors: [{ apiVersion: "a/b/c", kind: "ConfigMap" }] })),
    ).rejects.toThrow(/unexpected GroupVersion string: a\/b\/c/);
    const made = await admin.create(
      ResourceRegistry,
      registry({ resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", namespace: "default" }] }),
    );
    expect(made.apiVersion).toBe("search.karmada.io/v1alpha1");
    const far = connect(join(folder, "far", "far.kubeconfig"));
    await far.create(ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: "default", name: "of-far" },
      data: { a: "b" },
    });
    await eventually(
      async () => (await raw(`${root}/search/cache/api/v1/namespaces/default/configmaps`)).text.includes("of-far"),
      PATIENCE_MS,
    );
    expect(await everywhere("get", "configmap", "of-far", "-o", "jsonpath={.data}{.metadata.annotations}")).toBe(
      '{"a":"b"}{"resource.karmada.io/cached-from-cluster":"far"}',
    );
    await everywhere("label", "configmap", "of-far", "step=labelled");
    expect((await far.get(ConfigMap, { namespace: "default", name: "of-far" })).metadata.labels).toEqual({
      step: "labelled",
    });
    // What no registry names is the API server's own.
    expect(await everywhere("get", "namespaces", "-o", "name")).toContain("namespace/karmada-system");
    await expect(run("get", "--as", "eve", "--raw", `${root}/proxying/x/proxy/api/v1/namespaces`)).rejects.toThrow(
      /User "eve" cannot get resource "proxying\/proxy"/,
    );
    await admin.create(ClusterRole, {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name: "only-proxying" },
      rules: [{ apiGroups: ["search.karmada.io"], resources: ["proxying/proxy"], verbs: ["*"] }],
    } as ClusterRole);
    await run("create", "clusterrolebinding", "only-proxying", "--clusterrole=only-proxying", "--user=eve");
    for (const path of ["namespaces", "namespaces/default/configmaps"])
      await eventually(async () => {
        await expect(run("get", "--as", "eve", "--raw", `${root}/proxying/x/proxy/api/v1/${path}`)).rejects.toThrow(
          /User "eve" cannot list resource "(namespaces|configmaps)"/,
        );
        return true;
      }, PATIENCE_MS);
    await run("delete", "clusterrole,clusterrolebinding", "only-proxying");
  });

  test("controllers that stop give Clusters back to the API server, and take them again", async () => {
    await guest.end("SIGTERM");
    await eventually(async () => (await raw(CLUSTERS)).status === 200, PATIENCE_MS);
    expect((await raw(`${CLUSTERS}/far/proxy/api`)).status).toBe(404);
    expect((await admin.get(Cluster, { name: "far" })).apiVersion).toBe("cluster.karmada.io/v1alpha1");
    guest = await startControllers();
    await eventually(async () => (await raw(`${CLUSTERS}/far/proxy/readyz`)).text === "ok", PATIENCE_MS);
  });

  test("controllers that are killed leave their APIService; the next to start, or to wait, takes it over", async () => {
    const isServed = async () => (await raw(`${CLUSTERS}/far/proxy/readyz`)).text === "ok";
    await guest.end("SIGKILL");
    await eventually(async () => (await raw(CLUSTERS)).status === 503, PATIENCE_MS);
    guest = await startControllers();
    await eventually(isServed, PATIENCE_MS);
    // One that waits goes on where the one that worked was killed, without anybody's help.
    const next = await startControllers();
    expect(next.output()).not.toContain("controllers run");
    await guest.end("SIGKILL");
    await eventually(() => next.output().includes("controllers run"), PATIENCE_MS);
    await eventually(isServed, PATIENCE_MS);
    guest = next;
  });

  test("Clusters are given back by controllers that do not serve the proxy, and by --uninstall, also after a kill", async () => {
    const served = () => kubectl(real.kubeconfig, ["get", "apiservice", "v1alpha1.cluster.karmada.io"]);
    await guest.end("SIGKILL");
    await eventually(async () => (await raw(CLUSTERS)).status === 503, PATIENCE_MS);
    const without = await startControllers("--cluster-proxy=false");
    await eventually(async () => (await raw(CLUSTERS)).status === 200, PATIENCE_MS);
    expect(await served()).toMatch(/Local\s+True/);
    await without.end("SIGTERM");
    const last = await startControllers();
    await eventually(async () => /flotilla-cluster-api\s+True/.test(await served()), PATIENCE_MS);
    await last.end("SIGKILL");
    await eventually(async () => (await raw(CLUSTERS)).status === 503, PATIENCE_MS);
    const removed = await program.run("controllers", `--kubeconfig=${real.kubeconfig}`, "--uninstall");
    expect(removed).toMatchObject({ code: 0 });
    await eventually(async () => (await raw(CLUSTERS)).status === 404, PATIENCE_MS);
    expect(await kubectl(real.kubeconfig, ["get", "crds,apiservices,clusterroles", "-o", "name"])).not.toMatch(
      /karmada|cluster-proxy-admin/,
    );
    // Discovery is whole again: nothing is left that does not answer.
    expect(await kubectl(real.kubeconfig, ["api-resources"])).not.toMatch(/karmada/);
  });
});
